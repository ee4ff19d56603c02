"""Twenty files with a planted fault each, drawn by a seed: found, named, and mended as told.

Every mender does what the message says, with the words and numbers of the message and no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realm.inspection.inspection import inspect_recording

RATE, HAND_HZ, SECONDS = 250, 50, 60


@dataclass
class Lab:
    """Arrays of one recording and its description, before they are written."""

    arrays: dict[str, np.ndarray]
    samples: dict[str, Any]
    hand: dict[str, Any]
    channels: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        np.savez(folder / "day.npz", **self.arrays)
        parts = {"samples": self.samples, "channels": self.channels, "behavior.hand": self.hand}
        lines = []
        for name, part in parts.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {value!r}".replace("'", '"') for key, value in part.items()]
        (folder / "day.toml").write_text("\n".join(lines))
        return folder / "day.npz"


def clean(rng: np.random.Generator) -> Lab:
    """A minute of four channels that follow a hand, with timestamps for both."""
    n, m = RATE * SECONDS, HAND_HZ * SECONDS
    hand = np.cumsum(np.cumsum(rng.normal(0, 1, (m, 2)), axis=0) * 0.01, axis=0)
    hand = hand - np.linspace(0, 1, m)[:, None] * hand[-1]
    lfp = np.cumsum(rng.normal(0, 6, (n, 4)), axis=0)
    lfp = lfp - np.stack([np.convolve(x, np.ones(250) / 250, "same") for x in lfp.T], axis=1)
    arrays = {"lfp": lfp + rng.normal(0, 10, (n, 4)), "t": np.arange(n) / RATE}
    arrays |= {"hand": hand, "when": np.arange(m) / HAND_HZ}
    samples = {"array": "lfp", "axes": ["time", "channel"], "unit": "uV", "timestamps": "t"}
    shown = {"array": "hand", "axes": ["time", "channel"], "unit": "cm", "timestamps": "when"}
    return Lab(arrays, samples, shown)


def number(text: str, before: str, after: str = "") -> float:
    """The number that a message says between two words."""
    found = re.search(rf"{before}(-?[\d.]+(?:e[+-]?\d+)?){after}", text)
    assert found, f"no number after {before!r} in: {text}"
    return float(found[1])


def quoted(text: str, key: str) -> str:
    """The text that a message wants for a key of the description."""
    found = re.search(rf'{key} = "(\w+)"', text)
    assert found, f"no {key} in: {text}"
    return found[1]


Mend = Callable[[Lab, str], None]
Planted = tuple[str, Mend]  # the name of the fault, and what a user does who reads its message


def behavior_in_another_unit(lab: Lab, rng: np.random.Generator) -> Planted:
    lab.arrays["when"] *= rng.choice([1e3, 1e6])

    def mend(lab: Lab, text: str) -> None:
        lab.hand["time_unit"] = quoted(text, "time_unit")

    return "time_unit", mend


def samples_in_another_unit(lab: Lab, rng: np.random.Generator) -> Planted:
    lab.arrays["t"] *= rng.choice([1e3, 1e6])

    def mend(lab: Lab, text: str) -> None:
        lab.samples["time_unit"] = quoted(text, "time_unit")

    return "time_unit", mend


def shifted(lab: Lab, rng: np.random.Generator) -> Planted:
    lab.arrays["when"] += rng.choice([-1, 1]) * rng.uniform(2, 20)

    def mend(lab: Lab, text: str) -> None:
        lab.hand["offset_s"] = number(text, "offset_s = ")

    return "behavior_clock", mend


def another_speed(lab: Lab, rng: np.random.Generator) -> Planted:
    del lab.hand["timestamps"]
    lab.hand["rate_hz"] = round(HAND_HZ * float(rng.choice([0.5, 0.98, 0.99, 1.01, 1.25, 2])), 4)

    def mend(lab: Lab, text: str) -> None:
        lab.hand["rate_hz"] = number(text, "at ", " Hz they would fit")

    return "behavior_clock", mend


def swapped(lab: Lab, rng: np.random.Generator) -> Planted:
    lab.hand["axes"] = ["channel", "time"]

    def mend(lab: Lab, text: str) -> None:
        assert "swap the axes" in text
        lab.hand["axes"].reverse()

    return "transposed", mend


def packets(lab: Lab, rng: np.random.Generator) -> Planted:
    k = int(rng.integers(4, 60))
    i = np.arange(len(lab.arrays["t"]))
    lab.arrays["t"] = i // k * k / RATE + i % k * float(rng.choice([0.0, 1e-5]))

    def mend(lab: Lab, text: str) -> None:
        del lab.samples["timestamps"]
        lab.samples["rate_hz"] = number(text, "state their rate of ", " Hz")

    return "irregular_time", mend


def not_a_time(lab: Lab, rng: np.random.Generator) -> Planted:
    lab.arrays["when"][rng.integers(10, 2000)] = np.nan

    def mend(lab: Lab, text: str) -> None:
        bad = int(number(text, "at sample "))
        for name in ("when", "hand"):
            lab.arrays[name] = np.delete(lab.arrays[name], bad, axis=0)

    return "timestamps", mend


def another_length(lab: Lab, rng: np.random.Generator) -> Planted:
    lab.arrays["when"] = lab.arrays["when"][: -rng.integers(1, 50)]

    def mend(lab: Lab, text: str) -> None:
        assert "state a rate instead" in text
        del lab.hand["timestamps"]
        lab.hand["rate_hz"] = HAND_HZ

    return "timestamps", mend


def wrapped(lab: Lab, rng: np.random.Generator) -> Planted:
    turned = lab.arrays["when"] * rng.uniform(30, 90)
    lab.arrays["hand"] = (turned % 360)[:, None]
    lab.hand["unit"] = "deg"

    def mend(lab: Lab, text: str) -> None:
        assert "sine and its cosine" in text
        angle = np.deg2rad(lab.arrays["hand"])
        lab.arrays["hand"] = np.concatenate([np.sin(angle), np.cos(angle)], axis=1)

    return "wrapped_angle", mend


def not_an_electrode(lab: Lab, rng: np.random.Generator) -> Planted:
    t = lab.arrays["t"]
    signals = (
        1e6 * np.sin(t * 40),
        300.0 * (t % 3 < 0.2),
        200 * np.sin(np.floor(t * 10) / 10),
        200 * np.sin(t),
    )
    lab.arrays["lfp"][:, rng.integers(4)] = signals[rng.integers(4)]

    def mend(lab: Lab, text: str) -> None:
        found = re.search(r"channels\.leave_out = \[(.*?)\]", text)
        assert found
        lab.channels["leave_out"] = [name.strip('" ') for name in found[1].split(",")]

    return "odd_channel", mend


KINDS = (
    behavior_in_another_unit,
    samples_in_another_unit,
    shifted,
    another_speed,
    swapped,
    packets,
    not_a_time,
    another_length,
    wrapped,
    not_an_electrode,
)


def test_the_clean_recording_is_fit(tmp_path: Path) -> None:
    found = inspect_recording(clean(np.random.default_rng(0)).write(tmp_path))
    assert found.faults == ()


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_fault_is_found_named_and_mended(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng([14, seed])
    lab = clean(rng)
    name, mend = KINDS[seed % len(KINDS)](lab, rng)
    found = inspect_recording(lab.write(tmp_path))
    assert [fault.fault for fault in found.faults] == [name]
    assert not found.usable
    mend(lab, found.faults[0].text)
    mended = inspect_recording(lab.write(tmp_path))
    assert mended.faults == (), mended.faults
    assert mended.fit_for == ("pretrain", "decode")
