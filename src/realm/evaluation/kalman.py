"""Kalman filter: the state is the behavior and its recent change, the features are what it causes.

The classical decoder of movement with a memory. Its model is fitted to labelled bins. What the
model cannot know of field potentials, whose noise is neither white nor stationary, is chosen by R²
on validation time alone: what counts as an observation (one bin's features at some lag, or a
linear map of the last half second to the state), its penalty, and how strongly noise drives the
state. The gain has settled from the start, so a step is two small products per bin.

Source: Wu et al., "Bayesian population decoding of motor cortical activity using a Kalman filter",
Neural Computation 2006; a settled gain as in Malik et al., IEEE TNSRE 2011.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from realm.evaluation.lags import FloatArray, Lags
from realm.evaluation.metrics import mean_r2
from realm.evaluation.ridge import PENALTIES as MAP_PENALTIES
from realm.evaluation.ridge import check_fit, normal_equations
from realm.evaluation.state_space import (
    Dynamics,
    SteadyFilter,
    fit_dynamics,
    fit_observation,
    steady_filters,
    with_smooth_noise,
)

# How much later behavior is than its features. Below zero the features come late (filters delay
# them): the filter then decodes an earlier bin and predicts onward.
LAGS_MS = (-100.0, -50.0, 0.0, 50.0, 100.0, 150.0)
PENALTIES = np.logspace(-3, 1, 5)
DRIVES = np.logspace(-4, 2, 13)
CHANGE_MS = 50.0  # the state's second half is the change over this time
WARM_UP_S = 10.0  # the filter starts this long before validation time


class KalmanState(NamedTuple):
    """The estimate after the last bin, and the features that later bins look back to."""

    estimate: FloatArray  # (state,)
    past: FloatArray  # (bins, features)


class Choice(NamedTuple):
    """What validation chose."""

    lag_bins: int
    taps: int  # of the observation: 1 = one bin's features, more = a map of the last bins
    penalty: float
    drive: float
    validation_r2: float  # NaN where undefined


class KalmanDecoder:
    """Decode behavior with a Kalman filter whose gain has settled.

    Attributes set by `fit`:
        choice: the best on validation time of all that were tried
        keep: (state, state), gain: (state, columns) and bias: (state,) of the settled filter,

            estimate_k = keep @ estimate_{k-1} + gain @ columns_k + bias

        readout: (dims, state) and mean: (dims,), which turn an estimate into behavior
    """

    choice: Choice
    keep: FloatArray
    gain: FloatArray
    bias: FloatArray
    readout: FloatArray
    mean: FloatArray
    lookahead_ms: float = 0.0

    def __init__(self, bin_ms: float, lag_s: float = 0.5, *, max_columns: int = 2000) -> None:
        self.bin_ms = bin_ms
        self.lag_bins = max(1, round(lag_s * 1000.0 / bin_ms))
        self.max_columns = max_columns
        self._shape: tuple[int, ...] | None = None  # of one bin's features, known after fit
        self._lags = Lags(1, 1, 0)

    def fit(
        self,
        features: NDArray[Any],
        behavior: NDArray[Any],
        mask: NDArray[np.bool_],
        *,
        train: tuple[int, int],
        valid: tuple[int, int],
    ) -> Self:
        """Fit the model on the known bins of `train`, choose what it leaves open on `valid`.

        Transitions are taken from runs of known bins only, never across a gap. Arguments and
        errors are those of `RidgeDecoder.fit`.
        """
        behavior, mask = np.asarray(behavior, dtype=np.float64), np.asarray(mask, dtype=bool)
        check_fit(features, behavior, mask, train)
        stream = features.reshape(len(features), -1)[: max(train[1], valid[1])].astype(np.float64)
        span = max(1, round(CHANGE_MS / self.bin_ms))
        labels = labelled_states(behavior[: len(stream)], mask[: len(stream)], train, span)
        dynamics = fit_dynamics(labels.states, labels.follows)
        exam = _Exam(behavior[slice(*valid)], mask[slice(*valid)], valid, self._warm_up, labels)
        lags = Lags.spread(self.lag_bins, stream.shape[1], self.max_columns)
        best: _Filter | None = None
        for sight in (*_bins(stream, self.bin_ms), *_maps(stream, lags, labels, train)):
            found = exam.best(sight, dynamics, train)
            if best is None or found.choice.validation_r2 > best.choice.validation_r2:
                best = found
        assert best is not None
        self._shape, self._lags = features.shape[1:], best.lags
        self.choice, self.keep, self.gain, self.bias, self.readout = best[1:]
        self.mean = labels.mean
        return self

    def predict(self, features: NDArray[Any]) -> FloatArray:
        """Decode a whole stream: (bins, ...) -> (bins, dims), each bin from itself and its past.

        Before the first bin the features count as 0, which is their mean once normalized.
        """
        return self.step(features, self.initial_state())[0]

    def initial_state(self) -> KalmanState:
        """State before the first bin: the behavior is at its mean."""
        self._require_fit()
        history = max(0, self.choice.lag_bins) + self._lags.history
        return KalmanState(np.zeros(len(self.keep)), np.zeros((history, self._lags.features)))

    def step(self, features: NDArray[Any], state: KalmanState) -> tuple[FloatArray, KalmanState]:
        """Decode the next bins, any number of them.

        Raises:
            ValueError: not fitted, or the features have another shape per bin than in `fit`.
        """
        if features.shape[1:] != self._require_fit():
            raise ValueError(
                f"expected features (bins, ...) with {self._shape} per bin as in fit, arrived "
                f"{features.shape[1:]}; give the same channels and bands in the same order"
            )
        bins, history = len(features), self._lags.history
        stream = np.concatenate([state.past, features.reshape(bins, self._lags.features)])
        estimates = np.zeros((bins, len(self.keep)))
        for seen, columns in self._lags.blocks(stream, history, history + bins):
            estimates[seen.start - history : seen.stop - history] = columns @ self.gain.T
        estimate = state.estimate
        for k in range(bins):
            estimates[k] += self.keep @ estimate + self.bias
            estimate = estimates[k]
        decoded = estimates @ self.readout.T + self.mean
        return decoded, KalmanState(estimate.copy(), stream[bins:].copy())

    @property
    def parameters(self) -> int:
        """Numbers that run at deployment."""
        return sum(a.size for a in (self.keep, self.gain, self.bias, self.readout, self.mean))

    @property
    def _warm_up(self) -> int:
        return round(WARM_UP_S * 1000 / self.bin_ms)

    def _require_fit(self) -> tuple[int, ...]:
        if self._shape is None:
            raise ValueError("expected a fitted decoder, this one is not; call fit first")
        return self._shape


class Labels(NamedTuple):
    """Labelled training behavior as states: its values and their recent change, standardized."""

    states: FloatArray  # (bins, state), 0 where unknown
    known: NDArray[np.bool_]  # (bins,)
    mean: FloatArray  # (dims,), of the behavior
    std: FloatArray  # (dims,)

    @property
    def follows(self) -> NDArray[np.bool_]:
        """(bins,), True where the state of a bin and of the one before are both known."""
        return self.known & np.concatenate([[False], self.known[:-1]])


def labelled_states(
    behavior: FloatArray, mask: NDArray[np.bool_], train: tuple[int, int], span: int
) -> Labels:
    """States of the bins of `train` that end a run of more than `span` known bins."""
    usable = np.zeros_like(mask)
    usable[slice(*train)] = mask[slice(*train)]
    mean, std = behavior[usable].mean(axis=0), behavior[usable].std(axis=0)
    std = np.where(std > 0, std, 1.0)
    values = np.where(usable[:, None], (behavior - mean) / std, 0.0)
    change, known = np.zeros_like(values), np.zeros_like(usable)
    change[span:] = values[span:] - values[:-span]
    gaps = np.cumsum(~usable)  # the same at both ends of a run
    known[span:] = usable[span:] & usable[:-span] & (gaps[span:] == gaps[:-span])
    spread = change[known].std(axis=0) if known.any() else np.ones(len(mean))
    change /= np.where(spread > 0, spread, 1.0)
    return Labels(np.where(known[:, None], np.hstack([values, change]), 0.0), known, mean, std)


class _Sight(NamedTuple):
    """One way to observe: bin k of `seen` is what the filter gets, of the state at k - late."""

    seen: FloatArray  # (bins, observed)
    lag_bins: int
    lags: Lags
    penalties: FloatArray  # of the observation noise
    # How `seen` is made of the columns of `lags`: (columns - centre) @ weights. None: they are it.
    weights: FloatArray | None = None
    centre: FloatArray | None = None
    map_penalty: float = 0.0
    smooth_noise: bool = False

    @property
    def late(self) -> int:
        return max(0, -self.lag_bins)


def _bins(stream: FloatArray, bin_ms: float) -> Iterator[_Sight]:
    """One bin's features at each lag."""
    for lag in sorted({round(lag_ms / bin_ms) for lag_ms in LAGS_MS}):
        early = np.zeros((min(max(0, lag), len(stream)), stream.shape[1]))
        seen = np.concatenate([early, stream[: len(stream) - len(early)]])
        yield _Sight(seen, lag, Lags(1, 1, stream.shape[1]), PENALTIES)


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
    for i, mapped in enumerate(np.split(seen, len(penalties), axis=1)):
        for smooth in (False, True):
            yield _Sight(
                mapped, 0, lags, PENALTIES[:1], weights[i], sums.x_mean, float(penalties[i]), smooth
            )


class _Filter(NamedTuple):
    """A filter to deploy; the fields after the first are the attributes of the decoder."""

    lags: Lags
    choice: Choice
    keep: FloatArray
    gain: FloatArray
    bias: FloatArray
    readout: FloatArray


class _Exam(NamedTuple):
    """Validation time, on which the filters of one way to observe are compared."""

    behavior: FloatArray
    known: NDArray[np.bool_]
    valid: tuple[int, int]
    warm_up: int
    labels: Labels

    def best(self, sight: _Sight, dynamics: Dynamics, train: tuple[int, int]) -> _Filter:
        """Fit the observation on training time and return the best of all penalties and drives."""
        states, known = self.labels.states, self.labels.known
        bins = np.flatnonzero(known)
        bins = bins[(bins + sight.late < train[1]) & (bins - max(0, sight.lag_bins) >= train[0])]
        observation = fit_observation(states[bins], sight.seen[bins + sight.late])
        if sight.smooth_noise:
            rest = np.zeros_like(sight.seen[:len(states)])
            rest[bins] = sight.seen[bins] - observation.offset - states[bins] @ observation.loading.T
            ok = np.zeros(len(states), bool); ok[bins] = True
            ok[1:] &= ok[:-1]; ok[0] = False
            dynamics, observation = with_smooth_noise(dynamics, observation, rest, ok)
        filters = steady_filters(dynamics, observation, sight.penalties, DRIVES)
        dims = len(self.labels.std)
        readout = np.hstack([np.diag(self.labels.std), np.zeros((dims, len(dynamics.transition)-dims))])  # (dims, state)
        readout = readout @ np.linalg.matrix_power(dynamics.transition, sight.late)
        r2 = self._r2(sight.seen - observation.offset, filters, readout)  # (penalty, drive)
        i, j = np.unravel_index(_highest(r2), r2.shape)
        gain, offset, penalty = filters.gain[i, j], observation.offset, sight.penalties[i]
        bias = -gain @ offset
        if sight.weights is not None:  # fold the map into the gain
            gain, penalty = gain @ sight.weights.T, sight.map_penalty
            bias = bias - gain @ sight.centre
        choice = Choice(
            sight.lag_bins, sight.lags.taps, float(penalty), float(DRIVES[j]), float(r2[i, j])
        )
        return _Filter(sight.lags, choice, filters.keep[i, j], gain, bias, readout)

    def _r2(self, seen: FloatArray, filters: SteadyFilter, readout: FloatArray) -> FloatArray:
        begin = max(0, self.valid[0] - self.warm_up)
        arriving = np.tensordot(seen[begin : self.valid[1]], filters.gain, axes=(1, 3))
        estimate = np.zeros(arriving.shape[1:])  # (penalty, drive, state)
        for k, arrived in enumerate(arriving):
            estimate = (filters.keep @ estimate[..., None])[..., 0] + arrived
            arriving[k] = estimate
        decoded = arriving[self.valid[0] - begin :] @ readout.T + self.labels.mean
        shape = arriving.shape[1:3]
        scores = [mean_r2(self.behavior, decoded[:, *at], self.known) for at in np.ndindex(*shape)]
        return np.reshape(scores, shape)


def _highest(scores: FloatArray) -> int:
    """The middle where validation cannot tell (no or constant behavior)."""
    return scores.size // 2 if np.isnan(scores).all() else int(np.nanargmax(scores))
