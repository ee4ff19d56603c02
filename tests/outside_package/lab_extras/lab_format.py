"""A file format: .lab, a container of numpy arrays with volts and the position of a hand."""

from pathlib import Path

import numpy as np

from realm.recordings.grid import at_rate
from realm.recordings.open import Format, has_suffix
from realm.recordings.recording import NamedBehavior, Recording, Signal, TimeSeries


def write_lab(path: Path, session) -> Path:
    with path.open("wb") as stream:
        np.savez(
            stream,
            volts=1e-6 * session.lfp_uv,
            rate_hz=session.sampling_rate_hz,
            hand_s=session.behavior.timestamps_s,
            hand=session.behavior.values,
        )
    return path


def open_lab(path: Path, lfp_path: str | None = None) -> Recording:
    with np.load(path) as file:
        volts, rate_hz = file["volts"], float(file["rate_hz"])
        hand = TimeSeries(file["hand_s"], file["hand"], "m", ("x", "y"))
    n = volts.shape[1]
    signal = Signal(
        "volts",
        at_rate(rate_hz, 0.0, len(volts)),
        tuple(f"ch{i}" for i in range(n)),
        ("",) * n,
        (False,) * n,
        64,
        lambda first, stop: volts[first:stop],
    )
    behavior = NamedBehavior({"behavior/Position/hand": lambda: hand})
    return Recording(path, (path.stem, "one"), signal, (behavior,), lambda: None)


LAB = Format("lab", has_suffix(".lab"), "lab_extras.lab_format:open_lab")
