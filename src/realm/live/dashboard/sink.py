"""Decoded behavior on a page: `--sink dashboard` or `--sink dashboard:8765`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from realm.live.dashboard.recent import Recent
from realm.live.dashboard.server import Server
from realm.live.sink import Counters, OutputInfo, Outputs


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class DashboardSink:
    """Shows the stream to browsers on this machine.

    Args:
        port: on 127.0.0.1; 0 = a free one.
        tell: takes the line with the page's address, which is new on every start.

    Raises:
        ValueError: there is no such port.
    """

    def __init__(self, port: int = 0, tell: Callable[[str], None] = _to_stderr) -> None:
        if not 0 <= port <= 65535:
            raise ValueError(f"dashboard: expected a port of 0 to 65535, got {port}; choose one")
        self._port = port
        self._tell = tell
        self._recent: Recent | None = None
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The page's address, with the token that opens it; "" while closed."""
        return self._server.url if self._server else ""

    def open(self, info: OutputInfo) -> None:
        """Serve the page and tell its address.

        Raises:
            OSError: the port cannot be had.
        """
        self.close()
        self._recent = Recent(info)
        self._server = Server(self._recent, self._port)
        self._tell(f"dashboard: {self._server.url}")

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Leave the rows for the page; never waits for a browser.

        Raises:
            OSError: it is not open, or the server stopped by itself.
        """
        if self._server is None or self._recent is None:
            raise OSError("dashboard: expected it open, got rows; call open first")
        self._server.check()
        self._recent.add(outputs, status())

    def close(self) -> None:
        """Let all browsers go and free the port."""
        if self._server is not None:
            self._server.close()
        self._server = self._recent = None
