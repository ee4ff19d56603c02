"""Makin, O'Doherty, Cardoso and Sabes: self-paced reaching of two monkeys, broadband and cursor.

Where: Zenodo, record 583331 (behavior, one .mat per session) and one record per session that holds
its broadband recording; 30 of the 47 sessions have one, all of monkey Indy.
Licence: CC BY 4.0, as the records state.
Citation: O'Doherty JE, Cardoso MMB, Makin JG, Sabes PN (2017), doi:10.5281/zenodo.583331; Makin JG,
O'Doherty JE, Cardoso MMB, Sabes PN (2018), J Neural Eng 15:026010, doi:10.1088/1741-2552/aa9e95.

`<session>.nwb`, NWB 1.0.6, which pynwb does not read but h5py does:

    acquisition/timeseries/broadband/data         (samples, channels), times the attribute
                                                  `conversion` in volts; 24414.0625 Hz, unfiltered
                                                  but for the amplifier's anti-alias at 7.5 kHz
    acquisition/timeseries/broadband/timestamps   (samples,) seconds
    acquisition/timeseries/broadband/electrode_names
    general/extracellular_ephys/electrode_map     (channels, 3) metres

`<session>.mat`, MATLAB v7.3; axes as MATLAB shows them:

    t            (k, 1) seconds, about 250 Hz
    cursor_pos   (k, 2) x, y in mm
    finger_pos   (k, 3) or (k, 6) the tracker's z, -x, -y in cm, then azimuth, elevation, roll
    target_pos   (k, 2)
    chan_names   (n, 1) cells such as "M1 001", "S1 001"

Where this is known from: the text of the Zenodo records, and public loaders of the dataset. Numbers
of the records and MD5 sums were taken from the list in SachsLab/IntracranialNeurophysDL. None of
them could be compared with Zenodo from where this was written. One of those loaders doubts that the
broadband reaches down to LFP; the records say that it does. `realm inspect` shows the spectrum.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.datasets.dataset import Ask, Dataset, RawSession, RecipeSettings, RemoteFile
from realm.recordings import hdf
from realm.recordings.grid import from_timestamps
from realm.recordings.named_arrays import Container, open_container
from realm.recordings.recording import TimeSeries
from realm.recordings.write import UNKNOWN_START, Samples, SessionContent, by_slices

BROADBAND = "acquisition/timeseries/broadband"
BEHAVIOR_RECORD = 583331
# Session, MD5 of its .mat, record of its broadband, MD5 of its .nwb.
SESSIONS = """
indy_20160622_01 c33d5fff31320d709d23fe445561fb6e 1488441 d3c9a954f83403675913de81ecf7e865
indy_20160624_03 9aa921f0788f6ccd32a1b8808c18eabd 1486148 ccfa540113cb0239bea3499f2ef504c8
indy_20160627_01 de58797d649bdf2bec589c074ee991d2 1484825 087d96c8b3865575b76c2291304dcb0c
indy_20160630_01 197413a5339630ea926cbd22b8b43338 1473704 7e4306390a68680c2abab64c2dcfc440
indy_20160915_01 ef6a95c5a1a8d2126b90f5be0505e398 1467954 fbb6a85425a1b25ee63461f12bf38da0
indy_20160916_01 5587d27f46efa3c09a7f589f2addf3a9 1467051 8da61ee486a13b8455a5027b6ab148f2
indy_20160921_01 788a0fc779bdfffa8388b1108e1d1ce5 1451794 29e8b007c2bcf5c5304e91604bd2d32b
indy_20160927_04 c7f84c83f10494b34ec836ed2b3c9d58 1433943 e3ae1b6d8441c4a4e26bb883009405d7
indy_20160927_06 af9b8bacc1079e5a1edb2bd6eadecfb8 1432819 c9cf222be6004498c5b0e31fb3d27eed
indy_20160930_02 87bd8c05d60200a5e0d86fd8e88748e2 1421881 8f8512319fdc1d46369a26136adfc167
indy_20160930_05 30a8dc9229306d81288e8ae39c9e4942 1421311 acbd48d110e31b2b9e4f1e10f493bbac
indy_20161005_06 5ea300952642e0fc54245144499db9bb 1419774 a1a7d31e22f406aaa042bf91b3817a5f
indy_20161006_02 8e19ada5feee4cdef47a0ec66503076f 1419173 1af9c4c9c74f555053ed85f28b9cff8a
indy_20161007_02 6426f0fe91a9a90f66cbb17c44e20c0d 1413593 2620cc68da0a5a37cd2324b4bf6db13a
indy_20161011_03 90dc409a749b3c0da72b901d2b5d106e 1412636 ee37b2628f3fff59c4c7de4aedf78c4f
indy_20161013_03 8f92ff163bc409134af6ebd161dec826 1412095 5e10d9bc8363fcb6a26fed1fa262045f
indy_20161014_04 d8cf4a2866f56b4c46513ff9fe5ddaf4 1411979 32bf7eef61dad96104e5c665c9e2e19e
indy_20161017_02 7a1bff8e115e7e58eae7cbc63a72ed98 1411883 10399a0957d4c62631e1aa4bacb9b0e5
indy_20161024_03 cc8e198ae6330338af584d9e1204800d 1411475 90ff8acf67e5c90d4acb5a57529d7f41
indy_20161025_04 13589b4c7cfad158e5a1aebd2d71f6e3 1410424 66180a22e67d293a0c8b0431bb251d58
indy_20161026_03 3b5f2c35eecc5175c526869d50f2eada 1321265 47653511260560dcc487fea544e81253
indy_20161027_03 bae4f5b76c50e2e2aed775e6d2482fc3 1321257 e2fcbdbf15794f288e3bf6216e12e3bd
indy_20161206_02 ce33b61b7870e635bea5cab7601d27c3 1303721 5905952f0369312c7c4bc92fd2bcbe25
indy_20161207_02 b984a86fd30417fa8301136102caf2ad 1302867 e7eb802abf64d5df6554da4e984fce88
indy_20161212_02 41f420af06373b456ede45da0536a10f 1302833 167f4ab00539612e2166244b20ef675c
indy_20161220_02 ad57bf06ac505e4d70ae7100c721b8aa 1301046 8c2efaddbc7c1772ffce071066a1cb31
indy_20170123_02 a3ce046e0b67b489d19e34a31232d512 1167965 3ebfb3505005e26a440c92d068c9b0f8
indy_20170124_01 ea1721fefe443420a356b4f93f5bb731 1163026 566139d46a53435c96fb6c65046c94a1
indy_20170127_03 3d77802c59e3e4ebe6778326cfc68c0a 1161225 ad1cf9c9475f2cd91bc8aa3dfe875491
indy_20170131_02 2790b1c869564afaa7772dbf9e42d784 1300956 60b014f88ceb0c4d468692540e826da0
"""


def remote(ask: Ask) -> list[RemoteFile]:
    """The two files of every session that has a broadband recording."""
    del ask  # everything is known
    found = []
    for session, mat_md5, record, nwb_md5 in map(str.split, SESSIONS.strip().splitlines()):
        for where, name, md5 in (
            (BEHAVIOR_RECORD, f"{session}.mat", mat_md5),
            (record, f"{session}.nwb", nwb_md5),
        ):
            url = f"https://zenodo.org/records/{where}/files/{name}"
            found.append(RemoteFile(name, url, (session,), checksum=f"md5:{md5}"))
    return found


def find(folder: Path) -> list[RawSession]:
    """Every .nwb whose .mat lies beside it."""
    found = []
    for path in sorted([*folder.rglob("indy_*.nwb"), *folder.rglob("loco_*.nwb")]):
        behavior = path.with_suffix(".mat")
        if not behavior.is_file():
            raise ValueError(
                f"{path}: expected {behavior.name} beside it, which holds the cursor, found none; "
                f"fetch it from Zenodo, record {BEHAVIOR_RECORD}"
            )
        found.append(RawSession(path.stem, (path, behavior), partial(open_session, path)))
    return found


@contextmanager
def open_session(path: Path) -> Iterator[SessionContent]:
    """What is in the two files of a session."""
    container = open_container(path.with_suffix(".mat"))
    try:
        with hdf.open_hdf5(path) as file:
            yield SessionContent(
                path.stem,
                path.stem.split("_")[0],
                "Macaca mulatta",
                "self-paced reaching; broadband as recorded",
                _samples(path, file, container),
                _behavior(container),
                start=_date(path.stem),
            )
    finally:
        container.close()


def _samples(path: Path, file: h5py.File, container: Container) -> Samples:
    data, stamps = (hdf.find(file, f"{BROADBAND}/{name}") for name in ("data", "timestamps"))
    if not isinstance(data, h5py.Dataset) or not isinstance(stamps, h5py.Dataset):
        raise ValueError(
            f"{path}: expected data and timestamps at {BROADBAND}, found none; this is not the "
            "broadband file of a session"
        )
    if data.ndim != 2 or data.shape[0] != stamps.size:
        raise ValueError(
            f"{path}: expected {stamps.size} samples by channels at {BROADBAND}/data, got shape "
            f"{data.shape}; fetch the file again"
        )
    names = _names(file, container, data.shape[1])
    grid = from_timestamps(path, f"{BROADBAND}/timestamps", _Flat(stamps), stamps.size)
    paused = len(grid.runs) > 1

    return Samples(
        names,
        tuple(name.split()[0] for name in names),
        (False,) * len(names),
        len(data),
        data.dtype,
        hdf.finite_attribute(path, data, "conversion", float("nan")),
        by_slices(data),
        rate_hz=None if paused else grid.rate_hz,
        start_s=grid.start_s,
        timestamps_s=stamps[...].reshape(-1).astype(np.float64) if paused else None,
    )


class _Flat:
    """Timestamps that lie in the file as a column, sliced as a vector."""

    def __init__(self, stamps: h5py.Dataset) -> None:
        self._stamps, self.shape = stamps, (int(stamps.size),)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, where: int | slice) -> Any:
        column = self._stamps.ndim > 1 and self._stamps.shape[0] == 1
        found = self._stamps[(0, where) if column else where]
        return found.reshape(-1) if isinstance(where, slice) else np.float64(np.squeeze(found))


def _names(file: h5py.File, container: Container, n_channels: int) -> tuple[str, ...]:
    stored = hdf.find(file, f"{BROADBAND}/electrode_names")
    if isinstance(stored, h5py.Dataset) and stored.size == n_channels:
        return tuple(hdf.text(name).strip() for name in stored[...].reshape(-1))
    names = container.strings("chan_names", "the names of the channels")
    if len(names) != n_channels:
        raise ValueError(
            f"{container.path}: expected {n_channels} names in chan_names, got {len(names)}; the "
            "two files are not of one session"
        )
    return names


def _behavior(container: Container) -> dict[str, TimeSeries]:
    times = container.array("t", "the times of behavior").read().astype(np.float64).reshape(-1)

    def rows(name: str) -> NDArray[np.float64]:
        found = container.array(name, "behavior").read().astype(np.float64)
        if found.ndim != 2 or len(found) != len(times):
            raise ValueError(
                f"{container.path}: expected {len(times)} rows in {name}, as in t, got shape "
                f"{found.shape}; fetch the file again"
            )
        return found

    cursor, finger = rows("cursor_pos"), rows("finger_pos")
    metric = np.stack([-10 * finger[:, 1], -10 * finger[:, 2], 10 * finger[:, 0]], axis=1)
    return {
        "cursor": TimeSeries(times, cursor[:, :2], "mm", ("x", "y")),
        "finger": TimeSeries(times, metric, "mm", ("x", "y", "z")),
    }


def _date(session: str) -> datetime:
    try:
        return datetime.strptime(session.split("_")[1], "%Y%m%d").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return UNKNOWN_START


MAKIN_SABES = Dataset(
    name="makin-sabes",
    title="Self-paced reaching, two monkeys: broadband of M1 and S1, cursor",
    signal="broadband, 96 or 192 channels, 24414 Hz",
    behavior="cursor and fingertip in mm, 250 Hz",
    licence="CC BY 4.0",
    terms="Creative Commons Attribution 4.0: use it as you like and name the authors.",
    citation=(
        "O'Doherty et al. 2017, doi:10.5281/zenodo.583331",
        "Makin et al. 2018, doi:10.1088/1741-2552/aa9e95",
    ),
    homepage="https://zenodo.org/records/583331",
    find=find,
    recipe=RecipeSettings(behavior="behavior/cursor", target="velocity"),
    caveats=(
        "The broadband stays at 24414 Hz; the signal chain lowers the rate causally when it reads.",
        "A session takes several GB; prepare those you need with --only.",
    ),
    remote=remote,
)
