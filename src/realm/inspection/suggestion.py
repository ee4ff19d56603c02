"""A recipe to begin with: bands the sampling rate allows, bin, window and target."""

from __future__ import annotations

import math
import tomllib
from typing import NamedTuple

from realm.data.behavior import Target
from realm.data.splits import GAP_S, TENTHS
from realm.inspection.content import POSITION_UNITS, BehaviorContent
from realm.inspection.lag import Lag, find_lag
from realm.recipe import Recipe, parse_recipe
from realm.recordings.recording import Recording, TimeSeries
from realm.signal import SignalConfig
from realm.signal.config import NARROWEST_HZ, SLOW_HZ, USABLE_SHARE

CANDIDATES_HZ = {
    "delta": (1.0, 4.0),
    "theta": (6.0, 11.0),
    "beta": (12.0, 30.0),
    "low_gamma": (30.0, 60.0),
    "high_gamma": (70.0, 170.0),
}
SLOW_RHYTHMS = ("delta", "theta")  # taken where they tell half as much as the best band
LOW_RATE_HZ = 400.0
TRACKED = 0.99  # a camera that never loses its subject knows this share of the bins
LONGEST_WINDOW_S = 3.0


class Suggestion(NamedTuple):
    """What to decode and from what.

    Attributes:
        behavior, target: the series and what of it.
        bin_ms, window_s, slow_hz, bands_hz: settings of the recipe.
        lag: what correlation with behavior said; None where too little was known.
        smoothing_s: of behavior before differentiation.
    """

    behavior: str
    target: Target
    smoothing_s: float
    bin_ms: float
    window_s: float
    slow_hz: tuple[float, float]
    bands_hz: dict[str, tuple[float, float]]
    lag: Lag | None


def suggest(recording: Recording, content: BehaviorContent, series: TimeSeries) -> Suggestion:
    """Settings for decoding `series` from `recording`.

    Raises:
        ValueError: the rate leaves no band.
    """
    rate = recording.sampling_rate_hz
    top = USABLE_SHARE * rate
    bin_ms = 10.0 if rate >= LOW_RATE_HZ else 20.0
    target, smoothing_s = _target(content)
    slow = (SLOW_HZ[0], min(SLOW_HZ[1], _down(top)))
    bands = {
        name: (low, min(high, _down(top)))
        for name, (low, high) in CANDIDATES_HZ.items()
        if min(high, _down(top)) - low >= min(NARROWEST_HZ, high - low)
    }
    signal = SignalConfig(
        preset="custom", bands_hz=bands, slow_hz=slow, bin_ms=bin_ms, reference="none"
    )
    lag = find_lag(recording, series, target, smoothing_s, signal)
    if lag is not None:
        best = max(lag.bands.values())
        bands = {n: b for n, b in bands.items() if n not in SLOW_RHYTHMS or lag.bands[n] > best / 2}
    else:
        bands = {n: b for n, b in bands.items() if n not in SLOW_RHYTHMS}
    duration_s = recording.n_samples / rate
    return Suggestion(
        content.path, target, smoothing_s, bin_ms, _window_s(duration_s), slow, bands, lag
    )


def recipe_text(suggestion: Suggestion, name: str, lfp: str | None) -> str:
    """The recipe as TOML, with the reasons beside the settings; it is checked on the way."""
    lookahead = ""
    if suggestion.lag is not None and suggestion.lag.lag_ms is not None:
        lag_ms = suggestion.lag.lag_ms
        word = "precede" if lag_ms >= 0 else "follow"
        lookahead = f"# Features {word} behavior by about {abs(lag_ms):.0f} ms, filters included."
        if lag_ms < 0:
            wait = math.ceil(-lag_ms / suggestion.bin_ms) * suggestion.bin_ms
            lookahead += f"\n# With lookahead_ms = {wait:g} in [distill] the output waits for them."
    bands = "\n".join(
        f"{n} = [{low:g}, {high:g}]" for n, (low, high) in suggestion.bands_hz.items()
    )
    text = _TEMPLATE.format(
        name=name,
        bin_ms=suggestion.bin_ms,
        low=suggestion.slow_hz[0],
        high=suggestion.slow_hz[1],
        bands=bands,
        behavior=_quoted(suggestion.behavior),
        target=suggestion.target,
        smoothing_s=suggestion.smoothing_s,
        window_s=suggestion.window_s,
        lag=lookahead,
        lfp="" if lfp is None else f"\nlfp = {_quoted(lfp)}",
    )
    return text.replace("\n\n\n", "\n\n")


def check_recipe(text: str, name: str) -> Recipe:
    """The recipe that `text` says."""
    return parse_recipe(tomllib.loads(text), name)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _target(content: BehaviorContent) -> tuple[Target, float]:
    """Velocity of a position, smoothed where sampled slowly; anything else as it is stored."""
    unit, path = content.unit.lower(), content.path.lower()
    moving = "vel" in path or "speed" in path or "/s" in unit
    position = unit in POSITION_UNITS or "position" in path
    if moving or not position or len(content.names) > 3:
        return "as_stored", 0.0
    tracked = content.rate_hz < 60 and content.known < TRACKED  # a camera that loses its subject
    return ("speed", 0.4) if tracked else ("velocity", 0.0 if content.rate_hz >= 60 else 0.1)


def _window_s(duration_s: float) -> float:
    """The longest window, in half seconds, that every split holds twice or at least once."""
    spare = duration_s * TENTHS["validation"] / 10 - 2 * GAP_S
    return max(1.0, min(LONGEST_WINDOW_S, math.floor(spare * 2) / 2))


def _down(hz: float) -> float:
    return math.floor(hz) if hz >= 10 else hz


_TEMPLATE = """\
# Suggested by `realm inspect` from one recording. Choose settings on validation time only.
name = "{name}"
seeds = [0]

[signal]
preset = "custom"
slow_hz = [{low:g}, {high:g}]
bin_ms = {bin_ms:g}
reference = "none"

# Below 0.45 of the sampling rate.
[signal.bands_hz]
{bands}

{lag}
[data]{lfp}
behavior = {behavior}
target = "{target}"
smoothing_s = {smoothing_s:g}
window_s = {window_s:g}

# The teacher learns from the signal alone.
[pretrain]
teachers = 3
encoder = {{ layers = 2, d_model = 96, d_state = 16, headdim = 32 }}
mask = {{ hidden_share = 0.5, span_ms = [40, 200], channel_share = [0.1, 0.5] }}
whitening = 0.05
augmentation = {{ noise = 0.2, channel_dropout = 0.1, gain = 0.2 }}

[pretrain.optimization]
steps = 1000
batch_size = 12
learning_rate = 3e-3
muon_learning_rate = 6e-3
final_learning_rate = 0.02
validate_every = 200

# task_weight = 1: the sessions have labels. 0: only a new day will have some.
[distill]
task_weight = 1.0
encoder = {{ layers = 2, d_model = 96, d_state = 16, headdim = 32 }}
alignment = {{ kind = "mse", weight = 1.0 }}
augmentation = {{ noise = 0.2, channel_dropout = 0.1, gain = 0.2 }}

[distill.optimization]
steps = 1200
batch_size = 12
learning_rate = 4e-3
muon_learning_rate = 6e-3
final_learning_rate = 0.02
validate_every = 200

# A new day: everything may move, and nothing does where that is no better.
[calibrate]
train = "everything"

[calibrate.optimization]
steps = 300
batch_size = 8
learning_rate = 1e-3
warmup_steps = 20
validate_every = 50
patience = 4

[baselines]
methods = ["ridge", "gru", "scratch", "teacher_probe"]
"""
