"""The numbers of a student for one session: names, shapes, and what they must be.

Tensors are float64, so that folding the session's adapter into one matrix loses nothing. Letters
in shapes: F features (channels * bands), M d_model, I d_model * expand, N d_state, H heads,
K conv_kernel, D dims of behavior; a layer convolves I + 2N channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]

LARGEST_SIZE = 65_536  # of any one dimension
LARGEST_COUNT = 1 << 26  # weights in all: half a gigabyte


@dataclass(frozen=True)
class StudentSizes:
    """The size of a student.

    Raises:
        ValueError: a size is out of range or they do not fit together.
    """

    features: int  # channels * bands
    behavior: int  # dims
    layers: int
    d_model: int
    d_state: int
    headdim: int
    expand: int
    conv_kernel: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or not 1 <= value <= LARGEST_SIZE:
                raise ValueError(
                    f"student: expected {name} as a whole number from 1 to {LARGEST_SIZE}, got "
                    f"{value!r}; make the bundle again"
                )
        if self.d_inner % self.headdim:
            raise ValueError(
                f"student: expected a headdim that divides d_model * expand = {self.d_inner}, got "
                f"{self.headdim}; make the bundle again"
            )
        if self.count > LARGEST_COUNT:
            raise ValueError(
                f"student: expected at most {LARGEST_COUNT} weights, these sizes make "
                f"{self.count}; bundle a smaller student"
            )

    @property
    def d_inner(self) -> int:
        """Width of a mixer."""
        return self.d_model * self.expand

    @property
    def heads(self) -> int:
        """State space heads of a layer."""
        return self.d_inner // self.headdim

    @property
    def convolved(self) -> int:
        """Channels of a layer's convolution."""
        return self.d_inner + 2 * self.d_state

    @property
    def projected(self) -> int:
        """Columns of a layer's input projection: gate, convolved channels, step sizes."""
        return self.d_inner + self.convolved + self.heads

    @property
    def count(self) -> int:
        """Numbers in all tensors together."""
        m, i = self.d_model, self.d_inner
        layer = m + self.projected * m + self.convolved * (self.conv_kernel + 1)
        layer += 2 * self.d_state + 3 * self.heads + 2 * i + i * m
        ends = (self.features + 1) * m + (m + 3) * self.behavior
        return self.layers * layer + ends

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor; matrices are (out, in), as in torch."""
        m, i, h, d = self.d_model, self.d_inner, self.heads, self.behavior
        shapes: dict[str, tuple[int, ...]] = {
            "adapter.weight": (m, self.features),
            "adapter.bias": (m,),
            "head.weight": (d, m),
            "head.bias": (d,),
            "scale.mean": (d,),
            "scale.std": (d,),
        }
        layer = {
            "norm": (m,),
            "gate.weight": (i, m),
            "gate.bias": (i,),
            "xBC.weight": (self.convolved, m),
            "dt.weight": (h, m),
            "dt.bias": (h,),
            "conv.weight": (self.conv_kernel, self.convolved),
            "conv.bias": (self.convolved,),
            "B_bias": (self.d_state,),
            "C_bias": (self.d_state,),
            "A_log": (h,),
            "D": (h,),
            "out_norm": (i,),
            "out.weight": (m, i),
        }
        for index in range(self.layers):
            shapes.update({f"layers.{index}.{name}": shape for name, shape in layer.items()})
        return shapes


def check_weights(weights: Weights, sizes: StudentSizes) -> None:
    """Every tensor is there, of its shape, float64 and finite, and there is no other.

    Raises:
        ValueError: the message names the tensor.
    """
    shapes = sizes.shapes()
    wrong = sorted(set(shapes) ^ set(weights))
    if wrong:
        raise ValueError(
            f"student: expected the {len(shapes)} tensors of its sizes, but {', '.join(wrong[:6])} "
            "is missing or unknown; make the bundle again"
        )
    for name, shape in shapes.items():
        array = weights[name]
        if array.dtype != np.float64 or array.shape != shape:
            raise ValueError(
                f"student: expected {name} as float64 of shape {shape}, got {array.dtype} of shape "
                f"{array.shape}; make the bundle again"
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"student: expected finite weights, but {name} holds NaN or infinity; "
                "the training diverged or the file is damaged, make the bundle again"
            )
    if (weights["scale.std"] <= 0).any():
        raise ValueError(
            "student: expected standard deviations of behavior above zero, got "
            f"{weights['scale.std'].tolist()}; make the bundle again"
        )
