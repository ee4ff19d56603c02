"""Random weights of a plausible student, for benchmarks and tests that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.streaming.weights import StudentSizes


def random_weights(sizes: StudentSizes, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Weights of these sizes, drawn in their order: outputs neither vanish nor overflow."""
    weights = {}
    for name, shape in sizes.shapes().items():
        value = rng.normal(size=shape) / np.sqrt(shape[-1] if len(shape) > 1 else 9)
        if name.endswith(("norm", ".D", "std")):
            value = 1 + 0.2 * np.abs(value)
        weights[name] = value - 3 if name.endswith("dt.bias") else value
    return weights
