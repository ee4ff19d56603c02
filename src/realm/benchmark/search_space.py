"""What may be tuned, method by method: the search spaces of `realm tune`.

Every method gets the same number of trials. The first is the recipe's own settings, the others are
drawn from the space below, each from a generator of its own, so that asking for more trials adds
to those that are done. Optimization and augmentation of the trained methods have one space.
"""

from __future__ import annotations

import math
import random
from typing import Any, NamedTuple

from realm.recipe import Recipe, parse_recipe, with_overrides

DRAWS = 1000  # tries to draw settings that no earlier trial had

Settings = dict[str, Any]  # key of the recipe -> value


class Choice(NamedTuple):
    """One of these values."""

    values: tuple[Any, ...]

    def draw(self, generator: random.Random) -> Any:
        """Draw a value."""
        return generator.choice(self.values)


class LogUniform(NamedTuple):
    """A number between two limits, even on a log scale, to two digits."""

    low: float
    high: float

    def draw(self, generator: random.Random) -> float:
        """Draw a value."""
        value = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return float(f"{value:.1e}")


Space = dict[str, Choice | LogUniform]

RATE = LogUniform(5e-4, 1e-2)
WIDTH, LAYERS = Choice((64, 96, 128)), Choice((1, 2))
NOISE, DROPOUT = Choice((0.0, 0.1, 0.2, 0.3, 0.5, 0.8)), Choice((0.0, 0.1, 0.2, 0.3))
HIDDEN = Choice((0.2, 0.3, 0.5, 0.7))
LAG_S = Choice((0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0))


def _trained(section: str) -> Space:
    """How a baseline is trained that is trained like the student."""
    return {
        f"{section}.learning_rate": RATE,
        f"{section}.noise": NOISE,
        f"{section}.channel_dropout": DROPOUT,
    }


def _trained_by_itself(section: str) -> Space:
    """The same for a training with a section of its own in the recipe."""
    return {
        f"{section}.optimization.learning_rate": RATE,
        f"{section}.augmentation.noise": NOISE,
        f"{section}.augmentation.channel_dropout": DROPOUT,
    }


def _sizes(section: str, width: Choice = WIDTH, layers: Choice = LAYERS) -> Space:
    return {f"{section}.d_model": width, f"{section}.layers": layers}


_LARGE = Choice((128, 192)), Choice((2, 3))

SPACES: dict[str, Space] = {
    "ridge": {"baselines.ridge.lag_s": LAG_S},
    "kalman": {"baselines.kalman.lag_s": LAG_S},
    "gru": {**_trained("baselines.gru"), **_sizes("baselines.gru")},
    "lstm": {**_trained("baselines.lstm"), **_sizes("baselines.lstm")},
    "transformer_causal": {
        **_trained("baselines.transformer_causal"),
        **_sizes("baselines.transformer_causal"),
        "baselines.transformer_causal.context_s": Choice((0.5, 1.0, 2.0)),
    },
    "scratch": _trained("baselines.scratch"),  # its network is the student's
    "student": {**_trained_by_itself("distill"), **_sizes("distill.encoder", Choice((64, 96)))},
    "mamba_bidirectional": {
        **_trained("baselines.mamba_bidirectional"),
        **_sizes("baselines.mamba_bidirectional.encoder", *_LARGE),
    },
    "teacher_probe": {
        **_trained_by_itself("pretrain"),
        **_sizes("pretrain.encoder", *_LARGE),
        "pretrain.mask.hidden_share": HIDDEN,
    },
    "transformer_mae_probe": {
        **_trained_by_itself("baselines.transformer_mae_probe"),
        **_sizes("baselines.transformer_mae_probe", Choice((96, 128)), Choice((2, 4))),
        "baselines.transformer_mae_probe.mask.hidden_share": HIDDEN,
        "baselines.transformer_mae_probe.optimization.steps": Choice((1000, 2000, 3000)),
    },
}


def draw_trials(recipe: Recipe, method: str, trials: int, seed: int) -> list[Settings]:
    """The settings of every trial of a method, all different; fewer where the space is small.

    Raises:
        ValueError: the method has no settings to tune, or `trials` is below 1.
    """
    if method not in SPACES or trials < 1:
        raise ValueError(
            f"expected 1 trial or more of one of {', '.join(SPACES)}, got {trials} of {method!r}; "
            "correct --method or --trials"
        )
    space = SPACES[method]
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
