"""On the rig: no torch, nothing of the training, nothing but what the base installation brings."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import numpy as np
from streaming_cases import RATE_HZ, bundle, faulty

from realm.live.sources.recording_file import Piece, RecordingInfo, Truth, write_recording
from realm.streaming import StreamingDecoder

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

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
        timeout=120,
        check=True,
    )
    decoder = StreamingDecoder(made)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), decoder.forward(x).behavior)
    assert decoder.load_state(tmp_path / "state").bins == made.chain.n_bins(1500)


WITH_THE_BASE_ALONE = """
import sys
PRESENT = {"realm", *sys.stdlib_module_names, *sys.argv[1].split(",")}
class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in PRESENT and not top.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=top)
sys.meta_path.insert(0, Absent())
sys.argv = ["realm", *sys.argv[2:]]
from realm.cli import main
try:
    main()
finally:
    assert not {"torch", "h5py", "zmq", "pyarrow"} & set(sys.modules)
"""


def base_modules() -> set[str]:
    """Top-level modules of the base dependencies and of what they need themselves."""
    listed = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    waiting, found = {distribution(line) for line in listed}, set[str]()
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # for another system or version of Python
            continue
        waiting |= {distribution(line) for line in needed if "extra ==" not in line} - found
    modules = packages_distributions().items()
    return {module for module, owners in modules if {distribution(o) for o in owners} & found}


def distribution(requirement: str) -> str:
    named = re.match(r"[\w.-]+", requirement)
    assert named is not None
    return re.sub(r"[-_.]+", "-", named[0]).lower()


def test_the_base_modules_are_few() -> None:
    found = base_modules()
    assert {"numpy", "scipy", "numba", "safetensors", "typer", "rich"} <= found
    assert not found & {"torch", "h5py", "pynwb", "pyarrow", "zmq", "aiohttp", "pylsl", "onnx"}


def test_realm_live_decodes_a_replay_with_the_base_installation(tmp_path: Path) -> None:
    made, x = bundle(lookahead_bins=1), faulty(3000).astype(np.float32)
    made.save(tmp_path / "bundle")
    k = np.arange(made.chain.n_bins(len(x)))
    write_recording(
        tmp_path / "day7.safetensors",
        RecordingInfo("rat-1", made.chain.channel_names, "V", RATE_HZ, ("x", "y"), "m/s"),
        len(x),
        [Piece(x, np.arange(len(x)) / RATE_HZ)],
        Truth((k + 1) * 0.01, np.stack([k, -k], axis=1).astype(np.float32)),
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            WITH_THE_BASE_ALONE,
            ",".join(sorted(base_modules())),
            "live",
            str(tmp_path / "bundle"),
            "--sink",
            f"csv:{tmp_path / 'day7.csv'}",
            "--source",
            f"replay:{tmp_path / 'day7.safetensors'}?speed=max",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "day7.csv").open() as stream:
        rows = {int(row["bin"]): row for row in csv.DictReader(stream)}
    expected = StreamingDecoder(made).forward(x).behavior
    decoded = [i for i, row in rows.items() if row["neutral"] == row["held"] == "0"]
    assert len(decoded) > len(expected) / 3
    for i in decoded:
        found = [float(rows[i][f"{name} [m/s]"]) for name in ("x", "y")]
        np.testing.assert_allclose(found, expected[i], rtol=1e-6, atol=1e-7)
        assert float(rows[i]["true_x [m/s]"]) == i
