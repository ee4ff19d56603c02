"""A bundle of a broadband recording: raw samples at 30 kHz in, behavior out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import contract
import numpy as np
import pytest
from streaming_cases import CHANNELS, SMALL, weights

from realm.signal import Decimation, SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes

RATE_HZ = 30_000.0


def raw(samples: int, seed: int = 0) -> np.ndarray:
    """Volts: slow waves, which channels share in part, and white noise; NaN in places."""
    rng, time = np.random.default_rng(seed), np.arange(samples)[:, None] / RATE_HZ
    waves = np.sin(2 * np.pi * (20.0 * time + np.arange(CHANNELS) / 7))
    x = 5e-5 * waves + 2e-5 * rng.normal(size=(samples, CHANNELS))
    x[rng.random(x.shape) < 1e-3] = np.nan
    return x


@pytest.fixture(scope="module")
def made() -> Bundle:
    names = [f"ch{i}" for i in range(CHANNELS)]
    chain = SignalChain(SignalConfig(line_hz=50.0), RATE_HZ, names).fit_guard(raw(30_000, 9))
    chain = chain.fit_normalization(chain.forward(raw(30_000, 9)))
    student = StudentSizes(CHANNELS * chain.n_bands, 2, **SMALL)
    return Bundle(
        session_id="rat-1",
        subject="rat",
        chain=chain,
        sizes=student,
        weights=weights(student),
        lookahead_bins=0,
        behavior_names=("x", "y"),
        behavior_unit="m/s",
        target="velocity",
        neutral=(0.0, 0.0),
    )


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_raw_chunks_of_any_length_give_the_same_bits(made: Bundle, engine: Any) -> None:
    decoder = StreamingDecoder(made, plain=engine == "numpy")
    contract.check_causal_part(
        decoder.step,
        decoder.initial_state,
        raw(4000),
        rng=np.random.default_rng(1),
        rtol=0,
        outputs_before=decoder.n_outputs,
    )


def test_saved_and_loaded_it_decodes_the_same(made: Bundle, tmp_path: Path) -> None:
    made.save(tmp_path / "bundle")
    decoder, loaded = StreamingDecoder(made), StreamingDecoder.load(tmp_path / "bundle")
    assert loaded.sampling_rate_hz == RATE_HZ
    assert any(isinstance(stage, Decimation) for stage in loaded.bundle.chain.stages)
    contract.assert_identical(loaded.forward(raw(9000)), decoder.forward(raw(9000)), "loaded")


def test_a_state_within_a_decimated_sample_goes_on_to_the_bit(made: Bundle) -> None:
    decoder, x = StreamingDecoder(made), raw(9000)
    _, state = decoder.step(x[:4321], decoder.initial_state())
    restored = decoder.state_from_bytes(decoder.state_to_bytes(state))
    contract.assert_identical(restored, state, "state")
    rest, _ = decoder.step(x[4321:], restored)
    whole = decoder.forward(x)
    contract.assert_identical(rest.behavior, whole.behavior[14:], "behavior")


def test_a_state_whose_parts_disagree_is_refused(made: Bundle) -> None:
    decoder = StreamingDecoder(made)
    _, state = decoder.step(raw(4321), decoder.initial_state())
    stages = list(state.signal.stages)
    stages[1] = stages[1]._replace(n_samples=4320)
    forged = state._replace(signal=state.signal._replace(stages=tuple(stages)))
    with pytest.raises(ValueError, match="expected as many bins"):
        decoder.state_from_bytes(decoder.state_to_bytes(forged))


def test_what_was_lost_is_counted_by_raw_samples(made: Bundle) -> None:
    decoder = StreamingDecoder(made)
    x = raw(6000, 3)
    filled = decoder.forward(x).quality.filled
    lost = np.isnan(x).reshape(20, 300, CHANNELS).mean(axis=1)
    assert lost.any()
    np.testing.assert_allclose(filled, lost, rtol=1e-12)
