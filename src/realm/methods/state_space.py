"""Linear-Gaussian state-space models and the gain their Kalman filter settles at.

    state_k       = transition @ state_{k-1} + process noise
    observation_k = loading @ state_k        + observation noise

All that a filter needs of an observation of many features is its `information`,
loadingᵀ noise⁻¹ loading, and noise⁻¹ loading, which turns features into as many values as the state
has: the features are reduced to these without loss. Stacks of models have leading axes `...`.

Source: Anderson and Moore, "Optimal filtering", 1979, chapters 4 (steady state) and 6 (doubling).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_DOUBLINGS = 60
_TOLERANCE = 1e-13
_MOST_PERSISTENT = 0.9999  # largest eigenvalue of a transition: what is fitted must not grow
_RIDGE = 1e-6  # of regressions on the state, per row: its entries are standardized


class Dynamics(NamedTuple):
    """How the state moves from bin to bin."""

    transition: FloatArray  # (state, state)
    noise: FloatArray  # (state, state), covariance


class Observation(NamedTuple):
    """How features show the state."""

    loading: FloatArray  # (features, state)
    noise: FloatArray  # (features, features), covariance
    offset: FloatArray  # (features,), the features at state zero


class SteadyFilter(NamedTuple):
    """A Kalman filter whose gain has settled.

    estimate_k = keep @ estimate_{k-1} + gain @ observation_k
    """

    keep: FloatArray  # (..., state, state)
    gain: FloatArray  # (..., state, features)


def fit_dynamics(states: FloatArray, follows: NDArray[np.bool_]) -> Dynamics:
    """Least squares from one bin's state to the next.

    states (bins, state), standardized; follows (bins,), True where a bin and the one before are
    both known. Growing modes are slowed to just below constant.
    """
    now, before = states[follows], states[np.flatnonzero(follows) - 1]
    transition = _regress(before, now)
    fastest = float(np.abs(np.linalg.eigvals(transition)).max(initial=0.0))
    transition *= min(1.0, _MOST_PERSISTENT / max(fastest, _TOLERANCE))
    return Dynamics(transition, _covariance(now - before @ transition.T))


def fit_observation(states: FloatArray, features: FloatArray) -> Observation:
    """Least squares from the state to the features, rows (bins, ...) that belong together."""
    offset = features.mean(axis=0) if len(features) else np.zeros(features.shape[1])
    centred = features - offset
    loading = _regress(states, centred)
    noise = _covariance(centred - states @ loading.T)
    return Observation(loading, noise, offset)


def steady_filters(
    dynamics: Dynamics, observation: Observation, penalties: FloatArray, drives: FloatArray
) -> SteadyFilter:
    """The settled filters at every penalty and drive, leading axes (penalties, drives).

    A penalty adds white noise to all features, in units of their mean noise variance; a drive
    multiplies the process noise: a larger one follows the features faster and smooths less.
    """
    variance, axes = np.linalg.eigh(observation.noise)
    scale = max(float(variance.mean()), 0.0) or 1.0
    damped = np.maximum(variance, 0.0) + scale * penalties[:, None]  # (penalty, features)
    loading = axes.T @ observation.loading
    weights = ((loading / damped[:, :, None]).transpose(0, 2, 1) @ axes.T)[:, None]
    information = weights @ observation.loading  # (penalty, 1, state, state)
    noise = drives[:, None, None] * dynamics.noise  # (drive, state, state)
    predicted = steady_covariance(dynamics.transition, noise, information)
    damp = np.linalg.inv(np.eye(len(dynamics.transition)) + predicted @ information)
    return SteadyFilter(damp @ dynamics.transition, damp @ predicted @ weights)


def steady_covariance(
    transition: FloatArray, noise: FloatArray, information: FloatArray
) -> FloatArray:
    """Covariance of the state before its observation, once it has settled: (..., state, state).

    The solution P of the Riccati equation

        P = transition (P⁻¹ + information)⁻¹ transitionᵀ + noise

    by doubling: each round covers twice as many bins as the one before. The transition must be
    stable.
    """
    shape = np.broadcast_shapes(transition.shape, noise.shape, information.shape)
    step = np.broadcast_to(np.swapaxes(transition, -1, -2), shape)
    seen, covariance = np.broadcast_to(information, shape), np.broadcast_to(noise, shape)
    identity = np.eye(shape[-1])
    for _ in range(_DOUBLINGS):
        damp = np.linalg.inv(identity + seen @ covariance)
        stepped = damp @ step
        back = np.swapaxes(step, -1, -2)
        more = back @ covariance @ stepped
        seen = _symmetric(seen + step @ damp @ seen @ back)
        covariance, step = _symmetric(covariance + more), step @ stepped
        change, size = (np.abs(matrix).max(axis=(-1, -2)) for matrix in (more, covariance))
        if (change <= _TOLERANCE * size).all():
            break
    return covariance


def _regress(x: FloatArray, y: FloatArray) -> FloatArray:
    """Weights (y columns, x columns) of y on x, a little damped; zero without rows."""
    gram = x.T @ x + _RIDGE * max(1, len(x)) * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, x.T @ y).T, dtype=np.float64)


def _covariance(residual: FloatArray) -> FloatArray:
    return residual.T @ residual / max(1, len(residual))


def _symmetric(matrix: FloatArray) -> FloatArray:
    return (matrix + np.swapaxes(matrix, -1, -2)) / 2
