"""A good decoder passes; one that breaks what a check looks for fails that check."""

from __future__ import annotations

import ctypes
import dataclasses
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certify_cases import (
    TINY,
    CountsChunks,
    Forgets,
    IgnoresTheQuorum,
    Leaks,
    LooksAhead,
    LosesBins,
    NeverRecovers,
    PassesNanOn,
    Rounds,
    failed,
    made_bundle,
    passed,
    trial_of,
)

from realm.certify import endurance, environment, faults, files, network, timing
from realm.certify.check import Check, Finding, Reading, Trial, at_least, at_most, not_measured
from realm.certify.exactness import check_causality, check_chunking, check_resuming, random_sizes
from realm.certify.faults import read_dead_channels
from realm.certify.live_loop import check_live_loop
from realm.certify.long_faults import check_long_faults
from realm.certify.purity import check_purity
from realm.certify.quality import check_quality
from realm.certify.signals import read_likeness
from realm.certify.timing import StepTimes, check_pace
from realm.certify.trained import check_precision, check_reference
from realm.streaming import Bundle, StreamingDecoder

linux = pytest.mark.skipif(environment.resident_mb() is None, reason="reads Linux' /proc")


@pytest.fixture(scope="module", params=[0, 3], ids=["causal", "lookahead"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "bundle"
    made_bundle(lookahead_bins=request.param).save(path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "plain"
    made_bundle().save(path)
    return path


UNTIMED: list[Callable[[Trial], list[Finding]]] = [
    check_causality,
    check_chunking,
    check_resuming,
    check_precision,
    faults.check_recovery,
    faults.check_quorum,
    check_reference,
    check_long_faults,
    check_purity,
    check_quality,
    check_live_loop,
    files.check_integrity,
    network.check_sockets,
]


@pytest.mark.parametrize("part", UNTIMED, ids=lambda part: part.__name__)
def test_a_good_decoder_passes(folder: Path, part: Callable[[Trial], list[Finding]]) -> None:
    findings = part(trial_of(folder))
    assert not failed(findings)
    assert passed(findings) or part is faults.check_quorum


@pytest.mark.parametrize(
    ("part", "kind", "expected"),
    [
        (check_causality, LooksAhead, "outputs changed by a later sample"),
        (check_chunking, CountsChunks, "chunkings that changed an output"),
        (check_chunking, LooksAhead, "chunkings that changed an output"),
        (check_resuming, Forgets, "streams changed by saving and restoring"),
        (check_precision, Rounds, "float32 against float64"),
        (check_precision, Rounds, "numba against numpy"),
        (faults.check_recovery, PassesNanOn, "outputs that are not finite"),
        (faults.check_recovery, NeverRecovers, "after one NaN"),
        (faults.check_recovery, NeverRecovers, "after one spike of a volt"),
        (faults.check_recovery, NeverRecovers, "after gap of 500 ms"),
        (faults.check_quorum, IgnoresTheQuorum, "outputs not as the quorum declares"),
    ],
)
def test_a_decoder_that_breaks_it_fails(
    folder: Path, part: Any, kind: type[StreamingDecoder], expected: str
) -> None:
    assert expected in failed(part(trial_of(folder, kind)))


class Deaf(StreamingDecoder):
    """Its output depends on nothing."""

    def step(self, samples: Any, state: Any) -> Any:
        decoded, after = super().step(samples, state)
        return decoded._replace(behavior=np.zeros_like(decoded.behavior)), after


def test_a_decoder_that_hears_nothing_does_not_pass_by_agreeing(plain: Path) -> None:
    trial = trial_of(plain, Deaf)
    assert "outputs that followed the change" in failed(check_causality(trial))
    assert "after one NaN" in failed(faults.check_recovery(trial))
    assert "float32 against float64" in failed(check_precision(trial))


def test_a_loader_that_does_not_verify_fails(plain: Path) -> None:
    findings = files.check_integrity(trial_of(plain), lambda path: path.exists())
    assert failed(findings) == {
        "damaged copies that loaded",
        "edited manifests that loaded",
    }


def test_another_bundle_in_the_folder_is_seen(plain: Path) -> None:
    other = dataclasses.replace(Bundle.load(plain), quorum=0.25)
    trial = dataclasses.replace(
        trial_of(plain), make=lambda precision, plain: StreamingDecoder(other, precision, plain)
    )
    assert failed(files.check_integrity(trial)) == {"files that differ from the examined decoder"}


def test_damage_is_damage() -> None:
    given, rng = {"a": bytes(range(200)), "b": b"x" * 100}, np.random.default_rng(0)
    assert all(files.damaged(given, rng) != given for _ in range(300))


def test_without_a_quorum_there_is_nothing_to_check(tmp_path: Path) -> None:
    made_bundle(quorum=0.0).save(tmp_path / "bundle")
    (found,) = faults.check_quorum(trial_of(tmp_path / "bundle"))
    assert isinstance(found, Reading)


# Long streams -------------------------------------------------------------------------------------


@linux
def test_a_long_stream_loses_nothing_and_keeps_its_memory(plain: Path) -> None:
    findings = endurance.check_endurance(trial_of(plain))
    assert "bins without an output, or with one that is not finite" in passed(findings)
    names = [found.name for found in findings]
    assert {"step time, p50", "step time, p99", "step time, p99.9", "deadline misses"} <= {*names}
    assert {"Time of one step", "Resident memory", "step time, longest"} <= {*names}


@linux
def test_a_leak_fails(plain: Path) -> None:
    assert "memory slope" in failed(endurance.check_endurance(trial_of(plain, Leaks)))


def test_lost_bins_fail(plain: Path) -> None:
    findings = endurance.check_endurance(trial_of(plain, LosesBins))
    assert "bins without an output, or with one that is not finite" in failed(findings)


def endured(milliseconds: list[float], memory_mb: list[float]) -> endurance.Endured:
    """A stream with these times in its tenths, and memory over an hour."""
    tenths = [StepTimes(10.0) for _ in range(10)]
    for tenth, value in zip(tenths, milliseconds, strict=True):
        tenth.add(np.full(1000, value))
    hours = np.linspace(0, 1, len(memory_mb)).tolist()
    return endurance.Endured(tenths, hours, memory_mb, 10_000, 10_000, 0, 0, 60.0)


def test_limits_of_a_long_stream(plain: Path) -> None:
    decoder = trial_of(plain).decoder
    flat = [100.0] * 50

    def judged(milliseconds: list[float], memory: list[float]) -> set[str]:
        return failed(endurance.judged(decoder, endured(milliseconds, memory)))

    assert judged([1.0] * 10, flat) == set()
    growing = np.linspace(1, 2, 10).tolist()
    assert judged(growing, flat) == {"median step, last tenth over first"}
    late = judged([1.0] * 9 + [20.0], flat)
    assert late >= {"step time, p99", "step time, p99.9", "deadline misses"}
    assert "step time, p50" in judged([6.0] * 10, flat)
    assert judged([1.0] * 10, np.linspace(100, 101.5, 50).tolist()) == {"memory slope"}
    assert judged([1.0] * 10, []) == {"memory slope"}  # not measured is not passed


def test_one_step_of_memory_is_no_slope() -> None:
    x = np.linspace(0, 1, 40).tolist()
    assert endurance.slope(x, [100.0] * 10 + [103.0] * 30) < 0.5
    assert endurance.slope(x, (5 + 2 * np.array(x)).tolist()) == pytest.approx(2)
    assert np.isnan(endurance.slope([], []))


def test_step_times_are_counted_with_their_deadline() -> None:
    times = StepTimes(10.0)
    times.add(np.array([1.0] * 998 + [11.0, 12.0]))
    assert times.missed_per_million() == 2000
    assert times.at(50) == pytest.approx(1.0, rel=0.02)
    assert times.largest_ms == 12
    edges, counts = times.bars()
    assert len(edges) == len(counts) + 1
    assert sum(counts) == 1000
    assert edges[0] <= 1 <= 12 <= edges[-1]
    assert np.isnan(StepTimes(1.0).at(50))


def test_at_real_pace_steps_are_counted(plain: Path) -> None:
    findings = check_pace(trial_of(plain))
    curve = findings[-1]
    assert sum(curve.y) == round(1000 * TINY.paced_s / 10)  # type: ignore[union-attr]


def test_a_start_is_measured_and_a_failure_is_not_passed(plain: Path, tmp_path: Path) -> None:
    findings = timing.check_start(trial_of(plain))
    assert [type(found) for found in findings] == [Check, Reading]
    assert findings[0].value is not None
    gone = dataclasses.replace(trial_of(plain), folder=tmp_path / "none")
    (found,) = timing.check_start(gone)
    assert failed([found])
    assert "not measured" in found.detail  # type: ignore[union-attr]


# Sockets ------------------------------------------------------------------------------------------


class Calls(StreamingDecoder):
    """Opens a socket and listens."""

    def step(self, samples: Any, state: Any) -> Any:
        self.heard = socket.create_server(("127.0.0.1", 0))
        return super().step(samples, state)


class CallsByItself(StreamingDecoder):
    """Opens one without Python's help."""

    opened: list[int] = []  # noqa: RUF012

    def step(self, samples: Any, state: Any) -> Any:
        if not self.opened:
            self.opened.append(ctypes.CDLL(None).socket(socket.AF_INET, socket.SOCK_STREAM, 0))
        return super().step(samples, state)


def test_a_socket_of_python_is_seen(plain: Path) -> None:
    names = failed(network.check_sockets(trial_of(plain, Calls)))
    assert names >= {"uses of sockets by Python"}
    if network.socket_inodes() is not None:
        assert names >= {"sockets opened", "sockets listening"}


@linux
def test_a_socket_of_a_library_is_seen(plain: Path) -> None:
    try:
        assert failed(network.check_sockets(trial_of(plain, CallsByItself))) == {"sockets opened"}
    finally:
        socket.socket(fileno=CallsByItself.opened.pop()).close()


def test_where_there_is_no_proc_nothing_is_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: Path
) -> None:
    assert environment.resident_mb(tmp_path) is None
    assert network.socket_inodes(tmp_path) is None
    assert network.addresses(tmp_path) is None
    monkeypatch.setattr(network, "socket_inodes", lambda *_: None)
    monkeypatch.setattr(endurance, "resident_mb", lambda: None)
    findings = network.check_sockets(trial_of(plain))
    assert failed(findings) == {"sockets opened", "sockets listening"}
    assert "memory slope" in failed(endurance.check_endurance(trial_of(plain)))


# Small parts --------------------------------------------------------------------------------------


def test_a_number_that_is_none_does_not_pass() -> None:
    assert at_most("", 1, "", 1, "").passed
    assert not at_most("", 1.01, "", 1, "").passed
    assert at_least("", 1, "", 1, "").passed
    assert not at_least("", 0.99, "", 1, "").passed
    for value in (float("nan"), float("inf"), -float("inf")):
        for rule in (at_most, at_least):
            assert not rule("", value, "", 1, "").passed
            assert rule("", value, "", 1, "").value is None
    assert not not_measured("", "", 1, "").passed


def test_chunk_sizes_cover_the_stream() -> None:
    rng = np.random.default_rng(0)
    for length in (1, 2, 500, 12_345):
        sizes = random_sizes(length, rng)
        assert sum(sizes) == length
        assert min(sizes) >= 0
    assert 0 in random_sizes(10_000, rng) + random_sizes(10_000, rng) + random_sizes(9999, rng)


def test_the_synthetic_signal_is_like_the_training(plain: Path) -> None:
    found = {each.name: each.value for each in read_likeness(trial_of(plain))}  # type: ignore[union-attr]
    assert found["deviation of the features"] == pytest.approx(1, abs=0.25)
    assert found["mean of the features"] == pytest.approx(0, abs=0.25)
    assert found["features at the clip"] < 1  # type: ignore[operator]


def test_fewer_channels_less_of_the_output(plain: Path) -> None:
    tenth, quarter, half = (found.value for found in read_dead_channels(trial_of(plain)))  # type: ignore[union-attr]
    assert 1 > tenth > half  # type: ignore[operator]
    assert quarter is not None
