"""`realm live`: decode a live stream."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Any

import typer

from realm.commands.terminal import console
from realm.live.settings import LiveSettings

USUAL = LiveSettings()


def live(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="Folder of a bundle (`realm bundle` makes one)."),
    ],
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="Where the samples come from: lsl:NAME, zmq:ADDRESS or replay:FILE.",
        ),
    ],
    sinks: Annotated[
        list[str] | None,
        typer.Option(
            "--sink",
            metavar="SINK",
            show_default="none",
            help="Where the decoded behavior goes: lsl:NAME, zmq:ADDRESS, csv:FILE, "
            "parquet:FOLDER or dashboard:PORT. Can be repeated.",
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT",
            help="Unit of the samples: V, mV, uV or nV.",
            show_default="what the source says",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Save the state of the decoder to this file every second, and resume from it "
            "after a restart.",
            show_default="none",
        ),
    ] = None,
    status: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write all counters to this JSON file every second.",
            show_default="none",
        ),
    ] = None,
    longest_fill_s: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Longest gap in seconds that is filled; after a longer gap the decoder restarts.",
        ),
    ] = USUAL.longest_fill_s,
    jitter_ms: Annotated[
        float,
        typer.Option(
            metavar="MS",
            help="Largest error of a time stamp in ms. In a stream that does not count its "
            "samples, shorter gaps are not seen.",
        ),
    ] = USUAL.jitter_ms,
    late_ms: Annotated[
        float,
        typer.Option(
            metavar="MS", help="After this long without samples, in ms, repeat the last output."
        ),
    ] = USUAL.late_ms,
    hold_ms: Annotated[
        float,
        typer.Option(
            metavar="MS", help="Repeat the last output at most this long, in ms, then send neutral."
        ),
    ] = USUAL.hold_ms,
    queue_s: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Most signal, in seconds, that may wait for the decoder; the oldest is dropped.",
        ),
    ] = USUAL.queue_s,
    check_s: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Seconds of signal used to check unit and rate; the output is neutral until then. "
            "0 for no check.",
        ),
    ] = USUAL.check_s,
    retry_s: Annotated[
        float,
        typer.Option(metavar="S", help="Seconds to wait before a lost source is opened again."),
    ] = USUAL.retry_s,
) -> None:
    r"""Decode a live stream.

    Runs until the stream ends, or until Ctrl-C or SIGTERM. Then it sends one neutral row,
    completes the logs, saves the state and exits with 0.

    Examples:
      realm live bundles/day7 --source lsl:Amplifier --sink lsl:Decoded
      realm live bundles/day7 --source zmq:tcp://127.0.0.1:5555 \
        --sink csv:day7.csv --sink dashboard --state day7.state
      realm live bundles/day7 --source "replay:day7.safetensors?speed=max" \
        --sink csv:day7.csv
    """
    from realm.live.loop import LiveLoop
    from realm.live.specs import make_sink, make_source
    from realm.streaming import StreamingDecoder

    settings = LiveSettings(
        longest_fill_s=longest_fill_s,
        jitter_ms=jitter_ms,
        late_ms=late_ms,
        hold_ms=hold_ms,
        queue_s=queue_s,
        check_s=check_s,
        retry_s=retry_s,
    )
    line = StatusLine()
    loop = LiveLoop(
        StreamingDecoder.load(bundle),
        make_source(source),
        {text: make_sink(text) for text in sinks or []},
        settings,
        unit=unit,
        state_path=state,
        status_path=status,
        say=line.say,
        report=line.show,
    )
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, lambda *_: loop.stop())
    try:
        with line:
            loop.run()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    for text in summary(loop.status.final()):
        typer.echo(text)


class StatusLine:
    """One line at the bottom of the terminal that says how the stream is; messages above it."""

    def __init__(self) -> None:
        self._shown = console.status("starting", spinner="dots") if console.is_terminal else None

    def __enter__(self) -> StatusLine:
        if self._shown is not None:
            self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, status: dict[str, Any]) -> None:
        """The counters as they are."""
        if self._shown is not None:
            self._shown.update(one_line(status))


def one_line(status: dict[str, Any]) -> str:
    """The counters that matter while a stream runs."""
    bins, samples, latency = status["bins"], status["samples"], status["latency_ms"]
    return (
        f"{status['state']}: {bins['given']} bins, {bins['neutral']} neutral, {bins['held']} held, "
        f"{samples['dropped']} samples dropped, {samples['filled']} filled, "
        f"{status['bad_channels']} bad channels, p99 {latency['p99']:.2f} ms"
    )


def summary(status: dict[str, Any]) -> list[str]:
    """What is said at the end."""
    samples, bins, latency = status["samples"], status["bins"], status["latency_ms"]
    dropped = {
        name.removeprefix("dropped_"): count
        for name, count in samples.items()
        if name.startswith("dropped_") and count
    }
    why = f" ({', '.join(f'{n} {name}' for name, n in dropped.items())})" if dropped else ""
    lines = [
        f"samples: {samples['received']} received, {samples['decoded']} decoded, "
        f"{samples['dropped']} dropped{why}, {samples['filled']} filled in",
        f"bins: {bins['given']} given, {bins['decoded']} decoded, {bins['held']} held, "
        f"{bins['neutral']} neutral",
        f"latency: p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, p99.9 "
        f"{latency['p99.9']:.2f} ms, max {latency['max']:.2f} ms",
    ]
    for name, sink in status["sinks"].items():
        trouble = f", last error: {sink['last_error']}" if sink["errors"] else ""
        lines.append(
            f"{name}: {sink['written']} rows, {sink['dropped']} dropped, {sink['failed']} not "
            f"written{trouble}"
        )
    return lines
