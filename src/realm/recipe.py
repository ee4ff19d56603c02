"""A recipe: one strict TOML file that says everything a published result depends on.

A misspelt key is an error that lists the valid ones; what was run is stored, resolved, beside its
results.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    BaseModel,
    Field,
    PositiveFloat,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from realm.data.config import DataConfig
from realm.files import sha256_json
from realm.methods.registry import BaselinesConfig, section_of
from realm.nn.encoders import EncoderSettings, settings_class
from realm.signal import SignalConfig
from realm.training.config import CalibrateConfig, DistillConfig, PretrainConfig, Strict
from realm.training.tracking import TrackingConfig


class LabelsConfig(Strict):
    """Which sessions have labels, and which are kept back; all others keep theirs.

    Attributes:
        budget_s: seconds of labels of these sessions, the first of training time; or "all".
        sessions: names of the sessions with this budget; * matches anything.
        held_out: names of sessions that are new to the networks: no label of theirs is read and
            they are not scored; `realm calibrate` adapts the decoder to them.
        held_out_signal: unseen or seen: whether training may read their signal.
    """

    budget_s: float | Literal["all"] = "all"
    sessions: tuple[str, ...] = ("*",)
    held_out: tuple[str, ...] = ()
    held_out_signal: Literal["unseen", "seen"] = "unseen"


class BenchmarkConfig(Strict):
    """What `realm benchmark` does beside the main run.

    Attributes:
        lookahead_ms: future that further students may wait for; 0 is the main run's student.
        label_s: label budgets of a new session, in seconds; all labels come on top.
        training_share: of a subject's sessions, in the order of time, that train the decoders
            which are then carried over to the rest; rounded up.
        spikes: path of the spike counts stored beside the LFP.
        held_out_sessions: how many of a subject's last sessions are new to the networks that
            learn without labels.
        held_out_label_s: seconds of labels that such a session then gives; all come on top.
        held_out_methods: methods that compete there; none named: all of them.
        held_out_variants: whether the networks saw the signal of such a session, without labels.
    """

    lookahead_ms: tuple[PositiveFloat, ...] = (20.0, 50.0, 100.0, 200.0)
    label_s: tuple[PositiveFloat, ...] = (30.0, 120.0)
    training_share: float = Field(2 / 3, gt=0, lt=1)
    spikes: str = "ecephys/threshold_crossings"
    held_out_sessions: int = Field(2, ge=1)
    held_out_label_s: tuple[PositiveFloat, ...] = (5.0, 30.0, 120.0)
    held_out_methods: tuple[str, ...] = ()
    held_out_variants: tuple[Literal["unseen", "signal_seen"], ...] = ("unseen", "signal_seen")


class Recipe(Strict):
    """All settings of a run, by part.

    Attributes:
        name: what reports and trackers call the recipe.
        seeds: one training of everything for each of these numbers.
    """

    name: str
    seeds: list[int] = Field([0], min_length=1)
    signal: SignalConfig = SignalConfig()
    data: DataConfig
    labels: LabelsConfig = LabelsConfig()
    pretrain: PretrainConfig
    distill: DistillConfig
    calibrate: CalibrateConfig = CalibrateConfig()
    baselines: BaselinesConfig = BaselinesConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    tracking: TrackingConfig = TrackingConfig()

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError(f"expected different seeds of 0 or more, got {seeds}")
        return seeds

    @field_serializer("signal")
    def _plain_signal(self, signal: SignalConfig) -> dict[str, Any]:
        return signal.to_dict()

    @model_validator(mode="after")
    def _behavior_where_labels_are_read(self) -> Recipe:
        if self.data.behavior is None and not self.label_free:
            raise PydanticCustomError(
                "behavior_missing",
                "the key 'data.behavior' is missing; add the path of what is to be decoded, or set "
                "pretrain.task_weight and distill.task_weight to 0 to train without labels",
            )
        return self

    @property
    def label_free(self) -> bool:
        """Whether teacher and student are trained without reading any behavior."""
        return self.pretrain.task_weight == 0 and self.distill.task_weight == 0

    def resolved(self) -> dict[str, Any]:
        """Every setting, defaults included, as JSON values."""
        return self.model_dump(mode="json")

    def fingerprint(self, *parts: str, **more: Any) -> str:
        """Hash of the named parts of the recipe and of whatever else a stage depends on."""
        resolved = self.resolved()
        return sha256_json({part: resolved[part] for part in parts} | more)


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, or one that comes with the package by its name.

    `overrides` are `key=value` with dots between the parts of the key and TOML values, such as
    `distill.optimization.steps=200`; a value that is not TOML is taken as a string.

    Raises:
        ValueError: no such recipe, not TOML, an unknown key (the valid ones are listed) or a value
            that does not fit; the message names the file and the key.
    """
    path = find_recipe(source)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a TOML recipe, but {error}; correct that line"
        ) from None
    return parse_recipe(with_overrides(content, overrides), str(path))


def with_overrides(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The content of a recipe with `key=value` settings laid over it."""
    content = copy.deepcopy(content)
    for override in overrides:
        _override(content, override)
    return content


def parse_recipe(content: dict[str, Any], origin: str) -> Recipe:
    """Check the content of a recipe; `origin` names it in messages."""
    content = _spans_in_ms(content)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        lines = [_explain(problem, content) for problem in error.errors()]
        raise ValueError(f"{origin}: " + "; ".join(lines)) from None


def _spans_in_ms(content: dict[str, Any]) -> dict[str, Any]:
    """The content with spans of masks in ms; recipes of version 0.1 say them in bins."""
    bin_ms = _inside(content, "signal").get("bin_ms", SignalConfig().bin_ms)
    content = copy.deepcopy(content)
    for path in (("pretrain",), ("baselines", "transformer_mae_probe")):
        mask = _inside(content, *path, "mask")
        spans = mask.get("span_bins")
        # Anything but numbers stays, to be refused as an unknown key beside the valid ones.
        if isinstance(spans, list | tuple) and all(
            isinstance(number, int | float) for number in (bin_ms, *spans)
        ):
            del mask["span_bins"]
            mask.setdefault("span_ms", [span * bin_ms for span in spans])
    return content


def _inside(content: Any, *path: str) -> dict[str, Any]:
    """The section at `path`, empty where there is none."""
    for part in path:
        content = content.get(part) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def find_recipe(source: str | Path) -> Path:
    """The path of a recipe given as a file or as the name of one that comes with the package."""
    path = Path(source)
    if path.is_file():
        return path
    known = packaged_recipes()
    if str(source) in known:
        return known[str(source)]
    raise ValueError(
        f"{source}: expected a recipe file or one of {', '.join(sorted(known))}; found neither. "
        "Check the path"
    )


def packaged_recipes() -> dict[str, Path]:
    """Name and path of the recipes that come with the package or stand in its source tree."""
    package = Path(str(files("realm")))
    folders = [package / "recipes", package.parents[1] / "recipes"]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ValueError(
            f"--set {override}: expected key=value, such as distill.optimization.steps=200"
        )
    try:
        value: Any = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.split(".")
    section = content
    for parent in parents:
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise ValueError(
                f"--set {override}: {parent!r} is a value, not a section of the recipe"
            )
    section[last] = value


def _explain(problem: Any, content: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        valid = ", ".join(_valid_keys(problem["loc"][:-1], content))
        section = ".".join(str(part) for part in problem["loc"][:-1]) or "the recipe"
        return f"unknown key {where!r}; valid keys of {section} are: {valid}"
    if problem["type"] == "behavior_missing":
        return str(problem["msg"])
    if problem["type"] in ("missing", "missing_argument"):
        return f"the key {where!r} is missing; add it"
    return f"{where}: {problem['msg']}, got {problem['input']!r}"


def _valid_keys(location: Sequence[Any], content: Any) -> list[str]:
    """Names of the fields of the section at `location`."""
    section: Any = Recipe
    for part in location:
        content = content.get(part) if isinstance(content, dict) else None
        annotation = _annotation(section, part)
        if annotation is None:
            break
        section = settings_class(content) if annotation is EncoderSettings else annotation
    if is_dataclass(section):
        return [field.name for field in fields(section)]
    return list(section.model_fields)


def _annotation(section: Any, part: Any) -> Any:
    found = getattr(section, "model_fields", {}).get(part)
    if found is None:
        return section_of(part) if section is BaselinesConfig else None
    return section_in(found.annotation)


def section_in(annotation: Any) -> Any:
    """The class of a section with this annotation; None for a value."""
    candidates = (annotation, *get_args(annotation))
    for candidate in candidates:
        if is_dataclass(candidate) or (
            isinstance(candidate, type) and issubclass(candidate, BaseModel)
        ):
            return candidate
    return None
