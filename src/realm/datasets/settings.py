"""A recipe for a dataset: its settings and its caveats as TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from realm.data.behavior import Target
from realm.inspection.suggestion import Suggestion, check_recipe, recipe_text

ECOG_HZ = {"beta": (12.0, 30.0), "low_gamma": (30.0, 60.0), "high_gamma": (70.0, 170.0)}


@dataclass(frozen=True)
class RecipeSettings:
    """What a recipe for the dataset begins with.

    Attributes:
        behavior: path of the series that is decoded.
        target, smoothing_s: what of it.
        bin_ms, window_s, slow_hz, bands_hz: as in a recipe.
        signal: further lines of the part [signal].
    """

    behavior: str
    target: Target = "as_stored"
    smoothing_s: float = 0.0
    bin_ms: float = 10.0
    window_s: float = 2.0
    slow_hz: tuple[float, float] = (0.3, 45.0)
    bands_hz: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(ECOG_HZ))
    signal: tuple[str, ...] = ()


def dataset_recipe(name: str, settings: RecipeSettings, remarks: tuple[str, ...]) -> str:
    """The recipe as TOML, checked on the way; `remarks` stand at its top."""
    suggestion = Suggestion(
        settings.behavior,
        settings.target,
        settings.smoothing_s,
        settings.bin_ms,
        settings.window_s,
        settings.slow_hz,
        dict(settings.bands_hz),
        None,
    )
    _, _, text = recipe_text(suggestion, name, None).partition("\n")
    for line in settings.signal:
        text = text.replace("[signal]\n", f"[signal]\n{line}\n", 1)
    head = [f"# Made by `realm dataset prepare {name}`. Choose settings on validation time only."]
    text = "\n".join([*head, *(f"# {remark}" for remark in remarks), text])
    check_recipe(text, name)
    return text
