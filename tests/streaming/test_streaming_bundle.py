"""A bundle holds all that is needed, and nothing that is damaged or hostile is loaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import edited, loaded_silently, read, write
from safetensors.numpy import load, save
from streaming_cases import CHANNELS, RATE_HZ, bundle, faulty, ordinary

from realm.streaming import Bundle, StreamingDecoder
from realm.streaming.folder import LARGEST_MANIFEST, MANIFEST


@pytest.fixture(scope="module")
def made() -> Bundle:
    return bundle(lookahead_bins=2)


@pytest.fixture
def folder(made: Bundle, tmp_path: Path) -> Path:
    made.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_comes_back_to_the_bit(made: Bundle, folder: Path) -> None:
    again = Bundle.load(folder)
    assert again.files == made.files == read(folder)
    assert again.sha256 == made.sha256 == hashlib.sha256(made.files[MANIFEST]).hexdigest()
    x = faulty(900)
    one, other = (StreamingDecoder(b, "float64").forward(x).behavior for b in (made, again))
    np.testing.assert_array_equal(one, other)


def test_the_manifest_says_what_a_person_asks(folder: Path) -> None:
    facts = json.loads((folder / MANIFEST).read_text())
    assert (facts["format"], facts["schema"]) == ("realm-bundle", 1)
    assert facts["channels"] == {
        "names": [f"ch{i}" for i in range(CHANNELS)],
        "unit": "V",
        "sampling_rate_hz": RATE_HZ,
    }
    assert facts["bins"] == {"bin_ms": 10.0, "lookahead_bins": 2}
    assert facts["behavior"] == {
        "names": ["x", "y"],
        "unit": "m/s",
        "target": "velocity",
        "neutral": [0.0, -0.25],
    }
    assert facts["quorum"] == 0.5
    for listed in facts["files"].values():
        data = (folder / listed["name"]).read_bytes()
        assert listed["bytes"] == len(data)
        assert listed["sha256"] == hashlib.sha256(data).hexdigest()
    assert len(os.listdir(folder)) == 3


def test_the_filters_run_with_the_coefficients_of_the_bundle(folder: Path) -> None:
    """Another scipy may round them differently."""
    forge_tensors(folder, "signal", lambda arrays: nudge(arrays, 1e-13))
    sections = Bundle.load(folder).chain.stages[2].sections["notch"]  # type: ignore[attr-defined]
    designed = bundle().chain.stages[2].sections["notch"]  # type: ignore[attr-defined]
    assert 0 < np.abs(sections.sos - designed.sos).max() < 1e-12
    forge_tensors(folder, "signal", lambda arrays: nudge(arrays, 1e-6))
    with pytest.raises(ValueError, match="another filter"):
        Bundle.load(folder)


def nudge(arrays: dict[str, np.ndarray], by: float) -> None:
    arrays["filter/notch"] = arrays["filter/notch"] + by


@pytest.mark.parametrize("scale", [1e-9, 0.5, 2.0, 1e200])
@pytest.mark.parametrize("how", ["a whole section", "one up, one down", "unstable"])
def test_no_other_filter_runs_than_the_one_that_is_verified(
    folder: Path, scale: float, how: str
) -> None:
    def change(arrays: dict[str, np.ndarray]) -> None:
        sos = arrays["filter/notch"].copy()
        if how == "a whole section":  # the response stays, until a0 is taken as 1
            sos[0] *= scale
        elif how == "one up, one down":
            sos[0, :3] *= scale * 1e15
            sos[1, :3] /= scale * 1e15
        else:  # a pole outside the circle, and a zero that hides it
            pole = np.array([1.0, -1.0 - scale])
            sos[0, :3] = [*np.convolve(sos[0, :2], pole)[:2], 0.0]
            sos[1, 3:] = [1.0, -1.0 - scale, 0.0]
        arrays["filter/notch"] = sos

    forge_tensors(folder, "signal", change)
    with pytest.raises(ValueError, match="another filter"):
        Bundle.load(folder)


@pytest.mark.parametrize("value", [1e39, -1e200])
def test_a_neutral_value_is_a_number_on_the_rig(folder: Path, value: float) -> None:
    forge_manifest(folder, lambda facts: facts["behavior"]["neutral"].__setitem__(0, value))
    refused(folder, "moderate neutral values")


@pytest.mark.parametrize("name", ["dead_ms", "recovery_ms", "flat_ms", "smoothing_ms"])
def test_times_of_the_signal_chain_are_moderate(folder: Path, name: str) -> None:
    forge_manifest(folder, lambda facts: facts["signal"]["config"].__setitem__(name, 1e20))
    refused(folder, name)


def test_a_bundle_replaces_another(made: Bundle, folder: Path) -> None:
    other = bundle(lookahead_bins=0, d_state=4)
    (folder / f"student-{'0' * 16}.safetensors").write_bytes(b"left by an interrupted save")
    other.save(folder)
    assert read(folder) == other.files
    assert Bundle.load(folder).sha256 == other.sha256 != made.sha256


def test_a_bundle_is_not_written_among_other_files(made: Bundle, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"notes\.txt; choose another"):
        made.save(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_bundle_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    made = bundle()
    large = dataclasses.replace(made, provenance={"notes": "x" * (LARGEST_MANIFEST + 1)})
    unnamed = dataclasses.replace(made, behavior_names=("x", "x"))
    for wrong, said in ((large, "at most"), (unnamed, "different names")):
        with pytest.raises(ValueError, match=said):
            wrong.save(tmp_path / "out")
        assert not (tmp_path / "out").exists()


# Damage ------------------------------------------------------------------------------------------


def test_no_mutation_loads_silently(folder: Path) -> None:
    tried, refused, wrong = loaded_silently(folder, 300, seed=1)
    assert (tried, refused, wrong) == (300, 300, [])


def test_forged_manifests_are_refused_or_decode(folder: Path, tmp_path: Path) -> None:
    """Hashes that agree are no reason to trust the values."""
    files, rng, said = read(folder), np.random.default_rng(2), []
    for _ in range(250):
        write(tmp_path / "forged", {**files, MANIFEST: edited(files[MANIFEST], rng, forged=True)})
        try:
            forged = Bundle.load(tmp_path / "forged")
        except ValueError as error:
            said.append(str(error))
            continue
        decoder = StreamingDecoder(forged, plain=True)
        samples = ordinary(300)[:, : len(decoder.channel_names)]
        assert np.isfinite(decoder.forward(samples).behavior).all()
    assert 100 < len(said) < 250  # some are harmless, such as another name or unit
    assert all(str(tmp_path) in text for text in said)


def test_every_byte_of_the_manifest_counts(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(path.read_text().replace('"quorum": 0.5', '"quorum": 0.6'))
    with pytest.raises(ValueError, match="SHA-256"):
        Bundle.load(folder)


# Attacks -----------------------------------------------------------------------------------------


def forge_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    facts = json.loads((folder / MANIFEST).read_text())
    change(facts)
    body = {name: part for name, part in facts.items() if name != "sha256"}
    text = json.dumps(body, indent=1, ensure_ascii=False) + "\n"
    facts["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")


def forge_tensors(
    folder: Path, role: str, change: Callable[[dict[str, np.ndarray]], Any] | bytes
) -> None:
    """Replace a tensor file and make every hash agree."""
    listed = json.loads((folder / MANIFEST).read_text())["files"][role]
    data = change if isinstance(change, bytes) else (folder / listed["name"]).read_bytes()
    if not isinstance(change, bytes):
        arrays = load(data)
        change(arrays)
        data = save(arrays)
    (folder / listed["name"]).unlink()
    digest = hashlib.sha256(data).hexdigest()
    name = f"{role}-{digest[:16]}.safetensors"
    (folder / name).write_bytes(data)
    forge_manifest(
        folder, lambda f: f["files"][role].update(name=name, bytes=len(data), sha256=digest)
    )


def refused(folder: Path, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Bundle.load(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.safetensors", "sub/x.safetensors"])
def test_paths_out_of_the_folder_are_refused(folder: Path, name: str) -> None:
    forge_manifest(folder, lambda facts: facts["files"]["student"].update(name=name))
    refused(folder, "a file of this folder")


@pytest.mark.parametrize("which", [0, 1, 2])
def test_links_are_refused(folder: Path, tmp_path: Path, which: int) -> None:
    path = sorted(folder.iterdir())[which]
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    refused(folder, "plain files")


def test_special_files_and_folders_are_refused(folder: Path) -> None:
    for make in (os.mkfifo, os.mkdir):
        path = folder / f"student-{'0' * 16}.safetensors"
        make(path)
        refused(folder, "plain files")
        path.rmdir() if path.is_dir() else path.unlink()
    Bundle.load(folder)


@pytest.mark.parametrize("name", ["model.pkl", "weights.pt", ".hidden", "bundle.json.bak"])
def test_files_that_do_not_belong_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x80\x04N.")
    refused(folder, "remove it if you put it there")


def test_pickles_are_never_run(folder: Path, tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    content = f"cos\nsystem\n(S'touch {proof}'\ntR.".encode()
    forge_tensors(folder, "student", content)
    refused(folder, "whole safetensors file")
    (folder / MANIFEST).write_bytes(content)
    refused(folder, "expected JSON")
    assert not proof.exists()


def test_files_too_large_are_refused_before_they_are_read(folder: Path) -> None:
    student = next(folder.glob("student-*"))
    with student.open("r+b") as stream:
        stream.truncate(1 << 40)  # takes no room on the disk
    refused(folder, "exactly")
    with (folder / MANIFEST).open("r+b") as stream:
        stream.truncate(1 << 40)
    refused(folder, f"at most {LARGEST_MANIFEST}")


def test_a_header_that_declares_more_than_there_is(folder: Path) -> None:
    header = b'{"x":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'
    forge_tensors(folder, "student", len(header).to_bytes(8, "little") + header)
    refused(folder, "whole safetensors file")
    forge_tensors(folder, "signal", (1 << 60).to_bytes(8, "little") + header)
    refused(folder, "whole safetensors file")


def test_tensors_that_do_not_fit_are_refused(folder: Path) -> None:
    for change, said in (
        (lambda a: a.update({"head.bias": np.array([np.nan, 0])}), "finite"),
        (lambda a: a.update({"head.bias": np.zeros(2, np.float32)}), "float64"),
        (lambda a: a.update({"head.bias": np.zeros(3)}), "shape"),
        (lambda a: a.update({"head.bias": np.zeros(2), "more": np.zeros(2)}), "unknown"),
    ):
        forge_tensors(folder, "student", change)
        refused(folder, said)
    forge_tensors(folder, "signal", lambda a: a.pop("guard_centre"))
    refused(folder, "guard_centre")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.update(schema=2), "expected schema 1, got 2"),
        (lambda f: f.update(format="other"), "format 'realm-bundle'"),
        (lambda f: f.update(quorum=1.5), "number from 0 to 1"),
        (lambda f: f["student"].update(layers=10**9), "whole number"),
        (lambda f: f["student"].update(layers=65536), "at most"),
        (lambda f: f["channels"].update(sampling_rate_hz=1e12), "as in the signal chain"),
        (
            lambda f: (
                f["channels"].update(sampling_rate_hz=1e12),
                f["signal"].update(sampling_rate_hz=1e12),
            ),
            "number from 1 to",
        ),
        (lambda f: f["signal"]["config"].update(line_hz=1e-6), "number from 10 to"),
        (lambda f: f["signal"]["config"].update(smoothing_ms=20.0), "another filter"),
        (lambda f: f["bins"].update(lookahead_bins=-1), "whole number"),
        (lambda f: f["behavior"].update(neutral=[0.0]), "list of 2"),
        (lambda f: f["channels"].update(unit="µV"), "unit V"),
        (lambda f: f["channels"]["names"].reverse(), "as in the signal chain"),
        (lambda f: f.pop("quorum"), "the keys"),
        (lambda f: f.update(more=1), "the keys"),
    ],
)
def test_forged_values_are_named(
    folder: Path, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    forge_manifest(folder, change)
    refused(folder, said)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": NaN}\n',
        b'{"a": 1e999}\n',
        b'{"schema": 1, "schema": 1}\n',
    ],
)
def test_what_is_no_manifest_is_named(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    refused(folder, "expected JSON|one JSON object")


def test_nothing_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        refused(path, "realm bundle")


# Interruption ------------------------------------------------------------------------------------

KILLING = """
import os, signal, sys, time
from realm.streaming import Bundle
one, other = Bundle.load(sys.argv[1]), Bundle.load(sys.argv[2])
one.files, other.files
seen = set()
for attempt in range(400):  # forty, and more on a machine that is too busy to save twice
    child = os.fork()
    if not child:
        while True:
            one.save(sys.argv[3])
            other.save(sys.argv[3])
    time.sleep(0.02 + 0.0031 * attempt)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen.add(Bundle.load(sys.argv[3]).sha256)
    if attempt >= 39 and len(seen) == 2:
        break
assert seen <= {one.sha256, other.sha256}
print(len(seen))
"""


def test_forty_kills_while_saving_leave_a_whole_bundle(made: Bundle, tmp_path: Path) -> None:
    made.save(tmp_path / "one")
    bundle(d_state=4).save(tmp_path / "other")
    made.save(tmp_path / "out")
    folders = [str(tmp_path / name) for name in ("one", "other", "out")]
    done = subprocess.run(
        [sys.executable, "-c", KILLING, *folders], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "2"  # both bundles were met
    made.save(tmp_path / "out")
    assert read(tmp_path / "out") == made.files
