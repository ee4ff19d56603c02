"""The filter coefficients of a chain as arrays, and a chain that runs with given ones.

A chain designs its filters from its settings, which takes scipy and time, and another version of
scipy may round a coefficient differently. So what is deployed carries its coefficients with it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from realm.signal.chain import SignalChain
from realm.signal.filters import Bands, LineNotch, Sections
from realm.signal.stage import Floats


def coefficients(chain: SignalChain) -> dict[str, Floats]:
    """Second-order sections (sections, 6) of every filter of a chain, by name."""
    return {name: sections.sos.copy() for name, sections in _filters(chain).items()}


def with_coefficients(chain: SignalChain, stored: Mapping[str, NDArray[np.float64]]) -> SignalChain:
    """The same chain with these coefficients, to the bit.

    Raises:
        ValueError: they are not the coefficients of this chain's filters.
    """
    fresh = chain.with_normalization(chain.normalization)  # its filters belong to nobody else
    filters = _filters(fresh)
    if set(filters) != set(stored):
        raise ValueError(
            f"filters: expected coefficients of {', '.join(filters)}, got those of "
            f"{', '.join(stored) or 'none'}; the file is damaged, make it again"
        )
    for name, sections in filters.items():
        if not sections.use(np.array(stored[name], dtype=np.float64)):
            raise ValueError(
                f"filters: expected the coefficients that the settings give for {name!r}, got "
                "those of another filter; the file is damaged, make it again"
            )
    return fresh


def _filters(chain: SignalChain) -> dict[str, Sections]:
    parts = [stage for stage in chain.stages if isinstance(stage, LineNotch | Bands)]
    return {name: filter_ for part in parts for name, filter_ in part.sections.items()}
