"""A student's weights as the runtimes read them: folded, stacked, in one dtype.

Letters in shapes as in `weights.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realm.streaming.weights import Floats, Reals, StudentSizes, Weights


@dataclass(frozen=True, eq=False)
class Packed:
    """Weights as a runtime reads them, in one dtype.

    Norms are folded into the matrix that follows, the projections of a layer stand side by side
    (gate, then convolved channels, then step sizes), matrices are (in, out), layers are stacked.
    """

    sizes: StudentSizes
    dtype: np.dtype[np.floating]
    adapter: NDArray[np.floating]  # (F, M)
    adapter_bias: NDArray[np.floating]  # (M,)
    project: NDArray[np.floating]  # (layers, M, I + I + 2N + H)
    project_bias: NDArray[np.floating]  # (layers, I + I + 2N + H)
    conv: NDArray[np.floating]  # (layers, K, I + 2N)
    conv_bias: NDArray[np.floating]  # (layers, I + 2N)
    into: NDArray[np.floating]  # (layers, 2, N): biases of B and C
    decay: NDArray[np.floating]  # (layers, H): A, negative
    skip: NDArray[np.floating]  # (layers, H)
    out: NDArray[np.floating]  # (layers, I, M)
    head: NDArray[np.floating]  # (M, D), in units
    head_bias: NDArray[np.floating]  # (D,), in units


def rounded(array: Floats, dtype: type[np.floating]) -> Reals:
    """The numbers in another precision.

    Raises:
        ValueError: one is too large for it.
    """
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, dtype=dtype)
    if not np.isfinite(result).all():
        raise ValueError(
            f"student: expected weights within the range of {np.dtype(dtype)}, some are "
            "larger; the training diverged or the file is damaged, make the bundle again"
        )
    return result


def pack(weights: Weights, sizes: StudentSizes, dtype: type[np.floating]) -> Packed:
    """Fold and stack checked weights in float64, then round once to `dtype`.

    Raises:
        ValueError: a weight is too large for `dtype`.
    """

    def stacked(*parts: Floats) -> NDArray[np.floating]:
        return rounded(np.stack(parts), dtype)

    layers = [
        {
            name.removeprefix(f"layers.{index}."): array
            for name, array in weights.items()
            if name.startswith(f"layers.{index}.")
        }
        for index in range(sizes.layers)
    ]
    silent = np.zeros(sizes.convolved)
    std, mean = weights["scale.std"], weights["scale.mean"]
    plain = {
        "adapter": weights["adapter.weight"].T,
        "adapter_bias": weights["adapter.bias"],
        "head": weights["head.weight"].T * std,
        "head_bias": weights["head.bias"] * std + mean,
    }
    project = [
        np.concatenate([p["gate.weight"], p["xBC.weight"], p["dt.weight"]]).T * p["norm"][:, None]
        for p in layers
    ]
    return Packed(
        sizes=sizes,
        dtype=np.dtype(dtype),
        project=stacked(*project),
        project_bias=stacked(
            *(np.concatenate([p["gate.bias"], silent, p["dt.bias"]]) for p in layers)
        ),
        conv=stacked(*(p["conv.weight"] for p in layers)),
        conv_bias=stacked(*(p["conv.bias"] for p in layers)),
        into=stacked(*(np.stack([p["B_bias"], p["C_bias"]]) for p in layers)),
        decay=stacked(*(-np.exp(np.minimum(p["A_log"], 80)) for p in layers)),
        skip=stacked(*(p["D"] for p in layers)),
        out=stacked(*(p["out.weight"].T * p["out_norm"][:, None] for p in layers)),
        **{name: rounded(array, dtype) for name, array in plain.items()},
    )
