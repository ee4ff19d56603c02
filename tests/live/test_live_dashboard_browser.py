"""The dashboard's page in a real browser: it draws, says what is so, and complains of nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from dashboard_cases import make_outputs, output_info
from headless_browser import CHROMIUM, Browser

pytest.importorskip("aiohttp")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

from realm.live.dashboard import DashboardSink  # noqa: E402
from realm.live.outputs import OutputInfo, Outputs  # noqa: E402

WORD = "document.getElementById('word').textContent"
REASON = "document.getElementById('reason').textContent"


class Feeder:
    """Writes ten bins every 20 ms, which `change` may alter, until it is stopped."""

    def __init__(self, info: OutputInfo) -> None:
        self.info = info
        self.change: Callable[[int], Outputs] = lambda k: make_outputs(10, k, info)
        self.sink = DashboardSink(tell=lambda _: None)
        self.sink.open(info)
        self.stop, self.pause = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._feed)
        self.thread.start()

    def _feed(self) -> None:
        k = 0
        while not self.stop.wait(0.02):
            if not self.pause.is_set():
                self.sink.write(self.change(k), lambda: {"samples_lost": 1234})
                k += 10

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        self.sink.close()


@pytest.fixture
def feeder() -> Iterator[Feeder]:
    made = Feeder(output_info())
    yield made
    made.close()


def look(home: Path, steps: Callable[[Browser], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Browser(home) as browser:
            await steps(browser)

    asyncio.run(whole())


async def painted(browser: Browser, canvas: str) -> int:
    """How many colours a canvas shows."""
    script = """(() => {
        const c = document.getElementById("CANVAS");
        const image = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        return new Set(new Uint32Array(image.data.buffer)).size;
    })()"""
    return int(await browser.value(script.replace("CANVAS", canvas)))


def test_the_page_shows_the_stream_and_its_states(feeder: Feeder, tmp_path: Path) -> None:
    info = feeder.info

    async def steps(browser: Browser) -> None:
        await browser.ask("Page.navigate", url=feeder.sink.url)
        await browser.until(f"{WORD} === 'decoding'")
        await browser.until("document.getElementById('quantiles').textContent.startsWith('p50')")
        for canvas in ("traces", "histogram", "channels"):
            assert await painted(browser, canvas) >= 3, canvas
        page = await browser.value("document.body.innerText")
        assert "all 96 good" in page
        assert "1,234" in page
        assert await browser.value("location.hash + document.cookie") == ""
        assert await browser.value("document.querySelector('.key.truth').hidden") is False

        feeder.change = lambda k: make_outputs(10, k, info, held=True)
        await browser.until(f"{WORD} === 'hold'")
        feeder.change = lambda k: make_outputs(10, k, info, bad=tuple(range(60)), neutral=True)
        await browser.until(f"{WORD} === 'neutral'")
        assert await browser.value(REASON) == "60 of 96 channels are bad"
        await browser.until("document.getElementById('worst').textContent.startsWith('60 of 96')")
        feeder.pause.set()
        await browser.until(f"{WORD} === 'no data'")
        feeder.pause.clear()
        await browser.until(f"{WORD} === 'neutral'")

        await browser.ask("Page.reload")
        await browser.until(f"{WORD} === 'neutral'")  # this tab kept the token
        host = feeder.sink.url.split("#")[0].removeprefix("http://")
        assert {url.split("//")[1].split("/")[0] for url in browser.requested} == {host.strip("/")}
        assert browser.errors == []

        feeder.close()
        await browser.until(f"{REASON}.includes('no connection')")
        assert await browser.value(WORD) == "no data"

    look(tmp_path, steps)


def test_a_page_without_the_token_says_so(feeder: Feeder, tmp_path: Path) -> None:
    async def steps(browser: Browser) -> None:
        await browser.ask("Page.navigate", url=feeder.sink.url.split("#")[0])
        await browser.until(f"{WORD} === 'refused'")
        assert "whole address" in await browser.value(REASON)
        await browser.ask("Page.navigate", url=feeder.sink.url)  # pasted into the same tab
        await browser.until(f"{WORD} === 'decoding'")
        assert browser.errors == []

    look(tmp_path, steps)


def test_a_site_elsewhere_cannot_open_the_stream(feeder: Feeder, tmp_path: Path) -> None:
    """Even one that knows the token: another port of this machine, another origin."""
    other = DashboardSink(tell=lambda _: None)
    other.open(feeder.info)
    host, token = feeder.sink.url.removeprefix("http://").split("/#")

    async def steps(browser: Browser) -> None:
        await browser.ask("Page.navigate", url=other.url.split("/#")[0] + "/icon.svg")
        await browser.ask("Page.setBypassCSP", enabled=True)
        await browser.ask("Page.reload")
        await browser.value(
            f"""window.said = "nothing";
            const offered = ["realm.dashboard.1", "token.{token}"];
            const socket = new WebSocket("ws://{host}/live", offered);
            socket.onopen = () => window.said = "open";
            socket.onerror = () => window.said = "refused";"""
        )
        await browser.until("window.said !== 'nothing'")
        assert await browser.value("window.said") == "refused"
        assert any("403" in error for error in browser.errors)

    look(tmp_path, steps)
    other.close()
