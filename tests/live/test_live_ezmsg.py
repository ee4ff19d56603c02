"""The decoder as a unit of an ezmsg graph."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ez = pytest.importorskip("ezmsg.core")

from ezmsg.util.messages.axisarray import AxisArray, CoordinateAxis, LinearAxis  # noqa: E402
from streaming.streaming_cases import CHANNELS, RATE_HZ, bundle, faulty, ordinary  # noqa: E402

from realm.live.ezmsg_unit import AxisArrayDecoder, RealmDecoder  # noqa: E402
from realm.live.settings import LiveSettings  # noqa: E402
from realm.streaming import StreamingDecoder  # noqa: E402

NAMES = [f"ch{index}" for index in range(CHANNELS)]
SAMPLES = 1000
START_S = 50.0
RAW = faulty(SAMPLES)
UNCHECKED = LiveSettings(check_s=0)  # rows are decoded from the first


def message(
    samples: np.ndarray, first: int = 0, names: list[str] | None = None, rate_hz: float = RATE_HZ
) -> Any:
    time = LinearAxis(unit="s", gain=1 / rate_hz, offset=START_S + first / rate_hz)
    axes = {"time": time, "ch": CoordinateAxis(data=np.array(names or NAMES), dims=["ch"])}
    return AxisArray(samples, ["time", "ch"], axes, {"subject": "rat"}, "amplifier")


def chunks(samples: np.ndarray, *cuts: int) -> list[Any]:
    bounds = [0, *cuts, len(samples)]
    return [message(samples[start:stop], start) for start, stop in pairwise(bounds)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle"
    bundle().save(path)
    return path


def decoded(decoder: AxisArrayDecoder, messages: list[Any]) -> list[Any]:
    return [out for each in messages for out in decoder.decode(each)]


class Player(ez.Unit):
    """Sends chunks of a recording."""

    OUTPUT = ez.OutputStream(AxisArray)

    @ez.publisher(OUTPUT)
    async def send(self) -> AsyncGenerator[Any, None]:
        for each in chunks(RAW * 1e6, 3, 4, 4, 377, 400):
            yield self.OUTPUT, each


class Collector(ez.Unit):
    """Keeps what arrives and ends the graph when all has."""

    INPUT = ez.InputStream(AxisArray)
    received: list[Any] = []  # noqa: RUF012 one graph, one process

    @ez.subscriber(INPUT)
    async def keep(self, received: AxisArray) -> None:
        self.received.append(received)
        if sum(len(each.data) for each in self.received) == EXPECTED_BINS:
            raise ez.NormalTermination


EXPECTED_BINS = int(SAMPLES / RATE_HZ * 100)


def test_a_graph_decodes_as_the_decoder_does(folder: Path) -> None:
    units = {"PLAYER": Player(), "COLLECTOR": Collector()}
    units["DECODER"] = RealmDecoder(bundle=str(folder), unit="uV", check_s=0)
    ez.run(
        units,
        connections=(
            (units["PLAYER"].OUTPUT, units["DECODER"].INPUT_SIGNAL),
            (units["DECODER"].OUTPUT_SIGNAL, units["COLLECTOR"].INPUT),
        ),
        force_single_process=True,
    )
    got = Collector.received
    expected = StreamingDecoder.load(folder).forward(RAW)
    behavior = np.concatenate([each.data for each in got])
    np.testing.assert_allclose(behavior, expected.behavior, rtol=1e-5, atol=1e-5)
    ends = np.concatenate([each.axes["time"].value(np.arange(len(each.data))) for each in got])
    np.testing.assert_allclose(ends, START_S + (np.arange(len(ends)) + 1) / 100, atol=2 / RATE_HZ)
    last = got[-1]
    assert last.dims == ["time", "ch"]
    assert last.axes["ch"].data.tolist() == ["x", "y"]
    assert (last.axes["ch"].unit, last.attrs["behavior_unit"]) == ("m/s", "m/s")
    assert (last.key, last.attrs["subject"]) == ("amplifier", "rat")
    bins = np.concatenate([each.attrs["quality"]["bin"] for each in got])
    np.testing.assert_array_equal(bins, np.arange(EXPECTED_BINS))
    for name in ("filled", "neutral", "bad_channels", "gap"):
        told = np.concatenate([each.attrs["quality"][name] for each in got])
        np.testing.assert_array_equal(told, getattr(expected.quality, name), err_msg=name)


def test_channels_are_matched_by_name(folder: Path) -> None:
    samples, order = ordinary(SAMPLES), [3, 0, 5, 1, 4, 2]
    extra = np.concatenate([samples[:, order], np.ones((SAMPLES, 1))], axis=1)
    names = [NAMES[index] for index in order] + ["trigger"]
    straight = decoded(AxisArrayDecoder(folder, "V", UNCHECKED), [message(samples)])
    mixed = message(extra, names=names)
    np.testing.assert_array_equal(
        decoded(AxisArrayDecoder(folder, "V", UNCHECKED), [mixed])[0].data, straight[0].data
    )
    turned = AxisArray(extra.T, ["ch", "time"], mixed.axes)
    np.testing.assert_array_equal(
        decoded(AxisArrayDecoder(folder, "V", UNCHECKED), [turned])[0].data, straight[0].data
    )


def test_a_short_gap_is_filled_and_counted(folder: Path) -> None:
    samples = ordinary(SAMPLES)
    missing = samples.copy()
    missing[400:500] = np.nan
    expected = StreamingDecoder.load(folder).forward(missing)
    decoder = AxisArrayDecoder(folder, "V", UNCHECKED)
    got = decoded(decoder, [message(samples[:400]), message(samples[500:], 500)])
    np.testing.assert_allclose(
        np.concatenate([each.data for each in got]), expected.behavior, rtol=1e-5, atol=1e-5
    )
    assert decoder.happened.filled == got[-1].attrs["timeline"]["filled"] == 100
    assert np.concatenate([each.attrs["quality"]["gap"] for each in got]).any()


def test_after_a_long_gap_the_decoder_begins_anew(folder: Path) -> None:
    samples, gap = ordinary(SAMPLES), round(10 * RATE_HZ)
    decoder = AxisArrayDecoder(folder, "V", UNCHECKED)
    got = decoded(decoder, [message(samples), message(samples, SAMPLES + gap)])
    np.testing.assert_array_equal(got[-1].data, got[0].data)
    assert got[-1].attrs["timeline"]["resets"] == 1
    first = START_S + (SAMPLES + gap) / RATE_HZ
    assert got[-1].axes["time"].offset == pytest.approx(first + 0.01, abs=2 / RATE_HZ)
    assert got[-1].attrs["quality"]["bin"][0] == pytest.approx((first - START_S) * 100, abs=2)


def test_samples_that_were_sent_twice_are_dropped(folder: Path) -> None:
    samples = ordinary(SAMPLES)
    decoder = AxisArrayDecoder(folder, "V", UNCHECKED)
    got = decoded(
        decoder,
        [message(samples[:500]), message(samples[490:500], 490), message(samples[500:], 500)],
    )
    straight = decoded(AxisArrayDecoder(folder, "V", UNCHECKED), [message(samples)])
    np.testing.assert_array_equal(np.concatenate([each.data for each in got]), straight[0].data)
    happened = decoder.happened  # times are computed, so that they need not be the same to the bit
    assert happened.duplicated + happened.backward == 10


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda m: message(m.data, names=[*NAMES[:-1], "other"]), "'ch5' is missing"),
        (lambda m: message(m.data, rate_hz=1000.0), "508.626 samples per second"),
        (lambda m: AxisArray(m.data, m.dims, {"time": m.axes["time"]}), "an axis 'ch'"),
        (lambda m: AxisArray(m.data, m.dims, {"ch": m.axes["ch"]}), "an axis 'time'"),
        (lambda m: AxisArray(m.data, ["time", "x"], m.axes), "dims time and ch"),
        (lambda m: AxisArray(m.data + 0j, m.dims, m.axes), "real numbers"),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, wrong: Any, expected: str) -> None:
    decoder = AxisArrayDecoder(folder, "V", UNCHECKED)
    good = message(ordinary(10))
    list(decoder.decode(good))
    with pytest.raises(ValueError, match=expected):
        list(decoder.decode(wrong(good)))
    with pytest.raises(ValueError, match="expected samples in V"):
        list(AxisArrayDecoder(folder, "furlong").decode(good))


def test_rows_are_neutral_until_the_unit_is_checked(folder: Path) -> None:
    seconds = round(RATE_HZ)
    samples = ordinary(3 * seconds)
    got = decoded(AxisArrayDecoder(folder, "V"), chunks(samples, *range(50, 3 * seconds, 50)))
    neutral = np.concatenate([each.attrs["quality"]["neutral"] for each in got])
    assert neutral[:90].all()
    assert not neutral[-90:].any()
    behavior = np.concatenate([each.data for each in got])
    expected = StreamingDecoder.load(folder).forward(samples).behavior
    np.testing.assert_allclose(behavior[~neutral], expected[~neutral], rtol=1e-5, atol=1e-5)


def test_a_signal_in_another_unit_is_refused(folder: Path) -> None:
    samples = ordinary(round(3 * RATE_HZ)) * 1e6
    decoder = AxisArrayDecoder(folder, "V")
    with pytest.raises(ValueError, match="microvolts declared as volts"):
        decoded(decoder, chunks(samples, *range(50, len(samples), 50)))
    assert decoder.status.stream.unit_ratio == pytest.approx(1e6, rel=0.9)
