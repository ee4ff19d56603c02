"""Gallego-Carracedo, Perich, Chowdhury, Miller and Gallego 2022: band power of LFP, reaching.

Where: Dryad, doi:10.5061/dryad.xd2547dkt, 24 .mat files (9.6 GB) of the monkeys Chewie, Mihili (M1
and PMd), Han and Lando (area 2).
Licence: CC0 1.0, as Dryad gives to all its data. Dryad turns programs away; a person fetches them.
Citation: Gallego-Carracedo C, Perich MG, Chowdhury RH, Miller LE, Gallego JA (2022), eLife
11:e73155, doi:10.7554/eLife.73155.

There is no raw LFP in it: the authors published its power in bands. Each file holds `trial_data`, a
structure array with one element per trial, MATLAB v5 or v7.3:

    bin_size        seconds per row, 0.01
    pos, vel        (k, 2) of the hand, cm and cm/s
    M1_lfp          (k, channels x bands) power, arbitrary unit; also PMd_lfp, area2_lfp
    M1_lfp_guide    (channels x bands, 3) channel, lower and upper edge of the band in Hz; an upper
                    edge may stand for the local motor potential
    M1_spikes, idx_goCueTime, idx_movement_on, tgtDir, result   not used here

Where this is known from: the code of the paper (BeNeuroLab), which selects bands by the third
column of the guide, and the paper. Files say nothing about the time between trials.

What is made of it: each column is a channel, with its band in its name, at 100 Hz. The recipe
takes its amplitude as it is (a low-pass, no band power of band power). How the authors filtered is
theirs to say; it is not known here to be causal, so scores tell what the features hold and nothing
about decoding live, and no bundle of such a decoder can run on a rig.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.datasets.dataset import Dataset, RawSession, RecipeSettings
from realm.datasets.matlab import Struct, open_structs
from realm.datasets.trials import held_samples, in_a_row, trial_times
from realm.recordings.recording import TimeSeries, safe
from realm.recordings.write import Samples, SessionContent

PAUSE_S = 1.0  # put between trials, so that no filter joins them
LFP = "_lfp"
UNITS = {"pos": "cm", "vel": "cm/s"}


def find(folder: Path) -> list[RawSession]:
    """Every .mat file of trials."""
    return [
        RawSession(safe(path.stem), (path,), partial(open_session, path))
        for path in sorted(folder.rglob("*.mat"))
    ]


@contextmanager
def open_session(path: Path) -> Iterator[SessionContent]:
    """All trials of a session in their order, each after a pause of `PAUSE_S`."""
    with open_structs(path, "trial_data") as trials:
        rate = 1 / _bin_s(path, trials)
        counts = [len(trial.numbers("vel")) for trial in trials]
        stamps = trial_times(in_a_row(counts, rate, PAUSE_S), counts, rate)
        ends = stamps + 1 / rate  # a row is what was measured until the end of its bin
        behavior = {
            name: TimeSeries(
                ends,
                np.concatenate([trial.numbers(name)[:, :2] for trial in trials]),
                unit,
                ("x", "y"),
            )
            for name, unit in UNITS.items()
            if all(name in trial for trial in trials)
        }
        yield SessionContent(
            safe(path.stem),
            safe(path.stem.split("_")[0]),
            "Macaca mulatta",
            "reaching; power of LFP in bands, in arbitrary units, not volts",
            _samples(path, trials, counts, stamps),
            behavior,
        )


def _bin_s(path: Path, trials: list[Struct]) -> float:
    found = {float(trial.vector("bin_size")[0]) for trial in trials}
    if len(found) != 1 or not min(found) > 0:
        raise ValueError(
            f"{path}: expected one bin_size for all trials, got {sorted(found)[:4]}; bin them alike"
        )
    return found.pop()


def _samples(
    path: Path, trials: list[Struct], counts: list[int], stamps: NDArray[np.float64]
) -> Samples:
    names: list[str] = []
    regions: list[str] = []
    bands: list[str] = []
    columns = []
    for field in [name for name in trials[0].names if name.endswith(LFP)]:
        region = field.removesuffix(LFP)
        guide = trials[0].numbers(f"{field}_guide")
        values = np.concatenate([trial.numbers(field) for trial in trials]).astype(np.float32)
        if values.shape != (sum(counts), len(guide)) or guide.shape[1] != 3:
            raise ValueError(
                f"{path}: expected {sum(counts)} rows and {len(guide)} columns, as its guide says, "
                f"in {field}, got {values.shape}; fetch the file again"
            )
        columns.append(values)
        for channel, low, high in guide.tolist():
            names.append(f"{region}_{channel:g}_{low:g}-{high:g}Hz")
            regions.append(region)
            bands.append(f"power of {low:g} to {high:g} Hz")
    if not columns:
        raise ValueError(
            f"{path}: expected band power in fields such as M1{LFP}, found "
            f"{', '.join(trials[0].names)}; this file has no LFP"
        )
    return held_samples(np.concatenate(columns, axis=1), stamps, names, regions, bands)


GALLEGO_CHOWDHURY = Dataset(
    name="gallego-chowdhury",
    title="Center-out reaching, four monkeys: band power of LFP in M1, PMd and area 2, hand",
    signal="band power of LFP, about 96 channels x 9 bands per area, 100 Hz, in trials",
    behavior="velocity in cm/s and position in cm of the hand, 100 Hz",
    licence="CC0 1.0",
    terms="Public domain. The authors ask to be cited.",
    citation=(
        "Gallego-Carracedo et al. 2022, doi:10.7554/eLife.73155",
        "data: doi:10.5061/dryad.xd2547dkt",
    ),
    homepage="https://doi.org/10.5061/dryad.xd2547dkt",
    find=find,
    recipe=RecipeSettings(
        behavior="behavior/vel",
        slow_hz=(0.0, 20.0),
        bands_hz={},
        signal=("flat_ms = 0.0  # power may rest", "limit_scale = 1000.0  # and is not symmetric"),
    ),
    caveats=(
        "There is no raw LFP in it: its channels are power in bands, in arbitrary units.",
        "How that power was filtered is not known to be causal: scores say what the features "
        "hold, nothing about decoding live.",
        f"The time between trials is not in the files; {PAUSE_S:g} s of nothing is put there.",
    ),
    size=9_571_571_204,
    by_hand="Download it from its page in a browser and unpack it into one folder.",
)
