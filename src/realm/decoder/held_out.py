"""A session that the decoder was not trained on, of a subject that it knows.

Sessions of one subject share a map from channels to the encoder, so a new one is decoded by it
without a label. Its signal chain is fitted to its own training time; the mean and the spread of its
behavior are those of the subject's other sessions. `realm calibrate` does better, with labels.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.nn.student import Student
from realm.recipe import Recipe
from realm.recordings.recording import Recording
from realm.signal import SignalChain
from realm.training.build import session_info


def is_held_out(student: Student, recording: Recording) -> bool:
    """Whether a recording can be decoded by the map of its subject: all its channels are known."""
    of_subject = [s for s in student.sessions if s.subject == recording.subject]
    known = {name for session in of_subject for name in session.channel_names}
    return bool(of_subject) and set(recording.channel_names) <= known


def with_held_out(student: Student, recipe: Recipe, path: Path) -> tuple[Student, str, SignalChain]:
    """A student that has the session of `path` as well, the id of this session, and its chain.

    The student given is not changed.

    Raises:
        ValueError: the recording does not fit the recipe.
    """
    unlabelled = recipe.data.model_copy(update={"behavior": None})
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_session(path, folder, recipe.signal, unlabelled)
        session = PreparedSession.load(prepared)
    found = copy.deepcopy(student)
    found.add_session(session_info(session))
    scales = [
        found.head.scale(other.session_id)
        for other in student.sessions
        if other.subject == session.subject
    ]
    mean, std = torch.stack(scales).mean(0)
    found.set_behavior_scale(session.session_id, mean, std)
    return found.eval(), session.session_id, session.chain
