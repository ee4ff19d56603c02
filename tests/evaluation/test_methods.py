"""Every baseline that is not in the default list: trained for a moment, decoded and scored."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from realm.data.prepare import prepare_all
from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.methods.experiment import Experiment
from realm.methods.protocol import score_session
from realm.methods.registry import METHODS, BaselinesConfig
from realm.nn.encoder import EncoderConfig
from realm.nn.teacher import Teacher
from realm.signal import SignalConfig
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session
from realm.training.build import new_student, session_info
from realm.training.config import DistillConfig

TINY = EncoderConfig(layers=1, d_model=16, d_state=8, headdim=16)
BASELINES = {
    "lstm": {"d_model": 16},
    "transformer_causal": {"d_model": 16, "layers": 1, "headdim": 8, "context_s": 0.5},
    "mamba_bidirectional": {"encoder": TINY, "learning_rate": 1e-3},
    "transformer_mae_probe": {
        "d_model": 16,
        "layers": 1,
        "headdim": 8,
        "patch_channels": 3,
        "optimization": {"steps": 4, "batch_size": 4, "warmup_steps": 1, "checkpoint_every": 2},
    },
}
NOT_CAUSAL = ("mamba_bidirectional", "transformer_mae_probe")
DISTILL = {
    "encoder": TINY,
    "augmentation": {"noise": 0.1},
    "optimization": {"steps": 2, "batch_size": 4, "warmup_steps": 1, "validate_every": 2},
}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> list[PreparedSession]:
    from realm.data.config import DataConfig

    folder = tmp_path_factory.mktemp("methods")
    many = SimulationConfig(channels=6, duration_s=70.0, seed=3)
    few = dataclasses.replace(many, channels=4)
    simulated = [simulate_session(many, 0), simulate_session(few, 1)]
    paths = [write_session(folder / f"{s.session_id}.nwb", s) for s in simulated]
    data = DataConfig(behavior="behavior/Position/hand", target="velocity", window_s=2.0)
    signal = SignalConfig(preset="slow", bin_ms=20.0, reference="none")
    prepared = prepare_all(paths, folder / "prepared", signal, data, workers=1)
    return [PreparedSession.load(path) for path in prepared]


def experiment(sessions: list[PreparedSession], folder: Path) -> Experiment:
    config, labels = DistillConfig.model_validate(DISTILL), {sessions[0].session_id: 20.0}
    source = WindowSource(sessions, window_bins=100, batch_size=4, seed=0, label_s=labels)
    infos = [session_info(session) for session in sessions]
    return Experiment(
        sessions,
        source,
        labels,
        Teacher(TINY, infos, 2),
        0.0,
        new_student(sessions, labels, config, 0),
        0.0,
        config,
        BaselinesConfig.model_validate(BASELINES),
        0,
        folder,
        "test",
    )


def test_the_new_baselines_run_only_when_asked_for() -> None:
    assert BaselinesConfig().methods == ["ridge", "gru", "scratch", "teacher_probe"]


def test_saying_one_thing_of_the_masked_transformers_training_leaves_the_rest() -> None:
    section = {"transformer_mae_probe": {"optimization": {"steps": 7}}}
    said = BaselinesConfig.model_validate(section).transformer_mae_probe.optimization
    assert said == BaselinesConfig().transformer_mae_probe.optimization.model_copy(
        update={"steps": 7}
    )
    assert said.batch_size == 16


@pytest.mark.parametrize("method", ["kalman", "lstm", "transformer_causal", *NOT_CAUSAL])
def test_a_baseline_is_trained_decoded_and_scored(
    method: str, sessions: list[PreparedSession], tmp_path: Path
) -> None:
    decode = METHODS[method](experiment(sessions, tmp_path))
    for session in sessions:
        decoding = decode(session)
        assert decoding.behavior.shape == (session.n_bins, 2)
        assert np.isfinite(decoding.behavior).all()
        assert decoding.causal == (method not in NOT_CAUSAL)
        assert decoding.parameters > 0
        assert decoding.us_per_bin > 0
        rows = score_session(method, session, decoding, 0, "all")
        assert [row.split for row in rows] == ["validation", "test"]
        assert all(math.isfinite(row.r2) for row in rows)
        assert method != "kalman" or rows[0].r2 > -0.05  # the mean is among its choices
    trained = {path.name for path in tmp_path.iterdir()}
    assert trained == (set() if method == "kalman" else {method})


@pytest.mark.parametrize("method", NOT_CAUSAL)
def test_a_decoder_that_sees_the_future_reads_each_split_by_itself(
    method: str,
    sessions: list[PreparedSession],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = sessions[0]
    decode = METHODS[method](experiment(sessions, tmp_path))
    before, test = decode(session).behavior, session.splits["test"][0]
    read = PreparedSession.features

    def other_test_time(self, start, stop):
        features = read(self, start, stop).copy()
        features[max(0, test - start) :] = 5.0
        return features

    monkeypatch.setattr(PreparedSession, "features", other_test_time)
    after = decode(session).behavior
    np.testing.assert_array_equal(after[:test], before[:test])
    assert not np.array_equal(after[test:], before[test:])


@pytest.mark.parametrize("method", NOT_CAUSAL)
def test_training_a_baseline_leaves_the_others_weights_alone(
    method: str, sessions: list[PreparedSession], tmp_path: Path
) -> None:
    shared = experiment(sessions, tmp_path)
    weights = [p.clone() for p in (*shared.teacher.parameters(), *shared.student.parameters())]
    METHODS[method](shared)
    now = [*shared.teacher.parameters(), *shared.student.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(weights, now, strict=True))


def test_a_baseline_is_trained_again_only_when_its_own_settings_change() -> None:
    config = BaselinesConfig()
    shared = Experiment(*[None] * 8, config, 0, None, "shared")  # type: ignore[arg-type]
    gru = config.gru.model_copy(update={"d_model": 8})
    changed = shared._replace(baselines=config.model_copy(update={"gru": gru}))
    assert changed.fingerprint_of("gru") != shared.fingerprint_of("gru")
    for other in ("lstm", "scratch", "mamba_bidirectional"):
        assert changed.fingerprint_of(other) == shared.fingerprint_of(other)
    assert shared.fingerprint_of("lstm") != shared.fingerprint_of("gru")


def test_the_masked_transformer_is_pretrained_once_whatever_the_labels(
    sessions: list[PreparedSession], tmp_path: Path
) -> None:
    shared = experiment(sessions, tmp_path)
    one = METHODS["transformer_mae_probe"](shared)(sessions[0])
    checkpoint = tmp_path / "transformer_mae_probe" / "checkpoint.safetensors"
    written = checkpoint.stat().st_mtime_ns
    more = shared._replace(label_s={sessions[0].session_id: 40.0}, fingerprint="other")
    two = METHODS["transformer_mae_probe"](more)(sessions[0])
    assert checkpoint.stat().st_mtime_ns == written
    assert two.train_cpu_s == pytest.approx(one.train_cpu_s, abs=1.0)
    assert two.parameters == one.parameters
    assert not np.array_equal(two.behavior, one.behavior)  # the probe had more labels
    ours = shared.baselines.transformer_mae_probe.model_copy(update={"layers": 2})
    changed = shared.baselines.model_copy(update={"transformer_mae_probe": ours})
    with pytest.raises(ValueError, match="another configuration"):
        METHODS["transformer_mae_probe"](shared._replace(baselines=changed))


def test_parameters_of_the_masked_transformer_are_what_decodes_the_session(
    sessions: list[PreparedSession], tmp_path: Path
) -> None:
    decode = METHODS["transformer_mae_probe"](experiment(sessions, tmp_path))
    layer = 3 * 16 * 16 + 16 * 16 + 2 * 4 * 16 * 16 + 4 * 16 + 16 + 2 * 16
    for session in sessions:
        channels, bands = len(session.channel_names), len(session.band_names)
        patches = 2  # of at most three channels, out of six and of four
        embedding, probe = channels * bands * 16 + patches * 16, patches * 16 * 2 + 2
        assert decode(session).parameters == layer + embedding + probe
