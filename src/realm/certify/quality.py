"""Whether the quality record of a bin says what was wrong with its samples."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from realm.certify.check import Finding, Trial, at_most
from realm.signal.normalize import CLIP
from realm.streaming.quality import BAD_SHARE, Quality

STRETCH_S = 4.0
LONGEST_S = 0.3  # of missing samples: no channel is masked
FIELDS = tuple(name for name in Quality._fields if name != "restarted")


def check_quality(trial: Trial) -> list[Finding]:
    """Take samples away and compare every field with what follows from their places."""
    rng, decoder, clock = trial.rng("quality"), trial.decoder, trial.clock
    bins, n = 0, max(4, trial.effort.trials // 5)
    wrong, longest = dict.fromkeys(FIELDS, 0), round(LONGEST_S * trial.rate_hz)
    for number in trial.counted(n):
        x = trial.piece(rng, STRETCH_S).copy()
        clean = decoder.forward(x).quality.filled
        missing = np.zeros(x.shape, bool)
        for _ in range(3):
            at, length = (int(rng.integers(1, most)) for most in (len(x), longest))
            share = rng.choice([0.1, 0.6, 1.0]) if number % 2 else 0.2
            missing[at : at + length, rng.random(x.shape[1]) < share] = True
        x[missing] = np.nan
        found = decoder.forward(x).quality
        last = clock.outputs(len(x)) + clock.lookahead_bins
        ends = [clock.samples(k) for k in range(last + 1)]
        filled = np.array([missing[a:b].mean(axis=0) for a, b in pairwise(ends)])
        filled = filled[clock.lookahead_bins :]
        dead = np.setdiff1d(np.arange(x.shape[1]), trial.usable)
        filled[:, dead] = 1.0
        sure = (clean[: len(filled)][:, trial.usable] == 0).all(axis=1)  # nothing else is replaced
        if len(found.bin) != len(filled):
            wrong["bin"] += len(filled)
            continue
        features = decoder.bundle.chain.plain().forward(x).values[clock.lookahead_bins :]
        expected = _expected(trial, filled, features)
        for name, value in expected.items():
            got = getattr(found, name)
            close = np.isclose(got, value) if got.dtype.kind == "f" else got == value
            wrong[name] += int((~close.reshape(len(close), -1).all(axis=1) & sure).sum())
        bins += int(sure.sum())
    worst = ", ".join(name for name, count in wrong.items() if count) or "none"
    return [
        at_most(
            "fields of the quality record that are wrong",
            sum(map(bool, wrong.values())),
            "fields",
            0,
            f"{len(FIELDS)} fields of {bins} bins, samples taken away at random; wrong: {worst}",
            "replaced samples that are not told, a bad channel that counts as good, a neutral "
            "value without its flag",
        )
    ]


def _expected(
    trial: Trial, filled: NDArray[np.float64], features: NDArray[np.float64]
) -> dict[str, NDArray[np.generic]]:
    usable, channels = trial.usable, filled.shape[1]
    dead = channels - len(usable)
    bad = (filled[:, usable] > BAD_SHARE).sum(axis=1) + dead
    quorum = trial.decoder.bundle.quorum
    return {
        "bin": np.arange(len(filled)),
        "filled": filled,
        "filled_share": filled[:, usable].mean(axis=1),
        "bad_channels": bad,
        "clipped_channels": (np.abs(features) >= CLIP).any(axis=2).sum(axis=1),
        "gap": (filled[:, usable] == 1).all(axis=1),
        "neutral": (channels - bad) / max(1, len(usable)) < quorum,
    }
