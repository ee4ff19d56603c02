"""Where numba cannot be used everything runs, slower, and says so once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from streaming_cases import bundle

WHOLE_WAY = """
import sys, warnings
if sys.argv[1] == "absent":
    sys.modules["numba"] = None
elif sys.argv[1] == "broken":
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "numba":
                raise SystemError("built for another numpy")
    sys.meta_path.insert(0, Broken())
import numpy as np
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    from realm.live import placing
    from realm.nn.mamba2 import Mamba2
    from realm.nn.recurrent import GRUEncoder
    from realm.nn.norms import RMSNorm
    from realm.streaming import StreamingDecoder
    import torch
    torch.set_num_threads(1)
    decoder = StreamingDecoder.load(sys.argv[2])
    decoder.forward(np.random.default_rng(0).normal(size=(200, decoder.bundle.chain.n_channels)))
    for layer in (Mamba2(8, 4, 4), GRUEncoder(8), RMSNorm(8)):
        layer(torch.zeros(2, 20, 8)).sum().backward()
ours = [str(each.message) for each in said if str(each.message).startswith("realm:")]
print(decoder.engine, decoder.signal_engine, type(placing.place).__name__, len(ours))
"""


@pytest.mark.parametrize("kind", ["absent", "broken", "disabled"])
def test_the_whole_way_without_numba(tmp_path: Path, kind: str) -> None:
    """Signal chain, student, live clock and training: one warning in all, and no stop."""
    bundle().save(tmp_path / "bundle")
    environment = dict(os.environ)
    if kind == "disabled":
        environment["NUMBA_DISABLE_JIT"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", WHOLE_WAY, kind, str(tmp_path / "bundle")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "numpy numpy function 1"
