"""BCI Competition IV, data set 4: ECoG of three people and the flexion of five fingers.

Where: the library of K. J. Miller at Stanford (druid zk881ps0522), one archive that also holds the
labels of the competition's test data; the competition itself is at bbci.de/competition/iv.
Licence: stated in the library's own sharing document; it asks for citation. It could not be read
from where this was written, so read it on the page.
Citation: Miller KJ (2019), Nat Hum Behav 3:1225, doi:10.1038/s41562-019-0678-3; Tangermann M et al.
(2012), Front Neurosci 6:55; Schalk G et al. (2007), J Neural Eng 4:264.

`sub<1|2|3>_comp.mat` and `sub<...>_testlabels.mat`, MATLAB v5:

    train_data   (400000, channels) ECoG, 1000 Hz; 62, 48 and 64 channels
    train_dg     (400000, 5) flexion of thumb, index, middle, ring and little finger; a data glove
                 at 25 Hz, brought to 1000 Hz: every 40th row is one of its samples
    test_data    (200000, channels)
    test_dg      (200000, 5), in the second file

Where this is known from: public loaders of the dataset (braindecode and others). Size and MD5 of
the archive were taken from a public list of the library. The unit of ECoG is not stated in any of
these; the library's own finger data count in 0.0298 microvolts, which is assumed here too. The
flexion is in arbitrary units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from realm.datasets.dataset import Ask, Dataset, RawSession, RecipeSettings, RemoteFile
from realm.datasets.ecog import (
    FINGERS,
    LIBRARY,
    LICENCE,
    MILLER_VOLTS,
    TERMS,
    flexion,
    library_file,
    uniform_samples,
)
from realm.recordings.named_arrays import Container, open_container
from realm.recordings.recording import TimeSeries
from realm.recordings.write import SessionContent

RATE_HZ = 1000.0
GLOVE_HZ = 25.0
ARCHIVE = "BCI_Competion4_dataset4_data_fingerflexions.zip"
SIZE = 232_911_694


def remote(ask: Ask) -> list[RemoteFile]:
    """One archive with everything."""
    del ask  # everything is known
    return [library_file(ARCHIVE, SIZE, "b67f5087f0582144b66104aa60387020")]


def find(folder: Path) -> list[RawSession]:
    """The training and, where its labels are there, the test recording of each person."""
    found = []
    for path in sorted(folder.rglob("sub[123]_comp.mat")):
        subject = path.stem.split("_")[0]
        labels = path.with_name(f"{subject}_testlabels.mat")
        parts = [("train", path)] + ([("test", labels)] if labels.is_file() else [])
        for part, glove in parts:
            name = f"{subject}_{part}"
            files = tuple(dict.fromkeys((path, glove)))
            found.append(RawSession(name, files, partial(open_session, path, glove, part)))
    return found


@contextmanager
def open_session(path: Path, glove: Path, part: str) -> Iterator[SessionContent]:
    """The training or the test recording."""
    ecog, labels = open_container(path), open_container(glove)
    try:
        subject = path.stem.split("_")[0]
        samples = uniform_samples(ecog, f"{part}_data", RATE_HZ, MILLER_VOLTS)
        yield SessionContent(
            f"{subject}_{part}",
            subject,
            "Homo sapiens",
            "finger flexion; ECoG",
            samples,
            {"fingers": _fingers(labels, f"{part}_dg", samples.n_samples)},
        )
    finally:
        ecog.close()
        labels.close()


def _fingers(labels: Container, name: str, n_samples: int) -> TimeSeries:
    bent = flexion(labels, name, n_samples, "the two files are not of one recording")
    stride = round(RATE_HZ / GLOVE_HZ)
    times = np.arange(0, n_samples, stride) / RATE_HZ
    return TimeSeries(times, bent[::stride], "arbitrary", FINGERS)


BCI4_FINGERS = Dataset(
    name="bci4-fingers",
    title="Finger flexion, three people: ECoG (BCI Competition IV, data set 4)",
    signal="ECoG, 48 to 64 channels, 1000 Hz",
    behavior="flexion of five fingers, arbitrary unit, 25 Hz",
    licence=LICENCE,
    terms=TERMS,
    citation=(
        "Miller 2019, doi:10.1038/s41562-019-0678-3",
        "Tangermann et al. 2012, doi:10.3389/fnins.2012.00055",
    ),
    homepage=LIBRARY,
    find=find,
    recipe=RecipeSettings(behavior="behavior/fingers"),
    caveats=(
        "Training and test recordings of the competition are sessions of their own, each split in "
        "time by the protocol of this package: scores are not those of the competition.",
        "The unit of ECoG is assumed to be 0.0298 microvolts.",
    ),
    size=SIZE,
    remote=remote,
)
