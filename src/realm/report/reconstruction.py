"""What the teacher fills in: hidden parts of validation time beside the true features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.files import read_tensors
from realm.nn.masking import MaskConfig, draw_mask
from realm.nn.teacher import Teacher
from realm.recipe import Recipe
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section
from realm.report.style import MUTED, TRUTH, colour, figure_file, quiet_grid
from realm.report.tables import ResultTable, number
from realm.training.build import new_teacher
from realm.training.latents import features_only
from realm.training.pretrain import VALIDATION_SEED, interpolate

TITLE = "What the teacher reconstructs"
SHOWN_SESSIONS, SHOWN_CHANNELS, SHOWN_BANDS = 2, 3, 2
Arrays = NDArray[np.float32]


def reconstruction_section(run: RunFolder, figures: Path) -> Section:
    """The teacher's errors, and examples where the run keeps the teacher and its data."""
    tables = tuple(table for table in [_errors(run)] if table.rows)
    checkpoint = run.seed_folder / "teacher" / "checkpoint.safetensors"
    if run.recipe is None or not checkpoint.is_file() or not run.sessions:
        how = "its checkpoint is not in the run folder."
        reason = run.needs_sessions if checkpoint.is_file() else f"Examples are left out: {how}"
        return Section(TITLE, (reason,), tables=tables, left_out=not tables)
    teacher = load_teacher(run.recipe, run.sessions, checkpoint, run.seed)
    pictures = []
    for session in run.sessions[:SHOWN_SESSIONS]:
        path = figures / f"reconstruction_{session.session_id}.png"
        reconstruction_figure(teacher, session, run.recipe, path)
        pictures.append(Picture(path, f"Hidden parts of {session.session_id}, filled in"))
    text = (
        "The teacher learns to fill in what is hidden from it (shaded). Good values there mean "
        "that it has learned how the signal continues and what the channels share. Noise that is "
        "independent from bin to bin cannot be filled in."
    )
    return Section(TITLE, (text,), tuple(pictures), tables)


def load_teacher(
    recipe: Recipe, sessions: list[PreparedSession], checkpoint: Path, seed: int
) -> Teacher:
    """The teacher with its best weights.

    Raises:
        ValueError: the checkpoint is damaged or does not fit the recipe and sessions.
    """
    teacher = new_teacher(sessions, {}, recipe.pretrain.encoder, seed)
    tensors = read_tensors(checkpoint)
    best = {k.removeprefix("best/"): v for k, v in tensors.items() if k.startswith("best/")}
    try:
        teacher.load_state_dict({k: torch.from_numpy(v) for k, v in best.items()})
    except RuntimeError as error:
        raise ValueError(
            f"{checkpoint}: expected the teacher of this run's recipe and sessions, its weights "
            f"do not fit ({str(error).splitlines()[0]}); train it again"
        ) from error
    return teacher.eval()


@torch.no_grad()
def fill_in(
    teacher: Teacher, session: PreparedSession, mask_config: MaskConfig, bins: int
) -> tuple[Arrays, NDArray[np.bool_], Arrays, Arrays]:
    """The first `bins` of validation time, partly hidden.

    Returns:
        What was there (time, channels, bands), where it was hidden (time, channels), what the
        teacher says, and linear interpolation.
    """
    start, stop = session.splits["validation"]
    features = torch.from_numpy(session.features(start, min(stop, start + bins)))[None]
    mask = draw_mask(
        [VALIDATION_SEED], features.shape[1], features.shape[2], mask_config, session.bin_ms
    )
    output = teacher([features_only(session.session_id, features)], [mask])
    line = interpolate(features, mask)
    filled = output.reconstruction[0]
    return features[0].numpy(), mask[0].numpy(), filled[0].numpy(), line[0].numpy()


def reconstruction_figure(
    teacher: Teacher, session: PreparedSession, recipe: Recipe, path: Path
) -> None:
    """The channels of which most is hidden, a row each; the first bands, a column each."""
    bins = round(recipe.data.window_s * 1000 / session.bin_ms)
    true, hidden, filled, line = fill_in(teacher, session, recipe.pretrain.mask, bins)
    channels = np.sort(np.argsort(-hidden.sum(axis=0), kind="stable")[:SHOWN_CHANNELS])
    bands = range(min(SHOWN_BANDS, true.shape[2]))
    time = (np.arange(len(true)) + 0.5) * session.bin_ms / 1000
    with figure_file(path, 4.8 * len(bands) + 0.6, 1.0 + 1.5 * len(channels)) as fig:
        axes = fig.subplots(len(channels), len(bands), sharex=True, squeeze=False)
        for row, channel in enumerate(channels):
            for column, band in enumerate(bands):
                ax = axes[row, column]
                where = hidden[:, channel]
                _draw(ax, time, where, *(a[:, channel, band] for a in (true, filled, line)))
                if row == 0:
                    ax.set_title(session.band_names[band].replace("_", " "))
                if column == 0:
                    ax.set_ylabel(f"channel\n{session.channel_names[channel]}")
        for ax in axes[-1]:
            ax.set_xlabel("time (s)")
        labels = ("true", "filled in by the teacher", "interpolated")
        fig.legend(
            axes[0, 0].get_lines(), labels, loc="outside lower center", ncols=3, frameon=False
        )
        title = f"Normalized features of {session.session_id}; shaded: hidden"
        fig.suptitle(title, x=0.01, ha="left", weight="bold")


def _draw(
    ax: Axes,
    time: NDArray[Any],
    hidden: NDArray[np.bool_],
    true: Arrays,
    filled: Arrays,
    line: Arrays,
) -> None:
    only = np.where(hidden, 0.0, np.nan)
    ax.plot(time, true, color=TRUTH, linewidth=2.4)
    ax.plot(time, filled + only, color=colour("teacher_probe"), linewidth=1.6)
    ax.plot(time, line + only, color=MUTED, linewidth=1.0, linestyle="--")
    low, high = ax.get_ylim()
    ax.fill_between(time, low, high, where=hidden.tolist(), color="#EDEDED", linewidth=0, zorder=0)
    ax.set_ylim(low, high)
    ax.set_xlim(time[0], time[-1])
    quiet_grid(ax)


def _errors(run: RunFolder) -> ResultTable:
    """Squared error on hidden entries, by seed, beside what it must beat."""
    found = run.record.get("reconstruction") or {}
    names = ("reconstruction", "channel_mean", "interpolation")
    lines = tuple((seed, *(number(errors[n]) for n in names)) for seed, errors in found.items())
    columns = ("Seed", "Teacher", "Channel's mean", "Interpolation")
    return ResultTable("Squared error on hidden entries of validation time", columns, lines)
