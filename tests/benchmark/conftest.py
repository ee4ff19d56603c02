"""What tests of the benchmark share."""

from __future__ import annotations

from pathlib import Path

import pytest

from realm.recipe import Recipe, load_recipe


@pytest.fixture(scope="module")
def recipe(small_recipe: Path) -> Recipe:
    """Trainings of two steps."""
    quick = [
        f"{part}.optimization.{key}=2"
        for part in ("distill", "pretrain")
        for key in ("steps", "validate_every")
    ]
    return load_recipe(small_recipe, quick)
