"""`realm live`: decode a live stream."""

from __future__ import annotations

import inspect
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from realm.commands.terminal import console, printable
from realm.live.settings import LiveSettings, Setting, all_settings


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of `LiveSettings` in place of its `**chosen`."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    options = [_option(name, setting) for name, setting in all_settings().items()]
    command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return command


def _option(name: str, setting: Setting) -> inspect.Parameter:
    low, high = setting.limits(name)
    unit = "MS" if name.endswith("_ms") else "S"
    option = typer.Option(help=f"{setting.help} From {low:g} to {high:g}.", metavar=unit)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=getattr(LiveSettings, name),
        annotation=Annotated[float, option],
    )


@with_settings
def live(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="Folder of a bundle (`realm bundle` makes one)."),
    ],
    source: Annotated[
        str,
        typer.Option(
            metavar="SOURCE",
            help="Where the samples come from: lsl:NAME, zmq:ADDRESS, open-ephys:ADDRESS, "
            "intan:HOST:PORT or replay:FILE.",
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
    **chosen: float,
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
    from realm.live.registry import make_sink, make_source
    from realm.streaming import StreamingDecoder

    settings = LiveSettings(**chosen)
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
    ends = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGBREAK")]
    before = {each: signal.getsignal(each) for each in ends if each is not None}
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
    """One line at the bottom of the terminal with the counters; messages stay above it."""

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
        """Show a line that stays."""
        console.print(printable(text), highlight=False, markup=False, soft_wrap=True)

    def show(self, status: dict[str, Any]) -> None:
        """Show the counters of this moment."""
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
    """The lines at the end of a run."""
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
