"""What a sink of decoded behavior is: it opens, takes rows, and closes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from realm.live.outputs import OutputInfo, Outputs

__all__ = ["Counters", "OutputInfo", "Outputs", "Sink", "is_immediate"]

Counters = Callable[[], dict[str, Any]]


class Sink(Protocol):
    """Where decoded behavior goes. A subclass has the default of the attribute.

    Attributes:
        immediate: `write` never waits for anything. Then the thread that decodes calls it, and
            rows do not wait for another thread to wake. Every other sink has its own thread.
    """

    immediate: bool = False

    @abstractmethod
    def open(self, info: OutputInfo) -> None:
        """Get ready to write.

        Raises:
            OSError, ValueError: the sink cannot be used; the message says what to do.
        """

    @abstractmethod
    def write(self, outputs: Outputs, status: Counters) -> None:
        """Take some rows; `status()` gives the counters of this moment, and takes time to do so.

        Raises:
            OSError: the rows could not be written. They are counted; the next call may succeed.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what waits and close; does nothing when closed."""


def is_immediate(sink: Sink) -> bool:
    """`sink.immediate`; its default for a class that is no subclass and does not have it."""
    return bool(getattr(sink, "immediate", Sink.immediate))
