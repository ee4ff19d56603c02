"""The compiled stages compute what the plain ones do, and keep the streaming rule by themselves."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import contract
import numpy as np
import pytest
from scipy.signal import butter, sosfilt
from signal_examples import clean_and_faulty, computed_by, fitted, lfp
from test_signal_contract import inputs_of_stages, other_future

from realm.signal import BandPower, Bands, Guarded, SignalChain, SignalConfig
from realm.signal.compiled import compiled_step
from realm.signal.compiled.filters import CompiledBands

RATE = 500.0
STAGES = ("Guard", "CommonAverage", "LineNotch", "Bands", "Binning", "LogPower", "Normalize")
EVERYTHING = SignalConfig(line_hz=60.0, dead_ms=300.0, recovery_ms=100.0)
CONFIGS = {
    "everything": EVERYTHING,
    "no reference, no smoothing": SignalConfig(reference="none", smoothing_ms=0.0),
    "low-pass alone": SignalConfig(preset="slow", slow_hz=(0.0, 40.0), line_hz=50.0),
    "powers alone": SignalConfig(preset="custom", slow_hz=None, bands_hz={"a": (4, 12)}),
    "never flat, uneven bins": SignalConfig(flat_ms=0.0, bin_ms=7.3),
}


@pytest.fixture(scope="module")
def recording() -> np.ndarray:
    return clean_and_faulty(RATE)[1]


@pytest.fixture(scope="module")
def chain() -> SignalChain:
    return fitted(clean_and_faulty(RATE)[0], RATE, EVERYTHING)


def assert_agree(left: Any, right: Any) -> None:
    """As good as the same: to 1e-10, of values that are standard deviations, volts or counts."""
    contract.assert_close(left, right, 1e-10, 1e-10, "compiled against plain")


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_compiled_chain_equals_the_plain_one(config: SignalConfig) -> None:
    clean, x = clean_and_faulty(RATE)
    fast = fitted(clean, RATE, config)
    plain = fast.plain()
    assert (plain.engine, fast.engine) == ("numpy", "numba")
    (expected, end), (found, after) = (c.step(x, c.initial_state()) for c in (plain, fast))
    assert expected.filled.any()
    assert_agree(found, expected)
    np.testing.assert_array_equal(found.filled, expected.filled)
    assert_agree(after, end)
    unscaled = fast.with_normalization(None)
    assert_agree(unscaled.forward(x), plain.with_normalization(None).forward(x))


@pytest.mark.parametrize("index", range(len(STAGES)), ids=STAGES)
def test_each_compiled_stage(chain: SignalChain, recording: np.ndarray, index: int) -> None:
    stage, x = chain.stages[index], inputs_of_stages(chain, recording)[index]
    assert type(stage).__name__ == STAGES[index]
    step = compiled_step(stage)
    assert_agree(step(x, stage.initial_state()), stage.step(x, stage.initial_state()))
    contract.check_causal_part(
        step,
        stage.initial_state,
        x,
        rng=np.random.default_rng(1),
        rtol=0,
        outputs_before=chain.n_bins if STAGES[index] == "Binning" else None,
    )


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_the_chain_is_exact(chain: SignalChain, recording: np.ndarray, engine: Any) -> None:
    chain = computed_by(engine, chain)
    contract.check_causal_part(
        chain.step,
        chain.initial_state,
        recording,
        rng=np.random.default_rng(2),
        rtol=0,
        outputs_before=chain.n_bins,
        perturb=other_future,
    )


@pytest.mark.parametrize("engine", ["numba", "numpy"])
def test_a_stream_goes_on_with_the_other_engine(chain: SignalChain, engine: Any) -> None:
    x = clean_and_faulty(RATE, seed=5)[1]
    other = computed_by("numpy" if engine == "numba" else "numba", chain)
    first, state = other.step(x[:1234], other.initial_state())
    rest, end = computed_by(engine, chain).step(x[1234:], state)
    whole, final = chain.step(x, chain.initial_state())
    assert_agree(contract.concatenate([first, rest], 0), whole)
    assert_agree(end, final)
    shapes = [np.shape(leaf) for leaf in contract.leaves(other.initial_state())]
    assert [np.shape(leaf) for leaf in contract.leaves(end)] == shapes


@pytest.mark.parametrize("n_channels", [1, 5, 96])
def test_bands_are_those_of_scipy(n_channels: int) -> None:
    x = 1e-4 * np.random.default_rng(0).normal(size=(3000, n_channels)).cumsum(axis=0)
    edges = [(1.0, 4.0), (4.0, 12.0), (12.0, 30.0), (30.0, 70.0), (70.0, 200.0)]
    bands = Bands(tuple(BandPower("b", band, 50.0, n_channels, 1000.0) for band in edges))
    step, state, parts = CompiledBands(bands).step, bands.initial_state(), []
    for chunk in np.split(x, 300):
        y, state = step(Guarded(chunk, np.zeros(chunk.shape, dtype=bool)), state)
        parts.append(y.values)
    keep = np.exp(-1 / 50.0)
    for found, band in zip(np.moveaxis(np.concatenate(parts), 2, 0), edges, strict=True):
        filtered = sosfilt(butter(3, band, "bandpass", fs=1000.0, output="sos"), x, axis=0)
        expected = sosfilt([[1 - keep, 0, 0, 1, -keep, 0]], filtered**2, axis=0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * expected.max())


def test_nothing_but_finite_numbers_reaches_a_filter(chain: SignalChain) -> None:
    x = clean_and_faulty(RATE)[1]
    x[500:700], x[900, :], x[1500:, 1] = np.nan, np.inf, -1e308
    state = chain.initial_state()
    guard = compiled_step(chain.stages[0])
    assert np.isfinite(guard(x, state.stages[0])[0].samples).all()
    for chunk in np.array_split(x, 37):
        features, state = chain.step(chunk, state)
        assert np.isfinite(features.values).all()
        assert all(np.isfinite(leaf).all() for leaf in contract.leaves(state.stages[1:]))


def test_silence_leaves_no_denormal_numbers_however_it_is_cut(chain: SignalChain) -> None:
    notch, bands = chain.stages[2], chain.stages[3]
    x = np.zeros((30_000, 5))
    x[:500] = lfp(500, 5, RATE)
    given = Guarded(x, np.zeros(x.shape, dtype=bool))
    for stage in (notch, bands):
        step, smallest = compiled_step(stage), np.finfo(np.float64).tiny
        whole, end = step(given, stage.initial_state())
        state, parts = stage.initial_state(), []
        for at in range(0, len(x), 1000):
            y, state = step(contract.time_slice(given, at, at + 1000, 0), state)
            parts.append(y)
            numbers = np.abs(np.concatenate([leaf.ravel() for leaf in contract.leaves(state)]))
            assert not ((numbers > 0) & (numbers < smallest)).any()
        contract.assert_identical(contract.concatenate(parts, 0), whole, "output")
        contract.assert_identical(state, end, "state")


def test_samples_that_cannot_be_written_or_lie_badly_in_memory(chain: SignalChain) -> None:
    x = clean_and_faulty(RATE)[1][:400]
    expected = chain.forward(x)
    frozen = x.copy()
    frozen.flags.writeable = False
    shifted = np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view(x.dtype).reshape(x.shape)
    for odd in (frozen, shifted, np.asfortranarray(x), x.astype(">f8"), x.tolist()):
        contract.assert_identical(chain.forward(odd), expected, "another layout")


def test_coefficients_that_were_given_are_those_that_run(chain: SignalChain) -> None:
    x = clean_and_faulty(RATE)[0]
    before = chain.forward(x).values
    stored = chain.coefficients()
    for sos in stored.values():
        sos[:, :3] += 1e-12
    nudged = chain.with_coefficients(stored)
    fast, plain = (each.forward(x).values for each in (nudged, nudged.plain()))
    assert_agree(fast, plain)
    assert (fast != before).any()


def test_without_numba_scipy_runs_and_says_so() -> None:
    code = (
        "import sys, warnings\n"
        "sys.modules['numba'] = None\n"
        "import numpy as np\n"
        "from realm.signal import SignalChain, SignalConfig\n"
        "x = 1e-4 * np.random.default_rng(0).normal(size=(500, 5))\n"
        "chain = SignalChain(SignalConfig(), 500.0, list('abcde'))\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    assert chain.forward(x).values.shape == (100, 5, 4)\n"
        "assert len(said) == 1 and 'Install numba' in str(said[0].message)\n"
        "assert chain.engine == 'numpy'\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
