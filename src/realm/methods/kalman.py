"""Kalman filter: the state is the behavior and its recent change, the features are what it causes.

The classical decoder of movement with a memory of how movements go on. Its model is fitted to
labelled bins and what the model leaves open is chosen on validation time alone, see
`realm.methods.kalman_fit`. The gain has settled from the start, so a step is two small products.

Source: Wu et al., "Bayesian population decoding of motor cortical activity using a Kalman filter",
Neural Computation 2006; a settled gain as in Malik et al., IEEE TNSRE 2011.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from realm.methods.complexity import Complexity, kalman_complexity
from realm.methods.experiment import Decode, Experiment, fitted_to_session
from realm.methods.kalman_fit import LAGS_MS, Choice, choose_filter
from realm.methods.lags import FloatArray, Lags
from realm.methods.method import Design, Method
from realm.methods.ridge import LAG_S, check_fit
from realm.training.config import Strict


class KalmanConfig(Strict):
    """Kalman filter.

    Attributes:
        lag_s: how far back the map of features to its observation may reach, in seconds.
    """

    lag_s: float = Field(0.5, ge=0)


class KalmanState(NamedTuple):
    """The estimate after the last bin, and the features that later bins look back to."""

    estimate: FloatArray  # (state,)
    past: FloatArray  # (bins, features)


class KalmanDecoder:
    """Decode behavior with a Kalman filter whose gain has settled.

    Attributes set by `fit`:
        choice: the best on validation time of all that were tried
        keep (state, state), gain (state, columns), bias (state,): the filter,

            estimate_k = keep @ estimate_{k-1} + gain @ columns_k + bias

        readout (dims, state) and mean (dims,): what turns an estimate into behavior
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
        n_features = int(np.prod(features.shape[1:]))
        end = max(train[1], valid[1])  # nothing after it is read
        best = choose_filter(
            features[:end].reshape(end, n_features).astype(np.float64),
            behavior[:end],
            mask[:end],
            train,
            valid,
            Lags.spread(self.lag_bins, n_features, self.max_columns),
            self.bin_ms,
        )
        self._shape, self._lags = features.shape[1:], best.lags
        self.choice, self.keep, self.gain, self.bias = best.choice, best.keep, best.gain, best.bias
        self.readout, self.mean = best.readout, best.mean
        return self

    def predict(self, features: NDArray[Any]) -> FloatArray:
        """Decode a whole stream: (bins, ...) -> (bins, dims), each bin from itself and its past.

        Before the first bin the features count as 0, which is their mean once normalized.
        """
        return self.step(features, self.initial_state())[0]

    def initial_state(self) -> KalmanState:
        """State before the first bin: the behavior is at its mean."""
        self._fitted_shape()
        history = max(0, self.choice.lag_bins) + self._lags.history
        return KalmanState(np.zeros(len(self.keep)), np.zeros((history, self._lags.features)))

    def step(self, features: NDArray[Any], state: KalmanState) -> tuple[FloatArray, KalmanState]:
        """Decode the next bins, any number of them.

        Raises:
            ValueError: not fitted, or the features have another shape per bin than in `fit`.
        """
        if features.shape[1:] != self._fitted_shape():
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

    def _fitted_shape(self) -> tuple[int, ...]:
        if self._shape is None:
            raise ValueError("expected a fitted decoder, this one is not; call fit first")
        return self._shape


def _train(experiment: Experiment, settings: KalmanConfig) -> Decode:
    return fitted_to_session(experiment, lambda bin_ms: KalmanDecoder(bin_ms, settings.lag_s))


def _complexity(design: Design, settings: KalmanConfig) -> Complexity:
    reach, latest = design.bins(settings.lag_s), design.bins(max(LAGS_MS) / 1000)
    return kalman_complexity(design.parameters, design.features, design.dims, reach, latest)


KALMAN = Method(
    "kalman",
    _train,
    KalmanConfig,
    _complexity,
    order=20,
    colour="#5D4037",
    marker="P",
    space={"baselines.kalman.lag_s": LAG_S},
    fitted_to_sessions=True,
)
