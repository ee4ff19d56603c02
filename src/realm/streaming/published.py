"""The published student on the rig: its sizes, and the step of one bin in numpy, the definition.

The same arithmetic as `realm.nn.published`, one bin at a time. The state space stands in the frame
of the present bin and is turned back by one position with each bin, so nothing counts positions.

Letters in shapes: F features of the session, P places (channels * bands), M d_model, I d_model *
expand, N d_state, H heads, K conv_kernel, E features of a channel, D dims of behavior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from realm.streaming.student import EPSILON, LOWEST_EXPONENT, NEGLIGIBLE
from realm.streaming.weights import Reals, Sizes

KERNEL = 3  # bins that the tokenizer's convolution reads
BASE = 10_000.0  # of the rotation's frequencies


@dataclass(frozen=True)
class PublishedSizes(Sizes):
    """The size of a published student.

    Raises:
        ValueError: a size is out of range or they do not fit together.
    """

    kind: ClassVar[str] = "published"

    channels: int
    bands: int
    layers: int
    d_model: int
    d_state: int
    headdim: int
    expand: int
    conv_kernel: int
    d_channel: int
    attention_kernel: int
    mean_bins: int
    skip: bool

    def __post_init__(self) -> None:
        """Check that the sizes fit together."""
        super().__post_init__()
        fits = not self.d_inner % self.headdim and not self.d_state % 2
        if not fits or not self.attention_kernel % 2 or self.features > self.places:
            raise ValueError(
                "student: expected headdim to divide d_model * expand, an even d_state, an odd "
                f"attention_kernel and at most {self.places} features, got headdim {self.headdim} "
                f"for {self.d_inner}, d_state {self.d_state}, attention_kernel "
                f"{self.attention_kernel} and {self.features}; make the bundle again"
            )

    @property
    def places(self) -> int:
        """Features that the tokenizer takes."""
        return self.channels * self.bands

    @property
    def d_inner(self) -> int:
        """Width of a mixer."""
        return self.d_model * self.expand

    @property
    def heads(self) -> int:
        """State space heads of a layer."""
        return self.d_inner // self.headdim

    def summary(self) -> str:
        """The encoder in a few words, for people."""
        return f"published, {self.layers} layers, width {self.d_model}, state {self.d_state}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array; matrices are (out, in), as in torch."""
        m, i, h, n = self.d_model, self.d_inner, self.heads, self.d_state
        shapes = self.ends(m + self.places * self.skip)
        shapes |= {"adapter.weight": (self.places, self.features), "adapter.bias": (self.places,)}
        shapes |= {
            "tokenizer.conv_weight": (KERNEL, self.d_channel, self.bands),
            "tokenizer.conv_bias": (self.d_channel,),
            "tokenizer.attention_weight": (self.attention_kernel,),
            "tokenizer.project.weight": (m, self.channels * self.d_channel),
            "tokenizer.project.bias": (m,),
            "tokenizer.norm.weight": (m,),
            "tokenizer.norm.bias": (m,),
            "out_norm.weight": (m,),
            "out_norm.bias": (m,),
        }
        layer = {
            "norms.{}.weight": (m,),
            "norms.{}.bias": (m,),
            "mixers.{}.to_signal_and_gate.weight": (2 * i, m),
            "mixers.{}.conv_weight": (self.conv_kernel, i),
            "mixers.{}.conv_bias": (i,),
            "mixers.{}.to_BC.weight": (2 * n, i),
            "mixers.{}.to_dt.weight": (h, i),
            "mixers.{}.to_dt.bias": (h,),
            "mixers.{}.A_log": (h,),
            "mixers.{}.D": (h,),
            "mixers.{}.out.weight": (m, i),
        }
        for index in range(self.layers):
            shapes |= {name.format(index): shape for name, shape in layer.items()}
        return shapes


class PublishedState(NamedTuple):
    """What the student remembers."""

    inputs: Reals  # (KERNEL - 1, P) last features, oldest first
    mean: Reals  # (channels,) of what the attention looks at
    bins: int  # that the mean knows, at most mean_bins
    conv: Reals  # (layers, K - 1, I) last inputs of the convolutions, oldest first
    ssm: Reals  # (layers, I, N) in the frame of the last bin


class PublishedStep:
    """Features (F,) to behavior (D,) in its unit, one bin at a time, in numpy."""

    def __init__(self, arrays: dict[str, Reals], sizes: PublishedSizes) -> None:
        self.sizes, self.dtype = sizes, arrays["head.weight"].dtype
        self._arrays = arrays
        self._layers = [_of(arrays, index) for index in range(sizes.layers)]
        angles = BASE ** (-np.arange(0, sizes.d_state, 2) / sizes.d_state)
        self._cos, self._sin = np.cos(angles).astype(self.dtype), np.sin(angles).astype(self.dtype)

    def initial_state(self) -> PublishedState:
        """Return the state of silence before the first bin."""
        s, dtype = self.sizes, self.dtype
        return PublishedState(
            np.zeros((KERNEL - 1, s.places), dtype),
            np.zeros(s.channels, dtype),
            0,
            np.zeros((s.layers, s.conv_kernel - 1, s.d_inner), dtype),
            np.zeros((s.layers, s.d_inner, s.d_state), dtype),
        )

    def step(self, features: Reals, state: PublishedState) -> tuple[Reals, PublishedState]:
        """Decode one bin; the state that is passed in is not changed."""
        a = self._arrays
        placed = a["adapter.weight"] @ features + a["adapter.bias"]  # (P,)
        recent = np.concatenate([state.inputs, placed[None]])
        bins = min(state.bins + 1, self.sizes.mean_bins)
        x, mean = self._token(recent, state.mean, bins)
        conv, ssm = np.empty_like(state.conv), np.empty_like(state.ssm)
        for index, layer in enumerate(self._layers):
            unit = _normed(x, layer["norm.weight"], layer["norm.bias"])
            before = state.conv[index], state.ssm[index]
            mixed, conv[index], ssm[index] = self._mixed(layer, unit, *before)
            x = x + mixed
        latent = _normed(x, a["out_norm.weight"], a["out_norm.bias"])
        read = np.concatenate([latent, placed]) if self.sizes.skip else latent
        behavior = a["head.weight"] @ read + a["head.bias"]
        in_units: Reals = behavior * a["scale.std"] + a["scale.mean"]
        return in_units, PublishedState(recent[1:], mean, bins, conv, ssm)

    def _token(self, recent: Reals, mean: Reals, bins: int) -> tuple[Reals, Reals]:
        """The token (M,) of the last KERNEL bins, and the mean (channels,) with this bin in it."""
        a, s = self._arrays, self.sizes
        taps = recent.reshape(KERNEL, s.channels, s.bands)
        features = a["tokenizer.conv_bias"] + np.einsum(
            "kcb,kfb->cf", taps, a["tokenizer.conv_weight"]
        )
        half, root = self.dtype.type(0.5), self.dtype.type(0.5**0.5)
        features = half * features * (1 + _erf(features * root))  # GELU, (channels, E)
        mean = mean + (features.mean(axis=1) - mean) / self.dtype.type(bins)
        padded = np.pad(mean, s.attention_kernel // 2)
        attention = np.correlate(padded, a["tokenizer.attention_weight"], "valid")
        weighted = features / (1 + np.exp(-attention))[:, None]
        token = a["tokenizer.project.weight"] @ weighted.ravel() + a["tokenizer.project.bias"]
        return _normed(token, a["tokenizer.norm.weight"], a["tokenizer.norm.bias"]), mean

    def _mixed(
        self, layer: dict[str, Reals], x: Reals, conv: Reals, ssm: Reals
    ) -> tuple[Reals, Reals, Reals]:
        """What a layer adds to (M,), and its states after this bin."""
        signal, gate = np.split(layer["to_signal_and_gate.weight"] @ x, 2)
        recent = np.concatenate([conv, signal[None]])  # (K, I)
        inner = _silu((recent * layer["conv_weight"]).sum(axis=0) + layer["conv_bias"])
        B, C = np.split(layer["to_BC.weight"] @ inner, 2)
        dt = layer["to_dt.weight"] @ inner + layer["to_dt.bias"]
        dt = np.log1p(np.exp(-np.abs(dt))) + np.maximum(dt, 0)  # softplus, (H,)
        keep = np.exp(np.maximum(dt * layer["A"], self.dtype.type(LOWEST_EXPONENT)))
        keep, skip = (np.repeat(each, self.sizes.headdim) for each in (keep, layer["D"]))
        first, second = np.split(ssm, 2, axis=1)
        cos, sin = keep[:, None] * self._cos, keep[:, None] * self._sin
        after = inner[:, None] * B
        after += np.concatenate([first * cos + second * sin, second * cos - first * sin], axis=1)
        after[np.abs(after) < NEGLIGIBLE] = 0
        y = (after @ C + skip * inner) * _silu(gate)
        return layer["out.weight"] @ y, recent[1:], after


def _of(arrays: dict[str, Reals], index: int) -> dict[str, Reals]:
    """The arrays of one layer by their names in it."""
    layer = {}
    for prefix, short in ((f"norms.{index}.", "norm."), (f"mixers.{index}.", "")):
        for name in arrays:
            if name.startswith(prefix):
                layer[short + name.removeprefix(prefix)] = arrays[name]
    layer["A"] = -np.exp(np.minimum(layer["A_log"], 80))
    return layer


def _normed(x: Reals, weight: Reals, bias: Reals) -> Reals:
    """LayerNorm."""
    centred = x - x.mean()
    scaled: Reals = centred / np.sqrt(np.mean(centred * centred) + x.dtype.type(EPSILON))
    return scaled * weight + bias


def _erf(x: Reals) -> Reals:
    values: Reals = np.array([math.erf(value) for value in x.ravel().tolist()], x.dtype)
    return values.reshape(x.shape)


def _silu(x: Reals) -> Reals:
    opened: Reals = x / (1 + np.exp(-x))
    return opened
