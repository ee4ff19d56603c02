"""Decoded behavior as a Lab Streaming Layer (LSL) stream.

One sample per bin, stamped with the end of its bin. Its channels are the dims of behavior, then
the columns of `realm.live.outputs` that go to LSL; `bin` counts, so that a consumer sees what it
lost.

An outlet listens on all network interfaces, whatever its settings are; see the documentation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pylsl

from realm.live.outputs import OutputInfo, Outputs, lsl_columns
from realm.live.sinks import Counters, Sink

TYPE = "Behavior"
BUFFER_S = 60  # that a slow consumer may be behind


class LSLSink(Sink):
    """An outlet of this name.

    Its source id stays the same for a bundle, so that consumers find it again after a restart.
    """

    immediate = True  # liblsl has threads of its own

    def __init__(self, name: str = "realm") -> None:
        if not name or not name.isprintable():
            raise ValueError(f"sink lsl: expected a printable name, got {name!r}; correct it")
        self.name = name
        self._outlet: Any = None
        self._names: tuple[str, ...] = ()  # of the channels after the behavior

    def open(self, info: OutputInfo) -> None:
        """Announce the stream; see `Sink`."""
        table = lsl_columns()
        names = (*info.behavior_names, *table)
        described = pylsl.StreamInfo(
            self.name,
            TYPE,
            len(names),
            1000 / info.bin_ms,
            pylsl.cf_double64,
            f"realm-{self.name}-{info.session_id}-{info.bundle_sha256[:12]}",
        )
        units = [info.behavior_unit] * len(info.behavior_names)
        units += [column.unit for column in table.values()]
        channels = described.desc().append_child("channels")
        for name, unit in zip(names, units, strict=True):
            channel = channels.append_child("channel")
            channel.append_child_value("label", name)
            channel.append_child_value("unit", unit)
        decoder = described.desc().append_child("decoder")
        for key in ("session_id", "bundle_sha256", "bin_ms", "lookahead_ms"):
            decoder.append_child_value(key, str(getattr(info, key)))
        self._outlet = pylsl.StreamOutlet(described, max_buffered=BUFFER_S)
        self._names = tuple(table)

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Send the rows; consumers that are not there, or too slow, are not waited for."""
        if self._outlet is None:
            raise OSError(f"sink lsl:{self.name}: not open")
        flags = (getattr(outputs, name)[:, None] for name in self._names)
        rows = np.concatenate([outputs.behavior, *flags], axis=1, dtype=np.float64)
        for row, time_s in zip(rows.tolist(), outputs.time_s.tolist(), strict=True):
            self._outlet.push_sample(row, time_s)

    def close(self) -> None:
        """Withdraw the stream; see `Sink`."""
        self._outlet = None  # its destructor does it
