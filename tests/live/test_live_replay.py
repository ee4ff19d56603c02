"""Recording files and their replay."""

from __future__ import annotations

import contextlib
import itertools
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from realm.live.sources import Block, SourceEndedError, SourceLostError, replay
from realm.live.sources.recording_file import (
    Piece,
    RecordingFile,
    RecordingInfo,
    Truth,
    write_recording,
)
from realm.live.sources.replay import ReplaySource
from realm.signal.binning import Binning

RATE_HZ = 24414.0625 / 48  # 10 ms bins do not divide it
INFO = RecordingInfo("rat-1", ("a", "b", "c"), "uV", RATE_HZ, ("vx", "vy"), "m/s")
BIN_S = 0.01


def samples(n: int = 1000) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    x[5] = np.nan  # a missing sample
    return x


def truth(n: int = 1000) -> Truth:
    """Row k holds (k, -k), for the end of bin k; some are unknown."""
    k = np.arange(Binning(10.0, RATE_HZ, 1, 1).n_bins(n))
    values = np.stack([k, -k], axis=1).astype(np.float32)
    values[20:23] = np.nan
    return Truth(3.0 + (k + 1) * BIN_S, values)


def times(n: int = 1000) -> np.ndarray:
    return 3.0 + np.arange(n) / RATE_HZ


def written(path: Path, info: RecordingInfo = INFO, at: np.ndarray | None = None) -> Path:
    x = samples()
    at = times() if at is None else at
    pieces = (Piece(x[i : i + 300], at[i : i + 300]) for i in range(0, len(x), 300))
    write_recording(path, info, len(x), pieces, truth() if info.behavior_names else None)
    return path


def played(source: ReplaySource, timeout_s: float = 1.0) -> list[Block]:
    blocks = []
    with contextlib.suppress(SourceEndedError):
        while True:
            block = source.read(timeout_s)
            if block is not None:
                blocks.append(block)
    return blocks


def test_what_is_written_is_read_by_slices_of_any_length(tmp_path: Path) -> None:
    path, x = written(tmp_path / "r.safetensors"), samples()
    with RecordingFile.open(path) as recording:
        assert recording.info == INFO
        assert recording.n_samples == 1000
        assert recording.uniform
        cuts = [0, 0, 1, 7, 500, 999, 1000, 1200]
        pieces = [recording.read(a, b) for a, b in itertools.pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate([p.samples for p in pieces]), x)
        np.testing.assert_array_equal(np.concatenate([p.times_s for p in pieces]), times())
        assert recording.truth is not None
        np.testing.assert_array_equal(recording.truth.values, truth().values)


def test_it_is_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    tensors = load_file(written(tmp_path / "r.safetensors"))
    np.testing.assert_array_equal(tensors["samples"], samples())
    np.testing.assert_array_equal(tensors["times_s"], times())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_samples_are_stored_in_their_own_numbers(tmp_path: Path, dtype: Any) -> None:
    x = (1000 * np.nan_to_num(samples())).astype(dtype)
    info = RecordingInfo("s", ("a", "b", "c"), "nV", RATE_HZ)
    write_recording(tmp_path / "r", info, len(x), [Piece(x, times())], dtype=dtype)
    with RecordingFile.open(tmp_path / "r") as recording:
        found = recording.read(0, 1000).samples
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, x)


def test_a_long_recording_is_neither_held_in_memory_nor_read_at_once(tmp_path: Path) -> None:
    rows, channels, piece = 400_000, 50, 10_000  # 80 MB
    info = RecordingInfo("s", tuple(map(str, range(channels))), "V", 1000.0)
    block = np.ones((piece, channels), np.float32)
    pieces = (Piece(block, np.arange(i, i + piece) / 1000) for i in range(0, rows, piece))
    tracemalloc.start()
    try:
        write_recording(tmp_path / "r", info, rows, pieces)
        with RecordingFile.open(tmp_path / "r") as recording:
            for start in range(0, rows, piece):
                assert recording.read(start, start + piece).samples.all()
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert (tmp_path / "r").stat().st_size > 80e6


def edited(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        tensors, header = load_file(path), json.loads(json.dumps(INFO.__dict__))
        facts = {"format": "realm-recording-1", "header": header}
        change(tensors, facts)
        facts["header"] = json.dumps(facts["header"])
        save_file(tensors, path, metadata=facts)

    return spoil


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


SPOILT: dict[str, tuple[Callable[[Path], None], str]] = {
    "absent": (lambda path: path.unlink(), "cannot be opened"),
    "truncated": (cut, "expected a recording file"),
    "foreign": (lambda path: path.write_text("time,x\n0,1\n"), "expected a recording file"),
    "another format": (edited(lambda t, f: f.update(format="x")), "its format is 'x'"),
    "no header": (edited(lambda t, f: f.update(header=None)), "expected a recording file"),
    "names": (edited(lambda t, f: f["header"]["channel_names"].pop()), "one column for each"),
    "a name twice": (
        edited(lambda t, f: f["header"].update(channel_names=["a", "b", "a"])),
        "one of them twice",
    ),
    "unit": (edited(lambda t, f: f["header"].update(unit="A")), "one of the units"),
    "rate": (edited(lambda t, f: f["header"].update(sampling_rate_hz=0)), "above zero"),
    "unknown field": (edited(lambda t, f: f["header"].update(more=1)), "more"),
    "dtype": (
        edited(lambda t, f: t.update(samples=t["samples"].astype(np.float16))),
        "F16 instead of",
    ),
    "fewer times": (edited(lambda t, f: t.update(times_s=t["times_s"][1:].copy())), "one row for"),
    "behavior lost": (edited(lambda t, f: t.pop("behavior")), "instead of"),
    "nan time": (edited(lambda t, f: t["times_s"].__setitem__(7, np.nan)), "finite and increasing"),
    "backward": (edited(lambda t, f: t["times_s"].__setitem__(7, 0.0)), "finite and increasing"),
    "backward truth": (
        edited(lambda t, f: t["behavior_times_s"].__setitem__(7, 0.0)),
        "finite and increasing",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_file_is_refused_with_its_name_and_what_to_do(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "r.safetensors")
    spoil, said = SPOILT[kind]
    spoil(path)
    with pytest.raises(ValueError, match=said) as caught:
        RecordingFile.open(path)
    assert str(path) in str(caught.value)
    assert "realm export" in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(at=st.integers(0, 2000), byte=st.integers(0, 255), longer=st.booleans())
def test_a_damaged_head_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int, longer: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.safetensors"
    content = bytearray(written(path).read_bytes())
    head = 8 + int.from_bytes(content[:8], "little")
    content[at % head] = byte
    path.write_bytes(content + b"x" * longer)
    with contextlib.suppress(ValueError):
        RecordingFile.open(path).close()


@pytest.mark.parametrize(("rows", "said"), [(999, "got samples of shape"), (1001, "got 1000")])
def test_a_wrong_number_of_samples_leaves_no_file(tmp_path: Path, rows: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write_recording(tmp_path / "r", INFO, rows, [Piece(samples(), times())], truth())
    assert not list(tmp_path.iterdir())


def test_times_that_go_backward_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite and increasing"):
        write_recording(tmp_path / "r", INFO, 1000, [Piece(samples(), times()[::-1])], truth())
    assert not list(tmp_path.iterdir())


def test_replay_gives_every_sample_once_in_order(tmp_path: Path) -> None:
    source = ReplaySource(written(tmp_path / "r"), speed=np.inf)
    info = source.open()
    assert info == ("rat-1", ("a", "b", "c"), RATE_HZ, "uV", ())
    blocks = played(source)
    np.testing.assert_array_equal(np.concatenate([b.samples for b in blocks]), samples())
    firsts = np.cumsum([0, *(len(b.times_s) for b in blocks)])[:-1]
    assert [b.first_index for b in blocks] == firsts.tolist()
    assert {len(b.times_s) for b in blocks} == {5}  # 10 ms
    at = np.concatenate([b.times_s for b in blocks])
    np.testing.assert_allclose(np.diff(at), 1 / RATE_HZ, rtol=1e-6)


@pytest.mark.parametrize("start_s", [0.0, 3.0, 1e5])
def test_the_truth_of_a_sample_is_that_of_its_bin(tmp_path: Path, start_s: float) -> None:
    n = 10_000  # many samples lie close to the end of a bin
    shift = start_s - times()[0]
    known = truth(n)
    known = Truth(known.times_s + shift, known.values)
    write_recording(tmp_path / "r", INFO, n, [Piece(samples(n), times(n) + shift)], known)
    source = ReplaySource(tmp_path / "r", speed=np.inf, block_ms=3)
    source.open()
    found = np.concatenate([b.behavior for b in played(source) if b.behavior is not None])
    binning = Binning(10.0, RATE_HZ, 1, 1)
    bins = np.array([binning.n_bins(i) for i in range(n)])  # that each sample is in
    padded = np.concatenate([known.values, np.full((2, 2), np.nan, np.float32)])
    np.testing.assert_array_equal(found, padded[bins])


def test_samples_on_the_end_of_a_bin_have_the_truth_of_the_next(tmp_path: Path) -> None:
    at, k = 0.1 + np.arange(1000) / 1000, np.arange(100)
    info = RecordingInfo("s", ("a", "b", "c"), "V", 1000.0, ("k",), "1")
    known = Truth(0.1 + (k + 1) * 0.01, k[:, None].astype(np.float32))
    write_recording(tmp_path / "r", info, 1000, [Piece(samples(), at)], known)
    source = ReplaySource(tmp_path / "r", speed=np.inf)
    source.open()
    found = np.concatenate([b.behavior for b in played(source) if b.behavior is not None])
    np.testing.assert_array_equal(found[:, 0], np.arange(1000) // 10)


def test_without_truth_there_is_none(tmp_path: Path) -> None:
    source = ReplaySource(
        written(tmp_path / "r", RecordingInfo("s", ("a", "b", "c"), "V", RATE_HZ)), speed=np.inf
    )
    source.open()
    assert {block.behavior is None for block in played(source)} == {True}


def test_a_pause_ends_a_block_and_such_samples_are_not_counted(tmp_path: Path) -> None:
    at = times()
    at[503:] += 0.7
    source = ReplaySource(written(tmp_path / "r", at=at), speed=np.inf)
    source.open()
    blocks = played(source)
    assert sum(len(b.times_s) for b in blocks) == 1000
    assert all(b.first_index is None for b in blocks)
    assert max(float(np.diff(b.times_s).max(initial=0)) for b in blocks) < 0.01


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(replay, "now_s", lambda: self.now)
        monkeypatch.setattr(replay, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_a_block_comes_when_its_last_sample_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: float
) -> None:
    clock = Clock(monkeypatch)
    source = ReplaySource(written(tmp_path / "r"), speed=speed)
    source.open()
    while clock.now < 1000.2:
        block = source.read(0.004)
        if block is not None:
            due = 1000 + (block.times_s[-1] - 1000) / speed
            assert clock.now == pytest.approx(due, abs=1e-9)
    assert source.can_wait == (speed != 1.0)


def test_after_a_stall_everything_that_is_due_comes_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    source = ReplaySource(written(tmp_path / "r"))
    source.open()
    clock.now += 1.0
    before, rows = clock.now, 0
    while (block := source.read(0.0)) is not None:
        rows += len(block.times_s)
    assert clock.now == before
    assert rows == 505  # (505 - 1) / rate <= 1 s


def test_opening_again_begins_again(tmp_path: Path) -> None:
    source = ReplaySource(written(tmp_path / "r"), speed=np.inf)
    for _ in range(2):
        source.open()
        block = source.read(1.0)
        assert block is not None
        assert block.first_index == 0
    source.close()
    source.close()
    with pytest.raises(SourceLostError, match="open it first"):
        source.read(0.0)


def test_a_file_that_is_cut_while_it_plays_is_a_lost_source(tmp_path: Path) -> None:
    path = written(tmp_path / "r")
    source = ReplaySource(path, speed=np.inf)
    source.open()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceLostError, match="shorter"):
        played(source)
    with pytest.raises(ValueError, match="realm export"):
        source.open()


def test_nwb_is_told_how_it_becomes_a_recording_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"realm export .*day7\.nwb .*--out .*day7\.safetensors"):
        ReplaySource(tmp_path / "day7.nwb").open()


@pytest.mark.parametrize("arguments", [{"speed": 0.0}, {"speed": np.nan}, {"block_ms": np.inf}])
def test_a_speed_that_cannot_be_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above zero"):
        ReplaySource("r", **arguments)
