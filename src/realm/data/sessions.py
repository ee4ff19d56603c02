"""Prepared sessions: normalized features and behavior of one recording, or of a folder of them.

A prepared file is an ordinary torch_brain recording (`torch_brain.data.Data.load` opens it), and
is read here with h5py alone:

    session.id, subject.id              names
    channels.name, bands.name           of the feature axes
    features.values                     (bins, channels, bands) float32, before normalization
    features.filled                     (bins, channels) float32, share of replaced samples, 0 to 1
    behavior.values, behavior.mask      (bins, dims) float32; (bins,) bool, True = known
    splits.train, .validation, .test    intervals in seconds
    provenance.*                        hashes of input, configuration and all numbers, and
                                        `description`, JSON
    chain.state, chain.*                the fitted signal chain: JSON and arrays

Time runs from the first sample of the recording; bin k covers [k, k+1) bin widths.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.data.splits import SPLITS
from realm.signal import Features, SignalChain

FORMAT = 1
CONTENT = "content_sha256"  # attribute of the provenance
HASHED_BYTES = 1 << 24  # read at once
ARRAYS = ("features/values", "features/filled", "behavior/values", "behavior/mask", "chain/state")


class PreparedSession:
    """One prepared file, read lazily. `PreparedSession.load` opens it.

    Attributes:
        path: of the file.
        session_id, subject: of the recording.
        channel_names, band_names: of the feature axes.
        bin_ms, n_bins: width and number of bins.
        chain: the signal chain, its guard and normalization fitted on training time.
        behavior_names, behavior_unit: of the behavior dims.
        splits: name to (first bin, bin after the last).
        provenance: hashes and settings this file was made from.
    """

    _hidden = False  # whether the behavior is hidden

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self._file = path, file
        self.provenance: dict[str, Any] = description(file)
        self.session_id, self.subject = (str(file[n].attrs["id"]) for n in ("session", "subject"))
        self.channel_names = tuple(self.provenance["channel_names"])
        self.regions = tuple(self.provenance["regions"])
        self.behavior_names = tuple(self.provenance["behavior_names"])
        self.behavior_unit = str(self.provenance["behavior_unit"])
        self.bin_ms = float(self.provenance["bin_ms"])
        self.n_bins = int(self.provenance["n_bins"])
        self.chain = _load_chain(file)
        self.band_names = self.chain.band_names
        self.splits = {name: self._bins(file[f"splits/{name}"]) for name in SPLITS}

    @classmethod
    def load(cls, path: Path | str) -> PreparedSession:
        """Open a prepared file.

        Raises:
            ValueError: it is missing, truncated, foreign or of another version of the format.
        """
        path = Path(path)
        return cls(path, open_prepared(path))

    def features(self, start: int, stop: int) -> NDArray[np.float32]:
        """Normalized features of bins [start, stop), (bins, channels, bands) float32."""
        values, filled = (self._read(f"features/{n}", start, stop) for n in ("values", "filled"))
        raw = Features(values.astype(np.float64), filled.astype(np.float64))
        return self.chain.normalize(raw).values.astype(np.float32)

    def behavior(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Behavior of bins [start, stop): values (bins, dims) float32 and mask, True = known."""
        values, mask = (self._read(f"behavior/{name}", start, stop) for name in ("values", "mask"))
        if self._hidden:
            return np.zeros((len(mask), len(self.behavior_names)), np.float32), np.zeros_like(mask)
        return values, mask

    def filled(self, start: int, stop: int) -> NDArray[np.float32]:
        """Share of samples the guard replaced, (bins, channels), 1 = dead."""
        return self._read("features/filled", start, stop)

    def training_labels(self, label_s: float | None) -> NDArray[np.bool_]:
        """Known bins of the training split, only the first `label_s` seconds of them if given.

        Returns:
            (training bins,) bool.

        Raises:
            ValueError: `label_s` is negative or not a number.
        """
        mask = self.behavior(*self.splits["train"])[1]
        if label_s is None:
            return mask
        if not label_s >= 0:
            raise ValueError(
                f"{self.path}: expected a label budget of 0 s or more, got {label_s}; correct it"
            )
        return mask & (np.cumsum(mask) <= round(min(label_s, 1e9) * 1000 / self.bin_ms))

    def with_splits(self, **splits: tuple[int, int]) -> Self:
        """The same session with other spans (first bin, bin after the last) for some splits."""
        return self._changed(splits=self.splits | splits)

    def without_behavior(self, names: Sequence[str] | None = None, unit: str = "") -> Self:
        """The same session with no bin of behavior known: what may be seen of the signal alone.

        `names` and `unit` of the dimensions that are not known, by default its own.
        """
        named = {} if names is None else {"behavior_names": tuple(names), "behavior_unit": unit}
        return self._changed(_hidden=True, **named)

    @property
    def has_behavior(self) -> bool:
        """Whether it has behavior that may be read."""
        return bool(self.behavior_names) and not self._hidden

    def _changed(self, **attributes: Any) -> Self:
        other = copy.copy(self)
        for name, value in attributes.items():
            setattr(other, name, value)
        return other

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _bins(self, split: h5py.Group) -> tuple[int, int]:
        first, last = (float(split[n][0]) * 1000 / self.bin_ms for n in ("start", "end"))
        return round(first), round(last)

    def _read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        if not 0 <= start <= stop <= self.n_bins:
            raise ValueError(
                f"{self.path}: expected bins within 0 to {self.n_bins}, got {start} to {stop}; "
                "ask for bins of this session"
            )
        values: NDArray[Any] = self._file[name][start:stop]
        return values


class PreparedSet:
    """The prepared sessions of one folder, sorted by session id; all alike in bins and bands.

    Raises:
        ValueError: no session, or sessions that differ; the message lists the differences.
    """

    def __init__(self, sessions: list[PreparedSession]) -> None:
        ordered = sorted(sessions, key=lambda session: session.session_id)
        self.sessions = _with_one_behavior(ordered)
        _check_alike(self.sessions)

    @classmethod
    def load(cls, folder: Path | str) -> PreparedSet:
        """Open every prepared file of a folder."""
        folder = Path(folder)
        paths = sorted(folder.glob("*.h5"))
        if not paths:
            raise ValueError(
                f"{folder}: expected prepared sessions (*.h5) in this folder, found none; "
                "run `realm run` first or name another folder"
            )
        return cls([PreparedSession.load(path) for path in paths])

    def __iter__(self) -> Iterator[PreparedSession]:
        return iter(self.sessions)

    def __len__(self) -> int:
        return len(self.sessions)

    def __getitem__(self, session_id: str) -> PreparedSession:
        for session in self.sessions:
            if session.session_id == session_id:
                return session
        raise ValueError(
            f"expected one of the sessions {', '.join(s.session_id for s in self.sessions)}, got "
            f"{session_id!r}; correct the session id"
        )


def _with_one_behavior(sessions: list[PreparedSession]) -> list[PreparedSession]:
    """Sessions without behavior take the dimensions of the others, with no bin known."""
    like = next((s for s in sessions if s.behavior_names), None)
    if like is None:
        return sessions
    return [
        s if s.behavior_names else s.without_behavior(like.behavior_names, like.behavior_unit)
        for s in sessions
    ]


def open_prepared(path: Path) -> h5py.File:
    """Open a prepared file lazily, or raise a ValueError that names it."""
    if not path.is_file():
        raise ValueError(
            f"{path}: expected a prepared session here, found no file; run `realm run`"
        )
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path}: expected a prepared session, but it cannot be read ({error}); it is "
            "truncated or foreign, delete it and run `realm run` again"
        ) from error
    try:
        version = description(file)["format"]
        if version != FORMAT:
            raise ValueError(f"format {version}, this version reads {FORMAT}")
        for name in ARRAYS:
            if not isinstance(file.get(name), h5py.Dataset):
                raise ValueError(f"{name} missing")
        _check_content(path, file)
    except (OSError, KeyError, TypeError, ValueError) as error:
        file.close()
        raise ValueError(
            f"{path}: expected a session prepared by this version, but it is not one ({error}); "
            "delete it and run `realm run` again"
        ) from error
    return file


def _check_content(path: Path, file: h5py.File) -> None:
    """Check the hash of all numbers, once in a process as long as the file stays as it is.

    Raises:
        ValueError: they were changed after the file was prepared.
    """
    told, found = file["provenance"].attrs.get(CONTENT), path.stat()
    same = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if told is None or _checked.get(str(path)) == same:  # None: prepared by an earlier version
        return
    if content_sha256(file) != told:
        raise ValueError("its numbers do not agree with their SHA-256, they were changed")
    _checked[str(path)] = same


_checked: dict[str, tuple[int, int, int, int]] = {}


def content_sha256(file: h5py.File) -> str:
    """SHA-256 of every data set of a prepared file, its name, type and shape included."""
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if _is_data(node) else None)
    digest = hashlib.sha256()
    for name in sorted(names):
        data = file[name]
        digest.update(f"{name} {data.dtype.str} {data.shape}".encode())
        rows = max(1, HASHED_BYTES // max(1, data.nbytes // max(1, data.shape[0])))
        for start in range(0, data.shape[0], rows):
            digest.update(np.ascontiguousarray(data[start : start + rows]).tobytes())
    return digest.hexdigest()


def _is_data(node: h5py.Group | h5py.Dataset) -> bool:
    return isinstance(node, h5py.Dataset)


def description(file: h5py.File) -> dict[str, Any]:
    """The JSON description stored in a prepared file."""
    content: dict[str, Any] = json.loads(bytes(file["provenance/description"][0]))
    return content


def _load_chain(file: h5py.File) -> SignalChain:
    arrays = {name: array[...] for name, array in file["chain/arrays"].items()}
    return SignalChain.load_state(json.loads(bytes(file["chain/state"][0])), arrays)


def _check_alike(sessions: list[PreparedSession]) -> None:
    def kind(s: PreparedSession) -> str:
        bands = ", ".join(s.band_names)
        return f"{s.bin_ms:g} ms bins; bands {bands}; behavior {', '.join(s.behavior_names)}"

    kinds: dict[str, list[str]] = {}
    for session in sessions:
        kinds.setdefault(kind(session), []).append(session.session_id)
    if len(kinds) > 1:
        found = "\n".join(f"  {', '.join(names)}: {what}" for what, names in kinds.items())
        raise ValueError(
            f"expected sessions of one kind, got {len(kinds)} kinds:\n{found}\n"
            "prepare them with one configuration, with bands that every sampling rate allows"
        )
    seen: dict[str, PreparedSession] = {}
    for session in sessions:
        first = seen.setdefault(session.session_id, session)
        if first is not session:
            raise ValueError(
                f"expected one file per session, got {first.path} and {session.path} for "
                f"{session.session_id}; remove one of them"
            )
