"""Store one session of any origin as an NWB file that the main job reads, block by block.

The neural samples are written as they come, so memory does not grow with the length of the session;
behavior is kept whole. LFP lies at `processing/ecephys/LFP/ElectricalSeriesLFP`, each behavior
series at `processing/behavior/<name>`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.files import atomic_path
from realm.recordings.recording import TimeSeries

LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
UNKNOWN_START = datetime(1970, 1, 1, tzinfo=UTC)  # NWB wants a date
BLOCK_VALUES = 1 << 20  # samples x channels that are read and written at once


@dataclass(frozen=True)
class Samples:
    """The neural samples of a session.

    Attributes:
        channel_names, regions, bad: one entry per channel.
        n_samples: how many the session has.
        dtype: of the stored numbers.
        volts_per_count: stored numbers times this are volts.
        read: (first, stop) to stored numbers, (stop - first, channels).
        rate_hz: samples per second, on a uniform grid from `start_s` on; or
        timestamps_s: the time of each sample in seconds, where there are pauses.
        filtering: of each channel, as far as known.
    """

    channel_names: tuple[str, ...]
    regions: tuple[str, ...]
    bad: tuple[bool, ...]
    n_samples: int
    dtype: np.dtype[Any]
    volts_per_count: float
    read: Callable[[int, int], NDArray[Any]]
    rate_hz: float | None = None
    start_s: float = 0.0
    timestamps_s: NDArray[np.float64] | None = None
    filtering: tuple[str, ...] = ()


@dataclass(frozen=True)
class SessionContent:
    """What is stored of a session.

    Attributes:
        session_id, subject, species: names; the species in Latin.
        description: one line about the session.
        samples: the neural samples.
        behavior: series by name, or by path inside processing/: "hand" lies at `behavior/hand`, and
            "behavior/Position/hand" in a container for positions.
        stored_as: smaller types of numbers for some of the series; all others are float64.
        notes: anything else that should stay with the data, such as where it comes from.
        citation: publications to name.
        start: when the recording began.
    """

    session_id: str
    subject: str
    species: str
    description: str
    samples: Samples
    behavior: Mapping[str, TimeSeries]
    stored_as: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""
    citation: tuple[str, ...] = field(default=())
    start: datetime = UNKNOWN_START


def write_nwb(
    path: Path | str, content: SessionContent, wrote: Callable[[int, int], None] | None = None
) -> Path:
    """Write a session to `path`, atomically; `wrote` is told how many samples of how many are in.

    Raises:
        OSError: the folder cannot be written or the disk is full; an earlier file is kept.
    """
    from pynwb import NWBHDF5IO  # takes a second, and only writing needs it

    with (
        atomic_path(path) as temporary,
        h5py.File(temporary, "w") as file,
        NWBHDF5IO(file=file, mode="w") as io,
    ):
        io.write(_document(content))
        data = file[f"{LFP}/data"]
        for first, stop, block in _blocks(content.samples):
            data[first:stop] = block
            if wrote is not None:
                wrote(stop, content.samples.n_samples)
    return Path(path)


def by_slices(data: Any) -> Callable[[int, int], NDArray[Any]]:
    """`Samples.read` of an array or HDF5 data set, (samples, channels), as it is stored."""

    def read(first: int, stop: int) -> NDArray[Any]:
        block: NDArray[Any] = data[first:stop]
        return block

    return read


def _blocks(samples: Samples) -> Iterator[tuple[int, int, NDArray[Any]]]:
    rows = max(1, BLOCK_VALUES // len(samples.channel_names))
    for first in range(0, samples.n_samples, rows):
        stop = min(first + rows, samples.n_samples)
        yield first, stop, samples.read(first, stop)


def _document(content: SessionContent) -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    document = NWBFile(
        session_description=content.description,
        identifier=content.session_id,
        session_id=content.session_id,
        session_start_time=content.start,
        subject=Subject(
            subject_id=content.subject, species=content.species, sex="U", description="unknown"
        ),
        notes=content.notes,
        related_publications=content.citation,
    )
    _add_samples(document, content)
    document.create_processing_module("behavior", "behavior")
    for path, series in content.behavior.items():
        _add_behavior(document, path, series, content.stored_as.get(path, "float64"))
    return document


def _add_samples(document: Any, content: SessionContent) -> None:
    from pynwb import H5DataIO
    from pynwb.ecephys import LFP as Container  # noqa: N811
    from pynwb.ecephys import ElectricalSeries

    samples = content.samples
    n_channels = len(samples.channel_names)
    rows = max(1, min(samples.n_samples, (1 << 18) // n_channels))
    container = Container()
    document.create_processing_module("ecephys", "neural samples").add(container)
    series = ElectricalSeries(
        name="ElectricalSeriesLFP",
        data=H5DataIO(
            shape=(samples.n_samples, n_channels),
            dtype=samples.dtype,
            chunks=(rows, n_channels),
            maxshape=(samples.n_samples, n_channels),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        ),
        electrodes=_electrodes(document, samples),
        conversion=samples.volts_per_count,
        description=content.description,
        **_clock(samples.rate_hz, samples.start_s, samples.timestamps_s),
    )
    container.add_electrical_series(series)


def _electrodes(document: Any, samples: Samples) -> Any:
    group = document.create_electrode_group(
        "electrodes",
        description="as the dataset states them",
        location=", ".join(sorted(set(samples.regions) - {""})) or "unknown",
        device=document.create_device("electrodes"),
    )
    document.add_electrode_column("channel_name", "name of the channel")
    document.add_electrode_column("bad", "flagged as bad by the authors")
    filtering = samples.filtering or ("unknown",) * len(samples.channel_names)
    for name, region, bad, said in zip(
        samples.channel_names, samples.regions, samples.bad, filtering, strict=True
    ):
        document.add_electrode(
            group=group,
            location=region or "unknown",
            channel_name=name,
            bad=bool(bad),
            filtering=said,
        )
    everything = list(range(len(samples.channel_names)))
    return document.create_electrode_table_region(everything, "all channels")


def _add_behavior(document: Any, path: str, series: TimeSeries, dtype: str) -> None:
    from pynwb import TimeSeries as NwbSeries
    from pynwb.behavior import Position, SpatialSeries

    *where, name = path.split("/")
    module = document.processing[where[0] if where else "behavior"]
    values = series.values if series.values.shape[1] > 1 else series.values[:, 0]
    stored = {
        "name": name,
        "data": _compressed(values.astype(dtype)),
        "unit": series.unit,
        "description": ", ".join(series.names),
        **_clock_of(series.timestamps_s),
    }
    if where[1:] == ["Position"]:
        module.add(Position(spatial_series=SpatialSeries(reference_frame="unknown", **stored)))
    else:
        assert len(where) < 2, f"{path}: expected no container but Position"
        module.add(NwbSeries(**stored))


def _clock_of(times: NDArray[np.float64]) -> dict[str, Any]:
    """A rate where it gives back the very same times, else one time per sample."""
    if len(times) > 1 and times[-1] > times[0]:
        rate = float(round((len(times) - 1) / (times[-1] - times[0]), 6))
        if rate > 0 and np.array_equal(times, times[0] + np.arange(len(times)) / rate):
            return _clock(rate, float(times[0]), None)
    return _clock(None, 0.0, times)


def _clock(
    rate_hz: float | None, start_s: float, stamps: NDArray[np.float64] | None
) -> dict[str, Any]:
    if stamps is None:
        return {"rate": rate_hz, "starting_time": start_s}
    return {"timestamps": _compressed(stamps)}


def _compressed(values: NDArray[Any]) -> Any:
    from pynwb import H5DataIO

    return H5DataIO(values, compression="gzip", compression_opts=1, shuffle=True)
