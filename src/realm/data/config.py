"""What to read from a recording and what to decode."""

from __future__ import annotations

from fnmatch import fnmatch

from pydantic import BaseModel, ConfigDict, Field

from realm.data.behavior import Target
from realm.data.splits import GAP_S


class DataConfig(BaseModel):
    """Settings of the data part of a recipe.

    Attributes:
        behavior: path of the behavior time series inside processing/ (or from the root); None =
            none is read, for training without labels.
        unlabelled: names of sessions whose recordings hold no behavior; * matches anything. Their
            signal is read, and nothing is scored on them.
        lfp: path of the neural series; None = the only LFP of the file.
        target: what to decode of it.
        smoothing_s: box that smooths the series before differentiation; 0 = none. It is shorter
            than the gap between the splits, so that no target mixes two of them.
        window_s: length of a training window; every split must hold at least one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    behavior: str | None = None
    unlabelled: tuple[str, ...] = ()
    lfp: str | None = None
    target: Target = "as_stored"
    smoothing_s: float = Field(default=0.0, ge=0.0, lt=GAP_S)
    window_s: float = Field(default=4.0, gt=0.0)

    def of_session(self, session_id: str) -> DataConfig:
        """The settings for one session: without behavior where it is said to have none."""
        none = any(fnmatch(session_id, pattern) for pattern in self.unlabelled)
        return self.model_copy(update={"behavior": None}) if none else self

    @property
    def behavior_path(self) -> str:
        """The path of the behavior.

        Raises:
            ValueError: the recipe names none.
        """
        if self.behavior is None:
            raise ValueError(
                "expected data.behavior, the path of what is to be decoded, but the recipe trains "
                "without labels and names none; add it"
            )
        return self.behavior
