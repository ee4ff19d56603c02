"""Flint, Lindberg, Jordan, Miller and Slutzky 2012: center-out reaching of a monkey, LFP and hand.

Where: CRCNS, part DREAM, folder Flint_2012; five files, `Flint_2012_e1.mat` to `_e5.mat`.
Licence: the terms of CRCNS, which have to be accepted there; so a person fetches the files.
Citation: Flint RD, Lindberg EW, Jordan LR, Miller LE, Slutzky MW (2012), J Neural Eng 9:046006,
doi:10.1088/1741-2560/9/4/046006; the format: Walker B, Kording K (2013), PLoS ONE 8:e78747.

Each file is one day of monkey C, MATLAB v5. `Subject` is a structure array with one element per
recording of that day; `Subject(i).Trial` one with an element per trial:

    Time          (k, 1) seconds, 100 Hz, on one clock for the recording
    HandVel       (k, 3) velocity of the hand; the third column is empty
    HandPos       (k, 3) its position
    Neuron(j).LFP       a vector at 2000 Hz, 20 samples for each row of Time; some are empty
    Neuron(j).Spike     times of spikes, seconds
    TargetPos, EMG, Condition, Special   not used here

Where this is known from: the notes of the DREAM files as public loaders repeat them, and public
analyses that read `Neuron.LFP` at 2000 Hz. None of them states the units of LFP or hand: both are
kept as they are stored and called arbitrary. Neurons of one electrode carry the same LFP; copies
are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.datasets.dataset import Dataset, RawSession, RecipeSettings
from realm.datasets.matlab import Struct, open_structs
from realm.datasets.trials import held_samples, trial_times
from realm.recordings.recording import TimeSeries
from realm.recordings.write import Samples, SessionContent

LFP_HZ = 2000.0
LFP_PER_ROW = 20


def find(folder: Path) -> list[RawSession]:
    """Every recording of every day."""
    found = []
    for path in sorted(folder.rglob("Flint_2012_e*.mat")):
        with open_structs(path, "Subject") as subjects:
            count = len(subjects)
        for i in range(count):
            name = f"monkeyC_{path.stem.rpartition('_')[2]}_{i + 1}"
            found.append(RawSession(name, (path,), partial(open_session, path, i, name)))
    return found


@contextmanager
def open_session(path: Path, index: int, name: str) -> Iterator[SessionContent]:
    """One recording of a day; trials lie where their clock says, what is between is missing."""
    with open_structs(path, "Subject") as subjects:
        trials = sorted(subjects[index].structs("Trial"), key=lambda trial: trial.vector("Time")[0])
        times = [trial.vector("Time") for trial in trials]
        _check(path, times)
        samples = _samples(path, trials, times)
        n_neurons = max(len(trial.structs("Neuron")) for trial in trials)
        yield SessionContent(
            name,
            "monkeyC",
            "Macaca mulatta",
            f"center-out reaching, {len(trials)} trials; LFP in arbitrary units, of "
            f"{len(samples.channel_names)} of {n_neurons} neurons: the others have none, not in "
            "every trial, or a copy",
            samples,
            _behavior(trials, times),
        )


def _check(path: Path, times: list[NDArray[np.float64]]) -> None:
    for before, after in pairwise(times):
        if after[0] <= before[-1]:
            raise ValueError(
                f"{path}: expected trials one after the other, but one begins at {after[0]:.3f} s "
                f"while another ends at {before[-1]:.3f} s; the clock is not common to all trials"
            )


def _samples(path: Path, trials: list[Struct], times: list[NDArray[np.float64]]) -> Samples:
    """The LFP of all trials, (samples, channels) float32, where all trials have it."""
    neurons = [trial.structs("Neuron") for trial in trials]
    count = min(len(found) for found in neurons)
    present = [
        j
        for j in range(count)
        if all(_has(found[j], t) for found, t in zip(neurons, times, strict=True))
    ]
    first = [neurons[0][j].vector("LFP") for j in present]
    kept = [
        j for i, j in enumerate(present) if not any(np.array_equal(first[i], f) for f in first[:i])
    ]
    if not kept:
        raise ValueError(
            f"{path}: expected LFP in Neuron.LFP, {LFP_PER_ROW} samples for each row of Time, in "
            "every trial, found none; this is not one of the files that hold LFP"
        )
    parts = [
        np.stack([found[j].vector("LFP")[: LFP_PER_ROW * len(t)] for j in kept], axis=1)
        for found, t in zip(neurons, times, strict=True)
    ]
    stamps = trial_times([t[0] for t in times], [len(part) for part in parts], LFP_HZ)
    names = [f"neuron{j + 1}" for j in kept]
    values = np.concatenate(parts).astype(np.float32)
    return held_samples(values, stamps, names, ["M1"] * len(names))


def _has(neuron: Struct, times: NDArray[np.float64]) -> bool:
    return "LFP" in neuron and neuron.numbers("LFP").size >= LFP_PER_ROW * len(times)


def _behavior(trials: list[Struct], times: list[NDArray[np.float64]]) -> dict[str, TimeSeries]:
    stamps = np.concatenate(times)
    return {
        name: TimeSeries(
            stamps,
            np.concatenate([trial.numbers(field)[:, :2] for trial in trials]),
            "arbitrary",
            ("x", "y"),
        )
        for name, field in (("hand_velocity", "HandVel"), ("hand_position", "HandPos"))
        if all(field in trial for trial in trials)
    }


FLINT_2012 = Dataset(
    name="flint-2012",
    title="Center-out reaching, one monkey: LFP of M1, hand",
    signal="LFP, up to 96 channels, 2000 Hz, in trials",
    behavior="velocity and position of the hand, arbitrary unit, 100 Hz",
    licence="CRCNS terms",
    terms=(
        "For scientific purposes only; the data must not be passed on; publications name the "
        "contributors and CRCNS. The full terms stand on the page of the dataset and have to be "
        "accepted there."
    ),
    citation=(
        "Flint et al. 2012, doi:10.1088/1741-2560/9/4/046006",
        "Walker and Kording 2013, doi:10.1371/journal.pone.0078747",
    ),
    homepage="https://portal.nersc.gov/project/crcns/download/dream/data_sets/Flint_2012",
    find=find,
    recipe=RecipeSettings(
        behavior="behavior/hand_velocity", signal=("dead_ms = 10000.0  # pauses between trials",)
    ),
    caveats=(
        "The files state no unit: LFP is stored as if it were volts, the hand is 'arbitrary'.",
        "Time between trials is missing and masked.",
        "Channels whose LFP is missing in a trial, or repeats that of another, are left out.",
    ),
    by_hand=(
        "Open its page, accept the terms and put Flint_2012_e1.mat to Flint_2012_e5.mat into one "
        "folder."
    ),
)
