"""A headless Chromium, driven over its remote debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
STARTS_WITHIN_S = 60.0


class Browser:
    """One page of a browser of its own.

    Attributes:
        errors: what the page's console said of errors, and exceptions nobody caught.
        requested: every address that the page asked for.
    """

    def __init__(self, home: Path) -> None:
        self.errors: list[str] = []
        self.requested: list[str] = []
        self._home = home
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._count = 0

    async def __aenter__(self) -> Self:
        import aiohttp

        assert CHROMIUM is not None
        self._process = subprocess.Popen(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--remote-debugging-port=0",
                f"--user-data-dir={self._home}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._session = aiohttp.ClientSession()
        try:
            self._socket = await self._session.ws_connect(await self._page(), max_msg_size=0)
        except BaseException:
            await self.__aexit__()
            raise
        self._listening = asyncio.create_task(self._listen())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.ask(f"{domain}.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._process.terminate()
        self._process.wait(timeout=30)

    async def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command of the protocol and wait for its answer."""
        self._count += 1
        answer = self._answers[self._count] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._count, "method": method, "params": parameters})
        async with asyncio.timeout(STARTS_WITHIN_S):
            return await answer

    async def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        answer = await self._evaluate(expression)
        assert "result" in answer, answer
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression is true in the page; it may fail while the page loads."""
        async with asyncio.timeout(STARTS_WITHIN_S):
            while (await self._evaluate(expression)).get("result", {}).get("value") is not True:
                await asyncio.sleep(0.05)

    async def _evaluate(self, expression: str) -> Any:
        return await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)

    async def screenshot(self, path: Path) -> None:
        """Write what the page looks like as PNG."""
        answer = await self.ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    async def _page(self) -> str:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while True:
                with suppress(OSError, ValueError, StopIteration):
                    port = int((self._home / "DevToolsActivePort").read_text().split()[0])
                    async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
                        pages = await answer.json()
                    return next(
                        str(p["webSocketDebuggerUrl"]) for p in pages if p["type"] == "page"
                    )
                await asyncio.sleep(0.1)

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said.get("result", said))
            elif said["method"] == "Runtime.exceptionThrown":
                self.errors.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Runtime.consoleAPICalled":
                if said["params"]["type"] in ("error", "warning"):
                    self.errors.append(str(said["params"]["args"]))
            elif said["method"] == "Log.entryAdded":
                self.errors.append(str(said["params"]["entry"]))
            elif said["method"] == "Network.requestWillBeSent":
                self.requested.append(said["params"]["request"]["url"])
            elif said["method"] == "Network.webSocketCreated":
                self.requested.append(said["params"]["url"])
