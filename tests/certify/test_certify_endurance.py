"""The benchmark of a day runs, and writes what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_quick_run_writes_its_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT)  # benchmarks are no part of the installed package
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # the import sets them for good
        monkeypatch.setenv(name, "1")
    from benchmarks.endurance import main

    with pytest.raises(SystemExit) as ended:
        main(["--quick", "--hours", "0.002", "--out", str(tmp_path)])
    content = json.loads((tmp_path / "endurance.json").read_text())
    checks = {f["name"]: f for f in content["findings"] if f["kind"] == "Check"}
    assert ended.value.code == any(not check["passed"] for check in checks.values())
    assert checks["bins without an output, or with one that is not finite"]["passed"]
    assert {"memory slope", "median step, last tenth over first", "step time, p99"} <= set(checks)
    written = (tmp_path / "endurance.md").read_text()
    assert "Tiny sizes" in written
    assert all(name in written for name in checks)
    assert "memory slope" in capsys.readouterr().out
