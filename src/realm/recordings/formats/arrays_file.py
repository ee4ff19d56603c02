"""Recordings that are named arrays in .mat, .npz, .h5 or .zarr, as a TOML file describes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.recordings.fault import RecordingFaultError
from realm.recordings.formats.description import (
    FOLDER_DESCRIPTION,
    Channels,
    Samples,
    description_path,
    read_description,
)
from realm.recordings.formats.identity import named_after_file
from realm.recordings.formats.named_arrays import Container, open_container
from realm.recordings.formats.series import Rows, rows_of, timeline_of
from realm.recordings.recording import Recording, Signal
from realm.volts import VOLTS_PER


def open_arrays(path: Path, lfp_path: str | None = None) -> Recording:
    """Open a described file of arrays; `lfp_path` names another array of the same kind.

    Raises:
        ValueError: there is no description, or it does not fit the file.
    """
    described = description_path(path)
    description = None if described is None else read_description(described)
    if description is None or description.samples is None:
        where = described or path.parent / FOLDER_DESCRIPTION
        raise ValueError(
            f"{path}: expected {where} to name the arrays of this file in a part [samples] (array, "
            "axes, unit, rate_hz), found none; write it"
        )
    samples = description.samples
    if lfp_path is not None:
        samples = samples.model_copy(update={"array": lfp_path})
    container = open_container(path)
    try:
        signal = array_signal(container, samples, description.channels)
        return Recording(path, named_after_file(path), signal, (), container.close)
    except BaseException:
        container.close()
        raise


def array_signal(container: Container, samples: Samples, channels: Channels) -> Signal:
    """The neural samples that a description names."""
    rows = rows_of(container, samples, "the samples")
    n_rows, n_channels = rows.shape
    names = _listed(container, channels.names, "channels.names")
    _check_channels(container, samples, rows, len(names))
    timeline = timeline_of(container, samples, n_rows, "the samples")
    gain = samples.gain * VOLTS_PER[samples.unit]
    if gain == 0:
        raise RecordingFaultError(
            "conversion", f"{container.path}: expected a gain other than 0; correct samples.gain"
        )

    def read(first: int, stop: int) -> NDArray[np.float64]:
        return rows.read(first, stop) * gain

    regions = _listed(container, channels.regions, "channels.regions")
    where = str(samples.array) if isinstance(samples.array, str) else ", ".join(samples.array)
    return Signal(
        where,
        timeline,
        names or tuple(str(i) for i in range(n_channels)),
        _of_length(container, regions, n_channels, "regions"),
        (False,) * n_channels,
        rows.dtype.itemsize * 8,
        read,
    )


def _check_channels(container: Container, samples: Samples, rows: Rows, n_names: int) -> None:
    n_rows, n_channels = rows.shape
    turned = n_channels > n_rows or (n_names > 0 and n_names == n_rows)
    if n_names not in (0, n_channels) or turned:
        named = f"{n_names} names" if n_names else "no names"
        raise RecordingFaultError(
            "transposed" if turned else "electrodes",
            f"{container.path}: expected axes {list(samples.axes)} with more times than channels "
            f"and one name per channel, got {n_rows} times, {n_channels} channels and {named}; "
            + ("swap the axes in the description" if turned else "correct channels.names"),
        )


def _listed(container: Container, listed: str | tuple[str, ...], what: str) -> tuple[str, ...]:
    return container.strings(listed, what) if isinstance(listed, str) else listed


def _of_length(container: Container, listed: tuple[str, ...], n: int, what: str) -> tuple[str, ...]:
    if listed and len(listed) != n:
        raise RecordingFaultError(
            "electrodes",
            f"{container.path}: expected one of the {what} for each of {n} channels, got "
            f"{len(listed)}; correct channels.{what} in the description",
        )
    return listed or ("",) * n
