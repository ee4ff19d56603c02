"""Linear decoders: ridge regression on lagged features (the Wiener filter) and a linear probe.

Ridge on the last half second is the baseline every decoder must beat: seconds of fitting, no
seeds, strictly causal. The normal equations are accumulated block by block, once for all
penalties, and the penalty is chosen by R² on validation time alone. The solution is that of
scikit-learn's `Ridge(alpha=penalty * bins * mean column variance)`, which the tests compare it to.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from realm.evaluation.metrics import mean_r2
from realm.methods.complexity import Complexity, ridge_complexity
from realm.methods.experiment import Decode, Experiment, fitted_to_session
from realm.methods.lags import FloatArray, Lags, NormalEquations, normal_equations
from realm.methods.method import Design, Method, OneOf
from realm.training.config import Strict

# Relative to the mean variance of a column: without a unit, the same for features and latents.
PENALTIES = np.logspace(-5, 3, 17)


LAG_S = OneOf((0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0))  # what a tuning draws


class RidgeConfig(Strict):
    """Wiener filter.

    Attributes:
        lag_s: how far back its features reach, in seconds.
    """

    lag_s: float = Field(0.5, ge=0)


class RidgeState(NamedTuple):
    """The features of the last bins, as far as the next bin's lags reach back."""

    past: FloatArray  # (bins, features)


class RidgeDecoder:
    """Wiener filter: ridge regression from the features of the last `lag_s` to behavior.

    Attributes set by `fit`:
        weights (columns, dims) and intercept (dims,)
        penalty: the chosen one of `penalties`
        validation_r2: R² on validation time at each of `penalties`, NaN where undefined
    """

    weights: FloatArray
    intercept: FloatArray
    penalty: float
    validation_r2: FloatArray
    lookahead_ms: float = 0.0

    def __init__(
        self,
        bin_ms: float,
        lag_s: float = 0.5,
        *,
        max_columns: int = 2000,
        penalties: ArrayLike = PENALTIES,
    ) -> None:
        self.lag_bins = max(1, round(lag_s * 1000.0 / bin_ms))
        self.max_columns = max_columns
        self.penalties = np.asarray(penalties, dtype=np.float64)
        self._shape: tuple[int, ...] | None = None  # of one bin's features, known after fit

    def fit(
        self,
        features: NDArray[Any],
        behavior: NDArray[Any],
        mask: NDArray[np.bool_],
        *,
        train: tuple[int, int],
        valid: tuple[int, int],
    ) -> Self:
        """Fit on the known bins of `train` and choose the penalty on those of `valid`.

        Args:
            features: (bins, channels, bands) or (bins, dims) of one session's stream
            behavior: (bins, dims), any unit; predictions have the same
            mask: (bins,) True = behavior known, and within the label budget
            train: (start, stop) in bins; lags reach back before `start` where there are bins
            valid: (start, stop) in bins

        Raises:
            ValueError: lengths differ, features or known behavior are not finite, or no bin of
                `train` is known.
        """
        behavior, mask = np.asarray(behavior, dtype=np.float64), np.asarray(mask, dtype=bool)
        check_fit(features, behavior, mask, train)
        self._shape = features.shape[1:]
        stream, lags = self._flat(features), self._lags
        sums = normal_equations(lags, stream, behavior, mask, train)
        candidates = np.stack([sums.solve(penalty) for penalty in self.penalties])
        self.validation_r2 = _validate(lags, stream, behavior, mask, valid, sums, candidates)
        best = self._best_penalty()
        self.penalty = float(self.penalties[best])
        self.weights = candidates[best]
        self.intercept = sums.y_mean - sums.x_mean @ self.weights
        return self

    def predict(self, features: NDArray[Any]) -> FloatArray:
        """Decode a whole stream: (bins, ...) -> (bins, dims), each bin from itself and its past.

        Before the first bin the features count as 0, which is their mean once normalized.
        """
        return self.step(features, self.initial_state())[0]

    def initial_state(self) -> RidgeState:
        """State before the first bin."""
        return RidgeState(np.zeros((self._lags.history, self._lags.features)))

    def step(self, features: NDArray[Any], state: RidgeState) -> tuple[FloatArray, RidgeState]:
        """Decode the next bins, any number of them.

        Raises:
            ValueError: not fitted, or the features have another shape per bin than in `fit`.
        """
        stream = np.concatenate([state.past, self._flat(features)])
        history = len(state.past)
        decoded = [
            design @ self.weights + self.intercept
            for _, design in self._lags.blocks(stream, history, len(stream))
        ]
        empty = np.zeros((0, len(self.intercept)))
        return np.concatenate([empty, *decoded]), RidgeState(stream[len(stream) - history :].copy())

    @property
    def parameters(self) -> int:
        """Numbers that run at deployment: weights and intercept."""
        return self._lags.columns * len(self.intercept) + len(self.intercept)

    @property
    def _lags(self) -> Lags:
        if self._shape is None:
            raise ValueError("expected a fitted decoder, this one is not; call fit first")
        return Lags.spread(self.lag_bins, int(np.prod(self._shape)), self.max_columns)

    def _flat(self, features: NDArray[Any]) -> NDArray[Any]:
        n_features = self._lags.features
        if features.shape[1:] != self._shape:
            raise ValueError(
                f"expected bins of features of shape {self._shape} as in fit, arrived "
                f"{features.shape[1:]}; give the same channels and bands in the same order"
            )
        return features.reshape(len(features), n_features)

    def _best_penalty(self) -> int:
        """The middle of the grid where validation cannot tell (no or constant behavior)."""
        if np.isnan(self.validation_r2).all():
            return len(self.penalties) // 2
        return int(np.nanargmax(self.validation_r2))


class LinearProbe(RidgeDecoder):
    """Ridge regression from one bin's latent (bins, d_model) to its behavior, without lags.

    What a frozen encoder knows about behavior. Whether it is causal is up to the encoder.
    """

    def __init__(self, *, penalties: ArrayLike = PENALTIES) -> None:
        super().__init__(bin_ms=1.0, lag_s=0.0, penalties=penalties)


def _validate(
    lags: Lags,
    stream: NDArray[Any],
    behavior: FloatArray,
    mask: NDArray[np.bool_],
    valid: tuple[int, int],
    sums: NormalEquations,
    candidates: FloatArray,
) -> FloatArray:
    """R² on the validation span of each of the candidate weights (penalty, columns, dims)."""
    n, columns, dims = candidates.shape
    together = candidates.transpose(1, 0, 2).reshape(columns, n * dims)
    decoded = [(x - sums.x_mean) @ together for _, x in lags.blocks(stream, *valid)]
    pred = np.concatenate([np.zeros((0, n * dims)), *decoded]).reshape(-1, n, dims) + sums.y_mean
    y, known = behavior[slice(*valid)], mask[slice(*valid)]
    return np.array([mean_r2(y, pred[:, i], known) for i in range(n)])


def check_fit(
    features: NDArray[Any],
    behavior: FloatArray,
    mask: NDArray[np.bool_],
    train: tuple[int, int],
) -> None:
    """Refuse a recording that cannot be fitted; the errors are those of `RidgeDecoder.fit`."""
    if behavior.ndim != 2 or not len(features) == len(behavior) == len(mask):
        raise ValueError(
            "expected features (bins, ...), behavior (bins, dims) and mask (bins,) of one "
            f"length, arrived {features.shape}, {behavior.shape} and {mask.shape}; "
            "cut them to the same span"
        )
    if not mask[slice(*train)].any():
        raise ValueError(
            f"expected known behavior in the training bins {train[0]} to {train[1]}, "
            "every bin is masked; check the behavior and the label budget"
        )
    if not (np.isfinite(features).all() and np.isfinite(behavior[mask]).all()):
        raise ValueError(
            "expected finite features and finite behavior on known bins, some are not; "
            "mark missing behavior in the mask and replace bad samples before the features"
        )


def _train(experiment: Experiment, settings: RidgeConfig) -> Decode:
    return fitted_to_session(experiment, lambda bin_ms: RidgeDecoder(bin_ms, settings.lag_s))


def _complexity(design: Design, settings: RidgeConfig) -> Complexity:
    return ridge_complexity(design.features, design.dims, design.bins(settings.lag_s))


RIDGE = Method(
    "ridge",
    _train,
    RidgeConfig,
    _complexity,
    order=10,
    colour="#56B4E9",
    marker="s",
    space={"baselines.ridge.lag_s": LAG_S},
    fitted_to_sessions=True,
)
