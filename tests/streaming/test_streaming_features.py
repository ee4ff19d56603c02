"""A kind of feature of another package, on the rig."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from foreign_feature import FOREIGN, remove_entry_points
from streaming_cases import CHANNELS, RATE_HZ, SMALL, faulty, ordinary, weights

from realm.signal import SignalChain, SignalConfig
from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.weights import StudentSizes


@pytest.fixture
def made(foreign_package: Path) -> Bundle:
    """A bundle whose signal chain has the foreign feature beside two of ours."""
    names = [f"ch{i}" for i in range(CHANNELS)]
    config = SignalConfig(preset="slow", features=FOREIGN)
    chain = SignalChain(config, RATE_HZ, names).fit_guard(ordinary(4000))
    chain = chain.fit_normalization(chain.forward(ordinary(4000)))
    sizes = StudentSizes(CHANNELS * chain.n_bands, 2, **SMALL)
    return Bundle(
        "day-1", "rat", chain, sizes, weights(sizes), 0, ("x", "y"), "m/s", "velocity", (0.0, 0.0)
    )


def test_a_bundle_carries_it_and_decodes_with_it(made: Bundle, tmp_path: Path) -> None:
    made.save(tmp_path / "bundle")
    x = faulty(1500)
    expected = StreamingDecoder(made).forward(x).behavior
    for plain in (False, True):
        decoder = StreamingDecoder.load(tmp_path / "bundle", plain=plain)
        state, parts = decoder.initial_state(), []
        for chunk in np.array_split(x, 77):
            decoded, state = decoder.step(chunk, state)
            state = decoder.state_from_bytes(decoder.state_to_bytes(state))
            parts.append(decoded.behavior)
        np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-4, atol=1e-5)
    assert Bundle.load(tmp_path / "bundle").sha256 == made.sha256


def test_a_bundle_of_a_kind_that_is_not_installed_is_refused_by_name(
    made: Bundle, tmp_path: Path, foreign_package: Path
) -> None:
    made.save(tmp_path / "bundle")
    remove_entry_points(foreign_package)
    with pytest.raises(ValueError, match=r"bundle.json.*roughness.*'line_length'"):
        Bundle.load(tmp_path / "bundle")


def test_another_number_in_its_arrays_is_another_bundle(made: Bundle, tmp_path: Path) -> None:
    arrays = made.chain.coefficients() | {"roughness.keep": np.array([0.25])}
    other = dataclasses.replace(made, chain=made.chain.with_coefficients(arrays))
    other.save(tmp_path / "bundle")
    assert other.sha256 != made.sha256
    loaded = Bundle.load(tmp_path / "bundle").chain.coefficients()
    assert loaded["roughness.keep"] == 0.25
