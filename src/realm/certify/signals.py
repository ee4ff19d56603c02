"""The signal that a decoder is examined with: synthetic, or from a recording.

Every channel of a synthetic signal is the centre of its training time plus one noise per band. The
amplitudes are set so that the features have the mean and deviation that they had in training: noise
alone makes them vary, and a slow movement of the amplitude, which channels partly share as in a
brain, does the rest. It holds no behavior."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from realm.certify.check import SHORTEST_S, Finding, Reading, Signal, Trial, r2, reading
from realm.certify.faults import SHARES, dying
from realm.live.check import match
from realm.live.clock import BinClock
from realm.live.sources import Block, SourceEndedError
from realm.live.sources.recording_file import RecordingFile
from realm.live.sources.replay import ReplaySource
from realm.signal import SignalChain
from realm.signal.config import SLOW_NAME
from realm.signal.normalize import CLIP

LIKENESS_STRETCH_S = 30.0
BLOCK_MS = 2000.0
PAUSE_PERIODS = 1.5  # after a longer step between two samples the decoder starts anew
MOST_VALUES = 1 << 25  # samples times channels: 256 MB
TRIED_S = 12.0  # of signal drawn first, to set the amplitudes
SETTLED_S = 3.0
LATENTS = 6  # movements that channels share
LATENT_HZ = 1.0
FARTHEST = 2.5  # standard deviations of a movement
TRIM = 0.1  # of a band's width at either end, so that little reaches its neighbours

Reals = NDArray[np.float64]


class Levels(NamedTuple):
    """How strong each band is, both (channels, bands)."""

    amplitude: Reals  # volts, before it moves
    movement: Reals  # deviation of its logarithm of power; for the slow potential a share


def draw_signal(
    chain: SignalChain, seconds: float, seed: int, report: Callable[[int, int], None]
) -> Signal:
    """Raw samples (samples, channels) in volts for a fitted chain; dead channels stay flat."""
    rate = chain.sampling_rate_hz
    most = MOST_VALUES // chain.n_channels
    n, tried = (max(1, min(round(s * rate), most)) for s in (seconds, TRIED_S))
    rng = np.random.default_rng([seed, 1])
    levels = _first_levels(chain)
    levels = _adjusted(chain, levels, _drawn(chain, levels, tried, rng, lambda *_: None))
    samples = _drawn(chain, levels, n, rng, report)
    return Signal(samples, f"synthetic, with the bundle's statistics, {n / rate:.0f} s")


def _first_levels(chain: SignalChain) -> Levels:
    mean, std = _statistics(chain)
    power = np.array(chain.logarithmic)
    amplitude = np.where(power, np.exp(np.clip(mean, -200, 20) / 2), std)
    return Levels(amplitude, np.zeros_like(amplitude))


def _adjusted(chain: SignalChain, levels: Levels, samples: Reals) -> Levels:
    """Levels corrected by the features of a signal that was drawn with them."""
    mean, std = _statistics(chain)
    settled = chain.n_bins(round(SETTLED_S * chain.sampling_rate_hz))
    found = chain.with_normalization(None).forward(samples).values[settled:]
    amplitude, movement = levels.amplitude.copy(), levels.movement.copy()
    for band, power in enumerate(chain.logarithmic):
        here, varied = found[..., band].mean(axis=0), found[..., band].std(axis=0)
        if not power:
            amplitude[:, band] *= std[:, band] / np.maximum(varied, 1e-300)
            movement[:, band] = 0.5
        else:
            amplitude[:, band] *= np.exp(np.clip(mean[:, band] - here, -9, 9) / 2)
            movement[:, band] = np.sqrt(np.maximum(0, std[:, band] ** 2 - varied**2))
    return Levels(amplitude, movement)


def _drawn(
    chain: SignalChain,
    levels: Levels,
    n: int,
    rng: np.random.Generator,
    report: Callable[[int, int], None],
) -> Reals:
    rate, dead = chain.sampling_rate_hz, chain.dead_channels
    latents = _unit(_filtered(rng.normal(size=(n, LATENTS)), (0.0, LATENT_HZ), rate))
    samples = np.empty((n, chain.n_channels))
    for channel, name in enumerate(chain.channel_names):
        report(channel, chain.n_channels)
        samples[:, channel] = chain.limits.centre[channel]
        for band, kind in enumerate(() if name in dead else chain.bands_hz):
            noise = _unit(_filtered(rng.normal(size=n), _inner(chain, kind), rate))
            shared = _unit(latents @ rng.normal(size=LATENTS))
            moved = levels.movement[channel, band]
            if not chain.logarithmic[band]:
                noise = np.sqrt(1 - moved**2) * noise + moved * shared
            else:
                noise *= np.exp(moved * np.clip(shared, -FARTHEST, FARTHEST) / 2)
            samples[:, channel] += levels.amplitude[channel, band] * noise
    return samples


def _inner(chain: SignalChain, name: str) -> tuple[float, float]:
    """The middle of a band; for the slow potential, the part below the power bands."""
    low, high = chain.bands_hz[name]
    if name == SLOW_NAME:
        others = [edges[0] for other, edges in chain.bands_hz.items() if other != SLOW_NAME]
        return low, min([high, *(edge / 2 for edge in others if edge > 4 * low)])
    return low + TRIM * (high - low), high - TRIM * (high - low)


def _statistics(chain: SignalChain) -> tuple[Reals, Reals]:
    assert chain.normalization is not None, "a bundle's chain is fitted"
    return chain.normalization.mean, chain.normalization.std


def _filtered(x: Reals, band_hz: tuple[float, float], rate: float) -> Reals:
    low, high = band_hz
    kind, edges = ("lowpass", high) if low <= 0 else ("bandpass", band_hz)
    filtered: Reals = sosfilt(butter(4, edges, kind, fs=rate, output="sos"), x, axis=0)
    return filtered


def _unit(x: Reals) -> Reals:
    centred = x - x.mean(axis=0)
    scaled: Reals = centred / np.maximum(centred.std(axis=0), 1e-300)
    return scaled


def read_likeness(trial: Trial) -> list[Finding]:
    """Normalized features: in training, mean 0, deviation 1 and hardly any at the clip."""
    chain = trial.decoder.bundle.chain
    settled = chain.n_bins(round(SETTLED_S * trial.rate_hz))
    x = trial.piece(trial.rng("likeness"), SETTLED_S + LIKENESS_STRETCH_S)
    features = chain.forward(x)
    values = features.values[settled:][features.filled[settled:] == 0]  # (good ones, bands)
    if not len(values):
        return [reading("features", float("nan"), "", "every sample of the signal was replaced")]
    text = f"{len(x) / trial.rate_hz:.0f} s of signal; "
    replaced = 100 * float(features.filled[settled:].mean())
    return [
        reading("deviation of the features", float(values.std()), "", f"{text}1 in training"),
        reading("mean of the features", float(values.mean()), "", f"{text}0 in training"),
        reading(
            "features at the clip",
            100 * float((np.abs(values) >= CLIP).mean()),
            "%",
            f"{text}±{CLIP:g} deviations",
        ),
        reading("samples that were replaced", replaced, "%", f"{text}dead channels among them"),
    ]


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
        f"{len(truth)} bins of {trial.recording.name} from its start, mean over the dims; bins "
        "that the decoder was trained on are not left out"
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
