"""At real pace, a bin at a time with waiting between: caches grow cold, clocks slow down."""

from __future__ import annotations

import time

import numpy as np

from realm.certify.check import Curve, Finding, at_most, reading
from realm.certify.endurance import ALLOWED_SHARE, Stream, as_live
from realm.certify.step_times import StepTimes
from realm.certify.trial import Trial

WARM_UP = 50  # bins


def check_pace(trial: Trial) -> list[Finding]:
    """Step times while the samples come as from an amplifier."""
    decoder = trial.decoder
    bins = max(10, round(1000 * trial.effort.paced_s / decoder.bin_ms))
    steps, late = StepTimes(decoder.bin_ms), StepTimes(decoder.bin_ms)
    stream = Stream(decoder, trial.signal.samples)
    with as_live():
        begun = time.perf_counter()
        for bin_ in range(bins + WARM_UP):
            if bin_ % 50 == 0:
                trial.report(bin_, bins + WARM_UP)
            due = begun + (bin_ + 1) * decoder.bin_ms / 1000
            time.sleep(max(0.0, due - time.perf_counter()))
            taken = stream.step()
            if bin_ >= WARM_UP:
                steps.add(np.array([1000 * taken]))
                late.add(np.array([1000 * (time.perf_counter() - due)]))
    text = f"{bins} bins at real pace, {decoder.bin_ms:g} ms each"
    return [
        at_most(
            "step time at real pace, p99",
            steps.at(99),
            "ms",
            ALLOWED_SHARE * decoder.bin_ms,
            text,
        ),
        reading("step time at real pace, p50", steps.at(50), "ms", text),
        reading(
            "output after its bin ended, p99",
            late.at(99),
            "ms",
            f"{text}, with the time that the system takes to wake the process",
        ),
        Curve(
            "Time of one step at real pace",
            *steps.bars(),
            "ms",
            "steps, log scale",
            decoder.bin_ms,
            "one bin",
        ),
    ]
