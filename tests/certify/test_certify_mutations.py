"""The certificate is tested by mutation: every planted fault fails the check that promises it."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from certify_cases import failed, made_bundle, trial_of
from planted import QUICK, SLOW, Fault, GivesNan, Patch, Raises

from realm.certify import certificate, environment
from realm.certify.certificate import PARTS, examine
from realm.certify.page import render
from realm.streaming import StreamingDecoder

TIMED = {"Real pace", "Endurance", "Start", "Network"}
GROUPS = {"signal", "student", "state", "quality", "live loop", "files", "sockets", "memory"}
linux = pytest.mark.skipif(environment.resident_mb() is None, reason="reads Linux' /proc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("planted") / "bundle"
    made_bundle().save(path)
    return path


def found(fault: Fault, folder: Path, tmp_path: Path) -> set[str]:
    """The checks of its part that fail with this fault."""
    patch = isinstance(fault.kind, Patch)
    trial = trial_of(folder, StreamingDecoder if patch else fault.kind)
    effort = trial.effort._replace(hours=fault.stream_s / 3600)
    with fault.kind.made(tmp_path) if patch else nullcontext():
        return failed(fault.part(dataclasses.replace(trial, effort=effort)))


@pytest.fixture
def _closed() -> Iterator[None]:
    """Close what planted decoders opened."""
    yield
    for fault in QUICK:
        kept = getattr(fault.kind, "kept", None)
        if isinstance(kept, subprocess.Popen):
            kept.kill()
            kept.wait()
        elif hasattr(kept, "close"):
            kept.close()


@linux
@pytest.mark.usefixtures("_closed")
@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: f"{fault.group}: {fault.name}")
def test_a_planted_fault_is_found(fault: Fault, folder: Path, tmp_path: Path) -> None:
    assert fault.check in found(fault, folder, tmp_path)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("fault", SLOW, ids=lambda fault: f"{fault.group}: {fault.name}")
def test_a_planted_fault_is_found_at_full_effort(
    fault: Fault, folder: Path, tmp_path: Path
) -> None:
    assert fault.check in found(fault, folder, tmp_path)


def test_faults_of_all_groups_are_planted() -> None:
    assert len(QUICK) >= 40
    assert {fault.group for fault in QUICK} == GROUPS


def test_every_check_says_what_it_would_have_caught(folder: Path) -> None:
    parts = [part for part in PARTS if part.title not in TIMED]
    content = examine(trial_of(folder), parts, lambda *_: None, environment.machine())
    silent = [check["name"] for check in content["checks"] if not check["catches"]]
    assert not silent
    page = render(content)
    assert content["checks"][0]["catches"] in page


@pytest.mark.parametrize("kind", [GivesNan, Raises])
def test_a_decoder_that_cannot_be_examined_gets_a_certificate_that_fails(
    folder: Path, kind: type[StreamingDecoder]
) -> None:
    parts = [part for part in certificate.PARTS if part.title not in TIMED]
    content = examine(trial_of(folder, kind), parts, lambda *_: None, environment.machine())
    assert not content["passed"]
    assert {part["title"] for part in content["parts"]} == {part.title for part in parts}
    assert render(content)


def test_a_bundle_without_a_reference_loads_and_says_how_to_get_one(tmp_path: Path) -> None:
    dataclasses.replace(made_bundle(), reference=None).save(tmp_path / "bundle")
    trial = trial_of(tmp_path / "bundle")
    assert trial.decoder.bundle.reference is None
    (check,) = certificate.check_reference(trial)
    assert failed([check])
    assert "make it anew with realm bundle" in check.detail  # type: ignore[union-attr]
