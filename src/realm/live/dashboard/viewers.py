"""The browsers that look: each has a short queue, so that nobody waits for a slow one.

When a queue is full its oldest message is dropped; the page sees that by the sequence and says so.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, NamedTuple

from aiohttp import web

from realm.live.dashboard.guard import PROTOCOL

MOST = 8
QUEUED = 4  # messages for a browser that is slow
STUCK_S = 10.0  # without having taken a message, a browser is let go
GOODBYE_S = 0.5  # for browsers to say goodbye
GOING_AWAY = 1001  # RFC 6455, section 7.4.1


class Viewer(NamedTuple):
    """One browser."""

    browser: Any
    transport: Any
    queue: asyncio.Queue[str]


class Viewers:
    """All browsers that look; used by the server's event loop alone."""

    def __init__(self) -> None:
        self.present: list[Viewer] = []

    @property
    def full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self.present) >= MOST

    def send(self, message: dict[str, Any]) -> None:
        """Leave a message for everyone, with how many they are."""
        if not self.present:
            return
        text = _text(message | {"viewers": len(self.present), "most_viewers": MOST})
        for viewer in self.present:
            if viewer.queue.full():
                viewer.queue.get_nowait()
            viewer.queue.put_nowait(text)

    async def serve(self, request: Any, start_message: dict[str, Any]) -> Any:
        """Answer a WebSocket's request and stay with it until it goes.

        Args:
            request: of a browser that may look.
            start_message: what it is sent first.
        """
        browser = web.WebSocketResponse(
            protocols=(PROTOCOL,), heartbeat=STUCK_S, max_msg_size=1024, compress=False
        )
        if request.transport is None:  # it has gone already
            return browser
        viewer = Viewer(browser, request.transport, asyncio.Queue(QUEUED))
        self.present.append(viewer)
        sending = None
        try:
            await browser.prepare(request)
            sending = asyncio.create_task(_send_all(viewer, _text(start_message)))
            await browser.receive()  # returns when it goes: a page has nothing to say
        finally:
            if sending is not None:
                sending.cancel()
            self.present.remove(viewer)
            viewer.transport.abort()  # `close` would wait until all that is queued has been read
        return browser

    async def say_goodbye(self) -> None:
        """Tell everyone that nothing more will come."""
        closing = [viewer.browser.close(code=GOING_AWAY) for viewer in self.present]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), GOODBYE_S)


async def _send_all(viewer: Viewer, text: str) -> None:
    try:
        while True:
            async with asyncio.timeout(STUCK_S):
                await viewer.browser.send_str(text)
            text = await viewer.queue.get()
    except OSError:  # it went away, or TimeoutError: it does not read
        viewer.transport.abort()


def _text(message: dict[str, Any]) -> str:
    return json.dumps(message, allow_nan=False, separators=(",", ":"))
