"""The decoder as a unit of an ezmsg graph: samples in, behavior out, by the same `step`.

    ez.run(
        AMPLIFIER=..., DECODER=RealmDecoder(bundle="bundle", unit="uV"), ...,
        connections=((..., RealmDecoder.INPUT_SIGNAL), (RealmDecoder.OUTPUT_SIGNAL, ...)),
    )

Messages are ezmsg's AxisArray with the dims `time` (a LinearAxis in seconds) and `ch` (a
CoordinateAxis of names). Channels are matched by name and time is kept as in `realm live`: gaps are
filled or begin the decoder anew, and are counted.

What goes out has the dims `time` and `ch` (names of behavior); a row's time is the end of its bin.
`attrs` hold `behavior_unit`, `bundle_sha256`, `quality` (one value or row per bin, see
`realm.streaming.Quality`) and `timeline` (what was filled, dropped and begun anew, in all).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realm.live.bins import BinClock
from realm.live.channels import Fit, match
from realm.live.settings import LiveSettings
from realm.live.source import StreamInfo
from realm.live.timeline import Happened, Timed, Timeline, stretches
from realm.streaming import StreamingDecoder

try:
    import ezmsg.core as ez
    from ezmsg.util.messages.axisarray import AxisArray, CoordinateAxis, LinearAxis
except ImportError as error:
    raise ImportError(
        f"ezmsg cannot be loaded ({error}); pip install 'realm-lfp[ezmsg]'"
    ) from error


class AxisArrayDecoder:
    """Decodes messages in their order.

    Args:
        bundle: folder of the bundle.
        unit: V, mV, uV or nV, that of the data: an AxisArray does not say it.
        settings: of these, `longest_fill_s` and `jitter_ms` are used.
    """

    def __init__(self, bundle: Path | str, unit: str, settings: LiveSettings | None = None) -> None:
        settings = settings or LiveSettings()
        self.decoder = decoder = StreamingDecoder.load(bundle)
        rate_hz, names = decoder.sampling_rate_hz, decoder.channel_names
        self._unit = unit
        self._timeline = Timeline(rate_hz, len(names), settings.longest_fill_s, settings.jitter_ms)
        self._bins = BinClock(decoder.bin_ms, rate_hz, decoder.bundle.lookahead_bins, 0)
        self._told: StreamInfo | None = None
        self._fit: Fit | None = None
        self._timeline_state = self._timeline.initial_state()
        self._stream, self._bins_state = decoder.initial_state(), self._bins.initial_state()
        self.happened = Happened()

    def decode(self, message: Any) -> Iterator[Any]:
        """The behavior of the bins that the samples of a message complete, if any.

        Raises:
            ValueError: the message does not fit the bundle.
        """
        volts = self._fitted(message).apply(_time_first(message))
        times = np.asarray(message.axes["time"].value(np.arange(len(volts))), np.float64)
        timed, happened, _, self._timeline_state = self._timeline.step(
            volts, times, None, self._timeline_state
        )
        self.happened = Happened(*map(sum, zip(self.happened, happened, strict=True)))
        for part in stretches(timed):
            if not np.isnan(part.skipped_s[0]):
                self._begin_anew(float(part.skipped_s[0]))
            out = self._decoded(part, message)
            if len(out.data):
                yield out

    def _fitted(self, message: Any) -> Fit:
        told = _told(message, self._unit)
        if self._fit is None or told != self._told:
            self._fit = match(told, self.decoder.channel_names, self.decoder.sampling_rate_hz)
            self._told = told
        return self._fit

    def _begin_anew(self, skipped_s: float) -> None:
        state = self._bins_state
        self._bins_state = self._bins.renewed(state, skipped_s, self._bins.next_output(state))
        self._stream = self.decoder.initial_state()

    def _decoded(self, timed: Timed, message: Any) -> Any:
        decoded, self._stream = self.decoder.step(timed.rows, self._stream)
        no_truth = np.empty((len(timed.rows), 0))
        ended, self._bins_state = self._bins.step(timed.times_s, no_truth, self._bins_state)
        bundle, start_s = self.decoder.bundle, float(ended.time_s[0]) if len(ended.time_s) else 0.0
        names = np.array(bundle.behavior_names)
        return replace(
            message,
            data=decoded.behavior,
            dims=["time", "ch"],
            axes={
                "time": LinearAxis(unit="s", gain=self._bins.bin_s, offset=start_s),
                "ch": CoordinateAxis(unit=bundle.behavior_unit, data=names, dims=["ch"]),
            },
            attrs={
                **message.attrs,
                "behavior_unit": bundle.behavior_unit,
                "bundle_sha256": bundle.sha256,
                "quality": {**decoded.quality._asdict(), "bin": ended.bin},
                "timeline": self.happened._asdict(),
            },
        )


class RealmDecoderSettings(ez.Settings):  # type: ignore[misc]
    """What `AxisArrayDecoder` is made with."""

    bundle: str
    unit: str
    longest_fill_s: float = LiveSettings.longest_fill_s
    jitter_ms: float = LiveSettings.jitter_ms


class RealmDecoder(ez.Unit):  # type: ignore[misc]
    """Decodes what comes to INPUT_SIGNAL and gives behavior to OUTPUT_SIGNAL.

    A message that does not fit the bundle ends the graph with an error that says what to do.
    """

    SETTINGS = RealmDecoderSettings
    INPUT_SIGNAL = ez.InputStream(AxisArray)
    OUTPUT_SIGNAL = ez.OutputStream(AxisArray)

    async def initialize(self) -> None:
        """Load the bundle and compile, before the first message."""
        chosen = self.SETTINGS
        settings = LiveSettings(longest_fill_s=chosen.longest_fill_s, jitter_ms=chosen.jitter_ms)
        self._decoder = AxisArrayDecoder(chosen.bundle, chosen.unit, settings)

    @ez.subscriber(INPUT_SIGNAL)  # type: ignore[untyped-decorator]
    @ez.publisher(OUTPUT_SIGNAL)  # type: ignore[untyped-decorator]
    async def on_signal(self, message: AxisArray) -> AsyncGenerator[Any, None]:
        """Decode one message."""
        for decoded in self._decoder.decode(message):
            yield self.OUTPUT_SIGNAL, decoded


def _told(message: Any, unit: str) -> StreamInfo:
    """What a message says of its samples."""
    time, channels = message.axes.get("time"), message.axes.get("ch")
    if not isinstance(time, LinearAxis) or not time.gain > 0:
        raise ValueError(
            "ezmsg: expected an axis 'time' with a regular rate (LinearAxis), got "
            f"{type(time).__name__}; set it where the samples are made"
        )
    if not isinstance(channels, CoordinateAxis):
        raise ValueError(
            "ezmsg: expected an axis 'ch' with the names of the channels (CoordinateAxis), got "
            f"{type(channels).__name__}; set it where the samples are made"
        )
    names = tuple(str(name) for name in channels.data)
    return StreamInfo(message.key or "ezmsg", names, 1 / time.gain, unit)


def _time_first(message: Any) -> Any:
    if sorted(message.dims) != ["ch", "time"]:
        raise ValueError(
            f"ezmsg: expected the dims time and ch, got {', '.join(message.dims)}; select or "
            "flatten the others before"
        )
    return message.data if message.dims[0] == "time" else message.data.T
