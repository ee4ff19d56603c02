"""The dashboard's server: a thread and an event loop of its own, on loopback, only ever sending."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import web

from realm.live.dashboard import guard
from realm.live.dashboard.recent import Recent
from realm.live.dashboard.viewers import Viewers

ADDRESS = "127.0.0.1"
EVERY_S = 0.05  # between messages
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class Server:
    """Serves the page and what `Recent` says.

    Args:
        port: on 127.0.0.1; 0 = a free one.

    Attributes:
        url: the address of the page, with the token behind the #, which browsers keep to
            themselves.
        refused: requests and WebSockets that were refused since the start.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, recent: Recent, port: int = 0) -> None:
        self._recent = recent
        self._token = guard.new_token()
        self._viewers = Viewers()
        self._files = _page_files()
        self._failure: Exception | None = None
        self.refused = 0
        self._socket = _listen(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{ADDRESS}:{self.port}/#{self._token}"
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dashboard", daemon=True)
        self._thread.start()
        self._begun.wait()
        self.check()

    def close(self) -> None:
        """Let all browsers go and free the port; harmless when closed."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def check(self) -> None:
        """Raise OSError if the server has stopped by itself."""
        if self._failure is not None:
            raise OSError(f"the dashboard stopped: {self._failure!r}") from self._failure

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # told to whoever writes next
            self._failure = error
        finally:
            self._begun.set()
            self._loop.close()
            self._socket.close()

    async def _serve(self) -> None:
        app = web.Application(middlewares=[self._only_from_here])
        app.on_response_prepare.append(self._add_headers)
        app.router.add_get("/", self._page, allow_head=False)
        app.router.add_get("/live", self._live, allow_head=False)
        app.router.add_get("/{name}", self._page, allow_head=False)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket).start()
            self._begun.set()
            await self._send_until_stopped()
            await self._viewers.say_goodbye()
        finally:
            await runner.cleanup()

    async def _send_until_stopped(self) -> None:
        while not self._stopping.is_set():
            message = self._recent.frame_message()  # also with nobody there: it keeps the last rows
            self._viewers.send(message | {"refused": self.refused})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), EVERY_S)

    def _refuse(self, reason: str) -> Any:
        self.refused += 1
        return web.HTTPForbidden(text=f"Refused: {reason}.\n")

    @web.middleware
    async def _only_from_here(self, request: Any, handler: Any) -> Any:
        reason = guard.why_not_host(request.headers.getall("Host", []))
        if reason:
            raise self._refuse(reason)
        return await handler(request)

    async def _add_headers(self, request: Any, response: Any) -> None:
        hosts = request.headers.getall("Host", [])
        host = "" if guard.why_not_host(hosts) else hosts[0]
        response.headers.update(guard.page_headers(host))

    async def _page(self, request: Any) -> Any:
        name = request.match_info.get("name", "page.html")
        if name not in self._files:
            raise web.HTTPNotFound()
        body, kind = self._files[name]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _live(self, request: Any) -> Any:
        headers = request.headers
        offered = ",".join(headers.getall("Sec-WebSocket-Protocol", []))
        protocols = [name.strip() for name in offered.split(",")]
        origins = headers.getall("Origin", [])
        reason = guard.why_not_socket(headers["Host"], origins, protocols, self._token)
        if reason:
            raise self._refuse(reason)
        if self._viewers.full:
            self.refused += 1
            raise web.HTTPServiceUnavailable(text="As many browsers as may look do so already.\n")
        return await self._viewers.serve(request, self._recent.start_message())


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((ADDRESS, port))
    except (OSError, OverflowError) as error:
        raise OSError(
            f"dashboard: expected a free port on {ADDRESS}, got {port}: {error}; choose another, "
            "or 'dashboard' alone for any free one"
        ) from error


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Every file of the page and its kind, by name; nothing else is ever served."""
    folder = files("realm.live.dashboard") / "page"
    return {
        path.name: (path.read_bytes(), KINDS[Path(path.name).suffix]) for path in folder.iterdir()
    }
