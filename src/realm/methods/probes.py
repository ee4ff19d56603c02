"""Probes: what a frozen self-supervised network knows about behavior, read out by ridge.

The networks see the whole recording, so neither could run live. Each is pretrained without being
told what a probe is good for; the linear readout is fitted to every session's own labels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.files import sha256_json
from realm.methods.experiment import (
    Decode,
    Decoding,
    Experiment,
    deployed_parameters,
    fit_to_labels,
)
from realm.methods.masked_transformer import encode_recording, pretrain_masked_transformer
from realm.methods.ridge import LinearProbe
from realm.nn.patch_transformer import PatchTransformer
from realm.training.build import session_info
from realm.training.latents import encode_session

MAE = "transformer_mae_probe"


def teacher_probe_method(experiment: Experiment) -> Decode:
    """Ridge on the frozen latents of the teacher."""
    teacher = experiment.teacher
    return _probe(
        experiment,
        lambda session: encode_session(teacher, session),
        lambda session_id: deployed_parameters(teacher, session_id),
        experiment.teacher_cpu_s,
    )


def transformer_mae_probe_method(experiment: Experiment) -> Decode:
    """Ridge on the frozen latents of a masked-autoencoding Transformer over patches of channels."""
    ours, window_bins = experiment.baselines.transformer_mae_probe, experiment.source.window_bins
    network = new_patch_transformer(experiment)
    source, validation = (
        WindowSource(
            experiment.sessions,
            split,
            window_bins=window_bins,
            batch_size=ours.optimization.batch_size,
            seed=experiment.seed,
        )
        for split in ("train", "validation")
    )
    result = pretrain_masked_transformer(
        network,
        source,
        validation,
        ours.mask,
        ours.augmentation,
        ours.optimization,
        experiment.folder / MAE,
        seed=experiment.seed,
        fingerprint=pretraining_of(experiment),
        report=experiment.report,
    )
    network.cpu()

    def parameters(session_id: str) -> int:
        own = network.session_parameters(session_id)
        return sum(p.numel() for p in [*network.encoder.parameters(), *own])

    return _probe(
        experiment, lambda session: encode_recording(network, session), parameters, result.cpu_s
    )


def new_patch_transformer(experiment: Experiment) -> PatchTransformer:
    """An untrained network of the experiment's sessions, its weights drawn from the seed."""
    ours = experiment.baselines.transformer_mae_probe
    torch.manual_seed(experiment.seed)
    return PatchTransformer(
        [session_info(session) for session in experiment.sessions],
        experiment.source.window_bins,
        d_model=ours.d_model,
        layers=ours.layers,
        headdim=ours.headdim,
        patch_channels=ours.patch_channels,
    )


def pretraining_of(experiment: Experiment) -> str:
    """Fingerprint of what the Transformer's pretraining depends on: no labels, no student."""
    made_from = ("input_sha256", "config_sha256")
    sessions = [[s.provenance[name] for name in made_from] for s in experiment.sessions]
    settings = experiment.baselines.transformer_mae_probe.model_dump(mode="json")
    windows = {"bins": experiment.source.window_bins, "seed": experiment.seed}
    return sha256_json({"sessions": sessions, "windows": windows, "settings": settings})


def _probe(
    experiment: Experiment,
    encode: Callable[[PreparedSession], NDArray[Any]],
    parameters: Callable[[str], int],
    pretraining_cpu_s: float,
) -> Decode:
    """Ridge on the latents (n_bins, width) that `encode` gives for a session."""

    def decode(session: PreparedSession) -> Decoding:
        begun = time.perf_counter()
        latents = encode(session)
        cost = (time.perf_counter() - begun) / max(1, session.n_bins) * 1e6
        start = time.process_time()
        probe = LinearProbe()
        fit_to_labels(probe, session, latents, experiment.label_s)
        cpu_s = pretraining_cpu_s + time.process_time() - start
        deployed = parameters(session.session_id) + probe.parameters
        return Decoding(probe.predict(latents), deployed, cpu_s, cost, math.inf)

    return decode
