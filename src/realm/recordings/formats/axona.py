"""Axona DACQ: a trial's settings (.set), its EEG (.eeg, .eeg2 ... or .egf ...) and its .pos.

Each EEG file holds one channel as counts of an 8 or 16 bit converter; the gain and the range of the
converter stand in the settings. The position of the LEDs is behavior, in metres.
Format: Axona, DacqUSB file formats.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.recordings.channels import finished
from realm.recordings.fault import RecordingFaultError
from realm.recordings.grid import at_rate
from realm.recordings.recording import (
    NamedBehavior,
    Recording,
    Signal,
    TimeSeries,
    named_after_file,
)

EEG, EGF = "eeg", "egf"
UNTRACKED = 1023
POS_RECORD = np.dtype([("frame", ">u4"), ("words", ">i2", (8,))])


class Part(NamedTuple):
    """A file of a trial: its header and where its numbers begin and end."""

    path: Path
    header: dict[str, str]
    begin: int
    stop: int


def open_axona(path: Path, lfp_path: str | None = None) -> Recording:
    """Open a trial by its .set file; `lfp_path` is "eeg" (default) or "egf", the faster one.

    Raises:
        ValueError: a part is missing or damaged.
    """
    kind = lfp_path or EEG
    if kind not in (EEG, EGF):
        raise ValueError(f"{path}: expected lfp to be {EEG!r} or {EGF!r}, got {kind!r}; correct it")
    beside = {f.suffix.lower(): f for f in sorted(path.parent.iterdir()) if f.stem == path.stem}
    found = {
        int(match[1] or 1): file
        for suffix, file in beside.items()
        if (match := re.fullmatch(rf"\.{kind}(\d*)", suffix))
    }
    if not found:
        raise ValueError(
            f"{path}: expected {path.stem}.{kind} beside it, found none; copy the whole trial"
        )
    settings = _header(path.read_bytes())
    parts = {number: _part(found[number]) for number in sorted(found)}
    signal = _signal(path, kind, parts, settings)
    position = beside.get(".pos")
    series = {}
    if position is not None:
        series["position"] = partial(_position, path, _part(position))
    files = (path, *found.values(), *([] if position is None else [position]))
    return Recording(
        path,
        named_after_file(path, _started_at(settings)),
        signal,
        (NamedBehavior(series),),
        lambda: None,
        files,
    )


def _header(content: bytes) -> dict[str, str]:
    lines = content.split(b"data_start")[0].decode("cp1252").splitlines()
    return {key: value.strip() for key, _, value in (line.partition(" ") for line in lines) if key}


def _started_at(settings: dict[str, str]) -> datetime | None:
    """For instance "Friday, 2 Jan 2026" at "10:00:00"; None where the settings say otherwise."""
    day = settings.get("trial_date", "").partition(",")[2].strip()
    try:
        return datetime.strptime(f"{day} {settings.get('trial_time', '')}", "%d %b %Y %H:%M:%S")
    except ValueError:
        return None


def _part(path: Path) -> Part:
    content = path.read_bytes()
    begin, stop = content.find(b"data_start"), content.rfind(b"\r\ndata_end")
    if begin < 0 or stop < 0:
        raise ValueError(
            f"{path}: expected data between data_start and data_end, found none; the file is "
            "truncated, copy it again"
        )
    return Part(path, _header(content), begin + len(b"data_start"), stop)


def _number(part: Path, header: dict[str, str], key: str) -> float:
    found = re.match(r"[-+.\deE]+", header.get(key, ""))
    if found is None:
        raise ValueError(
            f"{part}: expected a number for {key} in its header, got {header.get(key)!r}; copy the "
            "file again"
        )
    return float(found[0])


def _signal(path: Path, kind: str, parts: dict[int, Part], settings: dict[str, str]) -> Signal:
    headers = [(part.path, part.header) for part in parts.values()]
    rates = {_number(p, h, "sample_rate") for p, h in headers}
    widths = {int(_number(p, h, "bytes_per_sample")) for p, h in headers}
    if len(rates) > 1 or len(widths) > 1:
        raise ValueError(f"{path}: expected one rate for all .{kind} files, got {sorted(rates)} Hz")
    rate, width = rates.pop(), widths.pop()
    stored = np.dtype({1: "i1", 2: "<i2"}.get(width, "i1"))
    arrays = [
        np.memmap(part.path, stored, "r", part.begin, ((part.stop - part.begin) // width,))
        for part in parts.values()
    ]
    counts = {len(array) for array in arrays}
    if len(counts) > 1:
        raise ValueError(f"{path}: expected .{kind} files of one length, got {sorted(counts)}")
    gains = np.array([_volts_per_count(path, settings, number, width) for number in parts])

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return np.asarray(np.stack([array[first:stop] for array in arrays], axis=1) * gains)

    n = len(arrays)
    names = tuple(f"{kind}{number}" for number in parts)
    grid = at_rate(rate, 0.0, counts.pop())
    return Signal(kind, grid, names, ("",) * n, (False,) * n, 8 * width, read)


def _volts_per_count(path: Path, settings: dict[str, str], number: int, width: int) -> float:
    """Range of the converter over the gain of the channel that this EEG was taken from."""
    full_scale_v = _number(path, settings, "ADC_fullscale_mv") / 1000
    channel = int(_number(path, settings, f"EEG_ch_{number}")) - 1
    gain = _number(path, settings, f"gain_ch_{channel}")
    if gain == 0 or full_scale_v == 0:
        raise RecordingFaultError(
            "conversion",
            f"{path}: expected a gain and a range other than 0 for EEG {number}, got {gain:g} and "
            f"{full_scale_v:g} V; correct the settings file",
        )
    return full_scale_v / gain / 2.0 ** (8 * width - 1)


def _position(path: Path, part: Part) -> TimeSeries:
    """The first LED, in metres where the file knows its scale and in pixels elsewhere."""
    count = int(_number(part.path, part.header, "num_pos_samples"))
    rate = _number(part.path, part.header, "timebase")
    content = part.path.read_bytes()[part.begin : part.stop]
    records = np.frombuffer(content, POS_RECORD, min(count, len(content) // POS_RECORD.itemsize))
    pixels = records["words"][:, :2].astype(np.float64)
    pixels[(pixels == UNTRACKED).any(axis=1)] = np.nan
    scale = float(part.header.get("pixels_per_metre", "0") or 0)
    values = pixels / scale if scale > 0 else pixels
    unit = "m" if scale > 0 else "pixels"
    times = np.arange(len(values)) / rate
    return finished(path, "position", times, values, unit, ("x", "y"))
