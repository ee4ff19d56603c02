"""Headers of EDF files as recorders write them: other encodings, commas, unknown lengths."""

from __future__ import annotations

from pathlib import Path

import edfio
import numpy as np
import pytest

from realm.recordings.open import open_recording
from realm.simulation.simulate import SimulatedSession

SIGNALS = 5  # 4 electrodes and the annotations


@pytest.fixture
def raw(session: SimulatedSession, tmp_path: Path) -> bytearray:
    """A file of 4 signals and annotations, in 60 records of 1 s."""
    signals = [
        edfio.EdfSignal(session.lfp_uv[:, i], 500, label=f"A{i}", physical_dimension="uV")
        for i in range(4)
    ]
    notes = [edfio.EdfAnnotation(1, None, "go")]
    edfio.Edf(signals, annotations=notes, data_record_duration=1).write(tmp_path / "clean.edf")
    return bytearray((tmp_path / "clean.edf").read_bytes())


def put(raw: bytearray, offset: int, width: int, signal: int, value: bytes) -> None:
    """Overwrite a field of a signal; `offset` is that of the field in one signal's header."""
    at = 256 + offset * SIGNALS + width * signal
    raw[at : at + width] = value.ljust(width)


def same_samples(path: Path, session: SimulatedSession) -> bool:
    with open_recording(path) as recording:
        step = np.ptp(session.lfp_uv) / 65535
        part = recording.read(700, 1300) * 1e6
        return recording.n_samples == 30000 and np.allclose(
            part, session.lfp_uv[700:1300], atol=step
        )


def test_labels_in_latin_1(raw: bytearray, session: SimulatedSession, tmp_path: Path) -> None:
    put(raw, 0, 16, 0, "Cânula".encode("latin-1"))
    put(raw, 0, 16, 1, "Cânula".encode())
    (tmp_path / "a.edf").write_bytes(raw)
    with open_recording(tmp_path / "a.edf") as recording:
        assert recording.channel_names[0].startswith("Cânula")
        assert recording.channel_names[1].startswith("Cânula")
    assert same_samples(tmp_path / "a.edf", session)


def test_decimal_commas(raw: bytearray, session: SimulatedSession, tmp_path: Path) -> None:
    for signal in range(4):
        for offset in (104, 112):
            at = 256 + offset * SIGNALS + 8 * signal
            put(raw, offset, 8, signal, bytes(raw[at : at + 8]).replace(b".", b","))
    raw[244:252] = b"1,0".ljust(8)
    (tmp_path / "a.edf").write_bytes(raw)
    assert same_samples(tmp_path / "a.edf", session)


@pytest.mark.parametrize("kind", [b"EDF+C", b"EDF+D"])
def test_an_unknown_number_of_records(
    kind: bytes, raw: bytearray, session: SimulatedSession, tmp_path: Path
) -> None:
    raw[192:197] = kind
    raw[236:244] = b"-1".ljust(8)
    (tmp_path / "a.edf").write_bytes(raw + b"half a record")
    assert same_samples(tmp_path / "a.edf", session)


def test_a_file_that_was_cut_off_is_said_to_be(raw: bytearray, tmp_path: Path) -> None:
    (tmp_path / "a.edf").write_bytes(raw[: len(raw) // 2])
    with (
        pytest.warns(UserWarning, match=r"a\.edf: the header says 60 data records, the file holds"),
        open_recording(tmp_path / "a.edf") as recording,
    ):
        assert recording.n_samples == 500 * 29


def test_times_of_records_without_an_annotation_signal(raw: bytearray, tmp_path: Path) -> None:
    raw[192:197] = b"EDF+D"
    put(raw, 0, 16, 4, b"Annotations")
    (tmp_path / "a.edf").write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.edf: expected a signal 'EDF Annotations'"):
        open_recording(tmp_path / "a.edf")


@pytest.mark.parametrize(
    ("at", "width", "value", "said"),
    [
        (252, 4, b"many", "the number of signals"),
        (252, 4, b"-3", "an EDF file"),
        (252, 4, b"9999", "an EDF file"),
        (244, 8, b"0", "last longer than 0 s"),
        (244, 8, b"nan", "the duration of a record"),
        (184, 8, b"99999999", "a whole data record"),
        (256 + 216 * SIGNALS, 8, b"99999999", "a whole data record"),
        (256 + 216 * SIGNALS, 8, b"-500", "an EDF file"),
        (256 + 104 * SIGNALS, 8, b"1e999", "a limit of A0"),
    ],
)
def test_impossible_fields(
    at: int, width: int, value: bytes, said: str, raw: bytearray, tmp_path: Path
) -> None:
    raw[at : at + width] = value.ljust(width)
    (tmp_path / "a.edf").write_bytes(raw)
    with pytest.raises(ValueError, match=rf"a\.edf: expected .*{said}"):
        open_recording(tmp_path / "a.edf")
