"""What is wrong with the content of a recording, by a name that machines can rely on."""

from __future__ import annotations

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
