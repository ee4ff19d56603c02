"""Which channels and bands matter: the R² that is lost when one of them is masked.

A masked channel has normalized features of 0, its mean. Measured on validation time with the saved
decoder, so that you can choose channels by it without looking at test time. The network is not
trained again: if two channels carry the same information, both may look unimportant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.decoder.decoder import Decoder
from realm.evaluation.metrics import mean_defined, mean_r2
from realm.nn.student import Student
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.style import INK, colour, figure_file, quiet_grid
from realm.report.tables import ResultTable, number

TITLE = "Which channels and bands matter"
MOST_BINS = 600_000  # decoded in all, every masking counted: some ten seconds
SHORTEST_S, WARM_UP_S = 5.0, 5.0
TOGETHER = 16  # maskings decoded side by side
CHUNK_BINS = 512
SHOWN = 20  # channels in the figure

Say = Callable[[str], None]


class Importance(NamedTuple):
    """R² with nothing masked, and what is lost without each channel and each band."""

    session: PreparedSession
    r2: float
    channels: NDArray[np.float64]  # (channels,)
    bands: NDArray[np.float64]  # (bands,)


def importance_section(run: RunFolder, figures: Path, say: Say) -> Section:
    """Importance in as many sessions as can be measured in bounded time."""
    model = run.seed_folder / "model"
    if not model.is_dir():
        return left_out(TITLE, f"Left out: there is no saved decoder in `{model}`.")
    if not run.sessions:
        return left_out(TITLE, run.needs_sessions)
    decoder = Decoder.from_pretrained(model)
    sessions = [s for s in run.sessions if s.session_id in decoder.sessions_]
    found = measure(decoder, sessions, say)
    if not found:
        return left_out(TITLE, "Left out: behavior does not vary in the sessions' validation time.")
    path = figures / "importance.png"
    importance_figure(found, path)
    whole = ResultTable(
        "R² lost without each channel, all sessions",
        ("Channel", "R² lost", "Sessions"),
        tuple(
            (name, number(loss.mean, sign=True), str(loss.sessions))
            for name, loss in channel_losses(found).items()
        ),
    )
    text = _told(found, len(run.sessions), run.seed)
    picture = Picture(path, "R² lost on validation time without a channel, and without a band")
    return Section(TITLE, text, (picture,), (whole,), folded=True)


def measure(decoder: Decoder, sessions: Sequence[PreparedSession], say: Say) -> list[Importance]:
    """Mask every channel and band in turn, in as many sessions and as long spans as time allows."""
    found: list[Importance] = []
    budget = MOST_BINS
    for rank, session in enumerate(sessions):
        maskings = 1 + len(session.channel_names) + len(session.band_names)
        span = budget // (maskings * (len(sessions) - rank))
        shortest = round(SHORTEST_S * 1000 / session.bin_ms)
        if found and budget < maskings * shortest:
            break
        say(f"importance of channels and bands: {session.session_id}")
        one = measure_session(decoder, session, max(span, shortest))
        budget -= maskings * max(span, shortest)
        if np.isfinite(one.r2):
            found.append(one)
    return found


def measure_session(decoder: Decoder, session: PreparedSession, most_bins: int) -> Importance:
    """R² on validation time with nothing, each channel and each band masked."""
    start, stop = session.splits["validation"]
    stop = min(stop, start + most_bins)
    channels, bands = len(session.channel_names), len(session.band_names)
    masks = np.ones((1 + channels + bands, channels, bands), np.float32)
    masks[np.arange(channels) + 1, np.arange(channels)] = 0
    masks[np.arange(bands) + 1 + channels, :, np.arange(bands)] = 0
    behavior, known = session.behavior(start, stop)
    late = decoder.lookahead_bins
    known = known & (np.arange(start, stop) + late < session.n_bins)
    scores = []
    for first in range(0, len(masks), TOGETHER):
        some = torch.from_numpy(masks[first : first + TOGETHER])
        decoded = _decode_masked(decoder.student_, session, some, start, stop, late)
        scores += [mean_r2(behavior, one[: len(behavior)], known) for one in decoded]
    losses = scores[0] - np.array(scores[1:])
    return Importance(session, scores[0], losses[:channels], losses[channels:])


@torch.no_grad()
def _decode_masked(
    student: Student,
    session: PreparedSession,
    masks: torch.Tensor,
    start: int,
    stop: int,
    late: int,
) -> NDArray[np.float32]:
    """Behavior (masks, stop - start, dims), each row decoded with its features masked.

    Masked features are 0. What lies beyond the recording's end is 0 too; it is not scored.
    """
    begin = max(0, start - round(WARM_UP_S * 1000 / session.bin_ms))
    end = min(session.n_bins, stop + late)
    state, pieces = student.initial_state(len(masks)), []
    for at in range(begin, end, CHUNK_BINS):
        features = torch.from_numpy(session.features(at, min(end, at + CHUNK_BINS)))
        chunk = features[None] * masks[:, None]  # (masks, time, channels, bands)
        output, state = student.step(chunk, state, session.session_id)
        pieces.append(student.to_units(output.behavior, session.session_id))
    decoded = torch.cat(pieces, dim=1)[:, start - begin + late :].numpy()
    missing = max(0, stop - start - decoded.shape[1])
    return np.pad(decoded, ((0, 0), (0, missing), (0, 0)))


class Loss(NamedTuple):
    """R² lost, its mean over the sessions that have the channel."""

    mean: float
    each: tuple[float, ...]

    @property
    def sessions(self) -> int:
        """How many sessions that were."""
        return len(self.each)


def channel_losses(found: Sequence[Importance]) -> dict[str, Loss]:
    """Losses by channel, the largest first; channels of one subject and name belong together.

    A session's only channel is left out: without it there is nothing to decode.
    """
    found = [one for one in found if len(one.channels) > 1]
    several = len({one.session.subject for one in found}) > 1
    by_name: dict[str, list[float]] = {}
    for one in found:
        for name, loss in zip(one.session.channel_names, one.channels, strict=True):
            key = f"{one.session.subject} {name}" if several else name
            by_name.setdefault(key, []).append(float(loss))
    losses = {name: Loss(mean_defined(each), tuple(each)) for name, each in by_name.items()}
    return dict(sorted(losses.items(), key=lambda item: -item[1].mean))


def band_losses(found: Sequence[Importance]) -> dict[str, Loss]:
    """Losses by band, in the order of the bands."""
    names = found[0].session.band_names
    each = {name: tuple(float(one.bands[k]) for one in found) for k, name in enumerate(names)}
    return {name: Loss(mean_defined(values), values) for name, values in each.items()}


def _told(found: Sequence[Importance], sessions: int, seed: int) -> tuple[str, ...]:
    bands, channels = band_losses(found), channel_losses(found)
    band = max(bands, key=lambda name: bands[name].mean)
    text = f"Without the band {band} the decoder loses {number(bands[band].mean)} of R²"
    if channels:
        first = next(iter(channels))
        text += f", without the channel {first} it loses {number(channels[first].mean)}"
    text += ". The decoder was not trained again: if two channels carry the same information, both "
    text += "may look unimportant."
    how = f"Measured on validation time with the decoder of seed {seed}"
    how += f", in {len(found)} of {sessions} sessions." if len(found) < sessions else "."
    return (text, how)


def importance_figure(found: Sequence[Importance], path: Path) -> None:
    """Bars of the mean loss, dots for the sessions; the channels that matter most on top."""
    channels, bands = channel_losses(found), band_losses(found)
    shown = dict(list(channels.items())[:SHOWN])
    height = 1.3 + 0.24 * max(len(shown), len(bands))
    panels = {"bands": bands} if not shown else {_title(channels, shown): shown, "bands": bands}
    with figure_file(path, 4.7 * len(panels), height) as fig:
        axes = fig.subplots(1, len(panels), squeeze=False)[0]
        for ax, (title, losses) in zip(axes, panels.items(), strict=True):
            _draw_losses(ax, losses)
            ax.set_title(title)
        fig.supxlabel("R² lost when masked.  Bar: mean.  Dots: sessions.", fontsize=10)


def _title(channels: dict[str, Loss], shown: dict[str, Loss]) -> str:
    rest = len(channels) - len(shown)
    return "channels" + (f" ({rest} with less are not shown)" if rest else "")


def _draw_losses(ax: Axes, losses: dict[str, Loss]) -> None:
    places = np.arange(len(losses))
    ax.barh(places, [loss.mean for loss in losses.values()], 0.7, color=colour("ridge"))
    for place, loss in zip(places, losses.values(), strict=True):
        if loss.sessions > 1:
            ax.plot(loss.each, [place] * loss.sessions, ".", color=INK, markersize=4)
    ax.set_yticks(places, [name.replace("_", " ") for name in losses])
    ax.set_ylim(len(losses) - 0.4, -0.6)
    ax.axvline(0, color=INK, linewidth=0.8)
    quiet_grid(ax, "x")
