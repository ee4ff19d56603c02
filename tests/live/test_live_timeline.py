"""The even time axis: every kind of bad time stamp, and the same result however it is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from contract import assert_identical
from hypothesis import given
from hypothesis import strategies as st

from realm.live import placing, stamps
from realm.live.timeline import MOST_SEEN, Happened, Timed, Timeline, TimelineState

RATE_HZ, COLUMNS, FILL_S = 1000.0, 3, 0.2
N = 3000
Given = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return Timeline(RATE_HZ, COLUMNS, FILL_S, 5.0)


def clean(n: int = N, numbered: bool = False, seed: int = 0) -> Given:
    rows = np.random.default_rng(seed).normal(size=(n, COLUMNS))
    return rows, 50 + np.arange(n) / RATE_HZ, np.arange(n) + 10 if numbered else None


def kept(stream: Given, keep: Any) -> Given:
    """The samples of these positions, in their order; the others do not come."""
    rows, times, numbers = stream
    return rows[keep], times[keep], None if numbers is None else numbers[keep]


def feed(
    timeline: Timeline,
    stream: Given,
    cuts: list[int] | None = None,
    state: TimelineState | None = None,
) -> tuple[Timed, Happened, np.ndarray, TimelineState]:
    """The stream in blocks; one that is numbered is cut where its numbers jump as well."""
    rows, times, numbers = stream
    at = {0, len(rows), *(cuts or [])}
    if numbers is not None:
        at |= set((np.flatnonzero(np.diff(numbers) != 1) + 1).tolist())
    state = state or timeline.initial_state()
    parts, happened, rates = [], Happened(), []
    for a, b in zip(sorted(at)[:-1], sorted(at)[1:], strict=True):
        first = None if numbers is None else int(numbers[a])
        timed, did, found, state = timeline.step(rows[a:b], times[a:b], first, state)
        parts.append(timed)
        rates.append(found)
        happened = Happened(*map(sum, zip(happened, did, strict=True)))
    whole = Timed._make(map(np.concatenate, zip(*parts, strict=True)))
    return whole, happened, np.concatenate(rates), state


def check(timed: Timed, happened: Happened, state: TimelineState, n: int) -> None:
    """What holds for every stream: each sample is given out, counted or, one at most, held back."""
    dropped = happened.duplicated + happened.backward + happened.untimed + happened.unplaced
    dropped += int(not np.isnan(state.clock[stamps.DOUBT]))
    assert timed.real.sum() + dropped == n
    assert (~timed.real).sum() == happened.filled
    assert np.isnan(timed.rows[~timed.real]).all()
    assert np.isfinite(timed.times_s).all()


@pytest.mark.parametrize("numbered", [False, True])
def test_a_clean_stream_goes_through_untouched(timeline: Timeline, numbered: bool) -> None:
    stream = clean(numbered=numbered)
    timed, happened, _, _ = feed(timeline, stream, list(range(0, N, 10)))
    assert happened == Happened()
    np.testing.assert_array_equal(timed.rows, stream[0])
    np.testing.assert_array_equal(timed.times_s, stream[1])
    assert np.flatnonzero(~np.isnan(timed.skipped_s)).tolist() == [0]


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("missing", [7, 60, 200])
def test_a_short_gap_is_filled(timeline: Timeline, numbered: bool, missing: int) -> None:
    stream = clean(numbered=numbered)
    keep = np.r_[0:1000, 1000 + missing : N]
    timed, happened, _, _ = feed(timeline, kept(stream, keep), [500, 1500])
    assert happened == Happened(gaps=1, filled=missing)
    np.testing.assert_array_equal(timed.rows[keep], stream[0][keep])
    np.testing.assert_allclose(timed.times_s, stream[1], atol=1e-6)
    assert np.flatnonzero(~timed.real).tolist() == list(range(1000, 1000 + missing))


def test_a_gap_below_the_jitter_is_seen_by_numbers_alone(timeline: Timeline) -> None:
    keep = np.r_[0:1000, 1003:N]
    assert feed(timeline, kept(clean(), keep))[1] == Happened()
    assert feed(timeline, kept(clean(numbered=True), keep))[1] == Happened(gaps=1, filled=3)


@pytest.mark.parametrize("numbered", [False, True])
def test_a_long_gap_begins_anew(timeline: Timeline, numbered: bool) -> None:
    keep = np.r_[0:1000, 1500:N]
    timed, happened, _, _ = feed(timeline, kept(clean(numbered=numbered), keep))
    assert happened == Happened(resets=1)
    assert np.flatnonzero(~np.isnan(timed.skipped_s)).tolist() == [0, 1000]
    assert timed.skipped_s[1000] == pytest.approx(0.5)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("again", [[999], [995, 996, 997], list(range(900, 1000))])
def test_what_comes_twice_is_dropped(timeline: Timeline, numbered: bool, again: list[int]) -> None:
    stream = clean(numbered=numbered)
    keep = np.r_[0:1000, again, 1000:N]
    timed, happened, _, _ = feed(timeline, kept(stream, keep), [1000, 1000 + len(again)])
    assert happened.duplicated + happened.backward == len(again)
    assert numbered <= (happened.duplicated == len(again))
    np.testing.assert_array_equal(timed.rows, stream[0])


def test_equal_time_stamps_of_different_samples_are_jitter(timeline: Timeline) -> None:
    rows, times, _ = clean()
    times = np.repeat(times[3::4], 4)  # four samples share a time stamp
    timed, happened, _, _ = feed(timeline, (rows, times, None))
    assert happened == Happened()
    np.testing.assert_array_equal(timed.rows, rows)


def test_one_time_stamp_before_its_turn_is_dropped(timeline: Timeline) -> None:
    rows, times, _ = clean()
    times[1000] -= 3.0
    timed, happened, _, _ = feed(timeline, (rows, times, None))
    assert happened.backward == 1
    assert len(timed.rows) == N - 1  # one sample short, which is less than the jitter


def test_a_clock_that_is_set_back_begins_anew(timeline: Timeline) -> None:
    rows, times, _ = clean()
    times[1000:] -= 3600
    timed, happened, _, _ = feed(timeline, (rows, times, None), [1100])
    relock = round(FILL_S * RATE_HZ)
    assert happened == Happened(backward=relock - 1, clock_steps=1, resets=1)
    np.testing.assert_array_equal(timed.rows[1000:], rows[1000 + relock - 1 :])


def test_a_clock_that_is_set_costs_a_numbered_stream_nothing(timeline: Timeline) -> None:
    for by in (-3600.0, 3600.0):
        rows, times, numbers = clean(numbered=True)
        times[1000:] += by
        timed, happened, _, _ = feed(timeline, (rows, times, numbers))
        relock = round(FILL_S * RATE_HZ)
        assert happened == Happened(bad_times=relock, clock_steps=1)
        np.testing.assert_array_equal(timed.rows, rows)
        np.testing.assert_allclose(timed.times_s[1500:], times[1500:])


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e9])
def test_one_bad_time_stamp_costs_nothing(timeline: Timeline, numbered: bool, wrong: float) -> None:
    rows, times, numbers = clean(numbered=numbered)
    hurt = times.copy()
    hurt[1000] = wrong
    timed, happened, _, _ = feed(timeline, (rows, hurt, numbers), [1000, 1001])
    assert happened == Happened(bad_times=1)
    np.testing.assert_array_equal(timed.rows, rows)
    np.testing.assert_allclose(timed.times_s, times, atol=1e-6)


def test_without_any_time_nothing_can_begin(timeline: Timeline) -> None:
    rows, times, _ = clean(100)
    times[:30] = np.nan
    timed, happened, _, _ = feed(timeline, (rows, times, None))
    assert happened == Happened(untimed=30)
    np.testing.assert_array_equal(timed.rows, rows[30:])


@pytest.mark.parametrize("ppm", [-1000, 0, 1000])
def test_jitter_and_drift_are_followed(timeline: Timeline, ppm: float) -> None:
    n = 60_000
    rows, times, _ = clean(n)
    times = 50 + (times - 50) * (1 + ppm * 1e-6)
    times += np.random.default_rng(1).uniform(-2e-3, 2e-3, n)
    timed, happened, rates, _ = feed(timeline, (rows, times, None), list(range(0, n, 97)))
    assert happened == Happened()
    np.testing.assert_array_equal(timed.rows, rows)
    np.testing.assert_allclose(rates[1:], RATE_HZ / (1 + ppm * 1e-6), rtol=5e-4)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("rate_hz", [500.0, 980.0, 1040.0, 2000.0])
def test_a_wrong_rate_is_measured(timeline: Timeline, rate_hz: float, numbered: bool) -> None:
    rows, _, numbers = clean(8000, numbered=numbered)
    stream = rows, 50 + np.arange(8000) / rate_hz, numbers
    timed, happened, rates, state = feed(timeline, stream, list(range(0, 8000, 10)))
    check(timed, happened, state, 8000)
    assert rates[0] == pytest.approx(rate_hz, rel=2e-3)


@pytest.mark.parametrize("wrong", [2**40, 2**62, 1400, 0])
def test_a_corrupt_number_is_a_fault_and_not_a_fact(timeline: Timeline, wrong: int) -> None:
    rows, times, numbers = clean(numbered=True)
    assert numbers is not None
    numbers[1000:1010] = wrong + np.arange(10)
    timed, happened, _, _ = feed(timeline, (rows, times, numbers))
    assert happened == Happened(number_restarts=2)  # there and back
    np.testing.assert_array_equal(timed.rows, rows)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("at_once", [2, 12, 30])
def test_samples_stamped_as_they_are_sent(timeline: Timeline, at_once: int, numbered: bool) -> None:
    n = 12_000
    rows, times, numbers = clean(n, numbered)
    sent = times[at_once - 1 :: at_once].repeat(at_once)[:n] * (1 + 5e-4)  # a drift as well
    stamps = sent + 2e-5 * (np.arange(n) % at_once)
    timed, happened, rates, _ = feed(timeline, (rows, stamps, numbers), list(range(0, n, 7)))
    assert happened == Happened()
    np.testing.assert_array_equal(timed.rows, rows)
    np.testing.assert_allclose(rates[1:], RATE_HZ / (1 + 5e-4), rtol=1e-3)


@pytest.mark.parametrize("numbered", [False, True])
def test_stamps_that_stand_still_set_no_clock(timeline: Timeline, numbered: bool) -> None:
    rows, times, numbers = clean(numbered=numbered)
    times = times.copy()
    times[500:2500] = times[500]
    timed, happened, _, _ = feed(timeline, (rows, times, numbers), list(range(0, N, 10)))
    assert happened.clock_steps == happened.resets == 0
    np.testing.assert_array_equal(timed.rows, rows)  # each in its turn


def test_a_stamp_months_ahead_is_no_gap(timeline: Timeline) -> None:
    rows, times, _ = clean()
    for wrong in (1e9, 9e15, 1e17, 1e300):
        hurt = times.copy()
        hurt[1000:1100] = wrong
        timed, happened, _, _ = feed(timeline, (rows, hurt, None))
        assert happened == Happened(bad_times=happened.bad_times)
        assert happened.bad_times > 0
        np.testing.assert_array_equal(timed.rows, rows)


def test_the_cost_of_a_wide_jitter_is_bounded() -> None:
    wide = Timeline(30_000.0, COLUMNS, FILL_S, 2000.0)
    state = wide.initial_state()
    assert len(state.seen_s) <= stamps.WAYS * MOST_SEEN
    stream = clean(2000)
    times = 50 + np.arange(2000) / 30_000.0
    again = (np.r_[stream[0], stream[0]], np.r_[times, times], None)
    assert feed(wide, again)[1] == Happened(duplicated=2000)


def test_numbers_that_begin_anew_are_placed_by_time(timeline: Timeline) -> None:
    rows, times, numbers = clean(numbered=True)
    assert numbers is not None
    numbers[1000:] -= numbers[1000]
    timed, happened, _, _ = feed(timeline, (rows, times, numbers))
    assert happened == Happened(number_restarts=1)
    np.testing.assert_array_equal(timed.rows, rows)


@pytest.mark.parametrize("numbered", [False, True])
def test_a_new_connection_goes_on_where_time_says(timeline: Timeline, numbered: bool) -> None:
    rows, times, numbers = clean(numbered=numbered)
    for gap, expected in (
        (0, Happened()),
        (100, Happened(gaps=1, filled=100)),
        (800, Happened(resets=1)),
    ):
        one = kept((rows, times, numbers), slice(0, 1000))
        other = kept((rows, times, numbers), slice(1000 + gap, N))
        _, _, _, state = feed(timeline, one)
        unplaced, state = timeline.rejoined(state)
        assert unplaced == 0
        assert feed(timeline, other, state=state)[1] == expected
        if numbered:  # another process, which counts from zero
            other = (other[0], other[1], np.arange(len(other[0])))
            assert feed(timeline, other, state=state)[1] == expected


def test_samples_known_to_be_lost_are_filled_in_exactly(timeline: Timeline) -> None:
    rows, times, _ = clean()
    for lost in (1, 3, 150):
        _, _, state = timeline.step(rows[:100], times[:100], None, timeline.initial_state())[1:]
        after = slice(100 + lost, 500)
        timed, happened, _, _ = timeline.step(rows[after], times[after], None, state, lost)
        assert happened == Happened(gaps=1, filled=lost)
        assert (~timed.real[:lost]).all()


def test_a_sample_held_back_at_the_end_is_counted(timeline: Timeline) -> None:
    stream = kept(clean(), np.r_[0:1000, 1100])
    timed, happened, _, state = feed(timeline, stream)
    assert (len(timed.rows), happened) == (1000, Happened())
    assert timeline.rejoined(state)[0] == 1


def troubled(seed: int, numbered: bool) -> Given:
    """A stream with many faults of all kinds."""
    rng = np.random.default_rng(seed)
    stream = clean(1500, numbered, seed)
    for _ in range(int(rng.integers(1, 8))):
        n = len(stream[0])
        at, length = int(rng.integers(1, n)), int(rng.integers(1, 300))
        kind = int(rng.integers(7))
        if kind == 0:  # a gap
            stream = kept(stream, np.r_[0:at, min(n, at + length) : n])
        elif kind == 1:  # sent again
            stream = kept(stream, np.r_[0:at, max(0, at - length) : n])
        elif kind == 2:
            stream[1][at] = rng.choice([np.nan, np.inf, 1e9, -1e9])
        elif kind == 3:  # the clock is set
            stream[1][at:] += rng.normal()
        elif kind == 4:
            stream[1][:] += 1e-3 * rng.normal(size=n)
        elif kind == 5 and stream[2] is not None:
            stream[2][at:] = np.arange(n - at)
        else:
            stream = kept(stream, rng.permutation(n) if n < 20 else np.r_[0:at, at + 1 : n])
        if len(stream[0]) < 3:
            return clean(1500, numbered, seed)
    return stream


@given(st.integers(0, 10_000), st.booleans(), st.data())
def test_cuts_change_nothing(seed: int, numbered: bool, data: st.DataObject) -> None:
    timeline = Timeline(RATE_HZ, COLUMNS, FILL_S, 5.0)
    stream = troubled(seed, numbered)
    cuts = data.draw(st.lists(st.integers(0, len(stream[0])), max_size=30))
    whole, happened, rates, state = feed(timeline, stream)
    check(whole, happened, state, len(stream[0]))
    parts, did, found, last = feed(timeline, stream, cuts)
    assert did == happened
    assert_identical(parts, whole, "cuts matter")
    np.testing.assert_array_equal(found, rates)
    assert_identical(last, state, "cuts matter to the state")


def test_the_state_passed_in_is_not_changed(timeline: Timeline) -> None:
    rows, times, _ = clean(200)
    _, _, _, state = timeline.step(rows[:100], times[:100], None, timeline.initial_state())
    before = [np.copy(part) for part in state]
    timeline.step(rows[100:], times[100:] + 0.05, None, state)
    for part, copy in zip(state, before, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_without_numba_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    timeline, stream = Timeline(RATE_HZ, COLUMNS, FILL_S, 5.0), troubled(3, True)
    compiled = feed(timeline, stream, [100])
    monkeypatch.setattr(placing, "place", placing.place.py_func)  # type: ignore[attr-defined]
    plain = feed(timeline, stream, [100])
    assert_identical(plain[0], compiled[0], "compiled code differs")
    assert plain[1] == compiled[1]
