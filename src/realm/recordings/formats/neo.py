"""Recordings that neo reads: Blackrock, Spike2, and with its own corrections Plexon.

Where a recording was paused, neo cuts it into segments; each is laid where it was on the clock, and
what lies between is a gap. One stream of channels is neural, the others are behavior.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import is_electrode, series_of_channels, split
from realm.recordings.formats.spelling import Linked, linked
from realm.recordings.grid import GAP_PERIODS, from_segments
from realm.recordings.recording import (
    NamedBehavior,
    Recording,
    Signal,
    TimeSeries,
    named_after_file,
)
from realm.volts import volts_per


class Corrected(NamedTuple):
    """What neo does not know about a stream of some format.

    Attributes:
        starts_s, counts: beginnings and lengths of its parts between pauses.
        volts: in one of neo's numbers.
    """

    starts_s: list[float]
    counts: list[int]
    volts: float


BLACKROCK_HZ = {1: 500, 2: 1000, 3: 2000, 4: 10000, 5: 30000, 6: 30000}
BLACKROCK_WITH_TIME = (b"NEURALCD", b"BRSMPGRP")  # from version 2.2 on

Correction = Callable[[list[str], float], Corrected]  # from channel ids and rate of a stream
Kind = Callable[[Any], str | None]  # the type of a channel, from neo's header of it
ANALOG_V = 1.0  # range of a converter that takes no electrode


class Stream:
    """One stream of a reader whose header is parsed.

    Attributes:
        name: for people and for the setting `lfp`.
        neural: which of its channels are potentials.
    """

    def __init__(
        self,
        path: Path,
        reader: Any,
        index: int,
        name: str,
        correct: Correction | None,
        kind: Kind | None,
    ) -> None:
        self.name, self._path, self._reader, self._index = name, path, reader, index
        self.rate_hz = float(reader.get_signal_sampling_rate(index))
        table = reader.header["signal_channels"]
        key = reader.header["signal_streams"]["id"][index]
        self._channels = table[table["stream_id"] == key]
        self._correct = correct
        volts = [volts_per(str(unit)) for unit in self._channels["units"]]
        self._factors = np.array([factor or 1.0 for factor in volts])
        self.neural = [
            is_electrode(
                kind=kind(channel) if kind is not None else None,
                unit=None if correct is not None else str(channel["units"]),
            )
            for channel in self._channels
        ]
        self.units = [
            str(unit).strip() if factor is None and correct is None else "V"
            for unit, factor in zip(self._channels["units"], volts, strict=True)
        ]

    def signal(self) -> Signal:
        """All channels: potentials in volts, others in their own unit.

        Raises:
            ValueError: it is empty, or its parts are not in the order of time.
        """
        segments = self._segments()
        starts = [float(self._reader.get_signal_t_start(0, s, self._index)) for s, _ in segments]
        counts, factors = [size for _, size in segments], self._factors
        if self._correct is not None:
            ids = [str(key) for key in self._channels["id"]]
            starts, parts, volts = self._correct(ids, self.rate_hz)
            assert sum(parts) == sum(counts), "neo reads other samples than the file has"
            counts, factors = parts, factors * volts
        n = len(self._channels)
        grid = from_segments(self._path, self.name, self.rate_hz, starts, counts)
        bits = 8 * np.dtype(self._channels["dtype"][0]).itemsize
        read = partial(self._read, segments, factors)
        return Signal(self.name, grid, self._names(), ("",) * n, (False,) * n, bits, read)

    def behavior(self) -> TimeSeries:
        """All channels side by side; in volts where all are potentials."""
        signal = self.signal()
        unit = self.units[0] if len(set(self.units)) == 1 else ""
        return series_of_channels(
            self._path, signal, self.name, signal.channel_names, unit=unit or "arbitrary"
        )

    def _segments(self) -> list[tuple[int, int]]:
        """(number, samples) of the segments that hold any."""
        found = [
            (segment, int(self._reader.get_signal_size(0, segment, self._index)))
            for segment in range(self._reader.segment_count(0))
        ]
        found = [(segment, size) for segment, size in found if size > 0]
        if not found:
            raise ValueError(
                f"{self._path}: expected samples in {self.name!r}, found none; choose another "
                "stream or file"
            )
        return found

    def _read(
        self, segments: list[tuple[int, int]], factors: NDArray[np.float64], first: int, stop: int
    ) -> NDArray[np.float64]:
        """Samples [first, stop) of all segments one after the other."""
        parts, begin = [np.empty((0, len(factors)))], 0
        for segment, size in segments:
            low, high = max(first - begin, 0), min(stop - begin, size)
            if low < high:
                raw = self._reader.get_analogsignal_chunk(0, segment, low, high, self._index)
                parts.append(self._reader.rescale_signal_raw_to_float(raw, "float64", self._index))
            begin += size
        return np.asarray(np.concatenate(parts) * factors)

    def _names(self) -> tuple[str, ...]:
        """Names of the channels; their ids where names are missing or repeated."""
        names = tuple(re.sub(r"\x00.*", "", str(name)).strip() for name in self._channels["name"])
        if all(names) and len(set(names)) == len(names):
            return names
        return tuple(str(key) for key in self._channels["id"])


def open_neo(
    path: Path,
    reader: Any,
    lfp_path: str | None = None,
    correct: Correction | None = None,
    started_at: datetime | None = None,
    kind: Kind | None = None,
) -> Recording:
    """A recording from any reader of neo; `lfp_path` names the stream where there are several.

    `correct` says when samples were taken and in what unit, and `started_at` when the recording
    began, where neo does not know; `kind` is the type of a channel.

    Raises:
        ValueError: neo cannot read it, or there is no one neural stream; the message lists them.
    """
    try:
        reader.parse_header()
    except Exception as error:  # whatever a reader stumbles over in a foreign file
        raise ValueError(
            f"{path}: expected a recording that neo can read, but {type(error).__name__}: {error}; "
            "it is truncated or of another version, export it again"
        ) from error
    if reader.block_count() != 1:
        raise ValueError(
            f"{path}: expected one recording in the file, got {reader.block_count()}; export each "
            "as a file of its own"
        )
    names = _stream_names(reader)
    streams = [Stream(path, reader, i, name, correct, kind) for i, name in enumerate(names)]
    chosen = _choose(path, streams, lfp_path)
    signal, behavior = split(path, chosen.signal(), chosen.neural, chosen.units)
    others = NamedBehavior({s.name: s.behavior for s in streams if s is not chosen})
    started_at = started_at or reader.raw_annotations["blocks"][0].get("rec_datetime")
    identity = named_after_file(path, started_at)
    return Recording(path, identity, signal, (behavior, others), lambda: None)


def _choose(path: Path, streams: list[Stream], asked: str | None) -> Stream:
    """The stream asked for, or the only one with potentials."""
    if asked is None:
        found = [stream for stream in streams if any(stream.neural)]
    else:
        found = [stream for stream in streams if stream.name == asked]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{stream.name} ({stream.rate_hz:g} Hz)" for stream in streams)
    wanted = "one stream of potentials" if asked is None else f"a stream called {asked!r}"
    raise ValueError(
        f"{path}: expected {wanted}, this file has: {listed or 'none'}. Set lfp to one of these"
    )


def _stream_names(reader: Any) -> list[str]:
    streams = reader.header["signal_streams"]
    pairs = [(str(s["name"]).strip(), str(s["id"])) for s in streams]
    names = [name or key for name, key in pairs]
    if len(set(names)) < len(names):
        names = [f"{name} {key}" for name, key in pairs]
    return names


def open_blackrock(path: Path, lfp_path: str | None = None) -> Recording:
    """One .nsN file of a Cerebus; pauses are gaps."""
    from neo.rawio import BlackrockRawIO

    kind = int(path.suffix[-1])
    lower = path.with_suffix(path.suffix.lower())  # what neo looks for
    place = Linked(path.parent, lambda: None) if lower == path else linked({lower.name: path})
    try:
        reader = BlackrockRawIO(
            filename=str(place.folder / path.stem),
            nsx_to_load=kind,
            load_nev=False,
            gap_tolerance_ms=GAP_PERIODS * 1000 / BLACKROCK_HZ[kind],
        )
        recording = open_neo(
            path, reader, lfp_path, started_at=_blackrock_start(path), kind=_blackrock_kind
        )
    except BaseException:
        place.close()
        raise
    return recording.closed_by(place.close)


def _blackrock_kind(channel: Any) -> str | None:
    """Electrodes are converted over some millivolts, analog inputs over volts."""
    factor = volts_per(str(channel["units"])) or 0.0
    return "ADC" if abs(float(channel["gain"])) * factor * 2**15 >= ANALOG_V else None


def _blackrock_start(path: Path) -> datetime | None:
    """The time in the header of an .nsN file; None where it is left out."""
    with path.open("rb") as stream:
        header = stream.read(310)
    if not header.startswith(BLACKROCK_WITH_TIME) or len(header) < 310:
        return None
    year, month, _, day, hour, minute, second, ms = struct.unpack("<8H", header[294:310])
    try:
        return datetime(year, month, day, hour, minute, second, ms * 1000)
    except ValueError:
        return None


def open_spike2(path: Path, lfp_path: str | None = None) -> Recording:
    """A .smr file of CED."""
    from neo.rawio import Spike2RawIO

    start = _spike2_start(path)
    return open_neo(path, Spike2RawIO(filename=str(path)), lfp_path, started_at=start)


def _spike2_start(path: Path) -> datetime | None:
    """The time in the header, which is there from version 6 on; None where it is left out."""
    with path.open("rb") as stream:
        header = stream.read(60)
    if len(header) < 60 or int.from_bytes(header[:2], "little") < 6:
        return None
    hundredth, second, minute, hour, day, month, year = struct.unpack("<6BH", header[52:60])
    try:
        return datetime(year, month, day, hour, minute, second, hundredth * 10_000)
    except ValueError:
        return None
