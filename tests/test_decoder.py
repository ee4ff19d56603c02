"""The whole decoder, raw samples to behavior: one stream however it is cut, saved and restored."""

from __future__ import annotations

import copy
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import torch
from contract import check_causal_part, check_chunks
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import realm
from realm.decoder.calibration import calibrate_decoder
from realm.decoder.decoder import Decoder, write_decoded
from realm.files import read_json, read_tensors, sha256_file, write_json, write_tensors
from realm.nn.adapters import SessionInfo
from realm.nn.student import Student
from realm.recipe import load_recipe
from realm.recordings.open import open_recording
from realm.signal import SignalChain
from realm.simulation.simulate import SimulationConfig, simulate_session
from realm.simulation.write import write_session

RATE_HZ = 24414.0625 / 48  # 508.6 Hz, which 10 ms bins do not divide
SAMPLES = 1300
LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
CHUNKS = settings(max_examples=12, deadline=None)


class Session(NamedTuple):
    """What `Decoder.assemble` takes from a prepared session."""

    session_id: str
    chain: SignalChain
    behavior_names: tuple[str, ...] = ("x", "y")
    behavior_unit: str = "m/s"


def raw(rng: np.random.Generator, samples: int, channels: int = 5) -> np.ndarray:
    """Volts with all that goes wrong: NaN, gaps, spikes, saturation, flat runs, a dead channel."""
    x = 1e-4 * np.cumsum(rng.normal(size=(samples, channels)), axis=0) * 0.1
    x += 3e-5 * rng.normal(size=x.shape)
    x[:, -1] = 0.0  # dead
    for _ in range(6):
        at, channel = int(rng.integers(samples)), int(rng.integers(channels))
        kind, length = int(rng.integers(5)), int(rng.integers(1, 150))
        span = (slice(at, at + length), channel)
        if kind == 0:
            x[span] = np.nan
        elif kind == 1:
            x[at : at + length] = np.nan  # a gap
        elif kind == 2:
            x[at, channel] = np.inf if length % 2 else -1.0
        elif kind == 3:
            x[span] = 0.01  # at the rail
        else:
            x[span] = x[at, channel]
    return x


def small_decoder(recipe: Path, lookahead_ms: float = 0.0, double: bool = True) -> Decoder:
    """A real fitted chain with every stage, and a student of two layers with random weights."""
    settings_ = [
        "signal.preset=multiband",
        "signal.bin_ms=10.0",
        "signal.reference=common_average",
        "signal.line_hz=50.0",
        f"distill.lookahead_ms={lookahead_ms}",
        "distill.encoder.layers=2",
    ]
    chosen = load_recipe(recipe, settings_)
    names = tuple(f"ch{i}" for i in range(5))
    ordinary = np.nan_to_num(raw(np.random.default_rng(0), 8000), posinf=0, neginf=0)
    chain = SignalChain(chosen.signal, RATE_HZ, names).fit_guard(ordinary)
    chain = chain.fit_normalization(chain.forward(ordinary))
    torch.manual_seed(0)
    info = SessionInfo("rat-1", "rat", names, len(chain.band_names))
    student = Student(chosen.distill.encoder, [info], 2)
    student.set_behavior_scale("rat-1", torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5]))
    decoder = Decoder.assemble(student, [Session("rat-1", chain)], chosen, 0)
    if double:
        decoder.student_.double()
    return decoder


def outputs_before(decoder: Decoder) -> Any:
    chain = decoder.chain("rat-1")
    return lambda n: max(0, chain.n_bins(n) - decoder.lookahead_bins)


def other_future(future: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return raw(rng, max(1, len(future)), future.shape[1])[: len(future)]


@st.composite
def chunkings(draw: st.DrawFn, length: int = SAMPLES) -> list[int]:
    """Chunk lengths that sum to `length`: ones, odd, uneven, empty."""
    sizes: list[int] = []
    while (left := length - sum(sizes)) > 0 and len(sizes) < 60:
        sizes.append(min(left, draw(st.sampled_from([0, 1, 2, 5, 7, 33, 255, 256, 700]))))
    return [*sizes, length - sum(sizes), 0]


@pytest.fixture(scope="module", params=[0.0, 30.0], ids=["causal", "lookahead"])
def decoder64(request: pytest.FixtureRequest, small_recipe: Path) -> Decoder:
    return small_decoder(small_recipe, request.param)


@CHUNKS
@given(chunks=chunkings(), seed=st.integers(0, 2**32 - 1))
def test_any_chunking_gives_the_same_behavior(
    decoder64: Decoder, chunks: list[int], seed: int
) -> None:
    """Float64 to 1e-9, the future does not reach back by a bit, the state stays as it was."""
    rng = np.random.default_rng(seed)
    check_causal_part(
        decoder64.step,
        decoder64.initial_state,
        raw(rng, SAMPLES),
        rng=rng,
        rtol=1e-9,
        atol=1e-9,
        outputs_before=outputs_before(decoder64),
        chunkings=[chunks],
        perturb=other_future,
    )


@pytest.mark.parametrize("lookahead_ms", [0.0, 30.0])
def test_the_standard_chunkings(small_recipe: Path, lookahead_ms: float) -> None:
    decoder, rng = small_decoder(small_recipe, lookahead_ms), np.random.default_rng(1)
    check_causal_part(
        decoder.step,
        decoder.initial_state,
        raw(rng, SAMPLES),
        rng=rng,
        rtol=1e-9,
        atol=1e-9,
        outputs_before=outputs_before(decoder),
        perturb=other_future,
    )


def test_in_single_precision_chunks_agree_to_1e_4_and_the_future_to_the_bit(
    small_recipe: Path,
) -> None:
    """The behavior has standard deviations of about 1; float32 sums in another order differ."""
    decoder, rng = small_decoder(small_recipe, double=False), np.random.default_rng(2)
    check_causal_part(
        decoder.step,
        decoder.initial_state,
        raw(rng, SAMPLES),
        rng=rng,
        rtol=1e-4,
        atol=1e-4,
        outputs_before=outputs_before(decoder),
        perturb=other_future,
    )


def test_the_contract_would_notice_a_decoder_that_looks_ahead(small_recipe: Path) -> None:
    decoder, rng = small_decoder(small_recipe), np.random.default_rng(3)

    def cheating(x: np.ndarray, state: Any) -> Any:
        return decoder.step(x - np.nanmean(np.where(np.isfinite(x), x, np.nan)), state)

    with pytest.raises(AssertionError):
        check_chunks(
            cheating,
            decoder.initial_state,
            raw(rng, 400),
            rng=rng,
            rtol=1e-9,
            atol=1e-9,
            outputs_before=outputs_before(decoder),
            chunkings=[[200, 200]],
        )


@pytest.mark.parametrize("lookahead_ms", [0.0, 30.0])
def test_predict_is_step(small_recipe: Path, lookahead_ms: float) -> None:
    decoder, x = small_decoder(small_recipe, lookahead_ms), raw(np.random.default_rng(4), SAMPLES)
    whole = decoder.predict(x)
    stepped, _ = decoder.step(x, decoder.initial_state())
    late = decoder.lookahead_bins
    assert len(whole) == decoder.chain("rat-1").n_bins(SAMPLES)
    assert late == lookahead_ms / 10
    np.testing.assert_array_equal(whole[: len(whole) - late], stepped.behavior)
    assert np.isnan(whole[len(whole) - late :]).all()
    assert np.isfinite(stepped.behavior).all()


def test_a_lookahead_moves_the_answer_not_the_signal(small_recipe: Path) -> None:
    """The output of bin k with lookahead is what the encoder says `lookahead` bins later."""
    x = raw(np.random.default_rng(5), SAMPLES)
    plain = small_decoder(small_recipe).predict(x)
    late = small_decoder(small_recipe, 30.0).predict(x)
    np.testing.assert_array_equal(late[:-3], plain[3:])


def test_two_streams_do_not_see_each_other(small_recipe: Path) -> None:
    decoder, rng = small_decoder(small_recipe), np.random.default_rng(6)
    a, b = raw(rng, 600), raw(rng, 600)
    alone = decoder.predict(a)
    state_a, state_b, pieces = decoder.initial_state(), decoder.initial_state(), []
    for at in range(0, 600, 100):
        decoded, state_a = decoder.step(a[at : at + 100], state_a)
        _, state_b = decoder.step(b[at : at + 100], state_b)
        pieces.append(decoded.behavior)
    np.testing.assert_allclose(np.concatenate(pieces), alone, rtol=1e-9, atol=1e-9)


# Trained on files --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(
    recordings: list[Path], small_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Decoder:
    """Fitted to the first and the third recording: two subjects, 6 and 4 channels."""
    folder = tmp_path_factory.mktemp("fit")
    return Decoder(small_recipe, folder=folder).fit([recordings[0], recordings[2]])


@pytest.fixture
def saved(trained: Decoder, tmp_path: Path) -> Path:
    trained.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def changed(recordings: list[Path], tmp_path: Path) -> Iterator[Any]:
    """A copy of the first recording, open for spoiling, and its path."""
    path = tmp_path / "changed.nwb"
    shutil.copy(recordings[0], path)
    with h5py.File(path, "r+") as file:
        yield file, path


def test_fit_gives_what_scikit_learn_expects(trained: Decoder, small_recipe: Path) -> None:
    assert trained.sessions_ == ("simA_day0", "simB_day0")
    assert trained.behavior_names_ == ("velocity_x", "velocity_y")
    assert trained.channel_names("simB_day0") == ("ch00", "ch01", "ch02", "ch03")
    fresh = clone(Decoder(small_recipe, seed=3))
    assert fresh.get_params(deep=False) == {"recipe": small_recipe, "seed": 3, "folder": None}
    with pytest.raises(ValueError, match="call fit first"):
        _ = fresh.sessions_
    assert realm.Decoder is Decoder


def test_a_seed_decides_the_weights(recordings: list[Path], small_recipe: Path) -> None:
    few = load_recipe(
        small_recipe, ["pretrain.optimization.steps=1", "distill.optimization.steps=1"]
    )
    one, same, other = (Decoder(few, seed=s).fit(recordings[:1]).student_ for s in (1, 1, 2))
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("index", [0, 2])
def test_decoding_a_file_is_decoding_its_chunks(
    trained: Decoder, recordings: list[Path], index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = copy.deepcopy(trained)
    decoder.student_.double()
    monkeypatch.setattr("realm.decoder.decoder.BLOCK_S", 11.0)
    whole = decoder.predict(recordings[index])
    with open_recording(recordings[index]) as recording:
        x, session = recording.read(0, recording.n_samples), recording.session_id
    rng, state, at, pieces = np.random.default_rng(7), decoder.initial_state(session), 0, []
    while at < len(x):
        size = int(rng.integers(0, 900))
        decoded, state = decoder.step(x[at : at + size], state)
        pieces.append(decoded.behavior)
        at += size
    live = np.concatenate(pieces)
    assert live.shape == (3500, 2)
    np.testing.assert_allclose(live, whole, rtol=1e-9, atol=1e-9)


def test_a_file_with_gaps_is_decoded_as_its_grid(trained: Decoder, changed: Any) -> None:
    file, path = changed
    series = file[LFP]
    times = np.arange(len(series["data"])) / 500.0
    kept = (times < 20) | (times > 23.1)
    values, attributes = series["data"][:][kept], dict(series["data"].attrs)
    del series["data"], series["starting_time"]
    series["data"] = values
    series["data"].attrs.update(attributes)
    series["timestamps"] = times[kept]
    file.flush()
    file.close()
    with open_recording(path) as recording:
        x = recording.read(0, recording.n_samples)
    assert np.isnan(x).any()
    decoded = trained.predict(path)
    assert np.isfinite(decoded).all()
    step, _ = trained.step(x, trained.initial_state("simA_day0"))
    np.testing.assert_allclose(decoded, step.behavior, rtol=1e-4, atol=1e-4)
    assert step.filled[int(21 / 0.02)].min() == 1.0  # said to be filled


def test_score_is_finite_on_the_last_fifth(trained: Decoder, recordings: list[Path]) -> None:
    assert np.isfinite(trained.score(recordings[0]))


def test_decoding_to_a_table(trained: Decoder, recordings: list[Path], tmp_path: Path) -> None:
    bins = write_decoded(trained, recordings[0], tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert bins == 3500 == len(lines) - 1
    assert lines[0] == "time_s,velocity_x,velocity_y"
    assert lines[1].startswith("0.020000,")
    table = np.genfromtxt(tmp_path / "out.csv", delimiter=",", skip_header=1)
    np.testing.assert_allclose(table[:, 1:], trained.predict(recordings[0]), rtol=1e-5, atol=1e-9)


# Saved and restored ------------------------------------------------------------------------------


def test_what_is_saved_comes_back_to_the_bit(
    trained: Decoder, saved: Path, recordings: list[Path]
) -> None:
    loaded = Decoder.from_pretrained(saved)
    assert loaded.sessions_ == trained.sessions_
    assert loaded.behavior_unit_ == trained.behavior_unit_
    assert loaded.fitted_recipe == trained.fitted_recipe
    for path in (recordings[0], recordings[2]):
        np.testing.assert_array_equal(loaded.predict(path), trained.predict(path))
    again = saved.parent / "again"
    loaded.save_pretrained(again)
    names = sorted(path.name for path in saved.iterdir())
    assert names == [
        "README.md",
        "config.json",
        "decoder.json",
        "model.safetensors",
        "signal.safetensors",
    ]
    for name in names:
        assert (again / name).read_bytes() == (saved / name).read_bytes(), name
    assert "More Information Needed" not in (saved / "README.md").read_text()


def test_saving_over_an_older_decoder_replaces_it(trained: Decoder, saved: Path) -> None:
    other = copy.deepcopy(trained)
    with torch.no_grad():
        next(other.student_.parameters()).add_(1.0)
    other.save_pretrained(saved)
    one, two = Decoder.from_pretrained(saved).student_, other.student_
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_an_unfitted_decoder_is_not_saved(small_recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="call fit first"):
        Decoder(small_recipe).save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def truncated(name: str) -> Any:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[:-40])

    return change


def flipped(name: str) -> Any:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-5] ^= 1
        (folder / name).write_bytes(content)

    return change


def missing(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def foreign(name: str, content: bytes) -> Any:
    return lambda folder: (folder / name).write_bytes(content)


def rehashed(name: str, change: Any) -> Any:
    """Change the tensors of a file and make the manifest agree."""

    def apply(folder: Path) -> None:
        write_tensors(folder / name, change(read_tensors(folder / name)))
        manifest = read_json(folder / "decoder.json")
        manifest["sha256"][name] = sha256_file(folder / name)
        write_json(folder / "decoder.json", manifest)

    return apply


def manifest(change: Any) -> Any:
    def apply(folder: Path) -> None:
        content = read_json(folder / "decoder.json")
        change(content)
        write_json(folder / "decoder.json", content)

    return apply


def with_nan(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    name = next(name for name, array in tensors.items() if array.dtype.kind == "f" and array.size)
    return {**tensors, name: np.full_like(tensors[name], np.nan)}


DAMAGE = {
    "truncated weights": (truncated("model.safetensors"), "model.safetensors"),
    "truncated chain": (truncated("signal.safetensors"), "signal.safetensors"),
    "truncated manifest": (truncated("decoder.json"), "decoder.json"),
    "a flipped bit": (flipped("model.safetensors"), "model.safetensors"),
    "no weights": (missing("model.safetensors"), "model.safetensors"),
    "no chain": (missing("signal.safetensors"), "signal.safetensors"),
    "no manifest": (missing("decoder.json"), "decoder.json"),
    "a pickle": (foreign("model.safetensors", b"\x80\x04\x95 pickle"), "model.safetensors"),
    "other JSON": (foreign("decoder.json", b'{"weights": []}'), "decoder.json"),
    "a list": (foreign("decoder.json", b"[1, 2]"), "decoder.json"),
    "not JSON": (foreign("decoder.json", b"\xff\xfe\x00"), "decoder.json"),
    "weights not finite": (rehashed("model.safetensors", with_nan), "model.safetensors"),
    "weights missing": (
        rehashed("model.safetensors", lambda t: dict(list(t.items())[1:])),
        "decoder.json",
    ),
    "weights of another shape": (
        rehashed("model.safetensors", lambda t: {k: a.repeat(2) for k, a in t.items()}),
        "decoder.json",
    ),
    "chain arrays missing": (
        rehashed("signal.safetensors", lambda t: dict(list(t.items())[3:])),
        "signal.safetensors",
    ),
    "another encoder": (
        manifest(lambda m: m["recipe"]["distill"]["encoder"].update(d_model=32)),
        "decoder.json",
    ),
    "an older recipe": (manifest(lambda m: m["recipe"].update(speed=1)), "decoder.json"),
    "no hashes": (manifest(lambda m: m.pop("sha256")), "decoder.json"),
    "no sessions": (manifest(lambda m: m.pop("sessions")), "decoder.json"),
    "sessions of text": (manifest(lambda m: m.update(sessions="all")), "decoder.json"),
    "another format": (manifest(lambda m: m.update(format="realm-decoder-0")), "decoder.json"),
    "no chain of a session": (manifest(lambda m: m["signal"].popitem()), "decoder.json"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_or_foreign_decoder_is_refused(damage: str, saved: Path) -> None:
    change, named = DAMAGE[damage]
    change(saved)
    with pytest.raises(ValueError, match=r"expected|unknown key") as caught:
        Decoder.from_pretrained(saved)
    assert str(saved / named) in str(caught.value)


def test_the_files_of_two_decoders_do_not_mix(trained: Decoder, saved: Path) -> None:
    other = copy.deepcopy(trained)
    with torch.no_grad():
        next(other.student_.parameters()).add_(1.0)
    other.save_pretrained(saved.parent / "other")
    shutil.copy(saved.parent / "other" / "model.safetensors", saved)
    with pytest.raises(ValueError, match=r"model\.safetensors.*another decoder"):
        Decoder.from_pretrained(saved)


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"nothing: expected the folder of a saved decoder"):
        Decoder.from_pretrained(tmp_path / "nothing")
    with pytest.raises(ValueError, match="found none"):
        Decoder.from_pretrained("nothing")

    def offline(*_: object, **__: object) -> None:
        raise FileNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", offline)
    with pytest.raises(ValueError, match=r"runs/none: expected .* Hugging Face Hub"):
        Decoder.from_pretrained("runs/none")

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no connection")

    monkeypatch.setattr("realm.decoder.decoder.ModelHubMixin.from_pretrained", unreachable)
    with pytest.raises(ValueError, match=r"runs/none: expected .* network"):
        Decoder.from_pretrained("runs/none")


def test_a_folder_that_cannot_be_written_is_named(trained: Decoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot write in the folder .*file/model"):
        trained.save_pretrained(tmp_path / "file" / "model")


# What does not fit the model ---------------------------------------------------------------------


def test_an_unknown_session_lists_the_known(trained: Decoder, changed: Any) -> None:
    file, path = changed
    for name, value in (("general/subject/subject_id", "simC"), ("general/session_id", "simC_1")):
        del file[name]
        file[name] = value
    file.close()
    with pytest.raises(ValueError, match=r"simA_day0, simB_day0.*'simC_1'.*calibrate"):
        trained.predict(path)
    with pytest.raises(ValueError, match="'nobody'"):
        trained.initial_state("nobody")
    with pytest.raises(ValueError, match="say which one"):
        trained.initial_state()


def test_another_session_of_the_same_electrodes_can_be_named(
    trained: Decoder, recordings: list[Path]
) -> None:
    assert trained.predict(recordings[1], "simA_day0").shape == (3500, 2)


def test_another_number_of_channels_is_refused(trained: Decoder, recordings: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"expected the 6 channels .*found 4") as caught:
        trained.predict(recordings[2], "simA_day0")
    assert str(recordings[2]) in str(caught.value)
    with pytest.raises(ValueError, match=r"6 channels.*\(100, 4\)"):
        trained.predict(np.zeros((100, 4)), "simA_day0")
    with pytest.raises(ValueError, match=r"6 channels.*\(100,\)"):
        trained.predict(np.zeros(100), "simA_day0")
    with pytest.raises(ValueError, match=r"expected .*6"):
        trained.step(np.zeros((100, 4)), trained.initial_state("simA_day0"))


def test_channels_in_another_order_are_matched_by_name(
    trained: Decoder, recordings: list[Path], changed: Any
) -> None:
    file, path = changed
    names = file["general/extracellular_ephys/electrodes/channel_name"]
    data = file[f"{LFP}/data"]
    order = [3, 1, 0, 5, 2, 4]
    names[...] = names[...][order]
    data[...] = data[...][:, order]
    file.close()
    expected = trained.predict(recordings[0])
    np.testing.assert_array_equal(trained.predict(path), expected)


def test_other_channel_names_are_refused(trained: Decoder, changed: Any) -> None:
    file, path = changed
    file["general/extracellular_ephys/electrodes/channel_name"][1] = "x"
    file.close()
    with pytest.raises(ValueError, match=r"ch00, ch01.*found 6: ch00, x") as caught:
        trained.predict(path)
    assert str(path) in str(caught.value)


def test_a_signal_in_another_unit_is_refused(trained: Decoder, changed: Any) -> None:
    file, path = changed
    samples = file[f"{LFP}/data"][:5000] * file[f"{LFP}/data"].attrs["conversion"]
    file[f"{LFP}/data"].attrs["conversion"] *= 1e6
    file.close()
    with pytest.raises(ValueError, match="microvolts declared as volts") as caught:
        trained.predict(path)
    assert str(path) in str(caught.value)
    assert np.isfinite(trained.predict(samples, "simA_day0")).all()
    with pytest.raises(ValueError, match="microvolts declared as volts"):
        trained.predict(samples * 1e6, "simA_day0")


def test_another_rate_is_refused(trained: Decoder, changed: Any) -> None:
    file, path = changed
    file[f"{LFP}/starting_time"].attrs["rate"] = 400.0
    file.close()
    with pytest.raises(ValueError, match=r"expected samples at 500 Hz .*found 400 Hz") as caught:
        trained.predict(path)
    assert str(path) in str(caught.value)


# Calibration -------------------------------------------------------------------------------------


def test_calibration_adds_a_session_and_keeps_the_others(
    trained: Decoder, saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    calibration = calibrate_decoder(recordings[1], saved, tmp_path / "out", label_s=20.0)
    assert calibration.session_id == "simA_day1"
    decoder = Decoder.from_pretrained(tmp_path / "out")
    assert decoder.sessions_ == ("simA_day0", "simB_day0", "simA_day1")
    assert np.isfinite(decoder.predict(recordings[1])).all()
    for path in (recordings[0], recordings[2]):
        decoded = decoder.predict(path)
        assert decoded.shape == trained.predict(path).shape
        assert np.isfinite(decoded).all()
    old, new = trained.student_, decoder.student_
    head = {name for name, _ in new.named_parameters() if name.startswith("head.")}
    others = [k for k in old.state_dict() if k not in head]
    assert all(torch.equal(old.state_dict()[k], new.state_dict()[k]) for k in others)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_calibrating_everything_moves_the_encoder(
    trained: Decoder, saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    everything = ["calibrate.train=everything"]
    calibrate_decoder(recordings[1], saved, tmp_path / "out", overrides=everything)
    moved = read_tensors(tmp_path / "out" / "calibration" / "checkpoint.safetensors")
    for name, before in trained.student_.encoder.named_parameters():
        after = torch.from_numpy(moved[f"model/student.encoder.{name}"])
        assert not torch.equal(before, after), name


def test_calibration_that_helps_nothing_leaves_the_student_as_it_came(
    trained: Decoder, saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    ruinous = [
        "calibrate.train=everything",
        "calibrate.optimization.learning_rate=30",
        "calibrate.optimization.warmup_steps=0",
    ]
    harmed = calibrate_decoder(recordings[1], saved, tmp_path / "out", overrides=ruinous)
    assert math.isfinite(harmed.validation_r2)
    assert harmed.readout in ("frozen", "other sessions")
    old, new = trained.student_, Decoder.from_pretrained(tmp_path / "out").student_
    kept = {k for k in old.state_dict() if not k.startswith("head.")}
    assert all(torch.equal(old.state_dict()[k], new.state_dict()[k]) for k in kept)


def test_calibration_over_its_own_model_works(saved: Path, recordings: list[Path]) -> None:
    calibrate_decoder(recordings[1], saved, saved)
    assert "simA_day1" in Decoder.from_pretrained(saved).sessions_


def test_a_known_session_is_not_calibrated_again(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="decode it with realm decode") as caught:
        calibrate_decoder(recordings[0], saved, tmp_path / "out")
    assert str(recordings[0]) in str(caught.value)


def test_a_session_with_fewer_bands_is_refused_by_name(
    recordings: list[Path], small_recipe: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(
        small_recipe,
        [
            "signal.preset=multiband",
            "pretrain.optimization.steps=1",
            "distill.optimization.steps=1",
        ],
    )
    Decoder(recipe).fit(recordings[:1]).save_pretrained(tmp_path / "model")
    slow = SimulationConfig(
        channels=4, duration_s=70.0, sampling_rate_hz=150.0, behavior_rate_hz=50.0
    )
    session = simulate_session(slow, 2)
    path = write_session(tmp_path / "slow.nwb", replace_id(session, "simC_day0"))
    with pytest.raises(ValueError, match=r"slow\.nwb: expected the bands .*high_gamma"):
        calibrate_decoder(path, tmp_path / "model", tmp_path / "out")


def replace_id(session: Any, name: str) -> Any:
    return session._replace(session_id=name)


def test_behavior_with_another_number_of_dimensions_is_refused(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "deep.nwb"
    shutil.copy(recordings[1], path)
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        hand = file["processing/behavior/Position/hand"]
        stored, attributes = hand["data"][:], dict(hand["data"].attrs)
        del hand["data"]
        hand["data"] = np.concatenate([stored, stored[:, :1]], axis=1)
        hand["data"].attrs.update(attributes)
    with pytest.raises(
        ValueError,
        match=r"deep\.nwb: expected behavior velocity_x, velocity_y .*found .*velocity_z",
    ):
        calibrate_decoder(path, saved, tmp_path / "out")


def test_only_the_calibration_may_be_changed(
    saved: Path, recordings: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"--set data\.target=speed: expected a key of calibrate"):
        calibrate_decoder(recordings[1], saved, tmp_path / "out", overrides=["data.target=speed"])


def test_the_manifest_says_how_the_decoder_was_made(saved: Path) -> None:
    content = json.loads((saved / "decoder.json").read_text())
    assert content["recipe"]["name"] == "small"
    assert [s["session_id"] for s in content["sessions"]] == ["simA_day0", "simB_day0"]
    names = ["velocity_x", "velocity_y"]
    assert content["behavior"] == {"names": names, "unit": "meters/s"}
    assert set(content["signal"]) == {"simA_day0", "simB_day0"}
