"""What decides the content of a session is hashed: every file that is opened while it is read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
from every_format import LFP_OF, WRITERS, bids, open_ephys

from realm.data.prepare import input_hash
from realm.recordings.open import open_recording
from realm.recordings.recording import Recording

OPENED: list[set[str]] = []


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and OPENED and isinstance(arguments[0], str | bytes):
        path = arguments[0]
        OPENED[-1].add(path.decode() if isinstance(path, bytes) else path)


sys.addaudithook(_note)  # for as long as the process lives: there is no way to remove one


@contextmanager
def noting_what_is_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The paths that Python, or HDF5 below it, opens meanwhile."""
    from h5py._hl import files

    class Noting:
        def __getattr__(self, name: str) -> object:
            return getattr(h5py.h5f, name)

        def open(self, name: bytes | str, *more: object, **named: object) -> object:
            opened.add(name.decode() if isinstance(name, bytes) else name)
            return h5py.h5f.open(name, *more, **named)

    opened: set[str] = set()
    monkeypatch.setattr(files, "h5f", Noting())
    OPENED.append(opened)
    try:
        yield opened
    finally:
        OPENED.pop()


def read_all(recording: Recording, behavior: str | None) -> None:
    recording.read(0, recording.n_samples)
    if behavior is not None:
        recording.behavior(behavior)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_file_that_is_opened_is_listed(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = WRITERS[kind](tmp_path)
    with open_recording(path, LFP_OF.get(kind)) as recording:
        behaviors = recording.behavior_paths()
    assert behaviors
    for behavior in behaviors:
        with (
            noting_what_is_opened(monkeypatch) as opened,
            open_recording(path, LFP_OF.get(kind)) as recording,
        ):
            read_all(recording, behavior)
            listed = {file.resolve() for file in recording.files_with(behavior)}
        inside = {Path(name).resolve() for name in opened if str(tmp_path) in name}
        assert inside, "the hook sees nothing"
        unlisted = [p for p in inside if not listed & {p, *p.parents}]
        assert not unlisted, f"{kind}, {behavior}: read, but not hashed"


def hash_of(path: Path, behavior: str, lfp: str | None = None) -> str:
    with open_recording(path, lfp) as recording:
        return input_hash(recording, behavior)


SIDECARS = {
    "task-reach_physio.json": ("{", '{"Note": "edited", '),
    "sub-01/sub-01_physio.json": ("cm", "mm"),
    "sub-01/ses-02/ieeg/sub-01_ses-02_task-reach_channels.tsv": ("good", "bad"),
    "sub-01/ses-02/ieeg/sub-01_ses-02_space-Other_electrodes.tsv": ("M0", "S1"),
}


@pytest.mark.parametrize("name", SIDECARS)
def test_a_sidecar_sidecar_of_bids(name: str, tmp_path: Path) -> None:
    path, behavior = bids(tmp_path), "sub-01_ses-02_task-reach_physio"
    before = hash_of(path, behavior)
    text = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text.replace(*SIDECARS[name], 1))
    assert hash_of(path, behavior) != before


def test_a_sidecar_that_appears(tmp_path: Path) -> None:
    path, behavior = bids(tmp_path), "sub-01_ses-02_task-reach_physio"
    before = hash_of(path, behavior)
    (path.parent / f"{behavior}.json").write_text('{"StartTime": 5.0}')
    assert hash_of(path, behavior) != before


def test_the_other_stream_counts_where_it_is_decoded(tmp_path: Path) -> None:
    path, lfp = open_ephys(tmp_path), LFP_OF["open_ephys"]
    before = hash_of(path, "NI-DAQmx", lfp)
    with open_recording(path, lfp) as recording:
        without = input_hash(recording)
    other = path.parent / "continuous" / "NI-DAQmx" / "continuous.dat"
    content = bytearray(other.read_bytes())
    content[100] ^= 1
    other.write_bytes(content)
    assert hash_of(path, "NI-DAQmx", lfp) != before
    with open_recording(path, lfp) as recording:
        assert input_hash(recording) == without


def test_what_an_operating_system_leaves_in_a_folder_does_not_count(tmp_path: Path) -> None:
    path = WRITERS["zarr"](tmp_path)
    before = hash_of(path, "hand")
    for name in (".DS_Store", "._lfp"):
        (path / name).write_bytes(b"\0\5\x16\7")
    assert hash_of(path, "hand") == before
