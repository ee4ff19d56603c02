"""The decoder as a unit of an ezmsg graph: samples in, behavior out, by the stream of `realm live`.

Example:

    ez.run(
        AMPLIFIER=..., DECODER=RealmDecoder(bundle="bundle", unit="uV"), ...,
        connections=((..., RealmDecoder.INPUT_SIGNAL), (RealmDecoder.OUTPUT_SIGNAL, ...)),
    )

Messages are ezmsg's AxisArray with the dims `time` (a LinearAxis in seconds) and `ch` (a
CoordinateAxis of names). As in `realm live`, channels are matched by name, gaps are filled or start
the decoder anew and are counted, and the output is neutral until unit and rate are checked.

What comes out has the dims `time` and `ch` (names of behavior); the time of a row is the end of its
bin. `attrs` hold `behavior_unit`, `bundle_sha256`, `quality` (one value or row per bin, see
`realm.live.outputs`) and `timeline` (what was filled, dropped and started anew, in all).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from realm.live.check import Fit, match
from realm.live.outputs import Outputs
from realm.live.settings import LiveSettings
from realm.live.sources import StreamInfo
from realm.live.status import Status
from realm.live.stream import Stream
from realm.live.timeline import Happened
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
        settings: `longest_fill_s`, `jitter_ms` and `check_s` of these are used.

    Attributes:
        status: the counters, as those of `realm live`.
    """

    def __init__(self, bundle: Path | str, unit: str, settings: LiveSettings | None = None) -> None:
        self.decoder = decoder = StreamingDecoder.load(bundle)
        self.status = Status()
        self._stream = Stream(decoder, settings or LiveSettings(), self.status, present=False)
        self._dims = len(decoder.bundle.behavior_names)
        self._unit = unit
        self._declared: StreamInfo | None = None
        self._fit: Fit | None = None

    def decode(self, message: Any) -> Iterator[Any]:
        """The behavior of the bins that the samples of a message complete, if any.

        Raises:
            ValueError: the message or its signal does not fit the bundle.
        """
        rows = self._fitted(message).apply(_time_first(message), self._dims)
        times = np.asarray(message.axes["time"].value(np.arange(len(rows))), np.float64)
        taken = self._stream.take(rows, times, None, 0)
        if why := self._stream.check(taken):
            raise ValueError(f"ezmsg: {why}")
        for outputs in taken.outputs:
            yield self._message(outputs, message)

    @property
    def happened(self) -> Happened:
        """What was filled, dropped and started anew, in all."""
        samples, stream = self.status.samples, self.status.stream
        return Happened(
            duplicated=samples.dropped_duplicated,
            backward=samples.dropped_backward,
            untimed=samples.dropped_untimed,
            unplaced=samples.dropped_unplaced,
            bad_times=stream.bad_times,
            clock_steps=stream.clock_steps,
            number_restarts=stream.number_restarts,
            gaps=stream.gaps,
            filled=samples.filled,
            resets=stream.resets,
        )

    def _fitted(self, message: Any) -> Fit:
        """How the samples become those of the bundle; other channels begin a new connection."""
        declared = _declared(message, self._unit)
        if self._fit is None or declared != self._declared:
            self._fit = match(declared, self.decoder.channel_names, self.decoder.sampling_rate_hz)
            self._declared = declared
            self._stream.join()
        return self._fit

    def _message(self, outputs: Outputs, message: Any) -> Any:
        bundle, names = self.decoder.bundle, np.array(self.decoder.bundle.behavior_names)
        quality = outputs._asdict()
        for name in ("time_s", "behavior", "truth"):
            del quality[name]
        time = LinearAxis(
            unit="s", gain=self.decoder.bin_ms / 1000, offset=float(outputs.time_s[0])
        )
        return replace(
            message,
            data=outputs.behavior,
            dims=["time", "ch"],
            axes={
                "time": time,
                "ch": CoordinateAxis(unit=bundle.behavior_unit, data=names, dims=["ch"]),
            },
            attrs={
                **message.attrs,
                "behavior_unit": bundle.behavior_unit,
                "bundle_sha256": bundle.sha256,
                "quality": quality,
                "timeline": self.happened._asdict(),
            },
        )


class RealmDecoderSettings(ez.Settings):  # type: ignore[misc]
    """The arguments of `AxisArrayDecoder`."""

    bundle: str
    unit: str
    longest_fill_s: float = LiveSettings.longest_fill_s
    jitter_ms: float = LiveSettings.jitter_ms
    check_s: float = LiveSettings.check_s


class RealmDecoder(ez.Unit):  # type: ignore[misc]
    """Decodes what comes to INPUT_SIGNAL and sends behavior to OUTPUT_SIGNAL.

    A message that does not fit the bundle ends the graph with an error that says what to do.
    """

    SETTINGS = RealmDecoderSettings
    INPUT_SIGNAL = ez.InputStream(AxisArray)
    OUTPUT_SIGNAL = ez.OutputStream(AxisArray)

    async def initialize(self) -> None:
        """Load the bundle and compile, before the first message."""
        chosen = self.SETTINGS
        settings = LiveSettings(
            longest_fill_s=chosen.longest_fill_s, jitter_ms=chosen.jitter_ms, check_s=chosen.check_s
        )
        self._decoder = AxisArrayDecoder(chosen.bundle, chosen.unit, settings)

    @ez.subscriber(INPUT_SIGNAL)  # type: ignore[untyped-decorator]
    @ez.publisher(OUTPUT_SIGNAL)  # type: ignore[untyped-decorator]
    async def on_signal(self, message: AxisArray) -> AsyncGenerator[Any, None]:
        """Decode one message."""
        for decoded in self._decoder.decode(message):
            yield self.OUTPUT_SIGNAL, decoded


def _declared(message: Any, unit: str) -> StreamInfo:
    """What a message says about its samples."""
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
    return StreamInfo("ezmsg", names, 1 / time.gain, unit)


def _time_first(message: Any) -> Any:
    if sorted(message.dims) != ["ch", "time"]:
        raise ValueError(
            f"ezmsg: expected the dims time and ch, got {', '.join(message.dims)}; select or "
            "flatten the others before"
        )
    return message.data if message.dims[0] == "time" else message.data.T
