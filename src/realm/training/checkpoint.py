"""One file holds all that a run needs to go on exactly where it stopped.

Weights, the best weights so far and the optimizer's moments are tensors of one safetensors file;
step, scores and times are JSON in its header. Being one file, it is replaced atomically: a run
killed at any moment finds the checkpoint before or the one after, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from realm.files import read_tensors, write_bytes
from realm.training.optimizer import Optimizer

FORMAT = "realm-checkpoint-1"


class Checkpoint(NamedTuple):
    """A loaded checkpoint: tensors by role and the JSON facts."""

    model: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(
    path: Path,
    module: nn.Module,
    best: dict[str, Tensor],
    optimizer: Optimizer,
    facts: dict[str, Any],
) -> None:
    """Write the checkpoint atomically; the earlier one stays if the disk is full."""
    tensors = {f"model/{k}": v for k, v in module.state_dict().items()}
    tensors |= {f"best/{k}": v for k, v in best.items()}
    for name, parameter in module.named_parameters():
        for key, value in optimizer.moments(parameter).items():
            tensors[f"optimizer/{name}/{key}"] = torch.as_tensor(value)
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    text = json.dumps(facts)
    header = {"format": FORMAT, "facts": text, "sha256": _digest(tensors, text)}
    write_bytes(path, save(tensors, metadata=header))


def load_checkpoint(path: Path, fingerprint: str) -> Checkpoint:
    """Read a checkpoint and check that it belongs to this run.

    Raises:
        ValueError: truncated, foreign, of another format or of another configuration.
    """
    tensors = {k: torch.from_numpy(v) for k, v in read_tensors(path).items()}
    with safetensors.safe_open(path, "numpy") as stream:
        header = stream.metadata() or {}
    if header.get("format") != FORMAT:
        raise ValueError(
            f"{path}: expected a checkpoint of format {FORMAT!r}, got {header.get('format')!r}; "
            "it was made by something else, move it away and train again"
        )
    if header.get("sha256") not in (None, _digest(tensors, header["facts"])):  # None: from before
        raise ValueError(
            f"{path}: expected numbers that agree with their SHA-256, these do not; the file was "
            "changed or is damaged, delete it to train anew"
        )
    facts = json.loads(header["facts"])
    if facts["fingerprint"] != fingerprint:
        raise ValueError(
            f"{path}: this checkpoint was made with another configuration or other data; "
            "choose another output folder, or delete this file to train anew"
        )
    roles: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for key, tensor in tensors.items():
        role, _, name = key.partition("/")
        roles[role][name] = tensor
    return Checkpoint(roles["model"], roles["best"], roles["optimizer"], facts)


def _digest(tensors: dict[str, Tensor], facts: str) -> str:
    """SHA-256 of all numbers with their names, and of the facts."""
    digest = hashlib.sha256(facts.encode())
    for name in sorted(tensors):
        array = tensors[name].numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def restore(checkpoint: Checkpoint, module: nn.Module, optimizer: Optimizer) -> None:
    """Put weights and moments back in place."""
    module.load_state_dict(checkpoint.model)
    for name, parameter in module.named_parameters():
        prefix = f"{name}/"
        state = {
            key.removeprefix(prefix): value.clone()
            for key, value in checkpoint.optimizer.items()
            if key.startswith(prefix)
        }
        if state:
            moments = {k: v.to(parameter.device) for k, v in state.items()}
            optimizer.set_moments(parameter, moments)
