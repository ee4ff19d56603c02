"""The header of an EDF file and where its signals lie, read as leniently as its writers write.

Labels may be Latin-1, numbers may have a decimal comma, the number of records may be unknown (-1)
or wrong after a crash: the length of the file decides. Format: Kemp and Olivan 2003.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANNOTATIONS = "EDF Annotations"
WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # of the fields of a signal, in the order of the file
MAIN = 256  # bytes of the header before that of the signals, and of that of each signal
EDF_PLUS_DAY = re.compile(r"Startdate (\d\d?-[A-Z]{3}-\d{4})", re.IGNORECASE)
TIME_BYTES = 64  # of a record that are read for its time


@dataclass(frozen=True, eq=False)
class EdfSignal:
    """One signal.

    Attributes:
        label, physical_dimension: as the file has them, without blanks around them.
        physical_min, physical_max, digital_min, digital_max: two points of the line from stored
            numbers to the unit.
        samples_per_data_record: its samples in every record.
        sampling_frequency: in Hz.
    """

    label: str
    physical_dimension: str
    physical_min: float
    physical_max: float
    digital_min: float
    digital_max: float
    samples_per_data_record: int
    sampling_frequency: float
    records: NDArray[np.int16]  # of the whole file, (records, values)
    first: int  # of its values in a record

    def read(self, first: int, stop: int) -> NDArray[np.float64]:
        """Samples [first, stop) in the unit, (stop - first,)."""
        per = self.samples_per_data_record
        begin = first // per
        part = self.records[begin : -(-stop // per), self.first : self.first + per]
        stored = part.reshape(-1)[first - begin * per : stop - begin * per]
        gain = (self.physical_max - self.physical_min) / (self.digital_max - self.digital_min)
        values: NDArray[np.float64] = (stored.astype(np.float64) - self.digital_min) * gain
        return values + self.physical_min

    @property
    def data(self) -> NDArray[np.float64]:
        """All samples in the unit."""
        return self.read(0, len(self.records) * self.samples_per_data_record)


@dataclass(frozen=True)
class EdfFile:
    """A file whose header is read.

    Attributes:
        signals: all except annotations.
        num_data_records: that the file holds.
        data_record_duration: in seconds.
        startdatetime: None where it is left out or not valid.
        onsets_s: (records,) when each record began; None where the file is continuous.
    """

    signals: tuple[EdfSignal, ...]
    num_data_records: int
    data_record_duration: float
    startdatetime: datetime | None
    onsets_s: NDArray[np.float64] | None


def read_edf(path: Path) -> EdfFile:
    """Read the header of `path`; samples stay in the file until they are asked for.

    Raises:
        ValueError: it is no EDF file, or holds no whole record.
    """
    with path.open("rb") as stream:
        head = stream.read(MAIN)
        n = _count(path, head[252:256], "the number of signals") if len(head) == MAIN else 0
        table = stream.read(MAIN * max(0, n))
        if n < 1 or not head.startswith(b"0") or len(table) < MAIN * n:
            raise ValueError(
                f"{path}: expected an EDF file, but it has no whole header; it is truncated or of "
                "another format, copy or export it again"
            )
    fields = _fields(table, n)
    counts = [_count(path, field, "the samples of a record") for field in fields[8]]
    record_s = _number(path, head[244:252], "the duration of a record")
    start, size = _count(path, head[184:192], "the size of the header"), 2 * sum(counts)
    whole = (path.stat().st_size - start) // max(1, size)
    if whole < 1 or size < 2 or min(counts) < 0 or start < MAIN:
        raise ValueError(
            f"{path}: expected an EDF file with a whole data record of {size} bytes after its "
            "header, found none; it is truncated, copy or export it again"
        )
    _warn_of_length(path, head, whole)
    records = np.memmap(path, "<i2", "r", start, (whole, size // 2))
    labels = [_text(label) for label in fields[0]]
    firsts = np.cumsum([0, *counts]).tolist()
    signals = []
    for i, label in enumerate(labels):
        if label == ANNOTATIONS:
            continue
        if not (record_s > 0 and counts[i] > 0):
            raise ValueError(
                f"{path}: expected records that last longer than 0 s and hold samples of {label}, "
                f"got {record_s:g} s and {counts[i]} samples; export the file again"
            )
        low, high, digital_low, digital_high = (
            _number(path, fields[k][i], f"a limit of {label}") for k in (3, 4, 5, 6)
        )
        signals.append(
            EdfSignal(
                label,
                _text(fields[2][i]),
                low,
                high,
                digital_low,
                digital_high,
                counts[i],
                counts[i] / record_s,
                records,
                firsts[i],
            )
        )
    onsets = None
    if head[192:236].strip().startswith(b"EDF+D"):
        onsets = _onsets(path, records, labels, firsts)
    return EdfFile(tuple(signals), whole, record_s, _started_at(head), onsets)


def _fields(table: bytes, n: int) -> list[list[bytes]]:
    """The fields of all signals: for each kind of field, one entry per signal."""
    found, at = [], 0
    for width in WIDTHS:
        found.append([table[at + width * i : at + width * (i + 1)] for i in range(n)])
        at += width * n
    return found


def _text(field: bytes) -> str:
    """Text of a field: the standard says ASCII, files have UTF-8 and Latin-1."""
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    return text.strip(" \0")


def _number(path: Path, field: bytes, what: str) -> float:
    try:
        number = float(_text(field).replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{path}: expected an EDF file with a number for {what}, got {_text(field)!r}; correct "
            "the header of the file or export it again"
        )
    return number


def _count(path: Path, field: bytes, what: str) -> int:
    return int(_number(path, field, what))


def _warn_of_length(path: Path, head: bytes, whole: int) -> None:
    stated = _count(path, head[236:244], "the number of records")
    if stated not in (-1, whole):
        warnings.warn(
            f"{path}: the header says {stated} data records, the file holds {whole}: these are "
            "read; where it was cut off while it was copied, copy it again",
            stacklevel=2,
        )


def _started_at(head: bytes) -> datetime | None:
    """Day and time of the header; the day of EDF+, which has four digits of the year, wins."""
    day, time = _text(head[168:176]), re.sub(r"[.:'\-/ ]", ".", _text(head[176:184]))
    recording = _text(head[88:168])
    exact = EDF_PLUS_DAY.match(recording)
    if exact is None and recording.startswith("Startdate X"):
        return None
    try:
        if exact is not None:
            return datetime.strptime(f"{exact[1].title()} {time}", "%d-%b-%Y %H.%M.%S")
        parts = [int(part) for part in re.split(r"[.:'\-/ ]", day)]
        year = parts[2] + (1900 if parts[2] >= 85 else 2000)
        return datetime.strptime(f"{year}-{parts[1]}-{parts[0]} {time}", "%Y-%m-%d %H.%M.%S")
    except (ValueError, IndexError):
        return None


def _onsets(
    path: Path, records: NDArray[Any], labels: list[str], firsts: list[int]
) -> NDArray[np.float64]:
    """When each record of a discontinuous file began, in seconds."""
    if ANNOTATIONS not in labels:
        raise ValueError(
            f"{path}: expected a signal {ANNOTATIONS!r} with the times of the records of a "
            f"discontinuous file, found {', '.join(labels[:20])}; export the file again"
        )
    first = firsts[labels.index(ANNOTATIONS)]
    stop = min(firsts[labels.index(ANNOTATIONS) + 1], first + TIME_BYTES // 2)
    onsets = []
    for k in range(len(records)):
        said, mark, _ = records[k, first:stop].tobytes().partition(b"\x14")
        try:
            if not mark:
                raise ValueError
            onsets.append(float(said))
        except ValueError:
            raise ValueError(
                f"{path}: expected the time of data record {k}, found {said[:16]!r}; the file is "
                "damaged, export it again"
            ) from None
    return np.asarray(onsets)
