"""What a method is: one record with all that a run, a tuning, a table and a figure ask of it.

A file of this package holds one method or one family; `realm.methods.registry` lists them. Another
package adds one by an entry point, whose name is the method's name:

    [project.entry-points."realm.methods"]
    mine = "my_package.mine:MINE"

A recipe then names it in `baselines.methods` and sets it under `[baselines.mine]`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel

from realm.data.sessions import PreparedSession
from realm.methods.complexity import Complexity
from realm.methods.experiment import Decode, Experiment
from realm.training.config import DistillConfig, PretrainConfig

OTHERS = 70  # place in tables of a method that does not say: after our causal baselines


class OneOf(NamedTuple):
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


Space = Mapping[str, OneOf | LogUniform]  # key of the recipe -> what it may be


class Design(NamedTuple):
    """What the cost of a method depends on: settings and shapes, no scores and no weights."""

    sessions: Sequence[PreparedSession]
    pretrain: PretrainConfig
    distill: DistillConfig
    window_bins: int
    parameters: int  # as in the method's results, of the widest session

    @property
    def widest(self) -> PreparedSession:
        """The session with the most channels, whose cost is told."""
        return max(self.sessions, key=lambda session: len(session.channel_names))

    @property
    def features(self) -> int:
        """Features per bin of the widest session."""
        return len(self.widest.channel_names) * len(self.widest.band_names)

    @property
    def dims(self) -> int:
        """Dimensions of the behavior."""
        return len(self.widest.behavior_names)

    def bins(self, seconds: float) -> int:
        """Whole bins of this time, at least one."""
        return max(1, round(seconds * 1000 / self.widest.bin_ms))


@dataclass(frozen=True)
class Method:
    """One way from features to behavior, the student or what it is compared with.

    Call it with an experiment to train it.

    Attributes:
        name: what recipes, tables and folders call it.
        train: from an experiment and its own settings to a `Decode`.
        settings: class of its section `[baselines.NAME]`; None: it has none.
        complexity: operations and memory per bin; None: the table of costs leaves it out.
        order: place in tables and figures, smallest first; see `realm.methods.registry`.
        colour, marker: in figures; None: chosen from the spare ones by the name.
        space: what `realm tune` may change, by key of the recipe; empty: it cannot be tuned.
        recipe_parts: parts of the recipe, beside its section, that a tuning trial depends on.
        needs_teacher: it uses the pretrained teacher.
        fitted_to_sessions: it is fitted to each session alone, so its training times add up.
    """

    name: str
    train: Callable[[Experiment, Any], Decode]
    settings: type[BaseModel] | None = None
    complexity: Callable[[Design, Any], Complexity] | None = None
    order: int = OTHERS
    colour: str | None = None
    marker: str | None = None
    space: Space = field(default_factory=dict)
    recipe_parts: tuple[str, ...] = ("distill",)
    needs_teacher: bool = False
    fitted_to_sessions: bool = False

    def __call__(self, experiment: Experiment) -> Decode:
        """Train it, with its section of the recipe."""
        return self.train(experiment, self.settings_in(experiment.baselines))

    def settings_in(self, baselines: BaseModel) -> Any:
        """Its section of `[baselines]`, the defaults where there is none, None if it has none."""
        if self.settings is None:
            return None
        return getattr(baselines, self.name, None) or self.settings()
