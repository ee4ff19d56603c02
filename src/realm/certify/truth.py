"""A user's recording: its samples as the signal of a trial, and its true behavior as the judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realm.certify.agreement import r2
from realm.certify.check import Finding, Reading, reading
from realm.certify.dead_channels import SHARES, dying
from realm.certify.trial import SHORTEST_S, Signal, Trial
from realm.live.bins import BinClock
from realm.live.channels import match
from realm.live.recording_file import RecordingFile
from realm.live.replay import ReplaySource
from realm.live.source import Block, SourceEndedError
from realm.signal import SignalChain

BLOCK_MS = 2000.0
PAUSE_PERIODS = 1.5  # a longer step between two samples: the decoder begins anew

Samples = NDArray[np.float64]
Rows = tuple[Samples, list[Samples]]  # truth (bins, dims), and the output of each decoding


def read_signal(path: Path, chain: SignalChain, seconds: float) -> Signal:
    """The first seconds of a recording, in the bundle's order of channels, in volts.

    Raises:
        ValueError: it is no recording, does not fit the bundle or is too short.
    """
    parts: list[Samples] = []
    n = wanted = round(seconds * chain.sampling_rate_hz)
    for samples, _ in _blocks(path, chain):
        parts.append(samples[:n])
        n -= len(parts[-1])
        if n <= 0:
            break
    length_s = (wanted - n) / chain.sampling_rate_hz
    if length_s < SHORTEST_S:
        raise ValueError(
            f"{path}: expected a recording of at least {SHORTEST_S:g} s, got {length_s:.1f} s; "
            "give a longer one, or none for a synthetic signal"
        )
    return Signal(np.concatenate(parts), f"recording {path.name}, its first {length_s:.0f} s")


def read_truth(trial: Trial) -> list[Finding]:
    """R² against the true behavior of the recording, with all channels and with some dead."""
    names = ["R² on the recording", *(f"R² with {100 * s:g}% of the channels dead" for s in SHARES)]
    if trial.recording is None:
        text = "no recording was given (--recording FILE)"
        return [Reading(name, None, "R²", text) for name in names]
    with RecordingFile.open(trial.recording) as recording:
        told = recording.info.behavior_names
    if told != trial.decoder.bundle.behavior_names:
        text = f"the recording holds {', '.join(told) or 'no behavior'}, not what is decoded"
        return [Reading(name, None, "R²", text) for name in names]
    truth, outputs = _decoded(trial, trial.recording)
    text = (
        f"{len(truth)} bins of {trial.recording.name} from its begin on, mean over the dims; what "
        "of it the decoder was trained on is not left out"
    )
    return [
        reading(name, r2(truth, found), "R²", text)
        for name, found in zip(names, outputs, strict=True)
    ]


def _decoded(trial: Trial, path: Path) -> Rows:
    decoder, rng = trial.decoder, trial.rng("truth")
    bundle = decoder.bundle
    silenced = [np.empty(0, np.int64), *(dying(trial.usable, share, rng) for share in SHARES)]
    dims = len(bundle.behavior_names)
    clock = BinClock(decoder.bin_ms, trial.rate_hz, bundle.lookahead_bins, dims)
    truths, outputs = [np.empty((0, dims))], [[np.empty((0, dims))] for _ in silenced]
    heard, last_s, wanted = 0, -np.inf, round(trial.effort.recording_s * trial.rate_hz)
    for samples, block in _blocks(path, bundle.chain):
        trial.report(heard, wanted)
        if (block.times_s[0] - last_s) * trial.rate_hz > PAUSE_PERIODS:
            states, place = [decoder.initial_state() for _ in silenced], clock.initial_state()
        last_s, heard = float(block.times_s[-1]), heard + len(samples)
        assert block.behavior is not None, "checked by the names of its dims"
        ended, place = clock.step(block.times_s, block.behavior, place)
        truths.append(ended.truth)
        for number, channels in enumerate(silenced):
            hurt = samples.copy()
            hurt[:, channels] = 0.0
            decoded, states[number] = decoder.step(hurt, states[number])
            outputs[number].append(decoded.behavior)
        if heard >= wanted:
            break
    return np.concatenate(truths), [np.concatenate(parts) for parts in outputs]


def _blocks(path: Path, chain: SignalChain) -> Iterator[tuple[Samples, Block]]:
    """The recording in volts and the bundle's channels, with the times and truth of each block."""
    source = ReplaySource(path, speed=float("inf"), block_ms=BLOCK_MS)
    try:
        fit = match(source.open(), chain.channel_names, chain.sampling_rate_hz)
        while True:
            block = source.read(0.0)
            if block is not None:
                yield fit.apply(block.samples), block
    except SourceEndedError:
        return
    finally:
        source.close()
