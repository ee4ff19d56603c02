"""The norms of a layer: in front of every mixer, and after its gate."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from realm.nn.fusing import fused

EPSILON = 1e-5  # of the norm after the gate


class RMSNorm(nn.RMSNorm):
    """As `torch.nn.RMSNorm`; long chunks on one thread of a CPU go through one compiled loop."""

    def forward(self, x: Tensor) -> Tensor:
        """Divide every bin of x (batch, time, d) by its root mean square, and scale."""
        norm = fused("rms", x) if x.dim() == 3 else None
        if norm is None:
            return super().forward(x)
        y: Tensor = norm(x, self.weight, self.eps)
        return y


def gated_norm(y: Tensor, x: Tensor, skip: Tensor, gate: Tensor, weight: Tensor) -> Tensor:
    """Add the skipped input, gate and normalize: RMSNorm((y + skip x) * silu(gate)) * weight.

    y, x (batch, time, heads, channels of a head); skip (heads,); gate (batch, time, channels);
    weight (channels,). Returns (batch, time, channels).
    """
    gated = (y + x * skip[:, None]).flatten(2) * F.silu(gate)
    return F.rms_norm(gated, weight.shape, weight, EPSILON)
