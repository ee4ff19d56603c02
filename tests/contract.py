"""The one contract every causal part is held to.

A causal part is `initial_state()` and a pure `step(x, state) -> (y, state)`. Whatever it computes,
the same samples must give the same output however they are cut into chunks, the past must not
depend on the future by a single bit, and the state handed in must come back untouched.

Inputs, outputs and states may be numpy arrays, torch tensors, or (nested) tuples, NamedTuples,
lists and dictionaries of them. torch is imported only when a tensor is met.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Step = Callable[[Any, Any], tuple[Any, Any]]


def check_causal_part(
    step: Step,
    initial_state: Callable[[], Any],
    x: Any,
    *,
    rng: np.random.Generator,
    rtol: float = 1e-9,
    atol: float = 0.0,
    time_axis: int = 0,
    outputs_before: Callable[[int], int] | None = None,
    chunkings: Sequence[Sequence[int]] | None = None,
    perturb: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
) -> None:
    """Hold a causal part to all rules at once.

    Args:
        step: `(chunk, state) -> (output, state)`.
        initial_state: makes a fresh state.
        x: the whole input; every leaf has its time on `time_axis`.
        rng: draws the uneven chunkings and the other futures.
        rtol, atol: how closely chunks must match the whole.
        time_axis: where time lies, in inputs and outputs.
        outputs_before: how many outputs are complete after n inputs; for parts that change the
            rate. Without it one output per input is expected.
        chunkings: lists of chunk lengths to try instead of the standard ones.
        perturb: `(future, rng) -> another future`, for inputs that are not plain numbers.
    """
    with _no_grad(x):
        whole = check_chunks(
            step,
            initial_state,
            x,
            rng=rng,
            rtol=rtol,
            atol=atol,
            time_axis=time_axis,
            outputs_before=outputs_before,
            chunkings=chunkings,
        )
        check_future(
            step,
            initial_state,
            x,
            whole,
            rng=rng,
            time_axis=time_axis,
            outputs_before=outputs_before,
            perturb=perturb,
        )
        check_state_untouched(step, initial_state, x, time_axis=time_axis)


def check_chunks(
    step: Step,
    initial_state: Callable[[], Any],
    x: Any,
    *,
    rng: np.random.Generator,
    rtol: float,
    atol: float,
    time_axis: int = 0,
    outputs_before: Callable[[int], int] | None = None,
    chunkings: Sequence[Sequence[int]] | None = None,
) -> Any:
    """Any chunking equals the whole, outputs come as soon as they are complete; gives the whole."""
    length = time_length(x, time_axis)
    complete = outputs_before or (lambda n: n)
    whole, final = step(x, initial_state())
    assert time_length(whole, time_axis) == complete(length), "wrong number of outputs"
    for sizes in chunkings or standard_chunkings(length, rng):
        assert sum(sizes) == length
        state, parts, done = initial_state(), [], 0
        for size in sizes:
            y, state = step(time_slice(x, done, done + size, time_axis), state)
            arrived = time_length(y, time_axis)
            assert arrived == complete(done + size) - complete(done), "an output came late or early"
            parts.append(y)
            done += size
        assert_close(concatenate(parts, time_axis), whole, rtol, atol, f"chunks {sizes[:8]}...")
        assert_close(state, final, rtol, max(atol, 1e-12), f"final state, chunks {sizes[:8]}...")
    return whole


def check_future(
    step: Step,
    initial_state: Callable[[], Any],
    x: Any,
    whole: Any,
    *,
    rng: np.random.Generator,
    time_axis: int = 0,
    outputs_before: Callable[[int], int] | None = None,
    perturb: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
) -> None:
    """Another future leaves every output before it as it was, bit for bit."""
    length = time_length(x, time_axis)
    complete = outputs_before or (lambda n: n)
    cuts = sorted({0, 1, length // 2, length - 1, *rng.integers(0, length, size=3).tolist()})
    for cut in (c for c in cuts if 0 <= c < length):
        other, _ = step(with_other_future(x, cut, rng, time_axis, perturb), initial_state())
        past = complete(cut)
        left, right = time_slice(whole, 0, past, time_axis), time_slice(other, 0, past, time_axis)
        assert_identical(left, right, f"the past changed with the future from {cut} on")


def check_state_untouched(
    step: Step, initial_state: Callable[[], Any], x: Any, *, time_axis: int = 0
) -> None:
    """A step leaves input and state as they were, can be repeated; empty chunks do nothing."""
    length = time_length(x, time_axis)
    first, second = (
        time_slice(x, 0, length // 2, time_axis),
        time_slice(x, length // 2, length, time_axis),
    )
    _, state = step(first, initial_state())
    state_before, input_before = copy.deepcopy(state), copy.deepcopy(second)
    once, _ = step(second, state)
    assert_identical(state, state_before, "the step changed the state it was given")
    assert_identical(second, input_before, "the step changed its input")
    again, _ = step(second, state)
    assert_identical(once, again, "the same step from the same state gave another output")
    nothing, same = step(time_slice(x, 0, 0, time_axis), state)
    assert time_length(nothing, time_axis) == 0, "an empty chunk gave output"
    assert_identical(same, state, "an empty chunk changed the state")


def check_rows_independent(
    step: Step,
    initial_state: Callable[[int], Any],
    x: Any,
    *,
    rng: np.random.Generator,
    batch_axis: int = 0,
    rtol: float = 1e-9,
    atol: float = 0.0,
) -> None:
    """Rows of a batch do not see each other: alone, or beside other rows, the output is the same.

    `initial_state(batch)` makes the state of that many rows. Needs at least two rows.
    """
    with _no_grad(x):
        rows = time_length(x, batch_axis)
        assert rows >= 2, "give at least two rows"
        whole, _ = step(x, initial_state(rows))
        kept = int(rng.integers(rows))
        row = time_slice(x, kept, kept + 1, batch_axis)
        expected = time_slice(whole, kept, kept + 1, batch_axis)
        alone, _ = step(row, initial_state(1))
        assert_close(alone, expected, rtol, atol, "a row alone differs from the row in its batch")
        others = map_leaves(lambda leaf: _like(rng.normal(size=tuple(leaf.shape)), leaf), x)
        before, after = (
            time_slice(others, 0, kept, batch_axis),
            time_slice(others, kept + 1, rows, batch_axis),
        )
        mixed, _ = step(concatenate([before, row, after], batch_axis), initial_state(rows))
        got = time_slice(mixed, kept, kept + 1, batch_axis)
        assert_close(got, expected, rtol, atol, "a row changed with the other rows of its batch")


def check_gradients(
    step: Step,
    initial_state: Callable[[], Any],
    x: Any,
    parameters: Sequence[Any],
    *,
    rng: np.random.Generator,
    rtol: float = 1e-9,
    atol: float = 1e-12,
    time_axis: int = 1,
) -> None:
    """torch: gradients of input and parameters through chunks equal those through the whole."""
    import torch

    length = time_length(x, time_axis)
    weights: list[Any] = []

    def gradients(sizes: Sequence[int]) -> list[Any]:
        inputs = map_leaves(lambda leaf: leaf.detach().clone().requires_grad_(), x)
        state, parts, done = initial_state(), [], 0
        for size in sizes:
            y, state = step(time_slice(inputs, done, done + size, time_axis), state)
            parts.append(y)
            done += size
        outputs = leaves(concatenate(parts, time_axis))
        if not weights:
            weights.extend(_like(rng.normal(size=tuple(o.shape)), o) for o in outputs)
        loss = sum((o * w).sum() for o, w in zip(outputs, weights, strict=True))
        wanted = [*leaves(inputs), *parameters]
        found = torch.autograd.grad(loss, wanted, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for g, w in zip(found, wanted, strict=True)]

    expected = gradients([length])
    for sizes in standard_chunkings(length, rng)[1:]:
        assert_close(gradients(sizes), expected, rtol, atol, f"gradients, chunks {sizes[:8]}...")


def standard_chunkings(length: int, rng: np.random.Generator) -> list[list[int]]:
    """Chunk lengths that sum to `length`: ones then the rest, odd, halves, uneven, empty."""
    ones = [1] * min(length, 64)
    odd = [7] * (length // 7)
    return [
        [*ones, length - len(ones)],
        [*odd, length - sum(odd)],
        [length // 2, 0, length - length // 2],
        random_chunking(length, rng),
        random_chunking(length, rng),
    ]


def random_chunking(length: int, rng: np.random.Generator) -> list[int]:
    """Uneven chunk lengths, zeros among them, that sum to `length`."""
    n_cuts = int(rng.integers(1, 12))
    cuts = np.sort(rng.integers(0, length + 1, size=n_cuts))
    cuts = np.concatenate([cuts, cuts[:1]])  # a cut drawn twice gives an empty chunk
    sizes = np.diff(np.concatenate([[0], np.sort(cuts), [length]]))
    return [int(size) for size in sizes]


def with_other_future(
    x: Any,
    cut: int,
    rng: np.random.Generator,
    time_axis: int = 0,
    perturb: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
) -> Any:
    """A copy of `x` that differs from `cut` on."""

    def change(leaf: Any) -> Any:
        numbers = np.array(leaf.detach().numpy() if hasattr(leaf, "detach") else leaf)
        future = np.moveaxis(numbers, time_axis, 0)[cut:]
        if perturb is not None:
            future[...] = perturb(future.copy(), rng)
        elif numbers.dtype.kind == "b":
            future[...] = ~future
        else:
            future[...] = (10 * rng.normal(size=future.shape)).astype(numbers.dtype)
        return _like(numbers, leaf)

    return map_leaves(change, x)


# Trees of arrays ------------------------------------------------------------------------------


def leaves(tree: Any) -> list[Any]:
    """Every array, tensor or plain value of a tree, in order."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [] if tree is None else [tree]


def map_leaves(change: Callable[[Any], Any], tree: Any) -> Any:
    """The same tree with every array or tensor changed; strings and numbers stay."""
    if isinstance(tree, dict):
        return {key: map_leaves(change, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_leaves(change, part) for part in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(map_leaves(change, part) for part in tree)
    return change(tree) if _is_array(tree) else tree


def time_slice(tree: Any, start: int, stop: int, time_axis: int) -> Any:
    """Cut every leaf along its time."""
    index = (slice(None),) * time_axis + (slice(start, stop),)
    return map_leaves(lambda leaf: leaf[index], tree)


def time_length(tree: Any, time_axis: int) -> int:
    """The common length of all leaves."""
    lengths = {int(leaf.shape[time_axis]) for leaf in leaves(tree) if _is_array(leaf)}
    assert len(lengths) == 1, f"expected one length along axis {time_axis}, found {lengths}"
    return lengths.pop()


def concatenate(trees: Sequence[Any], time_axis: int) -> Any:
    """Join trees of the same shape along time."""
    first = trees[0]
    if isinstance(first, dict):
        return {key: concatenate([tree[key] for tree in trees], time_axis) for key in first}
    if isinstance(first, (tuple, list)):
        parts = [concatenate(list(group), time_axis) for group in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if not _is_array(first):
        return first
    if isinstance(first, np.ndarray):
        return np.concatenate(list(trees), axis=time_axis)
    return sys.modules["torch"].cat(list(trees), dim=time_axis)


def assert_close(left: Any, right: Any, rtol: float, atol: float, what: str) -> None:
    """All leaves agree within the tolerance."""
    a, b = leaves(left), leaves(right)
    assert len(a) == len(b), f"{what}: {len(a)} parts against {len(b)}"
    for one, other in zip(a, b, strict=True):
        if isinstance(one, str):
            assert one == other, what
        else:
            np.testing.assert_allclose(
                _numpy(one), _numpy(other), rtol=rtol, atol=atol, err_msg=what
            )


def assert_identical(left: Any, right: Any, what: str) -> None:
    """All leaves agree bit for bit (two NaNs agree)."""
    a, b = leaves(left), leaves(right)
    assert len(a) == len(b), f"{what}: {len(a)} parts against {len(b)}"
    for one, other in zip(a, b, strict=True):
        if isinstance(one, str):
            assert one == other, what
        else:
            np.testing.assert_array_equal(_numpy(one), _numpy(other), err_msg=what, strict=True)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or _is_tensor(value)


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if _is_tensor(value) else np.asarray(value)


def _like(numbers: np.ndarray, leaf: Any) -> Any:
    if _is_tensor(leaf):
        torch = sys.modules["torch"]
        return torch.as_tensor(numbers).to(dtype=leaf.dtype, device=leaf.device)
    return numbers.astype(leaf.dtype, copy=False)


def _no_grad(x: Any) -> Any:
    if any(_is_tensor(leaf) for leaf in leaves(x)):
        return sys.modules["torch"].no_grad()
    import contextlib

    return contextlib.nullcontext()
