"""Plexon .plx files, read by neo, and what it does not say: pauses and the unit of slow channels.

Blocks of a channel are joined by neo without a look at their times, and it takes the number of bits
of spikes for that of slow channels. Format: Plexon, Plexon.h of the offline SDK.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from realm.recordings.formats.neo import Corrected, open_neo
from realm.recordings.grid import GAP_PERIODS
from realm.recordings.recording import Recording

MAGIC = 0x58454C50
HEADER, SPIKE_CHANNEL, EVENT_CHANNEL, SLOW_CHANNEL = 7504, 1020, 296, 296
BLOCK = struct.Struct("<HHIHHHH")  # type, time (upper, lower), channel, unit, waveforms, words
SLOW = 5


def open_plexon(path: Path, lfp_path: str | None = None) -> Recording:
    """A .plx file; its slow channels. Where it was paused is read from its blocks."""
    from neo.rawio import PlexonRawIO

    reader = PlexonRawIO(filename=str(path), progress_bar=False)
    return open_neo(path, reader, lfp_path, PlexonBlocks(path).correct, kind=_kind)


def _kind(channel: Any) -> str | None:
    """OmniPlex calls its auxiliary analog inputs AI01, AIF01 and so on."""
    return "ADC" if re.match(r"AIF?\d+", str(channel["name"])) else None


class PlexonBlocks:
    """The slow blocks of a file, found when they are first asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._blocks: dict[int, list[tuple[int, int]]] | None = None

    def correct(self, channels: list[str], rate_hz: float) -> Corrected:
        """Parts of a stream between its pauses, and volts in one of neo's numbers.

        Raises:
            ValueError: channels of one stream were not recorded together.
        """
        if self._blocks is None:
            self._scan()
        assert self._blocks is not None
        parts = [self._parts(int(channel), rate_hz) for channel in channels]
        if any(part != parts[0] for part in parts):
            raise ValueError(
                f"{self._path}: expected channels {', '.join(channels[:6])} to pause together, but "
                "their blocks begin at different times; export them as files of their own"
            )
        starts, counts = parts[0]
        return Corrected([tick / self._ticks_hz for tick in starts], counts, self._volts)

    def _scan(self) -> None:
        """Walk over all blocks: (first tick, samples) of those of slow channels."""
        self._blocks = {}
        with self._path.open("rb") as stream:
            head = stream.read(HEADER)
            version, self._ticks_hz, spikes, events, slow = struct.unpack_from(
                "<i128xiiii", head, 4
            )
            spike_bits, slow_bits = head[202:204]
            self._volts = 1e-3 * (2.0 ** (spike_bits - slow_bits) if version >= 103 else 1.0)
            stream.seek(
                HEADER + spikes * SPIKE_CHANNEL + events * EVENT_CHANNEL + slow * SLOW_CHANNEL
            )
            while len(block := stream.read(BLOCK.size)) == BLOCK.size:
                kind, upper, lower, channel, _, waveforms, words = BLOCK.unpack(block)
                if kind == SLOW:
                    tick = (upper << 32) + lower
                    self._blocks.setdefault(channel, []).append((tick, words * waveforms))
                stream.seek(2 * words * waveforms, 1)

    def _parts(self, channel: int, rate_hz: float) -> tuple[list[int], list[int]]:
        """First ticks and lengths of what lies between the pauses of a channel."""
        assert self._blocks is not None
        starts: list[int] = []
        counts: list[int] = []
        per_sample = self._ticks_hz / rate_hz
        for tick, count in self._blocks.get(channel, []):
            if (
                starts
                and abs(tick - starts[-1] - counts[-1] * per_sample) < GAP_PERIODS * per_sample
            ):
                counts[-1] += count
            else:
                starts.append(tick)
                counts.append(count)
        return starts, counts
