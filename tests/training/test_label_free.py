"""Training without labels: nothing of behavior is read, and the alignment decides when to stop."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
import torch
from tiny_recipe import SMALL_RECIPE

from realm.data.prepare import prepare_all
from realm.data.sessions import CONTENT, content_sha256
from realm.progress import silent
from realm.recipe import Recipe, load_recipe
from realm.simulation.simulate import SimulationConfig, simulate
from realm.simulation.write import write_session
from realm.stages import SeedRun
from realm.training.config import DistillConfig
from realm.training.distill import DistillObjective

LABEL_FREE = [
    "pretrain.task_weight=0",
    "pretrain.whitening=0.05",
    "pretrain.mask.span_ms=[40, 200]",
    "distill.task_weight=0",
    "baselines.methods=[]",
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("recordings")
    small = SimulationConfig(
        subjects=1, days=2, duration_s=60, channels=4, sampling_rate_hz=250, behavior_rate_hz=50
    )
    return [write_session(folder / f"{s.session_id}.nwb", s) for s in simulate(small)]


def recipe_of(tmp_path: Path, *overrides: str) -> Recipe:
    path = tmp_path / "small.toml"
    path.write_text(SMALL_RECIPE)
    return load_recipe(path, [*LABEL_FREE, *overrides])


def job_of(recordings: list[Path], recipe: Recipe, out: Path, prepared: Path) -> SeedRun:
    files = prepare_all(recordings, prepared, recipe.signal, recipe.data, workers=1, show=False)
    return SeedRun(recipe, files, out, 0, silent())


def with_other_labels(prepared: Path, folder: Path) -> list[Path]:
    """Copies of the prepared sessions with other behavior, known at other times."""
    folder.mkdir()
    for path in sorted(prepared.glob("*.h5")):
        copy = Path(shutil.copy(path, folder / path.name))
        with h5py.File(copy, "r+") as file:
            file["behavior/values"][:] = -7.0 * file["behavior/values"][:][::-1]
            file["behavior/mask"][:] = file["behavior/mask"][:][::-1]
            file["provenance"].attrs[CONTENT] = content_sha256(file)
    return sorted(folder.glob("*.h5"))


def trained(job: SeedRun) -> dict[str, torch.Tensor]:
    """Every weight of teacher and student but the head's."""
    teacher, _ = job.teacher()
    student, _ = job.student(teacher)
    weights = {f"teacher.{k}": v for k, v in teacher.state_dict().items()}
    weights |= {f"student.{k}": v for k, v in student.state_dict().items()}
    return {k: v for k, v in weights.items() if ".head." not in k}


def test_other_labels_give_the_same_weights_bit_for_bit(
    recordings: list[Path], tmp_path: Path
) -> None:
    recipe = recipe_of(tmp_path)
    first = trained(job_of(recordings, recipe, tmp_path / "a", tmp_path / "prepared"))
    files = with_other_labels(tmp_path / "prepared", tmp_path / "other")
    second = trained(SeedRun(recipe, files, tmp_path / "b", 0, silent()))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_with_labels_in_the_loss_other_labels_give_other_weights(
    recordings: list[Path], tmp_path: Path
) -> None:
    recipe = recipe_of(tmp_path, "distill.task_weight=0.5")
    first = trained(job_of(recordings, recipe, tmp_path / "a", tmp_path / "prepared"))
    files = with_other_labels(tmp_path / "prepared", tmp_path / "other")
    second = trained(SeedRun(recipe, files, tmp_path / "b", 0, silent()))
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_recordings_without_any_behavior_are_enough(recordings: list[Path], tmp_path: Path) -> None:
    bare = []
    for path in recordings:
        copy = tmp_path / "bare" / path.name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
        with h5py.File(copy, "r+") as file:
            del file["processing/behavior"]
        bare.append(copy)
    text = SMALL_RECIPE.replace('behavior = "behavior/Position/hand"\ntarget = "velocity"\n', "")
    path = tmp_path / "bare.toml"
    path.write_text(text)
    recipe = load_recipe(path, LABEL_FREE)
    job = job_of(bare, recipe, tmp_path / "run", tmp_path / "bare_prepared")
    teacher, _ = job.teacher()
    student, _ = job.student(teacher)
    log = (tmp_path / "run" / "student" / "metrics.jsonl").read_text()
    assert '"alignment"' in log
    assert '"task"' not in log
    assert student.head.behavior_dims == 0


def test_the_alignment_on_validation_time_decides(recordings: list[Path], tmp_path: Path) -> None:
    job = job_of(recordings, recipe_of(tmp_path), tmp_path / "run", tmp_path / "prepared")
    teacher, _ = job.teacher()
    config = job.recipe.distill
    source = job.source(4, "validation")
    student, _ = job.student(teacher)
    objective = DistillObjective(student, teacher, config, 0, job.sessions, [source.batch(0)])
    objective.begin()
    figures = objective.validate()
    assert figures["score"] == -figures["alignment"] < 0


@pytest.mark.parametrize("kind", ["mse", "cosine", "similarity"])
def test_every_alignment_and_a_reconstruction_train(
    recordings: list[Path], tmp_path: Path, kind: str
) -> None:
    recipe = recipe_of(
        tmp_path, f'distill.alignment.kind="{kind}"', "distill.reconstruction_weight=1"
    )
    job = job_of(recordings, recipe, tmp_path / "run", tmp_path / "prepared")
    job.student(job.teacher()[0])
    log = (tmp_path / "run" / "student" / "metrics.jsonl").read_text()
    assert '"reconstruction"' in log


def test_the_student_may_start_with_the_adapters_of_the_teacher(
    recordings: list[Path], tmp_path: Path
) -> None:
    same = ["distill.start=teacher", "distill.optimization.steps=1", "pretrain.encoder.layers=4"]
    recipe = recipe_of(tmp_path, *same, "distill.encoder.d_model=32")
    job = job_of(recordings, recipe, tmp_path / "run", tmp_path / "prepared")
    teacher, _ = job.teacher()
    student, _ = job.student(teacher)
    name = job.sessions[0].session_id
    moved = (student.adapters.weight(name) - teacher.adapters.weight(name)).abs().max()
    assert moved < 0.01 < teacher.adapters.weight(name).abs().max()
    other = recipe_of(tmp_path, *same)
    with pytest.raises(ValueError, match="one d_model, got 16 in distill and 32 in pretrain"):
        job_of(recordings, other, tmp_path / "other", tmp_path / "prepared").student(teacher)


def test_without_labels_and_without_teacher_there_is_nothing_to_learn() -> None:
    config = DistillConfig.model_validate({"encoder": {"layers": 1}, "task_weight": 0})
    session = SimpleNamespace(bin_ms=10.0)
    with pytest.raises(ValueError, match=r"distill\.task_weight"):
        DistillObjective(torch.nn.Module(), None, config, 0, [session])  # type: ignore[arg-type]


def test_behavior_may_be_left_out_only_where_no_label_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bare.toml"
    path.write_text(SMALL_RECIPE.replace('behavior = "behavior/Position/hand"\n', ""))
    with pytest.raises(ValueError, match=r"data\.behavior"):
        load_recipe(path)
    assert load_recipe(path, LABEL_FREE).label_free
