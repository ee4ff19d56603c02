"""From a trained decoder to a bundle for the rig: `realm bundle`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realm.decoder.decoder import Decoder
from realm.decoder.folder import MANIFEST
from realm.files import read_json, sha256_file
from realm.nn.encoders import kind_of, trained_encoder
from realm.nn.student import Student
from realm.streaming.bundle import Bundle
from realm.streaming.encoders import sizes_of
from realm.streaming.reference import make_reference
from realm.versions import versions

AT_REST = ("velocity", "speed")  # targets whose neutral value is zero: stand still
PACKAGES = ("numpy", "scipy", "safetensors", "numba", "torch")


def bundle_model(
    model: Path | str, out: Path | str, session_id: str | None = None, quorum: float = 0.5
) -> Bundle:
    """Write the bundle of one session of a saved decoder.

    Args:
        model: folder of a saved decoder, or of a run with one seed.
        out: folder for the bundle.
        session_id: which session; None = the decoder's only one.
        quorum: see `Bundle`.

    Raises:
        ValueError: no decoder there, no such session, or `out` holds something else.
        OSError: the bundle cannot be written.
    """
    folder = _find_model(Path(model))
    decoder = Decoder.from_pretrained(folder)
    bundle = bundle_decoder(decoder, session_id, quorum, provenance=_training(folder))
    bundle.save(out)
    return bundle


def bundle_decoder(
    decoder: Decoder,
    session_id: str | None = None,
    quorum: float = 0.5,
    provenance: dict[str, Any] | None = None,
) -> Bundle:
    """The bundle of one session of a decoder; `provenance` adds to its recipe.

    Raises:
        ValueError: no such session, or a student that a bundle cannot hold.
    """
    chosen = decoder.initial_state(session_id).session_id
    recipe, chain = decoder.fitted_recipe, decoder.chain(chosen)
    settings, names = recipe.distill.encoder, decoder.behavior_names_
    kind = kind_of(settings)
    sizes = sizes_of(kind)
    weights = _weights(decoder.student_, kind, chosen)
    mean = np.zeros(len(names)) if recipe.data.target in AT_REST else weights["scale.mean"]
    return Bundle(
        session_id=chosen,
        subject=decoder.student_.adapters.session(chosen).subject,
        chain=chain,
        sizes=sizes(
            chain.n_channels * chain.n_bands,
            len(names),
            **{name: getattr(settings, name) for name in sizes.setting_names()},
        ),
        weights=weights,
        lookahead_bins=decoder.lookahead_bins,
        behavior_names=names,
        behavior_unit=decoder.behavior_unit_,
        target=recipe.data.target,
        neutral=tuple(mean.tolist()),
        quorum=quorum,
        versions=versions(PACKAGES),
        provenance={"recipe": recipe.resolved(), **(provenance or {})},
        reference=make_reference(chain, partial(_decoded, decoder, chosen)),
    )


def _decoded(
    decoder: Decoder, session_id: str, blocks: Iterator[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """What the trained decoder gives for blocks of one stream, (bins, dims)."""
    state, parts = decoder.initial_state(session_id), []
    for block in blocks:
        decoded, state = decoder.step(block, state)
        parts.append(decoded.behavior)
    return np.concatenate(parts).astype(np.float64)


def _weights(student: Student, kind: str, session_id: str) -> dict[str, NDArray[np.float64]]:
    """The student's numbers for one session in float64, its adapter as one matrix."""
    arrays = trained_encoder(kind).arrays
    if arrays is None:
        raise ValueError(
            f"encoder {kind!r}: expected one whose arrays can be bundled, but it gives none; "
            "repair the package that adds it"
        )
    exact = copy.deepcopy(student).double()
    mean, std = exact.head.scale(session_id)
    tensors = {
        "adapter.weight": exact.adapters.weight(session_id).t(),
        "adapter.bias": exact.adapters.bias(session_id),
        "head.weight": exact.head.linear.weight,
        "head.bias": exact.head.linear.bias,
        "scale.mean": mean,
        "scale.std": std,
        **arrays(exact.encoder),
    }
    return {
        name: np.ascontiguousarray(tensor.detach().cpu().numpy())
        for name, tensor in tensors.items()
    }


def _find_model(folder: Path) -> Path:
    """The folder itself, or the decoder of the only seed of a run."""
    found = sorted(path.parent for path in folder.glob(f"seed*/model/{MANIFEST}"))
    if (folder / MANIFEST).is_file() or not found:
        return folder
    if len(found) > 1:
        raise ValueError(
            f"{folder}: expected one decoder, this run has {', '.join(map(str, found))}; "
            "name one of them"
        )
    return found[0]


def _training(model: Path) -> dict[str, Any]:
    """What the run's record says of the training, and which decoder the bundle was made of."""
    facts: dict[str, Any] = {"decoder_sha256": sha256_file(model / MANIFEST)}
    record = model.parents[1] / "run.json" if len(model.parents) > 1 else None
    if record is not None and record.is_file():
        run = read_json(record)
        facts["seed"] = model.parent.name
        facts["run"] = {name: run.get(name) for name in ("versions", "commit", "data")}
    return facts
