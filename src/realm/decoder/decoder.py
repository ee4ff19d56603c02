"""A decoder: recordings in, behavior out; fitted once, saved as a folder, fed live by chunks.

    decoder = Decoder("reach_sim").fit(recordings)
    behavior = decoder.predict(recording)                       # a whole file
    state = decoder.initial_state(session_id)
    behavior, state = decoder.step(samples, state)              # chunks of any length

`predict` is `step` on the whole recording: there is no second implementation.
"""

from __future__ import annotations

import copy
import os
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from huggingface_hub import ModelHubMixin, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError

from realm.data.behavior import align
from realm.data.prepare import prepare_all
from realm.data.sessions import PreparedSession
from realm.decoder.estimator import RecipeEstimator, in_order, is_paths, paths_of
from realm.decoder.folder import (
    MANIFEST,
    Saved,
    no_decoder,
    not_reached,
    read_saved,
    some,
    write_saved,
)
from realm.decoder.held_out import is_held_out, with_held_out
from realm.evaluation.metrics import mean_r2
from realm.files import make_folder, write_text
from realm.live.check import UnitCheck
from realm.nn.student import Student
from realm.progress import silent
from realm.recipe import Recipe
from realm.recordings.open import open_recording
from realm.recordings.recording import Recording
from realm.signal import SignalChain
from realm.signal.binning import lookahead_bins
from realm.stages import SeedRun

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")  # user/name
BLOCK_S = 30.0  # how much of a file is read at a time; any value gives the same output


class DecoderState(NamedTuple):
    """Where a stream stands: pass it in, keep what comes back, never change it."""

    session_id: str
    signal: Any
    encoder: Any
    bins: int  # feature bins so far


class Decoded(NamedTuple):
    """What a chunk of samples completes.

    behavior: (bins, dims) in `Decoder.behavior_unit`.
    filled: (bins, channels) share of each channel's samples that the guard replaced, 1 = masked;
        of the bin that was heard last, which with a lookahead is later than the one decoded.
    """

    behavior: NDArray[Any]
    filled: NDArray[np.float64]


CARD = """---
{{ card_data }}
---

A causal decoder of behavior from local field potentials, made with REALM (`realm-lfp`).
`decoder.json` says what it was trained on and what it decodes. To load it:
`realm.Decoder.from_pretrained(folder)`.
"""


class Decoder(
    ModelHubMixin,
    RecipeEstimator,
    library_name="realm-lfp",
    model_card_template=CARD,
):
    """Causal decoder of behavior from raw LFP, with the interface of scikit-learn.

    Args:
        recipe: a recipe, its file, or the name of one that comes with the package.
        seed: of everything random in the training; None = the recipe's first.
        folder: keeps the files of the training; None = a temporary one.

    Attributes, after `fit` or `from_pretrained`:
        sessions_: ids of the sessions it can decode.
        behavior_names_, behavior_unit_: of the decoded dimensions.
    """

    student_: Student
    chains_: dict[str, SignalChain]
    behavior_names_: tuple[str, ...]
    behavior_unit_: str

    def __init__(
        self,
        recipe: str | Path | Recipe = "reach_sim",
        seed: int | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.recipe = recipe
        self.seed = seed
        self.folder = folder

    def fit(self, X: Sequence[Path | str], y: None = None) -> Self:
        """Prepare the recordings, pretrain a teacher, distill the student.

        Args:
            X: recordings, one per session. Behavior is read from them as the recipe says.
            y: None; there for scikit-learn.

        Raises:
            ValueError: there is no list of recordings, or one does not fit the recipe; the message
                names it.
        """
        paths = paths_of(X, y)
        recipe = self.unfitted_recipe()
        seed = recipe.seeds[0] if self.seed is None else self.seed
        with tempfile.TemporaryDirectory() as temporary:
            folder = make_folder(self.folder or temporary)
            prepared = prepare_all(
                paths, folder / "prepared", recipe.signal, recipe.data, workers=1, show=False
            )
            job = SeedRun(recipe, prepared, folder / f"seed{seed}", seed, silent())
            student, _ = job.student(job.teacher()[0])
            return self._take(student, job.sessions, recipe)

    def predict(self, X: Any, session_id: str | None = None) -> Any:
        """Decode a whole recording, bin by bin as it would run live.

        Args:
            X: a recording; or samples (samples, channels) in volts at the session's rate, the
                columns of a table in any order; or a list of recordings.
            session_id: which session's adapter and statistics to use; None = the one the file
                names, or the decoder's only one. A session that the decoder does not have, of a
                subject that it has, is decoded by what the subject's sessions share.

        Returns:
            (bins, dims) in `behavior_unit_`; with a lookahead, the last bins have no output: NaN.
            Of a list, one such array for each recording.

        Raises:
            ValueError: the recording does not fit the decoder, or its samples are in another unit.
        """
        if isinstance(X, str | Path):
            with open_recording(X, self._recipe().data.lfp) as recording:
                return self._predict_recording(recording, session_id)
        if is_paths(X):
            return [self.predict(path, session_id) for path in X]
        chosen = session_id or self._only_session()
        named = in_order(X, self.channel_names(chosen))
        samples = self._checked(np.asarray(named, dtype=np.float64), chosen)
        self._check_unit(samples, chosen, "samples")
        decoded, state = self.step(samples, self.initial_state(chosen))
        return self._padded([decoded.behavior], state)

    def score(self, X: Any, y: None = None, sample_weight: None = None) -> float:
        """R² on the last 20% of a recording, the mean over the behavior's dimensions.

        Of a list of recordings, the mean over them. NaN if the behavior does not vary there.
        """
        if not isinstance(X, str | Path):
            return float(np.mean([self.score(path) for path in paths_of(X, y)]))
        paths_of([X], y)  # refuses labels beside a recording
        data = self._recipe().data
        with open_recording(X, data.lfp) as recording:
            decoded = self._predict_recording(recording, None)
            series = recording.behavior(data.behavior_path)
            behavior = align(
                series, data.target, data.smoothing_s, self.bin_ms, len(decoded), recording.start_s
            )
        known = behavior.mask & np.isfinite(decoded).all(axis=1)
        test = slice(int(np.ceil(0.8 * len(decoded))), None)
        return mean_r2(behavior.values[test], np.nan_to_num(decoded[test]), known[test])

    def initial_state(self, session_id: str | None = None) -> DecoderState:
        """The state before the first sample of a stream from this session's electrodes."""
        chosen = session_id or self._only_session()
        chain = self.chain(chosen)
        weight = next(self.student_.parameters())
        encoder = self.student_.initial_state(1, dtype=weight.dtype, device=weight.device)
        return DecoderState(chosen, chain.initial_state(), encoder, 0)

    @torch.no_grad()
    def step(self, samples: ArrayLike, state: DecoderState) -> tuple[Decoded, DecoderState]:
        """Decode the bins that these samples complete.

        Args:
            samples: (samples, channels) in volts, any number of samples, channels in the order of
                `channel_names(session_id)`.
            state: from `initial_state` or the step before; it is not changed.

        Returns:
            What was decoded, one row per completed bin (after the first `lookahead`), and the
            state for the next chunk.
        """
        chain = self.chain(state.session_id)
        features, signal = chain.step(np.asarray(samples, dtype=np.float64), state.signal)
        weight = next(self.student_.parameters())
        x = torch.from_numpy(np.ascontiguousarray(features.values)).to(weight)[None]
        output, encoder = self.student_.step(x, state.encoder, state.session_id)
        units = self.student_.to_units(output.behavior, state.session_id)[0].cpu().numpy()
        early = max(0, min(len(units), self.lookahead_bins - state.bins))  # no bin to answer yet
        after = DecoderState(state.session_id, signal, encoder, state.bins + len(units))
        return Decoded(units[early:], features.filled[early:]), after

    def chain(self, session_id: str) -> SignalChain:
        """The signal chain of a session, with its statistics."""
        if session_id not in self.sessions_:
            raise ValueError(
                f"expected a session of this decoder ({', '.join(self.sessions_)}), got "
                f"{session_id!r}; calibrate the decoder to it (realm calibrate)"
            )
        return self.chains_[session_id]

    def channel_names(self, session_id: str) -> tuple[str, ...]:
        """Channels that `step` expects, in order."""
        return tuple(self.chain(session_id).channel_names)

    @property
    def sessions_(self) -> tuple[str, ...]:
        """Ids of the sessions this decoder can decode."""
        if not hasattr(self, "student_"):
            raise NotFittedError("expected a fitted decoder, this one is not; call fit first")
        return tuple(self.chains_)

    @property
    def fitted_recipe(self) -> Recipe:
        """The recipe that it was fitted with, or will be, read and checked."""
        return self._recipe()

    @property
    def bin_ms(self) -> float:
        """Width of a decoded bin."""
        return self._recipe().signal.bin_ms

    @property
    def lookahead_bins(self) -> int:
        """Future bins that an output waits for."""
        return lookahead_bins(self._recipe().distill.lookahead_ms, self.bin_ms)

    @classmethod
    def assemble(
        cls, student: Student, sessions: Sequence[PreparedSession], recipe: Recipe, seed: int
    ) -> Decoder:
        """A decoder of a student that was trained on prepared sessions."""
        return cls(recipe, seed)._take(student, sessions, recipe)

    def _take(self, student: Student, sessions: Sequence[PreparedSession], recipe: Recipe) -> Self:
        self.recipe_ = recipe
        self.student_ = student.cpu().eval()
        self.chains_ = {session.session_id: session.chain for session in sessions}
        self.behavior_names_ = tuple(sessions[0].behavior_names)
        self.behavior_unit_ = sessions[0].behavior_unit
        return self

    def _recipe(self) -> Recipe:
        fitted = getattr(self, "recipe_", None)
        return fitted if isinstance(fitted, Recipe) else self.unfitted_recipe()

    def _only_session(self) -> str:
        if not self.sessions_:
            raise ValueError(
                "expected a decoder of at least one session, this one has imported weights and "
                "none yet; adapt it to a recording with realm calibrate"
            )
        if len(self.sessions_) != 1:
            raise ValueError(
                f"expected session_id, one of {', '.join(self.sessions_)}: this decoder knows "
                "several sessions; say which one the samples come from"
            )
        return self.sessions_[0]

    def _predict_recording(self, recording: Recording, asked: str | None) -> NDArray[Any]:
        session_id = asked or recording.session_id
        unknown = asked is None and session_id not in self.sessions_
        if unknown and is_held_out(self.student_, recording):
            return self._with_held_out(recording)._predict_recording(recording, session_id)
        columns = self._columns(recording, session_id)
        pieces: list[NDArray[Any]] = []
        state = self.initial_state(session_id)
        for block in recording.blocks(max(1, round(BLOCK_S * recording.sampling_rate_hz))):
            samples = block[:, columns]
            if not pieces:
                self._check_unit(samples, session_id, str(recording.path))
            decoded, state = self.step(samples, state)
            pieces.append(decoded.behavior)
        return self._padded(pieces, state)

    def _with_held_out(self, recording: Recording) -> Decoder:
        """This decoder with the session of a recording, decoded by what its subject's share."""
        recipe = self._recipe()
        warnings.warn(
            f"{recording.path}: session {recording.session_id!r} is not one of the decoder's; it "
            f"is decoded by what the sessions of {recording.subject} share. With labels, realm "
            "calibrate adds it",
            stacklevel=2,
        )
        student, session_id, chain = with_held_out(self.student_, recipe, recording.path)
        found = copy.copy(self)
        found.student_, found.chains_ = student, {**self.chains_, session_id: chain}
        return found

    def _check_unit(self, samples: NDArray[Any], session_id: str, name: str) -> None:
        """Refuse a signal in another unit, as a live stream is refused."""
        chain = self.chain(session_id)
        usable = np.array([n not in chain.dead_channels for n in chain.channel_names])
        verdict = UnitCheck(chain.limits, usable, max(1, len(samples))).add(samples)
        if verdict is not None and verdict.refused:
            raise ValueError(f"{name}: {verdict.refused}")

    def _padded(self, pieces: list[NDArray[Any]], state: DecoderState) -> NDArray[Any]:
        behavior = np.concatenate([np.zeros((0, len(self.behavior_names_)), np.float32), *pieces])
        late = min(self.lookahead_bins, state.bins)
        missing = np.full((late, behavior.shape[1]), np.nan, behavior.dtype)
        return np.concatenate([behavior, missing])

    def _checked(self, samples: NDArray[Any], session_id: str) -> NDArray[Any]:
        n_channels = len(self.channel_names(session_id))
        if samples.ndim != 2 or samples.shape[1] != n_channels:
            raise ValueError(
                f"expected samples (samples, {n_channels} channels) of session {session_id!r}, got "
                f"shape {samples.shape}; give its channels in the order of channel_names"
            )
        return samples

    def _columns(self, recording: Recording, session_id: str) -> list[int] | slice:
        """Which channels of a recording the session has, by name, in its order.

        Others are not used, as in a live stream.
        """
        try:
            chain = self.chain(session_id)
        except ValueError as error:
            raise ValueError(f"{recording.path}: {error}") from None
        expected, found = tuple(chain.channel_names), tuple(recording.channel_names)
        rate = chain.sampling_rate_hz
        if not set(expected) <= set(found):
            raise ValueError(
                f"{recording.path}: expected the {len(expected)} channels {some(expected)} of "
                f"session {session_id!r}, found {len(found)}: {some(found)}; give a recording "
                "from the same electrodes, or calibrate the decoder to this one"
            )
        if not np.isclose(rate, recording.sampling_rate_hz, rtol=1e-6):
            raise ValueError(
                f"{recording.path}: expected samples at {rate:g} Hz as in session {session_id!r}, "
                f"found {recording.sampling_rate_hz:g} Hz; resample the recording or calibrate"
            )
        return slice(None) if found == expected else [found.index(name) for name in expected]

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """Save weights, signal chains and recipe as a folder; see `ModelHubMixin`.

        Raises:
            ValueError: the decoder is not fitted.
            OSError: the folder cannot be written or the disk is full; the message names it.
        """
        if not self.sessions_:
            raise ValueError("expected a fitted decoder, this one has no sessions; call fit first")
        folder = make_folder(save_directory)
        kwargs.setdefault("repo_id", folder.name)
        try:
            with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as temporary:
                address: str | None = super().save_pretrained(temporary, **kwargs)
                # The manifest comes last: nothing is loaded whose hashes differ from it.
                for path in sorted(Path(temporary).iterdir(), key=lambda p: p.name == MANIFEST):
                    path.replace(folder / path.name)
        except OSError as error:
            raise OSError(
                error.errno,
                f"could not save the decoder in {folder}: {os.strerror(error.errno or 0)}; what "
                "was there is kept. Free space or choose another folder, then save it again",
            ) from error
        return address

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Decoder:
        """Load what `save_pretrained` wrote: a folder, or a repository on the Hugging Face Hub.

        Raises:
            ValueError: nothing there, or it is damaged, truncated or foreign; the message names
                the file.
        """
        name = pretrained_model_name_or_path
        if Path(name).is_dir():
            return cls._load(Path(name))
        if not HUB_NAME.fullmatch(str(name)):
            raise ValueError(no_decoder(name))
        try:
            found: Decoder = super().from_pretrained(str(name), **kwargs)
        except (LocalEntryNotFoundError, ConnectionError, TimeoutError) as error:
            raise ValueError(not_reached(name)) from error
        except OSError as error:
            raise ValueError(no_decoder(name)) from error
        return found

    def _save_pretrained(self, save_directory: Path) -> None:
        recipe, unit = self._recipe(), self.behavior_unit_
        saved = Saved(recipe, self.student_, self.chains_, self.behavior_names_, unit)
        write_saved(saved, save_directory)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        **_: Any,
    ) -> Decoder:
        found = snapshot_download(
            model_id,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        return cls._load(Path(found))

    @classmethod
    def _load(cls, folder: Path) -> Decoder:
        saved = read_saved(folder)
        decoder = cls(saved.recipe)
        decoder.recipe_ = saved.recipe
        decoder.student_, decoder.chains_ = saved.student, saved.chains
        decoder.behavior_names_, decoder.behavior_unit_ = saved.behavior_names, saved.behavior_unit
        return decoder


def write_decoded(decoder: Decoder, file: Path, out: Path, session_id: str | None = None) -> int:
    """Decode a recording into a CSV: the time at which each bin ends, then its behavior.

    Times are on the clock of the recording, missing outputs are empty cells. Returns the number of
    bins.
    """
    decoded = decoder.predict(file, session_id)
    with open_recording(file, decoder.fitted_recipe.data.lfp) as recording:
        start_s = recording.start_s
    times = start_s + (np.arange(len(decoded)) + 1) * decoder.bin_ms / 1000
    lines = [",".join(["time_s", *decoder.behavior_names_])]
    for time_s, values in zip(times, decoded, strict=True):
        cells = ("" if np.isnan(v) else f"{v:.7g}" for v in values)
        lines.append(",".join([f"{time_s:.6f}", *cells]))
    write_text(out, "\n".join(lines) + "\n")
    return len(decoded)
