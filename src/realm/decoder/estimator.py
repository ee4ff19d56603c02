"""What scikit-learn asks of an estimator: parameters by name, those of the recipe among them.

A setting of the recipe is a parameter whose parts are joined by two underscores, such as
`distill__optimization__steps`, so that `GridSearchCV` can search over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from sklearn.base import BaseEstimator, RegressorMixin

from realm.recipe import Recipe, load_recipe, parse_recipe

JOIN = "__"


class RecipeEstimator(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator whose settings are those of a recipe.

    Attributes:
        recipe: as it was given: a recipe, its file, or the name of one of this package.
    """

    recipe: str | Path | Recipe

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the estimator; with `deep`, every setting of its recipe as well."""
        found: dict[str, Any] = super().get_params(deep=False)
        if deep:
            found |= dict(_leaves(self.unfitted_recipe().resolved()))
        return found

    def set_params(self, **params: Any) -> Self:
        """Set arguments, and settings of the recipe.

        Raises:
            ValueError: there is no such argument or setting, or the value does not fit; the message
                lists the valid ones.
        """
        own = set(super().get_params(deep=False))
        plain = {key: value for key, value in params.items() if key in own}
        nested = {key: value for key, value in params.items() if JOIN in key}
        unknown = sorted(set(params) - set(plain) - set(nested))
        if unknown:
            raise ValueError(
                f"expected one of {', '.join(sorted(own))}, or a setting of the recipe such as "
                f"distill{JOIN}optimization{JOIN}steps, got {', '.join(unknown)}; correct the name"
            )
        for key, value in plain.items():
            setattr(self, key, value)
        if nested:
            content = self.unfitted_recipe().resolved()
            for key, value in nested.items():
                *parents, last = key.split(JOIN)
                section = content
                for parent in parents:
                    inner = section.get(parent)
                    section = inner if isinstance(inner, dict) else section.setdefault(parent, {})
                section[last] = value
            self.recipe = parse_recipe(content, "set_params")
        return self

    def unfitted_recipe(self) -> Recipe:
        """The recipe that `fit` follows, read and checked."""
        return self.recipe if isinstance(self.recipe, Recipe) else load_recipe(self.recipe)


def paths_of(X: Any, y: Any) -> list[Path]:
    """The recordings that are given to `fit`.

    Raises:
        ValueError: none, one path instead of a list, no paths, or labels beside them.
    """
    if isinstance(X, str | Path):
        raise ValueError(f"expected a list of recordings, got one path, {str(X)!r}; give [path]")
    if y is not None:
        raise ValueError(
            "expected y to be None, because behavior is read from the recordings as the recipe "
            "says in data.behavior; give the recordings alone"
        )
    found = list(X) if hasattr(X, "__iter__") else []
    if not found or not is_paths(found):
        what = f"{type(found[0]).__name__}s" if found else repr(X)
        raise ValueError(
            f"expected the paths of one or more recordings, got {what}; arrays do not say their "
            "channels, rate and behavior: write them to a file (docs/guide/own_recordings.md)"
        )
    return [Path(str(path)) for path in found]


def is_paths(X: Any) -> bool:
    """Whether these are several paths of recordings, and no samples."""
    listed = isinstance(X, list | tuple) or getattr(X, "dtype", None) is not None
    return bool(listed and len(X) and all(isinstance(item, str | Path) for item in X))


def in_order(X: Any, names: tuple[str, ...]) -> Any:
    """The columns of a table by their names; anything without names of columns as it is.

    Raises:
        ValueError: a channel is missing.
    """
    columns = getattr(X, "columns", None)
    if columns is None:
        return X
    missing = [name for name in names if name not in set(columns)]
    if missing:
        raise ValueError(
            f"expected a column for each of the channels {', '.join(names)}, found none for "
            f"{', '.join(missing)}; name the columns as the recording names its channels"
        )
    return X[list(names)]


def _leaves(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{before}{key}{JOIN}")
        elif before:
            yield f"{before}{key}", value
