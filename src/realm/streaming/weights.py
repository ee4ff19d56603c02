"""The numbers of a student for one session: sizes, names, shapes, and what they must be.

Tensors are float64, so that folding the session's adapter into one matrix loses nothing. Letters
in shapes: F features (channels * bands), M d_model, I d_model * expand, N d_state, H heads,
K conv_kernel, D dims of behavior; a layer convolves I + 2N channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Mapping[str, Floats]
Reals = NDArray[np.floating]

LARGEST_SIZE = 65_536  # of any one dimension
LARGEST_COUNT = 1 << 26  # weights in all: half a gigabyte
LONGEST_TEXT = 1_000
WANTED = {"int": f"a whole number from 1 to {LARGEST_SIZE}", "float": "a finite number"}


@dataclass(frozen=True)
class Sizes:
    """What says the shape of every array of a student: its inputs, outputs and its encoder.

    Subclass it as a frozen dataclass for a kind of encoder; its further fields are the encoder's
    settings, whole numbers of at least 1, finite numbers, flags or texts. They are what a bundle
    stores of it.

    Raises:
        ValueError: a setting is of another type or out of range.
    """

    kind: ClassVar[str]

    features: int  # channels * bands
    behavior: int  # dims

    def __post_init__(self) -> None:
        for field in fields(self):
            value, wanted = getattr(self, field.name), getattr(field.type, "__name__", field.type)
            if type(value).__name__ != wanted or not _in_range(value):
                expected = WANTED.get(str(wanted), str(wanted))
                raise ValueError(
                    f"student: expected {field.name} as {expected}, got {value!r}; make the bundle "
                    "again"
                )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array; those of `ends` are among them."""
        raise NotImplementedError

    @classmethod
    def setting_names(cls) -> tuple[str, ...]:
        """Names of the encoder's settings."""
        return tuple(f.name for f in fields(cls) if f.name not in ("features", "behavior"))

    @property
    def settings(self) -> dict[str, Any]:
        """The encoder's settings by name."""
        return {name: getattr(self, name) for name in self.setting_names()}

    @property
    def count(self) -> int:
        """Numbers in all arrays together."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    def check_count(self) -> None:
        """Raise a ValueError where there are more numbers than a bundle may hold."""
        if self.count > LARGEST_COUNT:
            raise ValueError(
                f"student: expected at most {LARGEST_COUNT} weights, these sizes make "
                f"{self.count}; bundle a smaller student"
            )

    def ends(self, d_model: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the session's adapter, the head and the behavior's scale; (out, in)."""
        return {
            "adapter.weight": (d_model, self.features),
            "adapter.bias": (d_model,),
            "head.weight": (self.behavior, d_model),
            "head.bias": (self.behavior,),
            "scale.mean": (self.behavior,),
            "scale.std": (self.behavior,),
        }

    def summary(self) -> str:
        """The encoder in a few words, for people."""
        return ", ".join([self.kind, *(f"{k} {v}" for k, v in self.settings.items())])


def _in_range(value: Any) -> bool:
    if type(value) is int:
        return 1 <= value <= LARGEST_SIZE
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool) or (isinstance(value, str) and len(value) <= LONGEST_TEXT)


@dataclass(frozen=True)
class StudentSizes(Sizes):
    """The size of a student with a Mamba-2 encoder.

    Raises:
        ValueError: a size is out of range or they do not fit together.
    """

    kind: ClassVar[str] = "mamba2"

    layers: int
    d_model: int
    d_state: int
    headdim: int
    expand: int
    conv_kernel: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_inner % self.headdim:
            raise ValueError(
                f"student: expected a headdim that divides d_model * expand = {self.d_inner}, got "
                f"{self.headdim}; make the bundle again"
            )
        self.check_count()

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

    def summary(self) -> str:
        """The encoder in a few words, for people."""
        return f"{self.layers} layers, width {self.d_model}, state {self.d_state}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor; matrices are (out, in), as in torch."""
        m, i, h = self.d_model, self.d_inner, self.heads
        shapes = self.ends(m)
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


def check_weights(weights: Weights, sizes: Sizes) -> None:
    """Every tensor is there, of its shape, float64 and finite, and there is no other.

    Raises:
        ValueError: the message names the tensor.
    """
    sizes.check_count()
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
    if "scale.std" in shapes and (weights["scale.std"] <= 0).any():
        raise ValueError(
            "student: expected standard deviations of behavior above zero, got "
            f"{weights['scale.std'].tolist()}; make the bundle again"
        )
