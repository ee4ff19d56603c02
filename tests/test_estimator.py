"""The decoder among the estimators of scikit-learn: parameters, lists, folds, pickles, checks."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

from realm.decoder.decoder import Decoder

pytestmark = pytest.mark.filterwarnings("ignore:.*is not one of the decoder's")


@pytest.fixture(scope="module")
def trained(recordings: list[Path], small_recipe: Path) -> Decoder:
    return Decoder(small_recipe).fit([recordings[0], recordings[2]])


WRONG: dict[str, tuple[Any, Any, str]] = {
    "nothing": ([], None, "one or more recordings"),
    "a path": ("a.nwb", None, r"list of recordings, got one path, 'a\.nwb'"),
    "a Path": (Path("a.nwb"), None, "got one path"),
    "arrays": (np.zeros((100, 4)), None, "arrays do not say"),
    "a list of arrays": ([np.zeros((9, 4))], None, "arrays do not say"),
    "None": (None, None, "one or more recordings"),
    "labels": (["a.nwb"], [np.zeros(9)], "y to be None, because behavior is read"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_fitted(case: str, small_recipe: Path) -> None:
    X, y, said = WRONG[case]
    with pytest.raises(ValueError, match=said):
        Decoder(small_recipe).fit(X, y)


def test_labels_beside_recordings_are_refused_in_scores(
    trained: Decoder, recordings: list[Path]
) -> None:
    with pytest.raises(ValueError, match="y to be None"):
        trained.score(recordings[0], np.zeros(3))  # type: ignore[arg-type]


def test_lists_of_recordings(trained: Decoder, recordings: list[Path]) -> None:
    known = [recordings[0], recordings[2]]
    decoded = trained.predict(known)
    for one, path in zip(decoded, known, strict=True):
        np.testing.assert_array_equal(one, trained.predict(path))
    scores = [trained.score(path) for path in known]
    assert trained.score(known) == pytest.approx(np.mean(scores))
    assert trained.score(np.array([str(path) for path in known])) == pytest.approx(np.mean(scores))


def test_a_held_out_session_of_a_known_subject(trained: Decoder, recordings: list[Path]) -> None:
    weights = copy.deepcopy(trained.student_.state_dict())
    with pytest.warns(UserWarning, match=r"'simA_day1' is not one of the decoder's.*calibrate"):
        decoded = trained.predict(recordings[1])
    assert decoded.shape == (3500, 2)
    assert np.isfinite(decoded).all()
    assert np.isfinite(trained.score(recordings[1]))
    assert trained.sessions_ == ("simA_day0", "simB_day0")
    assert all((weights[k] == v).all() for k, v in trained.student_.state_dict().items())


def test_settings_of_the_recipe_are_parameters(small_recipe: Path) -> None:
    decoder = Decoder(small_recipe)
    steps = "distill__optimization__steps"
    assert decoder.get_params()[steps] == decoder.fitted_recipe.distill.optimization.steps
    decoder.set_params(**{steps: 4}, seed=5)
    assert decoder.fitted_recipe.distill.optimization.steps == 4
    assert decoder.get_params()[steps] == 4
    assert clone(decoder).fitted_recipe == decoder.fitted_recipe
    assert decoder.seed == 5
    with pytest.raises(ValueError, match=r"distill\.optimization\.stepps"):
        decoder.set_params(distill__optimization__stepps=4)
    with pytest.raises(ValueError, match="sead"):
        decoder.set_params(sead=4)
    assert decoder.fitted_recipe.distill.optimization.steps == 4


def test_parameters_stay_as_they_were_given(trained: Decoder, small_recipe: Path) -> None:
    assert trained.recipe == small_recipe
    assert Decoder(small_recipe).get_params(deep=False)["recipe"] is small_recipe


@pytest.mark.parametrize("tool", ["pickle", "joblib", "deepcopy"])
def test_a_fitted_decoder_survives(tool: str, trained: Decoder, recordings: list[Path]) -> None:
    if tool == "joblib":
        buffer = io.BytesIO()
        joblib.dump(trained, buffer)
        buffer.seek(0)
        again = joblib.load(buffer)
    else:
        again = copy.deepcopy(trained)
        if tool == "pickle":
            again = pickle.loads(pickle.dumps(trained))
    expected = trained.predict(recordings[2])
    np.testing.assert_array_equal(again.predict(recordings[2]), expected)


def test_a_loaded_decoder_survives_as_well(
    trained: Decoder, recordings: list[Path], tmp_path: Path
) -> None:
    trained.save_pretrained(tmp_path / "model")
    again = pickle.loads(pickle.dumps(Decoder.from_pretrained(tmp_path / "model")))
    expected = trained.predict(recordings[2])
    np.testing.assert_array_equal(again.predict(recordings[2]), expected)


def test_folds_over_sessions(small_recipe: Path, recordings: list[Path]) -> None:
    sessions = recordings[:2]
    scores = cross_val_score(Decoder(small_recipe), sessions, cv=2, error_score="raise")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


@pytest.mark.slow
def test_a_grid_over_settings(small_recipe: Path, recordings: list[Path]) -> None:
    grid = {"distill__optimization__steps": [2, 4]}
    search = GridSearchCV(Decoder(small_recipe), grid, cv=2, error_score="raise")
    search.fit(recordings[:2])
    assert set(search.best_params_) == set(grid)
    assert search.best_estimator_.sessions_ == ("simA_day0", "simA_day1")


def test_columns_of_a_table_are_matched_by_name(trained: Decoder) -> None:
    class Table:
        """As much of a DataFrame as is needed."""

        def __init__(self, values: np.ndarray, columns: list[str]) -> None:
            self.values, self.columns = values, columns

        def __getitem__(self, names: list[str]) -> np.ndarray:
            return self.values[:, [self.columns.index(name) for name in names]]

    names = list(trained.channel_names("simB_day0"))
    samples = np.random.default_rng(0).normal(0, 5e-5, (1000, 4))
    expected = trained.predict(samples, "simB_day0")
    turned = Table(samples[:, ::-1], names[::-1])
    np.testing.assert_array_equal(trained.predict(turned, "simB_day0"), expected)
    with pytest.raises(ValueError, match="none for ch03"):
        trained.predict(Table(samples[:, :3], names[:3]), "simB_day0")


# scikit-learn's own checks. All others give the estimator arrays of features and labels, which a
# decoder does not take: it reads recordings (docs/guide/scikit_learn.md says so).
CHECKS = (
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_mixin_order,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_of_scikit_learn(check: Any, small_recipe: Path) -> None:
    check("Decoder", Decoder(small_recipe))


def test_a_decoder_that_is_not_fitted_says_so(small_recipe: Path, recordings: list[Path]) -> None:
    with pytest.raises(NotFittedError, match="call fit first"):
        Decoder(small_recipe).predict(recordings[0])
