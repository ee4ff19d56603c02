"""What one bin costs a decoder: multiplications and remembered bytes, from its architecture.

A matrix that is used in every bin costs one multiply-accumulate per entry. The state space of a
Mamba-2 layer and attention, which have no matrix, are added. Products of vectors (gates, norms) are
left out; they are a few percent. Only the decoder is counted: the signal chain before it is the
same for all methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from realm.methods.lags import Lags
from realm.nn.adapters import parameter_key
from realm.nn.mamba2 import Mamba2
from realm.nn.patch_transformer import PatchEmbedding, PatchTransformer
from realm.nn.published.mixer import PublishedMamba2
from realm.nn.published.tokenizer import NeuralTokenizer
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.nn.transformer import CausalTransformerEncoder

MAX_COLUMNS = 2000  # of the linear decoders' design, as in their constructors
NUMPY_BYTES = 8  # the linear decoders run in float64
TORCH_BYTES = 4


class Complexity(NamedTuple):
    """Of one session's decoder. `state_bytes` is None where the whole recording is read."""

    macs_per_bin: int
    state_bytes: int | None


def student_complexity(student: Student, session_id: str) -> Complexity:
    """A causal network between adapter and head, Mamba-2 or any other."""
    encoder = student.encoder
    macs = _matrices(encoder.parameters()) + _mixing(encoder)
    macs += student.adapters.weight(session_id).numel() + student.head.linear.weight.numel()
    remembered = sum(tensor.numel() for tensor in _tensors(student.initial_state(1)))
    if isinstance(encoder, CausalTransformerEncoder):  # its state grows until the context is full
        remembered = 2 * len(encoder.blocks) * (encoder.context_bins - 1) * encoder.d_model
    return Complexity(macs, remembered * TORCH_BYTES)


def teacher_complexity(teacher: Teacher, session_id: str, readout: int = 0) -> Complexity:
    """A bidirectional Mamba-2; `readout` is the entries of a probe that replaces its head."""
    macs = _matrices(teacher.encoder.parameters()) + _mixing(teacher.encoder)
    macs += teacher.adapters.weight(session_id).numel()
    return Complexity(macs + (readout or teacher.head.linear.weight.numel()), None)


def patch_transformer_complexity(
    network: PatchTransformer, session_id: str, dims: int
) -> Complexity:
    """The masked Transformer and its probe, windows overlapping by two thirds as it is decoded."""
    width, layers = network.d_model, len(network.encoder)
    embedding = network.embeddings[parameter_key(session_id)]
    assert isinstance(embedding, PatchEmbedding)
    patches = embedding.grid.patches
    per_token = _matrices(network.encoder.parameters())
    per_token += layers * 2 * network.window_bins * patches * width  # attention
    per_bin = patches * per_token + embedding.weight.numel()
    read = network.window_bins / (network.window_bins - 2 * (network.window_bins // 3))
    return Complexity(round(read * per_bin) + patches * width * dims, None)


def ridge_complexity(features: int, dims: int, lag_bins: int) -> Complexity:
    """The Wiener filter on `features` per bin."""
    lags = Lags.spread(lag_bins, features, MAX_COLUMNS)
    return Complexity(lags.columns * dims, lags.history * features * NUMPY_BYTES)


def kalman_complexity(
    parameters: int, features: int, dims: int, lag_bins: int, latest_bins: int
) -> Complexity:
    """The settled Kalman filter: every parameter but the two offsets is multiplied once a bin.

    `latest_bins` is the longest delay it may have chosen; its state is at most what is given.
    """
    state = 2 * dims  # behavior and its change
    history = max(Lags.spread(lag_bins, features, MAX_COLUMNS).history, latest_bins)
    return Complexity(parameters - state - dims, (state + history * features) * NUMPY_BYTES)


def _matrices(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters if parameter.ndim >= 2)


def _mixing(encoder: nn.Module) -> int:
    """What layers do without a matrix: decay, intake and readout of a state, or attention."""
    state_spaces = (module for module in encoder.modules() if isinstance(module, Mamba2))
    macs = sum(3 * m.n_heads * m.headdim * m.d_state for m in state_spaces)
    for part in encoder.modules():
        if isinstance(part, PublishedMamba2):  # its state is turned as well
            macs += 4 * part.n_heads * part.headdim * part.d_state
        elif isinstance(part, NeuralTokenizer):  # one convolution for all channels
            macs += (part.channels - 1) * part.conv_weight.numel()
    if isinstance(encoder, CausalTransformerEncoder):
        # Keys are remembered as they came and turned anew in every bin: as much again.
        macs += 4 * len(encoder.blocks) * encoder.context_bins * encoder.d_model
    return macs


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, (tuple, list)):
        for part in state:
            yield from _tensors(part)
