"""A recording as one safetensors file that a rig can replay: samples, times, true behavior.

Example:

    with RecordingFile.open(path) as recording:
        samples, times_s = recording.read(0, 1000)

Tensors: `samples` (samples, channels), float32, float64 or int16, in the unit of the header, NaN
where a sample is missing; `times_s` (samples,) float64, increasing, on a clock of their own; and,
if the recording knows it, `behavior` (rows, dims) float32, NaN = unknown, with `behavior_times_s`
(rows,) float64 on the same clock. The metadata hold `format` and a JSON `header`.

It is written and read piece by piece: a recording larger than memory works. Samples are read with
plain reads, not through a memory map, so that a long replay does not look like a growing process.
Format: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from realm.files import atomic_path
from realm.live.sources import UNITS

FORMAT = "realm-recording-1"
DTYPES = {"F64": np.float64, "F32": np.float32, "I16": np.int16}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
SCANNED = 1 << 20  # times that are checked at once
AGAIN = "copy the file again, or make it again with realm export"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RecordingInfo:
    """The header of a recording file.

    Attributes:
        session_id: of the recording.
        channel_names: of the columns of the samples, no name twice.
        unit: of the samples: V, mV, uV or nV.
        sampling_rate_hz: nominal.
        behavior_names, behavior_unit: of the columns of the true behavior; none if unknown.

    Raises:
        ValueError: one of these cannot be.
    """

    session_id: str
    channel_names: tuple[str, ...]
    unit: str
    sampling_rate_hz: float
    behavior_names: tuple[str, ...] = ()
    behavior_unit: str = ""

    def __post_init__(self) -> None:
        for what in ("session_id", "unit", "behavior_unit"):
            if not isinstance(getattr(self, what), str):
                raise ValueError(f"expected {what} as text, got {getattr(self, what)!r}")
        for what in ("channel_names", "behavior_names"):
            names = getattr(self, what)
            if not all(isinstance(name, str) and name for name in names):
                raise ValueError(f"expected {what} as texts, got {names!r}")
            if len(set(names)) < len(names):
                raise ValueError(f"expected {what} that differ, got one of them twice")
        if not self.channel_names or self.unit not in UNITS:
            raise ValueError(
                f"expected channels in one of the units {', '.join(UNITS)}, got "
                f"{len(self.channel_names)} channels in {self.unit!r}"
            )
        rate = self.sampling_rate_hz
        if not (isinstance(rate, int | float) and np.isfinite(rate) and rate > 0):
            raise ValueError(f"expected sampling_rate_hz above zero, got {rate!r}")


class Truth(NamedTuple):
    """True behavior in the form in which it is decoded."""

    times_s: Floats  # (rows,) increasing
    values: NDArray[np.float32]  # (rows, dims), NaN = unknown


class Piece(NamedTuple):
    """Consecutive samples."""

    samples: NDArray[Any]  # (samples, channels)
    times_s: Floats  # (samples,)


class Place(NamedTuple):
    """Where a tensor lies in the file."""

    offset: int  # bytes from the beginning of the file
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def write_recording(
    path: Path | str,
    info: RecordingInfo,
    n_samples: int,
    pieces: Iterable[Piece],
    truth: Truth | None = None,
    dtype: type[np.generic] = np.float32,
) -> None:
    """Write a recording piece by piece; the file is whole or not there.

    Raises:
        ValueError: the pieces are not `n_samples` samples of these channels with increasing times.
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors: dict[str, tuple[tuple[int, ...], Any]] = {"times_s": ((n_samples,), np.float64)}
    if truth is not None:
        tensors["behavior_times_s"] = (truth.times_s.shape, np.float64)
    tensors["samples"] = ((n_samples, len(info.channel_names)), dtype)
    if truth is not None:
        tensors["behavior"] = (truth.values.shape, np.float32)
    head, places = _layout(tensors, info)
    with atomic_path(path) as temporary, temporary.open("r+b") as stream:
        stream.write(head)
        if truth is not None:
            _put(stream, places["behavior_times_s"], 0, truth.times_s)
            _put(stream, places["behavior"], 0, truth.values)
        _put_pieces(stream, places, pieces)
        stream.flush()
        RecordingFile(Path(path), temporary.open("rb")).close()  # what is written can be read


class RecordingFile:
    """A recording file, verified and open for reading. Close it, or use `with`.

    Attributes:
        info: its header.
        n_samples: rows of `samples`.
        truth: the true behavior, if it is known.
        uniform: no sample is missing: row n was taken n periods after the first, to half a period.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path, self._stream = path, stream
        try:
            self.info, self._places = _read_head(Path(stream.name))
            self.n_samples = self._places["samples"].shape[0]
            self.uniform = self._scan_times()
            self.truth = self._read_truth()
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            stream.close()
            raise ValueError(f"{path}: expected a recording file, but {error}; {AGAIN}") from error

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a recording file and verify all but its samples, which need not be finite.

        Raises:
            ValueError: it is missing, truncated, foreign or contradicts itself.
        """
        path = Path(path)
        try:
            stream = path.open("rb")
        except OSError as error:
            raise ValueError(
                f"{path}: expected a recording file, but it cannot be opened ({error.strerror}); "
                "check the path, or make the file with realm export"
            ) from error
        return cls(path, stream)

    def read(self, start: int, stop: int) -> Piece:
        """Samples [start, stop), as stored, and their times; fewer at the end of the recording.

        Raises:
            OSError: they cannot be read any more.
        """
        return Piece(self._get("samples", start, stop), self._get("times_s", start, stop))

    def close(self) -> None:
        """Close the file; does nothing when closed."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, name: str, start: int, stop: int) -> NDArray[Any]:
        place = self._places[name]
        start, stop = max(0, start), min(stop, place.shape[0])
        shape = (max(0, stop - start), *place.shape[1:])
        count = int(np.prod(shape))
        self._stream.seek(place.offset + start * _row_bytes(place))
        out: NDArray[Any] = np.fromfile(self._stream, place.dtype, count)
        if out.size != count:
            raise OSError(f"{self.path}: the file has become shorter while it was read; {AGAIN}")
        return out.reshape(shape)

    def _scan_times(self) -> bool:
        """Whether the times are uniform; raises where they are not finite or do not increase."""
        rate, first, last = float(self.info.sampling_rate_hz), 0.0, -np.inf
        uniform = True
        for start in range(0, self.n_samples, SCANNED):
            times = self._get("times_s", start, start + SCANNED)
            _check_times("times_s", times, last)
            first = times[0] if start == 0 else first
            expected = first + np.arange(start, start + len(times)) / rate
            uniform = uniform and bool(np.abs(times - expected).max() < 0.5 / rate)
            last = times[-1]
        return uniform

    def _read_truth(self) -> Truth | None:
        if not self.info.behavior_names:
            return None
        rows = self._places["behavior"].shape[0]
        truth = Truth(self._get("behavior_times_s", 0, rows), self._get("behavior", 0, rows))
        _check_times("behavior_times_s", truth.times_s, -np.inf)
        return truth


def _layout(
    tensors: dict[str, tuple[tuple[int, ...], Any]], info: RecordingInfo
) -> tuple[bytes, dict[str, Place]]:
    """The head of the file, and where each tensor goes."""
    listed: dict[str, Any] = {
        "__metadata__": {"format": FORMAT, "header": json.dumps(asdict(info), allow_nan=False)}
    }
    at = 0
    for name, (shape, dtype) in tensors.items():
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        kind = NAMES[np.dtype(dtype)]
        listed[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(listed).encode()
    text += b" " * (-len(text) % 8)
    begin = 8 + len(text)
    places = {
        name: Place(begin + listed[name]["data_offsets"][0], shape, np.dtype(dtype))
        for name, (shape, dtype) in tensors.items()
    }
    return len(text).to_bytes(8, "little") + text, places


def _read_head(path: Path) -> tuple[RecordingInfo, dict[str, Place]]:
    """The header and the tensors of a file; safetensors itself judges sizes and offsets."""
    with safe_open(path, "np"):
        pass
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        listed = json.loads(stream.read(length))
    metadata = listed.pop("__metadata__", {})
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')!r} instead of {FORMAT!r}")
    facts: dict[str, Any] = json.loads(metadata["header"])
    for names in ("channel_names", "behavior_names"):
        facts[names] = tuple(facts[names])
    info = RecordingInfo(**facts)
    places = {
        name: Place(
            8 + length + entry["data_offsets"][0], tuple(entry["shape"]), _dtype(name, entry)
        )
        for name, entry in listed.items()
    }
    _check_shapes(info, places)
    return info, places


def _dtype(name: str, entry: dict[str, Any]) -> np.dtype[Any]:
    allowed = {"samples": tuple(DTYPES), "behavior": ("F32",)}.get(name, ("F64",))
    if entry["dtype"] not in allowed:
        raise ValueError(f"{name!r} is {entry['dtype']} instead of {' or '.join(allowed)}")
    return np.dtype(DTYPES[entry["dtype"]])


def _check_shapes(info: RecordingInfo, places: dict[str, Place]) -> None:
    expected = {"samples", "times_s"}
    expected |= {"behavior", "behavior_times_s"} if info.behavior_names else set()
    if set(places) != expected:
        raise ValueError(f"it holds {sorted(places)} instead of {sorted(expected)}")
    for values, times, names in (
        ("samples", "times_s", info.channel_names),
        ("behavior", "behavior_times_s", info.behavior_names),
    ):
        if values not in places:
            continue
        rows = places[times].shape[:1]
        if not rows or not rows[0] or places[times].shape != rows:
            raise ValueError(f"{times!r} has the shape {places[times].shape}")
        if places[values].shape != (*rows, len(names)):
            raise ValueError(
                f"{values!r} has the shape {places[values].shape} instead of "
                f"{(*rows, len(names))}: one row for each of {times!r}, one column for each name"
            )


def _check_times(name: str, times: Floats, before: float) -> None:
    if not (np.isfinite(times).all() and (np.diff(times, prepend=before) > 0).all()):
        raise ValueError(f"{name!r} are not finite and increasing")


def _put_pieces(stream: BinaryIO, places: dict[str, Place], pieces: Iterable[Piece]) -> None:
    n_samples, n_channels = places["samples"].shape
    row = 0
    for samples, times_s in pieces:
        rows = len(times_s)
        if samples.shape != (rows, n_channels) or row + rows > n_samples:
            raise ValueError(
                f"expected {n_samples} samples of {n_channels} channels in all, got samples of "
                f"shape {samples.shape} with {rows} times after {row} samples; correct the pieces"
            )
        _put(stream, places["samples"], row, samples)
        _put(stream, places["times_s"], row, times_s)
        row += rows
    if row < n_samples:
        raise ValueError(f"expected {n_samples} samples, got {row}; give all of them")


def _put(stream: BinaryIO, place: Place, row: int, values: NDArray[Any]) -> None:
    stream.seek(place.offset + row * _row_bytes(place))
    stream.write(np.asarray(values, place.dtype).tobytes())


def _row_bytes(place: Place) -> int:
    return place.dtype.itemsize * int(np.prod(place.shape[1:]))
