"""Matching a stream to a bundle, and reading the texts of sources and sinks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from realm.live.check import match
from realm.live.registry import SINKS, SOURCES, make_sink, make_source
from realm.live.sources import StreamInfo

NAMES = ("a", "b", "c")


def info(names: tuple[str, ...] = NAMES, rate_hz: float = 1000.0, unit: str = "V") -> StreamInfo:
    return StreamInfo("amp", names, rate_hz, unit)


def test_columns_follow_the_names() -> None:
    fit = match(info(("x", "c", "a", "y", "b"), unit="uV"), NAMES, 1000.0)
    assert (fit.columns.tolist(), fit.extra, fit.reordered) == ([2, 4, 1], ("x", "y"), True)
    samples = np.arange(10).reshape(2, 5)
    volts = fit.apply(samples)
    np.testing.assert_allclose(volts, samples[:, [2, 4, 1]] * 1e-6, rtol=1e-12)
    assert volts.dtype == np.float64
    assert volts.flags.c_contiguous


def test_volts_are_handed_on_to_the_bit() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    x[1, 1], x[2, 2] = np.nan, np.inf
    np.testing.assert_array_equal(match(info(), NAMES, 1000.0).apply(x), x.astype(np.float64))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (info(("a", "b")), "'c' is missing"),
        (info(("a", "x", "y")), "'b', 'c' are missing and 'x', 'y' unknown"),
        (info(("a", "b", "c", "b")), "'b' more than once"),
        (info(unit="furlong"), "got 'furlong'"),
        (info(rate_hz=1024.0), "expected 1000 samples per second"),
        (info(rate_hz=0.0), "expected 1000 samples per second"),
        (info(rate_hz=math.nan), "expected 1000 samples per second"),
    ],
)
def test_what_does_not_fit_is_named(bad: StreamInfo, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        match(bad, NAMES, 1000.0)


def test_long_lists_of_names_are_cut_short() -> None:
    names = tuple(f"n{i}" for i in range(100))
    with pytest.raises(ValueError, match="'n5' and 94 more are missing") as error:
        match(info(), names, 1000.0)
    assert len(str(error.value)) < 300


def test_an_extra_channel_may_have_a_name_twice() -> None:
    assert match(info(("x", *NAMES, "x")), NAMES, 1000.0).extra == ("x", "x")


def test_a_nominal_rate_may_differ_as_clocks_do() -> None:
    match(info(rate_hz=1000.5), NAMES, 1000.0)


@pytest.mark.parametrize("text", [kind.example for kind in SOURCES.values()])
def test_examples_of_sources_are_made(text: str) -> None:
    assert hasattr(make_source(text), "read")


@pytest.mark.parametrize("text", [*(k.example for k in SINKS.values()), "lsl", "zmq", "dashboard"])
def test_examples_of_sinks_are_made(text: str) -> None:
    assert hasattr(make_sink(text), "write")


def test_a_replay_takes_its_options() -> None:
    source = make_source("replay:some?where/day 7.safetensors?speed=max&block_ms=20")
    assert vars(source)["path"] == Path("some?where/day 7.safetensors")
    assert vars(source)["speed"] == math.inf
    assert vars(source)["block_ms"] == 20
    assert getattr(source, "can_wait", False)
    assert not getattr(make_source("replay:x"), "can_wait", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tape:x", "expected one of replay, lsl, zmq"),
        ("", "expected one of replay, lsl, zmq"),
        ("replay", "expected a path after the colon"),
        ("lsl:", "expected a name after the colon"),
        ("replay:x?sped=2", "expected speed, block_ms, got 'sped'"),
        ("replay:x?speed=fast", "speed"),
        ("replay:x?speed=0", "a speed above zero, or max"),
        ("replay:x?block_ms=a", "expected block_ms as a number"),
    ],
)
def test_a_wrong_text_of_a_source_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_source(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file:x", "expected one of csv, parquet, lsl, zmq, dashboard"),
        ("csv", "expected a path after the colon, as in csv:decoded.csv"),
        ("dashboard:web", "expected port as a number, got 'web'"),
        ("csv:x?append=maybe", "expected append as yes or no"),
    ],
)
def test_a_wrong_text_of_a_sink_is_explained(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_sink(text)
