"""A bundle decodes what the decoder it was made of decodes, offline and from files."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from streaming_cases import CHANNELS, RATE_HZ, faulty, ordinary
from typer.testing import CliRunner

from realm import cli
from realm.decoder.bundling import bundle_decoder, bundle_model
from realm.decoder.decoder import Decoder
from realm.nn.adapters import SessionInfo
from realm.nn.recurrent import GRUEncoder
from realm.nn.student import Student
from realm.recipe import load_recipe
from realm.recordings.open import open_recording
from realm.signal import SignalChain
from realm.streaming import Bundle, StreamingDecoder

SAMPLES = 4000
SINGLE = 1e-4  # of the behavior's deviation: the tolerance that is stated for float32


class Session(NamedTuple):
    """What `Decoder.assemble` takes from a prepared session."""

    session_id: str
    chain: SignalChain
    behavior_names: tuple[str, ...] = ("x", "y")
    behavior_unit: str = "m/s"


def decoder(recipe: Path, *settings: str) -> Decoder:
    """Two sessions of one subject, with random weights everywhere, the adapters too."""
    chosen = load_recipe(
        recipe,
        [
            "signal.preset=multiband",
            "signal.bin_ms=10.0",
            "signal.reference=common_average",
            "signal.line_hz=50.0",
            *settings,
        ],
    )
    sessions, infos = [], []
    for index, n in enumerate((CHANNELS, CHANNELS - 2)):
        names = tuple(f"ch{i}" for i in range(n))[::-1]
        chain = SignalChain(chosen.signal, RATE_HZ, names)
        training = ordinary(8000, seed=index)[:, -n:]
        chain = chain.fit_guard(training)
        chain = chain.fit_normalization(chain.forward(training))
        sessions.append(Session(f"day{index}", chain))
        infos.append(SessionInfo(f"day{index}", "rat", names, len(chain.band_names)))
    torch.manual_seed(0)
    student = Student(chosen.distill.encoder, infos, 2)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    student.set_behavior_scale("day0", torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5]))
    return Decoder.assemble(student, sessions, chosen, 0)  # type: ignore[arg-type]


SIZES = {
    "plain": [],
    "lookahead": ["distill.lookahead_ms=30.0"],
    "three layers": ["distill.encoder={layers=3, d_model=24, d_state=5, headdim=8, expand=3}"],
    "no convolution": ["distill.encoder={layers=1, d_model=8, headdim=8, conv_kernel=1}"],
}


@pytest.mark.parametrize("session_id", ["day0", "day1"])
@pytest.mark.parametrize("size", SIZES)
def test_decoding_is_that_of_predict(small_recipe: Path, size: str, session_id: str) -> None:
    made = decoder(small_recipe, *SIZES[size])
    x = faulty(SAMPLES, 3)[:, : len(made.channel_names(session_id))]
    bundle = bundle_decoder(made, session_id, quorum=0.0)
    single = made.predict(x, session_id)
    made.student_.double()
    exact = made.predict(x, session_id)
    n = len(exact) - made.lookahead_bins
    double = StreamingDecoder(bundle, "float64").forward(x).behavior
    np.testing.assert_allclose(double, exact[:n], rtol=1e-9, atol=1e-9)
    tolerance = SINGLE * exact[:n].std()
    for engine in ("numpy", "numba"):
        found = StreamingDecoder(bundle, "float32", engine == "numpy").forward(x).behavior
        np.testing.assert_allclose(found, exact[:n], rtol=0, atol=tolerance)
        np.testing.assert_allclose(found, single[:n], rtol=0, atol=tolerance)


def test_where_there_is_a_quorum_nothing_else_changes(small_recipe: Path) -> None:
    made = decoder(small_recipe)
    x = faulty(SAMPLES, 4)
    made.student_.double()
    exact = made.predict(x, "day0")
    decoded = StreamingDecoder(bundle_decoder(made, "day0"), "float64").forward(x)
    neutral = decoded.quality.neutral
    assert 0 < neutral.sum() < len(neutral) / 2
    np.testing.assert_allclose(decoded.behavior[~neutral], exact[~neutral], rtol=1e-9, atol=1e-9)
    assert (decoded.behavior[neutral] == 0).all()  # velocity


def test_quality_tells_what_the_decoder_tells(small_recipe: Path) -> None:
    made, x = decoder(small_recipe, "distill.lookahead_ms=30.0"), faulty(SAMPLES, 5)
    offline, _ = made.step(x, made.initial_state("day0"))
    quality = StreamingDecoder(bundle_decoder(made, "day0")).forward(x).quality
    np.testing.assert_array_equal(quality.filled, offline.filled)


def test_the_neutral_value_of_other_targets_is_the_mean(small_recipe: Path) -> None:
    bundle = bundle_decoder(decoder(small_recipe, "data.target=as_stored"), "day0")
    assert bundle.neutral == (1.0, -2.0)
    assert bundle_decoder(decoder(small_recipe), "day0").neutral == (0.0, 0.0)


def test_what_cannot_be_bundled_is_named(small_recipe: Path) -> None:
    made = decoder(small_recipe)
    with pytest.raises(ValueError, match="day0, day1"):
        bundle_decoder(made)
    with pytest.raises(ValueError, match="day7"):
        bundle_decoder(made, "day7")
    made.student_.encoder = GRUEncoder(16)
    with pytest.raises(ValueError, match="GRUEncoder"):
        bundle_decoder(made, "day0")


# From files --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(
    recordings: list[Path], small_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a run with one seed, of two recordings."""
    run = tmp_path_factory.mktemp("run")
    fitted = Decoder(small_recipe, folder=run).fit([recordings[0], recordings[2]])
    fitted.save_pretrained(run / "seed0" / "model")
    (run / "run.json").write_text(json.dumps({"commit": "abc", "versions": {}, "data": {}}))
    return run


def bundled(*arguments: object) -> Any:
    return CliRunner().invoke(cli.app, ["bundle", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("index", [0, 2])
def test_the_command_and_a_file(
    trained: Path, recordings: list[Path], tmp_path: Path, index: int
) -> None:
    """Raw samples of an NWB file, live and offline: 1e-9 in float64."""
    with open_recording(recordings[index]) as recording:
        x, session = recording.read(0, recording.n_samples), recording.session_id
    out = tmp_path / "bundle"
    said = bundled(trained / "seed0" / "model", "--out", out, "--session", session)
    assert said.exit_code == 0
    assert session in said.output
    made = Decoder.from_pretrained(trained / "seed0" / "model")
    made.student_.double()
    exact = made.predict(recordings[index])
    double = StreamingDecoder.load(out, "float64")
    np.testing.assert_allclose(double.forward(x).behavior, exact, rtol=1e-9, atol=1e-9)
    live, state, parts = StreamingDecoder.load(out), None, []
    state = live.initial_state()
    for at in range(0, len(x), 999):
        decoded, state = live.step(x[at : at + 999], state)
        parts.append(decoded.behavior)
    np.testing.assert_allclose(np.concatenate(parts), exact, rtol=0, atol=SINGLE * exact.std())


def test_a_run_and_its_record(trained: Path, tmp_path: Path) -> None:
    bundle_model(trained, tmp_path / "bundle", "simA_day0", quorum=0.7)
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.quorum == 0.7
    assert bundle.provenance["run"]["commit"] == "abc"
    assert bundle.provenance["seed"] == "seed0"
    assert bundle.provenance["recipe"]["name"] == "small"
    assert bundle.versions["torch"] == version("torch")


def test_several_seeds_are_listed(trained: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = tmp_path / f"seed{seed}" / "model"
        Decoder.from_pretrained(trained / "seed0" / "model").save_pretrained(folder)
    with pytest.raises(ValueError, match="name one of them"):
        bundle_model(tmp_path, tmp_path / "bundle", "simA_day0")
    with pytest.raises(ValueError, match="saved decoder"):
        bundle_model(tmp_path / "none", tmp_path / "bundle")
