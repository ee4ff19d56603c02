"""The readout of a frozen encoder, from seconds of labels: ridge regression in closed form.

The encoder was trained without the labels, so nothing but a linear map is left to learn. The
penalty is chosen inside the given labels: they are cut into blocks of time, each block is decoded
by what the others say, and the error over all blocks decides. What lies beside a block is left
out, because neighbouring bins repeat each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import r2_score

from realm.data.sessions import PreparedSession
from realm.nn.student import Student
from realm.training.decode import stream_latents

FloatArray = NDArray[np.float64]

PENALTIES = 10.0 ** np.arange(-5, 3.1, 0.5)  # per bin, of columns with unit variance
BLOCKS = 4
GAP_S = 0.5  # left out on both sides of a block
LAGS_MS = (60.0, 120.0, 200.0)  # of earlier latents, where a readout reads these too
INSIDE_SHARE = 0.2  # of the labels, the last of them: what decides when a training stops


class Readout(NamedTuple):
    """A linear map from columns to behavior, in the units of the behavior.

    Attributes:
        weight: (columns, dims).
        bias: (dims,).
        penalty: the one that was chosen.
        r2: of the labels, each block decoded by the others; NaN where behavior does not vary.
    """

    weight: FloatArray
    bias: FloatArray
    penalty: float
    r2: float

    def __call__(self, columns: NDArray[Any]) -> FloatArray:
        """Decode (bins, columns) to (bins, dims)."""
        decoded: FloatArray = columns @ self.weight + self.bias
        return decoded


def fit_readout(columns: NDArray[Any], behavior: NDArray[Any], gap_bins: int) -> Readout:
    """Fit a readout to labelled bins, in the order of time.

    Args:
        columns: (bins, columns), what the readout reads.
        behavior: (bins, dims), finite.
        gap_bins: bins left out on both sides of a block while the penalty is chosen.

    Raises:
        ValueError: fewer than `2 * BLOCKS` bins, or numbers that are not finite.
    """
    x, y = np.asarray(columns, np.float64), np.asarray(behavior, np.float64)
    if len(x) < 2 * BLOCKS or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(
            f"expected at least {2 * BLOCKS} labelled bins with finite numbers, got {len(x)}; "
            "give more seconds of labels"
        )
    decoded = np.full((len(PENALTIES), *y.shape), np.nan)
    everything = np.arange(len(x))
    for block in np.array_split(everything, BLOCKS):
        beside = everything[
            (everything < block[0] - gap_bins) | (everything > block[-1] + gap_bins)
        ]
        if len(beside) >= BLOCKS:
            decoded[:, block] = _RidgePath(x[beside], y[beside]).decode(x[block])
    known = np.isfinite(decoded[0, :, 0]) if y.shape[1] else np.zeros(len(y), bool)
    errors = ((decoded[:, known] - y[known]) ** 2).mean(axis=1)  # (penalties, dims)
    spread = y.var(axis=0)
    varying = spread > 1e-12 * np.maximum(1e-300, np.abs(y).max(initial=0.0) ** 2)
    best = len(PENALTIES) // 2
    r2 = float("nan")
    if varying.any() and known.any():
        best = int(np.argmin((errors[:, varying] / spread[varying]).sum(axis=1)))
        r2 = float(r2_score(y[known][:, varying], decoded[best][known][:, varying]))
    weight, bias = _RidgePath(x, y).solve(PENALTIES[best])
    return Readout(weight, bias, float(PENALTIES[best]), r2)


class _RidgePath:
    """Ridge regression on standardized columns, all penalties from one decomposition."""

    def __init__(self, x: FloatArray, y: FloatArray) -> None:
        self.centre, self.level = x.mean(axis=0), y.mean(axis=0)
        spread = x.std(axis=0)
        self.scale = np.where(spread > 1e-9 * max(1e-300, float(spread.max())), spread, np.inf)
        self.z, self.bins = (x - self.centre) / self.scale, len(x)
        self.wide = self.z.shape[1] > self.bins
        gram = self.z @ self.z.T if self.wide else self.z.T @ self.z
        self.values, self.vectors = np.linalg.eigh(gram)
        right = (y - self.level) if self.wide else self.z.T @ (y - self.level)
        self.right = self.vectors.T @ right

    def solve(self, penalty: float) -> tuple[FloatArray, FloatArray]:
        """Weight (columns, dims) and bias (dims,)."""
        weight: FloatArray = self._weight(penalty) / self.scale[:, None]
        return weight, self.level - self.centre @ weight

    def decode(self, x: FloatArray) -> FloatArray:
        """Decode bins (bins, columns) with every penalty, (penalties, bins, dims)."""
        z = (x - self.centre) / self.scale
        decoded: FloatArray = np.stack([z @ self._weight(p) for p in PENALTIES]) + self.level
        return decoded

    def _weight(self, penalty: float) -> FloatArray:
        shrunk = np.maximum(self.values, 0.0) + penalty * self.bins
        solution: FloatArray = self.vectors @ (self.right / shrunk[:, None])
        return self.z.T @ solution if self.wide else solution


def lagged(columns: NDArray[Any], lags: Sequence[int]) -> NDArray[Any]:
    """The columns (bins, columns) with those of earlier bins beside them, 0 before the first."""
    parts = [columns]
    for lag in lags:
        earlier = np.zeros_like(columns)
        earlier[lag:] = columns[: max(0, len(columns) - lag)]
        parts.append(earlier)
    return np.concatenate(parts, axis=1)


def lag_bins(bin_ms: float) -> list[int]:
    """`LAGS_MS` in whole bins, at least one, each once."""
    return list(dict.fromkeys(max(1, round(ms / bin_ms)) for ms in LAGS_MS))


def latents_of(student: Student, session: PreparedSession, stop: int | None = None) -> FloatArray:
    """What the student's encoder says of the session as one stream, (bins, d_model)."""
    end = session.n_bins if stop is None else stop
    parts = stream_latents(student.eval(), session, 0, end)
    latents: FloatArray = torch.cat(parts, dim=1)[0].double().cpu().numpy()
    return latents


def labelled_bins(session: PreparedSession, label_s: float | None) -> NDArray[np.int64]:
    """Bins of the session's training time whose labels may be used; None: all of them."""
    return np.flatnonzero(session.training_labels(label_s)) + session.splits["train"][0]


def fit_to_session(
    columns: NDArray[Any], session: PreparedSession, label_s: float | None, lookahead: int = 0
) -> Readout:
    """Fit a readout of these columns (bins, columns) to the first `label_s` of the labels.

    With `lookahead` the columns so many bins later are read; labels without them are left out.
    """
    known = labelled_bins(session, label_s)
    known = known[known + lookahead < len(columns)]
    behavior, _ = session.behavior(0, session.n_bins)
    return fit_readout(columns[known + lookahead], behavior[known], gap_bins(session))


def gap_bins(session: PreparedSession) -> int:
    """What is left out beside a block of labels, in bins."""
    return round(GAP_S * 1000 / session.bin_ms)


def set_head(student: Student, session_id: str, readout: Readout) -> None:
    """Make a readout of the latents the student's head, for this session's units."""
    mean, std = student.head.scale(session_id).double().cpu().numpy()
    linear = student.head.linear
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(readout.weight.T / std[:, None]))
        linear.bias.copy_(torch.from_numpy((readout.bias - mean) / std))


def inside_labels(session: PreparedSession, label_s: float | None) -> PreparedSession:
    """The session with training and validation inside the first `label_s` of its labels.

    The last fifth of them decides when a training stops, the rest teaches; nothing else of the
    session's behavior is read.

    Raises:
        ValueError: there are too few labels to keep some for either.
    """
    known = labelled_bins(session, label_s)
    if len(known) < 2 * BLOCKS:
        raise ValueError(
            f"{session.path}: expected at least {2 * BLOCKS} labelled bins of training time, got "
            f"{len(known)}; give more seconds of labels"
        )
    start, stop = session.splits["train"][0], int(known[-1]) + 1
    cut = int(known[min(len(known) - 2, round((1 - INSIDE_SHARE) * len(known)))])
    gap = min(gap_bins(session), (cut - start) // 10)
    return session.with_splits(train=(start, cut - gap), validation=(cut, stop))
