"""From prepared sessions to untrained networks: where every training starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from realm.data.sessions import PreparedSession
from realm.nn.adapters import SessionInfo
from realm.nn.encoders import EncoderSettings
from realm.nn.student import Student
from realm.nn.teacher import Teacher
from realm.training.config import DistillConfig


def session_info(session: PreparedSession) -> SessionInfo:
    """What a model must know of a prepared session."""
    names = tuple(session.channel_names)
    return SessionInfo(session.session_id, session.subject, names, len(session.band_names))


def new_teacher(
    sessions: Sequence[PreparedSession],
    label_s: Mapping[str, float],
    config: EncoderSettings,
    seed: int,
    *,
    causal: bool = False,
) -> Teacher:
    """An untrained teacher of these sessions, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    infos = [session_info(session) for session in sessions]
    teacher = Teacher(config, infos, len(sessions[0].behavior_names), causal=causal)
    for session_id, scale in behavior_scales(sessions, label_s).items():
        teacher.set_behavior_scale(session_id, *scale)
    return teacher


def new_student(
    sessions: Sequence[PreparedSession],
    label_s: Mapping[str, float],
    config: DistillConfig,
    seed: int,
) -> Student:
    """An untrained student of these sessions, its weights drawn from `seed`."""
    torch.manual_seed(seed)
    infos = [session_info(session) for session in sessions]
    student = Student(config.encoder, infos, len(sessions[0].behavior_names))
    for session_id, scale in behavior_scales(sessions, label_s).items():
        student.set_behavior_scale(session_id, *scale)
    return student


def behavior_scales(
    sessions: Sequence[PreparedSession], label_s: Mapping[str, float]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and standard deviation of each session's labelled training behavior, (dims,) each.

    `label_s` holds the label budgets, in seconds, of the sessions that have one. A session
    without a single label takes the averages of its subject's labelled sessions, and 0 and 1 if
    there are none.
    """
    own = {s.session_id: _labelled_scale(s, label_s.get(s.session_id)) for s in sessions}
    scales = {}
    for session in sessions:
        dims = len(session.behavior_names)
        related = [own[s.session_id] for s in sessions if s.subject == session.subject]
        known = [scale for scale in related if scale is not None]
        neutral = torch.zeros(dims), torch.ones(dims)
        borrowed = [torch.stack(side).mean(0) for side in zip(*known, strict=True)] or neutral
        mean, spread = own[session.session_id] or borrowed
        scales[session.session_id] = (mean, spread)
    return scales


def _labelled_scale(
    session: PreparedSession, label_s: float | None
) -> tuple[Tensor, Tensor] | None:
    """Mean and standard deviation of the labelled behavior, None if there is none."""
    known = session.training_labels(label_s)  # (bins,)
    values, _ = session.behavior(*session.splits["train"])  # (bins, dims)
    labelled = torch.from_numpy(values[known]).double()
    if not len(labelled):
        return None
    spread = labelled.std(0) if len(labelled) > 1 else torch.ones(labelled.shape[1])
    return labelled.mean(0).float(), torch.where(spread > 0, spread, 1.0).float()
