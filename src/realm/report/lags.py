"""Does the decoding come late? Its correlation with behavior that is moved in time against it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.data.sessions import PreparedSession
from realm.evaluation.metrics import mean_defined, pearson_r
from realm.files import read_tensors
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section, left_out
from realm.report.style import INK, colour, figure_file, quiet_grid

TITLE = "Delay of the decoding"
METHODS = ("ridge", "student")
REACH_MS = 500.0
STEPS = 50  # lags to each side, at most


class LagCurve(NamedTuple):
    """Correlation of one method's decoding with behavior, by lag.

    lags_ms: (lags,) positive = compared with earlier behavior: the decoding comes late.
    correlation: (sessions, lags) mean over the behavior's dimensions; NaN where undefined.
    """

    lags_ms: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @property
    def best_ms(self) -> float:
        """The lag at which the mean over sessions is highest; NaN if it is undefined."""
        means = [mean_defined(column) for column in self.correlation.T]
        return float(self.lags_ms[int(np.nanargmax(means))]) if np.isfinite(means).any() else np.nan


def lag_section(run: RunFolder, figures: Path) -> Section:
    """Lag curves on test time of the first seed's stored decodings."""
    if not run.sessions:
        return left_out(TITLE, run.needs_sessions)
    curves = {method: lag_curve(run, method) for method in METHODS}
    found = {method: curve for method, curve in curves.items() if curve.correlation.size}
    if "student" not in found or not np.isfinite(found["student"].best_ms):
        return left_out(
            TITLE, "Left out: no decoding of behavior that varies is stored in `seed*/decoded`."
        )
    path = figures / "lags.png"
    lag_figure(found, path)
    best = found["student"].best_ms
    said = (
        "fits best at lag 0: it does not come late."
        if best == 0
        else f"fits best to the behavior {abs(best):.0f} ms "
        f"{'earlier: it comes late by that time' if best > 0 else 'later: it comes early'}."
    )
    text = f"The student's decoding is moved in time against the true behavior. It {said}"
    return Section(TITLE, (text,), (Picture(path, "Correlation of decoding and behavior by lag"),))


def lag_curve(run: RunFolder, method: str) -> LagCurve:
    """The curve of one method; no sessions where its decodings are not stored."""
    sessions = [s for s in run.sessions if _stored(run, s, method).is_file()]
    bin_ms = run.sessions[0].bin_ms
    step = max(1, round(REACH_MS / STEPS / bin_ms))
    lags = np.arange(-round(REACH_MS / bin_ms) // step, round(REACH_MS / bin_ms) // step + 1) * step
    curves = [_of_session(session, _stored(run, session, method), lags) for session in sessions]
    return LagCurve(
        (lags * bin_ms).astype(np.float64), np.array(curves).reshape(len(sessions), len(lags))
    )


def _stored(run: RunFolder, session: PreparedSession, method: str) -> Path:
    return run.seed_folder / "decoded" / session.session_id / f"{method}.safetensors"


def _of_session(session: PreparedSession, path: Path, lags: NDArray[np.int64]) -> list[float]:
    arrays = read_tensors(path)
    truth, known = session.behavior(*session.splits["test"])
    known = known & arrays["usable"]
    return [_correlation(truth, arrays["decoded"], known, int(lag)) for lag in lags]


def _correlation(
    truth: NDArray[np.float32], decoded: NDArray[np.float32], known: NDArray[np.bool_], lag: int
) -> float:
    """Correlation of decoded[k] with truth[k - lag]."""
    n = len(truth) - abs(lag)
    if n < 2:
        return float("nan")
    late, early = slice(max(lag, 0), max(lag, 0) + n), slice(max(-lag, 0), max(-lag, 0) + n)
    both = known[early] & known[late]
    return mean_defined(pearson_r(truth[early], decoded[late], both))


def lag_figure(curves: dict[str, LagCurve], path: Path) -> None:
    """Mean over sessions as a thick line, single sessions thin, the best lag marked."""
    with figure_file(path, 6.8, 3.8) as fig:
        ax = fig.subplots()
        ax.axvline(0, color=INK, linewidth=0.8)
        for method, curve in curves.items():
            own = colour(method)
            for session in curve.correlation:
                ax.plot(curve.lags_ms, session, color=own, linewidth=0.7, alpha=0.4)
            means = np.array([mean_defined(column) for column in curve.correlation.T])
            style = "-" if method == "student" else "--"
            ax.plot(curve.lags_ms, means, style, color=own, linewidth=2.2, label=method)
            if np.isfinite(curve.best_ms):
                at = int(np.nanargmax(means))
                ax.plot(curve.best_ms, means[at], "o", color=own, markersize=7)
        ax.set_xlabel("lag, ms (right: the decoding comes later than the behavior)")
        ax.set_ylabel("Pearson r on test time")
        ax.legend(frameon=False, loc="upper right")
        quiet_grid(ax)
