"""Open Ephys binary recordings: the folder with `structure.oebin`.

When samples were dropped or acquisition was stopped, the sample numbers jump; these jumps are gaps.
Format: https://open-ephys.github.io/gui-docs/User-Manual/Data-formats/Binary-format.html.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.recordings import hdf
from realm.recordings.channels import is_electrode, series_of_channels, split
from realm.recordings.fault import RecordingFaultError
from realm.recordings.grid import SampleGrid, at_rate, from_segments
from realm.recordings.recording import Identity, NamedBehavior, Recording, Signal, safe
from realm.volts import volts_per

DAY = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")  # how the software names a folder
HEADSTAGE = re.compile(r"(CH|AP|LFP)_?\d+", re.IGNORECASE)  # how headstages name channels
ANALOG_V = 1.0  # range of a converter that is none of a headstage
NUMBERS = ("sample_numbers.npy", "timestamps.npy")  # before version 0.6 the numbers had this name


def open_open_ephys(path: Path, lfp_path: str | None = None) -> Recording:
    """Open the recording described by `structure.oebin`; `lfp_path` is a stream's folder name.

    Raises:
        ValueError: it cannot be read, or there are several streams; the message lists them.
    """
    streams = {str(s["folder_name"]).strip("/"): s for s in _structure(path)}
    name = lfp_path
    if name is None and len(streams) == 1:
        name = next(iter(streams))
    if name not in streams:
        listed = ", ".join(f"{n} ({s['sample_rate']:g} Hz)" for n, s in streams.items())
        wanted = "one continuous stream" if lfp_path is None else f"a stream called {lfp_path!r}"
        raise ValueError(
            f"{path}: expected {wanted}, this recording has: {listed or 'none'}. Set lfp to one "
            "of these"
        )
    signal, behavior = split(path, *_signal(path, name, streams[name]), _units(streams[name]))
    others = NamedBehavior(
        {
            other: partial(_stream_behavior, path, other, stream)
            for other, stream in streams.items()
            if other != name
        },
        {other: _present(path, other) for other in streams},
    )
    files = (path, *_present(path, name))
    return Recording(
        path,
        _identity(path),
        signal,
        (behavior, others),
        lambda: None,
        files,
    )


def _structure(path: Path) -> list[Any]:
    try:
        found: list[Any] = json.loads(path.read_text(encoding="utf-8"))["continuous"]
        for stream in found:
            assert {"folder_name", "sample_rate", "channels"} <= set(stream)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(
            f"{path}: expected the description of an Open Ephys recording, but it cannot be read "
            f"({error}); copy the whole folder again"
        ) from error
    return found


def _identity(path: Path) -> Identity:
    """Names of the folders from that of the day, which says when it began, to the recording."""
    folders = path.resolve().parent.parts[-4:]
    own = [f for f in folders if f.startswith(("experiment", "recording"))]
    day = [f for f in folders if not f.startswith(("experiment", "recording", "Record Node"))]
    session = safe("_".join([*day[-1:], *own]))
    stated = DAY.fullmatch(day[-1]) if day else None
    started_at = None if stated is None else datetime.strptime(stated[0], "%Y-%m-%d_%H-%M-%S")
    return Identity(session, session, started_at)


def _files(path: Path, name: str) -> list[Path]:
    folder = path.parent / "continuous" / name
    return [folder / "continuous.dat", *(folder / number for number in NUMBERS)]


def _present(path: Path, name: str) -> tuple[Path, ...]:
    return tuple(file for file in _files(path, name) if file.is_file())


def _signal(path: Path, name: str, stream: dict[str, Any]) -> tuple[Signal, list[bool]]:
    """All channels of a stream, and which of them are electrodes."""
    channels = stream["channels"]
    n, rate = len(channels), float(stream["sample_rate"])
    data_file = _files(path, name)[0]
    if not data_file.is_file() or data_file.stat().st_size < 2 * n:
        raise ValueError(f"{data_file}: expected samples here, found none; copy the folder again")
    n_stored = data_file.stat().st_size // (2 * n)
    data = np.memmap(data_file, dtype="<i2", mode="r", shape=(n_stored, n))
    units = [_unit(channel) for channel in channels]
    gains = [
        hdf.number(channel["bit_volts"]) * (volts_per(unit) or 1.0)
        for channel, unit in zip(channels, units, strict=True)
    ]
    if not (np.isfinite(gains).all() and np.all(gains)):
        raise RecordingFaultError(
            "conversion", f"{path}: expected bit_volts other than 0, got {gains}; correct them"
        )
    factors = np.array(gains)

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return np.asarray(data[first:stop] * factors)

    names = tuple(str(channel["channel_name"]) for channel in channels)
    grid = _grid(path, name, rate, n_stored)
    signal = Signal(name, grid, names, ("",) * n, (False,) * n, 16, read)
    return signal, [
        is_electrode(kind=_kind(channel), unit=unit)
        for channel, unit in zip(channels, units, strict=True)
    ]


def _kind(channel: dict[str, Any]) -> str | None:
    """The type of a channel: as its description says, or as its converter does.

    A headstage measures millivolts; analog inputs take volts.
    """
    said = str(channel.get("description", "")).lower()
    name = str(channel["channel_name"]).upper()
    largest_v = abs(hdf.number(channel["bit_volts"])) * (volts_per(_unit(channel)) or 0.0) * 2**15
    if "headstage" in said:
        return "LFP"
    if "adc" in said or "aux" in said or name.startswith(("ADC", "AUX")):
        return "ADC"
    return "ADC" if largest_v >= ANALOG_V else None


def _unit(channel: dict[str, Any]) -> str:
    """As stated. Where none is, only channels of headstages are in microvolts."""
    stated = str(channel.get("units", "")).strip()
    headstage = "headstage" in str(channel.get("description", "")).lower()
    if stated or not (headstage or HEADSTAGE.fullmatch(str(channel["channel_name"]))):
        return stated
    return "uV"


def _units(stream: dict[str, Any]) -> list[str]:
    """What the signal of a stream is in, channel by channel."""
    units = [_unit(channel) for channel in stream["channels"]]
    return ["V" if volts_per(unit) is not None else unit for unit in units]


def _grid(path: Path, name: str, rate: float, n_stored: int) -> SampleGrid:
    """Runs of consecutive sample numbers; jumps back are refused."""
    found = next((f for f in _files(path, name)[1:] if _is_numbers(f)), None)
    if found is None:
        return at_rate(rate, 0.0, n_stored)
    numbers = np.load(found, mmap_mode="r")
    if numbers.shape != (n_stored,):
        raise ValueError(
            f"{found}: expected one sample number for each of {n_stored} samples, got shape "
            f"{numbers.shape}; copy the folder again"
        )
    breaks = []
    for start in range(0, n_stored - 1, 1 << 20):
        steps = np.diff(numbers[start : start + (1 << 20) + 1])
        breaks.extend((start + 1 + np.flatnonzero(steps != 1)).tolist())
    first = np.array([0, *breaks])
    counts = np.diff([*first, n_stored])
    return from_segments(
        path,
        f"the sample numbers of {name}",
        rate,
        (numbers[first] / rate).tolist(),
        counts.tolist(),
    )


def _is_numbers(path: Path) -> bool:
    """Whether the file holds whole numbers: from version 0.6 on, timestamps.npy holds seconds."""
    return path.is_file() and np.load(path, mmap_mode="r").dtype.kind in "iu"


def _stream_behavior(path: Path, name: str, stream: dict[str, Any]) -> Any:
    """All channels of another stream, side by side."""
    signal, _ = _signal(path, name, stream)
    units = set(_units(stream))
    unit = units.pop() if len(units) == 1 else ""
    return series_of_channels(path, signal, name, signal.channel_names, unit=unit or "arbitrary")
