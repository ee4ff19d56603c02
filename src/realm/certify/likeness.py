"""Whether the signal of a trial is like that of the training, so that the rest means something."""

from __future__ import annotations

import numpy as np

from realm.certify.check import Finding, reading
from realm.certify.trial import Trial
from realm.signal.normalize import CLIP

SETTLED_S = 3.0
STRETCH_S = 30.0


def read_likeness(trial: Trial) -> list[Finding]:
    """Normalized features: in training, mean 0, deviation 1 and hardly any at the clip."""
    chain = trial.decoder.bundle.chain
    settled = chain.n_bins(round(SETTLED_S * trial.rate_hz))
    x = trial.piece(trial.rng("likeness"), SETTLED_S + STRETCH_S)
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
