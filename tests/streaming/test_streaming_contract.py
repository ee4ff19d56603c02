"""The decoder from raw samples to behavior keeps the streaming rule, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract import check_causal_part
from hypothesis import given, settings
from hypothesis import strategies as st
from streaming_cases import bundle, faulty

from realm.streaming import StreamingDecoder
from realm.streaming.runtime import make_student

SAMPLES = 1300
KINDS = [("float64", True), ("float32", True), ("float32", False)]  # plain or compiled


def other_future(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return faulty(max(2, len(future)), int(rng.integers(1000)))[: len(future)]


@st.composite
def chunkings(draw: st.DrawFn, length: int = SAMPLES) -> list[int]:
    """Chunk lengths that sum to `length`: ones, odd, uneven, empty."""
    sizes: list[int] = []
    while (left := length - sum(sizes)) > 0 and len(sizes) < 60:
        sizes.append(min(left, draw(st.sampled_from([0, 1, 2, 5, 7, 33, 255, 256, 700]))))
    return [*sizes, length - sum(sizes), 0]


@pytest.fixture(scope="module", params=[0, 3], ids=["causal", "lookahead"])
def decoders(request: pytest.FixtureRequest) -> list[StreamingDecoder]:
    made = bundle(request.param)
    return [StreamingDecoder(made, precision, plain) for precision, plain in KINDS]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=map(str, KINDS))
def test_the_standard_chunkings(decoders: list[StreamingDecoder], kind: int) -> None:
    hold(decoders[kind], 1)


@settings(max_examples=10, deadline=None)
@given(chunks=chunkings(), seed=st.integers(0, 2**32 - 1))
def test_any_chunking(decoders: list[StreamingDecoder], chunks: list[int], seed: int) -> None:
    hold(decoders[2], seed, [chunks])


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(chunks=chunkings(), seed=st.integers(0, 2**32 - 1))
def test_five_hundred_chunkings_and_futures(
    decoders: list[StreamingDecoder], chunks: list[int], seed: int
) -> None:
    """Two hundred and fifty without and as many with a lookahead."""
    hold(decoders[2], seed, [chunks])


def hold(decoder: StreamingDecoder, seed: int, chunks: Any = None) -> None:
    check_causal_part(
        decoder.step,
        decoder.initial_state,
        faulty(SAMPLES, seed),
        rng=np.random.default_rng(seed),
        rtol=0,
        atol=0,
        outputs_before=decoder.n_outputs,
        chunkings=chunks,
        perturb=other_future,
    )


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_student_alone(engine: Any) -> None:
    made = bundle()
    student = make_student(made.weights, made.sizes, "float32", engine == "numpy")
    x = np.random.default_rng(0).normal(size=(90, made.sizes.features))
    check_causal_part(
        student.step, student.initial_state, x, rng=np.random.default_rng(1), rtol=0, atol=0
    )


def test_a_whole_recording_is_one_chunk(decoders: list[StreamingDecoder]) -> None:
    decoder, x = decoders[0], faulty(SAMPLES, 5)
    whole, stepped = decoder.forward(x), decoder.step(x, decoder.initial_state())[0]
    np.testing.assert_array_equal(whole.behavior, stepped.behavior)
    assert len(whole.behavior) == decoder.n_outputs(SAMPLES)
    np.testing.assert_array_equal(whole.quality.bin, np.arange(len(whole.behavior)))


def test_a_lookahead_moves_the_answer_not_the_signal() -> None:
    x = faulty(SAMPLES, 6)
    plain, late = (StreamingDecoder(bundle(bins), "float64").forward(x) for bins in (0, 3))
    np.testing.assert_array_equal(late.behavior, plain.behavior[3:])
    np.testing.assert_array_equal(late.quality.filled, plain.quality.filled[3:])
