"""Causal signal processing: raw samples to features, with numpy, scipy and, for speed, numba."""

from __future__ import annotations

from realm.signal.binning import Binning, LogPower
from realm.signal.chain import ChainState, SignalChain
from realm.signal.config import SignalConfig, resolve_bands
from realm.signal.decimation import Decimation, decimation_factor
from realm.signal.features import BandPower, Bands, SlowPotential
from realm.signal.filters import LineNotch
from realm.signal.guard import Guard, GuardLimits, fit_limits
from realm.signal.normalize import NormalizationFit, NormalizationStatistics, Normalize
from realm.signal.reference import CommonAverage
from realm.signal.stage import Banded, Feature, Features, Guarded, Stage

__all__ = [
    "BandPower",
    "Banded",
    "Bands",
    "Binning",
    "ChainState",
    "CommonAverage",
    "Decimation",
    "Feature",
    "Features",
    "Guard",
    "GuardLimits",
    "Guarded",
    "LineNotch",
    "LogPower",
    "NormalizationFit",
    "NormalizationStatistics",
    "Normalize",
    "SignalChain",
    "SignalConfig",
    "SlowPotential",
    "Stage",
    "decimation_factor",
    "fit_limits",
    "resolve_bands",
]
