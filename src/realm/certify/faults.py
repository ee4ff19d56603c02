"""What goes wrong with samples on a rig, put into a copy of a good signal."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Channels = NDArray[np.int64]
Harm = Callable[[Samples], None]  # changes the samples that it is given, (samples, channels)


class Fault(NamedTuple):
    """One kind of fault: how long it lasts, on which share of the channels, and what it does."""

    name: str
    lasts_s: float  # 0: one sample
    share: float  # of the channels; 0: one channel
    harm: Harm


def _value(value: float) -> Harm:
    def harm(samples: Samples) -> None:
        samples[:] = value

    return harm


def _flat(samples: Samples) -> None:
    samples[:] = samples[0]


def _microvolts(samples: Samples) -> None:
    with np.errstate(over="ignore"):
        samples *= 1e6


def _swapped(samples: Samples) -> None:
    samples[1::2] = np.inf
    samples[::2] = -np.inf


FAULTS = (
    Fault("one NaN", 0, 0, _value(np.nan)),
    Fault("NaN on all channels, one sample", 0, 1, _value(np.nan)),
    Fault("one infinity", 0, 0, _value(np.inf)),
    Fault("infinities of both signs, 100 ms", 0.1, 0.25, _swapped),
    Fault("one spike of a volt", 0, 0, _value(1.0)),
    Fault("a spike of a volt on all channels", 0, 1, _value(1.0)),
    Fault("the largest number there is", 0, 0, _value(np.finfo(np.float64).max)),
    Fault("flat for 1 s, a tenth of the channels", 1.0, 0.1, _flat),
    Fault("saturated for 500 ms, a tenth of the channels", 0.5, 0.1, _value(5e-3)),
    Fault("microvolts as volts for 500 ms, all channels", 0.5, 1, _microvolts),
    Fault("gap of 500 ms", 0.5, 1, _value(np.nan)),
)


def harmed(
    samples: Samples,
    fault: Fault,
    at: int,
    rate_hz: float,
    usable: Channels,
    rng: np.random.Generator,
) -> tuple[Samples, int]:
    """A copy with the fault from sample `at` on, on random usable channels; the sample after it.

    A fault of all channels is also one of those that were dead before.
    """
    channels = np.arange(samples.shape[1])
    if fault.share < 1 and len(usable):
        count = max(1, int(fault.share * len(usable)))
        channels = rng.choice(usable, count, replace=False)
    stop = at + max(1, round(fault.lasts_s * rate_hz))
    changed = samples.copy()
    part = changed[at:stop, channels]
    fault.harm(part)
    changed[at:stop, channels] = part
    return changed, stop


def disturbed(
    samples: Samples, rate_hz: float, usable: Channels, rng: np.random.Generator
) -> Samples:
    """A copy with a few faults of any kind at random places."""
    for _ in range(int(rng.integers(1, 5))):
        fault = FAULTS[int(rng.integers(len(FAULTS)))]
        samples, _ = harmed(samples, fault, int(rng.integers(len(samples))), rate_hz, usable, rng)
    return samples
