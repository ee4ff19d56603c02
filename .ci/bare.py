"""Install a wheel by its file name into an environment of its own, and decode a replay there.

    python .ci/bare.py dist/realm_lfp-0.1.0-py3-none-any.whl [EXTRA ...]

Without extras the environment has what a rig needs and nothing else: no torch, no compiler. The
bundle has random weights; `benchmarks/made_up.py` makes it with the installed package.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 5
REPLAY = ["--source", "replay:day.safetensors?speed=max", "--sink", "csv:day.csv"]
FULL = {"train", "all"}  # extras that bring torch


def main(wheel: str, *extras: str) -> None:
    """Make the environment, install, and run `inside` with it, in an empty folder."""
    with tempfile.TemporaryDirectory(prefix="realm-bare-") as name:
        place = Path(name)
        venv.create(place / "env", with_pip=True)
        folder = place / "env" / ("Scripts" if os.name == "nt" else "bin")
        python = folder / ("python.exe" if os.name == "nt" else "python")
        wanted = str(Path(wheel).resolve()) + (f"[{','.join(extras)}]" if extras else "")
        subprocess.run([python, "-m", "pip", "install", "--quiet", wanted], check=True)
        empty = place / "empty"
        empty.mkdir()
        told = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        steps: list[list[str | Path]] = [
            [python, Path(__file__).resolve(), "--inside", *extras],
            [folder / "realm", "live", "bundle", *REPLAY],
        ]
        for step in steps:
            subprocess.run(step, cwd=empty, env=told, check=True)
        rows = (empty / "day.csv").read_text(encoding="utf-8").splitlines()[1:]
        decoded = [row for row in rows if row.split(",")[2]]
        expected = SECONDS * 100
        if not expected <= len(decoded) <= expected + 2:
            raise SystemExit(f"{wheel}: expected {expected} decoded rows, got {len(decoded)}")
        print(f"{wheel} {' '.join(extras)}: {len(decoded)} rows decoded in a bare environment")


def inside(*extras: str) -> None:
    """With the installed package: a bundle and a recording, made without torch."""
    import importlib.util

    import numpy as np

    import realm
    from realm.live.sources.recording_file import RecordingInfo, write_recording

    if ROOT in Path(realm.__file__).parents:
        raise SystemExit(f"expected the installed package, got {realm.__file__}")
    if not FULL & set(extras) and importlib.util.find_spec("torch"):
        raise SystemExit("expected an environment without torch, found it")
    sys.path.append(str(ROOT))  # for what makes the bundle; the package is not there
    from benchmarks.made_up import RATE_HZ, TINY, VOLTS, made_decoder

    decoder = made_decoder(TINY)
    decoder.bundle.save("bundle")
    n = round(SECONDS * RATE_HZ)
    samples = VOLTS * np.random.default_rng(1).normal(size=(n, TINY.channels))
    names = decoder.bundle.chain.channel_names
    info = RecordingInfo("day", names, "V", RATE_HZ, (), "")
    write_recording("day.safetensors", info, n, [(samples, np.arange(n) / RATE_HZ)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
