"""Downloads from an archive on this machine: whole, cut, changed or refused; the licence first."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from file_server import Archive, serving
from typer.testing import CliRunner

from realm.cli import app
from realm.datasets import download, registry
from realm.datasets.dataset import RemoteFile

CONTENT = bytes(range(256)) * 4000  # a MB
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def archive() -> Iterator[Archive]:
    with serving(Archive()) as found:
        found.files["/data/one.bin"] = CONTENT
        yield found


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[RemoteFile]:
    """The files of the dataset bci4-fingers, to be changed by the test."""
    files = [RemoteFile("one.bin", "https://archive.example/data/one.bin", ("one",), None, SHA256)]
    dataset = registry.DATASETS["bci4-fingers"]
    changed = replace(dataset, remote=lambda ask: files)
    monkeypatch.setitem(registry.DATASETS, dataset.name, changed)
    return files


def fetch(archive: Archive, out: Path, *options: str, name: str = "bci4-fingers") -> Result:
    arguments = ["dataset", "fetch", name, "--out", str(out), "--mirror", archive.url, *options]
    return CliRunner().invoke(app, arguments)


def answered(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_is_whole_and_checked(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    found = answered(fetch(archive, tmp_path, "--yes", "--json"))
    assert (tmp_path / "one.bin").read_bytes() == CONTENT
    assert [(f["bytes"], f["checksum"], f["verified"]) for f in found["files"]] == [
        (len(CONTENT), SHA256, True)
    ]
    assert names(tmp_path) == ["one.bin"]
    answered(fetch(archive, tmp_path, "--yes", "--json"))
    assert len(archive.asked) == 1  # it is there and right


def test_nothing_is_asked_of_the_server_before_the_licence_is_accepted(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    arguments = ["dataset", "fetch", "bci4-fingers", "--out", str(tmp_path / "new")]
    refused = CliRunner().invoke(app, [*arguments, "--mirror", archive.url], input="n\n")
    assert "terms to be accepted" in str(refused.exception)
    assert not archive.asked
    assert not (tmp_path / "new").exists()
    for said in ("licence: see the page", "sharing document", "cite: Miller 2019", "232.9 MB"):
        assert said in refused.output
    accepted = CliRunner().invoke(app, [*arguments, "--mirror", archive.url], input="y\n")
    assert accepted.exit_code == 0, accepted.output
    assert (tmp_path / "new" / "one.bin").read_bytes() == CONTENT


def test_a_cut_download_goes_on_where_it_stopped(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    archive.cut_after = 300_000
    cut = fetch(archive, tmp_path, "--yes")
    assert isinstance(cut.exception, ValueError)
    assert "run the same command again" in str(cut.exception)
    assert names(tmp_path) == ["one.bin.part", "one.bin.part.version"]
    assert (tmp_path / "one.bin.part").read_bytes() == CONTENT[:300_000]
    done = fetch(archive, tmp_path, "--yes")
    assert "going on at byte 300000" in done.output
    assert archive.asked[-1] == ("/data/one.bin", "bytes=300000-")
    assert (tmp_path / "one.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["one.bin"]


@pytest.mark.parametrize("why", ["no ranges", "changed"])
def test_a_server_that_cannot_go_on_sends_everything_again(
    why: str, archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    archive.cut_after = 300_000
    fetch(archive, tmp_path, "--yes")
    if why == "no ranges":
        archive.ranges = False
    else:
        archive.version, archive.files["/data/one.bin"] = '"b"', CONTENT[::-1]
        offered[0] = offered[0]._replace(
            checksum="sha256:" + hashlib.sha256(CONTENT[::-1]).hexdigest()
        )
    done = fetch(archive, tmp_path, "--yes")
    assert "beginning anew" in done.output
    assert (tmp_path / "one.bin").read_bytes() == archive.files["/data/one.bin"]


def test_a_part_that_is_complete_is_only_checked(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    (tmp_path / "one.bin.part").write_bytes(CONTENT)
    (tmp_path / "one.bin.part.version").write_text(archive.version)
    assert fetch(archive, tmp_path, "--yes").exit_code == 0
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def ending_with(error: BaseException) -> Any:
    """`download.Reply` whose stream gives three blocks and then fails."""
    real = download.Reply

    class Failing:
        def __init__(self, stream: Any) -> None:
            self.stream, self.reads = stream, 0

        def __enter__(self) -> Failing:
            return self

        def __exit__(self, *_: object) -> None:
            self.stream.close()

        def read(self, n: int) -> bytes:
            self.reads += 1
            if self.reads == 4:
                raise error
            block: bytes = self.stream.read(n)
            return block

    return lambda stream, *rest: real(Failing(stream), *rest)  # type: ignore[arg-type]


def test_a_disk_that_fills_up_keeps_what_has_arrived(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(download, "Reply", ending_with(OSError(28, "No space left on device")))
        full = fetch(archive, tmp_path, "--yes")
    assert "Disk full while fetching one.bin; what has arrived is kept" in str(full.exception)
    assert fetch(archive, tmp_path, "--yes").exit_code == 0
    assert archive.asked[-1][1] == f"bytes={3 * download.CHUNK}-"
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_stopped_with_ctrl_c_the_part_is_kept(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(download, "Reply", ending_with(KeyboardInterrupt()))
        stopped = fetch(archive, tmp_path, "--yes")
    assert stopped.exit_code == 130
    assert (tmp_path / "one.bin.part").read_bytes() == CONTENT[: 3 * download.CHUNK]
    assert not (tmp_path / "one.bin").exists()
    assert fetch(archive, tmp_path, "--yes").exit_code == 0
    assert archive.asked[-1][1] == f"bytes={3 * download.CHUNK}-"
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("checksum", [SHA256, None])
def test_where_versions_are_not_named_a_checksum_must_be(
    checksum: str | None, archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    """Without either, parts of two versions of a file could be joined."""
    offered[0] = offered[0]._replace(checksum=checksum)
    archive.version, archive.cut_after = "", 300_000
    fetch(archive, tmp_path, "--yes")
    done = fetch(archive, tmp_path, "--yes")
    assert ("beginning anew" in done.output) == (checksum is None)
    assert archive.asked[-1][1] == ("" if checksum is None else "bytes=300000-")
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_throws_the_download_away(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    offered[0] = offered[0]._replace(checksum="md5:" + "0" * 32)
    wrong = fetch(archive, tmp_path, "--yes")
    got = hashlib.md5(CONTENT).hexdigest()
    assert f"expected the checksum md5:{'0' * 32}, got {got}" in str(wrong.exception)
    assert names(tmp_path) == []


def test_a_damaged_file_is_fetched_again_and_said_so(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    (tmp_path / "one.bin").write_bytes(b"damaged")
    done = fetch(archive, tmp_path, "--yes")
    assert "its checksum is wrong; fetching it again" in done.output
    assert (tmp_path / "one.bin").read_bytes() == CONTENT


def test_an_unknown_checksum_is_said_and_kept_for_later(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    offered[0] = offered[0]._replace(checksum=None)
    first = fetch(archive, tmp_path, "--yes")
    assert "nobody states a checksum" in first.output
    assert "1 of them could not be checked" in first.output
    assert json.loads((tmp_path / "checksums.json").read_text()) == {"one.bin": SHA256}
    (tmp_path / "one.bin").unlink()
    archive.files["/data/one.bin"] = CONTENT[:-1]
    later = fetch(archive, tmp_path, "--yes")
    assert "checksums.json has it from the first download" in str(later.exception)
    assert names(tmp_path) == ["checksums.json"]


def test_a_file_that_is_gone_is_named(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    offered[0] = offered[0]._replace(url="https://archive.example/data/gone.bin")
    gone = fetch(archive, tmp_path, "--yes")
    assert "/data/gone.bin: expected a file, but the server answers 404" in str(gone.exception)
    assert names(tmp_path) == []


def test_a_full_disk_is_said_before_anything_is_written(
    archive: Archive,
    offered: list[RemoteFile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    full = fetch(archive, tmp_path, "--yes")
    assert isinstance(full.exception, OSError)
    assert f"expected {len(CONTENT)} bytes of free space" in str(full.exception)
    assert not (tmp_path / "one.bin").exists()


def test_no_server_is_one_line(offered: list[RemoteFile], tmp_path: Path) -> None:
    nobody = Archive()
    nobody.url = "http://127.0.0.1:9"  # the port of "discard": nobody listens
    lost = fetch(nobody, tmp_path, "--yes")
    assert isinstance(lost.exception, ValueError)
    assert "expected to read from this server" in str(lost.exception)


def test_an_archive_is_unpacked_and_no_name_leads_out_of_it(
    archive: Archive, offered: list[RemoteFile], tmp_path: Path
) -> None:
    def packed(name: str) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as file:
            file.writestr(name, b"inside")
            file.writestr("__MACOSX/._a", b"")
        return stream.getvalue()

    archive.files["/data/a.zip"] = packed("folder/a.mat")
    offered[0] = RemoteFile("a.zip", "https://archive.example/data/a.zip")
    assert fetch(archive, tmp_path, "--yes").exit_code == 0
    assert (tmp_path / "a" / "folder" / "a.mat").read_bytes() == b"inside"
    assert names(tmp_path / "a") == ["folder"]
    archive.files["/data/b.zip"] = packed("../../outside.mat")
    offered[0] = RemoteFile("b.zip", "https://archive.example/data/b.zip")
    assert "expected names inside the archive" in str(fetch(archive, tmp_path, "--yes").exception)
    assert not (tmp_path.parent / "outside.mat").exists()


def test_only_some_sessions_of_the_registry_are_fetched(archive: Archive, tmp_path: Path) -> None:
    """The addresses and checksums are the real ones, so the content is refused."""
    archive.files["/records/583331/files/indy_20160927_06.mat"] = b"not the real one"
    result = fetch(archive, tmp_path, "--yes", "--only", "indy_20160927_06", name="makin-sabes")
    assert "md5:af9b8bacc1079e5a1edb2bd6eadecfb8" in str(result.exception)
    assert [path for path, _ in archive.asked] == ["/records/583331/files/indy_20160927_06.mat"]
    unknown = fetch(archive, tmp_path, "--yes", "--only", "indy_1", name="makin-sabes")
    assert "expected --only to name sessions that are there" in str(unknown.exception)
    archived = fetch(archive, tmp_path, "--yes", "--only", "bp", name="stanford-fingers")
    assert "comes as one archive" in str(archived.exception)
    assert len(archive.asked) == 1


def test_dandi_is_asked_for_files_and_checksums(archive: Archive, tmp_path: Path) -> None:
    version = "/api/dandisets/000055/versions/0.220127.0436/assets/"
    path = "sub-01/sub-01_ses-3_behavior+ecephys.nwb"
    assets = {"results": [{"asset_id": "x1", "path": path, "size": len(CONTENT)}], "next": None}
    archive.files[version] = json.dumps(assets).encode()
    digest = {"dandi:sha2-256": SHA256.removeprefix("sha256:")}
    archive.files[f"{version}x1/"] = json.dumps({"digest": digest}).encode()
    archive.files["/api/assets/x1/download/"] = CONTENT
    found = answered(fetch(archive, tmp_path, "--yes", "--json", name="ajile12"))
    assert (tmp_path / path).read_bytes() == CONTENT
    assert found["files"][0]["verified"]
    archive.files["/api/assets/x1/download/"] = CONTENT[:-1]
    (tmp_path / path).unlink()
    assert SHA256 in str(fetch(archive, tmp_path, "--yes", name="ajile12").exception)


@pytest.mark.parametrize("name", ["flint-2012", "gallego-chowdhury", "rodents"])
def test_what_a_person_has_to_fetch_is_explained(
    name: str, archive: Archive, tmp_path: Path
) -> None:
    refused = fetch(archive, tmp_path, "--yes", name=name)
    dataset = registry.DATASETS[name]
    assert dataset.by_hand in str(refused.exception)
    assert dataset.terms in str(refused.exception)
    assert not archive.asked


def test_the_list_for_people_and_machines() -> None:
    found = answered(CliRunner().invoke(app, ["dataset", "list", "--json"]))["datasets"]
    assert [dataset["name"] for dataset in found] == list(registry.DATASETS)
    for dataset in found:
        assert dataset["licence"]
        assert dataset["citation"]
        assert dataset["homepage"].startswith("https://")
        assert dataset["fetched"] != bool(dataset["by_hand"])
    shown = CliRunner().invoke(app, ["dataset", "list"], env={"COLUMNS": "200"}).output
    assert all(name in shown for name in registry.DATASETS)
    unknown = CliRunner().invoke(app, ["dataset", "fetch", "nothing", "--out", "x"])
    assert "expected one of the datasets makin-sabes" in str(unknown.exception)
