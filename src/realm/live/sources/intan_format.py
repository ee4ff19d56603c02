"""The waveform data that Intan's RHX software sends over TCP.

A connection is a series of blocks without a header. A block, little-endian:

    uint32 0x2ef07a08, then 128 frames of
        uint32            number of the sample since the controller started, modulo 2**32
        uint16 x signals  the enabled signals, in the order of the software

An amplifier's wide, low and high band are (value - 32768) x 0.195 microvolts. The names and the
rate of the signals are not sent.

Source: github.com/Intan-Technologies/Intan-RHX, Engine/Threads/tcpdataoutputthread.cpp, and the
"RHX TCP communication" example code.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = struct.pack("<I", 0x2EF07A08)
FRAMES = 128  # of a block
ZERO, STEP_UV = 32768, 0.195
MOST_SIGNALS = 4096


class Blocks(NamedTuple):
    """The frames of some whole blocks."""

    numbers: NDArray[np.uint32]  # (frames,) of the samples, modulo 2**32
    microvolts: NDArray[np.float32]  # (frames, signals)


def block_bytes(signals: int) -> int:
    """Length of a block with so many signals."""
    return len(MAGIC) + FRAMES * (4 + 2 * signals)


def signals_sent(begun: bytes) -> int | None:
    """How many signals the first block has, from where the next one begins; None if unknown."""
    at = begun.find(MAGIC, len(MAGIC))
    while at >= 0:
        signals, rest = divmod(at - block_bytes(0), 2 * FRAMES)
        if not rest and signals > 0:
            return signals
        at = begun.find(MAGIC, at + 1)
    return None


def decode(blocks: bytes, signals: int) -> Blocks:
    """Whole blocks.

    Raises:
        ValueError: a block does not begin where it should.
    """
    frame = np.dtype([("number", "<u4"), ("values", "<u2", (signals,))])
    block = np.dtype([("magic", "S4"), ("frames", frame, (FRAMES,))])
    read = np.frombuffer(blocks, block)
    wrong = np.flatnonzero(read["magic"] != MAGIC)
    if len(wrong):
        got = bytes(read["magic"][wrong[0]]).hex()
        raise ValueError(f"expected a block to begin with {MAGIC.hex()}, got {got}")
    frames = read["frames"].reshape(-1)
    microvolts = (frames["values"].astype(np.float32) - ZERO) * np.float32(STEP_UV)
    return Blocks(frames["number"].astype(np.uint32), microvolts)
