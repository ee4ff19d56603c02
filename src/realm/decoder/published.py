"""Released weights of the published system as a decoder of ours: `realm import-published`.

The decoder has no session yet and no head, as after a training without labels: `realm calibrate`
gives it both. What it reads is computed causally: one feature of each channel in bins of 10 ms, the
slow potential in the published band. The published features were filtered with the future as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from realm.decoder.folder import Saved, write_saved
from realm.files import make_folder, sha256_file
from realm.nn.published.encoder import PublishedSettings
from realm.nn.published.released import encoder_of, released_settings
from realm.nn.student import Student
from realm.recipe import Recipe, parse_recipe, with_overrides

LARGEST = 1 << 30  # bytes of a checkpoint
BIN_MS = 10.0  # the published rate, 100 Hz
STUDENT = "student_state_dict"  # with the encoder under its prefix, beside a readout
ENCODER = "encoder_state_dict"
PREFIX = "encoder."


class Imported(NamedTuple):
    """What was made of a checkpoint."""

    out: Path
    parameters: int
    channels: int  # places
    layers: int
    sha256: str  # of the checkpoint


def import_published(file: Path | str, out: Path | str, overrides: Sequence[str] = ()) -> Imported:
    """Make a decoder of a released checkpoint and save it.

    Args:
        file: a torch file, a dictionary with `encoder_kwargs` and either `student_state_dict`,
            whose encoder is under `encoder.`, or `encoder_state_dict`.
        out: folder for the decoder; `realm calibrate` adapts it to a session.
        overrides: changes of its recipe in the section `signal`, such as `signal.line_hz=50`.

    Raises:
        ValueError: it is no such file, holds something else than numbers and names, its encoder
            reads the future, or its settings and arrays do not fit together; the message names
            the file and the array.
        OSError: it cannot be read, or the folder cannot be written.
    """
    file = Path(file)
    content = _read(file)
    try:
        arrays = _arrays_of(content)
        released = released_settings(content["encoder_kwargs"])
        if released.bidirectional:
            raise ValueError(
                "expected a causal encoder, because a decoder cannot wait for the end of a "
                "recording, got a bidirectional one; give the checkpoint of a causal student"
            )
        encoder = encoder_of(released, arrays)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    recipe = _recipe(released.settings, overrides)
    student = Student(recipe.distill.encoder, [], 0)
    student.encoder = encoder
    folder = make_folder(out)
    write_saved(Saved(recipe, student.eval(), {}, (), ""), folder)
    count = sum(parameter.numel() for parameter in encoder.parameters())
    settings = released.settings
    return Imported(folder, count, settings.channels, settings.layers, sha256_file(file))


def _read(file: Path) -> dict[str, Any]:
    """The dictionary in a torch file; nothing in it is run."""
    if not file.is_file() or file.stat().st_size > LARGEST:
        found = f"{file.stat().st_size} bytes" if file.is_file() else "none"
        raise ValueError(
            f"{file}: expected a checkpoint of at most {LARGEST} bytes, found {found}; check the "
            "path"
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        if type(error).__name__ == "UnpicklingError":
            raise ValueError(
                f"{file}: expected arrays, numbers and names alone, but the file holds objects "
                "that would run code when they are read; nothing was run. Do not use this file"
            ) from error
        raise ValueError(
            f"{file}: expected a file that torch.save wrote, but it cannot be read "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); copy it again"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("encoder_kwargs"), dict):
        raise ValueError(
            f"{file}: expected a dictionary with encoder_kwargs and {STUDENT} or {ENCODER}, got "
            f"{_said(content)}; give a released checkpoint"
        )
    return content


def _arrays_of(content: Mapping[str, Any]) -> dict[str, Any]:
    for name, prefix in ((STUDENT, PREFIX), (ENCODER, "")):
        arrays = content.get(name)
        if isinstance(arrays, Mapping):
            named = {str(k): v for k, v in arrays.items() if str(k).startswith(prefix)}
            return {name.removeprefix(prefix): array for name, array in named.items()}
    raise ValueError(
        f"expected the weights as {STUDENT} or {ENCODER}, got {_said(content)}; give a released "
        "checkpoint"
    )


def _said(content: Any) -> str:
    if not isinstance(content, dict):
        return type(content).__name__
    return ", ".join(sorted(map(str, content))[:6]) or "an empty one"


def _recipe(settings: PublishedSettings, overrides: Sequence[str]) -> Recipe:
    for override in overrides:
        if not override.startswith("signal.") or override.startswith("signal.bin_ms"):
            raise ValueError(
                f"--set {override}: expected a key of signal, such as signal.line_hz=50, and not "
                f"signal.bin_ms: the weights were trained on bins of {BIN_MS:g} ms"
            )
    encoder = settings.model_dump(mode="json")
    content = {
        "name": "published",
        "signal": {"preset": "slow", "slow_hz": [0.05, 50.0], "bin_ms": BIN_MS, "line_hz": 60.0},
        "data": {"window_s": 2.0},  # of a calibration that trains; shorter recordings can be used
        "pretrain": {"task_weight": 0.0, "encoder": encoder},
        "distill": {"task_weight": 0.0, "encoder": encoder},
        "calibrate": {"readout": "frozen", "train": "everything"},
    }
    recipe = parse_recipe(with_overrides(content, overrides), "--set")
    bands = {**recipe.signal.bands_hz, **recipe.signal.features}
    if (1 + len(bands) if recipe.signal.slow_hz else len(bands)) != settings.bands:
        raise ValueError(
            f"--set: expected {settings.bands} features of each channel, as the weights were "
            f"trained for, got others; choose slow_hz, bands_hz or features to make as many"
        )
    return recipe
