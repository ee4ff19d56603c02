"""The decoder on a rig: raw samples in, behavior out, chunk by chunk.

    decoder = StreamingDecoder.load("bundle")
    state = decoder.initial_state()
    decoded, state = decoder.step(samples, state)          # chunks of any length, volts

It computes what `realm.Decoder` computes, from a bundle, without torch. The same samples give the
same output to the last bit however they are cut into chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realm.compiling import load_compiled
from realm.files import write_bytes
from realm.signal import ChainState, Features
from realm.streaming.bundle import Bundle
from realm.streaming.quality import Counted, Flags, Quality, count, judge
from realm.streaming.runtime import Precision, make_student
from realm.streaming.state import LARGEST, check_range, from_bytes, to_bytes


class StreamState(NamedTuple):
    """Where a stream stands: pass it in, keep what comes back, never change it."""

    signal: ChainState
    student: Any
    bins: int  # that were complete so far


class Decoded(NamedTuple):
    """What a chunk of samples completes, one row per bin."""

    behavior: NDArray[Any]  # (bins, dims) in the bundle's unit, always finite
    quality: Quality


class StreamingDecoder:
    """Causal decoder of one session's raw samples.

    Args:
        bundle: what to decode with.
        precision: "float32", or "float64" for exact comparisons. Features are always computed in
            float64.
        plain: compute the definitions of signal chain and student in numpy, which is several
            times slower; to compare with. A state may go on either way.

    Attributes:
        engine: "numba" or "numpy", what is used for the student; that of the signal chain is
            `signal_engine`.
    """

    def __init__(
        self, bundle: Bundle, precision: Precision = "float32", plain: bool = False
    ) -> None:
        self.bundle = bundle
        self.precision = precision
        self._student = make_student(bundle.weights, bundle.sizes, precision, plain)
        self._chain = bundle.chain.plain() if plain else bundle.chain
        # asked for now, because it loads the compiled code
        self.engine, self.signal_engine = self._student.engine, self._chain.engine
        dead = bundle.chain.dead_channels
        self._usable = np.array([name not in dead for name in bundle.chain.channel_names])
        self._neutral = np.array(bundle.neutral)
        self._count = _counting(self.signal_engine)
        self._nothing = self._empty()

    @classmethod
    def load(
        cls, folder: Path | str, precision: Precision = "float32", plain: bool = False
    ) -> Self:
        """The decoder of a bundle's folder.

        Raises:
            ValueError: the bundle is missing, damaged or does not fit; the message names the file.
        """
        return cls(Bundle.load(folder), precision, plain)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Channels that `step` expects, in order."""
        return self.bundle.chain.channel_names

    @property
    def sampling_rate_hz(self) -> float:
        """Rate of the samples that `step` expects."""
        return self.bundle.chain.sampling_rate_hz

    @property
    def bin_ms(self) -> float:
        """Width of a decoded bin."""
        return self.bundle.chain.bin_ms

    def n_outputs(self, n_samples: int) -> int:
        """How many outputs have been given after this many samples."""
        return max(0, self.bundle.chain.n_bins(n_samples) - self.bundle.lookahead_bins)

    def initial_state(self) -> StreamState:
        """The state before the first sample."""
        return StreamState(self.bundle.chain.initial_state(), self._student.initial_state(), 0)

    def step(self, samples: ArrayLike, state: StreamState) -> tuple[Decoded, StreamState]:
        """Decode the bins that these samples complete.

        Args:
            samples: (samples, channels) in volts, any number of samples, channels in the order of
                `channel_names`. They need not be finite: what is not is replaced and counted.
            state: from `initial_state` or the step before; it is not changed.

        Returns:
            What was decoded and the state for the next chunk. The output of bin k comes with the
            chunk that completes bin k + lookahead. Where fewer than `quorum` of the usable
            channels are good it is the neutral value, flagged in the quality record.

        Raises:
            ValueError: the samples do not have these channels or are not real numbers.
        """
        features, signal = self._chain.step(samples, state.signal)
        n_bins = len(features.values)
        if not n_bins:
            return self._nothing, state._replace(signal=signal)
        flat = features.values.reshape(n_bins, self.bundle.sizes.features)
        behavior, student = self._student.step(flat, state.student)
        after = StreamState(signal, student, state.bins + n_bins)
        first_bin = state.bins - self.bundle.lookahead_bins
        decoded = self._judged(behavior, features, first_bin)
        early = min(n_bins, max(0, -first_bin))  # bins that no output waits for
        return (_from_row(decoded, early) if early else decoded), after

    def _judged(self, behavior: NDArray[Any], features: Features, first_bin: int) -> Decoded:
        overflowed = np.isnan(behavior[:, 0])  # such a row is NaN as a whole
        counted = self._count(features, self._usable, self.bundle.quorum)
        quality = judge(counted, features.filled, first_bin, overflowed)
        if quality.neutral.any():
            behavior[quality.neutral] = self._neutral
        return Decoded(behavior, quality)

    def _empty(self) -> Decoded:
        channels, bands = len(self._usable), self.bundle.chain.n_bands
        none = Features(np.empty((0, channels, bands)), np.empty((0, channels)))
        student = self._student.initial_state()
        behavior = self._student.step(none.values.reshape(0, channels * bands), student)[0]
        return self._judged(behavior, none, 0)

    def forward(self, samples: ArrayLike) -> Decoded:
        """Decode a whole recording (samples, channels) from its first sample."""
        return self.step(samples, self.initial_state())[0]

    def state_to_bytes(self, state: StreamState) -> bytes:
        """The state as bytes, from which a stream goes on to the same bit."""
        return to_bytes(state, self.bundle.sha256)

    def state_from_bytes(self, content: bytes) -> StreamState:
        """The state that `state_to_bytes` gave.

        Raises:
            ValueError: it is damaged, or of another bundle or precision.
        """
        state = from_bytes(content, self.initial_state(), self.bundle.sha256)
        self.check_state(state)
        return state

    def check_state(self, state: StreamState, advice: str = "start from initial_state") -> None:
        """Check that a restored state can be one of this decoder: compiled code believes it.

        Raises:
            ValueError: a number is out of range, or they do not agree; the message ends with
                `advice`.
        """
        check_range(state, 0, advice)
        heard = self.samples_heard(state)
        if len(heard) > 1 or {state.bins} != {self.bundle.chain.n_bins(each) for each in heard}:
            raise ValueError(
                f"state: expected as many bins as {min(heard)} samples complete, got {state.bins}; "
                f"{advice}"
            )

    @staticmethod
    def samples_heard(state: StreamState) -> set[int]:
        """How many samples the stages of the signal chain have heard: one, if all is well."""
        return {part.n_samples for part in state.signal.stages if hasattr(part, "n_samples")}

    def save_state(self, state: StreamState, path: Path | str) -> None:
        """Write the state to a file, whole or not at all."""
        write_bytes(path, self.state_to_bytes(state))

    def load_state(self, path: Path | str) -> StreamState:
        """Read a state that `save_state` wrote.

        Raises:
            ValueError: there is none, or it does not belong to this decoder; the message names it.
        """
        path = Path(path)
        try:
            with path.open("rb") as stream:
                return self.state_from_bytes(stream.read(LARGEST + 1))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error


def _counting(engine: str) -> Callable[[Features, Flags, float], Counted]:
    fast = load_compiled("realm.streaming.tally", "compiled_count") if engine == "numba" else None
    return count if fast is None else fast


def _from_row(decoded: Decoded, first: int) -> Decoded:
    quality = Quality._make(part[first:] for part in decoded.quality)
    return Decoded(decoded.behavior[first:], quality)
