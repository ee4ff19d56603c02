"""Every stage and the whole chain keep the streaming rule, exactly."""

from __future__ import annotations

import contract
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_examples import clean_and_faulty, fitted

from realm.signal import Banded, Guarded, SignalChain, SignalConfig

RATE = 500.0


def other_future(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Anything may come: plausible samples, spikes, silence, NaN."""
    other = 3e-4 + 1e-4 * rng.normal(size=future.shape)
    other[rng.random(future.shape) < 0.2] = np.nan
    other[rng.random(future.shape) < 0.1] = 1e3
    other[len(other) // 2 :] = 0.0
    return other


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    return clean_and_faulty(RATE)[1]


@pytest.fixture(scope="module")
def chain(recording: np.ndarray) -> SignalChain:
    config = SignalConfig(line_hz=60.0, dead_ms=300.0, recovery_ms=100.0)
    return fitted(clean_and_faulty(RATE)[0], RATE, config)


def inputs_of_stages(chain: SignalChain, x: np.ndarray) -> list[object]:
    given_to = [x]
    for stage in chain.stages:
        given_to.append(stage.step(given_to[-1], stage.initial_state())[0])
    return given_to[:-1]


@pytest.mark.parametrize(
    "name",
    ["Guard", "CommonAverage", "LineNotch", "Bands", "Binning", "LogPower", "Normalize"],
)
def test_each_stage(chain: SignalChain, recording: np.ndarray, name: str) -> None:
    index = [type(stage).__name__ for stage in chain.stages].index(name)
    stage, x = chain.stages[index], inputs_of_stages(chain, recording)[index]
    contract.check_causal_part(
        stage.step,
        stage.initial_state,
        x,
        rng=np.random.default_rng(1),
        rtol=0,
        outputs_before=chain.n_bins if name == "Binning" else None,
    )


def test_the_chain_with_all_its_stages_is_exact(chain: SignalChain, recording: np.ndarray) -> None:
    assert len(chain.stages) == 7
    contract.check_causal_part(
        chain.step,
        chain.initial_state,
        recording,
        rng=np.random.default_rng(2),
        rtol=0,
        outputs_before=chain.n_bins,
        perturb=other_future,
    )


@pytest.mark.parametrize(
    ("rate", "bin_ms", "n_channels"),
    [(24414.0625, 10.0, 2), (250.0, 10.0, 1), (1000 / 3, 33.3, 4), (100.0, 10.0, 5)],
)
def test_any_rate_and_bin_width(rate: float, bin_ms: float, n_channels: int) -> None:
    seconds = 0.2 if rate > 1e4 else 5.0
    clean, x = clean_and_faulty(rate, seconds, n_channels, seed=3)
    chain = fitted(clean, rate, SignalConfig(bin_ms=bin_ms, line_hz=50.0))
    contract.check_causal_part(
        chain.step,
        chain.initial_state,
        x,
        rng=np.random.default_rng(4),
        rtol=0,
        outputs_before=chain.n_bins,
        perturb=other_future,
    )


@pytest.fixture(scope="module")
def uneven_bins() -> SignalChain:
    return fitted(clean_and_faulty(RATE)[0], RATE, SignalConfig(line_hz=50.0, bin_ms=7.3))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_random_chunkings(
    uneven_bins: SignalChain, recording: np.ndarray, data: st.DataObject
) -> None:
    chain, x = uneven_bins, recording[:700]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(x)), max_size=12)))
    sizes = np.diff([0, *cuts, len(x)]).tolist()
    contract.check_chunks(
        chain.step,
        chain.initial_state,
        x,
        rng=np.random.default_rng(0),
        rtol=0,
        atol=0,
        outputs_before=chain.n_bins,
        chunkings=[sizes],
    )


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 699), seed=st.integers(0, 1000))
def test_random_futures(
    uneven_bins: SignalChain, recording: np.ndarray, cut: int, seed: int
) -> None:
    chain, x = uneven_bins, recording[:700]
    whole = chain.forward(x)
    other = x.copy()
    other[cut:] = other_future(other[cut:], np.random.default_rng(seed))
    past = chain.n_bins(cut)
    contract.assert_identical(chain.forward(other).values[:past], whole.values[:past], "values")
    contract.assert_identical(chain.forward(other).filled[:past], whole.filled[:past], "filled")


def test_long_input_is_worked_on_in_blocks_with_the_same_result(
    chain: SignalChain, recording: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = chain.forward(recording)
    monkeypatch.setattr("realm.signal.chain.BLOCK_VALUES", 333 * chain.n_channels)
    contract.assert_identical(chain.forward(recording), whole, "blocks")


def test_float32_and_strided_input_give_what_float64_gives(chain: SignalChain) -> None:
    x = clean_and_faulty(RATE)[0][:1000].astype(np.float32)
    expected = chain.forward(x.astype(np.float64))
    contract.assert_identical(chain.forward(x), expected, "float32")
    contract.assert_identical(chain.forward(np.asfortranarray(x)), expected, "column order")
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    contract.assert_identical(chain.forward(wide), expected, "strided")


# The contract itself must notice what it is there for -----------------------------------------


def running_sum(x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = np.cumsum(np.concatenate([state[None], x]), axis=0)
    return y[1:], y[-1]


def check(step: contract.Step, **more: object) -> None:
    x = np.random.default_rng(0).normal(size=(90, 2))
    contract.check_causal_part(
        step,
        lambda: np.zeros(2),
        x,
        rng=np.random.default_rng(1),
        rtol=1e-9,
        atol=1e-12,
        **more,  # type: ignore[arg-type]
    )


def test_contract_accepts_a_causal_part() -> None:
    check(running_sum)


def test_contract_refuses_a_part_that_forgets_its_state() -> None:
    with pytest.raises(AssertionError, match="chunks"):
        check(lambda x, s: (np.cumsum(x, axis=0), s))


def test_contract_refuses_a_look_ahead_of_one_sample() -> None:
    """Chunked alone it could pass, had it a state that hid the peek; the future test sees it."""
    x = np.random.default_rng(0).normal(size=(90, 2))

    def peek(x: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.roll(x, -1, axis=0), s

    with pytest.raises(AssertionError, match="past changed"):
        contract.check_future(
            peek, lambda: np.zeros(2), x, peek(x, x)[0], rng=np.random.default_rng(1)
        )


def test_contract_refuses_a_changed_state() -> None:
    def step(x: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, after = running_sum(x, s)
        s[:] = after
        return y, s

    with pytest.raises(AssertionError, match="changed the state"):
        check(step)


def test_contract_refuses_late_output() -> None:
    with pytest.raises(AssertionError, match="number of outputs"):
        check(lambda x, s: (x[1:], s))


def test_named_tuples_pass_through_the_helpers() -> None:
    x = Guarded(np.ones((4, 2)), np.zeros((4, 2), dtype=bool))
    part = contract.time_slice(x, 1, 3, 0)
    assert isinstance(part, Guarded)
    assert part.samples.shape == (2, 2)
    joined = contract.concatenate([part, part], 0)
    assert contract.time_length(joined, 0) == 4
    assert isinstance(contract.map_leaves(np.copy, Banded(x.samples[..., None], x.bad)), Banded)
