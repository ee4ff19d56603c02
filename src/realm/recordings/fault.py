"""What is wrong with a recording, by a name that machines can rely on; and clear errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

FaultName = Literal[
    "transposed",
    "conversion",
    "nan_data",
    "flat_channel",
    "unit",
    "gap",
    "backward_time",
    "wrong_rate",
    "electrodes",
    "too_short",
    "no_overlap",
    "timestamps",
    "irregular_time",
    "time_unit",
    "behavior_clock",
    "constant_behavior",
    "missing_behavior",
    "wrapped_angle",
    "odd_channel",
]


class RecordingFaultError(ValueError):
    """A recording that cannot be used as it is, and the name of the reason.

    Attributes:
        fault: the name.
    """

    def __init__(self, fault: FaultName, message: str) -> None:
        super().__init__(message)
        self.fault: FaultName = fault


@contextmanager
def clear_errors(path: Path, what: str) -> Iterator[None]:
    """Turn whatever goes wrong while `path` is read into a ValueError that names it.

    Every reader runs inside this guard. Errors of this package say what to do and pass as they are,
    with the file's name put before them where it is missing; errors of the system that name a file
    pass as well. So does a package that is not installed.

    Args:
        path: of the recording.
        what: that is read, for the message.
    """
    try:
        yield
    except ImportError:
        raise
    except MemoryError as error:
        raise ValueError(
            f"{path}: expected readable {what}, but it does not fit into memory; where the file is "
            "not that large it is damaged, copy it again, otherwise export it in a format that is "
            "read by parts (NWB, MATLAB v7.3)"
        ) from error
    except Exception as error:
        text = str(error)
        if isinstance(error, ValueError) and ": expected" in text:
            raise
        if isinstance(error, ValueError) and text.startswith("expected "):
            raise ValueError(f"{path}: {text}") from error
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ValueError(
            f"{path}: expected readable {what}, but {type(error).__name__}: {error}; the file is "
            "damaged, of another version or needs a compression filter that is not installed, copy "
            "or export it again"
        ) from error
