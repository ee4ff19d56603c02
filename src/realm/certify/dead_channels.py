"""What remains of the output when channels die."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realm.certify.agreement import r2
from realm.certify.check import Finding, reading
from realm.certify.trial import Trial

SHARES = (0.1, 0.25, 0.5)
SETTLED_S = 3.0  # filters at rest and dead channels masked
STRETCH_S = 15.0

Channels = NDArray[np.int64]


def read_dead_channels(trial: Trial) -> list[Finding]:
    """Agreement with the undisturbed output, channels drawn at random and flat from the start."""
    rng, decoder, draws = trial.rng("dead channels"), trial.decoder, trial.effort.draws
    usable = trial.usable
    settled = decoder.n_outputs(round(SETTLED_S * trial.rate_hz))
    kept: dict[float, list[float]] = {share: [] for share in SHARES}
    for _ in trial.counted(draws):
        x = trial.piece(rng, STRETCH_S)
        whole = decoder.forward(x).behavior[settled:]
        for share in SHARES:
            hurt = x.copy()
            hurt[:, dying(usable, share, rng)] = 0.0
            kept[share].append(r2(whole, decoder.forward(hurt).behavior[settled:]))
    return [
        reading(
            f"output with {100 * share:g}% of the channels dead",
            float(np.median(kept[share])),
            "R²",
            f"{count(usable, share)} of {len(usable)} usable channels; agreement with the output "
            f"of all channels, median of {draws} draws",
        )
        for share in SHARES
    ]


def count(usable: Channels, share: float) -> int:
    """How many channels die: at least one, if there is one."""
    return min(len(usable), max(1, int(share * len(usable))))


def dying(usable: Channels, share: float, rng: np.random.Generator) -> Channels:
    """Which channels die."""
    return rng.choice(usable, count(usable, share), replace=False)
