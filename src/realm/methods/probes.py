"""Probes: what a frozen self-supervised network knows about behavior, read out by ridge.

The networks see the whole recording, so none could run live. Each is pretrained without being
told what a probe is good for; the linear readout is fitted to every session's own labels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.methods.bidirectional import LARGE
from realm.methods.complexity import Complexity, teacher_complexity
from realm.methods.experiment import (
    Decode,
    Decoding,
    Experiment,
    deployed_parameters,
    fit_to_labels,
)
from realm.methods.method import Design, Method, OneOf
from realm.methods.networks import sizes, trained_by_itself
from realm.methods.ridge import LinearProbe
from realm.training.build import new_teacher
from realm.training.latents import encode_session

HIDDEN = OneOf((0.2, 0.3, 0.5, 0.7))  # shares of hidden entries that a tuning draws


def probe(
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
        readout = LinearProbe()
        fit_to_labels(readout, session, latents, experiment.label_s)
        cpu_s = pretraining_cpu_s + time.process_time() - start
        deployed = parameters(session.session_id) + readout.parameters
        return Decoding(readout.predict(latents), deployed, cpu_s, cost, math.inf)

    return decode


def _train(experiment: Experiment, settings: None) -> Decode:
    teacher = experiment.teacher
    return probe(
        experiment,
        lambda session: encode_session(teacher, session),
        lambda session_id: deployed_parameters(teacher, session_id),
        experiment.teacher_cpu_s,
    )


def _complexity(design: Design, settings: None) -> Complexity:
    config = design.pretrain.encoder
    network = new_teacher(design.sessions, {}, config, 0)
    return teacher_complexity(network, design.widest.session_id, config.d_model * design.dims)


TEACHER_PROBE = Method(
    "teacher_probe",
    _train,
    complexity=_complexity,
    order=130,
    colour="#0072B2",
    marker="v",
    space={
        **trained_by_itself("pretrain"),
        **sizes("pretrain.encoder", *LARGE),
        "pretrain.mask.hidden_share": HIDDEN,
    },
    recipe_parts=("pretrain",),
    needs_teacher=True,
)
