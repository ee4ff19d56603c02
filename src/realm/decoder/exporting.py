"""From a recording to a file that a rig can replay: `realm export`.

The true behavior is stored as a decoder should decode it: as the recipe of the decoder says, at the
end of each bin, so that decoded and true can be compared bin by bin.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from realm.data.behavior import Aligned, align
from realm.decoder.folder import MANIFEST as DECODER
from realm.files import read_json
from realm.live.sources.recording_file import Piece, RecordingInfo, Truth, write_recording
from realm.recipe import Recipe, load_recipe, parse_recipe
from realm.recordings.open import open_recording
from realm.recordings.recording import Recording
from realm.signal.binning import Binning
from realm.streaming import Bundle
from realm.streaming.folder import MANIFEST as BUNDLE

BLOCK_VALUES = 1 << 20  # samples x channels read at once


class Exported(NamedTuple):
    """What was written."""

    session_id: str
    n_samples: int
    n_channels: int
    behavior_names: tuple[str, ...]
    known_share: float  # of the bins whose true behavior is known


def export_recording(file: Path | str, out: Path | str, recipe: Recipe | None = None) -> Exported:
    """Write a recording as a recording file: samples in volts as float32, NaN where missing.

    Args:
        file: a recording of any format that is read.
        out: the file to write, replaced if it is there.
        recipe: says which neural series, and what behavior is decoded and how; None = the only
            neural series, and no behavior.

    Raises:
        ValueError: the recording cannot be used; the message names it.
        OSError: the file cannot be written.
    """
    with open_recording(file, None if recipe is None else recipe.data.lfp) as recording:
        aligned = None if recipe is None else _behavior(recording, recipe)
        names, unit = ((), "") if aligned is None else (aligned.names, aligned.unit)
        info = RecordingInfo(
            recording.session_id,
            tuple(recording.channel_names),
            "V",
            recording.sampling_rate_hz,
            names,
            unit,
        )
        truth = None
        if recipe is not None and aligned is not None:
            truth = _truth(aligned, recording.start_s, recipe.signal.bin_ms)
        write_recording(out, info, recording.n_samples, _pieces(recording), truth)
        known = 0.0 if aligned is None else float(aligned.mask.mean())
        return Exported(info.session_id, recording.n_samples, len(info.channel_names), names, known)


def recipe_of(model: Path | str) -> Recipe:
    """The recipe of a bundle, of a saved decoder, or of a run.

    Raises:
        ValueError: the folder is none of these.
    """
    folder = Path(model)
    if (folder / BUNDLE).is_file():
        return parse_recipe(Bundle.load(folder).provenance.get("recipe", {}), str(folder))
    if (folder / DECODER).is_file():
        content = read_json(folder / DECODER)
        return parse_recipe(content.get("recipe", {}), str(folder / DECODER))
    inner = sorted(folder.glob(f"seed*/model/{DECODER}"))
    if inner:  # the seeds of a run share its recipe
        return recipe_of(inner[0].parent)
    raise ValueError(
        f"{folder}: expected the folder of a bundle, of a saved decoder or of a run, found none "
        "of these; check the path"
    )


def choose_recipe(model: Path | None, recipe: str | None) -> Recipe | None:
    """The recipe that the true behavior follows, if one was named.

    Raises:
        ValueError: both were named, or what was named is not there.
    """
    if model is not None and recipe is not None:
        raise ValueError(
            "export: expected --model or --recipe, got both; a model has its recipe, leave the "
            "other out"
        )
    if model is not None:
        return recipe_of(model)
    return None if recipe is None else load_recipe(recipe)


def _behavior(recording: Recording, recipe: Recipe) -> Aligned:
    """The target at the end of each bin of the recording."""
    bin_ms, data = recipe.signal.bin_ms, recipe.data
    n_bins = Binning(bin_ms, recording.sampling_rate_hz, 1, 1).n_bins(recording.n_samples)
    series = recording.behavior(data.behavior_path)
    found = align(series, data.target, data.smoothing_s, bin_ms, n_bins, recording.start_s)
    if not found.mask.any():
        raise ValueError(
            f"{recording.path}: expected behavior {data.behavior!r} during the recording, but it "
            "is unknown throughout; bring both onto one clock, or export without a model"
        )
    return found


def _truth(aligned: Aligned, start_s: float, bin_ms: float) -> Truth:
    ends = start_s + np.arange(1, len(aligned.mask) + 1, dtype=np.float64) * (bin_ms / 1000)
    return Truth(ends, np.where(aligned.mask[:, None], aligned.values, np.float32(np.nan)))


def _pieces(recording: Recording) -> Iterator[Piece]:
    row = 0
    for block in recording.blocks(max(1, BLOCK_VALUES // len(recording.channel_names))):
        index = np.arange(row, row + len(block))
        yield Piece(block, recording.start_s + index / recording.sampling_rate_hz)
        row += len(block)
