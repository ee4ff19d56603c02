"""The published encoder in a recipe: pretrained with hidden tokens, distilled, and decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_recipe import SMALL_RECIPE

from realm import Decoder
from realm.data.prepare import prepare_all
from realm.nn.adapters import SessionInfo
from realm.nn.published.encoder import PublishedSettings
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.progress import silent
from realm.recipe import load_recipe
from realm.simulation.simulate import SimulationConfig, simulate
from realm.simulation.write import write_session
from realm.stages import SeedRun
from realm.training import loop
from realm.training.distill import start_from

SIZES = "kind='published', channels=6, d_state=8, headdim=16, mean_bins=50"
TEACHER = f"pretrain.encoder={{{SIZES}, layers=2, d_model=32, drop_path=0.1}}"
STUDENT = f"distill.encoder={{{SIZES}, layers=1, d_model=32}}"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    small = SimulationConfig(
        subjects=1, days=1, duration_s=60, channels=4, sampling_rate_hz=250, behavior_rate_hz=50
    )
    return [write_session(folder / f"{s.session_id}.nwb", s) for s in simulate(small)]


def test_teacher_and_student_train_and_the_decoder_comes_back(
    recordings: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "small.toml").write_text(SMALL_RECIPE)
    changes = [TEACHER, STUDENT, "pretrain.mask.channel_share=[1.0, 1.0]"]
    recipe = load_recipe(tmp_path / "small.toml", [*changes, 'distill.start="teacher"'])
    files = prepare_all(
        recordings, tmp_path / "prepared", recipe.signal, recipe.data, workers=1, show=False
    )
    job = SeedRun(recipe, files, tmp_path / "out", 0, silent())
    teacher, _ = job.teacher()
    student, _ = job.student(teacher)
    decoder = Decoder.assemble(student, job.sessions, recipe, 0)
    decoder.save_pretrained(tmp_path / "model")
    again = Decoder.from_pretrained(tmp_path / "model")
    decoded = again.predict(recordings[0])
    assert np.isfinite(decoded).all()
    np.testing.assert_array_equal(decoded, decoder.predict(recordings[0]))


def test_what_is_dropped_does_not_depend_on_what_was_drawn_between_steps(
    recordings: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a resumption, where the generator of torch stands elsewhere."""
    (tmp_path / "small.toml").write_text(SMALL_RECIPE)
    recipe = load_recipe(tmp_path / "small.toml", [TEACHER, "pretrain.optimization.steps=3"])
    files = prepare_all(
        recordings, tmp_path / "prepared", recipe.signal, recipe.data, workers=1, show=False
    )
    plain, _ = SeedRun(recipe, files, tmp_path / "a", 0, silent()).teacher()
    append = loop.append_line

    def draw_and_append(path: Path, line: str) -> None:
        torch.rand(3)
        append(path, line)

    monkeypatch.setattr(loop, "append_line", draw_and_append)
    other, _ = SeedRun(recipe, files, tmp_path / "b", 0, silent()).teacher()
    for name, value in plain.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_start_copies_the_tokenizer() -> None:
    small = PublishedSettings(channels=3, layers=1, d_model=16, d_state=4, headdim=8, d_channel=2)
    info = [SessionInfo("a", "rat", ("x", "y"), 1)]
    student, teacher = Student(small, info, 1), Teacher(small, info, 1)
    start_from(student, teacher)
    for name, value in teacher.encoder.tokenizer.state_dict().items():
        assert torch.equal(student.encoder.tokenizer.state_dict()[name], value), name
    wider = Teacher(small.model_copy(update={"channels": 4}), info, 1)
    with pytest.raises(ValueError, match=r"distill\.start.*tokenizers of one size"):
        start_from(student, wider)
