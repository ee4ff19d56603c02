"""The dashboard's server: a thread and an event loop of its own, on loopback, only ever sending."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from realm.live.dashboard import guard
from realm.live.dashboard.guard import PROTOCOL
from realm.live.dashboard.recent import Recent

ADDRESS = "127.0.0.1"
EVERY_S = 0.05  # between messages
MOST = 8  # browsers
QUEUED = 4  # messages for a browser that is slow
STUCK_S = 10.0  # a browser that takes no message for this long is disconnected
IDLE_S = 10.0  # a connection that does not become a viewer is closed after this,
MOST_OTHERS, MOST_WAITING = 32, 16  # and at once where there are so many
GOODBYE_S = 0.5  # for browsers to say goodbye
GOING_AWAY = 1001  # RFC 6455, section 7.4.1
KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


class Viewer(NamedTuple):
    """One browser."""

    browser: Any
    transport: Any
    queue: asyncio.Queue[str]


class Viewers:
    """All connected browsers; used only in the server's event loop.

    Args:
        stuck_s: a browser that takes no message for this long is disconnected."""

    def __init__(self, stuck_s: float = STUCK_S) -> None:
        self.stuck_s = stuck_s
        self.present: list[Viewer] = []

    @property
    def full(self) -> bool:
        """Whether no more browser is accepted."""
        return len(self.present) >= MOST

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message for every browser, with their number."""
        if not self.present:
            return
        text = _text(message | {"viewers": len(self.present), "most_viewers": MOST})
        for viewer in self.present:
            if viewer.queue.full():
                viewer.queue.get_nowait()
            viewer.queue.put_nowait(text)

    async def serve(self, request: Any, start_message: dict[str, Any]) -> Any:
        """Answer the request of a WebSocket and serve it until it closes.

        Args:
            request: of a browser that is allowed.
            start_message: what it is sent first.
        """
        browser = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=self.stuck_s, max_msg_size=1024, compress=False
        )
        if request.transport is None:  # already closed
            return browser
        viewer = Viewer(browser, request.transport, asyncio.Queue(QUEUED))
        self.present.append(viewer)
        sending = None
        try:
            await browser.prepare(request)
            sending = asyncio.create_task(_send_all(viewer, _text(start_message), self.stuck_s))
            await browser.receive()  # returns when it closes: a page sends nothing
        finally:
            if sending is not None:
                sending.cancel()
            self.present.remove(viewer)
            viewer.transport.abort()  # `close` would wait until all that is queued has been read
        return browser

    async def say_goodbye(self) -> None:
        """Close all connections."""
        closing = [viewer.browser.close(code=GOING_AWAY) for viewer in self.present]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), GOODBYE_S)


async def _send_all(viewer: Viewer, text: str, stuck_s: float) -> None:
    try:
        while True:
            async with asyncio.timeout(stuck_s):
                await viewer.browser.send_str(text)
            text = await viewer.queue.get()
    except OSError:  # it went away, or TimeoutError: it does not read
        viewer.transport.abort()


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


class Server:
    """Serves the page and the messages of `Recent`.

    Args:
        port: on 127.0.0.1; 0 = a free one.
        every_s: seconds between messages.

    Attributes:
        url: the address of the page, with the token behind the #, which browsers keep to
            themselves.
        refused: requests and WebSockets that were refused since the start.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, recent: Recent, port: int = 0, every_s: float = EVERY_S) -> None:
        self._recent, self._every_s = recent, every_s
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
        """Disconnect all browsers and free the port; does nothing when closed."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def check(self) -> None:
        """Raise OSError if the server has stopped."""
        if self._failure is not None:
            raise OSError(f"the dashboard stopped: {self._failure!r}") from self._failure

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # raised by the next `check`
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
            await web.SockSite(runner, self._socket, backlog=MOST_WAITING).start()
            self._begun.set()
            await self._send_until_stopped(runner)
            await self._viewers.say_goodbye()
        finally:
            await runner.cleanup()

    async def _send_until_stopped(self, runner: web.AppRunner) -> None:
        since: dict[Any, float] = {}
        while not self._stopping.is_set():
            self._close_idle(runner.server, since)
            message = self._recent.frame_message()  # also with nobody there: it keeps the last rows
            self._viewers.send(message | {"refused": self.refused})
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._every_s)

    def _close_idle(self, server: Any, since: dict[Any, float]) -> None:
        """Close connections that are no viewer's and are there for long, or are too many."""
        viewers = {id(viewer.transport) for viewer in self._viewers.present}
        now, there = self._loop.time(), list(server.connections)
        for gone in since.keys() - set(there):
            del since[gone]
        others = [each for each in there if id(each.transport) not in viewers]
        for place, each in enumerate(others):
            long = now - since.setdefault(each, now) > IDLE_S
            if (long or place >= MOST_OTHERS) and each.transport is not None:
                self.refused += 1
                each.transport.abort()

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
            raise web.HTTPServiceUnavailable(
                text="The largest number of browsers is connected already.\n"
            )
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
