"""Planted faults, and the check of the certificate that must find each.

A fault is a decoder that is wrong (a class), or a loader, live loop or library that is (a `Patch`).
`QUICK` ones are found at the smallest effort; `SLOW` ones need a long stream: `make mutation`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from certify_cases import (
    Changed,
    CountsChunks,
    Forgets,
    IgnoresTheQuorum,
    Leaks,
    LooksAhead,
    LosesBins,
    NeverRecovers,
    PassesNanOn,
    Rounds,
)

from realm.certify import (
    endurance,
    faults,
    files,
    live_loop,
    long_faults,
    network,
    purity,
    quality,
    trained,
)
from realm.certify import exactness as exact
from realm.certify.check import Finding, Trial
from realm.live import placing, stream, timeline
from realm.live.decoding import Decoding
from realm.live.stream import Stream
from realm.streaming import Bundle, Decoded, StreamingDecoder, StreamState

Run = Callable[[Trial], list[Finding]]


class Patch(NamedTuple):
    """What is wrong with the program; it may use a folder."""

    made: Callable[[Path], AbstractContextManager[Any]]


class Fault(NamedTuple):
    """A planted fault: how it is planted, the part that looks for it, and the check that fails."""

    name: str
    group: str
    kind: Any  # a class of decoders, or a `Patch`
    part: Run
    check: str
    stream_s: float = 15.0  # of stream in the endurance run


# Decoders -----------------------------------------------------------------------------------------


def scaled(factor: float) -> type[Changed]:
    class Scaled(Changed):
        def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
            return decoded.behavior * np.float32(factor)

    return Scaled


class Offset(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return decoded.behavior + np.float32(0.01)


class SwappedDims(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return decoded.behavior[:, ::-1]


class Constant(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return np.zeros_like(decoded.behavior)


class Overflows(Changed):
    """Half precision, which has an end and few digits."""

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return decoded.behavior.astype(np.float16).astype(np.float32)


class OverflowsOnLarge(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        largest = np.nanmax(np.abs(samples), initial=0.0)
        return decoded.behavior + np.float32(np.inf if largest > 1e30 else 0)


class GivesNan(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        return np.full_like(decoded.behavior, np.nan)


class Raises(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        raise RuntimeError("broken")


class Delayed(StreamingDecoder):
    """Gives every output 20 bins later than it could, with a count that hides it."""

    bins = 20

    def initial_state(self) -> Any:
        dims = len(self.bundle.behavior_names)
        return super().initial_state(), np.zeros((self.bins, dims), np.float32)

    def step(self, samples: Any, state: Any) -> Any:
        decoded, after = super().step(samples, state[0])
        whole = np.concatenate([state[1], decoded.behavior])
        n = len(decoded.behavior)
        return decoded._replace(behavior=whole[:n]), (after, whole[n:])


class Smoothed(StreamingDecoder):
    """Smooths the output a little, which nothing states."""

    def initial_state(self) -> Any:
        return super().initial_state(), np.zeros(len(self.bundle.behavior_names), np.float32)

    def step(self, samples: Any, state: Any) -> Any:
        decoded, after = super().step(samples, state[0])
        out, last = decoded.behavior.copy(), state[1].copy()
        for row in out:
            last += np.float32(0.5) * (row - last)
            row[:] = last
        return decoded._replace(behavior=out), (after, last)


class HiddenLookahead(StreamingDecoder):
    """Waits for 20 more bins than it says."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._more = 20

    def n_outputs(self, n_samples: int) -> int:
        return max(0, super().n_outputs(n_samples) - self._more)

    def step(self, samples: Any, state: StreamState) -> Any:
        decoded, after = super().step(samples, state)
        early = min(len(decoded.behavior), max(0, self._more - state.bins))
        parts = (part[early:] for part in decoded.quality)
        return Decoded(decoded.behavior[early:], type(decoded.quality)(*parts)), after


class OverwritesState(StreamingDecoder):
    def step(self, samples: Any, state: StreamState) -> Any:
        decoded, after = super().step(samples, state)
        state.student.ssm[...] = after.student.ssm
        return decoded, after


class OverwritesSamples(StreamingDecoder):
    def step(self, samples: Any, state: StreamState) -> Any:
        given = np.nan_to_num(np.asarray(samples, np.float64))
        result = super().step(samples, state)
        samples[...] = -given
        return result


class Remembers(StreamingDecoder):
    """Keeps a little of the output before on the object."""

    kept = 0.0

    def step(self, samples: Any, state: StreamState) -> Any:
        decoded, after = super().step(samples, state)
        behavior = decoded.behavior + np.float32(1e-4 * self.kept)
        if len(behavior):
            self.kept = float(behavior[-1, 0])
        return decoded._replace(behavior=behavior), after


class Random(Changed):
    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        noise = np.random.default_rng().normal(size=decoded.behavior.shape)
        return decoded.behavior + (1e-6 * noise).astype(np.float32)


class SavesHalf(StreamingDecoder):
    """Saves the student's state alone."""

    def state_from_bytes(self, content: bytes) -> StreamState:
        state = super().state_from_bytes(content)
        return state._replace(signal=self.initial_state().signal)


def lies(**fields: Callable[[np.ndarray], Any]) -> type[StreamingDecoder]:
    """A decoder whose quality record is wrong in these fields."""

    class Lies(StreamingDecoder):
        def step(self, samples: Any, state: StreamState) -> Any:
            decoded, after = super().step(samples, state)
            told = {name: made(getattr(decoded.quality, name)) for name, made in fields.items()}
            return decoded._replace(quality=decoded.quality._replace(**told)), after

    return Lies


class StaysMasked(StreamingDecoder):
    """A channel that was masked once is never trusted again."""

    def step(self, samples: Any, state: StreamState) -> Any:
        guard = self.bundle.chain.initial_state().stages[0]
        found = state.signal.stages[0]
        assert type(found) is type(guard)
        kept = found._replace(good_run=np.minimum(found.good_run, 1))
        stages = (kept, *state.signal.stages[1:])
        masked = found.masked.any()
        state = state._replace(signal=state.signal._replace(stages=stages)) if masked else state
        return super().step(samples, state)

    def forward(self, samples: Any) -> Decoded:
        state, parts = self.initial_state(), []
        for chunk in np.array_split(samples, max(1, len(samples) // 100)):
            decoded, state = self.step(chunk, state)
            parts.append(decoded)
        return exact.joined(parts)


class DeafAfterAWhile(Changed):
    """After so many steps its output stands still."""

    steps, after = 0, 3000

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        self.steps += 1
        return decoded.behavior * np.float32(self.steps < self.after)


class DeafAfterAnHour(DeafAfterAWhile):
    after = 360_000


class Drifts(Changed):
    """Its output grows by a little with every step."""

    steps = 0

    def changed(self, samples: np.ndarray, decoded: Decoded) -> np.ndarray:
        self.steps += 1
        return decoded.behavior * np.float32(1 + 3e-4 * self.steps)


class LeaksSlowly(StreamingDecoder):
    """64 bytes a bin."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kept: list[bytes] = []

    def step(self, samples: Any, state: StreamState) -> Any:
        self.kept.append(os.urandom(31))
        return super().step(samples, state)


class GrowsSlower(StreamingDecoder):
    """Looks through a list that grows with every step."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kept: list[int] = []

    def step(self, samples: Any, state: StreamState) -> Any:
        self.kept.append(0)
        sum(self.kept)
        return super().step(samples, state)


def uses(action: Callable[[], Any]) -> type[StreamingDecoder]:
    """A decoder that does this once, in its third step."""

    class Uses(StreamingDecoder):
        steps, kept = 0, None

        def step(self, samples: Any, state: StreamState) -> Any:
            self.steps += 1
            if self.steps == 3:
                type(self).kept = action()
            return super().step(samples, state)

    return Uses


def _udp() -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.sendto(b"x", ("127.0.0.1", 9))
    return one


def _unseen(kind: int) -> socket.socket:
    """A socket that a library opens, without an audit event of Python."""
    return socket.socket(fileno=ctypes.CDLL(None).socket(socket.AF_INET, kind, 0))


LISTENS = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(5)"


def _child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", LISTENS])


# Files, machines and the live loop ----------------------------------------------------------------


@contextmanager
def unverified(what: str) -> Iterator[None]:
    """A loader that believes the manifest, or the tensor files."""
    from realm.streaming import folder

    if what == "manifest":

        def believed(facts: dict[str, Any], where: str) -> None:
            for name in ("sha256", "format", "schema"):
                facts.pop(name, None)

        with (
            mock.patch.object(folder, "_check_head", believed),
            mock.patch.object(folder, "parse", lambda content, where: json.loads(content)),
        ):
            yield
    else:
        real = folder.hashlib.sha256

        class Agreeable:
            def __init__(self, data: bytes) -> None:
                self._data = data

            def hexdigest(self) -> Any:
                return Anything(real(self._data).hexdigest())

        with mock.patch.object(folder, "hashlib", mock.Mock(sha256=Agreeable)):
            yield


class Anything(str):
    """A hash that equals every hash."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


def altered(change: Callable[[Bundle], Bundle]) -> Callable[..., StreamingDecoder]:
    """A decoder of another bundle than the one in the folder, with its reference."""
    return lambda bundle, *how: StreamingDecoder(change(bundle), *how)


def _weights(bundle: Bundle) -> Bundle:
    weights = dict(bundle.weights)
    weights["head.weight"] = weights["head.weight"] * 1.001
    return dataclasses.replace(bundle, weights=weights)


def _filters(bundle: Bundle) -> Bundle:
    chain = bundle.chain
    other = chain.with_normalization(
        dataclasses.replace(chain.normalization, mean=chain.normalization.mean + 0.01)  # type: ignore[type-var]
        if dataclasses.is_dataclass(chain.normalization)
        else chain.normalization._replace(mean=chain.normalization.mean + 0.01)  # type: ignore[union-attr]
    )
    return dataclasses.replace(bundle, chain=other)


def patched(target: Any, name: str, value: Any) -> Patch:
    return Patch(lambda _: mock.patch.object(target, name, value))


def _plain(name: str, value: Any) -> Patch:
    """Another function for one that is compiled into `placing.place`."""

    def made(_: Path) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(mock.patch.object(placing, "place", placing.place.py_func))  # type: ignore[attr-defined]
        stack.enter_context(mock.patch.object(placing, name, value))
        return stack

    return Patch(made)


def _never_late(self: Stream, *given: Any, begin: Any = Stream.__init__, **more: Any) -> None:
    begin(self, *given, **more)
    self._late_s, self._oldest_ms = 1e9, 1e12


def _shifted(self: Decoding, rows: Any, give: Any = Decoding._hand_over) -> None:
    give(self, rows._replace(behavior=np.roll(rows.behavior, 1, axis=1)))


def _held(self: Stream, n: int, held: bool, own: Any = Stream.own) -> Any:
    return own(self, n, True)


def importing_a_socket(tmp: Path) -> Any:
    """A package of the rig that opens a socket when Python starts."""
    (tmp / "sitecustomize.py").write_text(
        "import socket\nkept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "kept.bind(('127.0.0.1', 0))\n"
    )
    path = os.pathsep.join([str(tmp), os.environ.get("PYTHONPATH", "")])
    return mock.patch.dict(os.environ, {"PYTHONPATH": path})


def _unsafe(how: str) -> str:
    return f"instants with an unsafe last row, {how} numbers"


REFERENCE = "difference from the trained decoder"
MISCOUNTED = "chunks with more or fewer outputs than bins"
LATE = "output later than the manifest says"
FIELDS = "fields of the quality record that are wrong"
NOT_FINITE = "outputs that are not finite"
BY_EVENT, OPENED, STARTED = (
    "uses of sockets by Python",
    "sockets opened",
    "processes started while decoding",
)
LOST = "bins without an output, or with one that is not finite"
SPREAD = "least spread of the output, over the usual one"
AFRESH = "at the end, against a decoder started afresh"

QUICK = [
    # What is decoded
    Fault("scale of 1.2", "student", scaled(1.2), trained.check_reference, REFERENCE),
    Fault("scale of 1.001", "student", scaled(1.001), trained.check_reference, REFERENCE),
    Fault("offset", "student", Offset, trained.check_reference, REFERENCE),
    Fault("dims in another order", "student", SwappedDims, trained.check_reference, REFERENCE),
    Fault("half precision", "student", Overflows, trained.check_reference, REFERENCE),
    Fault("constant", "student", Constant, trained.check_reference, REFERENCE),
    Fault(
        "constant", "student", Constant, exact.check_causality, "outputs that followed the change"
    ),
    Fault("other weights", "student", altered(_weights), trained.check_reference, REFERENCE),
    Fault("other statistics", "signal", altered(_filters), trained.check_reference, REFERENCE),
    Fault("delay of 200 ms", "signal", Delayed, exact.check_causality, LATE),
    Fault("delay of 200 ms", "signal", Delayed, trained.check_reference, REFERENCE),
    Fault("smoothing", "signal", Smoothed, trained.check_reference, REFERENCE),
    Fault("lookahead of 200 ms", "signal", HiddenLookahead, exact.check_chunking, MISCOUNTED),
    Fault("lookahead of 200 ms", "signal", HiddenLookahead, trained.check_reference, REFERENCE),
    Fault(
        "sum of the chunk",
        "signal",
        LooksAhead,
        exact.check_causality,
        "outputs changed by a later sample",
    ),
    Fault(
        "chunks counted",
        "signal",
        CountsChunks,
        exact.check_chunking,
        "chunkings that changed an output",
    ),
    Fault(
        "single precision rounded",
        "student",
        Rounds,
        trained.check_precision,
        "float32 against float64",
    ),
    Fault("NaN on NaN", "signal", PassesNanOn, faults.check_recovery, NOT_FINITE),
    Fault("NaN always", "student", GivesNan, trained.check_reference, REFERENCE),
    Fault("NaN always", "student", GivesNan, faults.check_recovery, NOT_FINITE),
    Fault(
        "infinity on large samples", "signal", OverflowsOnLarge, faults.check_recovery, NOT_FINITE
    ),
    Fault("never recovers", "signal", NeverRecovers, faults.check_recovery, "after one NaN"),
    Fault(
        "masked for ever",
        "signal",
        StaysMasked,
        long_faults.check_long_faults,
        "channels still masked after that",
    ),
    # State
    Fault(
        "state written over",
        "state",
        OverwritesState,
        purity.check_purity,
        "steps that changed the state passed in",
    ),
    Fault(
        "samples written over",
        "state",
        OverwritesSamples,
        purity.check_purity,
        "steps that changed the samples",
    ),
    Fault(
        "memory outside the state",
        "state",
        Remembers,
        purity.check_purity,
        "steps that gave another result the second time",
    ),
    Fault(
        "random numbers",
        "state",
        Random,
        purity.check_purity,
        "steps that gave another result the second time",
    ),
    Fault(
        "student not saved",
        "state",
        Forgets,
        exact.check_resuming,
        "streams changed by saving and restoring",
    ),
    Fault(
        "filters not saved",
        "state",
        SavesHalf,
        exact.check_resuming,
        "streams changed by saving and restoring",
    ),
    # Quality
    Fault(
        "quorum ignored",
        "quality",
        IgnoresTheQuorum,
        faults.check_quorum,
        "outputs not as the quorum declares",
    ),
    Fault("filled is zero", "quality", lies(filled=np.zeros_like), quality.check_quality, FIELDS),
    Fault(
        "share is halved",
        "quality",
        lies(filled_share=lambda x: x / 2),
        quality.check_quality,
        FIELDS,
    ),
    Fault(
        "no bad channels",
        "quality",
        lies(bad_channels=np.zeros_like),
        quality.check_quality,
        FIELDS,
    ),
    Fault("no gap", "quality", lies(gap=np.zeros_like), quality.check_quality, FIELDS),
    Fault("never neutral", "quality", lies(neutral=np.zeros_like), quality.check_quality, FIELDS),
    Fault("bins start at one", "quality", lies(bin=lambda x: x + 1), quality.check_quality, FIELDS),
    Fault(
        "no clipping",
        "quality",
        lies(clipped_channels=lambda x: x + 1),
        quality.check_quality,
        FIELDS,
    ),
    # Long streams
    Fault("lost bins", "memory", LosesBins, endurance.check_endurance, LOST),
    Fault("leak", "memory", Leaks, endurance.check_endurance, "memory slope"),
    Fault(
        "constant after half a minute",
        "student",
        DeafAfterAWhile,
        endurance.check_endurance,
        SPREAD,
        60.0,
    ),
    Fault(
        "constant after half a minute",
        "student",
        DeafAfterAWhile,
        endurance.check_endurance,
        AFRESH,
        60.0,
    ),
    # Sockets
    Fault(
        "TCP",
        "sockets",
        uses(lambda: socket.create_server(("127.0.0.1", 0))),
        network.check_sockets,
        BY_EVENT,
    ),
    Fault("UDP", "sockets", uses(_udp), network.check_sockets, BY_EVENT),
    Fault(
        "TCP of a library",
        "sockets",
        uses(lambda: _unseen(socket.SOCK_STREAM)),
        network.check_sockets,
        OPENED,
    ),
    Fault(
        "UDP of a library",
        "sockets",
        uses(lambda: _unseen(socket.SOCK_DGRAM)),
        network.check_sockets,
        OPENED,
    ),
    Fault("in a child", "sockets", uses(_child), network.check_sockets, STARTED),
    Fault(
        "on import",
        "sockets",
        Patch(importing_a_socket),
        network.check_sockets,
        "sockets of a new process, from its start on",
    ),
    # Files
    Fault(
        "manifest believed",
        "files",
        Patch(lambda _: unverified("manifest")),
        files.check_integrity,
        "edited manifests that loaded",
    ),
    Fault(
        "tensors believed",
        "files",
        Patch(lambda _: unverified("tensors")),
        files.check_integrity,
        "damaged copies that loaded",
    ),
    Fault(
        "another bundle",
        "files",
        altered(_weights),
        files.check_integrity,
        "files that differ from the examined decoder",
    ),
    # Live loop
    Fault(
        "no late rows",
        "live loop",
        patched(Decoding, "_give_late_rows", lambda self: None),
        live_loop.check_live_loop,
        _unsafe("with"),
    ),
    Fault(
        "old samples are fresh",
        "live loop",
        patched(Stream, "__init__", _never_late),
        live_loop.check_live_loop,
        _unsafe("with"),
    ),
    Fault(
        "held for ever",
        "live loop",
        patched(Stream, "own", _held),
        live_loop.check_live_loop,
        _unsafe("without"),
    ),
    Fault(
        "any stamp believed",
        "live loop",
        patched(stream, "of_the_present", lambda arrived_s: timeline.ANY_TIME),
        live_loop.check_live_loop,
        _unsafe("without"),
    ),
    Fault(
        "any number believed",
        "live loop",
        _plain("believed", lambda *_: True),
        live_loop.check_live_loop,
        _unsafe("with"),
    ),
    Fault(
        "rows mixed up",
        "live loop",
        patched(Decoding, "_hand_over", _shifted),
        live_loop.check_live_loop,
        "rows not as decoded, with numbers",
    ),
    Fault(
        "last row not neutral",
        "live loop",
        patched(Decoding, "finish", lambda self: None),
        live_loop.check_live_loop,
        _unsafe("with"),
    ),
]
SLOW = [
    Fault(
        "constant after an hour",
        "student",
        DeafAfterAnHour,
        endurance.check_endurance,
        AFRESH,
        3600.0,
    ),
    Fault("drift", "student", Drifts, endurance.check_endurance, AFRESH, 120.0),
    Fault("slow leak", "memory", LeaksSlowly, endurance.check_endurance, "memory slope", 180.0),
    Fault(
        "ever slower",
        "memory",
        GrowsSlower,
        endurance.check_endurance,
        "median step, last tenth over first",
        600.0,
    ),
]
