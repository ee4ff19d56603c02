from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt, welch

from realm.recordings.open import open_recording
from realm.simulation.simulate import LEAD_S, SimulatedSession, SimulationConfig, simulate_session
from realm.simulation.synthesis import background_noise, reach_path
from realm.simulation.write import SPIKES_PATH, write_session

CONFIG = SimulationConfig(duration_s=60, channels=8, sampling_rate_hz=500)


@pytest.fixture(scope="module")
def session() -> SimulatedSession:
    return simulate_session(CONFIG)


def test_equal_seeds_give_equal_sessions(session: SimulatedSession) -> None:
    again = simulate_session(SimulationConfig(days=9, duration_s=60, channels=8))
    np.testing.assert_array_equal(session.lfp_uv, again.lfp_uv)
    other = simulate_session(SimulationConfig(duration_s=60, channels=8, seed=1))
    assert (session.lfp_uv != other.lfp_uv).any()


def test_latents_lead_the_recorded_hand(session: SimulatedSession) -> None:
    hand = np.gradient(session.behavior.values, 0.01, axis=0)
    lead = round(LEAD_S * 100)
    r = np.corrcoef(session.latents.velocity[:-lead, 0], hand[lead:, 0])[0, 1]
    assert r > 0.999
    speed = np.linalg.norm(session.latents.velocity, axis=1)
    np.testing.assert_allclose(session.latents.speed, speed)


def test_effects_are_in_the_signal_and_not_in_dead_channels(session: SimulatedSession) -> None:
    assert session.dead_channels.sum() == 1
    assert session.lfp_uv[:, session.dead_channels].std() < 0.1
    assert (session.spike_counts[:, session.dead_channels] == 0).all()
    alive = ~session.dead_channels
    f, power = welch(session.lfp_uv[:, alive], 500, nperseg=1000, axis=0)
    near = power[(f > 40) & (f < 60)].max(axis=0)
    assert (power[f == 50] == near).all()  # line noise
    assert (
        power[(f >= 15) & (f <= 25)].mean(axis=0) > power[(f > 30) & (f < 40)].mean(axis=0)
    ).all()
    fast = np.repeat(session.latents.speed, 5) > 0.1
    band = butter(4, (70, 170), "bandpass", fs=500, output="sos")
    high = np.abs(sosfiltfilt(band, session.lfp_uv[:, alive], axis=0))
    assert (high[fast].mean(axis=0) > 1.03 * high[~fast].mean(axis=0)).all()


def test_weights_drift_from_day_to_day_but_the_subject_stays() -> None:
    days = [simulate_session(CONFIG, day=day) for day in (0, 1, 2)]
    turn = [np.abs(d.latents.tuning.direction - days[0].latents.tuning.direction) for d in days]
    assert 0 < turn[1].mean() < turn[2].mean() < 0.6
    for day in days:
        np.testing.assert_array_equal(day.dead_channels, days[0].dead_channels)
    stranger = simulate_session(CONFIG, subject=1)
    assert (stranger.latents.tuning.direction != days[0].latents.tuning.direction).all()


@pytest.mark.parametrize("task", ["self_paced", "center_out"])
def test_reaches_are_smooth_and_stay_in_the_workspace(task: str) -> None:
    path = reach_path(task, 30_000, 500.0, np.random.default_rng(0))
    assert np.abs(path).max() <= 0.1 + 1e-12
    velocity = np.diff(path, axis=0) * 500
    assert np.abs(np.diff(velocity, axis=0)).max() < 0.1
    speed = np.linalg.norm(velocity, axis=1)
    assert 0.1 < speed.max() < 2.0
    assert (speed == 0).mean() > 0.2
    if task == "center_out":
        assert np.linalg.norm(path, axis=1).max() <= 0.08 + 1e-12


def test_background_has_a_power_law_spectrum() -> None:
    noise = background_noise(np.random.default_rng(0), 200_000, 1, 500.0)
    f, power = welch(noise[:, 0], 500, nperseg=4000)
    use = (f > 1) & (f < 200)
    slope = np.polyfit(np.log(f[use]), np.log(power[use]), 1)[0]
    assert abs(slope + 2) < 0.1
    assert abs(noise.std() - 1) < 1e-9


def test_a_written_session_holds_everything(tmp_path: Path) -> None:
    small = SimulationConfig(duration_s=5, channels=3, sampling_rate_hz=300, task="center_out")
    session = simulate_session(small)._replace(bad_channels=(False, True, False))
    with open_recording(write_session(tmp_path / "a.nwb", session)) as recording:
        assert recording.bad_channels == (False, True, False)
        np.testing.assert_allclose(recording.read(0, 1500) * 1e6, session.lfp_uv, atol=0.0051)
    with open_recording(tmp_path / "a.nwb", SPIKES_PATH) as recording:
        np.testing.assert_array_equal(recording.read(0, 500), session.spike_counts)
        assert (recording.sample_bits, recording.start_s) == (8, 0.0)
        assert recording.sampling_rate_hz == 100


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sampling_rate_hz": 250.0, "behavior_rate_hz": 60.0}, "multiple"),
        ({"channels": 2, "dead_channels": 2}, "dead_channels from 0 to 1"),
        ({"task": "walk"}, "'walk'"),
        ({"days": 0}, "at least 1"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SimulationConfig(**wrong)  # type: ignore[arg-type]
