"""How long a restart takes: from nothing to the first output, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from realm.certify.check import Finding, at_most, not_measured, reading
from realm.certify.trial import Trial

LONGEST_S = 30.0
TIMEOUT_S = 300.0

STARTING = """
import time
begun = time.perf_counter()
import sys
import numpy as np
from realm.streaming import StreamingDecoder
decoder = StreamingDecoder.load(sys.argv[1])
bins = 1 + decoder.bundle.lookahead_bins
n = int(np.ceil(bins * decoder.sampling_rate_hz * decoder.bin_ms / 1000))
samples = np.random.default_rng(0).normal(size=(n, len(decoder.channel_names))) * 1e-5
first = time.perf_counter()
decoded, _ = decoder.step(samples, decoder.initial_state())
assert len(decoded.behavior) >= 1
end = time.perf_counter()
print(end - begun, end - first)
"""


def check_start(trial: Trial) -> list[Finding]:
    """Load the bundle in a new process and decode one bin."""
    name = "from start to first output"
    try:
        done = subprocess.run(
            [sys.executable, "-c", STARTING, str(trial.folder)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        why = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
        return [not_measured(name, "s", LONGEST_S, why)]
    whole, first = (float(value) for value in done.stdout.split()[-2:])
    text = "a new process: libraries loaded, bundle verified, compiled code read, one bin decoded"
    return [
        at_most(name, whole, "s", LONGEST_S, text),
        reading("first step", 1e3 * first, "ms", "the first call after loading, in that process"),
    ]
