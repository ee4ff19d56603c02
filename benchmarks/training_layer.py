"""Training one Mamba-2 layer, forward and backward, float32.

Three references: the layer's matrix products alone, at the rate that one large product reaches in
the same round; the same layer with torch's own gradients in place of compiled loops; and Hugging
Face's Mamba-2 mixer of the same size, where it is installed (`pip install transformers`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.timing import Row, Skipped, alternate, compare
from realm.nn import mamba2

CHUNK = 50  # bins: what `ssd` uses at these lengths
OTHER_CHUNK = 64  # faster there than the 256 that it comes with
PRODUCTS = 4  # in a row, or the cold start after the layer would lower the rate that it is held to

Pass = Callable[[], list[Tensor | None]]


class LayerSize(NamedTuple):
    """A layer and the batch that it learns from; `target` is a ratio to the matrix products."""

    name: str
    batch: int
    length: int
    d_model: int
    d_state: int
    headdim: int
    rounds: int = 3
    target: float | None = None
    target_other: float | None = None  # ratio to Hugging Face's


SIZES = (
    LayerSize("S", 32, 250, 64, 16, 32, rounds=15, target_other=1 / 2),
    LayerSize("M", 32, 500, 128, 64, 64, rounds=11, target=3.0, target_other=1 / 2.5),
    LayerSize("L", 32, 1000, 256, 64, 64, rounds=3, target_other=1 / 2),
)
TINY = LayerSize("tiny", 2, 100, 16, 8, 16)


def measure(quick: bool) -> list[Row | Skipped]:
    """Rows of every size."""
    if quick:
        return _measure(TINY, square=128)
    return [row for size in SIZES for row in _measure(size, square=1024)]


def _measure(size: LayerSize, square: int) -> list[Row | Skipped]:
    left, right, out = torch.randn(3, square, square).unbind()
    by_hand, other = training_pass(size), _hugging_face(size)
    parts: dict[str, Callable[[], object]] = {
        "by hand": by_hand,
        "autograd": lambda: _plainly(by_hand),
        "products": lambda: [torch.mm(left, right, out=out) for _ in range(PRODUCTS)],
    }
    seconds = alternate(parts if other is None else parts | {"other": other}, size.rounds)
    rate = PRODUCTS * 2 * square**3 / seconds["products"]  # (rounds,) operations per second
    floor, gflops = matrix_flops(size) / rate, float(np.median(rate)) / 1e9
    name = f"Mamba-2 layer {size.name}, training"
    taken, products = seconds["by hand"], f"its matrix products at {gflops:.0f} GFLOP/s"
    rows: list[Row | Skipped] = [
        compare(name, taken, "ms", products, floor, size.target),
        compare(name, taken, "ms", "the same in plain autograd", seconds["autograd"]),
    ]
    if other is None:
        return [*rows, Skipped(f"{name} beside Hugging Face", "transformers is not installed")]
    reference = f"Hugging Face Mamba2Mixer, chunk {OTHER_CHUNK}"
    return [*rows, compare(name, taken, "ms", reference, seconds["other"], size.target_other)]


def _hugging_face(size: LayerSize) -> Pass | None:
    """The same pass through Hugging Face's mixer, None where it is not installed."""
    try:
        from transformers import Mamba2Config
        from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
    except ImportError:
        return None
    logging.getLogger("transformers").setLevel(logging.ERROR)  # that its kernels are for GPUs
    config = Mamba2Config(
        hidden_size=size.d_model,
        state_size=size.d_state,
        head_dim=size.headdim,
        num_heads=2 * size.d_model // size.headdim,
        n_groups=1,
        chunk_size=OTHER_CHUNK,
        conv_kernel=4,
        use_bias=False,
    )
    return _pass_through(Mamba2Mixer(config, 0), size)


def training_pass(size: LayerSize) -> Pass:
    """Return a function that computes a layer's output and all gradients, that of x first."""
    return _pass_through(mamba2.Mamba2(size.d_model, size.d_state, size.headdim), size)


def _pass_through(layer: nn.Module, size: LayerSize) -> Pass:
    x = torch.randn(size.batch, size.length, size.d_model, requires_grad=True)
    g = torch.randn(x.shape)

    def one_pass() -> list[Tensor | None]:
        x.grad = None
        layer.zero_grad()
        layer(x).backward(g)
        return [x.grad, *(parameter.grad for parameter in layer.parameters())]

    return one_pass


def _plainly(training: Pass) -> list[Tensor | None]:
    with plain_autograd():
        return training()


@contextlib.contextmanager
def plain_autograd() -> Iterator[None]:
    """Let every mixer use torch's own gradients meanwhile."""
    with patch.object(mamba2, "fused", lambda *_: None):
        yield


def matrix_flops(size: LayerSize) -> int:
    """Floating-point operations of the layer's matrix products, forward and backward.

    Per bin and multiplication: the projections; inside a chunk, the overlap of C and B and its
    product with the inputs; into and out of the state that goes from chunk to chunk. A product
    takes twice as much backward as forward. `size.length` is a multiple of `CHUNK`.
    """
    inner = 2 * size.d_model
    heads = inner // size.headdim
    projections = size.d_model * (2 * inner + 2 * size.d_state + heads) + inner * size.d_model
    inside = CHUNK * (size.d_state + inner)
    across = 2 * size.d_state * inner
    return 3 * 2 * size.batch * size.length * (projections + inside + across)
