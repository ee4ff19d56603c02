"""The stages of the signal chain as compiled loops; importing this needs numba.

Loops run over time, and over the channels of each sample inside, which compiles to vector
instructions. They write over their own copies of the state. Products and sums keep the order of the
plain stages and are not contracted, so results differ from theirs by rounding at most: in the sum
of the common average, in the logarithm, and where scipy itself was compiled otherwise.

States are those of the plain stages: a stream may go on with the other code. A stage of a type that
is not known here runs its own `step`.
"""

from __future__ import annotations

from typing import Any

from realm.signal.binning import Binning, LogPower
from realm.signal.compiled.bins import CompiledBinning, CompiledLogPower, CompiledNormalize
from realm.signal.compiled.decimation import CompiledDecimation
from realm.signal.compiled.filters import CompiledBands, CompiledNotch
from realm.signal.compiled.samples import CompiledAverage, CompiledGuard
from realm.signal.decimation import Decimation
from realm.signal.features import Bands
from realm.signal.filters import LineNotch
from realm.signal.guard import Guard
from realm.signal.normalize import Normalize
from realm.signal.reference import CommonAverage
from realm.signal.stage import Stage, Step

__all__ = ["compiled_step"]

TWINS: dict[type, Any] = {
    Guard: CompiledGuard,
    Decimation: CompiledDecimation,
    CommonAverage: CompiledAverage,
    LineNotch: CompiledNotch,
    Bands: CompiledBands,
    Binning: CompiledBinning,
    LogPower: CompiledLogPower,
    Normalize: CompiledNormalize,
}


def compiled_step(stage: Stage) -> Step:
    """The compiled step of a stage; its own where there is none."""
    known = TWINS.get(type(stage))  # of this very type: a subclass may do something else
    return stage.step if known is None else known(stage).step
