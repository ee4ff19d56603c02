"""On the rig: no torch, nothing of the training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from streaming_cases import bundle, faulty

from realm.streaming import StreamingDecoder

WITHOUT_TRAINING = """
import sys
ABSENT = ("torch", "torch_brain", "pydantic", "ray", "h5py", "pynwb", "typer", "rich",
          "sklearn", "matplotlib", "accelerate", "huggingface_hub")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ABSENT:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import numpy as np
from realm.streaming import StreamingDecoder
decoder = StreamingDecoder.load(sys.argv[1])
assert (decoder.engine, decoder.signal_engine) == ("numba", "numba")
samples = np.load(sys.argv[2])
state, parts = decoder.initial_state(), []
for at in range(0, len(samples), 7):
    decoded, state = decoder.step(samples[at : at + 7], state)
    parts.append(decoded.behavior)
np.save(sys.argv[3], np.concatenate(parts))
decoder.save_state(state, sys.argv[4])
"""


def test_a_bundle_decodes_where_nothing_of_the_training_is_installed(tmp_path: Path) -> None:
    made, x = bundle(lookahead_bins=1), faulty(1500)
    made.save(tmp_path / "bundle")
    np.save(tmp_path / "x.npy", x)
    names = ("bundle", "x.npy", "y.npy", "state")
    subprocess.run(
        [sys.executable, "-c", WITHOUT_TRAINING, *(str(tmp_path / name) for name in names)],
        timeout=120, check=True,
    )  # fmt: skip
    decoder = StreamingDecoder(made)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), decoder.forward(x).behavior)
    assert decoder.load_state(tmp_path / "state").bins == made.chain.n_bins(1500)
