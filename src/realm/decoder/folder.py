"""A saved decoder: one folder with a manifest and two tensor files, verified when it is read.

decoder.json          format, recipe, behavior, sessions, settings of the chains, hashes
model.safetensors     the student
signal.safetensors    the arrays of the chains
config.json           the name of the recipe, by which the Hugging Face Hub counts downloads
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from realm.files import read_json, read_tensors, sha256_file, write_json, write_tensors
from realm.nn.adapters import SessionInfo
from realm.nn.student import Student
from realm.recipe import Recipe, parse_recipe
from realm.signal import SignalChain
from realm.versions import own_version

FORMAT = "realm-decoder-1"
MANIFEST = "decoder.json"
TENSORS = ("model.safetensors", "signal.safetensors")


class Saved(NamedTuple):
    """What the folder of a decoder holds."""

    recipe: Recipe
    student: Student
    chains: dict[str, SignalChain]  # by session
    behavior_names: tuple[str, ...]
    behavior_unit: str


def write_saved(saved: Saved, folder: Path) -> None:
    """Write the files of a decoder, the manifest last.

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    weights = {k: v.cpu().numpy() for k, v in saved.student.state_dict().items()}
    write_tensors(folder / "model.safetensors", weights)
    states = {session: chain.save_state() for session, chain in saved.chains.items()}
    arrays = {f"{s}/{name}": a for s, (_, parts) in states.items() for name, a in parts.items()}
    write_tensors(folder / "signal.safetensors", arrays)
    manifest = {
        "format": FORMAT,
        "version": own_version(),
        "recipe": saved.recipe.resolved(),
        "behavior": {"names": list(saved.behavior_names), "unit": saved.behavior_unit},
        "sessions": [info._asdict() for info in saved.student.sessions],
        "signal": {session: facts for session, (facts, _) in states.items()},
        "sha256": {name: sha256_file(folder / name) for name in TENSORS},
    }
    write_json(folder / "config.json", {"recipe": saved.recipe.name})
    write_json(folder / MANIFEST, manifest)


def read_saved(folder: Path) -> Saved:
    """Read what `write_saved` wrote and verify it.

    Raises:
        ValueError: it is damaged, truncated or foreign; the message names the file.
    """
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(
            f"{folder / MANIFEST}: expected a decoder of format {FORMAT!r}; this is "
            "something else. Save the decoder again with this version"
        )
    try:
        return _assembled(folder, manifest)
    except (AttributeError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{folder / MANIFEST}: expected a decoder whose files fit together, but they "
            f"do not ({str(error).splitlines()[0]}); copy the whole folder again"
        ) from error


def no_decoder(name: str | Path) -> str:
    """What is said where there is no saved decoder."""
    return (
        f"{name}: expected the folder of a saved decoder (or its name on the Hugging Face Hub), "
        "found none; check the path"
    )


def not_reached(name: str | Path) -> str:
    """What is said where the Hub could not be asked."""
    return (
        f"{name}: expected the folder of a saved decoder, found none of this name, and the Hugging "
        "Face Hub could not be asked for it; check the path, or the network if it is a name there"
    )


def some(names: Sequence[str]) -> str:
    """Names for a message, the middle of a long list left out."""
    return ", ".join(names) if len(names) <= 6 else ", ".join([*names[:5], "…", names[-1]])


def _assembled(folder: Path, manifest: dict[str, Any]) -> Saved:
    for name in TENSORS:
        _check_hash(folder / name, manifest["sha256"][name])
    recipe = parse_recipe(manifest["recipe"], str(folder / MANIFEST))
    sessions = [
        SessionInfo(s["session_id"], s["subject"], tuple(s["channel_names"]), s["n_bands"])
        for s in manifest["sessions"]
    ]
    names = tuple(manifest["behavior"]["names"])
    student = Student(recipe.distill.encoder, sessions, len(names))
    tensors = read_tensors(folder / "model.safetensors")
    student.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    chains = {
        info.session_id: _load_chain(folder, manifest["signal"][info.session_id], info)
        for info in sessions
    }
    return Saved(recipe, student.eval(), chains, names, manifest["behavior"]["unit"])


def _check_hash(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: expected this file, found none; copy the whole folder again")
    if sha256_file(path) != expected:
        raise ValueError(
            f"{path}: expected SHA-256 {expected[:12]}…, the file has another; it is damaged or of "
            "another decoder, copy the whole folder again"
        )


def _load_chain(folder: Path, facts: dict[str, Any], info: SessionInfo) -> SignalChain:
    path, prefix = folder / "signal.safetensors", f"{info.session_id}/"
    arrays = {
        name.removeprefix(prefix): array
        for name, array in read_tensors(path).items()
        if name.startswith(prefix)
    }
    try:
        chain = SignalChain.load_state(facts, arrays)
    except ValueError as error:
        raise ValueError(f"{path}, session {info.session_id!r}: {error}") from error
    if tuple(chain.channel_names) != info.channel_names:
        raise ValueError(
            f"{path}: expected the channels {some(info.channel_names)} for session "
            f"{info.session_id!r}, found {some(chain.channel_names)}; copy the whole folder again"
        )
    return chain
