"""Who may see the dashboard, what it says, and that nobody who looks can hold up the decoder."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Coroutine, Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from dashboard_cases import BIN_MS, make_outputs, output_info

aiohttp = pytest.importorskip("aiohttp")

from realm.live.dashboard import DashboardSink, guard, server  # noqa: E402
from realm.live.dashboard.recent import (  # noqa: E402
    HELD,
    MOST_KEPT,
    MOST_ROWS,
    MOST_WAITING,
    NEUTRAL,
    Recent,
    rows_message,
)
from realm.live.registry import make_sink  # noqa: E402

PAGE = files("realm.live.dashboard") / "page"
WITHIN_S = 30.0


@pytest.fixture
def sink() -> Iterator[DashboardSink]:
    made = DashboardSink(tell=lambda _: None)
    made.open(output_info())
    yield made
    made.close()


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(steps, WITHIN_S))


def address(sink: DashboardSink) -> tuple[str, str]:
    """host:port and token of the printed address."""
    found = re.fullmatch(r"http://(127\.0\.0\.1:\d+)/#([\w-]{43})", sink.url)
    assert found is not None, sink.url
    return found[1], found[2]


def hello(sink: DashboardSink, **changed: str | None) -> dict[str, str]:
    """The headers a browser sends for the WebSocket, some changed or (None) left out."""
    host, token = address(sink)
    headers: dict[str, str | None] = {
        "Host": host,
        "Origin": f"http://{host}",
        "Sec-WebSocket-Protocol": f"{guard.PROTOCOL}, token.{token}",
    }
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    return {name: value for name, value in headers.items() if value is not None}


async def status_of(
    sink: DashboardSink, path: str, headers: dict[str, str], how: str = "GET"
) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.request(how, f"http://{address(sink)[0]}{path}", headers=headers) as answer,
    ):
        return answer.status, answer.headers, await answer.text()


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    "changed",
    [
        {"Sec_WebSocket_Protocol": None},
        {"Sec_WebSocket_Protocol": guard.PROTOCOL},
        {"Sec_WebSocket_Protocol": f"{guard.PROTOCOL}, token."},
        {"Sec_WebSocket_Protocol": f"{guard.PROTOCOL}, token.{'A' * 43}"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://example.org"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://{host}"},
        {"Host": "example.org"},
        {"Host": "127.0.0.1.example.org"},
        {"Host": "127.0.0.1@example.org"},
        {"Host": "192.168.0.1:80"},
    ],
    ids=str,
)
def test_a_handshake_that_is_not_ours_is_refused(
    sink: DashboardSink, changed: dict[str, str | None]
) -> None:
    host = address(sink)[0]
    changed = {name: value and value.replace("{host}", host) for name, value in changed.items()}
    if changed.get("Host"):  # a rebound name: the page's origin has it too
        changed["Origin"] = f"http://{changed['Host']}"
    status, _, text = run(status_of(sink, "/live", hello(sink, **changed) | UPGRADE))
    assert (status, text[:8]) == (403, "Refused:")
    message = run(first_messages(sink, 2))[1]
    assert message["refused"] == 1


def test_a_token_beside_the_right_one_is_refused(sink: DashboardSink) -> None:
    _, token = address(sink)
    twice = f"{guard.PROTOCOL}, token.{token}, token.{'A' * 43}"
    headers = hello(sink, Sec_WebSocket_Protocol=twice) | UPGRADE
    assert run(status_of(sink, "/live", headers))[0] == 403


def test_the_token_is_new_on_every_start(sink: DashboardSink) -> None:
    before = address(sink)[1]
    sink.open(output_info())
    assert address(sink)[1] != before
    old = f"{guard.PROTOCOL}, token.{before}"
    headers = hello(sink, Sec_WebSocket_Protocol=old) | UPGRADE
    assert run(status_of(sink, "/live", headers))[0] == 403


@pytest.mark.parametrize("path", ["/", "/page.js", "/live", "/nothing"])
def test_a_foreign_name_gets_nothing(sink: DashboardSink, path: str) -> None:
    assert run(status_of(sink, path, {"Host": "rebound.example"}))[0] == 403


def test_two_names_in_one_request_are_refused(sink: DashboardSink) -> None:
    host, port = address(sink)[0].split(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN_S) as plain:
        plain.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nHost: example.org\r\n\r\n".encode())
        assert b" 40" in plain.recv(100)  # 400 or 403


@pytest.mark.parametrize("name", ["localhost:8765", "LOCALHOST", "127.0.0.1:1", "[::1]:80"])
def test_names_of_this_machine_are_accepted(name: str) -> None:
    assert guard.why_not_host([name]) is None
    offered = [guard.PROTOCOL, "token.abc"]
    assert guard.why_not_socket(name, [f"http://{name}"], offered, "abc") is None


@pytest.mark.parametrize("how", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("path", ["/", "/live", "/page.js"])
def test_there_is_nothing_to_change(sink: DashboardSink, how: str, path: str) -> None:
    assert run(status_of(sink, path, hello(sink), how))[0] == 405


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "/x/y"])
def test_only_files_of_the_page_are_served(sink: DashboardSink, path: str) -> None:
    host, port = address(sink)[0].split(":")
    with socket.create_connection((host, int(port)), timeout=WITHIN_S) as plain:
        plain.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        assert plain.recv(100).startswith(b"HTTP/1.1 404")


def test_every_answer_forbids_what_is_from_elsewhere(sink: DashboardSink) -> None:
    for path, headers in (("/", {}), ("/page.js", {}), ("/live", {}), ("/", {"Host": "a.example"})):
        _, answered, _ = run(status_of(sink, path, headers))
        policy = dict(
            part.split(" ", 1) for part in answered["Content-Security-Policy"].split("; ")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["img-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert answered["X-Content-Type-Options"] == "nosniff"
        assert answered["Cache-Control"] == "no-store"
        assert "a.example" not in policy["connect-src"]
        assert "Set-Cookie" not in answered


def test_the_page_needs_only_its_own_files() -> None:
    names = {path.name for path in PAGE.iterdir()}
    for path in PAGE.iterdir():
        text = path.read_text()
        links = set(re.findall(r"""(?:href|src)="([^"]*)"|from "([^"]*)"|url\(([^)]*)\)""", text))
        for link in (one for found in links for one in found if one):
            assert link.removeprefix("./") in names, f"{path.name}: {link}"
        addresses = set(re.findall(r"(?:https?:|wss?:)?//[\w$.{][^\s\"'`]*", text))
        assert addresses <= {"http://www.w3.org/2000/svg", "ws://${location.host}/live"}, path.name
        assert not re.search(
            r"innerHTML|document\.write|\beval\b|new Function|\son\w+=\"|style=", text
        )


async def first_messages(sink: DashboardSink, count: int) -> list[dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"http://{address(sink)[0]}/live", headers=hello(sink)) as browser,
    ):
        assert browser.protocol in (None, guard.PROTOCOL)
        return [json.loads((await browser.receive()).data) for _ in range(count)]


def test_a_browser_with_the_token_gets_the_stream_and_its_last_seconds(sink: DashboardSink) -> None:
    info = output_info()
    sink.write(make_outputs(7, bad=(3,)), lambda: {"samples_lost": 5, "rate": np.float64("nan")})

    async def steps() -> tuple[dict[str, Any], dict[str, Any]]:
        await first_messages(sink, 2)  # so that the rows have been given out before
        start, _ = await first_messages(sink, 2)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{address(sink)[0]}/live", headers=hello(sink)) as browser,
        ):
            await browser.receive()
            sink.write(make_outputs(4, 7, bad=(3,)), lambda: {"samples_lost": 6})
            while True:
                frame = json.loads((await browser.receive()).data)
                if frame["rows"]["time_s"]:
                    return start, frame

    start, frame = run(steps())
    assert start["type"] == "start"
    assert start["channel_names"] == list(info.channel_names)
    assert (start["behavior_names"], start["behavior_unit"]) == (["x", "y"], "cm/s")
    assert start["bin_ms"] == BIN_MS
    assert sum(len(rows["time_s"]) for rows in start["rows"]) == 7
    expected = make_outputs(4, 7, bad=(3,))
    np.testing.assert_allclose(frame["rows"]["behavior"], expected.behavior, rtol=1e-4)
    np.testing.assert_allclose(frame["rows"]["truth"], expected.truth, rtol=1e-4)
    np.testing.assert_allclose(frame["rows"]["time_s"], expected.time_s)
    assert frame["channels"]["bad"] == 1
    filled = frame["channels"]["filled_percent"]
    assert filled[3] > 0
    assert sum(filled) == filled[3]
    assert len(frame["latency"]["total"]) == len(start["latency_edges_ms"]) + 1
    assert sum(frame["latency"]["total"]) == 11
    assert frame["status"] == {"samples_lost": 6}
    assert frame["state"]["word"] == "decoding"


def test_one_more_browser_than_there_is_room_for_is_refused(sink: DashboardSink) -> None:
    async def steps() -> int:
        async with aiohttp.ClientSession() as session:
            url = f"http://{address(sink)[0]}/live"
            looking = [
                await session.ws_connect(url, headers=hello(sink)) for _ in range(server.MOST)
            ]
            await asyncio.gather(*(browser.receive() for browser in looking))
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url, headers=hello(sink))
            return int(refused.value.status)

    assert run(steps()) == 503


def test_a_browser_that_says_something_is_let_go(sink: DashboardSink) -> None:
    async def steps() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{address(sink)[0]}/live", headers=hello(sink)) as browser,
        ):
            await browser.send_str("stop")
            while (await browser.receive()).type == aiohttp.WSMsgType.TEXT:
                pass

    run(steps())


def test_browsers_that_never_read_hold_up_neither_the_decoder_nor_others() -> None:
    info = output_info(1024)
    sink = DashboardSink(tell=lambda _: None, every_s=0.001)
    sink.open(info)
    outputs = make_outputs(MOST_ROWS, info=info)
    assert sink._server is not None
    viewers = sink._server._viewers
    viewers.stuck_s, present = 3600.0, viewers.present
    stuck = [_silent_browser(sink) for _ in range(2)]
    try:
        while not all(_takes_no_more(viewer) for viewer in present):
            sink.write(outputs, dict)
        first_two = tuple(present)
        assert len(first_two) == 2
        assert len(run(first_messages(sink, 20))) == 20
        viewers.stuck_s = 0.01
        stuck.append(_silent_browser(sink))  # let go: it has not taken a message for long
        while any(viewer not in first_two for viewer in tuple(present)):
            sink.write(outputs, dict)
    finally:
        sink.close()
        for one in stuck:
            one.close()


def _takes_no_more(viewer: server.Viewer) -> bool:
    return viewer.queue.full() and viewer.transport.get_write_buffer_size() > 0


def _silent_browser(sink: DashboardSink) -> socket.socket:
    host, port = address(sink)[0].split(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect((host, int(port)))
    lines = [f"{name}: {value}" for name, value in (hello(sink) | UPGRADE).items()]
    plain.sendall("\r\n".join(["GET /live HTTP/1.1", *lines, "", ""]).encode())
    assert plain.recv(12) == b"HTTP/1.1 101"
    return plain


def test_closing_frees_the_port_at_once_with_browsers_open() -> None:
    sink = DashboardSink(tell=lambda _: None)
    sink.open(output_info())
    port = int(address(sink)[0].split(":")[1])
    stuck = _silent_browser(sink)
    sink.close()
    sink.close()
    assert sink.url == ""
    assert "dashboard" not in {thread.name for thread in threading.enumerate()}
    again = DashboardSink(port, tell=lambda _: None)
    again.open(output_info())
    again.close()
    stuck.close()


def test_a_page_is_told_that_the_decoder_goes_away(sink: DashboardSink) -> None:
    async def steps() -> int | None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{address(sink)[0]}/live", headers=hello(sink)) as browser,
        ):
            await browser.receive()
            closing = asyncio.get_running_loop().run_in_executor(None, sink.close)
            while (await browser.receive()).type == aiohttp.WSMsgType.TEXT:
                pass
            await closing
            return browser.close_code

    assert run(steps()) == 1001


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"free port on 127.0.0.1, got {port}"):
            DashboardSink(port).open(output_info())
    with pytest.raises(ValueError, match="expected a port"):
        DashboardSink(70000)


def test_writing_to_what_is_not_open_or_has_stopped_is_an_error(
    sink: DashboardSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OSError, match="call open first"):
        DashboardSink().write(make_outputs(1), dict)

    def broken(self: Recent) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(Recent, "frame_message", broken)
    assert sink._server is not None
    sink._server._thread.join(WITHIN_S)
    with pytest.raises(OSError, match="broken"):
        sink.write(make_outputs(1), dict)


def test_the_address_is_told_and_the_command_line_makes_the_sink(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sink = make_sink("dashboard")
    assert isinstance(sink, DashboardSink)
    sink.open(output_info())
    assert capsys.readouterr().err == f"dashboard: {sink.url}\n"
    sink.close()


def test_many_rows_are_thinned_and_say_so() -> None:
    parts = [make_outputs(300, 0), make_outputs(1, 300, neutral=True), make_outputs(300, 301)]
    rows = rows_message(parts)
    assert rows["every"] == 4
    assert len(rows["time_s"]) == 151 <= MOST_ROWS
    assert sum(flags == NEUTRAL for flags in rows["flags"]) == 1  # not thinned away
    assert rows["time_s"][-1] == pytest.approx(parts[-1].time_s[-1])


def test_what_is_unknown_is_null_and_what_is_held_is_flagged() -> None:
    known, unknown = make_outputs(2), make_outputs(1, 2, truth=False, held=True)
    rows = rows_message([known, unknown])
    assert rows["truth"][2] == [None, None]
    assert rows["flags"] == [0, 0, HELD]
    assert rows_message([unknown])["truth"] is None
    assert rows_message([])["time_s"] == []


def test_memory_is_bounded_and_what_is_dropped_is_counted() -> None:
    recent = Recent(output_info())
    for k in range(300):
        recent.add(make_outputs(100, 100 * k), {})
    frame = recent.frame_message()
    assert frame["not_drawn"] == 300 * 100 - MOST_WAITING
    assert sum(frame["latency"]["total"]) == 30_000
    for k in range(3 * MOST_KEPT):  # a clock that stands still must not keep rows for ever
        recent.add(make_outputs(1, 0), {"k": k})
        recent.frame_message()
    assert len(recent.start_message()["rows"]) == MOST_KEPT


def test_the_last_seconds_are_ten() -> None:
    recent = Recent(output_info())
    for k in range(150):
        recent.add(make_outputs(10, 10 * k), {})
        recent.frame_message()
    kept = [time for rows in recent.start_message()["rows"] for time in rows["time_s"]]
    assert 9.9 <= kept[-1] - kept[0] <= 10.2


def test_messages_are_strict_json_whatever_arrives() -> None:
    recent = Recent(output_info(3, ("x",)))
    strange = make_outputs(2, info=output_info(3, ("x",)))
    strange.behavior[0] = np.nan
    strange.latency_ms[:] = np.nan
    recent.add(strange, {"a": float("inf"), "b": np.array([1, 2]), "c": {"d": np.int64(3)}})
    frame = json.loads(json.dumps(recent.frame_message(), allow_nan=False))
    assert frame["rows"]["behavior"][0] == [None]
    assert frame["status"] == {"a": None, "b": [1, 2], "c": {"d": 3}}
    assert frame["latency"]["p50_ms"] is None


def test_latencies_are_counted_around_the_deadline() -> None:
    recent = Recent(output_info())
    outputs = make_outputs(4)
    outputs.latency_ms[:] = [0.001, BIN_MS, BIN_MS * 1.01, 1e6]
    own = make_outputs(1, 5, neutral=True)
    own.latency_ms[:] = 0
    recent.add(outputs, {})
    for nothing_decoded in (make_outputs(1, 4, held=True), own):
        recent.add(nothing_decoded, {})
    latency = recent.frame_message()["latency"]
    edges = recent.start_message()["latency_edges_ms"]
    beyond = edges.index(BIN_MS) + 1
    assert latency["missed"] == 2
    assert sum(latency["total"][beyond:]) == 2
    assert (latency["total"][0], latency["total"][-1], sum(latency["total"])) == (1, 1, 4)
    assert latency["max_ms"] == 1e6


def test_idle_connections_do_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as a process may have files: none of them sends a request."""
    import time
    import urllib.request

    sink = DashboardSink(0, lambda text: None)
    sink.open(output_info())
    try:
        where = ("127.0.0.1", int(sink.url.split(":")[2].split("/")[0]))
        idle = [socket.create_connection(where) for _ in range(200)]
        until = time.monotonic() + 60
        gone: set[socket.socket] = set()
        while len(gone) < 200 - server.MOST_OTHERS:
            assert time.monotonic() < until, f"{len(gone)} were closed"
            for one in set(idle) - gone:
                one.settimeout(0.001)
                try:
                    gone |= {one} if one.recv(1) == b"" else set()
                except TimeoutError:
                    pass
                except OSError:
                    gone.add(one)
        for one in list(set(idle) - gone)[:1]:
            one.close()
        with urllib.request.urlopen(sink.url.partition("#")[0], timeout=60) as answer:
            assert answer.status == 200
        for one in idle:
            one.close()
    finally:
        sink.close()
