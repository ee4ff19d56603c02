"""Drawing the trials of `realm tune` from the search space that a method declares.

Every method gets the same number of trials. The first has the settings of the recipe. The others
are drawn from the method's space, each from a random generator of its own, so that asking for more
trials keeps those that are done.
"""

from __future__ import annotations

import random
from typing import Any

from realm.methods.method import Space
from realm.methods.registry import find, names
from realm.recipe import Recipe, parse_recipe, with_overrides

DRAWS = 1000  # tries to draw settings that no earlier trial had

Settings = dict[str, Any]  # key of the recipe -> value


def draw_trials(recipe: Recipe, method: str, trials: int, seed: int) -> list[Settings]:
    """The settings of every trial of a method, all different; fewer where the space is small.

    Raises:
        ValueError: the method has no settings to tune, or `trials` is below 1.
    """
    found = find(method)
    if found is None or not found.space or trials < 1:
        raise ValueError(
            f"expected 1 trial or more of one of {', '.join(names())}, got {trials} of {method!r}; "
            "correct --method or --trials"
        )
    space = found.space
    drawn = [{key: setting(recipe, key) for key in space}]
    for trial in range(1, trials):
        generator = random.Random(f"{seed}/{method}/{trial}")
        fresh = (_draw(space, generator) for _ in range(DRAWS))
        new = next((settings for settings in fresh if settings not in drawn), None)
        if new is not None:
            drawn.append(new)
    return drawn


def setting(recipe: Recipe, key: str) -> Any:
    """The value of a key such as "distill.encoder.layers" in a recipe."""
    value: Any = recipe.resolved()
    for part in key.split("."):
        value = value[part]
    return value


def with_settings(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe with these settings.

    Raises:
        ValueError: they do not fit it; the message names the key.
    """
    said = {key: value for key, value in settings.items() if value is not None}
    content = recipe.resolved()
    for key in settings.keys() - said.keys():
        assert setting(recipe, key) is None, f"{key} cannot be unset"
    return parse_recipe(with_overrides(content, override_lines(said)), recipe.name)


def override_lines(settings: Settings) -> list[str]:
    """The settings as `key=value`, as `--set` takes them; without those that are not set."""
    return [f"{key}={_toml(value)}" for key, value in settings.items() if value is not None]


def _draw(space: Space, generator: random.Random) -> Settings:
    return {key: dimension.draw(generator) for key, dimension in space.items()}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)
