"""AJILE12: ECoG and pose of 12 people over days in hospital, NWB 2 on DANDI.

Where: DANDI 000055, version 0.220127.0436; one file per subject and day.
Licence: CC BY 4.0, as DANDI states.
Citation: Peterson SM, Singh SH, Dichter B, Scheid M, Rao RPN, Brunton BW (2022), Sci Data 9:184,
doi:10.1038/s41597-022-01280-y.

    acquisition/ElectricalSeries     (samples, channels) microvolts, conversion 1e-6, 500 Hz
    electrodes                       column `good`: not judged noisy; `location` is "unknown"
    processing/behavior/Position/<keypoint>   (frames, 2) pixels of the video, 30 Hz; L_Wrist,
                                     R_Wrist and others; conversion NaN, unit said to be meters
    processing/behavior/ReachEvents  its description names the wrist opposite to the electrodes
    intervals/epochs, intervals/reaches       not used here

Where this is known from: the conversion script of the authors (BruntonUWBio/ajile12-nwb-data). A
conversion of NaN is refused by this package, so pose is taken as it is stored, in pixels. Checksums
and addresses come from DANDI when the files are fetched; that interface could not be tried from
where this was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from realm.datasets.dataset import Ask, Dataset, RawSession, RecipeSettings, RemoteFile
from realm.recordings import hdf
from realm.recordings.formats.nwb import read_grid
from realm.recordings.open import open_recording
from realm.recordings.recording import Recording, TimeSeries
from realm.recordings.write import Samples, SessionContent, by_slices

API = "https://api.dandiarchive.org/api"
VERSION = "dandisets/000055/versions/0.220127.0436"
ECOG = "acquisition/ElectricalSeries"
POSE = "processing/behavior/Position"
WRISTS = {"l": "L_Wrist", "r": "R_Wrist"}


def remote(ask: Ask) -> list[RemoteFile]:
    """Every NWB file of the dandiset, with the SHA-256 that DANDI states."""
    found = []
    page: str | None = f"{API}/{VERSION}/assets/?page_size=200"
    while page:
        answer = ask(page)
        for asset in answer["results"]:
            if asset["path"].endswith(".nwb"):
                found.append(_remote_file(ask, asset))
        page = answer.get("next")
    return sorted(found)


def _remote_file(ask: Ask, asset: dict[str, Any]) -> RemoteFile:
    said = ask(f"{API}/{VERSION}/assets/{asset['asset_id']}/")
    sha256 = said.get("digest", {}).get("dandi:sha2-256")
    name = str(asset["path"])
    return RemoteFile(
        name,
        f"{API}/assets/{asset['asset_id']}/download/",
        (_session(name),),
        asset.get("size"),
        None if sha256 is None else f"sha256:{sha256}",
    )


def _session(name: str) -> str:
    """Subject and day of a file, such as sub-01_ses-3."""
    return Path(name).stem.removesuffix("_behavior+ecephys")


def find(folder: Path) -> list[RawSession]:
    """Every file of the dandiset."""
    return [
        RawSession(_session(path.name), (path,), partial(open_session, path))
        for path in sorted(folder.rglob("sub-*_ses-*.nwb"))
    ]


@contextmanager
def open_session(path: Path) -> Iterator[SessionContent]:
    """A day of a person: ECoG as it is stored, pose in pixels."""
    with open_recording(path, ECOG) as recording, hdf.open_hdf5(path) as file:
        yield SessionContent(
            _session(path.name),
            recording.subject,
            "Homo sapiens",
            "natural behavior in hospital; ECoG",
            _samples(path, file, recording),
            _behavior(path, file),
        )


def _samples(path: Path, file: h5py.File, recording: Recording) -> Samples:
    data = hdf.find(file, f"{ECOG}/data")
    assert isinstance(data, h5py.Dataset)  # the recording is open

    grid = recording.signal.grid
    if len(grid.runs) > 1:
        raise ValueError(f"{path}: expected ECoG without pauses, got {len(grid.runs)} parts")
    good = hdf.find(file, "general/extracellular_ephys/electrodes/good")
    bad = (
        ~good[...].astype(bool)
        if isinstance(good, h5py.Dataset)
        else np.zeros(recording.n_channels, dtype=bool)
    )
    regions = tuple("" if region == "unknown" else region for region in recording.regions)
    return Samples(
        recording.channel_names,
        regions,
        tuple(bad.tolist()),
        recording.n_samples,
        data.dtype,
        hdf.finite_attribute(path, data, "conversion", 1.0),
        by_slices(data),
        rate_hz=recording.sampling_rate_hz,
        start_s=recording.start_s,
    )


def _behavior(path: Path, file: h5py.File) -> dict[str, TimeSeries]:
    found = {}
    for name, group in hdf.children(file, POSE):
        data = group["data"]
        times = read_grid(path, file, name, len(data)).times_s()
        values = data[...].astype(np.float64).reshape(len(data), -1)
        found[name.rpartition("/")[2]] = TimeSeries(times, values, "pixels", ("x", "y"))
    events = hdf.find(file, "processing/behavior/ReachEvents")
    said = hdf.text(events.attrs.get("description", "")) if events is not None else ""
    wrist = WRISTS.get(said.strip().lower()[:1], "")
    if wrist in found:
        found["contralateral_wrist"] = found[wrist]
    if not found:
        raise ValueError(
            f"{path}: expected pose at {POSE}, found none; this is not a file of AJILE12"
        )
    return found


AJILE12 = Dataset(
    name="ajile12",
    title="Days of natural behavior, 12 people: ECoG, pose from video",
    signal="ECoG, 500 Hz",
    behavior="wrists and other points in pixels of the video, 30 Hz",
    licence="CC BY 4.0",
    terms="Creative Commons Attribution 4.0: use it as you like and name the authors.",
    citation=(
        "Peterson et al. 2022, doi:10.1038/s41597-022-01280-y",
        "data: doi:10.48324/dandi.000055/0.220127.0436",
    ),
    homepage="https://dandiarchive.org/dandiset/000055",
    find=find,
    recipe=RecipeSettings(
        behavior="behavior/contralateral_wrist", target="velocity", smoothing_s=0.1, bin_ms=20.0
    ),
    caveats=(
        "A session is a whole day and takes many GB; name those you need with --only.",
        "Pose comes from video: its unit is pixels of that video, and cameras differ between days.",
        "behavior/contralateral_wrist is the wrist that the file's ReachEvents name.",
    ),
    remote=remote,
)
