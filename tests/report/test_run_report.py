"""`realm report`: a run becomes one page with everything in it, or with how to get it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from report_cases import Page, result, write_run
from torch import nn

from realm.data.sessions import PreparedSession
from realm.decoder.decoder import Decoder
from realm.files import read_tensors, write_tensors
from realm.nn.masking import MaskConfig
from realm.recipe import load_recipe
from realm.report.drift import moved
from realm.report.health import replaced_share, unfit_channels
from realm.report.importance import channel_losses, measure, measure_session
from realm.report.lags import lag_curve
from realm.report.page import page
from realm.report.reconstruction import fill_in, load_teacher
from realm.report.run_folder import RunFolder
from realm.report.section import Picture, Section
from realm.report.style import figure_file
from realm.report.summary import summary_section
from realm.report.write import write_report
from realm.runs.run import run
from realm.training.decode import decode_stream

MEASURED = {"health.png", "importance.png", "lags.png", "sessions.png"}


@pytest.fixture(scope="module")
def finished(
    recordings: list[Path], small_recipe: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of three sessions of two subjects."""
    folder = tmp_path_factory.mktemp("report") / "run"
    methods = 'baselines.methods=["ridge", "scratch"]'
    run(load_recipe(small_recipe, [methods]), recordings[0].parent, folder)
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture(scope="module")
def session(finished: Path) -> PreparedSession:
    return PreparedSession.load(finished / "prepared" / "simA_day0.h5")


def text_of(section: Section) -> str:
    return " ".join(section.text)


# The page ----------------------------------------------------------------------------------------


def test_a_run_says_at_its_end_how_to_get_more(finished: Path) -> None:
    read = Page((finished / "report.html").read_text())
    assert f"realm report {finished}" in read.text
    assert read.images == 5  # R², three trajectories, learning curves


def test_the_report_shows_everything_a_run_holds(copy: Path) -> None:
    said: list[str] = []
    written = write_report(copy, say=said.append)
    assert written == copy / "report.html"
    read = Page(written.read_text())
    assert {path.name for path in (copy / "figures").iterdir()} >= MEASURED
    assert read.images == 5 + len(MEASURED) + 2
    assert any("simB_day0" in line for line in said)
    for title in (
        "Summary",
        "R² per session",
        "What the teacher reconstructs",
        "Delay of the decoding",
        "Which channels and bands matter",
        "From session to session",
        "Latency and cost",
        "Channel health",
        "Settings, versions and times",
    ):
        assert title in read.text
    assert read.left_out == 1  # what takes a benchmark
    assert "realm benchmark small --data FOLDER --out runs/benchmark" in read.text
    assert written.stat().st_size < 5_000_000


def test_without_prepared_sessions_the_page_says_so(copy: Path) -> None:
    shutil.rmtree(copy / "prepared")
    read = Page(write_report(copy, copy / "other.html").read_text())
    assert read.left_out == 5
    assert read.text.count("realm run") >= 5


def test_sessions_that_were_prepared_anew_do_not_count(copy: Path) -> None:
    assert len(RunFolder.open(copy).sessions) == 3
    with (copy / "prepared" / "simA_day0.h5").open("ab") as stream:
        stream.write(b" ")
    assert RunFolder.open(copy).sessions == []


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"results\.csv: expected the results"):
        write_report(tmp_path)


def test_pictures_beyond_the_limit_are_named(tmp_path: Path) -> None:
    pictures = []
    for name in ("first", "second"):
        with figure_file(tmp_path / f"{name}.png", 2, 2) as figure:
            figure.subplots().plot([1, 2])
        pictures.append(Picture(tmp_path / f"{name}.png", name))
    section = Section("Some <b>", ("see `x < y` and **this**",), tuple(pictures))
    assert Page(page("t", [section])).images == 2
    read = Page(page("t", [section], picture_bytes=6000))
    assert read.images == 1
    assert "second.png" in read.text
    assert "Some <b>" in read.text
    assert "see x < y and this" in read.text


def test_a_benchmark_folder_shows_its_parts(copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "benchmark"
    shutil.move(copy, folder / "main")
    with figure_file(folder / "figures" / "lookahead.png", 2, 2) as figure:
        figure.subplots()
    content = {
        "skipped": {"spikes": "no file has spikes"},
        "missing": ["labels", "transfer"],
        "tables": {"Student with lookahead": [{"Lookahead, ms": "50", "R²": "0.7"}]},
        "report": [
            {
                "part": "lookahead",
                "title": "Waiting",
                "text": ["What waiting is worth."],
                "pictures": [{"file": "figures/lookahead.png", "caption": "R² by lookahead"}],
                "tables": [{"title": "Student with lookahead", "text_columns": 1}],
                "left_out": False,
            },
            {
                "part": "spikes",
                "title": "LFP against spikes",
                "text": ["Left out: no file has spikes."],
                "pictures": [],
                "tables": [],
                "left_out": True,
            },
        ],
        "cost": [{"method": "student", "signal": "LFP", "macs_per_bin": 1234, "state_bytes": None}],
    }
    (folder / "benchmark.json").write_text(json.dumps(content))
    read = Page(write_report(folder).read_text())
    assert (folder / "report.html").is_file()
    assert "Lookahead, ms" in read.text
    assert "1,234" in read.text
    assert "no file has spikes" in read.text
    assert "R² by lookahead" in read.text


def test_a_benchmark_of_an_older_version_is_told_to_be_written_again(
    copy: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "benchmark"
    shutil.move(copy, folder / "main")
    (folder / "benchmark.json").write_text(json.dumps({"missing": [], "tables": {}}))
    read = Page(write_report(folder, measure=False).read_text())
    assert "Summary" in read.text
    assert "benchmark.json" in read.text
    assert "realm benchmark" in read.text


# What is measured --------------------------------------------------------------------------------


class OneChannel(nn.Module):
    """Reads two channels alone; remembers nothing."""

    def initial_state(self, batch: int = 1) -> None:
        return None

    def step(self, x: torch.Tensor, state: None, session_id: str) -> tuple[object, None]:
        values = x[:, :, [1, 3], 0]

        class Output:
            behavior = values

        return Output, None

    def to_units(self, values: torch.Tensor, session_id: str) -> torch.Tensor:
        return values


def test_only_the_channels_that_are_read_matter(
    finished: Path, session: PreparedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = Decoder.from_pretrained(finished / "seed0" / "model")
    monkeypatch.setattr(decoder, "student_", OneChannel())
    truth = session.features(0, session.n_bins)[:, [1, 3], 0]
    known = np.ones(session.n_bins, bool)
    monkeypatch.setattr(session, "behavior", lambda a, b: (truth[a:b], known[a:b]))
    found = measure_session(decoder, session, 10_000)
    assert found.r2 == pytest.approx(1.0)
    assert np.flatnonzero(found.channels > 1e-9).tolist() == [1, 3]
    assert found.bands[0] > 0.5
    most = next(iter(channel_losses([found])))
    assert most in (session.channel_names[1], session.channel_names[3])


def test_importance_begins_from_the_decoders_own_score(
    finished: Path, session: PreparedSession
) -> None:
    """Nothing masked: the decoding of `decode_stream`, warmed up."""
    decoder = Decoder.from_pretrained(finished / "seed0" / "model")
    said: list[str] = []
    (found,) = measure(decoder, [session], said.append)
    start, stop = session.splits["validation"]
    begin = max(0, start - round(5000 / session.bin_ms))
    decoded = decode_stream(decoder.student_, session, begin, stop)[start - begin :]
    truth, known = session.behavior(start, stop)
    residual = ((truth - decoded)[known] ** 2).sum(axis=0)
    total = ((truth[known] - truth[known].mean(axis=0)) ** 2).sum(axis=0)
    assert found.r2 == pytest.approx(float(np.mean(1 - residual / total)), abs=1e-4)
    assert len(said) == 1


@pytest.mark.parametrize("bins", [0, 3, -4])
def test_a_delay_is_found(copy: Path, bins: int) -> None:
    opened = RunFolder.open(copy)
    for one in opened.sessions:
        truth, _ = one.behavior(*one.splits["test"])
        path = copy / "seed0" / "decoded" / one.session_id / "student.safetensors"
        late = np.roll(truth, bins, axis=0)
        write_tensors(path, read_tensors(path) | {"decoded": late})
    assert lag_curve(opened, "student").best_ms == bins * 20.0
    assert lag_curve(opened, "no such method").correlation.size == 0


def test_what_was_visible_is_not_shown_as_filled_in(finished: Path) -> None:
    opened = RunFolder.open(finished)
    assert opened.recipe is not None
    checkpoint = finished / "seed0" / "teacher" / "checkpoint.safetensors"
    teacher = load_teacher(opened.recipe, opened.sessions, checkpoint, 0)
    weights, stored = teacher.state_dict(), read_tensors(checkpoint)
    assert all(np.array_equal(v.numpy(), stored[f"best/{k}"]) for k, v in weights.items())
    true, hidden, filled, line = fill_in(teacher, opened.sessions[0], MaskConfig(), 100)
    assert true.shape == filled.shape == line.shape == (100, 6, 1)
    assert 0.4 < hidden.mean() < 0.6
    assert np.array_equal(line[~hidden], true[~hidden])
    assert not np.array_equal(filled[hidden], true[hidden])
    with pytest.raises(ValueError, match="do not fit"):
        load_teacher(opened.recipe, opened.sessions[:1], checkpoint, 0)


def test_how_far_features_moved(session: PreparedSession, finished: Path) -> None:
    later = PreparedSession.load(finished / "prepared" / "simA_day1.h5")
    assert moved(session, session) == (0.0, 0.0)
    statistics = session.chain.normalization
    assert statistics is not None
    shifted = statistics._replace(mean=statistics.mean + 2 * statistics.std)
    later.chain = session.chain.with_normalization(shifted)
    assert moved(session, later) == pytest.approx((2.0, 2.0))
    later.channel_names = ("other",) * len(later.channel_names)
    assert all(np.isnan(moved(session, later)))


def test_channels_that_are_mostly_replaced_are_unfit(
    session: PreparedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = np.zeros((session.n_bins, 6), np.float32)
    filled[:, 2], filled[:, 4] = 0.6, 0.4
    monkeypatch.setattr(session, "filled", lambda start, stop: filled[start:stop])
    share = replaced_share(session)
    assert share == pytest.approx([0, 0, 0.6, 0, 0.4, 0], abs=1e-6)
    unfit = set(unfit_channels(session, share))
    assert unfit == {session.channel_names[2], *session.chain.dead_channels}


# The summary -------------------------------------------------------------------------------------


def summary(folder: Path, rows: list) -> str:
    return text_of(summary_section(RunFolder.open(write_run(folder, rows))))


def test_the_summary_says_it_in_words(tmp_path: Path) -> None:
    rows = [result(f"day{d}", s, 0.70 + 0.05 * d) for d in range(3) for s in range(2)]
    rows += [result(f"day{d}", s, 0.5, "ridge") for d in range(3) for s in range(2)]
    rows += [result(f"day{d}", s, 0.75, "gru") for d in range(3) for s in range(2)]
    said = summary(tmp_path, rows)
    assert "3 sessions of 1 subject" in said
    assert "75% of the behavior's variance (R² 0.750" in said
    assert "Best session: day2 (0.80); weakest: day0 (0.70)" in said
    assert "+0.250 R² against ridge (95% interval +0.126 to +0.374)" in said
    assert re.search(r" 0\.000 R² against [^(]*gru \([^)]*may be chance\)", said)
    assert "use the result" not in said  # nothing leaks
    assert "To watch" not in said


def test_the_summary_warns(tmp_path: Path) -> None:
    rows = [result("day0", 0, 0.6, r2_shifted=0.2), result("Day1", 0, 0.01, r2_shifted=0.2)]
    said = summary(tmp_path / "leaks", rows)
    assert re.search(r"R² is 0\.200\..*before you use the result", said)
    watch = said[said.index("To watch") :]
    assert "Day1" in watch  # hardly decoded
    assert "day0" not in watch
    assert "fewer than 3 sessions" in watch
    rows = [result("day0", 0, float("nan"), r2_shifted=float("nan"))]
    said = summary(tmp_path / "still", rows)
    assert "shorter than 20 s" in said
    assert "day0" in said[said.index("To watch") :]


def test_names_of_a_recipe_are_text_and_nothing_else() -> None:
    from realm.report.markdown import harmless, markdown
    from realm.report.page import page
    from realm.report.section import Section

    assert harmless("<script>x</script> | =cmd() | 1 < 2") == (
        "&lt;script>x&lt;/script> | \\=cmd() | 1 < 2"
    )
    section = Section("one <b>", ("{body} {title} <script>",))
    assert "<script>" not in markdown("<i>{body}", [section], Path("."))
    made = page("{body}", [section])
    assert made.count("<title>{body}</title>") == 1
    assert "{body} {title} &lt;script&gt;" in made
