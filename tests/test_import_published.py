"""Released weights as a decoder: imported, calibrated, bundled, run; and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import published_reference as reference
import pytest
import torch
from typer.testing import CliRunner

from realm import Decoder, cli
from realm.decoder.bundling import bundle_model
from realm.decoder.calibration import calibrate_decoder
from realm.decoder.published import import_published
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session
from realm.streaming import Bundle, StreamingDecoder

BEHAVIOR = ["data.behavior=behavior/Position/hand", "data.target=velocity"]


def checkpoint(
    folder: Path,
    kwargs: dict = reference.SMALL,
    form: str = "student",
    spread: float = 0.3,
    **changes,
):
    """A file as it is released, with random weights; `changes` replace entries."""
    state = reference.released(kwargs, spread=spread)
    content: dict = {"encoder_kwargs": dict(kwargs), "epoch": 3, "val_loss": 0.25}
    if form == "student":
        readout = {"out_proj.weight": torch.zeros(2, kwargs["d_model"])}
        state = {f"encoder.{name}": array for name, array in state.items()} | readout
        content |= {"student_state_dict": state, "head_window": 1}
    else:
        content |= {"encoder_state_dict": state}
    content |= changes
    path = folder / "released.pt"
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    simulated = simulate_session(SimulationConfig(channels=5, duration_s=60.0, seed=2), 0)
    return write_session(folder / "day0.nwb", simulated)


@pytest.mark.parametrize("form", ["student", "encoder"])
def test_the_imported_encoder_gives_the_published_outputs(tmp_path: Path, form: str) -> None:
    made = import_published(checkpoint(tmp_path, form=form), tmp_path / "model")
    assert (made.channels, made.layers) == (7, 3)
    encoder = Decoder.from_pretrained(made.out).student_.encoder
    x = torch.randn(1, 80, 7)
    state = reference.released(reference.SMALL)
    expected = reference.encode(state, reference.SMALL, x[..., None].numpy())
    with torch.no_grad():
        np.testing.assert_allclose(encoder(x).numpy(), expected, rtol=0, atol=1e-5)
    assert made.parameters == sum(p.numel() for p in encoder.parameters())


def test_it_is_calibrated_bundled_and_decodes_as_live(recording: Path, tmp_path: Path) -> None:
    import_published(checkpoint(tmp_path), tmp_path / "model")
    bare = Decoder.from_pretrained(tmp_path / "model")
    with pytest.raises(ValueError, match="realm calibrate"):
        bare.predict(np.zeros((100, 5)))
    with pytest.raises(ValueError, match=r"--set data\.behavior=PATH"):
        calibrate_decoder(recording, tmp_path / "model", tmp_path / "x")
    done = calibrate_decoder(recording, tmp_path / "model", tmp_path / "day0", overrides=BEHAVIOR)
    assert done.readout == "frozen"
    decoder = Decoder.from_pretrained(tmp_path / "day0")
    decoded = decoder.predict(recording)
    assert decoded.shape[1] == 2
    assert np.isfinite(decoded).all()
    bundle_model(tmp_path / "day0", tmp_path / "bundle")
    rig = StreamingDecoder(Bundle.load(tmp_path / "bundle"), "float64")
    x = 1e-5 * np.cumsum(np.random.default_rng(0).normal(size=(3000, 5)), axis=0)
    decoder.student_.double()
    exact, whole = decoder.predict(x), rig.forward(x)
    heard = ~whole.quality.neutral
    assert heard.any()
    np.testing.assert_allclose(whole.behavior[heard], exact[heard], rtol=1e-8, atol=1e-9)
    state, parts = rig.initial_state(), []
    for chunk in np.array_split(x, 23):
        state = rig.state_from_bytes(rig.state_to_bytes(state))
        part, state = rig.step(chunk, state)
        parts.append(part.behavior)
    np.testing.assert_array_equal(np.concatenate(parts), whole.behavior)


def test_a_second_session_joins_and_keeps_the_first(recording: Path, tmp_path: Path) -> None:
    import_published(checkpoint(tmp_path), tmp_path / "model")
    calibrate_decoder(recording, tmp_path / "model", tmp_path / "day0", overrides=BEHAVIOR)
    simulated = simulate_session(SimulationConfig(channels=7, duration_s=60.0, seed=2), 0, 1)
    later = write_session(tmp_path / "day1.nwb", simulated)
    frozen = ["calibrate.readout=frozen"]
    calibrate_decoder(later, tmp_path / "day0", tmp_path / "day1", overrides=frozen)
    decoder = Decoder.from_pretrained(tmp_path / "day1")
    assert decoder.sessions_ == ("simA_day0", "simA_day1")
    assert [len(decoder.channel_names(s)) for s in decoder.sessions_] == [5, 7]


class Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_file_that_would_run_code_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = checkpoint(tmp_path, extra=Runs())
    with pytest.raises(ValueError, match=r"released\.pt.*run code.*nothing was run"):
        import_published(file, tmp_path / "model")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "model").exists()


def without(name: str) -> dict:
    state = {f"encoder.{n}": a for n, a in reference.released(reference.SMALL).items()}
    del state[f"encoder.{name}"]
    return {"student_state_dict": state}


def with_array(name: str, array: object) -> dict:
    state = {f"encoder.{n}": a for n, a in reference.released(reference.SMALL).items()}
    return {"student_state_dict": state | {f"encoder.{name}": array}}


def with_setting(**changes: object) -> dict:
    return {"encoder_kwargs": reference.SMALL | changes}


WRONG = {
    "no settings": ({"encoder_kwargs": None}, r"encoder_kwargs"),
    "no weights": ({"student_state_dict": None}, r"student_state_dict or encoder_state_dict"),
    "an array less": (without("layers.1.ssd.A_log"), r"layers\.1\.ssd\.A_log is missing"),
    "an array more": (with_array("layers.1.ssd.X", torch.zeros(2)), r"layers\.1\.ssd\.X is unk"),
    "another shape": (
        with_array("spatial_proj.weight", torch.zeros(16, 20)),
        r"spatial_proj\.weight.*\(16, 21\).*\(16, 20\)",
    ),
    "an unread array of another shape": (
        with_array("session_embed.weight", torch.zeros(8, 16)),
        r"session_embed\.weight.*\(9, 16\)",
    ),
    "not finite": (with_array("out_norm.bias", torch.full((16,), torch.nan)), r"out_norm\.bias"),
    "whole numbers": (with_array("out_norm.bias", torch.zeros(16).int()), r"out_norm\.bias"),
    "no array": (with_array("out_norm.bias", [0.0] * 16), r"out_norm\.bias.*list"),
    "more layers": (with_setting(n_layers=4), r"layers\.3.*missing"),
    "absurdly many channels": (with_setting(n_channels=10**9), r"spatial_proj\.weight"),
    "absurdly many layers": (with_setting(n_layers=10**9), r"n_layers|layers"),
    "a size below one": (with_setting(d_state=0), r"d_state"),
    "a size as text": (with_setting(d_model="16"), r"d_model"),
    "sizes that do not divide": (with_setting(headdim=5), r"headdim"),
    "an unknown setting": (with_setting(rope=False), r"rope"),
    "another block": (with_setting(block_type="attention"), r"block_type"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_named(tmp_path: Path, name: str) -> None:
    changes, message = WRONG[name]
    with pytest.raises(ValueError, match=rf"(?s)released\.pt.*({message})"):
        import_published(checkpoint(tmp_path, **changes), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_encoder_that_reads_the_future_is_refused(tmp_path: Path) -> None:
    file = checkpoint(tmp_path, reference.SMALL | {"bidirectional": True}, form="encoder")
    with pytest.raises(ValueError, match=r"released\.pt.*causal"):
        import_published(file, tmp_path / "model")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x80\x02}q\x00.", b"text"])
def test_files_of_something_else_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.pt"):
        import_published(tmp_path / "other.pt", tmp_path / "model")
    with pytest.raises(ValueError, match=r"absent\.pt.*none"):
        import_published(tmp_path / "absent.pt", tmp_path / "model")


def test_a_recording_that_the_weights_cannot_read_is_named(tmp_path: Path) -> None:
    import_published(checkpoint(tmp_path), tmp_path / "model")
    many = simulate_session(SimulationConfig(channels=8, duration_s=60.0), 0)
    slow = simulate_session(
        SimulationConfig(channels=5, duration_s=60.0, sampling_rate_hz=100.0), 0
    )
    for simulated, message in ((many, r"1 to 7 channels.*8"), (slow, r"50 Hz.*100 Hz|0\.45")):
        file = write_session(tmp_path / "other.nwb", simulated)
        with pytest.raises(ValueError, match=message):
            calibrate_decoder(file, tmp_path / "model", tmp_path / "x", overrides=BEHAVIOR)
        file.unlink()
    for override in ("signal.bin_ms=20", "distill.lookahead_ms=20"):
        with pytest.raises(ValueError, match=r"signal\.line_hz=50"):
            import_published(checkpoint(tmp_path), tmp_path / "y", [override])
    with pytest.raises(ValueError, match=r"1 features of each channel"):
        import_published(
            checkpoint(tmp_path),
            tmp_path / "y",
            ["signal.preset=custom", "signal.bands_hz={theta=[4, 10]}"],
        )


def test_the_command(tmp_path: Path) -> None:
    arguments = ["import-published", str(checkpoint(tmp_path)), "--out", str(tmp_path / "model")]
    done = CliRunner().invoke(cli.app, arguments)
    assert done.exit_code == 0
    assert "3 layers, up to 7 channels" in done.output
    assert Decoder.from_pretrained(tmp_path / "model").sessions_ == ()


@pytest.mark.slow
def test_a_full_size_student_is_the_quadratic_form(tmp_path: Path) -> None:
    """10 layers of width 256, 96 channels, a segment of 5 s, norms as in an untrained network."""
    file = checkpoint(tmp_path, reference.STUDENT, spread=0.02)
    made = import_published(file, tmp_path / "model")
    assert made.parameters == 4_909_273 - 200 * 256 - (256 + 96 + 2) * 2
    student = Decoder.from_pretrained(made.out).student_
    x = torch.randn(1, 500, 96)
    state = reference.released(reference.STUDENT, spread=0.02)
    expected = reference.encode(state, reference.STUDENT, x[..., None].numpy())
    with torch.no_grad():
        np.testing.assert_allclose(student.encoder(x).numpy(), expected, rtol=0, atol=1e-5)
        exact = student.encoder.double()(x.double()).numpy()
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-10)
