"""Stanford library of ECoG, experiment fingerflex: nine people, flexion of five fingers.

Where: the library of K. J. Miller at Stanford (druid zk881ps0522), archive `fingerflex.zip`.
Licence: stated in the library's own sharing document; it asks for citation. It could not be read
from where this was written, so read it on the page.
Citation: Miller KJ (2019), Nat Hum Behav 3:1225, doi:10.1038/s41562-019-0678-3; Miller KJ et al.
(2012), PLoS Comput Biol 8:e1002655.

`fingerflex/data/<xx>/<xx>_fingerflex.mat`, xx one of bp cc ht jc jp mv wc wm zt, MATLAB v5:

    data           (samples, channels) ECoG in units of the amplifier, 0.0298 microvolts, 1000 Hz,
                   built-in band pass of one pole, 0.15 to 200 Hz; bad channels are left out already
    flex           (samples, 5) flexion of thumb, index, middle, ring, little finger; data glove
    elec_regions   (channels, 1) 1 dorsal M1, 3 dorsal S1, 4 ventral sensorimotor, 6 frontal,
                   7 parietal, 8 temporal, 9 occipital
    cue, locs, brain    not used here

Where this is known from: the library's notes as public users of it repeat them, and public loaders.
Size and MD5 of the archive were taken from a public list of the library.
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
from realm.recordings.named_arrays import open_container
from realm.recordings.recording import TimeSeries
from realm.recordings.write import SessionContent

RATE_HZ = 1000.0
ARCHIVE = "fingerflex.zip"
SIZE = 580_579_128
REGIONS = {
    1: "dorsal M1",
    3: "dorsal S1",
    4: "ventral sensorimotor",
    6: "frontal",
    7: "parietal",
    8: "temporal",
    9: "occipital",
}


def remote(ask: Ask) -> list[RemoteFile]:
    """One archive with everybody."""
    del ask  # everything is known
    return [library_file(ARCHIVE, SIZE, "8e44fef2a12ef42868b01a031f5b6350")]


def find(folder: Path) -> list[RawSession]:
    """One recording for each person."""
    return [
        RawSession(path.stem, (path,), partial(open_session, path))
        for path in sorted(folder.rglob("*_fingerflex.mat"))
    ]


@contextmanager
def open_session(path: Path) -> Iterator[SessionContent]:
    """A person's recording."""
    container = open_container(path)
    try:
        codes = container.array("elec_regions", "the regions").read().reshape(-1).tolist()
        regions = tuple(REGIONS.get(int(code), f"code {code:g}") for code in codes)
        samples = uniform_samples(container, "data", RATE_HZ, MILLER_VOLTS, regions)
        bent = flexion(container, "flex", samples.n_samples, "fetch the file again")
        times = np.arange(samples.n_samples) / RATE_HZ
        yield SessionContent(
            path.stem,
            path.stem.split("_")[0],
            "Homo sapiens",
            "finger flexion; ECoG",
            samples,
            {"fingers": TimeSeries(times, bent, "arbitrary", FINGERS)},
        )
    finally:
        container.close()


STANFORD_FINGERS = Dataset(
    name="stanford-fingers",
    title="Finger flexion, nine people: ECoG (Miller's library, fingerflex)",
    signal="ECoG, 1000 Hz",
    behavior="flexion of five fingers, arbitrary unit, 1000 Hz",
    licence=LICENCE,
    terms=TERMS,
    citation=(
        "Miller 2019, doi:10.1038/s41562-019-0678-3",
        "Miller et al. 2012, doi:10.1371/journal.pcbi.1002655",
    ),
    homepage=LIBRARY,
    find=find,
    recipe=RecipeSettings(behavior="behavior/fingers"),
    caveats=("Flexion is that of a data glove, in arbitrary units.",),
    size=SIZE,
    remote=remote,
)
