"""Samples from a Lab Streaming Layer (LSL) stream.

The stream must say what it sends, in the description that LSL's recorders read as well: a label
(`channels/channel/label`) and a unit (`channels/channel/unit`) for every channel, and a regular
rate. Labels and unit can be given by hand for streams that do not.

Time stamps are handed on as they arrived, jitter included. liblsl's clock is `now_s` on Linux;
stamps of another machine are moved to this one's clock by the offset that liblsl measures all the
time. liblsl buffers 10 s and then drops the oldest samples without a message; since this source
is read all the time, that happens only when the whole process stands still, and shows as a gap in
the time stamps.

liblsl itself listens on all network interfaces, whatever its settings are; see the documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pylsl
from pylsl.util import LostError
from pylsl.util import TimeoutError as OpeningTookTooLong

from realm.live.clock import check_clock, now_s
from realm.live.sources import Block, Source, SourceLostError, StreamInfo

ASK_S = 0.5  # between looks at the offset of the sender's clock
TOGETHER_S = 5e-4  # longest wait for the rest of samples that were sent together
BUFFER_S = 10
OPEN_S = 2.0  # longest wait for each step of opening
OTHERS_S = 0.5  # how long to look for a second stream of the same name
ONE_CLOCK_S = 0.01  # clocks that agree this well are one: no two machines started so close
MOST_AT_ONCE = 1024  # samples of a block
NUMBERS = {  # formats of LSL that can be read
    "float32": np.float32,
    "double64": np.float64,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
}
UNITS = {
    "V": ("v", "volt", "volts"),
    "mV": ("mv", "millivolt", "millivolts"),
    "uV": ("uv", "µv", "μv", "microvolt", "microvolts"),  # the micro sign and the Greek letter
    "nV": ("nv", "nanovolt", "nanovolts"),
}


class LSLSource(Source):
    """A stream on the network, found by its name.

    Args:
        name: of the stream.
        type: of the stream, where one name has several types.
        source_id: of the stream, where several have this name.
        unit: V, mV, uV or nV, for a stream that does not say it.
        channel_names: in order, for a stream that does not label its channels.
        open_s: longest wait for each step of opening.
        buffer_s: how much signal liblsl keeps while nothing is read.
    """

    def __init__(
        self,
        name: str,
        type: str | None = None,
        source_id: str | None = None,
        unit: str | None = None,
        channel_names: Sequence[str] | None = None,
        *,
        open_s: float = OPEN_S,
        buffer_s: int = BUFFER_S,
    ) -> None:
        if unit is not None and unit not in UNITS:
            raise ValueError(
                f"lsl:{name}: expected unit as one of {', '.join(UNITS)}, got {unit!r}; correct it"
            )
        self.name, self._unit = name, unit
        self._open_s, self._buffer_s = open_s, buffer_s
        self._channel_names = None if channel_names is None else tuple(channel_names)
        asked = {"name": name, "type": type, "source_id": source_id}
        self._query = " and ".join(f"{k}={_quoted(v)}" for k, v in asked.items() if v is not None)
        self._inlet: Any = None
        self._pulled = np.empty((0, 0), np.float32)
        self._clock_known = False
        self._offset_s, self._ask_s = 0.0, 0.0
        self._together = 1  # samples that came at the last read: mostly as many as are sent at once

    def open(self) -> StreamInfo:
        """Find the stream, read its description and connect; see `Source`."""
        self.close()
        inlet = pylsl.StreamInlet(
            self._found(), max_buflen=self._buffer_s, recover=False
        )  # recover=False: a loss is reported, and what returns is checked again
        try:
            described = inlet.info(self._open_s)
            info = self._described(described)
            inlet.time_correction(self._open_s)
            inlet.open_stream(self._open_s)
        except (LostError, OpeningTookTooLong) as error:
            raise SourceLostError(f"lsl:{self.name}: went away while it was opened") from error
        self._pulled = np.empty((MOST_AT_ONCE, len(info.channel_names)), self._dtype(described))
        self._together, self._clock_known, self._ask_s = 1, False, 0.0
        self._inlet = inlet
        return info

    def read(self, timeout_s: float) -> Block | None:
        """Wait for one sample, then take all that are there; see `Source`."""
        if self._inlet is None:
            raise SourceLostError(f"lsl:{self.name}: not open")
        try:
            times = self._pull(timeout_s)
            self._follow_clock()
        except (LostError, OpeningTookTooLong) as error:
            self.close()
            raise SourceLostError(f"lsl:{self.name}: the stream was lost") from error
        if not times.size:
            return None
        if abs(self._offset_s) > ONE_CLOCK_S:
            times = times + self._offset_s
        if not self._clock_known:
            check_clock(times, f"lsl:{self.name}")
            self._clock_known = True
        samples = self._pulled[: len(times)]
        whole = samples.dtype.kind == "i"  # such samples cannot be marked as missing
        return Block(samples.astype(np.float64 if whole else samples.dtype), times)

    def close(self) -> None:
        """Disconnect; see `Source`."""
        self._inlet = None  # its destructor disconnects

    def _pull(self, timeout_s: float) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Fill the front of the buffer; the time stamps of what was pulled.

        A pull waits until all it was asked for is there, so only the first sample is waited for,
        then a moment for those that were sent with it.
        """
        times = self._pulled_after(0, timeout_s, 1)
        if times:
            times += self._pulled_after(1, 0.0, len(self._pulled) - 1)
            if (missing := self._together - len(times)) > 0:
                times += self._pulled_after(len(times), TOGETHER_S, missing)
            self._together = len(times)
        return np.asarray(times, np.float64)

    def _follow_clock(self) -> None:
        """Ask for the offset of the sender's clock, which liblsl measures every few seconds."""
        if now_s() >= self._ask_s:
            self._offset_s = self._inlet.time_correction(0.0)
            self._ask_s = now_s() + ASK_S

    def _pulled_after(self, row: int, timeout_s: float, most: int) -> list[float]:
        _, times = self._inlet.pull_chunk(timeout_s, most, self._pulled[row:])
        return list(times)

    def _found(self) -> Any:
        if not pylsl.resolve_bypred(self._query, 1, self._open_s):
            raise SourceLostError(
                f"lsl:{self.name}: no stream with {self._query} is on the network"
            )
        found = pylsl.resolve_bypred(self._query, 2, OTHERS_S)
        if len(found) > 1:
            ids = ", ".join(sorted(each.source_id() or "none" for each in found))
            raise ValueError(
                f"lsl:{self.name}: expected one stream with {self._query}, found {len(found)} with "
                f"the source ids {ids}; name the source id of yours, or stop the other"
            )
        if not found:
            raise SourceLostError(f"lsl:{self.name}: went away while it was opened")
        return found[0]

    def _described(self, info: Any) -> StreamInfo:
        """What the stream declares, if it can be used."""
        rate = float(info.nominal_srate())
        if not (np.isfinite(rate) and rate > 0):
            raise ValueError(
                f"lsl:{self.name}: expected a stream of a regular rate, this one declares none; "
                "set its nominal_srate where it is sent"
            )
        self._dtype(info)
        labels, units = self._labels(info), [self._unit] if self._unit else self._told_units(info)
        if len(set(units)) == 1:
            return StreamInfo(self.name, labels, rate, units[0] or "")
        return StreamInfo(self.name, labels, rate, "", tuple(unit or "" for unit in units))

    def _dtype(self, info: Any) -> np.dtype[Any]:
        dtypes = {getattr(pylsl, f"cf_{name}"): dtype for name, dtype in NUMBERS.items()}
        found = dtypes.get(info.channel_format())
        if found is None:
            raise ValueError(
                f"lsl:{self.name}: expected numbers, this stream sends text; name another stream"
            )
        return np.dtype(found)

    def _labels(self, info: Any) -> tuple[str, ...]:
        count = info.channel_count()
        labels = self._channel_names or tuple(_per_channel(info, "label"))
        if len(labels) != count or not any(labels):
            raise ValueError(
                f"lsl:{self.name}: expected a label for each of its {count} channels, got "
                f"{sum(map(bool, labels))}; write them to desc/channels/channel/label where the "
                f"stream is sent, or give them in order: lsl:{self.name}?channel_names=a,b,c"
            )
        return labels

    def _told_units(self, info: Any) -> list[str]:
        """The unit of each channel; as it is told where it is none of a potential."""
        told = [*_per_channel(info, "unit"), *[""] * info.channel_count()][: info.channel_count()]
        units = [standard_unit(each) or each for each in told]
        if not any(standard_unit(each) for each in told):
            raise ValueError(
                f"lsl:{self.name}: expected a unit for every channel, V, mV, uV or nV, got "
                f"{', '.join(sorted({each or 'none' for each in told}))}; write it to "
                "desc/channels/channel/unit where the stream is sent, or give it: "
                f"lsl:{self.name}?unit=uV"
            )
        return units


def standard_unit(told: str) -> str | None:
    """V, mV, uV or nV for the spellings in use, None for all else."""
    # "mV" and "MV" differ by nine orders of magnitude: a capital M is no unit of a recording
    lowered = told.strip().lower()
    matching = [unit for unit, spellings in UNITS.items() if lowered in spellings]
    return matching[0] if matching and not told.strip().startswith("MV") else None


def _per_channel(info: Any, what: str) -> Iterable[str]:
    channel = info.desc().child("channels").child("channel")
    while not channel.empty():
        yield channel.child_value(what).strip()
        channel = channel.next_sibling("channel")


def _quoted(value: str) -> str:
    """A text for the query, which is an XPath predicate."""
    if not value or not value.isprintable() or ("'" in value and '"' in value):
        raise ValueError(
            f"lsl: expected printable text without both kinds of quotes, got {value!r}; name the "
            "stream differently"
        )
    quote = '"' if "'" in value else "'"
    return f"{quote}{value}{quote}"
