"""Messages of samples and of behavior over ZeroMQ: no pickle, every message complete in itself.

A message of samples has four frames:

1. the topic `realm.samples`
2. a header in JSON: `format` "realm-samples", `version` 1, `stream_id` (text that changes
   whenever the sender restarts), `name`, `channel_names`, `unit` (V, mV, uV or nV),
   `sampling_rate_hz`, `dtype` ("float32", "float64", "int16" or "int32"), `samples` (how many),
   `first_index` (how many samples the sender sent before these; it shows what was lost)
3. the samples, row by row, one row per sample, little-endian
4. the time of each sample as a little-endian float64: seconds on CLOCK_MONOTONIC of this machine,
   in Python `time.monotonic()`

A message of behavior has three frames: the topic `realm.behavior`, a header in JSON (`format`
"realm-behavior", `version`, `session_id`, `behavior_names`, `behavior_unit`, `bin_ms`,
`lookahead_ms`, `bundle_sha256`, `columns`, `rows`), and the rows as little-endian float64.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realm.live.outputs import OutputInfo, Outputs, columns, matrix
from realm.live.sources import UNITS, Block, StreamInfo

SAMPLES_TOPIC, SAMPLES_FORMAT = b"realm.samples", "realm-samples"
BEHAVIOR_TOPIC, BEHAVIOR_FORMAT = b"realm.behavior", "realm-behavior"
VERSION = 1
DTYPES = {"float32": "<f4", "float64": "<f8", "int16": "<i2", "int32": "<i4"}
KEYS = {
    "format",
    "version",
    "stream_id",
    "name",
    "channel_names",
    "unit",
    "sampling_rate_hz",
    "dtype",
    "samples",
    "first_index",
}
MOST_CHANNELS = 10_000
LONGEST_TEXT = 1_000
LARGEST_HEADER = 1 << 20  # bytes
LARGEST_FRAME = 16 << 20  # bytes
LARGEST_INDEX = 1 << 62


class Samples(NamedTuple):
    """A message of samples, read."""

    stream_id: str
    info: StreamInfo
    block: Block


def encode_samples(
    info: StreamInfo, stream_id: str, first_index: int, samples: NDArray[Any], times_s: NDArray[Any]
) -> list[bytes]:
    """The frames of some samples (samples, channels), for a sender written in Python.

    Raises:
        ValueError: the arrays do not fit together, or the dtype cannot be sent.
    """
    dtype = samples.dtype.name
    if dtype not in DTYPES or samples.shape != (len(times_s), len(info.channel_names)):
        raise ValueError(
            f"expected {len(times_s)} samples of {len(info.channel_names)} channels as one of "
            f"{', '.join(DTYPES)}, got {samples.shape} of {dtype}; convert them"
        )
    header = {
        "format": SAMPLES_FORMAT,
        "version": VERSION,
        "stream_id": stream_id,
        "name": info.name,
        "channel_names": list(info.channel_names),
        "unit": info.unit,
        "dtype": dtype,
        "sampling_rate_hz": info.sampling_rate_hz,
        "samples": len(samples),
        "first_index": first_index,
    }
    return [
        SAMPLES_TOPIC,
        json.dumps(header, allow_nan=False).encode(),
        samples.astype(DTYPES[dtype]).tobytes(),
        np.asarray(times_s).astype("<f8").tobytes(),
    ]


def decode_samples(frames: Sequence[bytes]) -> Samples:
    """Read the frames and check everything in them.

    Raises:
        ValueError: they are no message of samples of this version.
    """
    if len(frames) != 4 or frames[0] != SAMPLES_TOPIC:
        raise ValueError(_wrong(f"4 frames, the first {SAMPLES_TOPIC.decode()}", len(frames)))
    header = _header(frames[1])
    names = tuple(_text(name, "a channel name") for name in header["channel_names"])
    info = StreamInfo(
        _text(header["name"], "name"), names, float(header["sampling_rate_hz"]), header["unit"]
    )
    count, dtype = header["samples"], np.dtype(DTYPES[header["dtype"]])
    sizes = [len(frame) for frame in frames[2:]]
    expected = [count * len(names) * dtype.itemsize, count * 8]
    if sizes != expected:
        raise ValueError(_wrong(f"frames of {expected} bytes", sizes))
    samples = np.frombuffer(frames[2], dtype).reshape(count, len(names))
    times = np.frombuffer(frames[3], "<f8").astype(np.float64)
    if not np.isfinite(times).all():
        raise ValueError(_wrong("finite times", "NaN or infinity"))
    native = np.float32 if header["dtype"] == "float32" else np.float64
    block = Block(samples.astype(native), times, header["first_index"])
    return Samples(_text(header["stream_id"], "stream_id"), info, block)


def _header(content: bytes) -> dict[str, Any]:
    if len(content) > LARGEST_HEADER:
        raise ValueError(_wrong(f"a header of at most {LARGEST_HEADER} bytes", len(content)))
    try:
        header = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(_wrong("a header in JSON", error)) from None
    if not isinstance(header, dict) or set(header) != KEYS:
        raise ValueError(_wrong(f"the keys {', '.join(sorted(KEYS))}", _keys(header)))
    if (header["format"], header["version"]) != (SAMPLES_FORMAT, VERSION):
        told = (header["format"], header["version"])
        raise ValueError(_wrong(f"{SAMPLES_FORMAT} of version {VERSION}", told))
    _known(header["unit"], tuple(UNITS), "unit")
    _known(header["dtype"], tuple(DTYPES), "dtype")
    rate = header["sampling_rate_hz"]
    if type(rate) not in (int, float) or not 0 < rate <= 1e6 or not math.isfinite(rate):
        raise ValueError(_wrong("a sampling_rate_hz above 0, up to 1000000", rate))
    _whole(header["samples"], LARGEST_FRAME // 8, "samples")
    _whole(header["first_index"], LARGEST_INDEX, "first_index")
    names = header["channel_names"]
    if not isinstance(names, list) or not 0 < len(names) <= MOST_CHANNELS:
        raise ValueError(_wrong(f"a list of 1 to {MOST_CHANNELS} channel_names", names))
    return header


def _known(value: object, known: tuple[str, ...], what: str) -> None:
    if not isinstance(value, str) or value not in known:
        raise ValueError(_wrong(f"{what} as one of {', '.join(known)}", value))


def _whole(value: object, largest: int, what: str) -> None:
    if type(value) is not int or not 0 <= value <= largest:
        raise ValueError(_wrong(f"{what} as a whole number from 0 to {largest}", value))


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.isprintable():
        raise ValueError(_wrong(f"{what} as printable text", value))
    return value


def _keys(header: object) -> str:
    return ", ".join(sorted(header)) if isinstance(header, dict) else type(header).__name__


def _wrong(expected: str, got: object) -> str:
    return f"message: expected {expected}, got {str(got)[:200]!r}; correct the sender"


def encode_behavior(info: OutputInfo, outputs: Outputs) -> list[bytes]:
    """The frames of some decoded bins; flags are 0 or 1, times are on CLOCK_MONOTONIC."""
    rows = matrix(outputs)
    header = {
        "format": BEHAVIOR_FORMAT,
        "version": VERSION,
        "session_id": info.session_id,
        "behavior_names": list(info.behavior_names),
        "behavior_unit": info.behavior_unit,
        "bin_ms": info.bin_ms,
        "lookahead_ms": info.lookahead_ms,
        "bundle_sha256": info.bundle_sha256,
        "columns": [name for name, _ in columns(info, truth=False)],
        "rows": len(rows),
    }
    return [BEHAVIOR_TOPIC, json.dumps(header, allow_nan=False).encode(), rows.tobytes()]


FORM = re.compile(r"tcp://(?P<host>\*|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")


def check_address(address: str, where: str) -> str:
    """The host of an address such as tcp://127.0.0.1:5555.

    Raises:
        ValueError: it is no such address; the message starts with `where`.
    """
    match = FORM.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise ValueError(
            f"{where}: expected an address such as tcp://127.0.0.1:5555, got {address!r}; correct "
            "it"
        )
    return match["host"]


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach a socket that listens on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, an interface or `*`: not known without asking
