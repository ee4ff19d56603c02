"""Recordings: any supported file as LFP in volts on a uniform grid, and behavior beside it.

`open` holds the formats and opens a file of any of them, `formats` holds one reader per format, and
`write` stores a session as an NWB file.
"""

from realm.recordings.open import (
    FORMATS,
    Format,
    find_recordings,
    format_of,
    identify,
    open_recording,
)
from realm.recordings.recording import Identity, Recording, TimeSeries

__all__ = [
    "FORMATS",
    "Format",
    "Identity",
    "Recording",
    "TimeSeries",
    "find_recordings",
    "format_of",
    "identify",
    "open_recording",
]
