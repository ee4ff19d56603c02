"""Hafting 2008 and Sargolini 2006: rats on a track or in a box, EEG of entorhinal cortex, position.

Where: the archive of the Kavli Institute, ntnu.edu/kavli/research/grid-cell-data, kept at
archive.norstore.no (C43035A4-5CC5-44F2-B207-126922523FD9 and 8F6BE356-3277-475C-87B1-C7A977632DA7).
The archive has no address for a program; a person fetches the files.
Licence: the readme of the authors: "You can use the data for whatever you want but we take no
responsibility for what is published!", and the web page is to be named.
Citation: Hafting T et al. (2008), Nature 453:1248, doi:10.1038/nature06957; Sargolini F et al.
(2006), Science 312:758, doi:10.1126/science.1125572.

MATLAB v5, one file per kind of data, `<rat>-<session>_<kind>.mat`; the first six digits of the
session are day, month and year:

    ..._EEG.mat   EEG   (samples, 1) counts of 8 bits, -128 to 127, 250 Hz; further electrodes are
                        _EG2, _EG3 ...
    ..._POS.mat   post  (k, 1) seconds; posx, posy (k, 1) cm, smoothed by the authors, 50 Hz
    ..._T1C1.mat  spikes, not used here

or a trial as the Axona system writes it: `.set`, `.eeg`, `.eeg2` ..., `.pos`.

Where this is known from: the readme files of the archive and public loaders (NeuralPlayground and
others). The name of the array in _EG2 and so on is taken to be that of the kind or EEG.
The gain of the .mat files is not stated: a count is stored as a microvolt, which is arbitrary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.datasets.dataset import Dataset, RawSession, RecipeSettings
from realm.recordings.named_arrays import open_container
from realm.recordings.open import is_axona, open_recording
from realm.recordings.recording import TimeSeries, safe
from realm.recordings.write import Samples, SessionContent, by_slices

EEG_HZ = 250.0
EEG_FILE = re.compile(r"(.+)_(EEG|EG\d)", re.IGNORECASE)
REGION = "medial entorhinal cortex"
SPECIES = "Rattus norvegicus"
ARBITRARY_VOLTS = 1e-6


def find(folder: Path) -> list[RawSession]:
    """Sessions of .mat files that have EEG and position, and Axona trials."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*.mat")):
        match = EEG_FILE.fullmatch(path.stem)
        if match and _position_file(path.with_name(match[1])).is_file():
            found.setdefault(path.with_name(match[1]), []).append(path)
    sessions = []
    for stem, paths in found.items():
        ordered = sorted(paths, key=lambda path: (not path.stem.upper().endswith("_EEG"), path))
        files = (*ordered, _position_file(stem))
        name = safe(stem.name)
        sessions.append(RawSession(name, files, partial(open_mat, name, ordered, files[-1])))
    for path in sorted(folder.rglob("*.set")):
        if is_axona(path):
            with open_recording(path) as recording:
                files = recording.files
            sessions.append(RawSession(safe(path.stem), files, partial(open_trial, path)))
    return sessions


def _position_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}_POS.mat")


@contextmanager
def open_mat(name: str, eeg: list[Path], position: Path) -> Iterator[SessionContent]:
    """A session of the Kavli archive."""
    columns = [_eeg(path) for path in eeg]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(
            f"{eeg[0]}: expected EEG of one length in {', '.join(path.name for path in eeg)}, got "
            f"{[len(column) for column in columns]}; they are not of one session"
        )
    counts = np.stack(columns, axis=1)

    n = len(eeg)
    names = tuple(path.stem.rpartition("_")[2].lower() for path in eeg)
    samples = Samples(
        names,
        (REGION,) * n,
        (False,) * n,
        len(counts),
        counts.dtype,
        ARBITRARY_VOLTS,
        by_slices(counts),
        rate_hz=EEG_HZ,
    )
    yield SessionContent(
        name,
        name.split("-")[0],
        SPECIES,
        "foraging or running; EEG in counts, gain unknown",
        samples,
        {"position": _position(position)},
    )


def _eeg(path: Path) -> NDArray[Any]:
    container = open_container(path)
    try:
        kind = path.stem.rpartition("_")[2]
        known = container.names()
        name = next((n for n in (kind, kind.upper(), "EEG") if n in known), "EEG")
        column = container.array(name, "the EEG").read().reshape(-1)
    finally:
        container.close()
    whole = np.array_equal(column, np.rint(column)) and np.abs(column).max(initial=0) < 2**15
    return column.astype(np.int16 if whole else np.float32)


def _position(path: Path) -> TimeSeries:
    container = open_container(path)
    try:
        times, x, y = (
            container.array(name, "the position").read().astype(np.float64).reshape(-1)
            for name in ("post", "posx", "posy")
        )
    finally:
        container.close()
    if not len(times) == len(x) == len(y):
        raise ValueError(
            f"{path}: expected post, posx and posy of one length, got {len(times)}, {len(x)} and "
            f"{len(y)}; fetch the file again"
        )
    return TimeSeries(times, np.stack([x, y], axis=1), "cm", ("x", "y"))


@contextmanager
def open_trial(path: Path) -> Iterator[SessionContent]:
    """A trial as the Axona system wrote it."""
    with open_recording(path) as recording:
        signal = recording.signal

        def read(first: int, stop: int) -> NDArray[Any]:
            return signal.read(first, stop).astype(np.float32)

        samples = Samples(
            recording.channel_names,
            (REGION,) * recording.n_channels,
            recording.bad_channels,
            recording.n_samples,
            np.dtype(np.float32),
            1.0,
            read,
            rate_hz=recording.sampling_rate_hz,
            start_s=recording.start_s,
        )
        yield SessionContent(
            safe(path.stem),
            safe(path.stem.split("-")[0]),
            SPECIES,
            "foraging or running; EEG",
            samples,
            {name: recording.behavior(name) for name in recording.behavior_paths()},
        )


RODENTS = Dataset(
    name="rodents",
    title="Rats on a linear track or in a box: EEG of entorhinal cortex, position",
    signal="EEG, 1 to 4 channels, 250 Hz",
    behavior="position in cm (m from Axona files), 50 Hz",
    licence="free use, as the readme says",
    terms=(
        "The authors' readme: \"You can use the data for whatever you want but we take no "
        'responsibility for what is published!" Name the web page you had it from.'
    ),
    citation=(
        "Hafting et al. 2008, doi:10.1038/nature06957",
        "Sargolini et al. 2006, doi:10.1126/science.1125572",
    ),
    homepage="https://www.ntnu.edu/kavli/research/grid-cell-data",
    find=find,
    recipe=RecipeSettings(
        behavior="behavior/position",
        target="speed",
        smoothing_s=0.4,
        bin_ms=20.0,
        window_s=2.0,
        bands_hz={
            "delta": (1.0, 4.0),
            "theta": (6.0, 11.0),
            "beta": (12.0, 30.0),
            "low_gamma": (30.0, 60.0),
            "high_gamma": (65.0, 110.0),
        },
        signal=("smoothing_ms = 100.0",),
    ),
    caveats=(
        "EEG of the .mat files is in counts whose gain is not stated: one count is stored as a "
        "microvolt, which is arbitrary.",
    ),
    by_hand=(
        "Open its page, download the archives of Hafting 2008 or Sargolini 2006 and unpack them "
        "into one folder."
    ),
)
