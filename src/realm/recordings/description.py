"""What a lab says about its files: `recording.toml`, and a TOML file of a recording's own name.

The second is laid over the first, key by key.

For instance:

    subject = "monkeyA"                   # all of this is optional for formats that say it
    files = "*_lfp.mat"                   # which files of this folder are recordings

    [samples]                             # for .mat, .npz, .h5 and .zarr only
    array = "lfp"
    axes = ["time", "channel"]
    unit = "uV"
    rate_hz = 1000                        # or rate = "fs", or timestamps = "t"

    [channels]
    names = "labels"                      # an array of the file, or a list
    leave_out = ["trigger*"]

    [behavior.hand]
    file = "{stem}_hand.mat"              # another file; left out: the same
    array = ["x", "y"]
    unit = "cm"
    rate_hz = 100
    offset_s = 0.25                       # from the clock of this series to that of the samples;
                                          # or offset = "t0", an array of one number

A name is looked for as it stands; `a.b` and `a/b` are field b of structure or group a.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from realm.volts import VOLTS_PER

FOLDER_DESCRIPTION = "recording.toml"
SECONDS_PER = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
Axis = Literal["time", "channel"]


class Strict(BaseModel):
    """Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Clock(Strict):
    """When the rows of an array were taken.

    Attributes:
        rate_hz: a number; the first row is at 0 s.
        rate: an array of one number that holds the rate in Hz.
        timestamps: an array of one time per row, in `time_unit`.
        offset_s: is added to all times.
        offset: an array of one number, in `time_unit`, that is added as well.
    """

    rate_hz: float | None = Field(None, gt=0)
    rate: str | None = None
    timestamps: str | None = None
    time_unit: Literal["s", "ms", "us"] = "s"
    offset_s: float = 0.0
    offset: str | None = None

    @property
    def states_rate(self) -> bool:
        """Whether there is a rate, as a number or as an array."""
        return self.rate_hz is not None or self.rate is not None


class ArraySeries(Clock):
    """An array and its clock.

    Attributes:
        array: its name; or several names of vectors, one for each column.
        axes: of the array, in the order in which its own software shows them.
        gain: stored numbers times this are in `unit`.
    """

    array: str | tuple[str, ...]
    axes: tuple[Axis, ...] = ("time", "channel")
    gain: float = Field(1.0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _axes(self) -> ArraySeries:
        if sorted(self.axes) not in (["time"], ["channel", "time"]):
            raise ValueError(
                f'axes: expected ["time", "channel"], ["channel", "time"] or ["time"], '
                f"got {list(self.axes)}"
            )
        return self


class Samples(ArraySeries):
    """The neural samples."""

    unit: str

    @model_validator(mode="after")
    def _known(self) -> Samples:
        if self.unit not in VOLTS_PER:
            raise ValueError(f"unit: expected one of {', '.join(VOLTS_PER)}, got {self.unit!r}")
        if not self.states_rate and self.timestamps is None:
            raise ValueError("expected rate_hz, rate or timestamps, got none of them")
        return self


class BehaviorSeries(ArraySeries):
    """One behavior series; from channels of the recording itself, or an array of some file.

    Attributes:
        channels: names of channels of the recording, which then are no neural channels.
        file: relative to the recording; `{stem}` is its name without the ending.
        unit, names: of the values and of their columns.
    """

    array: str | tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    file: str | None = None
    unit: str = "arbitrary"
    names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_source(self) -> BehaviorSeries:
        if bool(self.array) == bool(self.channels):
            raise ValueError("expected either array or channels, got both or none")
        if self.array and not self.states_rate and self.timestamps is None:
            raise ValueError("expected rate_hz, rate or timestamps, got none of them")
        if self.channels and self.offset is not None:
            raise ValueError("expected offset_s beside channels, got offset, an array")
        return self


class Channels(Strict):
    """What the file does not say about its channels.

    Attributes:
        names, regions: a list with one entry per channel, or an array of the file that holds one.
        bad: names of bad channels.
        leave_out: patterns of names that are no neural channels.
        electrodes: patterns of names that are electrodes, although such a name usually says
            another signal.
    """

    names: str | tuple[str, ...] = ()
    regions: str | tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    electrodes: tuple[str, ...] = ()


class Description(Strict):
    """The whole description.

    Attributes:
        subject, session: where the file does not say them.
        files: pattern of the names in this folder that are recordings.
        unit: of the samples of a format that keeps none (torch_brain).
    """

    subject: str | None = None
    session: str | None = None
    files: str = "*"
    unit: str | None = None
    samples: Samples | None = None
    channels: Channels = Channels()
    behavior: dict[str, BehaviorSeries] = {}

    @field_validator("unit")
    @classmethod
    def _known(cls, unit: str | None) -> str | None:
        if unit is not None and unit not in VOLTS_PER:
            raise ValueError(f"expected one of {', '.join(VOLTS_PER)}, got {unit!r}")
        return unit


def description_paths(path: Path) -> tuple[Path, ...]:
    """The TOML files that describe `path`: that of its own name, then that of its folder."""
    places = (path.with_suffix(".toml"), path.parent / FOLDER_DESCRIPTION)
    return tuple(dict.fromkeys(place for place in places if place.is_file()))


def find_description(path: Path) -> Description | None:
    """The description of a recording, or None.

    What the file of its own name says is laid over what that of its folder says, key by key.

    Raises:
        ValueError: it is not TOML, or says something unknown; the message lists what is known.
    """
    found = description_paths(path)
    if not found:
        return None
    contents = [_content(place) for place in found]
    for place, content in zip(found, contents, strict=True):
        if len(found) == 1 or place.name == FOLDER_DESCRIPTION:
            _checked(place, content)  # names the file whose key is wrong
    if len(found) == 1:
        return _checked(found[0], contents[0])
    own, folder = contents
    folder.pop("files", None)  # which other files are recordings says nothing of this one
    return _checked(found[0], _laid_over(own, folder))


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: expected TOML, but {error}; correct that line") from None


def _checked(path: Path, content: dict[str, Any]) -> Description:
    try:
        return Description.model_validate(content)
    except ValidationError as error:
        lines = "; ".join(_explain(problem) for problem in error.errors())
        raise ValueError(f"{path}: expected a description of recordings, but {lines}") from None


def _laid_over(own: dict[str, Any], folder: dict[str, Any]) -> dict[str, Any]:
    """`own`, and what `folder` says beside it; channels take the place of an array."""
    below = dict(folder)
    for source, other in (("array", "channels"), ("channels", "array")):
        if source in own:
            below.pop(other, None)
    both = {key: value for key, value in below.items() if key not in own}
    for key, value in own.items():
        under = below.get(key)
        nested = isinstance(value, dict) and isinstance(under, dict)
        both[key] = _laid_over(value, under) if nested and under is not None else value
    return both


def _explain(problem: object) -> str:
    assert isinstance(problem, dict)
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(_valid_keys(tuple(problem["loc"][:-1])))
        return f"unknown key {where!r}; valid keys there are: {known}"
    if problem["type"] == "missing":
        return f"the key {where!r} is missing; add it"
    said = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {said}" if where else said


def _valid_keys(location: tuple[object, ...]) -> list[str]:
    sections: dict[object, type[BaseModel]] = {
        "samples": Samples,
        "channels": Channels,
        "behavior": BehaviorSeries,
    }
    section = sections.get(location[0], Description) if location else Description
    return list(section.model_fields)
