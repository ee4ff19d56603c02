"""Student and teacher: shapes, units, sessions added later, what a mask hides."""

from __future__ import annotations

import pytest
import torch
from nn_cases import DIMS, MONDAY, OTHER, SMALL, TUESDAY, draw_windows

from realm.nn.adapters import SessionInfo
from realm.nn.recurrent import GRUSettings
from realm.nn.student import Student
from realm.nn.teacher import Teacher

SESSIONS = [MONDAY, TUESDAY, OTHER]


@pytest.fixture(params=["student", "gru", "teacher"])
def model(request):
    torch.manual_seed(0)
    if request.param == "teacher":
        return Teacher(SMALL, SESSIONS, DIMS)
    return Student(GRUSettings(d_model=16) if request.param == "gru" else SMALL, SESSIONS, DIMS)


def test_rows_come_in_the_order_of_the_groups(model):
    windows = [draw_windows(TUESDAY, 2), draw_windows(OTHER, 1), draw_windows(MONDAY, 3)]
    output = model(windows)
    assert output.behavior.shape == (6, 40, DIMS)
    assert output.latent.shape == (6, 40, 16)
    alone = model(windows[2:])
    torch.testing.assert_close(output.behavior[3:], alone.behavior, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(output.latent[3:], alone.latent, rtol=1e-4, atol=1e-5)


def test_a_fresh_model_predicts_about_the_mean(model):
    output = model([draw_windows(MONDAY, 8)])
    assert 0.05 < output.latent.std() < 3
    assert output.behavior.std() < 0.5


def test_a_session_added_later_leaves_the_others_bit_for_bit(model):
    windows = [draw_windows(MONDAY, 2)]
    before = model(windows).behavior
    model.add_session(SessionInfo("new", "rat", ("z", "a"), 2))
    assert torch.equal(model(windows).behavior, before)
    assert (
        model([draw_windows(SessionInfo("new", "rat", ("z", "a"), 2), 1)]).behavior.isfinite().all()
    )
    assert [s.session_id for s in model.sessions][-1] == "new"


def test_units_of_a_session(model):
    mean, std = torch.tensor([10.0, -1.0]), torch.tensor([2.0, 0.0])
    model.set_behavior_scale(MONDAY.session_id, mean, std)
    values = torch.tensor([[12.0, -1.0], [8.0, 0.0]])
    normalized = model.normalize_behavior(values, MONDAY.session_id)
    torch.testing.assert_close(normalized, torch.tensor([[1.0, 0.0], [-1.0, 1.0]]))
    torch.testing.assert_close(model.to_units(normalized, MONDAY.session_id), values)
    other = model.normalize_behavior(values, OTHER.session_id)
    assert torch.equal(other, values)
    with pytest.raises(ValueError, match="expected 2 finite values"):
        model.set_behavior_scale(MONDAY.session_id, torch.tensor([0.0, float("nan")]), std)
    with pytest.raises(ValueError, match="expected a session of this model"):
        model.to_units(values, "nobody")


def test_weights_and_units_survive_the_state_dict(model):
    model.set_behavior_scale(MONDAY.session_id, torch.ones(2), 3 * torch.ones(2))
    state = {name: t.clone() for name, t in model.state_dict().items()}
    model.set_behavior_scale(MONDAY.session_id, torch.zeros(2), torch.ones(2))
    model.load_state_dict(state)
    assert model.to_units(torch.ones(2), MONDAY.session_id).tolist() == [4.0, 4.0]


def test_every_parameter_learns(model):
    windows = [draw_windows(s, 2) for s in SESSIONS]
    masks = [torch.rand(w.features.shape[:3]) > 0.5 for w in windows]
    if isinstance(model, Teacher):
        output = model(windows, masks)
        loss = output.behavior.square().sum() + sum(r.square().sum() for r in output.reconstruction)
    else:
        loss = model(windows).behavior.square().sum()
    loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_calibration_trains_the_session_and_the_head(model):
    names = {id(p): n for n, p in model.named_parameters()}
    trained = {names[id(p)].split(".")[1] for p in model.session_parameters(OTHER.session_id)}
    assert trained == {"subject_maps", "session_differences", "session_biases", "linear"}


def test_mixed_precision_stays_close(model):
    windows = [draw_windows(MONDAY, 2), draw_windows(OTHER, 1)]
    expected = model(windows).behavior
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(windows).behavior
    (found - expected).square().sum().backward()
    assert (found - expected).abs().max() < 0.05
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


class TestTeacher:
    def test_what_is_hidden_is_not_seen(self):
        torch.manual_seed(0)
        teacher, windows = Teacher(SMALL, SESSIONS, DIMS), draw_windows(MONDAY, 2)
        mask = torch.rand(2, 40, 3) > 0.5
        other = windows._replace(features=torch.where(mask[..., None], torch.nan, windows.features))
        one, two = (teacher([w], [mask]) for w in (windows, other))
        assert torch.equal(one.latent, two.latent)
        assert torch.equal(one.reconstruction[0], two.reconstruction[0])

    def test_hidden_bins_are_told_from_bins_at_the_mean(self):
        teacher, windows = Teacher(SMALL, SESSIONS, DIMS), draw_windows(MONDAY, 2)
        silence = windows._replace(features=torch.zeros_like(windows.features))
        hidden = teacher.encode([silence], [torch.ones(2, 40, 3, dtype=torch.bool)])
        visible = teacher.encode([silence], [torch.zeros(2, 40, 3, dtype=torch.bool)])
        assert not torch.equal(hidden, visible)
        assert torch.equal(teacher.encode([silence]), visible)

    def test_reconstruction_has_the_shape_of_the_features(self):
        windows = [draw_windows(MONDAY, 2), draw_windows(OTHER, 3)]
        output = Teacher(SMALL, SESSIONS, DIMS)(windows)
        assert [r.shape for r in output.reconstruction] == [w.features.shape for w in windows]

    def test_a_mask_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match=r"expected a mask.*\(2, 40, 3\)"):
            Teacher(SMALL, SESSIONS, DIMS).encode(
                [draw_windows(MONDAY, 2)], [torch.zeros(2, 40, 2, dtype=torch.bool)]
            )


def test_a_model_without_sessions_is_refused():
    with pytest.raises(ValueError, match="at least one session"):
        Student(SMALL, [], 2)
