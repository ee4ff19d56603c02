"""Whitening: errors like the training signal come out white, whatever the size of the recording."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from realm.nn.whitening import whitening


def correlated(bins: int, channels: int, bands: int, seed: int = 0) -> np.ndarray:
    """Features that channels share to nine tenths, with a mean that is not zero."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(bins, 1, bands))
    own = rng.normal(size=(bins, channels, bands))
    return (3 + np.sqrt(0.9) * shared + np.sqrt(0.1) * own).astype(np.float32)


def test_it_is_the_inverse_square_root_of_the_regularized_covariance() -> None:
    x = correlated(500, 4, 3)
    covariance = np.cov(x.reshape(500, -1).astype(np.float64).T)
    root = whitening([x[:200], x[200:]], 0.05).channels.double().numpy()
    product = root @ (covariance + 0.05 * np.eye(12)) @ root
    np.testing.assert_allclose(product, np.eye(12), atol=1e-5)
    np.testing.assert_allclose(root, root.T, atol=1e-6)


@pytest.mark.parametrize("full_size", [1024, 1])
def test_a_direction_of_little_variance_counts_as_much_as_the_background(full_size: int) -> None:
    x = correlated(4000, 8, 2)
    white = whitening([x], 1e-3, full_size)
    error = torch.from_numpy(x - x.mean(0))
    out = white(error).flatten(1).numpy()
    assert out.shape == (4000, 16)
    spread = np.linalg.eigvalsh(np.cov(out.T))
    assert spread.max() / spread.min() < 1.5  # 72 before
    assert 0.7 < np.trace(np.cov(out.T)) / 16 < 1.1


def test_one_channel_and_one_band() -> None:
    x = correlated(100, 1, 1)
    out = whitening([x], 0.05)(torch.from_numpy(x))
    assert out.shape == (100, 1, 1)
    assert 0.9 < float(out.std()) < 1.1


def test_a_thousand_channels_in_bounded_time_and_memory() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1000, 6)).astype(np.float32)  # fewer bins than features
    white = whitening([x], 0.05)
    assert white.channels.shape == (1000, 1000)
    assert white.bands is not None
    assert torch.isfinite(white(torch.from_numpy(x[:10]))).all()


def test_a_dead_channel_does_not_make_infinities() -> None:
    x = correlated(200, 4, 2)
    x[:, 1] = 0.0
    out = whitening([x], 0.05)(torch.from_numpy(x))
    assert torch.isfinite(out).all()


def test_what_cannot_be_whitened_is_said() -> None:
    with pytest.raises(ValueError, match="regularization above 0, got 0"):
        whitening([correlated(10, 2, 1)], 0.0)
    with pytest.raises(ValueError, match="two bins"):
        whitening([correlated(1, 2, 1)], 0.05)
