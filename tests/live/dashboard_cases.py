"""Made-up outputs of a decoder, for tests of what shows them."""

from __future__ import annotations

from typing import Any

import numpy as np

from realm.live.outputs import OutputInfo, Outputs

BIN_MS = 10.0


def output_info(n_channels: int = 96, names: tuple[str, ...] = ("x", "y")) -> OutputInfo:
    return OutputInfo(
        session_id="monkey-2026-11-22",
        behavior_names=names,
        behavior_unit="cm/s",
        channel_names=tuple(f"ch{i}" for i in range(n_channels)),
        bin_ms=BIN_MS,
        lookahead_ms=0.0,
        bundle_sha256="0" * 64,
    )


def make_outputs(
    n_bins: int,
    first_bin: int = 0,
    info: OutputInfo | None = None,
    *,
    bad: tuple[int, ...] = (),
    neutral: bool = False,
    held: bool = False,
    gap: bool = False,
    truth: bool = True,
    start_s: float = 1000.0,
) -> Outputs:
    """Bins of slow waves: decoded, and true with a little less noise."""
    info = info or output_info()
    dims, channels = len(info.behavior_names), len(info.channel_names)
    bins = np.arange(first_bin, first_bin + n_bins)
    noise = np.random.default_rng(first_bin)
    phase = (bins[:, None] * BIN_MS / 1000) * (1.5 + 0.6 * np.arange(dims))
    true = 20 * np.sin(phase) * np.cos(0.31 * phase + np.arange(dims))
    decoded = np.full_like(true, 0.0) if neutral else 0.85 * true + noise.normal(0, 1, true.shape)
    filled = np.where(np.isin(np.arange(channels), bad), 1.0, 0.0) * np.ones((n_bins, 1))
    flags: dict[str, Any] = {
        name: np.full(n_bins, value)
        for name, value in (("gap", gap), ("neutral", neutral), ("held", held))
    }
    return Outputs(
        bin=bins,
        time_s=start_s + (bins + 1) * BIN_MS / 1000,
        behavior=decoded.astype(np.float32),
        latency_ms=np.exp(noise.normal(np.log(0.4), 0.35, n_bins)),
        filled_share=filled.mean(axis=1),
        bad_channels=np.full(n_bins, len(bad)),
        clipped_channels=np.zeros(n_bins, np.int64),
        filled=filled,
        truth=true if truth else None,
        **flags,
    )
