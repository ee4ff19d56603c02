"""Working through a batch in pieces that stay in the cache of one core."""

from __future__ import annotations

from torch import Tensor

# Size of the largest buffer of a block; a few of them share the cache.
BLOCK_BYTES = 1 << 20


def blocks_of_rows(tensor: Tensor, bytes_per_row: int | None = None) -> list[slice]:
    """Cut the first axis so that a block takes about `BLOCK_BYTES`, and at least one row."""
    rows = tensor.shape[0]
    per_row = bytes_per_row or tensor[:1].numel() * tensor.element_size()
    size = max(1, BLOCK_BYTES // max(per_row, 1))
    return [slice(i, min(i + size, rows)) for i in range(0, rows, size)]
