"""What the ECoG recordings of fingers have in common: their library, one matrix, five fingers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.datasets.dataset import RemoteFile
from realm.recordings.named_arrays import Container
from realm.recordings.write import Samples

FINGERS = ("thumb", "index", "middle", "ring", "little")
MILLER_VOLTS = 0.0298e-6  # one unit of the amplifier, as the library states for its finger data
LIBRARY = "https://purl.stanford.edu/zk881ps0522"
LICENCE = "see the page"
TERMS = (
    "The sharing document on the library's page says how the data may be used and what to cite. It "
    "was not read for this list: read it there."
)


def library_file(name: str, size: int, md5: str) -> RemoteFile:
    """An archive of the library."""
    url = f"https://stacks.stanford.edu/file/druid:zk881ps0522/{name}"
    return RemoteFile(name, url, size=size, checksum=f"md5:{md5}")


def uniform_samples(
    container: Container,
    name: str,
    rate_hz: float,
    volts_per_count: float,
    regions: tuple[str, ...] = (),
) -> Samples:
    """The matrix `name`, (samples, channels), of which nothing is missing.

    Raises:
        ValueError: it is not there or not such a matrix.
    """
    stored = container.array(name, "the samples")
    if len(stored.shape) != 2 or stored.shape[0] <= stored.shape[1]:
        raise ValueError(
            f"{container.path}: expected more samples than channels in {name}, got shape "
            f"{stored.shape}; this is not the file that the dataset's documentation describes"
        )
    n_samples, n_channels = stored.shape
    if regions and len(regions) != n_channels:
        raise ValueError(
            f"{container.path}: expected a region for each of {n_channels} channels, got "
            f"{len(regions)}; fetch the file again"
        )

    def read(first: int, stop: int) -> NDArray[Any]:
        return stored.read(slice(first, stop), slice(None))

    return Samples(
        tuple(f"ch{i + 1}" for i in range(n_channels)),
        regions or ("",) * n_channels,
        (False,) * n_channels,
        n_samples,
        stored.dtype,
        volts_per_count,
        read,
        rate_hz=rate_hz,
    )


def flexion(container: Container, name: str, n_samples: int, advice: str) -> NDArray[np.float64]:
    """The matrix `name`, flexion (samples, fingers) with a row for each of `n_samples`.

    Raises:
        ValueError: it is not there or of another shape; the message ends with `advice`.
    """
    values = container.array(name, "the flexion").read().astype(np.float64)
    if values.shape != (n_samples, len(FINGERS)):
        raise ValueError(
            f"{container.path}: expected {n_samples} rows of {len(FINGERS)} fingers in {name}, got "
            f"{values.shape}; {advice}"
        )
    return np.asarray(values)
