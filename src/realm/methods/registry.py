"""All methods by name, the part `[baselines]` of a recipe made of them, and their order in tables.

To add one to this package, write its file and name its record in `METHODS`; other packages use an
entry point, see `realm.methods.method`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from realm import extensions
from realm.evaluation.results import ResultRow
from realm.methods.bidirectional import MAMBA_BIDIRECTIONAL
from realm.methods.kalman import KALMAN
from realm.methods.masked_transformer import TRANSFORMER_MAE_PROBE
from realm.methods.method import OTHERS, Method
from realm.methods.networks import GRU, LSTM, SCRATCH, STUDENT, TRANSFORMER_CAUSAL
from realm.methods.probes import TEACHER_PROBE
from realm.methods.ridge import RIDGE
from realm.training.config import Strict

GROUP = "methods"
METHODS = {
    method.name: method
    for method in (
        RIDGE,
        KALMAN,
        GRU,
        LSTM,
        TRANSFORMER_CAUSAL,
        SCRATCH,
        STUDENT,
        MAMBA_BIDIRECTIONAL,
        TEACHER_PROBE,
        TRANSFORMER_MAE_PROBE,
    )
}
OURS = "student"  # it always takes part
BASELINES = tuple(name for name in METHODS if name != OURS)


def names() -> tuple[str, ...]:
    """Names of all methods, those of other packages last."""
    return extensions.names(GROUP, METHODS)


def find(name: str) -> Method | None:
    """The method of this name, None if no installed package has one.

    Raises:
        ValueError: another package has it, but cannot be loaded.
    """
    if name in METHODS:
        return METHODS[name]
    if name not in names():
        return None
    found = extensions.load(GROUP, name)
    if not isinstance(found, Method) or found.name != name:
        raise ValueError(
            f"realm.methods: expected a Method named {name!r}, got {found!r}; correct the entry "
            "point of that package"
        )
    return found


def method(name: str) -> Method:
    """The method of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    found = find(name)
    if found is None:
        raise ValueError(
            f"expected a method of {', '.join(names())}; got {name!r}. Correct the name, or "
            "install the package that adds it"
        )
    return found


def methods_of(rows: Iterable[ResultRow]) -> list[str]:
    """The methods in the order of a table: causal baselines, ours, then what sees the future."""
    return sorted(dict.fromkeys(row.method for row in rows), key=_order)


class Look(NamedTuple):
    """Where a name stands in tables, and how it is drawn; None: chosen from the spare ones."""

    order: int
    colour: str | None = None
    marker: str | None = None


# Readouts of networks that learned without labels; they compete on new sessions only.
READOUTS = {
    "untrained": Look(15, "#9A9A9A", "x"),
    "causal_mae": Look(62, "#332288", "P"),
    "published_student": Look(64, "#0072B2", "v"),
    "student_frozen": Look(82, "#D55E00", "o"),
    "student_frozen_lags": Look(83, "#B03A00", "."),
    "student_tuned": Look(84, "#9E1B32", "d"),
    "student_joint": Look(85, "#6B0F24", "*"),
    "published_teacher": Look(125, "#5C6BC0", "h"),
}


def look(name: str) -> Look:
    """The look of a method or of a readout of one."""
    found = find(name)
    if found is not None:
        return Look(found.order, found.colour, found.marker)
    return READOUTS.get(name) or Look(TEACHER_PROBE.order if name.startswith("teacher") else OTHERS)


def _order(name: str) -> int:
    return look(name).order


_Sections: Any = create_model(
    "_Sections",
    __base__=Strict,
    **cast(
        "dict[str, Any]",
        {m.name: (m.settings, m.settings()) for m in METHODS.values() if m.settings is not None},
    ),
)


class BaselinesConfig(_Sections):
    """Which methods run beside the student, and a section of settings for each that has some.

    A method of another package has a section here once `methods` names it or the recipe sets it.

    Attributes:
        methods: names of the methods beside the student.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    methods: list[str] = Field(["ridge", "gru", "scratch", "teacher_probe"])

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: list[str]) -> list[str]:
        for name in methods:
            if name == OURS or find(name) is None:
                known = ", ".join(n for n in names() if n != OURS)
                raise ValueError(
                    f"expected methods of {known}; got {name!r}. Correct the name, or install the "
                    "package that adds it"
                )
        return methods

    @model_validator(mode="before")
    @classmethod
    def _with_sections_of_others(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        content = dict(content)
        listed = content.get("methods", ())
        named = [n for n in listed if isinstance(n, str)] if isinstance(listed, list) else []
        problems: list[InitErrorDetails] = []
        for name in dict.fromkeys([*content, *named]):
            if name in cls.model_fields or name in METHODS:
                continue
            settings = section_of(name)
            if settings is not None:
                try:
                    content[name] = settings.model_validate(content.get(name, {}))
                except ValidationError as error:
                    problems += [_within(name, problem) for problem in error.errors()]
            elif name in content:
                problems.append({"type": "extra_forbidden", "loc": (name,), "input": content[name]})
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return content


def section_of(name: str) -> type[BaseModel] | None:
    """The settings of a method, None if it has none or there is no such method."""
    found = find(name)
    return None if found is None else found.settings


def _within(name: str, problem: Any) -> InitErrorDetails:
    details = {"type": problem["type"], "loc": (name, *problem["loc"]), "input": problem["input"]}
    return cast("InitErrorDetails", details | {"ctx": problem.get("ctx", {})})
