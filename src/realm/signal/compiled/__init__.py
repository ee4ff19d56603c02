"""The stages of the signal chain as compiled loops; importing this needs numba.

Loops run over time, and over the channels of each sample inside, which compiles to vector
instructions. They write over their own copies of the state. Products and sums keep the order of the
plain stages and are not contracted, so results differ from theirs by rounding at most: in the sum
of the common average, in the logarithm, and where scipy itself was compiled otherwise.

Compiled code is kept in numba's cache beside these files, or in the user's cache folder where that
one cannot be written.
"""

from __future__ import annotations

from realm.signal.binning import Binning, LogPower
from realm.signal.compiled.bins import CompiledBinning
from realm.signal.compiled.decimation import CompiledDecimation
from realm.signal.compiled.features import CompiledLogPower, CompiledNormalize
from realm.signal.compiled.filters import CompiledBands, CompiledNotch
from realm.signal.compiled.samples import CompiledAverage, CompiledGuard
from realm.signal.decimation import Decimation
from realm.signal.engine import Step
from realm.signal.filters import Bands, LineNotch
from realm.signal.guard import Guard
from realm.signal.normalize import Normalize
from realm.signal.reference import CommonAverage
from realm.signal.stage import Stage

__all__ = ["compiled_step"]


def compiled_step(stage: Stage) -> Step:
    """The compiled step of a stage; its own where there is none."""
    match stage:
        case Guard():
            return CompiledGuard(stage).step
        case Decimation():
            return CompiledDecimation(stage).step
        case CommonAverage():
            return CompiledAverage(stage).step
        case LineNotch():
            return CompiledNotch(stage).step
        case Bands():
            return CompiledBands(stage).step
        case Binning():
            return CompiledBinning(stage).step
        case LogPower():
            return CompiledLogPower(stage).step
        case Normalize():
            return CompiledNormalize(stage).step
    return stage.step
