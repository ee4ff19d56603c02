"""A description to begin with, for a file of arrays that nobody has described yet."""

from __future__ import annotations

import re
from typing import NamedTuple

from realm.recordings.named_arrays import Container

MOST_LISTED = 30
MOST_COLUMNS = 16  # of an array that may be behavior
RATE_NAME = re.compile(r"(^|[./_])(fs|sr|srate|rate|sampling_?rate|sampling_?frequency)([._]?hz)?$")
LFP_NAME = re.compile(r"lfp|ecog|seeg|ieeg|eeg|data", re.IGNORECASE)
TIME_NAME = re.compile(r"(^|[./_])(t|ts|time|times|timestamps)$", re.IGNORECASE)
NAME_NAME = re.compile(r"label|name|chan", re.IGNORECASE)


class Listed(NamedTuple):
    """An array of numbers: its name and shape, and its lengths longer than 1."""

    name: str
    shape: tuple[int, ...]
    long: tuple[int, ...]


def arrays_of(container: Container) -> list[Listed]:
    """All arrays of numbers."""
    found = []
    for name in container.names():
        array = container.get(name)
        if array is not None and array.dtype.kind in "iufb" and not _is_text(container, name):
            found.append(Listed(name, array.shape, tuple(n for n in array.shape if n != 1)))
    return found


def _is_text(container: Container, name: str) -> bool:
    try:
        return container.text(name) is not None
    except ValueError:
        return True


def listing(container: Container) -> str:
    """Names and shapes of all arrays, for people."""
    found = [
        f"{a.name} ({' x '.join(map(str, a.shape)) or 'a number'})" for a in arrays_of(container)
    ]
    more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    return ", ".join(found[:MOST_LISTED]) + more or "no arrays of numbers"


def draft(container: Container) -> str:
    """A description as TOML: the array most likely to be the samples, a rate, names, behavior."""
    arrays = arrays_of(container)
    wide = [a for a in arrays if len(a.shape) == 2 and len(a.long) == 2]
    samples = max(wide, key=lambda a: (bool(LFP_NAME.search(a.name)), max(a.shape)), default=None)
    if samples is None:
        return _TEMPLATE.format(array="?", axes='"time", "channel"', rate="rate_hz = 1000")
    turned = samples.shape[0] < samples.shape[1]
    axes = '"channel", "time"' if turned else '"time", "channel"'
    rates = [a.name for a in arrays if not a.long and RATE_NAME.search(a.name.lower())]
    rate = f'rate = "{rates[0]}"' if rates else "rate_hz = 1000               # your rate"
    text = _TEMPLATE.format(array=samples.name, axes=axes, rate=rate)
    n_channels = min(samples.shape)
    for name in container.names():
        if NAME_NAME.search(name) and len(container.text(name) or ()) == n_channels:
            text += f'\n[channels]\nnames = "{name}"\n'
            break
    return text + _behavior(arrays, samples)


def _behavior(arrays: list[Listed], samples: Listed) -> str:
    """The longest other array of few columns, with timestamps of its length if there are any."""
    others = [
        a
        for a in arrays
        if a is not samples
        and a.long
        and len(a.shape) <= 2
        and max(a.shape) > MOST_COLUMNS
        and (len(a.long) == 1 or min(a.long) <= MOST_COLUMNS)
    ]
    stamps = [a for a in others if TIME_NAME.search(a.name)]
    values = [a for a in others if a not in stamps]
    if not values:
        return ""
    chosen = max(values, key=lambda a: (len(a.long), max(a.shape)))
    clock = next((a.name for a in stamps if max(a.shape) == max(chosen.shape)), None)
    vector, turned = len(chosen.long) == 1, chosen.shape[0] < chosen.shape[-1]
    axes = '"time"' if vector else ('"channel", "time"' if turned else '"time", "channel"')
    when = f'timestamps = "{clock}"' if clock else "rate_hz = 100                # your rate"
    return f"""
[behavior.hand]
array = "{chosen.name}"
axes = [{axes}]
unit = "cm"
{when}
"""


_TEMPLATE = """\
subject = "m1"

[samples]
array = "{array}"
axes = [{axes}]
unit = "uV"
{rate}
"""
