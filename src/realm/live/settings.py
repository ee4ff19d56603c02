"""What may be set about a live stream, with what is usual."""

from __future__ import annotations

from dataclasses import dataclass, fields

LONGEST_S = 60.0  # for any of the times: memory stays bounded


@dataclass(frozen=True)
class LiveSettings:
    """Times that decide what is done with a stream that is not perfect.

    Attributes:
        longest_fill_s: a gap up to this long is filled with missing samples, so that the decoder
            goes on; after a longer one it starts afresh.
        jitter_ms: how far a time stamp may lie from the tracked clock. Without a counter of
            samples, a gap shorter than this cannot be told from jitter; with one it is exact.
        late_ms: without samples for this long, the loop gives rows of its own at the bin rate. A
            source that sends blocks longer than this needs a longer time.
        hold_ms: this long after the last decoded row they repeat it, then they are neutral.
        queue_s: samples that may wait to be decoded; older ones are dropped and counted.
        sink_queue_s: rows that may wait for a sink; older ones are dropped and counted.
        check_s: rows are neutral until this much of a new connection's signal has shown the right
            unit and rate; 0 for no check.
        retry_s: pause before a source that is lost or refused is opened again.

    Raises:
        ValueError: a time is out of range.
    """

    longest_fill_s: float = 2.0
    jitter_ms: float = 5.0
    late_ms: float = 100.0
    hold_ms: float = 500.0
    queue_s: float = 2.0
    sink_queue_s: float = 10.0
    check_s: float = 1.0
    retry_s: float = 1.0

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            seconds = value / 1000 if each.name.endswith("_ms") else value
            least = 0.0 if each.name in ("check_s", "longest_fill_s") else 1e-3
            if not least <= seconds <= LONGEST_S:
                raise ValueError(
                    f"{each.name}: expected {least:g} to {LONGEST_S:g} seconds, got {seconds:g}; "
                    "correct it"
                )
