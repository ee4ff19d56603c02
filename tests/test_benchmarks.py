"""The benchmarks run, and their references are what they are said to be. Nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]
KEYS = {"name", "value", "unit", "reference", "ratio", "target", "met"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)  # benchmarks are no part of the installed package


@pytest.mark.slow
def test_a_quick_run_writes_complete_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["machine"]["threads"] == 1
    assert content["quick"]
    rows, skipped = len(content["rows"]), len(content["skipped"])
    assert rows + skipped == 3 + 12 + 6 + 2 + 4 + 4 + 2
    assert skipped <= 3, "only what needs transformers, ONNX Runtime or Ray may be left out"
    written = (tmp_path / "results.md").read_text()
    assert content["machine"]["cpu"] in written
    for row in content["rows"]:
        assert set(row) >= KEYS
        assert row["value"] > 0
        assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert (row["met"] is None) == (row["target"] is None)
        assert row["name"] in written


def test_a_quick_run_does_not_replace_the_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # the import sets them for good
        monkeypatch.setenv(name, "1")
    from benchmarks.__main__ import main

    with pytest.raises(SystemExit):
        main(["--quick"])
    assert "--out" in capsys.readouterr().err


def test_rounds_alternate_and_ratios_are_paired() -> None:
    from benchmarks.timing import alternate, compare

    order: list[str] = []
    seconds = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert "".join(order) == "ababab"  # the first round does not count
    assert len(seconds["a"]) == 2
    row = compare("a", np.array([1.0, 2.0, 9.0]), "ms", "b", np.array([1.0, 1.0, 3.0]), target=2.0)
    assert (row.value, row.reference_value, row.ratio, row.met) == (2000.0, 1000.0, 2.0, True)


def test_the_floor_counts_the_products_of_the_layer() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.training_layer import TINY, matrix_flops, plain_autograd, training_pass

    with FlopCounterMode(display=False) as counter, plain_autograd():
        training_pass(TINY)()
    by_operation = counter.get_flop_counts()["Global"]
    assert matrix_flops(TINY) == sum(by_operation.values())


def test_plain_autograd_gives_the_same_gradients() -> None:
    from benchmarks.training_layer import TINY, plain_autograd, training_pass

    training = training_pass(TINY)
    by_hand = training()
    with plain_autograd():
        plain = training()
    for ours, theirs in zip(by_hand, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_plain_filters_are_those_of_the_chain() -> None:
    from benchmarks.signal_chain import PlainBands
    from realm.signal import SignalChain, SignalConfig
    from realm.signal.stage import Guarded

    x = 1e-4 * np.random.default_rng(0).normal(size=(300, 3))
    plain = PlainBands(SignalConfig(), 500.0, 3)
    chain = SignalChain(SignalConfig(), 500.0, ["a", "b", "c"])
    bands = next(stage for stage in chain.stages if type(stage).__name__ == "Bands")
    found = bands.step(Guarded(x, np.zeros(x.shape, bool)), bands.initial_state())[0].values
    expected = np.stack(plain.step(x, plain.initial_state())[0], axis=-1)
    np.testing.assert_array_equal(found, expected)
