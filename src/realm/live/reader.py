"""The thread that reads the source: open, match, read, and open again when it is lost."""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from realm.live.channels import Fit, match
from realm.live.clock import now_s
from realm.live.source import Block, Source, SourceEndedError, SourceLostError, StreamInfo
from realm.live.status import Status

READ_S = 0.2  # longest wait for samples before the thread looks whether it shall stop


class Connected(NamedTuple):
    """A source was opened and fits."""

    info: StreamInfo
    fit: Fit
    connection: int


class Arrival(NamedTuple):
    """Samples that arrived, in volts and in the order of the bundle."""

    rows: NDArray[np.float64]  # (samples, channels + dims), true behavior at the end, NaN = unknown
    times_s: NDArray[np.float64]
    first_index: int | None
    connection: int
    arrived_s: float


class Gone(NamedTuple):
    """The source is lost or refused; it is tried again."""

    state: str  # lost, refused, waiting
    reason: str


class Ended(NamedTuple):
    """Nothing more will come: the source ended, or cannot be used (error)."""

    error: BaseException | None = None


Message = Connected | Arrival | Gone | Ended


class Hearer(Protocol):
    """Who is told what was read."""

    def tell(self, message: Message) -> None:
        """Of the connection."""
        ...

    def hear(self, arrival: Arrival) -> bool:
        """Samples; False if they were not taken since it is too late."""
        ...

    def patience_s(self) -> float:
        """How long to wait for samples before `rehearse` is to be called; may be infinite."""
        ...

    def rehearse(self) -> None:
        """Use the time in which there are none."""
        ...


class Reader(threading.Thread):
    """Reads a source until it ends or is told to stop.

    A source that does not fit is an error as long as none ever did: someone is there to correct
    it. Later it is refused, closed, and opened again after a pause, since a subject may depend on
    what comes out.

    Args:
        source: what to read.
        names, rate_hz, dims: channels, rate and dims of behavior of the bundle.
        hearer: who is told.
        status: whose counters of the source's side are kept.
        retry_s: pause before a source is opened again.
        unit: of the samples, if the source's own word is not to be taken.
    """

    def __init__(
        self,
        source: Source,
        names: tuple[str, ...],
        rate_hz: float,
        dims: int,
        hearer: Hearer,
        status: Status,
        retry_s: float,
        unit: str | None,
    ) -> None:
        super().__init__(name="realm-reader", daemon=True)
        self._source, self._names, self._rate_hz, self._dims = source, names, rate_hz, dims
        self._hearer, self._status, self._retry_s, self._unit = hearer, status, retry_s, unit
        self._stopping, self._refused = threading.Event(), threading.Event()
        self._connection = 0
        self._lost = ""  # why, as it was said last

    def stop(self) -> None:
        """End soon; what was read stays in the queue."""
        self._stopping.set()

    def refuse(self) -> None:
        """Close the source, whose samples showed that it does not fit, and open it again."""
        self._refused.set()

    def run(self) -> None:
        """Read until the end."""
        error: BaseException | None = None
        try:
            while not self._stopping.is_set():
                self._connect_and_read()
                self._source.close()
                self._stopping.wait(self._retry_s)
        except SourceEndedError:
            pass
        except BaseException as caught:  # said by the thread that decodes
            error = caught
        try:
            self._source.close()
        except OSError as caught:
            error = error or caught
        self._hearer.tell(Ended(error))

    def _connect_and_read(self) -> None:
        try:
            info = self._source.open()
            if self._unit is not None:
                info = info._replace(unit=self._unit)
            fit = match(info, self._names, self._rate_hz)
            self._connection += 1
            self._refused.clear()
            self._lost = ""
            self._hearer.tell(Connected(info, fit, self._connection))
            self._read(fit)
        except SourceLostError as error:
            if self._lost != str(error):  # said once, not at every attempt
                self._lost = str(error)
                self._hearer.tell(Gone("lost" if self._connection else "waiting", self._lost))
        except ValueError as error:
            if not self._connection:
                raise
            self._status.stream.refused += 1
            self._hearer.tell(Gone("refused", str(error)))

    def _read(self, fit: Fit) -> None:
        while not (self._stopping.is_set() or self._refused.is_set()):
            block = self._source.read(min(READ_S, self._hearer.patience_s()))
            self._status.stream.refused_messages = getattr(self._source, "refused_messages", 0)
            if block is None:
                self._hearer.rehearse()
                continue
            n = len(block.samples)
            self._status.samples.received += n
            if not n:
                self._status.stream.empty_blocks += 1
                continue
            try:
                arrival = self._converted(block, fit)
            except ValueError:
                self._status.samples.dropped_refused += n
                raise
            if not self._hearer.hear(arrival):
                self._status.samples.dropped_stopped += n

    def _converted(self, block: Block, fit: Fit) -> Arrival:
        arrived_s = now_s()
        rows = fit.apply(block.samples, self._dims)
        times = np.asarray(block.times_s, dtype=np.float64)
        if times.shape != (len(rows),):
            raise ValueError(
                f"expected a time stamp for each of {len(rows)} samples, got {times.shape}; the "
                "source no longer sends what it said"
            )
        truth = rows[:, rows.shape[1] - self._dims :]
        if block.behavior is not None and block.behavior.shape == truth.shape:
            truth[:] = block.behavior
        return Arrival(rows, times, block.first_index, self._connection, arrived_s)
