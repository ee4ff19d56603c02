"""Write one prepared session file in blocks; its layout is described in `sessions`.

The groups are those of `torch_brain.data` (version 0.2), so that torch_brain opens the file; each
carries the name of its class as the attribute `object`. torch_brain itself is not needed.

A recording is read twice: once through training time, for the guard of the signal chain, and once
from end to end, for the features. Memory does not grow with the recording's length, except for
behavior.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from realm.data.behavior import Aligned, align
from realm.data.config import DataConfig
from realm.data.sessions import CONTENT, FORMAT, content_sha256
from realm.data.splits import check_length, split_bins, split_seconds
from realm.data.usable import check_behavior, never_changes
from realm.files import atomic_path
from realm.recordings.fault import RecordingFaultError
from realm.recordings.recording import Recording
from realm.signal import NormalizationFit, SignalChain, SignalConfig

BLOCK_VALUES = 1 << 20  # samples x channels read at once
WARM_UP_S = 2.0  # the filters settle; left out of the statistics of normalization
GUARD_VALUES = 1 << 23  # samples x channels of training time that set the guard's limits
BLOCKS = 64  # that they are taken from, where these are long enough


def write_prepared(
    recording: Recording,
    target: Path,
    signal: SignalConfig,
    data: DataConfig,
    provenance: dict[str, Any],
) -> None:
    """Compute and write everything about `recording` to `target`, atomically.

    Args:
        recording: open for reading.
        target: of the prepared file.
        signal, data: settings.
        provenance: what to store about the origin, with "input_sha256" and "config_sha256".

    Raises:
        ValueError: the recording cannot be used; the message names it and says what to do.
        OSError: the file cannot be written; an earlier one is kept.
    """
    chain = _new_chain(recording, signal)
    n_bins = chain.n_bins(recording.n_samples)
    check_length(recording.path, n_bins, signal.bin_ms, data.window_s)
    behavior = _behavior(recording, data, signal.bin_ms, n_bins)
    train_bins = split_bins(n_bins, signal.bin_ms)["train"][1]
    train_s = train_bins * signal.bin_ms / 1000
    samples = _training_samples(recording, train_s, signal.flat_ms)
    _check_signal(recording, samples)
    chain = chain.fit_guard(samples)
    with atomic_path(target) as temporary, h5py.File(temporary, "w") as file:
        chain = _write_features(file, recording, chain, n_bins, train_bins)
        _write_rest(file, recording, chain, behavior, n_bins, provenance)
        file["provenance"].attrs[CONTENT] = content_sha256(file)


def _new_chain(recording: Recording, signal: SignalConfig) -> SignalChain:
    try:
        return SignalChain(
            signal, recording.sampling_rate_hz, recording.channel_names, recording.bad_channels
        )
    except ValueError as error:
        raise ValueError(f"{recording.path}: {error}") from error


def _behavior(recording: Recording, data: DataConfig, bin_ms: float, n_bins: int) -> Aligned:
    """Behavior per bin, or a ValueError if none of it falls into training time."""
    if data.behavior is None:
        return Aligned(np.zeros((n_bins, 0), np.float32), np.zeros(n_bins, bool), (), "")
    series = recording.behavior(data.behavior)
    check_behavior(recording, data.behavior, series)
    aligned = align(series, data.target, data.smoothing_s, bin_ms, n_bins, recording.start_s)
    train = slice(*split_bins(n_bins, bin_ms)["train"])
    if not aligned.mask[train].any():
        known = series.timestamps_s[np.isfinite(series.values).all(axis=1)]
        begin, end = recording.start_s, recording.start_s + n_bins * bin_ms / 1000
        where = f"{known[0]:.1f} to {known[-1]:.1f} s" if len(known) else "no time at all"
        raise ValueError(
            f"{recording.path}: expected behavior {data.behavior!r} to overlap the first 70% of "
            f"the LFP ({begin:.1f} to {end:.1f} s), but it is known for {where}; bring both onto "
            "one clock, choose another behavior path or leave this session out"
        )
    if not np.ptp(aligned.values[train][aligned.mask[train]], axis=0).any():
        raise RecordingFaultError("constant_behavior", never_changes(recording, data.behavior))
    return aligned


def _check_signal(recording: Recording, samples: NDArray[np.float64]) -> None:
    """Raise where no channel changes during training time."""
    changes = np.fmax.reduce(samples, axis=0) > np.fmin.reduce(samples, axis=0)  # not where NaN
    if not (changes & ~np.array(recording.bad_channels)).any():
        raise RecordingFaultError(
            "flat_channel",
            f"{recording.path}: expected a signal in the first 70% of the samples, but all "
            f"{recording.n_channels} channels are flat, missing or flagged as bad there; export "
            "the recording again or leave this session out",
        )


def _training_samples(recording: Recording, train_s: float, flat_ms: float) -> NDArray[np.float64]:
    """Samples of training time, (samples, channels): all, or blocks spread evenly through it.

    A block is longer than what counts as flat, however fast the recording.
    """
    rate = recording.sampling_rate_hz
    n_train = min(recording.n_samples, int(train_s * rate))
    budget = max(1, GUARD_VALUES // recording.n_channels)
    if n_train <= budget:
        return recording.read(0, n_train)
    block = min(n_train, max(budget // BLOCKS, int(1.1 * flat_ms * rate / 1000)))
    n_blocks = max(1, min(BLOCKS, budget // block))
    starts = np.linspace(0, n_train - block, n_blocks).astype(int).tolist()
    samples = np.empty((n_blocks, block, recording.n_channels))
    for index, start in enumerate(starts):
        samples[index] = recording.read(start, start + block)
    return samples.reshape(n_blocks * block, recording.n_channels)


def _write_features(
    file: h5py.File, recording: Recording, chain: SignalChain, n_bins: int, train_bins: int
) -> SignalChain:
    """Stream the recording into `file`; returns the chain with its normalization fitted."""
    shape = (n_bins, chain.n_channels, len(chain.band_names))
    group = file.create_group("features")
    values = group.create_dataset("values", shape, "f4", chunks=_chunks(shape))
    filled = group.create_dataset("filled", shape[:2], "f4", chunks=_chunks(shape[:2]))
    fit, settled = NormalizationFit(*shape[1:]), _settled(train_bins, chain.bin_ms)
    state, done = chain.initial_state(), 0
    for block in recording.blocks(max(1, BLOCK_VALUES // chain.n_channels)):
        features, state = chain.step(block, state)
        stop = done + len(features.values)
        values[done:stop], filled[done:stop] = features.values, features.filled
        training = slice(max(0, settled - done), max(0, min(stop, train_bins) - done))
        fit.update(features.values[training], features.filled[training])
        done = stop
    assert done == n_bins
    _finish_regular(group, 1000 / chain.bin_ms, n_bins)
    return chain.with_normalization(fit.result())


def _settled(train_bins: int, bin_ms: float) -> int:
    """First bin of training time that counts for the statistics."""
    return min(round(WARM_UP_S * 1000 / bin_ms), train_bins // 2)


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """About a quarter of a megabyte of consecutive bins."""
    per_bin = int(np.prod(shape[1:]))
    return (max(1, min(shape[0], (1 << 16) // per_bin)), *shape[1:])


def _write_rest(
    file: h5py.File,
    recording: Recording,
    chain: SignalChain,
    behavior: Aligned,
    n_bins: int,
    provenance: dict[str, Any],
) -> None:
    """Write everything of the prepared file except its features."""
    duration_s, rate_hz = n_bins * chain.bin_ms / 1000, 1000 / chain.bin_ms
    state, arrays = chain.save_state()
    text = {
        **provenance,
        "format": FORMAT,
        "input_name": recording.path.name,
        "lfp_path": recording.lfp_path,
        "lfp_start_s": recording.start_s,
        "sampling_rate_hz": recording.sampling_rate_hz,
        "sample_bits": recording.sample_bits,
        "channel_names": recording.channel_names,
        "regions": recording.regions,
        "behavior_names": behavior.names,
        "behavior_unit": behavior.unit,
        "bin_ms": chain.bin_ms,
        "n_bins": n_bins,
    }
    hashes = {name: provenance[name] for name in ("input_sha256", "config_sha256")}
    _data(file.create_group("session"), id=recording.session_id)
    _data(file.create_group("subject"), id=recording.subject)
    _names(file.create_group("channels"), name=recording.channel_names, region=recording.regions)
    _names(file.create_group("bands"), name=chain.band_names)
    group = file.create_group("behavior")
    group["values"], group["mask"] = behavior.values, behavior.mask
    _finish_regular(group, rate_hz, n_bins)
    group = file.create_group("splits")
    for name, (start_s, stop_s) in split_seconds(n_bins, chain.bin_ms).items():
        _interval(group.create_group(name), start_s, stop_s)
    _interval(group.create_group("domain"), 0.0, duration_s)
    _data(group)
    _data(file.create_group("provenance"), **hashes, description=_json(text))
    group = file.create_group("chain")
    group["state"] = _json(state)
    _data(group.create_group("arrays"), **arrays)
    _data(group)
    _interval(file.create_group("domain"), 0.0, duration_s)
    _data(file)


def _data(group: h5py.Group, **content: str | NDArray[Any]) -> None:
    """Make the group a `Data`: a text is an attribute, an array a dataset."""
    for name, value in content.items():
        (group.attrs if isinstance(value, str) else group)[name] = value
    group.attrs["object"], group.attrs["absolute_start"] = "Data", 0.0


def _names(group: h5py.Group, **columns: tuple[str, ...]) -> None:
    """Make the group an `ArrayDict` of names, as ASCII; the exact ones are in the description."""
    group.attrs["object"] = "ArrayDict"
    for name, texts in columns.items():
        group[name] = np.array([t.encode("ascii", "backslashreplace") or b"-" for t in texts])
    group.attrs["_unicode_keys"] = np.array([*columns], "S")


def _interval(group: h5py.Group, start_s: float, stop_s: float) -> None:
    """Make the group an `Interval` of one span."""
    group["start"], group["end"] = np.array([start_s]), np.array([stop_s])
    group.attrs["_unicode_keys"] = np.array([], "S")
    group.attrs["timekeys"], group.attrs["object"] = np.array(["start", "end"], "S"), "Interval"


def _finish_regular(group: h5py.Group, rate_hz: float, n_bins: int) -> None:
    """Make a group that holds its arrays a `RegularTimeSeries` of `n_bins` from time 0."""
    _interval(group.create_group("domain"), 0.0, n_bins / rate_hz)
    group.attrs["object"], group.attrs["sampling_rate"] = "RegularTimeSeries", rate_hz


def _json(content: Any) -> NDArray[np.bytes_]:
    """JSON as an array of one string: HDF5 attributes hold 64 kB only."""
    return np.array([json.dumps(content).encode()])
