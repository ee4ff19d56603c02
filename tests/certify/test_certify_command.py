"""`realm certify` writes its two files, says what failed and exits accordingly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certify_cases import CHANNELS, RATE_HZ, TINY, made_bundle, ordinary
from test_extensions import write_package
from typer.testing import CliRunner

from realm import cli, extensions
from realm.certify import certificate, signals
from realm.certify import check as trial
from realm.certify.certificate import PARTS, Part
from realm.certify.check import Finding, at_most
from realm.live.sources.recording_file import Piece, RecordingInfo, Truth, write_recording
from realm.streaming import StreamingDecoder

KEYS = {"name", "passed", "value", "unit", "limit"}
TIMED = {"Real pace", "Endurance", "Start"}  # what a busy machine may fail


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made_bundle().save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "QUICK", TINY)


def certified(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, ["certify", *map(str, arguments)])


@pytest.mark.usefixtures("_tiny")
def test_a_certificate(bundle: Path, tmp_path: Path) -> None:
    said = certified(bundle, "--out", tmp_path / "out", "--quick", "--seed", 3)
    content = json.loads((tmp_path / "out" / "certificate.json").read_text())
    failing = {check["part"] for check in content["checks"] if not check["passed"]}
    assert failing <= TIMED
    assert content["passed"] == (not failing)
    assert said.exit_code == int(bool(failing)), said.output
    assert all(set(check) >= KEYS for check in content["checks"])
    assert {part["title"] for part in content["parts"]} == {part.title for part in PARTS}
    assert content["bundle"]["sha256"] == StreamingDecoder.load(bundle).bundle.sha256
    assert content["seed"] == 3
    assert content["machine"]["cores"] >= 1
    assert content["versions"]["numpy"] == np.__version__
    page = (tmp_path / "out" / "certificate.html").read_text()
    assert content["bundle"]["sha256"] in page
    assert "rat-&lt;1&gt;" in page
    assert "<1>" not in page
    assert not re.search(r"(src|href)=|https?:", page)
    assert page.count("<svg") == 3
    for check in content["checks"]:
        assert check["name"] in page
        assert check["name"] in said.output


@pytest.mark.usefixtures("_tiny")
def test_a_failed_check_is_said_and_exits_with_1(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlucky(_: Any) -> list[Finding]:
        return [at_most("black cats", 2, "cats", 1, "they were counted")]

    monkeypatch.setattr(certificate, "PARTS", (Part("Luck", "Is there any?", unlucky),))
    said = certified(bundle, "--out", tmp_path / "out", "--quick")
    assert said.exit_code == 1
    assert "FAILED  Luck: black cats: 2 cats (at most 1); they were counted" in said.output
    content = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert not content["passed"]
    assert "1 of 1 checks failed" in (tmp_path / "out" / "certificate.html").read_text()


@pytest.mark.usefixtures("_tiny")
def test_nothing_checked_is_nothing_passed(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "PARTS", ())
    assert certified(bundle, "--out", tmp_path / "out", "--quick").exit_code == 1


def test_a_damaged_bundle_is_no_certificate(bundle: Path, tmp_path: Path) -> None:
    next(bundle.glob("student-*")).write_bytes(b"no")
    said = certified(bundle, "--out", tmp_path / "out", "--quick")
    assert isinstance(said.exception, ValueError)
    assert not (tmp_path / "out" / "certificate.json").exists()


def recorded(path: Path, seconds: float, bundle: Path, names: tuple[str, ...] = ("x", "y")) -> Path:
    """A recording in microvolts, channels in another order; its truth is what is decoded."""
    x = ordinary(round(seconds * RATE_HZ), seed=7)
    times = np.arange(len(x)) / RATE_HZ
    times[len(x) // 2 :] += 5.0  # a pause
    decoder = StreamingDecoder.load(bundle)
    half = len(x) // 2
    truth = [decoder.forward(part).behavior for part in (x[:half], x[half:])]
    ends = [
        start + (1 + np.arange(len(part))) / 100
        for part, start in zip(truth, (0.0, half / RATE_HZ + 5.0), strict=True)
    ]
    info = RecordingInfo(
        "rat-<1>", tuple(f"ch{i}" for i in reversed(range(CHANNELS))), "uV", RATE_HZ, names, "m/s"
    )
    write_recording(
        path,
        info,
        len(x),
        [Piece(1e6 * x[:, ::-1], times)],
        Truth(np.concatenate(ends), np.concatenate(truth).astype(np.float32)),
        np.float64,
    )
    return path


@pytest.mark.usefixtures("_tiny")
def test_a_recording_is_signal_and_judge(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recorded(tmp_path / "day.safetensors", 30.0, bundle)
    wanted = tuple(part for part in PARTS if part.title in ("Accuracy", "Causality"))
    monkeypatch.setattr(certificate, "PARTS", wanted)
    said = certified(bundle, "--out", tmp_path / "out", "--quick", "--recording", file)
    assert said.exit_code == 0, said.output
    content = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert content["signal"].startswith("recording day.safetensors")
    values = {found["name"]: found["value"] for found in content["readings"]}
    assert values["R² on the recording"] > 0.999
    assert values["R² with 50% of the channels dead"] < values["R² on the recording"]


@pytest.mark.parametrize(("seconds", "message"), [(5.0, "at least 20 s")])
def test_a_recording_that_cannot_serve_is_refused(
    bundle: Path, tmp_path: Path, seconds: float, message: str
) -> None:
    file = recorded(tmp_path / "day.safetensors", seconds, bundle)
    said = certified(bundle, "--out", tmp_path / "out", "--quick", "--recording", file)
    assert isinstance(said.exception, ValueError)
    assert message in str(said.exception)


def test_a_recording_of_other_behavior_is_no_judge(bundle: Path, tmp_path: Path) -> None:
    file = recorded(tmp_path / "day.safetensors", 25.0, bundle, names=("a", "b"))
    made = certificate.subject(bundle, TINY, file, 0, lambda *_: None)
    found = signals.read_truth(made)
    assert {each.value for each in found} == {None}  # type: ignore[union-attr]
    assert "a, b" in found[0].detail  # type: ignore[union-attr]


def test_certifying_needs_the_base_install_alone(bundle: Path, tmp_path: Path) -> None:
    code = f"""
import sys
ABSENT = ("torch", "torch_brain", "pydantic", "ray", "h5py", "pynwb", "sklearn", "matplotlib",
          "psutil", "pylsl", "zmq", "aiohttp", "pyarrow")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from pathlib import Path
from realm import cli
from realm.certify.certificate import certify
from realm.certify.check import Effort
content = certify({str(bundle)!r}, {str(tmp_path / "out")!r}, Effort(*{tuple(TINY)!r}))
assert len(content["checks"]) > 20
"""
    subprocess.run([sys.executable, "-c", code], timeout=120, check=True)


OUTSIDER = """
from realm.certify.check import Part, at_most

def count(trial):
    return [at_most("channels", len(trial.usable), "channels", 1000, "those not dead")]

def broken(trial):
    raise RuntimeError("on purpose")

COUNT = Part("Counting", "How many channels are there?", count)
BROKEN = Part("Broken", "Does this work?", broken)
CAUSALITY = Part("Causality", "Is ours replaced?", count)
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Installs a package that adds these checks."""

    def install(entries: str) -> None:
        extensions.found.cache_clear()
        write_package(tmp_path, "outsider_checks", f"[realm.checks]\n{entries}\n", OUTSIDER)
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    extensions.found.cache_clear()


def test_another_package_adds_a_check_after_ours(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outside: Callable[[str], None]
) -> None:
    monkeypatch.setattr(certificate, "PARTS", (PARTS[1],))
    monkeypatch.setattr(trial, "QUICK", TINY)
    outside("aaa = outsider_checks:COUNT\nbbb = outsider_checks:BROKEN")
    said = certified(bundle, "--out", tmp_path / "out", "--quick")
    content = json.loads((tmp_path / "out" / "certificate.json").read_text())
    assert [part["title"] for part in content["parts"]] == ["Bundle", "Counting", "Broken"]
    assert "added_by" not in content["parts"][0]
    assert content["parts"][1]["added_by"] == "outsider_checks:COUNT"
    passed = {check["part"]: check["passed"] for check in content["checks"]}
    assert passed == {"Bundle": True, "Counting": True, "Broken": False}
    assert said.exit_code == 1
    assert "on purpose" in said.output
    assert "added by outsider_checks:COUNT" in (tmp_path / "out" / "certificate.html").read_text()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("mine = outsider_checks:CAUSALITY", "'Causality'.*taken"),
        ("a = outsider_checks:COUNT\nb = outsider_checks:COUNT", "'Counting'.*taken"),
        ("mine = outsider_checks:count", "mine.*Part"),
    ],
)
def test_another_package_cannot_replace_a_check(
    outside: Callable[[str], None], entries: str, message: str
) -> None:
    outside(entries)
    with pytest.raises(ValueError, match=message):
        certificate.all_parts()
