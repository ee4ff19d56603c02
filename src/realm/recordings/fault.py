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

    Errors of this package name the file and say what to do, and errors of the system name theirs:
    these pass as they are. So does a package that is not installed.

    Args:
        path: of the recording.
        what: that is read, for the message.
    """
    try:
        yield
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        ours = isinstance(error, ValueError) and ": expected" in str(error)
        if ours or (isinstance(error, OSError) and error.filename is not None):
            raise
        raise ValueError(
            f"{path}: expected readable {what}, but {type(error).__name__}: {error}; the file is "
            "damaged, of another version or needs a compression filter that is not installed, copy "
            "or export it again"
        ) from error
