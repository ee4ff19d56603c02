"""The thread that reads the source: open, match, read, and open again when it is lost."""

from __future__ import annotations

import threading
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from realm.live.check import Fit, match
from realm.live.clock import now_s
from realm.live.sources import (
    Block,
    Source,
    SourceEndedError,
    SourceLostError,
    StreamInfo,
    refused_messages,
)
from realm.live.status import Status

READ_S = 0.2  # longest wait for samples, so that a request to stop is seen


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
    """The source is lost or refused; it will be opened again."""

    state: str  # lost, refused, waiting
    reason: str


class Ended(NamedTuple):
    """Nothing more will come: the source ended, or cannot be used (error)."""

    error: BaseException | None = None


Message = Connected | Arrival | Gone | Ended


class Receiver(Protocol):
    """What takes what the reader reads. It does not know the reader."""

    def announce(self, message: Message) -> None:
        """Take a message about the connection."""
        ...

    def receive(self, arrival: Arrival) -> bool:
        """Take samples; False if it is too late for them."""
        ...

    def refuses(self, connection: int) -> bool:
        """Whether this connection must be closed: its samples show that it does not fit."""
        ...

    def until_rehearsal_s(self) -> float:
        """Seconds to wait for samples before `rehearse` is called; may be infinite."""
        ...

    def rehearse(self) -> None:
        """Use the time without samples to prepare the next step."""
        ...


class Reader(threading.Thread):
    """Reads a source until it ends or `stop` is called.

    A source that does not fit is an error at first: someone is there to correct it. Once a source
    did fit, one that does not is refused, closed, and opened again after a pause, since a subject
    may depend on what comes out.

    Args:
        source: what to read.
        names, rate_hz, dims: channels, rate and dims of behavior of the bundle.
        receiver: takes what is read.
        status: its counters of the source are kept here.
        retry_s: pause before a source is opened again.
        unit: of the samples, instead of the one that the source declares; None to trust it.
    """

    def __init__(
        self,
        source: Source,
        names: tuple[str, ...],
        rate_hz: float,
        dims: int,
        receiver: Receiver,
        status: Status,
        retry_s: float,
        unit: str | None,
    ) -> None:
        super().__init__(name="realm-reader", daemon=True)
        self._source, self._names, self._rate_hz, self._dims = source, names, rate_hz, dims
        self._receiver, self._status, self._retry_s = receiver, status, retry_s
        self._unit = unit
        self._stopping = threading.Event()
        self._connection = 0
        self._lost = ""  # the last reason that was announced

    def stop(self) -> None:
        """End soon; what was read stays in the queue."""
        self._stopping.set()

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
        except BaseException as caught:  # raised again by the thread of `LiveLoop.run`
            error = caught
        try:
            self._source.close()
        except OSError as caught:
            error = error or caught
        self._receiver.announce(Ended(error))

    def _connect_and_read(self) -> None:
        try:
            info = self._source.open()
            if self._unit is not None:
                info = info._replace(unit=self._unit, units=())
            fit = match(info, self._names, self._rate_hz)
            self._connection += 1
            self._lost = ""
            self._receiver.announce(Connected(info, fit, self._connection))
            self._read(fit)
        except SourceLostError as error:
            if self._lost != str(error):  # once, not at every attempt
                self._lost = str(error)
                self._receiver.announce(Gone("lost" if self._connection else "waiting", self._lost))
        except ValueError as error:
            if not self._connection:
                raise
            self._status.stream.refused += 1
            self._receiver.announce(Gone("refused", str(error)))

    def _read(self, fit: Fit) -> None:
        while not (self._stopping.is_set() or self._receiver.refuses(self._connection)):
            block = self._source.read(min(READ_S, self._receiver.until_rehearsal_s()))
            self._status.stream.refused_messages = refused_messages(self._source)
            if block is None:
                self._receiver.rehearse()
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
            if not self._receiver.receive(arrival):
                self._status.samples.dropped_stopped += n

    def _converted(self, block: Block, fit: Fit) -> Arrival:
        arrived_s = now_s()
        rows = fit.apply(block.samples, self._dims)
        times = np.asarray(block.times_s, dtype=np.float64)
        if times.shape != (len(rows),):
            raise ValueError(
                f"expected a time stamp for each of {len(rows)} samples, got {times.shape}; the "
                "source no longer sends what it declared"
            )
        truth = rows[:, rows.shape[1] - self._dims :]
        if block.behavior is not None and block.behavior.shape == truth.shape:
            truth[:] = block.behavior
        return Arrival(rows, times, block.first_index, self._connection, arrived_s)
