"""The published networks: the causal contract, the quadratic form, streams without end, counts."""

from __future__ import annotations

import numpy as np
import published_reference as reference
import pytest
import torch
from contract import check_causal_part, check_gradients, check_rows_independent
from nn_cases import BANDS, DIMS, MONDAY, OTHER, TUESDAY, draw_windows

from realm.nn.published.encoder import (
    BidirectionalPublishedEncoder,
    PublishedEncoder,
    PublishedSettings,
)
from realm.nn.published.mixer import PublishedMamba2, rotated
from realm.nn.published.released import encoder_of, released_settings
from realm.nn.published.tokenizer import RunningMean, running_mean
from realm.nn.ssd import ssd, ssd_recurrence
from realm.nn.student import Student
from realm.nn.teacher import Teacher

SMALL = PublishedSettings(
    channels=5,
    bands=2,
    layers=2,
    d_model=16,
    d_state=6,
    headdim=8,
    d_channel=3,
    mean_bins=40,
    skip=True,
)
SESSIONS = [MONDAY, TUESDAY, OTHER]
PLACES = 10
TOLERANCE = {torch.float64: (1e-9, 1e-11), torch.float32: (1e-3, 5e-5)}


class OfMonday:
    """A student bound to one session."""

    def __init__(self, student):
        self.student, self.initial_state = student, student.initial_state
        self.parameters = student.parameters

    def step(self, x, state):
        return self.student.step(x, state, MONDAY.session_id)


def make(name, dtype=torch.float64):
    torch.manual_seed(5)
    part = {
        "mixer": lambda: PublishedMamba2(PLACES, 6, 4, 2, 4),
        "tokenizer": SMALL.tokenizer,
        "encoder": lambda: PublishedEncoder(SMALL),
        "student": lambda: Student(SMALL, SESSIONS, DIMS),
    }[name]()
    part = part.to(dtype).eval()
    with torch.no_grad():  # no parameter at a special value
        for parameter in part.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return OfMonday(part) if name == "student" else part


def draw(name, batch, time, dtype=torch.float64):
    shape = (len(MONDAY.channel_names), BANDS) if name == "student" else (PLACES,)
    return torch.randn(batch, time, *shape, dtype=dtype)


PARTS = ["mixer", "tokenizer", "encoder", "student"]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", PARTS)
def test_chunks_future_state_and_rows(name, dtype):
    part, (rtol, atol), rng = make(name, dtype), TOLERANCE[dtype], np.random.default_rng(0)
    check_causal_part(
        part.step,
        lambda: part.initial_state(2, dtype),
        draw(name, 2, 130, dtype),
        rng=rng,
        rtol=rtol,
        atol=atol,
        time_axis=1,
    )
    check_rows_independent(
        part.step,
        lambda batch: part.initial_state(batch, dtype),
        draw(name, 3, 60, dtype),
        rng=rng,
        rtol=rtol,
        atol=atol,
    )


@pytest.mark.parametrize("name", PARTS)
def test_gradients_through_chunks(name):
    part = make(name)
    check_gradients(
        part.step,
        lambda: part.initial_state(2, torch.float64),
        draw(name, 2, 60),
        list(part.parameters()),
        rng=np.random.default_rng(0),
        rtol=1e-7,
        atol=1e-9,
    )


@pytest.mark.parametrize("both", [False, True])
def test_whole_and_streamed_segments_are_the_quadratic_form(both):
    kwargs = reference.SMALL | {"bidirectional": both}
    state, x = reference.released(kwargs), torch.randn(2, 90, 7, dtype=torch.float64)
    expected = reference.encode(state, kwargs, x[..., None].numpy())
    encoder = encoder_of(released_settings(kwargs), state).double()
    with torch.no_grad():
        np.testing.assert_allclose(encoder(x).numpy(), expected, rtol=0, atol=1e-10)
        single = encoder.float()(x.float())
        np.testing.assert_allclose(single.numpy(), expected, rtol=0, atol=1e-5)
        if not both:
            encoder.double()
            after, parts = encoder.initial_state(2, torch.float64), []
            for bin_ in x.split(1, dim=1):
                y, after = encoder.step(bin_, after)
                parts.append(y)
            np.testing.assert_allclose(torch.cat(parts, 1).numpy(), expected, rtol=0, atol=1e-10)


def test_the_input_enters_the_state_space_unscaled_in_chunks_as_in_the_recurrence():
    x, B, C = torch.randn(2, 70, 3, 4).double(), *torch.randn(2, 2, 70, 5).double()
    dt, A = torch.rand(2, 70, 3).double(), -torch.rand(3).double()
    chunks, recurrence = (form(x, dt, A, B, C, scaled=False) for form in (ssd, ssd_recurrence))
    for one, other in zip(chunks, recurrence, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        ssd(dt[..., None] * x, dt, A, B, C, scaled=False), ssd(x, dt, A, B, C)
    )


def test_the_state_is_turned_back_by_one_position_with_each_bin():
    """The definition: positions counted since the start, in a state that is never turned."""
    torch.manual_seed(0)
    B, C = torch.randn(2, 1, 6000, 6).double()
    x, dt = torch.randn(1, 6000, 1, 2).double(), torch.full((1, 6000, 1), 0.01).double()
    A, at = -torch.ones(1).double(), torch.arange(6000)
    expected, _ = ssd(x, dt, A, rotated(B, at), rotated(C, at), scaled=False)
    state, parts = torch.zeros(1, 1, 2, 6).double(), []
    for begin in range(0, 6000, 75):
        part, here = slice(begin, begin + 75), torch.arange(75)
        turned = rotated(B[:, part], here), rotated(C[:, part], here)
        start = rotated(state, torch.tensor([-1]))
        y, state = ssd(x[:, part], dt[:, part], A, *turned, start, scaled=False)
        state = rotated(state, torch.tensor([-74]))
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=0, atol=1e-9)


def test_the_mean_is_published_for_a_segment_then_forgets():
    values = torch.randn(2, 700, 3).double()
    before = RunningMean(torch.zeros(2, 3).double(), 0)
    means, after = running_mean(values, before, 500)
    counts = torch.arange(1, 501)[:, None]
    torch.testing.assert_close(means[:, :500], values[:, :500].cumsum(1) / counts)
    mean = means[:, 499]
    for t in range(500, 700):
        mean = mean + (values[:, t] - mean) / 500
        torch.testing.assert_close(means[:, t], mean)
    assert after.bins == 500
    torch.testing.assert_close(after.mean, mean)


def test_a_change_of_level_is_known_again_after_three_time_constants():
    mean, _ = running_mean(
        torch.zeros(1, 100_000, 1).double(), RunningMean(torch.zeros(1, 1).double(), 0), 500
    )
    assert mean.abs().max() == 0
    old = RunningMean(torch.zeros(1, 1).double(), 500)
    means, _ = running_mean(torch.ones(1, 1500, 1).double(), old, 500)
    assert 0.94 < float(means[0, -1, 0]) < 1


def test_places_without_a_channel_hold_zeros():
    """As published: a mask makes them zero before the convolution, whose bias still speaks."""
    student = make("student").student
    window = draw_windows(TUESDAY, 2, dtype=torch.float64)
    latent = student([window]).latent
    padded = torch.zeros(2, 40, PLACES, dtype=torch.float64)
    padded[..., :4] = window.features.flatten(2)
    torch.testing.assert_close(latent, student.encoder(padded))
    assert not any("adapters" in name for name, _ in student.named_parameters())
    weight = student.adapters.weight(TUESDAY.session_id)
    torch.testing.assert_close(window.features.flatten(2) @ weight, padded)


def test_too_many_channels_and_other_bands_are_named():
    with pytest.raises(ValueError, match=r"1 to 2 channels.*got 3.*rat\.1-mon"):
        Student(SMALL.model_copy(update={"channels": 2}), [MONDAY], 1)
    with pytest.raises(ValueError, match=r"1 bands.*got 2.*rat\.1-mon"):
        Student(SMALL.model_copy(update={"bands": 1}), [MONDAY], 1)
    with pytest.raises(ValueError, match=r"even d_state.*7"):
        PublishedSettings(d_state=7)


def test_the_skip_reads_the_features_of_the_bin():
    encoder, x = make("encoder"), draw("encoder", 2, 20)
    latents = encoder(x)
    assert latents.shape == (2, 20, SMALL.latent_width) == (2, 20, 26)
    torch.testing.assert_close(latents[..., 16:], x)


def test_what_is_hidden_is_replaced_after_the_tokenizer():
    torch.manual_seed(1)
    teacher = Teacher(SMALL, SESSIONS, DIMS).double().eval()
    window = draw_windows(MONDAY, 2, dtype=torch.float64)
    mask = torch.zeros(2, 40, 3, dtype=torch.bool)
    mask[:, 10:20] = True
    tokens = []
    with torch.no_grad():
        teacher.encoder.dropout = 0.0
        whole = teacher.encoder.tokenizer(teacher.adapters(window.features, MONDAY.session_id))
        handle = teacher.encoder.norms[0].register_forward_hook(lambda m, i, o: tokens.append(i[0]))
        output = teacher([window], [mask])
        handle.remove()
    expected = whole.clone()
    expected[:, 10:20] = teacher.mask_vector.detach()
    torch.testing.assert_close(tokens[0], expected)
    assert output.reconstruction[0].shape == window.features.shape
    plain = teacher.encode([window])
    none = teacher.encode([window], [torch.zeros_like(mask)])
    torch.testing.assert_close(plain, none)


def test_training_drops_paths_and_entries_and_decoding_does_not():
    torch.manual_seed(0)
    settings = SMALL.model_copy(update={"dropout": 0.0, "drop_path": 0.6, "layers": 3})
    encoder, x = BidirectionalPublishedEncoder(settings), torch.randn(400, 2, PLACES)
    seen = []
    encoder.mixers[2].register_forward_hook(lambda m, i, o: seen.append(o.detach()))
    encoder.out_norm.register_forward_hook(lambda m, i, o: seen.append(i[0].detach()))
    encoder.norms[2].register_forward_hook(lambda m, i, o: seen.append(i[0].detach()))
    with torch.no_grad():
        encoder(x)
        before, mixed, after = seen
        added = (after - before).abs().amax((1, 2)) > 0
        assert 0.3 < added.float().mean() < 0.5
        torch.testing.assert_close(
            (after - before)[added], mixed[added] / 0.4, rtol=1e-4, atol=1e-4
        )
        encoder.eval()
        torch.testing.assert_close(encoder(x), encoder(x))
        dropping = BidirectionalPublishedEncoder(SMALL)
        assert (dropping(x) - dropping(x)).abs().max() > 0


# Published counts, and what of them has no counterpart here: a table of sessions that is not read,
# square maps with bias that are not read, the second of two biases of the readout.
COUNTS = {
    "teacher": (reference.TEACHER, 0, 11_496_709 - 34 * 256 - 10 * (256 * 256 + 256)),
    "student": (reference.STUDENT, 2, 4_909_273 - 200 * 256 - 2),
    "both ways": (reference.BOTH_WAYS, 2, 5_542_057 - 200 * 256 - 8 * (256 * 256 + 256) - 2),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_published_parameter_is_accounted_for(name):
    kwargs, dims, expected = COUNTS[name]
    settings = released_settings(kwargs).settings.model_copy(update={"skip": dims > 0})
    make_encoder = BidirectionalPublishedEncoder if kwargs["bidirectional"] else PublishedEncoder
    with torch.device("meta"):
        encoder = make_encoder(settings)
    head = dims * (settings.latent_width + 1)
    assert sum(p.numel() for p in encoder.parameters()) + head == expected
