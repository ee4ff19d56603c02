"""Small sessions and windows that the tests of the networks share."""

from __future__ import annotations

import torch

from realm.data.windows import Windows
from realm.nn.adapters import SessionInfo
from realm.nn.encoder import EncoderConfig

BANDS, DIMS = 2, 2
MONDAY = SessionInfo("rat.1-mon", "rat", ("a", "b", "c"), BANDS)
TUESDAY = SessionInfo("rat.1-tue", "rat", ("c", "a"), BANDS)  # another order, b is missing
OTHER = SessionInfo("cat_1", "cat", ("a",), BANDS)
SMALL = EncoderConfig(layers=2, d_model=16, d_state=8, headdim=8)


def draw_windows(
    session: SessionInfo, batch: int, time: int = 40, dtype: torch.dtype = torch.float32
) -> Windows:
    features = torch.randn(batch, time, len(session.channel_names), BANDS, dtype=dtype)
    behavior = torch.randn(batch, time, DIMS, dtype=dtype)
    known = torch.rand(batch, time) > 0.3
    return Windows(
        session.session_id,
        features,
        behavior,
        known,
        torch.arange(batch),
        torch.zeros(batch, dtype=torch.int64),
    )
