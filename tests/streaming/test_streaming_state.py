"""The state of a stream can be saved and restored anywhere, and goes on to the same bit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import assert_identical, concatenate
from streaming_cases import bundle, faulty

from realm.files import write_bytes
from realm.streaming import StreamingDecoder
from realm.streaming.state import _leaves, _rebuilt

SAMPLES = 1500


@pytest.fixture(scope="module")
def decoder() -> StreamingDecoder:
    return StreamingDecoder(bundle(lookahead_bins=2))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("plain", [False, True])
def test_a_restored_stream_goes_on_to_the_bit(precision: Any, plain: bool) -> None:
    decoder, x = StreamingDecoder(bundle(3), precision, plain), faulty(SAMPLES, 1)
    whole, final = decoder.step(x, decoder.initial_state())
    rng, state, parts, at = np.random.default_rng(2), decoder.initial_state(), [], 0
    while at < SAMPLES:
        size = int(rng.integers(0, 60))
        decoded, state = decoder.step(x[at : at + size], state)
        parts.append(decoded)
        at += size
        saved = decoder.state_to_bytes(state)
        state = decoder.state_from_bytes(saved)
        assert decoder.state_to_bytes(state) == saved
    assert_identical(concatenate(parts, 0), whole, "a restored stream differs")
    assert_identical(state, final, "its last state differs")


def test_another_process_would_go_on_from_a_file(decoder: StreamingDecoder, tmp_path: Path) -> None:
    x = faulty(SAMPLES, 3)
    _, state = decoder.step(x[:700], decoder.initial_state())
    decoder.save_state(state, tmp_path / "state")
    again = StreamingDecoder(bundle(lookahead_bins=2))
    restored = again.load_state(tmp_path / "state")
    assert_identical(again.step(x[700:], restored)[0], decoder.step(x[700:], state)[0], "differs")
    assert os.listdir(tmp_path) == ["state"]


def test_a_restored_state_belongs_to_the_caller(decoder: StreamingDecoder) -> None:
    content = decoder.state_to_bytes(decoder.step(faulty(300), decoder.initial_state())[1])
    one, other = decoder.state_from_bytes(content), decoder.state_from_bytes(content)
    one.student.ssm[:] = 7
    assert_identical(decoder.state_from_bytes(content), other, "shared")


def test_a_state_of_another_bundle_or_precision_is_refused(decoder: StreamingDecoder) -> None:
    content = decoder.state_to_bytes(decoder.initial_state())
    with pytest.raises(ValueError, match="load that bundle"):
        StreamingDecoder(bundle()).state_from_bytes(content)
    with pytest.raises(ValueError, match="another precision"):
        StreamingDecoder(bundle(2), "float64").state_from_bytes(content)


def test_damaged_states_are_refused(decoder: StreamingDecoder) -> None:
    content = decoder.state_to_bytes(decoder.step(faulty(500), decoder.initial_state())[1])
    rng = np.random.default_rng(4)
    for _ in range(300):
        changed = bytearray(content)
        at = int(rng.integers(len(changed)))
        kind = int(rng.integers(3))
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del changed[at:]
        else:
            changed[at:at] = rng.bytes(3)
        with pytest.raises(ValueError, match="state: expected"):
            decoder.state_from_bytes(bytes(changed))


@pytest.mark.parametrize("field", ["nan", "bins", "samples"])
def test_forged_states_are_refused(decoder: StreamingDecoder, field: str) -> None:
    _, state = decoder.step(faulty(500), decoder.initial_state())
    if field == "nan":
        student = state.student._replace(ssm=np.full_like(state.student.ssm, np.nan))
        state = state._replace(student=student)
    elif field == "bins":
        state = state._replace(bins=state.bins + 1)
    else:
        stages = tuple(
            stage._replace(n_samples=-9) if hasattr(stage, "n_samples") else stage
            for stage in state.signal.stages
        )
        state = state._replace(signal=state.signal._replace(stages=stages))
    with pytest.raises(ValueError, match="start from initial_state"):
        decoder.state_from_bytes(decoder.state_to_bytes(state))


def test_no_forged_state_crashes_or_lasts(decoder: StreamingDecoder) -> None:
    """Numbers out of all range with a hash that is right: refused, or decoded without harm."""
    x = faulty(500)
    _, state = decoder.step(x, decoder.initial_state())
    leaves, rng = list(_leaves(state)), np.random.default_rng(0)
    odd = [-1, -(2**62), 2**62, 2**31, -1e308, 1e308, 1e29, -5, np.iinfo(np.int64).max]
    refused = 0
    for _ in range(300):
        changed = [np.array(leaf) for leaf in leaves]
        chosen = changed[int(rng.integers(len(changed)))]
        value = odd[int(rng.integers(len(odd)))]
        with np.errstate(over="ignore", invalid="ignore"):
            chosen[...] = np.array(value).astype(chosen.dtype)
        forged = _rebuilt(state, iter(changed))
        try:
            restored = decoder.state_from_bytes(decoder.state_to_bytes(forged))
        except ValueError:
            refused += 1
            continue
        decoded, _ = decoder.step(faulty(2000, 1), restored)
        assert np.isfinite(decoded.behavior).all()
        assert not decoded.quality.restarted[-100:].any()
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"realm-state 1\n", b"\x80\x04\x95", None])
def test_what_is_no_state_is_named(
    decoder: StreamingDecoder, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "state"
    if content is not None:
        write_bytes(path, content)
    with pytest.raises(ValueError, match=str(path)):
        decoder.load_state(path)
