"""The settings of a live stream, with their usual values, help and range."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple, get_type_hints

LONGEST_S = 60.0  # for all times: memory stays bounded


class Setting(NamedTuple):
    """What a setting does, as `realm live --help` shows it, and its smallest value."""

    help: str
    least_s: float = 1e-3

    def limits(self, name: str) -> tuple[float, float]:
        """The smallest and the largest value, in the unit that the name ends with."""
        factor = 1000 if name.endswith("_ms") else 1
        return self.least_s * factor, LONGEST_S * factor


@dataclass(frozen=True)
class LiveSettings:
    """Times that decide what is done with a stream that is not perfect.

    The unit of each is the end of its name. `realm live` has an option for each.

    Raises:
        ValueError: a time is out of range.
    """

    longest_fill_s: Annotated[
        float, Setting("Fill a gap up to this long; after a longer gap, start decoding anew.", 0)
    ] = 2.0
    jitter_ms: Annotated[
        float,
        Setting(
            "Accept time stamps this far from the expected time. If the source does not count its "
            "samples, shorter gaps cannot be seen."
        ),
    ] = 5.0
    late_ms: Annotated[
        float,
        Setting(
            "After this long without samples, repeat the last output at the bin rate. Must be "
            "longer than the blocks that the source sends."
        ),
    ] = 100.0
    hold_ms: Annotated[
        float, Setting("Hold the last output at most this long, then send neutral.")
    ] = 500.0
    queue_s: Annotated[
        float, Setting("Let this much signal wait to be decoded; drop older samples.")
    ] = 2.0
    sink_queue_s: Annotated[
        float, Setting("Let this much output wait for a slow sink; drop older rows.")
    ] = 10.0
    check_s: Annotated[
        float,
        Setting(
            "Seconds of signal used to check unit and rate; neutral until then. 0: no check.", 0
        ),
    ] = 1.0
    retry_s: Annotated[
        float, Setting("Wait this long before a lost or refused source is opened again.")
    ] = 1.0

    def __post_init__(self) -> None:
        for name, setting in all_settings().items():
            value, (least, most) = getattr(self, name), setting.limits(name)
            if not least <= value <= most:
                raise ValueError(
                    f"{name}: expected {least:g} to {most:g}, got {value:g}; correct it"
                )


@cache
def all_settings() -> dict[str, Setting]:
    """Each setting by its name."""
    hints = get_type_hints(LiveSettings, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}
