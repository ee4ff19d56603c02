"""Readouts in closed form: against scikit-learn, and nothing but the given labels decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from tiny_recipe import SMALL_RECIPE

from realm.data.prepare import prepare_session
from realm.data.sessions import PreparedSession
from realm.recipe import load_recipe
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session
from realm.training.build import behavior_scales, new_student
from realm.training.decode import decode_stream
from realm.training.frozen import (
    BLOCKS,
    PENALTIES,
    fit_readout,
    fit_to_session,
    inside_labels,
    labelled_bins,
    lagged,
    latents_of,
    set_head,
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> PreparedSession:
    folder = tmp_path_factory.mktemp("frozen")
    small = SimulationConfig(
        subjects=1, days=1, duration_s=60, channels=4, sampling_rate_hz=250, behavior_rate_hz=50
    )
    file = write_session(folder / "a.nwb", simulate_session(small, 0))
    (folder / "small.toml").write_text(SMALL_RECIPE)
    recipe = load_recipe(folder / "small.toml")
    return PreparedSession.load(
        prepare_session(file, folder / "prepared", recipe.signal, recipe.data)
    )


def some(bins: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((bins, columns)) * np.linspace(0.1, 9, columns) + 3
    y = x[:, :2] @ rng.standard_normal((2, 2)) + 0.5 * rng.standard_normal((bins, 2)) - 7
    return x, y


@pytest.mark.parametrize("columns", [6, 150])  # fewer and more than bins
def test_it_is_the_ridge_regression_of_scikit_learn(columns: int) -> None:
    x, y = some(90, columns)
    readout = fit_readout(x, y, gap_bins=2)
    assert readout.penalty in PENALTIES
    centre, scale = x.mean(0), x.std(0)
    ridge = Ridge(alpha=readout.penalty * len(x)).fit((x - centre) / scale, y)
    np.testing.assert_allclose(readout(x), ridge.predict((x - centre) / scale), atol=1e-8)


def test_the_score_inside_the_labels_is_one_of_blocks_that_were_left_out() -> None:
    x, y = some(400, 5)
    assert 0.5 < fit_readout(x, y, 5).r2 < 1
    noise = np.random.default_rng(3).standard_normal((400, 40))
    assert fit_readout(noise, y, 5).r2 < 0.05  # on its own bins it would be far above
    assert np.isnan(fit_readout(x, np.ones_like(y), 5).r2)


def test_a_neighbour_of_a_block_does_not_decide() -> None:
    """Slow noise looks like knowledge where neighbouring bins are on both sides of a cut."""
    rng = np.random.default_rng(1)
    slow = np.cumsum(rng.standard_normal((400, 2)), axis=0)
    x = np.eye(400)[:, ::2] + np.eye(400, k=1)[:, ::2]  # one column for each pair of bins
    assert fit_readout(x, slow, gap_bins=40).r2 <= fit_readout(x, slow, gap_bins=0).r2


def test_constant_columns_and_too_few_labels() -> None:
    x, y = some(50, 3)
    x = np.c_[x, np.full(50, 4.0)]
    assert np.isfinite(fit_readout(x, y, 1).weight).all()
    with pytest.raises(ValueError, match=f"at least {2 * BLOCKS} labelled bins"):
        fit_readout(x[:5], y[:5], 1)
    with pytest.raises(ValueError, match="finite"):
        fit_readout(np.where(x > 5, np.nan, x), y, 1)


def test_lags_reach_back_and_never_forward() -> None:
    x = np.arange(5.0)[:, None]
    np.testing.assert_array_equal(
        lagged(x, [1, 3]), [[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 0], [4, 3, 1]]
    )
    np.testing.assert_array_equal(lagged(x, [9])[:, 1], np.zeros(5))


def test_only_the_given_labels_are_read(session: PreparedSession) -> None:
    for label_s in (5.0, 20.0, None):
        view, known = inside_labels(session, label_s), labelled_bins(session, label_s)
        (start, cut), (first, stop) = view.splits["train"], view.splits["validation"]
        assert start == session.splits["train"][0]
        assert cut < first < stop == known[-1] + 1 <= session.splits["train"][1]
        assert view.splits["test"] == session.splits["test"]
    assert session.splits["validation"] != view.splits["validation"]
    with pytest.raises(ValueError, match="labelled bins"):
        inside_labels(session, 0.0)


def test_a_head_decodes_as_its_readout(session: PreparedSession) -> None:
    config = load_recipe("reach_sim").distill
    student = new_student([session], {}, config, 0).double()
    student.set_behavior_scale(
        session.session_id, *behavior_scales([session], {})[session.session_id]
    )
    latents = latents_of(student, session)
    readout = fit_to_session(latents, session, 20.0)
    set_head(student, session.session_id, readout)
    np.testing.assert_allclose(
        decode_stream(student, session), readout(latents), rtol=1e-4, atol=1e-5
    )


def test_with_lookahead_later_latents_decode(session: PreparedSession) -> None:
    behavior, _ = session.behavior(0, session.n_bins)
    late = 3
    columns = np.zeros_like(behavior)
    columns[late:] = behavior[:-late]  # what is known three bins later
    assert fit_to_session(columns, session, None, lookahead=late).r2 > 0.999
    assert fit_to_session(columns, session, None).r2 < 0.999


def test_a_session_without_behavior_hides_it(session: PreparedSession) -> None:
    hidden = session.without_behavior()
    values, known = hidden.behavior(10, 20)
    assert not known.any()
    assert not values.any()
    assert not hidden.has_behavior
    assert session.has_behavior
    assert session.behavior(10, 20)[1].any()
    assert torch.equal(
        torch.from_numpy(hidden.features(0, 9)), torch.from_numpy(session.features(0, 9))
    )
