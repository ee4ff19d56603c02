"""The sink `dashboard`: a page on this machine that shows a live decoder at work; needs aiohttp."""

from __future__ import annotations

import sys
from collections.abc import Callable

from realm.live.dashboard.recent import Recent
from realm.live.dashboard.server import EVERY_S, Server
from realm.live.outputs import OutputInfo, Outputs
from realm.live.sinks import Counters, Sink


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class DashboardSink(Sink):
    """Shows the stream to browsers on this machine.

    Args:
        port: on 127.0.0.1; 0 = a free one.
        every_s: seconds between messages to the page.
        tell: is called with the line with the page's address, which is new at every start.

    Raises:
        ValueError: there is no such port.
    """

    def __init__(
        self,
        port: int = 0,
        tell: Callable[[str], None] = _to_stderr,
        every_s: float = EVERY_S,
    ) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"dashboard: expected a port of 0 to 65535, got {port}; choose one")
        self._port, self._every_s = port, every_s
        self._tell = tell
        self._recent: Recent | None = None
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The page's address, with the token that opens it; "" while closed."""
        return self._server.url if self._server else ""

    def open(self, info: OutputInfo) -> None:
        """Serve the page and announce its address.

        Raises:
            OSError: the port cannot be had.
        """
        self.close()
        self._recent = Recent(info)
        self._server = Server(self._recent, self._port, self._every_s)
        self._tell(f"dashboard: {self._server.url}")

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Keep the rows for the page; never waits for a browser.

        Raises:
            OSError: it is not open, or the server has stopped.
        """
        if self._server is None or self._recent is None:
            raise OSError("dashboard: expected it open, got rows; call open first")
        self._server.check()
        self._recent.add(outputs, status())

    def close(self) -> None:
        """Disconnect all browsers and free the port."""
        if self._server is not None:
            self._server.close()
        self._server = self._recent = None
