"""Simulated sessions with a known answer, for the demo and the tests.

The generative model, per session (one subject, one day):

1. *Arm.* A hand moves in a plane in minimum-jerk reaches (Flash and Hogan 1985). "self_paced":
   targets drawn uniformly from a 20 cm square, pauses of 0.15 s plus an exponential of mean 0.35 s.
   "center_out": from the centre to one of eight targets 8 cm away and back, with the same pauses.
   A reach lasts 0.35 s plus 1.5 s per metre, times a log-normal factor.
2. *Drive.* Cortex leads the hand by 100 ms: the latents are velocity, speed and a movement envelope
   (speed through a saturating function), all taken 100 ms ahead of the recorded hand.
3. *Channels.* Channel c has a preferred direction and random strengths of each effect below. On
   every later day the preferred directions take one step of a random walk and the strengths are
   multiplied by a log-normal factor: weights drift.
4. *LFP* in microvolts is the sum of
   - 1/f² background: a private part for each channel, and a shared part with random weights;
   - a slow movement potential: the velocity along the preferred direction plus some speed,
     smoothed over 100 ms;
   - beta (20 Hz band noise) that shrinks while the hand moves;
   - high gamma (70 to 170 Hz band noise, cut to what the rate allows) whose amplitude follows the
     velocity along the preferred direction, rectified, and the speed;
   - one common noise that is the same on all channels, line noise at 50 Hz, and white noise.
   A dead channel holds white noise of 0.01 microvolt only.
5. *Spikes.* Counts per behavior sample are Poisson with a rate that is log-linear in the velocity
   along the same preferred direction and in speed.

No decoder was consulted in choosing these numbers, and none should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.recordings.recording import TimeSeries
from realm.simulation.synthesis import (
    PEAK_SPEED_M_S,
    Array,
    Tuning,
    local_field,
    reach_path,
    spike_counts,
)

LEAD_S = 0.1


@dataclass(frozen=True)
class SimulationConfig:
    """How much to simulate.

    Attributes:
        subjects, days: sessions per subject are consecutive days with drifting weights.
        duration_s: of each session.
        channels: per subject, dead ones included.
        dead_channels: how many channels of each subject are dead, on all days.
        sampling_rate_hz, behavior_rate_hz: the first is a multiple of the second.
        task: "self_paced" or "center_out".
        drift: size of one day's step, in radians of preferred direction and log strength.
        seed: of everything.
    """

    subjects: int = 2
    days: int = 3
    duration_s: float = 120.0
    channels: int = 16
    dead_channels: int = 1
    sampling_rate_hz: float = 500.0
    behavior_rate_hz: float = 100.0
    task: Literal["self_paced", "center_out"] = "self_paced"
    drift: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        step = self.sampling_rate_hz / self.behavior_rate_hz
        if self.sampling_rate_hz < 100 or step != round(step):
            raise ValueError(
                "expected sampling_rate_hz of 100 or more and a multiple of behavior_rate_hz, got "
                f"{self.sampling_rate_hz} and {self.behavior_rate_hz}; choose for instance 500, 100"
            )
        if not 0 <= self.dead_channels < self.channels:
            raise ValueError(
                f"expected dead_channels from 0 to {self.channels - 1}, got {self.dead_channels}; "
                "leave at least one channel alive"
            )
        if self.task not in ("self_paced", "center_out"):
            raise ValueError(
                f"expected task to be 'self_paced' or 'center_out', got {self.task!r}; choose one"
            )
        if min(self.subjects, self.days) < 1 or self.duration_s < 1:
            raise ValueError(
                "expected at least 1 subject, 1 day and 1 s, got "
                f"{self.subjects}, {self.days}, {self.duration_s} s; raise them"
            )


class Latents(NamedTuple):
    """The truth behind a session, on the behavior clock.

    Attributes:
        velocity: (n, 2) metres per second, of the hand `LEAD_S` later.
        speed: (n,) its length.
        movement: (n,) envelope from 0 (rest) to 1.
        tuning: the weights.
    """

    velocity: Array
    speed: Array
    movement: Array
    tuning: Tuning


class SimulatedSession(NamedTuple):
    """One simulated recording.

    Attributes:
        session_id, subject: for instance "simA_day0" and "simA".
        sampling_rate_hz: of the LFP.
        lfp_uv: (samples, channels) microvolts.
        channel_names, regions: one entry per channel.
        bad_channels: flags as an experimenter would write them; the dead channels are not flagged.
        dead_channels: the truth, (channels,) bool.
        behavior: hand position in metres.
        spike_counts: (n, channels) per behavior sample.
        latents: the truth.
    """

    session_id: str
    subject: str
    sampling_rate_hz: float
    lfp_uv: Array
    channel_names: tuple[str, ...]
    regions: tuple[str, ...]
    bad_channels: tuple[bool, ...]
    dead_channels: NDArray[np.bool_]
    behavior: TimeSeries
    spike_counts: NDArray[np.uint8]
    latents: Latents


def simulate(config: SimulationConfig) -> Iterator[SimulatedSession]:
    """All sessions, subject by subject and day by day; equal configurations give equal numbers."""
    for subject in range(config.subjects):
        for day in range(config.days):
            yield simulate_session(config, subject, day)


def simulate_session(config: SimulationConfig, subject: int = 0, day: int = 0) -> SimulatedSession:
    """One session; it does not depend on which others are simulated."""
    name = f"sim{chr(65 + subject)}" if subject < 26 else f"sim{subject}"
    anatomy = np.random.default_rng([config.seed, subject])
    dead = np.zeros(config.channels, bool)
    dead[anatomy.permutation(config.channels)[: config.dead_channels]] = True
    tuning = _tuning(config, anatomy, subject, day)
    rng = np.random.default_rng([config.seed, subject, day, 1])

    step = round(config.sampling_rate_hz / config.behavior_rate_hz)
    n = int(config.duration_s * config.behavior_rate_hz) * step
    position = reach_path(config.task, n, config.sampling_rate_hz, rng)  # (samples, 2) metres
    lead = round(LEAD_S * config.sampling_rate_hz)
    hand, ahead = position[:n], position[lead : lead + n]
    velocity = np.gradient(ahead, 1 / config.sampling_rate_hz, axis=0)
    speed = np.linalg.norm(velocity, axis=1)
    movement = np.tanh(3 * speed / PEAK_SPEED_M_S)
    lfp = local_field(config.sampling_rate_hz, velocity, speed, movement, tuning, rng)
    lfp[:, dead] = 0.01 * rng.standard_normal((n, int(dead.sum())))

    slow = slice(None, None, step)
    latents = Latents(velocity[slow], speed[slow], movement[slow], tuning)
    times = np.arange(n // step) / config.behavior_rate_hz
    return SimulatedSession(
        session_id=f"{name}_day{day}",
        subject=name,
        sampling_rate_hz=config.sampling_rate_hz,
        lfp_uv=lfp,
        channel_names=tuple(f"ch{i:02d}" for i in range(config.channels)),
        regions=("M1 (simulated)",) * config.channels,
        bad_channels=(False,) * config.channels,
        dead_channels=dead,
        behavior=TimeSeries(times, hand[slow].copy(), "meters", ("x", "y")),
        spike_counts=spike_counts(latents.velocity, tuning, dead, config.behavior_rate_hz, rng),
        latents=latents,
    )


def _tuning(
    config: SimulationConfig, anatomy: np.random.Generator, subject: int, day: int
) -> Tuning:
    """Weights of day 0, then one random step per day."""
    n = config.channels
    direction = anatomy.uniform(-np.pi, np.pi, n)
    strengths = [anatomy.lognormal(0, 0.5, n) for _ in range(4)]
    for past in range(1, day + 1):
        steps = np.random.default_rng([config.seed, subject, past, 0])
        direction = direction + config.drift * steps.standard_normal(n)
        strengths = [s * np.exp(config.drift * steps.standard_normal(n)) for s in strengths]
    return Tuning(direction, *strengths)
