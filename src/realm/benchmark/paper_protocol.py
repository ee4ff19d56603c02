"""`realm paper-protocol`: the protocol of published LFP numbers, and how much it inflates R².

Only for comparison with published numbers, and never mixed with the leak-free results. The protocol
has a z-score over the whole session, zero-phase filters, segments of 10 s shuffled 80/10/10 and cut
to 5 s, and linear regression on frozen latents, scored on validation and test together. It leaks:
test segments lie between training segments, filters and z-scores use both, and settings are chosen
on what is scored. The same networks with the same settings are also trained leak-free; the
difference in R² is the inflation.

    prepared/             one file per session, for the leak-free R²
    leak_free/seed0/      teacher and student of the leak-free protocol, unless a run is given
    shuffled/seed0/       teacher and student of this protocol
    paper_protocol.csv    both R² and the inflation, per method, session and seed
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from realm.benchmark.leaky_data import (
    SegmentWindows,
    ShuffledSession,
    whole_session_features,
    window_bins,
    windows_of,
)
from realm.data.sessions import PreparedSession
from realm.data.windows import WindowSource
from realm.evaluation.metrics import mean_defined, mean_r2
from realm.files import make_folder, sha256_json, write_text
from realm.methods.experiment import fit_to_labels
from realm.methods.ridge import LinearProbe
from realm.nn.student import Student
from realm.nn.teacher import AnyTeacher
from realm.progress import Progress, silent
from realm.recipe import LabelsConfig, Recipe
from realm.recordings.open import find_recordings, open_recording
from realm.report.tables import ResultTable, number
from realm.runs.run import prepare
from realm.stages import SeedRun, each_seed
from realm.training.latents import encode_session, features_only

LEAST_SQUARES = (1e-6,)  # a penalty that only keeps the equations solvable
ENCODED_TOGETHER = 32  # windows; bounds memory
Encode = Callable[[PreparedSession], NDArray[np.float32]]  # latents (n_bins, d_model)


class ProtocolRow(NamedTuple):
    """R² of a linear readout of one network's latents, under both protocols."""

    method: str
    session: str
    subject: str
    seed: int
    r2_paper_compatible: float  # validation and test segments together
    r2_leak_free: float  # test time
    inflation: float


def paper_protocol(
    recipe: Recipe,
    data: Path | str,
    out: Path | str,
    *,
    leak_free: Path | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> list[ProtocolRow]:
    """Train and score teacher and student under both protocols; writes `paper_protocol.csv`.

    `leak_free` is the folder of a finished run of the same recipe and recordings, whose networks
    are then used for the leak-free R².

    Raises:
        ValueError: recordings do not fit, or `leak_free` is a run of another recipe.
    """
    out, progress = make_folder(out), progress or silent()
    recipe = recipe.model_copy(update={"labels": LabelsConfig()})  # all labels, as published
    prepared = prepare(recipe, data, out, jobs)
    recordings = find_recordings(data)
    task = partial(_one_seed, recipe, recordings, prepared, out, leak_free or out / "leak_free")
    rows = [row for rows in each_seed(task, recipe.seeds, jobs, progress).values() for row in rows]
    _write(rows, out / "paper_protocol.csv")
    return rows


def protocol_table(rows: Sequence[ProtocolRow]) -> ResultTable:
    """Means over sessions and seeds, the inflation beside them."""
    lines = []
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        means = [mean_defined([row[k] for row in own]) for k in (4, 5, 6)]
        cells = number(means[0]), number(means[1]), number(means[2], sign=True)
        lines.append((method, *cells, str(len(own))))
    columns = ("Method", "R², paper-compatible", "R², leak-free", "Inflation", "Rows")
    return ResultTable("For comparison with published numbers only", columns, tuple(lines))


class ShuffledRun(SeedRun):
    """One seed of a recipe on shuffled segments."""

    def __init__(
        self,
        recipe: Recipe,
        prepared: Sequence[Path],
        sessions: Sequence[ShuffledSession],
        folder: Path,
        seed: int,
        progress: Progress,
    ) -> None:
        super().__init__(recipe, prepared, folder, seed, progress)
        self.sessions = sorted(sessions, key=lambda session: session.session_id)
        self.data_hash = sha256_json({"paper-compatible": self.data_hash})

    def source(
        self, batch_size: int, split: str = "train", labels: Mapping[str, float] | None = None
    ) -> WindowSource:
        """Windows of 5 s, each within one segment; all labels."""
        return SegmentWindows(
            self.sessions,
            split=split,
            window_bins=window_bins(self.sessions[0].bin_ms),
            batch_size=batch_size,
            seed=self.seed,
        )


def _one_seed(
    recipe: Recipe,
    recordings: Sequence[Path],
    prepared: Sequence[Path],
    out: Path,
    leak_free: Path,
    seed: int,
    progress: Progress,
) -> list[ProtocolRow]:
    honest = SeedRun(recipe, prepared, leak_free / f"seed{seed}", seed, progress)
    honest_scores = _scores(honest, encode_session, _stream_latents, _leak_free_r2)
    sessions = [
        _shuffled(recording, path, recipe, seed)
        for recording, path in zip(recordings, prepared, strict=True)
    ]
    job = ShuffledRun(recipe, prepared, sessions, out / "shuffled" / f"seed{seed}", seed, progress)
    scores = _scores(job, _teacher_windows, _student_windows, _paper_r2)
    subjects = {session.session_id: session.subject for session in honest.sessions}
    return [
        ProtocolRow(
            method,
            session,
            subjects[session],
            seed,
            r2,
            honest_scores[method, session],
            r2 - honest_scores[method, session],
        )
        for (method, session), r2 in scores.items()
    ]


def _scores(
    job: SeedRun,
    encode_teacher: Callable[[AnyTeacher, PreparedSession], NDArray[np.float32]],
    encode_student: Callable[[Student, PreparedSession], NDArray[np.float32]],
    score: Callable[[PreparedSession, NDArray[np.float32]], float],
) -> dict[tuple[str, str], float]:
    """R² by method and session, of the networks of a seed; they are trained if need be."""
    teacher, _ = job.teacher()
    student, _ = job.student(teacher)
    teacher.cpu().eval()
    student.cpu().eval()
    encoders: dict[str, Encode] = {
        "teacher_probe": partial(encode_teacher, teacher),
        "student_probe": partial(encode_student, student),
    }
    return {
        (method, session.session_id): score(session, encode(session))
        for method, encode in encoders.items()
        for session in job.sessions
    }


def _shuffled(recording: Path, prepared: Path, recipe: Recipe, seed: int) -> ShuffledSession:
    with open_recording(recording, recipe.data.lfp) as opened:
        features = whole_session_features(opened, recipe.signal)
    return ShuffledSession.of(prepared, features, seed)


def _leak_free_r2(session: PreparedSession, latents: NDArray[np.float32]) -> float:
    probe = LinearProbe()
    fit_to_labels(probe, session, latents, {})
    behavior, known = session.behavior(*session.splits["test"])
    return mean_r2(behavior, probe.predict(latents)[slice(*session.splits["test"])], known)


def _paper_r2(session: PreparedSession, latents: NDArray[np.float32]) -> float:
    probe = LinearProbe(penalties=LEAST_SQUARES)
    fit_to_labels(probe, session, latents, {})
    held_out = session.splits["validation"][0], session.splits["test"][1]
    behavior, known = session.behavior(*held_out)
    return mean_r2(behavior, probe.predict(latents)[slice(*held_out)], known)


@torch.no_grad()
def _stream_latents(student: Student, session: PreparedSession) -> NDArray[np.float32]:
    """Latents of the whole session as one stream, as it would run live."""
    state, pieces = student.initial_state(1), []
    for start in range(0, session.n_bins, 2048):
        features = session.features(start, min(session.n_bins, start + 2048))
        output, state = student.step(torch.from_numpy(features)[None], state, session.session_id)
        pieces.append(output.latent[0].numpy())
    return np.concatenate(pieces)


@torch.no_grad()
def _teacher_windows(teacher: AnyTeacher, session: PreparedSession) -> NDArray[np.float32]:
    """Latents of every window, each read by itself."""
    groups = torch.split(_windows(session), ENCODED_TOGETHER)
    pieces = [teacher.encode([features_only(session.session_id, group)]) for group in groups]
    return torch.cat(pieces).flatten(0, 1).numpy()


@torch.no_grad()
def _student_windows(student: Student, session: PreparedSession) -> NDArray[np.float32]:
    """Latents of every window, each from silence."""
    groups = torch.split(_windows(session), ENCODED_TOGETHER)
    pieces = [student([features_only(session.session_id, group)]).latent for group in groups]
    return torch.cat(pieces).flatten(0, 1).numpy()


def _windows(session: PreparedSession) -> torch.Tensor:
    """(windows, time, channels, bands), in the order of the session."""
    length = window_bins(session.bin_ms)
    cut = [session.features(start, start + length) for start in windows_of(session)]
    return torch.from_numpy(np.stack(cut))


def _write(rows: Sequence[ProtocolRow], path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ProtocolRow._fields)
    for row in rows:
        scores = ["" if np.isnan(r2) else f"{r2:.6g}" for r2 in row[4:]]
        writer.writerow([*row[:4], *scores])
    write_text(path, text.getvalue())
