"""The catalogue of faults: what is done, what is counted, and how soon it is over."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from live_cases import (
    CHANNELS,
    INFO,
    NAMES,
    NEUTRAL,
    PER_BIN,
    PLAIN,
    RATE_HZ,
    Opening,
    RecordingSink,
    ScriptedSource,
    blocks,
    check_what_always_holds,
    decoder,
    expect,
    r2,
    run,
    signal,
)

from realm.live.loop import LiveLoop
from realm.live.sources import Block, SourceLostError

SAMPLES = 4000
AT = 2000  # where a fault begins
VOLTS, TRUTH = signal(SAMPLES)
CHECKED = dataclasses.replace(PLAIN, check_s=1.0)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """Behavior decoded from the undisturbed signal."""
    rows, status = run(blocks(VOLTS, truth=TRUTH))
    for group in ("samples", "stream", "bins"):
        expect(status, group)
    assert status["samples"]["decoded"] == SAMPLES
    assert rows.truth is None or len(rows.bin) == SAMPLES // PER_BIN + 1
    behavior = rows.behavior[:-1]
    np.testing.assert_array_equal(behavior, decoder().forward(VOLTS).behavior)
    assert r2(TRUTH[PER_BIN - 1 :: PER_BIN][100:], behavior[100:]) > 0.8
    return behavior


def with_rows(at: int, length: int, channels: Any, value: Any) -> np.ndarray:
    volts = VOLTS.copy()
    volts[at : at + length, channels] = value
    return volts


def without(first: int, length: int, script: list[Block]) -> list[Block]:
    """A stream from which these samples are lost."""
    return [b for b in script if not first <= (b.times_s[0] - 100) * RATE_HZ + 0.5 < first + length]


# In the signal itself: the guard of the signal chain ---------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 5.0, -1e300])
@pytest.mark.parametrize("channels", [[1], list(range(CHANNELS))])
def test_bad_samples_are_replaced_and_shown(value: float, channels: list[int]) -> None:
    rows, status = run(blocks(with_rows(AT, 2, channels, value)))
    for group in ("samples", "stream", "bins"):
        expect(status, group)
    filled = np.zeros((SAMPLES // PER_BIN, CHANNELS))
    filled[AT // PER_BIN, channels] = 2 / PER_BIN
    np.testing.assert_allclose(rows.filled[:-1], filled)


@pytest.mark.parametrize("value", [1e-5, 0.0, 4e-4])
def test_a_flat_or_saturated_channel_is_bad(value: float) -> None:
    rows, status = run(blocks(with_rows(AT, SAMPLES, 2, value)))
    for group in ("samples", "stream", "bins"):
        expect(status, group)
    assert status["bad_channels"] == 1
    assert (rows.bad_channels[-50:-1] == 1).all()


def test_below_the_quorum_the_output_is_neutral() -> None:
    rows, status = run(blocks(with_rows(AT, 500, slice(0, 5), np.nan)))
    expect(status, "bins", neutral_quorum=100)
    assert np.flatnonzero(rows.neutral[:-1]).tolist() == list(range(400, 500))
    assert (rows.behavior[400:500] == NEUTRAL).all()
    assert not rows.gap[:-1].any()


# Channels and shape ------------------------------------------------------------------------------


def sent_as(names: tuple[str, ...]) -> Any:
    return INFO._replace(channel_names=names)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (sent_as(NAMES[:-1]), "'ch7' is missing"),
        (sent_as((*NAMES[:-1], "renamed")), "'ch7' is missing and 'renamed' unknown"),
        (sent_as((*NAMES[:-1], "ch0")), "got 'ch0' more than once"),
        (INFO._replace(sampling_rate_hz=1000.0), "expected 500 samples per second"),
        (INFO._replace(unit="counts"), "expected samples in V, mV, uV, nV, got 'counts'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_at_the_start(info: Any, message: str) -> None:
    sink = RecordingSink()
    source = ScriptedSource([info, *blocks(VOLTS)])
    loop = LiveLoop(decoder(), source, {"record": sink}, PLAIN)
    with pytest.raises(ValueError, match=message):
        loop.run()
    assert source.closed
    assert sink.all.neutral.all()
    check_what_always_holds(sink, loop.status.final())


def test_reordered_and_more_channels_are_matched_by_name(clean: np.ndarray) -> None:
    order = [3, 1, 7, 0, 2, 6, 5, 4]
    names = ("trigger", *(NAMES[i] for i in order), "eye")
    wide = np.hstack([np.full((SAMPLES, 1), 9.9), VOLTS[:, order], np.full((SAMPLES, 1), np.nan)])
    rows, status = run([sent_as(names), *blocks(wide)])
    expect(status, "stream", extra_channels=2, reordered=True)
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1e3), ("uV", 1e6), ("nV", 1e9)])
def test_units_are_converted(clean: np.ndarray, unit: str, factor: float) -> None:
    rows, _ = run([INFO._replace(unit=unit), *blocks(VOLTS * factor)])
    np.testing.assert_allclose(rows.behavior[:-1], clean, atol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((PER_BIN, CHANNELS + 1)),
        np.zeros((PER_BIN, CHANNELS - 1)),
        np.zeros(PER_BIN),
        np.zeros((PER_BIN, CHANNELS), complex),
        np.full((PER_BIN, CHANNELS), "1"),
        np.full((PER_BIN, CHANNELS), None),
    ],
)
def test_another_shape_or_type_in_mid_stream_is_refused(bad: np.ndarray) -> None:
    script = blocks(VOLTS)
    script[400] = script[400]._replace(samples=bad)
    rows, status = run(script)
    expect(status, "samples", dropped_refused=PER_BIN, filled=PER_BIN)
    expect(status, "stream", refused=1, gaps=1, connected=2)
    expect(status, "bins", gap=1, neutral_quorum=1)
    assert len(rows.bin) == SAMPLES // PER_BIN + 1


def test_time_stamps_of_another_number_are_refused() -> None:
    script = blocks(VOLTS)
    script[400] = script[400]._replace(times_s=script[400].times_s[:-1])
    expect(run(script)[1], "stream", refused=1, gaps=1)


def test_a_block_without_samples_is_passed_over(clean: np.ndarray) -> None:
    script = blocks(VOLTS)
    none = Block(np.empty((0, CHANNELS)), np.empty(0), None)
    rows, status = run([none, *script[:9], none, *script[9:]])
    expect(status, "stream", empty_blocks=2)
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


# Unit and rate by what arrives -------------------------------------------------------------------


def test_rows_are_neutral_until_unit_and_rate_are_checked() -> None:
    rows, status = run(blocks(VOLTS), CHECKED)
    expect(status, "bins", neutral_unchecked=101)  # the rate is known one sample after a second
    assert (rows.behavior[:101] == NEUTRAL).all()
    assert not rows.neutral[101:-1].any()
    assert status["stream"]["unit_ratio"] == pytest.approx(1, abs=0.2)
    assert status["stream"]["rate_hz"] == pytest.approx(RATE_HZ)


@pytest.mark.parametrize(
    ("unit", "factor", "message"),
    [
        ("V", 1e6, "microvolts declared as volts"),
        ("uV", 1, "volts declared as microvolts"),
        ("V", 1e3, "a thousand times smaller"),
        ("mV", 1, "a thousand times larger"),
    ],
)
def test_a_wrong_unit_is_refused(unit: str, factor: float, message: str) -> None:
    sink = RecordingSink()
    script = [INFO._replace(unit=unit), *blocks(VOLTS * factor)]
    loop = LiveLoop(decoder(), ScriptedSource(script), {"record": sink}, CHECKED)
    with pytest.raises(ValueError, match=message):
        loop.run()
    status = loop.status.final()
    check_what_always_holds(sink, status)
    assert sink.all.neutral.all()
    assert status["stream"]["refused"] == 1


def test_the_users_word_on_the_unit_counts(clean: np.ndarray) -> None:
    rows, _ = run([INFO._replace(unit="V"), *blocks(VOLTS * 1e6)], CHECKED, unit="uV")
    np.testing.assert_allclose(rows.behavior[101:-1], clean[101:], atol=1e-4)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("rate_hz", [50.0, 250.0, 480.0, 520.0, 1000.0])
def test_a_wrong_rate_is_refused(rate_hz: float, numbered: bool) -> None:
    volts, _ = signal(7000)
    script = [
        block._replace(times_s=100 + (block.times_s - 100) * RATE_HZ / rate_hz)
        for block in blocks(volts, numbered=numbered)
    ]
    sink = RecordingSink()
    loop = LiveLoop(decoder(), ScriptedSource(script), {"record": sink}, CHECKED)
    with pytest.raises(ValueError, match="time stamps"):
        loop.run()
    check_what_always_holds(sink, loop.status.final())
    assert sink.all.neutral.all()


def test_a_rate_that_goes_wrong_later_is_refused_and_neutral() -> None:
    volts, _ = signal(14_000)
    script = blocks(volts)
    slow = 100 + 2 + (np.arange(14_000) - 1000) / (RATE_HZ * 0.95)
    script[200:] = [b._replace(times_s=slow[b.first_index :][:PER_BIN]) for b in script[200:]]
    rows, status = run(script, CHECKED)
    assert status["stream"]["refused"] >= 2  # at once, and whenever it is opened again
    first = int(np.flatnonzero(~rows.neutral)[-1])
    assert 200 < first < 200 + 1200  # measured over ten seconds
    assert rows.neutral[first + 1 :].all()


# Gaps and time stamps ----------------------------------------------------------------------------


@pytest.mark.parametrize("numbered", [True, False])
def test_a_short_gap_is_filled(clean: np.ndarray, numbered: bool) -> None:
    rows, status = run(without(AT, 250, blocks(VOLTS, numbered=numbered)))
    expect(status, "samples", filled=250)
    expect(status, "stream", gaps=1)
    expect(status, "bins", gap=50, neutral_quorum=50)
    assert rows.bin.tolist() == list(range(SAMPLES // PER_BIN + 1))
    np.testing.assert_array_equal(rows.behavior[:400], clean[:400])


@pytest.mark.parametrize("numbered", [True, False])
def test_after_a_long_gap_the_decoder_begins_anew(clean: np.ndarray, numbered: bool) -> None:
    rows, status = run(without(AT, 1500, blocks(VOLTS, numbered=numbered)))
    expect(status, "samples")
    expect(status, "stream", resets=1)
    expect(status, "bins", skipped=300)
    assert rows.bin.tolist() == [*range(400), *range(700, SAMPLES // PER_BIN + 1)]
    np.testing.assert_array_equal(rows.behavior[:400], clean[:400])
    fresh = decoder().forward(VOLTS[AT + 1500 :]).behavior
    np.testing.assert_array_equal(rows.behavior[400:-1], fresh)


@pytest.mark.parametrize("numbered", [True, False])
def test_samples_sent_twice_are_dropped(clean: np.ndarray, numbered: bool) -> None:
    script = blocks(VOLTS, size=2, numbered=numbered)
    rows, status = run([*script[:1000], script[999], *script[1000:]])
    expect(status, "samples", dropped_duplicated=2)
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


def test_backward_time_stamps_are_dropped(clean: np.ndarray) -> None:
    script = blocks(VOLTS, numbered=False)
    again = script[100]._replace(samples=script[100].samples + 1e-7)
    rows, status = run([*script[:400], again, *script[400:]])
    expect(status, "samples", dropped_backward=PER_BIN)
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


def test_a_clock_that_is_set_back_begins_anew() -> None:
    script = blocks(VOLTS, numbered=False)
    script[400:] = [b._replace(times_s=b.times_s - 50) for b in script[400:]]
    _, status = run(script)
    expect(
        status, "samples", dropped_backward=124
    )  # a quarter of a second of nothing else, less one
    expect(status, "stream", clock_steps=1, resets=1)


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e12])
def test_bad_time_stamps_are_not_used(clean: np.ndarray, wrong: float, numbered: bool) -> None:
    script = blocks(VOLTS, numbered=numbered)
    times = script[400].times_s.copy()
    times[2] = wrong
    script[400] = script[400]._replace(times_s=times)
    rows, status = run(script)
    expect(status, "stream", bad_times=1)
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


@pytest.mark.parametrize("numbered", [True, False])
def test_jitter_and_drift_change_nothing(clean: np.ndarray, numbered: bool) -> None:
    rng = np.random.default_rng(0)
    script = [
        b._replace(times_s=100 + (b.times_s - 100) * 1.001 + rng.uniform(-2e-3, 2e-3, PER_BIN))
        for b in blocks(VOLTS, numbered=numbered)
    ]
    rows, status = run(script)
    expect(status, "samples")
    expect(status, "stream")
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


def test_time_stamps_are_kept_end_to_end() -> None:
    rows, _ = run(blocks(VOLTS))
    np.testing.assert_array_equal(
        rows.time_s[:-1], (100 + np.arange(SAMPLES) / RATE_HZ)[PER_BIN - 1 :: PER_BIN]
    )


# The source goes and comes back ------------------------------------------------------------------

LOST = SourceLostError("the cable was pulled")


def test_a_source_that_returns_is_decoded_on(clean: np.ndarray) -> None:
    script = blocks(VOLTS)
    rows, status = run([*script[:400], LOST, *script[400:]])
    expect(status, "samples")
    expect(status, "stream", lost=1, connected=2)
    np.testing.assert_array_equal(rows.behavior[:-1], clean)


def test_a_source_that_returns_later_leaves_a_gap() -> None:
    script = blocks(VOLTS)
    gone = [LOST, Opening(LOST), Opening(LOST)]
    renumbered = [b._replace(first_index=b.first_index - 2100) for b in script[420:]]
    rows, status = run([*script[:400], *gone, *renumbered])
    expect(status, "samples", filled=100)
    expect(status, "stream", lost=1, connected=2, gaps=1)
    assert rows.bin.tolist() == list(range(SAMPLES // PER_BIN + 1))


def test_a_source_that_returns_in_another_shape_is_refused_until_it_fits() -> None:
    script, heard = blocks(VOLTS), []
    wrong = INFO._replace(channel_names=NAMES[:-1])
    renamed = INFO._replace(channel_names=(*NAMES[:-1], "x"))
    rows, status = run([*script[:400], LOST, wrong, renamed, INFO, *script[420:]], say=heard.append)
    expect(status, "stream", lost=1, refused=2, connected=2, gaps=1)
    expect(status, "samples", filled=100)
    assert sum("'ch7' is missing" in text for text in heard) == 2
    assert rows.neutral[400:420].all()


def test_a_source_that_returns_in_another_unit_is_refused() -> None:
    script = blocks(VOLTS)
    micro = [b._replace(samples=b.samples * 1e6) for b in script[600:]]  # beyond what is filled
    settings = dataclasses.replace(CHECKED, longest_fill_s=0.5)
    rows, status = run([*script[:500], LOST, *micro], settings)
    assert status["stream"]["refused"] >= 1
    assert rows.neutral[rows.bin >= 600].all()


# How soon it is over -----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["nan", "spike", "gap", "gap without numbers"])
@pytest.mark.parametrize("channel", [0, slice(None)])
def test_a_second_later_the_output_is_as_good_as_without(
    clean: np.ndarray, fault: str, channel: Any
) -> None:
    if fault.startswith("gap"):
        length = 250
        script = without(AT, length, blocks(VOLTS, numbered=fault == "gap"))
    else:
        length = 1
        script = blocks(with_rows(AT, 1, channel, {"nan": np.nan, "spike": 1.0}[fault]))
    behavior = run(script)[0].behavior[:-1]
    truth = TRUTH[PER_BIN - 1 :: PER_BIN]
    for seconds in (1, 2):
        after = slice((AT + length + round(seconds * RATE_HZ)) // PER_BIN, None)
        assert r2(truth[after], behavior[after]) >= 0.95 * r2(truth[after], clean[after]) > 0.7
    assert not np.array_equal(behavior, clean)
