"""Fitting a Kalman filter to one session: the model from labels, its open choices on validation.

Field potentials break what the model assumes: their noise lasts from bin to bin, and features lead
or trail behavior. So the model is fitted in many ways and R² on validation time chooses

    what is observed: one bin's features at one lag, or a linear map of the last bins to the state;
    the penalty on the observation noise, or on the map;
    how strongly process noise drives the state: from the mean alone to no smoothing at all.

Lasting noise also makes the filter too sure of itself, so its amplitude is off: the readout from
estimate to behavior is regressed on labelled training time, for every filter alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.evaluation.metrics import mean_r2
from realm.methods.lags import FloatArray, Lags, normal_equations
from realm.methods.ridge import PENALTIES as MAP_PENALTIES
from realm.methods.state_space import (
    Dynamics,
    SteadyFilter,
    fit_dynamics,
    fit_observation,
    steady_filters,
)

# How much later behavior is than the features. Below zero the features come late (filters delay
# them): they are taken to show an earlier state than that of their bin.
LAGS_MS = (-100.0, -50.0, 0.0, 50.0, 100.0, 150.0)
NOISE_PENALTIES = np.logspace(-3, 1, 5)
DRIVES = np.concatenate([[0.0], np.logspace(-3, 5, 17)])  # 0: never leaves the mean
CHANGE_MS = 50.0  # the second half of the state is the change over this time
WARM_UP_S = 10.0  # a filter starts this long before the time it is judged on
READOUT_S = 300.0  # labels that the readout is regressed on, at most


class Choice(NamedTuple):
    """What validation chose."""

    lag_bins: int
    taps: int  # of the observation: 1 = one bin's features, more = a map of the last bins
    penalty: float
    drive: float
    validation_r2: float  # NaN where undefined


class Filter(NamedTuple):
    """A filter to deploy; the arrays are explained at `KalmanDecoder`."""

    lags: Lags
    choice: Choice
    keep: FloatArray
    gain: FloatArray
    bias: FloatArray
    readout: FloatArray
    mean: FloatArray


class Labels(NamedTuple):
    """Labelled training behavior as states: its values and recent change, standardized."""

    states: FloatArray  # (bins, 2 dims), 0 where unknown
    known: NDArray[np.bool_]  # (bins,)

    @property
    def follows(self) -> NDArray[np.bool_]:
        """(bins,), True where the state of a bin and of the one before are both known."""
        before = np.zeros_like(self.known)
        before[1:] = self.known[:-1]
        return np.logical_and(self.known, before)


def choose_filter(
    stream: FloatArray,
    behavior: FloatArray,
    mask: NDArray[np.bool_],
    train: tuple[int, int],
    valid: tuple[int, int],
    lags: Lags,
    bin_ms: float,
) -> Filter:
    """Fit all filters and return the best on validation time.

    stream (bins, features), behavior (bins, dims), mask (bins,) True = known; train and valid are
    (start, stop) in bins; lags are those of the map. Where validation cannot tell (no or constant
    behavior), the filter has no lag and the penalty and drive of the middle.
    """
    labels = labelled_states(behavior, mask, train, max(1, round(CHANGE_MS / bin_ms)))
    trial = _Trial(labels, behavior, mask, train, valid, bin_ms)
    dynamics = fit_dynamics(labels.states, labels.follows)
    best: Filter | None = None
    for sight in (*_bins(stream, bin_ms), *_maps(stream, lags, labels, train)):
        found = trial.best(sight, dynamics)
        if best is None or found.choice.validation_r2 > best.choice.validation_r2:
            best = found
    assert best is not None
    return best


def labelled_states(
    behavior: FloatArray, mask: NDArray[np.bool_], train: tuple[int, int], span: int
) -> Labels:
    """States of the bins of `train` that have `span` known bins before them without a gap."""
    usable = np.zeros_like(mask)
    usable[slice(*train)] = mask[slice(*train)]
    values = _standardize(np.where(usable[:, None], behavior, 0.0), usable)
    change, known = np.zeros_like(values), np.zeros_like(usable)
    change[span:] = values[span:] - values[:-span]
    gaps = np.cumsum(~usable)  # the same at both ends of a run
    known[span:] = usable[span:] & (gaps[span:] == gaps[:-span]) & usable[:-span]
    states = np.hstack([values, _standardize(change, known, centre=False)])
    return Labels(np.where(known[:, None], states, 0.0), known)


class _Sight(NamedTuple):
    """One way to observe: at bin k the filter gets `seen[k]`."""

    seen: FloatArray  # (bins, observed)
    lag_bins: int
    lags: Lags
    penalties: FloatArray  # of the observation noise
    # A map makes `seen` of the columns of `lags`: (columns - centre) @ weights. None: they are it.
    weights: FloatArray | None = None
    centre: FloatArray | None = None
    map_penalty: float = 0.0


def _bins(stream: FloatArray, bin_ms: float) -> Iterator[_Sight]:
    """One bin's features at each lag, the shortest first."""
    for lag in sorted({round(lag_ms / bin_ms) for lag_ms in LAGS_MS}, key=abs):
        late = min(max(0, lag), len(stream))
        before = np.zeros((late, stream.shape[1]))
        seen = np.concatenate([before, stream[: len(stream) - late]])
        yield _Sight(seen, lag, Lags(1, 1, stream.shape[1]), NOISE_PENALTIES)


def _maps(
    stream: FloatArray, lags: Lags, labels: Labels, train: tuple[int, int]
) -> Iterator[_Sight]:
    """The last bins' features, mapped to the state by ridge regression at each penalty."""
    if not labels.known.any():
        return
    sums = normal_equations(lags, stream, labels.states, labels.known, train)
    penalties = MAP_PENALTIES[::2]
    weights = np.stack([sums.solve(penalty) for penalty in penalties])  # (maps, columns, state)
    together = weights.transpose(1, 0, 2).reshape(lags.columns, -1)
    blocks = lags.blocks(stream, 0, len(stream))
    seen = np.concatenate([(columns - sums.x_mean) @ together for _, columns in blocks])
    for mapped, to_state, penalty in zip(
        np.split(seen, len(penalties), axis=1), weights, penalties, strict=True
    ):
        yield _Sight(mapped, 0, lags, NOISE_PENALTIES[:1], to_state, sums.x_mean, float(penalty))


class _Trial(NamedTuple):
    """Where filters are fitted and compared."""

    labels: Labels
    behavior: FloatArray
    mask: NDArray[np.bool_]
    train: tuple[int, int]
    valid: tuple[int, int]
    bin_ms: float

    def best(self, sight: _Sight, dynamics: Dynamics) -> Filter:
        """The best filter of one way to observe, over all penalties and drives."""
        states, bins = self.labels.states, np.flatnonzero(self.labels.known)
        late, early = max(0, -sight.lag_bins), max(0, sight.lag_bins)
        bins = bins[(bins - early >= self.train[0]) & (bins + late < self.train[1])]
        observation = fit_observation(states[bins], sight.seen[bins + late])
        filters = steady_filters(dynamics, observation, sight.penalties, DRIVES)
        seen = sight.seen - observation.offset
        readout, mean = self._readouts(seen, filters)
        r2 = self._r2(seen, filters, readout, mean)  # (penalty, drive)
        at = np.unravel_index(_highest(r2), r2.shape)
        gain, penalty = filters.gain[at], float(sight.penalties[at[0]])
        bias = -gain @ observation.offset
        if sight.weights is not None:  # fold the map into the gain
            gain, penalty = gain @ sight.weights.T, sight.map_penalty
            bias = bias - gain @ sight.centre
        choice = Choice(
            sight.lag_bins, sight.lags.taps, penalty, float(DRIVES[at[1]]), float(r2[at])
        )
        return Filter(sight.lags, choice, filters.keep[at], gain, bias, readout[at], mean[at])

    def _readouts(self, seen: FloatArray, filters: SteadyFilter) -> tuple[FloatArray, FloatArray]:
        """Least squares from estimates to behavior: (..., dims, state) and (..., dims)."""
        known = np.flatnonzero(self.mask[slice(*self.train)]) + self.train[0]
        bins = known[-round(READOUT_S * 1000 / self.bin_ms) :]
        estimates = self._estimates(seen, filters, int(bins[0]), int(bins[-1]) + 1)[bins - bins[0]]
        estimates, y = np.moveaxis(estimates, 0, -2), self.behavior[bins]  # (..., bins, state)
        centre, y_mean = estimates.mean(axis=-2), y.mean(axis=0)
        centred = estimates - centre[..., None, :]
        transposed = np.swapaxes(centred, -1, -2)
        gram, cross = transposed @ centred, transposed @ (y - y_mean)
        size = np.trace(gram, axis1=-2, axis2=-1)[..., None, None]
        damping = 1e-9 * np.where(size > 0, size, 1.0) * np.eye(gram.shape[-1])
        readout = np.swapaxes(np.linalg.solve(gram + damping, cross), -1, -2)
        return readout, y_mean - (readout @ centre[..., None])[..., 0]

    def _r2(
        self, seen: FloatArray, filters: SteadyFilter, readout: FloatArray, mean: FloatArray
    ) -> FloatArray:
        estimates = self._estimates(seen, filters, *self.valid)
        decoded = (readout @ estimates[..., None])[..., 0] + mean  # (bins, penalty, drive, dims)
        y, known = self.behavior[slice(*self.valid)], self.mask[slice(*self.valid)]
        shape = decoded.shape[1:3]
        scores = [mean_r2(y, decoded[:, i, j], known) for i, j in np.ndindex(*shape)]
        return np.reshape(scores, shape)

    def _estimates(
        self, seen: FloatArray, filters: SteadyFilter, start: int, stop: int
    ) -> FloatArray:
        """What all filters estimate for bins [start, stop): (bins, penalty, drive, state)."""
        begin = max(0, start - round(WARM_UP_S * 1000 / self.bin_ms))
        estimates = np.tensordot(seen[begin:stop], filters.gain, axes=(1, 3))
        estimate = np.zeros(estimates.shape[1:])
        for k, arrived in enumerate(estimates):
            estimate = (filters.keep @ estimate[..., None])[..., 0] + arrived
            estimates[k] = estimate
        return estimates[start - begin :]


def _standardize(values: FloatArray, rows: NDArray[np.bool_], centre: bool = True) -> FloatArray:
    """Divide by the spread over these rows, after taking out their mean."""
    if not rows.any():
        return values
    spread = values[rows].std(axis=0)
    mean = values[rows].mean(axis=0) if centre else 0.0
    standard: FloatArray = (values - mean) / np.where(spread > 0, spread, 1.0)
    return standard


def _highest(scores: FloatArray) -> int:
    """The middle where validation cannot tell."""
    return scores.size // 2 if np.isnan(scores).all() else int(np.nanargmax(scores))
