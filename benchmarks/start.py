"""From nothing to the first output of a decoder: a new process, compiled code in its cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.endurance import TINY, made_decoder
from benchmarks.streaming import MIDDLE
from benchmarks.timing import Row, limit

AT_MOST_S = 1.0
STARTING = """
import sys, time
import numpy as np
from realm.streaming import StreamingDecoder
decoder = StreamingDecoder.load(sys.argv[1])
n = round(decoder.sampling_rate_hz * decoder.bin_ms / 1000)
samples = np.zeros((n, len(decoder.channel_names)))
decoded, _ = decoder.step(samples, decoder.initial_state())
assert len(decoded.behavior) == 1
print(time.process_time())
"""


def measure(quick: bool) -> list[Row]:
    """One row: processor time of a process that loads a bundle and decodes a bin."""
    size, rounds = (TINY, 1) if quick else (MIDDLE, 7)
    with TemporaryDirectory() as folder:
        made_decoder(size).bundle.save(Path(folder) / "bundle")
        command = [sys.executable, "-c", STARTING, str(Path(folder) / "bundle")]
        seconds = [
            float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            for _ in range(rounds + 1)
        ]
    name = f"New process to first output, {size.channels} channels"
    return [limit(name, np.array(seconds[1:]), "s", "a limit of 1 s", AT_MOST_S)]
