"""A control for leakage: decode behavior that never happened at that time.

Slow drifts shared by recording and behavior, or an evaluation that lets the answer through, can
give a high R² without any decoding. Shift the behavior against the recording by tens of seconds
and decode it again: whatever accuracy remains did not come from the moment's signal. The decoder
itself is left alone; only an affine readout of its output is fitted again: its weights on training
time, its level on the span that is scored. An animal that runs more at the end than at the start
would otherwise push the control far below 0, where a leak could hide.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realm.evaluation.metrics import mean_defined, r2_score


class ShiftedControl(NamedTuple):
    """What is left of the accuracy after shifting.

    `r2` is the mean over shifts and dimensions: about 0, or a little below, without leakage.
    `per_shift` (shifts,) tells which shift leaks; `shifts_s` are the shifts in seconds.
    """

    r2: float
    per_shift: NDArray[np.float64]
    shifts_s: NDArray[np.float64]

    @property
    def largest(self) -> float:
        """The highest R² of any one shift; NaN if none is defined."""
        defined = self.per_shift[~np.isnan(self.per_shift)]
        return float(defined.max()) if defined.size else float("nan")


def shifted_control(
    y_fit: ArrayLike,
    pred_fit: ArrayLike,
    mask_fit: ArrayLike,
    y_test: ArrayLike,
    pred_test: ArrayLike,
    mask_test: ArrayLike,
    *,
    bin_ms: float,
    n_shifts: int = 8,
    min_shift_s: float = 10.0,
) -> ShiftedControl:
    """R² of the decoder's output against behavior circularly shifted in time.

    `*_fit` is the span where the readout is fitted (training time) and `*_test` the span that is
    scored; y (bins, dims), pred (bins, outputs), mask (bins,) True = known, shifted along with y.
    Both spans are shifted by the same time, so that a leak at a fixed delay stays visible. Shifts
    are spread evenly over the shorter span and stay, both ways around the circle, at least
    `min_shift_s` and a quarter of that span away from the true alignment.

    Returns:
        The control; R² is NaN if the shorter span is below 2 * `min_shift_s`, or undefined.

    Raises:
        ValueError: a prediction that is not finite.
    """
    y_fit, pred_fit = np.asarray(y_fit, np.float64), np.asarray(pred_fit, np.float64)
    y_test, pred_test = np.asarray(y_test, np.float64), np.asarray(pred_test, np.float64)
    mask_fit, mask_test = np.asarray(mask_fit, bool), np.asarray(mask_test, bool)
    if not (np.isfinite(pred_fit).all() and np.isfinite(pred_test).all()):
        raise ValueError(
            "expected finite predictions on both spans, some are not; "
            "the decoder diverged, lower its learning rate"
        )
    shifts = _shifts(min(len(y_fit), len(y_test)), bin_ms, n_shifts, min_shift_s)
    per_shift = [
        _shifted_r2(
            (np.roll(y_fit, shift, axis=0), pred_fit, np.roll(mask_fit, shift)),
            (np.roll(y_test, shift, axis=0), pred_test, np.roll(mask_test, shift)),
        )
        for shift in shifts
    ]
    seconds = shifts.astype(np.float64) * (bin_ms / 1000.0)
    return ShiftedControl(mean_defined(per_shift), np.asarray(per_shift, np.float64), seconds)


Span = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]


def _shifts(span: int, bin_ms: float, n_shifts: int, min_shift_s: float) -> NDArray[np.int64]:
    """Shifts in bins, evenly spread over what the span allows; empty if it allows none."""
    nearest = int(np.ceil(max(min_shift_s * 1000.0 / bin_ms, span / 4)))
    if span < 2 * nearest:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(nearest, span - nearest, n_shifts).round().astype(np.int64))


def _shifted_r2(fit: Span, test: Span) -> float:
    y, pred, mask = fit
    if not mask.any():
        return float("nan")
    centre, scale = pred[mask].mean(axis=0), pred[mask].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    offset = y[mask].mean(axis=0)
    weights = np.linalg.lstsq((pred[mask] - centre) / scale, y[mask] - offset, rcond=None)[0]
    y, pred, mask = test
    if not mask.any():
        return float("nan")
    moved = (pred - centre) / scale @ weights
    level = y[mask].mean(axis=0) - moved[mask].mean(axis=0)
    return mean_defined(r2_score(y, moved + level, mask))
