from __future__ import annotations

import pytest
import torch
from nn_cases import BANDS, MONDAY, OTHER, TUESDAY

from realm.nn.adapters import SessionAdapters, SessionInfo, SessionReadout, parameter_key


def make(kind=SessionAdapters):
    torch.manual_seed(0)
    return kind(8, BANDS, [MONDAY, TUESDAY, OTHER])


def test_sessions_of_a_subject_share_rows_by_channel_name():
    adapters = make()
    x = torch.randn(2, 5, 2, BANDS)  # channels c and a, as on Tuesday
    monday = torch.zeros(2, 5, 3, BANDS)
    monday[:, :, 2], monday[:, :, 0] = x[:, :, 0], x[:, :, 1]
    torch.testing.assert_close(adapters(x, TUESDAY.session_id), adapters(monday, MONDAY.session_id))


def test_a_session_keeps_a_difference_of_its_own():
    adapters = make()
    x = torch.randn(2, 5, 3, BANDS)
    before = adapters(x, MONDAY.session_id)
    with torch.no_grad():
        adapters.session_differences[parameter_key(TUESDAY.session_id)] += 1
    assert torch.equal(adapters(x, MONDAY.session_id), before)


@pytest.mark.parametrize("kind", [SessionAdapters, SessionReadout])
def test_a_session_added_later_changes_nothing_of_the_others(kind):
    adapters = make(kind)
    before = {name: p.detach().clone() for name, p in adapters.named_parameters()}
    latent, x = torch.randn(2, 5, 8), torch.randn(2, 5, 3, BANDS)
    given = latent if kind is SessionReadout else x
    output = adapters(given, MONDAY.session_id)
    adapters.add_session(SessionInfo("rat.1-wed", "rat", ("a", "d", "b"), BANDS))
    adapters.add_session(SessionInfo("dog", "dog", ("a",), BANDS))
    assert torch.equal(adapters(given, MONDAY.session_id), output)
    for name, parameter in adapters.named_parameters():
        if name in before:  # the rat's map has grown by a row for d
            assert torch.equal(parameter[: len(before[name])], before[name])


def test_own_parameters_are_used_by_no_other_session():
    adapters = make()
    inputs = {MONDAY: (3,), TUESDAY: (2,), OTHER: (1,)}
    for session in inputs:
        own = adapters.own_parameters(session.session_id)
        for other, channels in inputs.items():
            y = adapters(torch.randn(1, 4, *channels, BANDS), other.session_id)
            grads = torch.autograd.grad(y.sum(), own, allow_unused=True)
            assert all((g is not None) == (other is session) for g in grads)
    assert len(adapters.own_parameters(OTHER.session_id)) == 3  # its subject's map included


def test_readout_gives_channels_and_bands():
    y = make(SessionReadout)(torch.randn(2, 5, 8), TUESDAY.session_id)
    assert y.shape == (2, 5, 2, BANDS)


def test_any_name_can_be_a_session_and_none_collides():
    names = ["a.b", "a_b", "a b", "a/b", "", "type", "a_2e_b", "日"]
    sessions = [SessionInfo(name, name, ("c",), 1) for name in names]
    adapters = SessionAdapters(4, 1, sessions)
    assert len(adapters.session_biases) == len(names)
    again = SessionAdapters(4, 1, sessions)
    again.load_state_dict(adapters.state_dict())


def test_unknown_session_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"rat\.1-mon, rat\.1-tue, cat_1.*got 'rat\.9'"):
        make()(torch.randn(1, 1, 3, BANDS), "rat.9")


def test_wrong_channel_count_lists_the_channels():
    with pytest.raises(ValueError, match=r"3 channels, 2 bands.*a, b, c"):
        make()(torch.randn(1, 1, 2, BANDS), MONDAY.session_id)


@pytest.mark.parametrize(
    ("session", "message"),
    [
        (MONDAY, "already here"),
        (SessionInfo("x", "rat", ("a",), 5), "expected 2 bands"),
        (SessionInfo("x", "rat", ("a", "a"), BANDS), "all different"),
        (SessionInfo("x", "rat", (), BANDS), "all different"),
    ],
)
def test_sessions_that_do_not_fit_are_refused(session, message):
    with pytest.raises(ValueError, match=message):
        make().add_session(session)


def test_features_arrive_at_about_unit_scale():
    torch.manual_seed(0)
    session = SessionInfo("s", "s", tuple(map(str, range(32))), 4)
    y = SessionAdapters(64, 4, [session])(torch.randn(4, 50, 32, 4), "s")
    assert 0.8 < y.std().item() < 1.2
