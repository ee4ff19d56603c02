"""Minimal files of acquisition systems, from the published descriptions of their formats."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

Array = np.ndarray

BLACKROCK_SUFFIX_HZ = {".ns2": 1000, ".ns3": 2000}


def write_blackrock(
    path: Path, segments: Sequence[tuple[int, Array]], version: tuple[int, int] = (2, 3)
) -> Path:
    """NSx: basic header, a "CC" header for each channel, then one packet for each segment.

    Args:
        path: ending in .ns2 (1 kHz) or .ns3 (2 kHz).
        segments: (first tick of 1/30000 s, int16 (samples, channels) of 0.25 microvolt).
        version: 2.2, 2.3 or 3.0, which has timestamps of 64 bits.
    """
    n = segments[0][1].shape[1]
    rate = BLACKROCK_SUFFIX_HZ[path.suffix]
    magic = b"NEURALCD" if version < (3, 0) else b"BRSMPGRP"
    size = 314 + 66 * n
    out = [magic, struct.pack("<BBI", *version, size), b"test".ljust(16, b"\0"), bytes(256)]
    out.append(struct.pack("<II8HI", 30000 // rate, 30000, 2026, 1, 4, 2, 10, 0, 0, 0, n))
    for i in range(n):
        out.append(struct.pack("<2sH16sBB", b"CC", i + 1, b"chan%d" % (i + 1), 1, i + 1))
        out.append(struct.pack("<hhhh16s", -32764, 32764, -8191, 8191, b"uV"))
        out.append(struct.pack("<IIHIIH", 300, 1, 1, 500000, 4, 1))
    stamp = "<BII" if version < (3, 0) else "<BQI"
    for tick, samples in segments:
        out += [struct.pack(stamp, 1, tick, len(samples)), samples.astype("<i2").tobytes()]
    path.write_bytes(b"".join(out))
    return path


def write_open_ephys(
    folder: Path, samples: Array, numbers: Array, rate: float, n_adc: int = 0
) -> Path:
    """A recording of version 0.6: structure.oebin, continuous.dat and sample_numbers.npy.

    Args:
        folder: of the day.
        samples: int16 (samples, channels); the last `n_adc` are analog inputs.
        numbers: (samples,) of every sample.
        rate: in Hz.
        n_adc: analog inputs.
    """
    recording = folder / "Record Node 101" / "experiment1" / "recording2"
    stream = recording / "continuous" / "Acquisition_Board-100.Rhythm Data"
    stream.mkdir(parents=True)
    n = samples.shape[1]
    channels = [
        {"channel_name": f"CH{i + 1}", "bit_volts": 0.195, "units": "uV"} for i in range(n - n_adc)
    ] + [{"channel_name": f"ADC{i + 1}", "bit_volts": 1.5e-4, "units": "V"} for i in range(n_adc)]
    about = {
        "GUI version": "0.6.7",
        "continuous": [
            {
                "folder_name": f"{stream.name}/",
                "sample_rate": rate,
                "num_channels": n,
                "stream_name": "Rhythm Data",
                "channels": channels,
            }
        ],
    }
    (recording / "structure.oebin").write_text(json.dumps(about))
    (stream / "continuous.dat").write_bytes(samples.astype("<i2").tobytes())
    np.save(stream / "sample_numbers.npy", numbers.astype(np.int64))
    np.save(stream / "timestamps.npy", numbers / rate)
    return recording / "structure.oebin"


def write_axona(path: Path, channels: Array, gains: Sequence[int], position: Array) -> Path:
    """A trial: .set, one .eeg of 8 bits at 250 Hz for each channel and a .pos at 50 Hz.

    Args:
        path: of the .set file.
        channels: int8 (samples, channels).
        gains: of each channel.
        position: (samples, 2) pixels of the first LED; NaN where untracked.
    """
    begin = "trial_date Friday, 2 Jan 2026\r\ntrial_time 10:00:00\r\nduration 60\r\n"
    settings = [begin, "ADC_fullscale_mv 1500\r\nrawRate 48000\r\n"]
    for i, gain in enumerate(gains):
        settings.append(f"EEG_ch_{i + 1} {4 * i + 1}\r\ngain_ch_{4 * i} {gain}\r\n")
        header = f"{begin}sample_rate 250.0 hz\r\nbytes_per_sample 1\r\n"
        header += f"EEG_samples_per_position 5\r\nnum_EEG_samples {len(channels)}\r\ndata_start"
        suffix = ".eeg" if i == 0 else f".eeg{i + 1}"
        content = channels[:, i].astype(np.int8).tobytes()
        path.with_suffix(suffix).write_bytes(header.encode() + content + b"\r\ndata_end\r\n")
    path.write_bytes("".join(settings).encode())
    records = b"".join(
        struct.pack(
            ">I8h", k, *(1023 if np.isnan(v) else int(v) for v in row), 1023, 1023, 5, 0, 5, 0
        )
        for k, row in enumerate(position)
    )
    header = f"{begin}timebase 50 hz\r\npixels_per_metre 300\r\nbytes_per_timestamp 4\r\n"
    header += f"num_pos_samples {len(position)}\r\ndata_start"
    path.with_suffix(".pos").write_bytes(header.encode() + records + b"\r\ndata_end\r\n")
    return path


def write_plexon(path: Path, fragments: Sequence[tuple[int, Array]], rate: int = 1000) -> Path:
    """A .plx file of version 106 with slow channels of 16 bits, 5 V at a gain of 1000.

    Args:
        path: of the file.
        fragments: (first tick of 1/40000 s, int16 (samples, channels)).
        rate: in Hz.
    """
    n = fragments[0][1].shape[1]
    out = [struct.pack("<Ii128siiii", 0x58454C50, 106, b"test", 40000, 0, 0, n)]
    out.append(struct.pack("<ii6iiid", 8, 0, 2026, 1, 2, 10, 0, 0, 0, 40000, 4e6))
    out.append(struct.pack("<BBBBHHH46s", 1, 1, 12, 16, 3000, 5000, 1000, b""))
    counts = np.zeros(650 + 650 + 512, dtype="<i4")
    total = sum(len(samples) for _, samples in fragments)
    counts[1300 + 300 : 1300 + 300 + n] = total
    out.append(counts.tobytes())
    for i in range(n):
        out.append(struct.pack("<32siiiii", b"AD%02d" % (i + 1), i, rate, 1, 1, 1000))
        out.append(struct.pack("<i128sBBH108s", -1, b"", 0, 0, i, b""))
    for tick, samples in fragments:
        for begin in range(0, len(samples), 500):
            block = samples[begin : begin + 500].astype("<i2")
            at = tick + begin * (40000 // rate)
            for i in range(n):
                out.append(struct.pack("<HHIHHHH", 5, 0, at, i, 0, 1, len(block)))
                out.append(block[:, i].tobytes())
    path.write_bytes(b"".join(out))
    return path


def write_spike2(
    path: Path, fragments: Sequence[tuple[int, Array]], units: Sequence[bytes], rate: int = 1000
) -> Path:
    """A .smr file of version 6 with waveform channels of 16 bits; 6553.6 counts are one unit.

    Args:
        path: of the file.
        fragments: (first tick of 1 µs, int16 (samples, channels)).
        units: of the channels.
        rate: in Hz.
    """
    n, step, most = len(units), 1_000_000 // rate, 1000
    at = 512 + 140 * n
    headers, blocks = [], b""
    for channel in range(n):
        places = []
        for tick, samples in fragments:
            for begin in range(0, len(samples), most):
                part = samples[begin : begin + most, channel].astype("<i2")
                first = tick + begin * step
                places.append((at, first, first + (len(part) - 1) * step, part.tobytes()))
                at += 20 + 2 * len(part)
        for k, (place, first, last, content) in enumerate(places):
            before = places[k - 1][0] if k else -1
            after = places[k + 1][0] if k + 1 < len(places) else -1
            head = (before, after, first, last, channel + 1, len(content) // 2)
            assert place == 512 + 140 * n + len(blocks)
            blocks += struct.pack("<iiiihh", *head) + content
        headers.append(
            struct.pack(
                "<hiiihhhhhh",
                0,
                -1,
                places[0][0],
                places[-1][0],
                len(places),
                0,
                0,
                0,
                20 + 2 * most,
                most,
            )
            + struct.pack(
                "<72siih10pfBb",
                b"",
                places[-1][2],
                step,
                channel,
                b"lfp%d" % (channel + 1),
                float(rate),
                1,
                0,
            )
            + struct.pack("<ff6ph", 1.0, 0.0, units[channel], 0)
        )
    last = max(tick + (len(samples) - 1) * step for tick, samples in fragments)
    about = (6, b"(C) CED 87", b"test", 1, 1, 0, 512, n, 140, 0, 0, 0, last)
    head = struct.pack("<h10s8shhhihhhhhi", *about)
    head += struct.pack("<d6Bh52x", 1e-6, 0, 0, 0, 10, 4, 1, 2026)
    path.write_bytes(head.ljust(512, b"\0") + b"".join(headers) + blocks)
    return path
