"""Whitening of reconstruction errors, so that the background of the signal does not own the loss.

Most of the variance of a field potential is a slow background that neighbouring channels share. A
squared error spends nearly all of its weight on it, and the small differences between channels and
bands, which tell of behavior, hardly count. Multiplied by the inverse square root of the
covariance of the features, every direction of the feature space counts alike:

    error' = (C + r I)^(-1/2) error,    C = covariance of the session's training features

`r` keeps directions that hold almost nothing from counting as much as the rest. With r -> infinity
this is the plain squared error, up to a factor.

Up to `FULL_SIZE` features (channels times bands) C is the full covariance. Beyond that it is the
product of a covariance over channels and one over bands, C = C_channels x C_bands, which a few
minutes of signal can still tell and which costs little to apply. Everything is computed in float64
from eigenvalues; nothing is inverted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FULL_SIZE = 1024  # features


class Whitening(NamedTuple):
    """What errors of one session are multiplied by; both matrices are symmetric.

    Attributes:
        channels: (channels, channels), or (channels * bands, channels * bands) where `bands` is
            None.
        bands: (bands, bands), or None.
    """

    channels: Tensor
    bands: Tensor | None = None

    def __call__(self, error: Tensor) -> Tensor:
        """Whiten errors (..., channels, bands); the shape stays."""
        if self.bands is None:
            flat = error.flatten(-2) @ self.channels.to(error)
            return flat.view(error.shape)
        mixed = torch.einsum("...cb,cd->...db", error, self.channels.to(error))
        return mixed @ self.bands.to(error)


def whitening(
    blocks: Iterable[NDArray[np.float32]], regularization: float, full_size: int = FULL_SIZE
) -> Whitening:
    """The whitening of one session.

    Args:
        blocks: its normalized training features, (bins, channels, bands) each; read once.
        regularization: `r` above, in units of the normalized features' variance.
        full_size: most features for which the full covariance is used.

    Raises:
        ValueError: there are fewer than two bins, or `regularization` is not positive.
    """
    if not regularization > 0:
        raise ValueError(f"expected a regularization above 0, got {regularization}; 0.05 is usual")
    moments = _Moments()
    for block in blocks:
        moments.add(block.astype(np.float64), full_size)
    if moments.bins < 2:
        raise ValueError(
            f"expected at least two bins of training time, got {moments.bins}; give more signal"
        )
    channels, bands = moments.covariances()
    if bands is None:
        return Whitening(_inverse_root(channels, regularization))
    # The regularization is added once, to the eigenvalues of the product, which is not a product
    # any more; added to each factor in equal parts it stays one and differs in second order.
    part = float(np.sqrt(regularization))
    return Whitening(_inverse_root(channels, part), _inverse_root(bands, part))


class _Moments:
    """Sums over bins, enough for the covariances."""

    def __init__(self) -> None:
        self.bins = 0
        self._shape = (0, 0)  # channels, bands
        self._first: NDArray[np.float64] | None = None  # (channels, bands)
        self._full: NDArray[np.float64] | None = None
        self._channels: NDArray[np.float64] | None = None
        self._bands: NDArray[np.float64] | None = None

    def add(self, x: NDArray[np.float64], full_size: int) -> None:
        bins, channels, bands = x.shape
        if self._first is None:
            self._shape = channels, bands
            self._first = np.zeros((channels, bands))
            if channels * bands <= full_size:
                self._full = np.zeros((channels * bands, channels * bands))
            else:
                self._channels, self._bands = np.zeros((channels,) * 2), np.zeros((bands,) * 2)
        self.bins += bins
        self._first += x.sum(0)
        if self._full is not None:
            flat = x.reshape(bins, -1)
            self._full += flat.T @ flat
            return
        assert self._channels is not None
        assert self._bands is not None
        by_channel = x.transpose(1, 0, 2).reshape(channels, -1)
        by_band = x.reshape(-1, bands)
        self._channels += by_channel @ by_channel.T
        self._bands += by_band.T @ by_band

    def covariances(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """The full covariance and None, or that over channels and that over bands."""
        assert self._first is not None
        mean, n = self._first / self.bins, self.bins
        if self._full is not None:
            flat = mean.ravel()
            return (self._full - n * np.outer(flat, flat)) / (n - 1), None
        assert self._channels is not None
        assert self._bands is not None
        (channels, bands) = self._shape
        over_channels = (self._channels - n * mean @ mean.T) / ((n - 1) * bands)
        over_bands = (self._bands - n * mean.T @ mean) / ((n - 1) * channels)
        variance = max(np.trace(over_channels) / channels, np.finfo(float).tiny)
        # Both factors hold the mean variance; the product must hold it once.
        return over_channels / np.sqrt(variance), over_bands / np.sqrt(variance)


def _inverse_root(covariance: NDArray[np.float64], regularization: float) -> Tensor:
    """(covariance + regularization I)^(-1/2), float32."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * (np.maximum(values, 0.0) + regularization) ** -0.5) @ vectors.T
    return torch.from_numpy(root.astype(np.float32))
