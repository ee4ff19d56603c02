"""Bad signal in: finite behavior out, and the quality record says what happened."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from streaming_cases import CHANNELS, RATE_HZ, USABLE, bundle, faulty, ordinary, weights

from realm.streaming import StreamingDecoder
from realm.streaming.weights import StudentSizes

SAMPLES = 3000
PER_BIN = RATE_HZ / 100


@pytest.fixture(scope="module")
def decoder() -> StreamingDecoder:
    return StreamingDecoder(bundle())


def bins_of(start: int, stop: int) -> slice:
    """Bins that lie wholly within these samples."""
    return slice(int(np.ceil(start / PER_BIN)) + 1, int(stop / PER_BIN) - 1)


FAULTS = {
    "nan": np.nan,
    "inf": np.inf,
    "minus inf": -np.inf,
    "largest": 1.7e308,
    "volts": 5.0,
    "microvolts as volts": 37.0,
    "flat": 1e-5,
    "tiny": 5e-324,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("length", [1, 250, SAMPLES])
@pytest.mark.parametrize("channels", [[0], [1, 2, 3], list(range(CHANNELS))])
def test_the_output_is_finite_whatever_comes(
    decoder: StreamingDecoder, fault: str, length: int, channels: list[int]
) -> None:
    x = ordinary(SAMPLES, 1)
    start = min(1000, SAMPLES - length)
    x[start : start + length, channels] = FAULTS[fault]
    decoded, state = decoder.step(x, decoder.initial_state())
    assert np.isfinite(decoded.behavior).all()
    for leaf in (*state.student, *(part for part in decoded.quality)):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_output_is_finite_after_any_mixture(decoder: StreamingDecoder, seed: int) -> None:
    decoded = decoder.forward(faulty(SAMPLES, seed))
    assert np.isfinite(decoded.behavior).all()


def test_one_bad_sample_is_forgotten(decoder: StreamingDecoder) -> None:
    x = ordinary(SAMPLES, 2)
    clean = decoder.forward(x).behavior
    for value in (np.nan, np.inf, 5.0):
        hurt = x.copy()
        hurt[1000, 1] = value
        after = decoder.forward(hurt).behavior[int(1000 / PER_BIN) + 100 :]
        assert np.abs(after - clean[-len(after) :]).max() < 0.05 * clean.std()


def test_filled_samples_are_counted_by_channel(decoder: StreamingDecoder) -> None:
    x = ordinary(SAMPLES, 3)
    x[1000:1400, 2] = np.nan
    quality, inside = decoder.forward(x).quality, bins_of(1000, 1400)
    assert (quality.filled[inside, 2] == 1).all()
    assert (quality.filled[inside, 0] == 0).all()
    np.testing.assert_allclose(quality.filled_share[inside], 1 / USABLE)
    assert (quality.bad_channels[inside] == 2).all()  # it and the dead one
    assert (quality.bad_channels[:20] == 1).all()
    assert not quality.gap.any()
    assert not quality.neutral.any()


def test_a_gap_gives_the_neutral_value_with_a_flag(decoder: StreamingDecoder) -> None:
    x = ordinary(SAMPLES, 4)
    x[1000:1300] = np.nan
    decoded, inside = decoder.forward(x), bins_of(1000, 1300)
    assert decoded.quality.gap[inside].all()
    assert decoded.quality.neutral[inside].all()
    assert (decoded.behavior[inside] == [0, -0.25]).all()
    outside = np.ones(len(decoded.behavior), bool)
    outside[int(1000 / PER_BIN) - 1 : int(1300 / PER_BIN) + 2] = False
    assert not decoded.quality.neutral[outside].any()
    assert not decoded.quality.gap[outside].any()


@pytest.mark.parametrize(
    ("bad", "quorum", "neutral"),
    [
        (2, 0.5, False),
        (3, 0.5, True),
        (2, 0.6, False),
        (2, 0.61, True),
        (5, 0.0, False),
        (0, 1.0, False),
        (1, 1.0, True),
    ],
)
def test_the_quorum_counts_usable_channels(bad: int, quorum: float, neutral: bool) -> None:
    """Five channels are usable; the dead one counts neither way."""
    x = ordinary(1500, 5)
    x[500:1000, :bad] = np.nan
    quality = StreamingDecoder(bundle(quorum=quorum), plain=True).forward(x).quality
    assert (quality.neutral[bins_of(500, 1000)] == neutral).all()
    assert not quality.neutral[:80].any()


def test_a_huge_but_possible_signal_is_clipped_and_counted(decoder: StreamingDecoder) -> None:
    x = ordinary(SAMPLES, 6)
    x[1000:2000, 0] += 18 * decoder.bundle.chain.limits.scale[0] * np.sin(np.arange(1000) / 3)
    quality = decoder.forward(x).quality
    assert quality.clipped_channels.max() >= 1
    settled = slice(50, int(900 / PER_BIN))  # log power comes from far below while filters settle
    assert not quality.clipped_channels[settled].any()


def test_weights_that_overflow_give_the_neutral_value_not_nan() -> None:
    made = bundle()
    sizes = StudentSizes(**vars(made.sizes))
    huge = weights(sizes)
    huge["adapter.weight"] *= 1e30
    huge["head.weight"] *= 1e30
    spoiled = dataclasses.replace(made, weights=huge)
    for plain in (True, False):
        decoded = StreamingDecoder(spoiled, "float32", plain).forward(ordinary(500))
        assert np.isfinite(decoded.behavior).all()
        assert decoded.quality.restarted.any()
        assert decoded.quality.neutral[decoded.quality.restarted].all()


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((10, CHANNELS - 1)),
        np.zeros(10),
        np.zeros((10, CHANNELS), complex),
        np.full((10, CHANNELS), "1"),
        np.zeros((2, 5, CHANNELS)),
        [[object()] * CHANNELS],
    ],
)
def test_what_cannot_be_samples_is_refused(decoder: StreamingDecoder, samples: Any) -> None:
    with pytest.raises(ValueError, match="chunk: expected"):
        decoder.step(samples, decoder.initial_state())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_real_numbers_of_any_kind_are_taken(decoder: StreamingDecoder, dtype: Any) -> None:
    decoded = decoder.forward(ordinary(500).astype(dtype))
    assert np.isfinite(decoded.behavior).all()
