"""The parts of a certificate, in their order. A new check is a function here, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from realm.certify.causality import check_causality
from realm.certify.check import Finding
from realm.certify.chunking import check_chunking, check_resuming
from realm.certify.dead_channels import read_dead_channels
from realm.certify.endurance import check_endurance
from realm.certify.integrity import check_integrity
from realm.certify.likeness import read_likeness
from realm.certify.pace import check_pace
from realm.certify.precision import check_precision
from realm.certify.recovery import check_quorum, check_recovery
from realm.certify.sockets import check_sockets
from realm.certify.start import check_start
from realm.certify.trial import Trial
from realm.certify.truth import read_truth


class Part(NamedTuple):
    """One section of the certificate."""

    title: str
    question: str  # that it answers
    run: Callable[[Trial], list[Finding]]


PARTS = (
    Part("Signal", "Is the signal of this trial like that of the training?", read_likeness),
    Part("Bundle", "Are the files whole, and is damage noticed?", check_integrity),
    Part("Causality", "Does anything that comes later change an output?", check_causality),
    Part("Chunks", "Does the output depend on how samples arrive?", check_chunking),
    Part("Resuming", "Does a saved stream go on as if never stopped?", check_resuming),
    Part("Precision", "Is what runs live what was trained?", check_precision),
    Part("Faults", "Is the output finite under faults, and soon right again?", check_recovery),
    Part("Quorum", "Is there an honest output when too few channels are left?", check_quorum),
    Part("Dead channels", "What remains of the output when channels die?", read_dead_channels),
    Part("Accuracy", "How well is behavior decoded from the recording?", read_truth),
    Part("Start", "How soon is there an output after a restart?", check_start),
    Part("Real pace", "Is a step in time when samples come as from an amplifier?", check_pace),
    Part("Endurance", "Do latency and memory stay as they are?", check_endurance),
    Part("Network", "Does decoding talk to anybody?", check_sockets),
)
