"""The command line: what each command does, and one readable message for each bad input."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from realm import cli
from realm.commands.help import examples_of
from realm.evaluation.results import read_results
from realm.files import write_tensors

LFP = "processing/ecephys/LFP/ElectricalSeriesLFP"
HAND = "processing/behavior/Position/hand"
FUNCTIONS = {
    info.name or info.callback.__name__.replace("_", "-"): info.callback
    for info in cli.app.registered_commands
    if info.callback is not None and not info.hidden
}
FORMER = [info.name for info in cli.app.registered_commands if info.hidden]
COMMANDS = list(FUNCTIONS)
DATASET = ["dataset list", "dataset fetch", "dataset prepare"]
PRINT_RESULTS = {
    "run",
    "decode",
    "calibrate",
    "bundle",
    "benchmark",
    "report",
    "compare",
}


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`realm ...` in this process, in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("REALM_DEBUG", raising=False)

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["realm", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def data(recordings: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two recordings of the first subject."""
    folder = tmp_path_factory.mktemp("two")
    for path in recordings[:2]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def finished(data: Path, small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the two recordings."""
    from realm.recipe import load_recipe
    from realm.runs.run import run

    folder = tmp_path_factory.mktemp("cli") / "run"
    run(load_recipe(small_recipe), data, folder)
    return folder


# What each command does --------------------------------------------------------------------------


def test_the_stages_of_a_run(
    command: Command, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    given = (small_recipe, "--data", data, "--out", folder)
    for stage, made in (
        ("prepare", "prepared/simA_day1.h5"),
        ("pretrain", "seed0/teacher/checkpoint.safetensors"),
        ("distill", "seed0/model/decoder.json"),
        ("evaluate", "report.html"),
    ):
        assert not (folder / made).exists(), stage
        said = command("run", *given, "--until", stage)
        assert said.code == 0, said.err
        assert (folder / made).is_file(), stage
        assert f"run folder: {folder}" in said.out
    assert len(read_results(folder / "results.csv")) == 5 * 2 * 2


def test_run_shows_tables_that_fit_80_columns(
    command: Command, data: Path, small_recipe: Path, finished: Path
) -> None:
    said = command("run", small_recipe, "--data", data, "--out", finished)
    assert said.code == 0, said.err
    tables = said.out.split("report: ")[0]
    assert max(map(len, tables.splitlines())) <= 80
    assert "…" not in tables
    assert "Accuracy on test time" in tables
    lines = [line.split() for line in tables.splitlines()]
    for method in ("ridge", "gru", "scratch", "teacher_probe", "student"):
        assert sum(line[:1] == [method] for line in lines) == 2, "accuracy and cost"
    assert f"report: {finished / 'report.html'}" in said.out


def test_run_makes_a_folder_of_its_own(
    command: Command,
    data: Path,
    small_recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("run", small_recipe, "--data", data, "--until", "prepare").code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"small-\d{8}-\d{6}", folder.name)


def test_decode_writes_a_table(
    command: Command, data: Path, finished: Path, tmp_path: Path
) -> None:
    file = tmp_path / "day.nwb"
    shutil.copy(data / "simA_day0.nwb", file)
    model = finished / "seed0" / "model"
    said = command("decode", file, "--model", model)
    assert said.code == 0, said.err
    assert "3500 bins of 20 ms" in said.out
    table = np.genfromtxt(tmp_path / "day.decoded.csv", delimiter=",", skip_header=1)
    assert table.shape == (3500, 3)
    assert np.isfinite(table).all()
    other = tmp_path / "other.csv"
    said = command("decode", file, "--model", model, "--session", "simA_day1", "--out", other)
    assert said.code == 0, said.err
    assert other.read_text() != (tmp_path / "day.decoded.csv").read_text()


def test_calibrate_then_decode(
    command: Command, recordings: list[Path], finished: Path, tmp_path: Path
) -> None:
    model = tmp_path / "calibrated"
    said = command(
        "calibrate",
        recordings[2],
        "--model",
        finished / "seed0" / "model",
        "--out",
        model,
        "--label-s",
        20,
        "--set",
        "calibrate.optimization.steps=2",
    )
    assert said.code == 0, said.err
    assert "simB_day0: R² on validation" in said.out
    said = command("decode", recordings[2], "--model", model, "--out", tmp_path / "b.csv")
    assert said.code == 0, said.err


def test_simulate_writes_recordings(command: Command, tmp_path: Path) -> None:
    given = ("--out", tmp_path, "--subjects", 1, "--days", 2, "--duration-s", 10, "--channels", 3)
    said = command("simulate", *given)
    assert said.code == 0, said.err
    assert said.out.split() == [str(tmp_path / f"simA_day{day}.nwb") for day in (0, 1)]
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    assert command("simulate", *given).code == 0
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == before


def test_demo_simulates_and_runs(
    command: Command, small_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sessions and a recipe that are smaller than the real ones."""
    from realm.simulation.write import write_simulated

    def small(folder: Path, subjects: int, days: int, **_: object) -> list[Path]:
        return write_simulated(folder, 1, 1, duration_s=70.0, channels=3, seed=0)

    monkeypatch.setattr("realm.simulation.write.write_simulated", small)
    monkeypatch.setattr("realm.recipe.find_recipe", lambda source: small_recipe)
    said = command("demo", "--out", tmp_path / "demo", "--jobs", 1)
    assert said.code == 0, said.err
    assert (tmp_path / "demo" / "report.html").exists()
    assert "teacher_probe" in said.out


def test_as_a_program(data: Path, small_recipe: Path, tmp_path: Path) -> None:
    go = [sys.executable, "-m", "realm", "run", str(small_recipe), "--out", str(tmp_path)]
    go += ["--until", "prepare"]
    done = subprocess.run([*go, "--data", str(data)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"run folder: {tmp_path}" in done.stdout
    done = subprocess.run(
        [*go, "--data", str(tmp_path / "none")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


# Help --------------------------------------------------------------------------------------------


def page(name: str) -> str:
    """The help page of a command, "" for that of the program, in a terminal of 80 columns."""
    done = CliRunner().invoke(
        cli.app, [*name.split(), "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    )
    assert done.exit_code == 0
    return done.output


def parsed(name: str) -> Any:
    """A command as it parses its arguments."""
    import typer

    found: Any = typer.main.get_command(cli.app)
    for part in name.split():
        found = found.commands[part]
    return found


@pytest.mark.parametrize("name", ["", "dataset", *COMMANDS, *DATASET])
def test_help_is_plain_text_of_80_columns_without_types_of_python(name: str) -> None:
    text = page(name)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert not re.search(r"<(?!recipe|time)|\w\[|\b(?:str|bool|int|float|None|True|False)\b", text)


@pytest.mark.parametrize("name", [*COMMANDS, *DATASET, *FORMER])
def test_every_argument_and_option_says_what_it_is(name: str) -> None:
    for parameter in parsed(name).params:
        assert parameter.help, f"{name} {parameter.name}: say what it is for"
        assert getattr(parameter, "hidden", False) or parameter.help[0].isupper(), parameter.name
        if not getattr(parameter, "is_flag", False):
            metavar = parameter.metavar or ""
            assert re.fullmatch(r"[A-Z=]+(?:\.\.\.)?", metavar), (
                f"{name} {parameter.name}: expected a metavar in capitals, got {metavar!r}"
            )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run", ["--threads N", "[default: 1]"]),
        ("run", ["[default: runs/<recipe>-<time>]"]),
        ("live", ["[default: 100]"]),
        ("calibrate", ["--seed N", "[default: 0]"]),
        ("bundle", ["[default: 0.5]"]),
    ],
)
def test_help_shows_defaults(name: str, words: list[str]) -> None:
    text = " ".join(page(name).split())
    assert all(word in text for word in words), text


def test_all_commands_are_in_a_group_and_the_former_ones_in_none() -> None:
    text = page("")
    shown = re.findall(r"^  ([a-z]\S*) ", text, re.MULTILINE)
    assert sorted(shown) == sorted([*COMMANDS, "dataset"])
    assert not re.search(r"^Commands:", text, re.MULTILINE)
    assert len(COMMANDS) + len(DATASET) == 19
    titles = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert titles == [*cli.COMMANDS, "Options"]


def test_jobs_mean_the_same_everywhere() -> None:
    found = {
        name: (option.help, option.show_default, option.default)
        for name in [*COMMANDS, *FORMER]
        for option in parsed(name).params
        if "--jobs" in option.opts
    }
    assert set(found) >= {"run", "demo", "benchmark", "tune", "paper-protocol", "prepare"}
    assert len(set(found.values())) == 1


def test_version(command: Command) -> None:
    from realm import __version__

    said = command("--version")
    assert (said.code, said.out) == (0, f"realm {__version__}\n")


def test_stages_of_the_command_line_are_those_of_a_run() -> None:
    from realm.commands.stages import Until
    from realm.runs.run import Stage

    assert tuple(Until) == get_args(Stage)


@pytest.mark.parametrize("former", FORMER)
def test_former_commands_name_the_new_one_and_do_the_same(
    former: str, command: Command, tmp_path: Path
) -> None:
    given = ("nowhere", "--data", tmp_path)
    now, before = command("run", *given, "--until", former), command(former, *given)
    assert before.code == now.code == 2
    first, rest = before.err.split("\n", 1)
    assert f"realm run --until {former}" in first
    assert rest == now.err
    assert before.out == ""


def test_a_former_command_does_its_stage(
    command: Command, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    said = command("prepare", small_recipe, "--data", data, "--out", tmp_path, "--jobs", 1)
    assert said.code == 0, said.err
    assert (tmp_path / "prepared" / "simA_day1.h5").is_file()
    assert not (tmp_path / "seed0").exists()


def test_help_names_the_exit_codes() -> None:
    said = " ".join(page("").split())
    for meaning in ("0 done", "1 check failed", "2 wrong input", "70 own fault", "130 Ctrl-C"):
        assert meaning in said


@pytest.mark.parametrize("name", [*COMMANDS, *DATASET])
def test_every_command_has_examples_that_parse(name: str) -> None:
    function = FUNCTIONS.get(name) or parsed(name).callback
    shown = page(name).replace("\\\n", " ")
    examples = examples_of(function)
    assert examples
    for example in examples:
        assert " ".join(example.split()) in " ".join(shown.split())
        program, *given = shlex.split(example)
        assert program == "realm"
        words = 2 if given[0] == "dataset" else 1
        parsed(" ".join(given[:words])).make_context(given[words - 1], given[words:])
    assert any(example.startswith(f"realm {name}") for example in examples)


@pytest.mark.parametrize("name", sorted(PRINT_RESULTS))
def test_commands_that_print_results_answer_machines(name: str) -> None:
    assert "as_json" in inspect.signature(FUNCTIONS[name]).parameters


# Answers for machines ----------------------------------------------------------------------------


def answered(said: Said) -> dict[str, object]:
    """The one JSON object on stdout."""
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def test_a_run_and_its_report_as_json(
    command: Command, data: Path, small_recipe: Path, finished: Path, tmp_path: Path
) -> None:
    given = (small_recipe, "--data", data, "--out", finished, "--json")
    found = answered(command("run", *given))
    assert found == answered(command("evaluate", *given)), "the old name does the same"
    assert found["report"] == str(finished / "report.html")
    rows = read_results(finished / "results.csv")
    assert isinstance(found["results"], list)
    assert len(found["results"]) == len(rows)
    assert {row["method"] for row in found["results"]} == {row.method for row in rows}
    assert None in {row["lookahead_ms"] for row in found["results"]}  # infinite: not in JSON
    page = tmp_path / "page.html"
    found = answered(command("report", finished, "--out", page, "--json"))
    assert found == {"report": str(page), "bytes": page.stat().st_size}


def test_a_decoder_as_json(
    command: Command, data: Path, recordings: list[Path], finished: Path, tmp_path: Path
) -> None:
    model, file = finished / "seed0" / "model", data / "simA_day0.nwb"
    out = tmp_path / "a.csv"
    found = answered(command("decode", file, "--model", model, "--out", out, "--json"))
    assert (found["bins"], found["bin_ms"], found["out"]) == (3500, 20.0, str(out))
    found = answered(
        command("bundle", model, "--session", "simA_day0", "--out", tmp_path / "b", "--json")
    )
    assert (found["session_id"], found["channels"]) == ("simA_day0", 6)
    found = answered(
        command(
            "calibrate",
            recordings[2],
            "--model",
            model,
            "--out",
            tmp_path / "c",
            "--set",
            "calibrate.optimization.steps=2",
            "--json",
        )
    )
    assert (found["session_id"], found["label_s"]) == ("simB_day0", "all")


def test_runs_side_by_side(command: Command, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    record = json.loads((other / "run.json").read_text())
    record["recipe"]["signal"]["bin_ms"] = 40.0
    (other / "run.json").write_text(json.dumps(record))
    page = tmp_path / "page.html"
    said = command("compare", finished, other, "--out", page)
    assert said.code == 0, said.err
    assert "signal.bin_ms" in said.out
    assert f"page: {page}" in said.out
    found = answered(command("compare", finished, other, "--out", page, "--json"))
    assert found["settings"] == {"signal.bin_ms": {"run": "20", "other": "40"}}
    assert found["runs"]["other"]["against_the_first"]["mean"] == 0.0  # type: ignore[index]


# Ctrl-C ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_says_one_line_and_leaves_nothing_half_written(
    jobs: int, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    """The whole process group is interrupted, as a terminal does, while a teacher is trained."""
    out = tmp_path / "run"
    long = "pretrain.optimization={steps=100000, batch_size=4, validate_every=5, patience=99999}"
    going = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "realm",
            "run",
            str(small_recipe),
            "--data",
            str(data),
            "--out",
            str(out),
            "--jobs",
            str(jobs),
            "--set",
            "seeds=[0, 1, 2]",
            "--set",
            long,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    )
    wanted = [out / f"seed{seed}" / "teacher" / "metrics.jsonl" for seed in range(jobs)]
    try:
        while not all(path.exists() and path.stat().st_size for path in wanted):
            assert going.poll() is None, going.communicate()
            time.sleep(0.05)
        os.killpg(going.pid, signal.SIGINT)
        said, errors = going.communicate(timeout=120)
    finally:
        end_group(going)
    assert going.returncode == 130
    assert said == ""
    assert errors.splitlines()[-1].startswith("stopped: ")
    assert "Traceback" not in errors
    assert not list(out.rglob("*.part"))
    assert not (out / "seed2").exists()


def end_group(process: subprocess.Popen[str]) -> None:
    """End whatever a failed test left running."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


# Bad input ---------------------------------------------------------------------------------------


def refused(said: Said, *words: object) -> None:
    """Exit code 2 and one readable message on stderr, nothing on stdout."""
    assert said.code == 2, said
    assert "Traceback" not in said.err
    assert said.err.count("error:") == 1
    message = said.err[said.err.index("error:") :]
    for word in words:
        assert str(word) in message, f"{word!r} not in {message!r}"
    assert said.out == ""


def remove(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def attribute(name: str, key: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file[name].attrs.modify(key, value)


def no_attribute(name: str, key: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name].attrs[key]

    return change


def backward(file: h5py.File) -> None:
    times = np.arange(len(file[f"{LFP}/data"])) / 500.0
    times[1000] = times[990]
    del file[f"{LFP}/starting_time"]
    file[f"{LFP}/timestamps"] = times


def later(file: h5py.File) -> None:
    file[f"{HAND}/starting_time"].write_direct(np.array(5000.0))


BAD_RECORDINGS: dict[str, tuple[Callable[[h5py.File], None], list[str]]] = {
    "no LFP": (remove("processing/ecephys/LFP"), ["expected LFP", "found none", "Set lfp"]),
    "no behavior": (
        remove(HAND),
        ["'behavior/Position/hand'", "threshold_crossings", "Set behavior"],
    ),
    "NaN conversion": (
        attribute(f"{LFP}/data", "conversion", np.nan),
        ["expected a finite conversion", "nan", "set the conversion"],
    ),
    "zero rate": (
        attribute(f"{LFP}/starting_time", "rate", 0.0),
        ["expected a sampling rate above 0 Hz"],
    ),
    "no rate": (
        no_attribute(f"{LFP}/starting_time", "rate"),
        ["expected a sampling rate above 0 Hz", "got none"],
    ),
    "timestamps backward": (backward, ["timestamps that increase", "sample 1000"]),
    "no overlap": (later, ["overlap", "5000.0", "one clock"]),
}


@pytest.mark.parametrize("case", BAD_RECORDINGS)
def test_a_recording_that_cannot_be_used(
    case: str, command: Command, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    """The message names the file; the other recordings are prepared."""
    change, said = BAD_RECORDINGS[case]
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    path = folder / "simA_day1.nwb"
    with h5py.File(path, "r+") as file:
        change(file)
    answer = command("run", small_recipe, "--data", folder, "--out", tmp_path / "run")
    refused(answer, path, "expected", "1 of 2 recordings", *said)
    assert [p.name for p in (tmp_path / "run" / "prepared").iterdir()] == ["simA_day0.h5"]
    assert not (tmp_path / "run" / "seed0").exists()


def test_a_session_shorter_than_the_windows(
    command: Command, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    long = ("--set", "data.window_s=30.0")
    said = command("run", small_recipe, "--data", data, "--out", tmp_path / "run", *long)
    refused(said, data / "simA_day0.nwb", "expected at least", "got 70.0 s", "data.window_s")


def test_a_behavior_path_that_is_not_there(
    command: Command, data: Path, small_recipe: Path, tmp_path: Path
) -> None:
    said = command(
        "run", small_recipe, "--data", data, "--out", tmp_path, "--set", "data.behavior=paw"
    )
    refused(said, data / "simA_day0.nwb", "'paw'", "behavior/Position/hand", "Set behavior")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("distill.optimization.stepz=3", ["'distill.optimization.stepz'", "valid keys", "steps"]),
        ("signal.bins=3", ["'signal.bins'", "valid keys", "bin_ms"]),
        ("seeds=none", ["seeds", "got 'none'"]),
        ("seeds", ["--set seeds", "expected key=value"]),
    ],
)
def test_a_setting_that_does_not_exist(
    command: Command,
    data: Path,
    small_recipe: Path,
    tmp_path: Path,
    override: str,
    words: list[str],
) -> None:
    said = command("run", small_recipe, "--data", data, "--out", tmp_path, "--set", override)
    refused(said, *words)


def test_a_recipe_that_cannot_be_read(command: Command, data: Path, tmp_path: Path) -> None:
    refused(command("run", "nowhere", "--data", data), "nowhere: expected a recipe", "reach_sim")
    path = tmp_path / "broken.toml"
    path.write_text("name = 'a'\n[pretrain\n")
    refused(command("run", path, "--data", data), path, "expected a TOML recipe", "line 2")
    path.write_text("name = 'a'\nspeed = 3\n")
    refused(command("run", path, "--data", data), path, "'speed'", "valid keys", "pretrain")


def test_a_folder_without_recordings(command: Command, small_recipe: Path, tmp_path: Path) -> None:
    said = command("run", small_recipe, "--data", tmp_path / "none", "--out", tmp_path / "out")
    refused(said, tmp_path / "none", "expected recordings", "NWB", "name another folder")


def test_an_output_folder_that_cannot_be_written(
    command: Command, data: Path, small_recipe: Path, finished: Path, tmp_path: Path
) -> None:
    """Root may write everywhere, so the folder lies below a file."""
    (tmp_path / "file").write_text("in the way")
    out, model = tmp_path / "file" / "out", finished / "seed0" / "model"
    file = data / "simA_day0.nwb"
    for arguments in (
        ("run", small_recipe, "--data", data, "--out", out),
        ("decode", file, "--model", model, "--out", out / "a.csv"),
        ("calibrate", file, "--model", model, "--out", out),
        ("simulate", "--out", out, "--duration-s", 10, "--subjects", 1, "--days", 1),
        ("demo", "--out", out),
    ):
        refused(command(*arguments), out, "cannot write in the folder", "Choose another")


@pytest.mark.parametrize("damage", ["truncated", "foreign", "pickle"])
def test_a_checkpoint_that_cannot_be_used(
    damage: str, command: Command, data: Path, small_recipe: Path, finished: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    path = folder / "seed0" / "teacher" / "checkpoint.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        write_tensors(path, {"weights": np.zeros(3)})
    else:
        path.write_bytes(b"\x80\x04\x95 a pickle")
    said = command("run", small_recipe, "--data", data, "--out", folder)
    refused(said, path, "expected")


def test_a_run_of_another_recipe(
    command: Command, data: Path, small_recipe: Path, finished: Path
) -> None:
    said = command(
        "run", small_recipe, "--data", data, "--out", finished, "--set", "pretrain.task_weight=0.1"
    )
    refused(said, finished, "pretrain.task_weight is 0.1 and was 0.5", "choose another folder")


def test_a_model_that_is_damaged_or_absent(
    command: Command, data: Path, finished: Path, tmp_path: Path
) -> None:
    file, model = data / "simA_day0.nwb", tmp_path / "model"
    refused(command("decode", file, "--model", model), model, "expected the folder", "check")
    shutil.copytree(finished / "seed0" / "model", model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    refused(command("decode", file, "--model", model), weights, "expected", "copy the whole")
    weights.unlink()
    refused(command("decode", file, "--model", model), weights, "expected", "found none")


def test_a_recording_that_does_not_fit_the_model(
    command: Command, recordings: list[Path], finished: Path, tmp_path: Path
) -> None:
    model, out = finished / "seed0" / "model", ("--out", tmp_path / "a.csv")
    other = recordings[2]
    said = command("decode", other, "--model", model, *out)
    refused(said, "simA_day0, simA_day1", "'simB_day0'", "realm calibrate")
    said = command("decode", other, "--model", model, *out, "--session", "simA_day0")
    refused(said, other, "expected the 6 channels", "found 4", "calibrate")
    renamed = tmp_path / "renamed.nwb"
    shutil.copy(recordings[0], renamed)
    with h5py.File(renamed, "r+") as file:
        file["general/extracellular_ephys/electrodes/channel_name"][0] = "tetrode"
    said = command("decode", renamed, "--model", model, *out)
    refused(said, renamed, "ch00", "found 6: tetrode", "calibrate")
    assert not (tmp_path / "a.csv").exists()


def test_a_file_that_is_not_there_or_no_recording(
    command: Command, finished: Path, tmp_path: Path
) -> None:
    model = finished / "seed0" / "model"
    refused(command("decode", tmp_path / "a.nwb", "--model", model), tmp_path / "a.nwb", "expected")
    (tmp_path / "b.nwb").write_text("time,lfp\n")
    refused(command("decode", tmp_path / "b.nwb", "--model", model), tmp_path / "b.nwb", "expected")


def test_a_misspelt_option_or_command_is_refused(command: Command) -> None:
    for arguments in (("run", "reach_sim", "--dat", "x"), ("rum",), ("simulate", "--days", "0")):
        said = command(*arguments)
        assert said.code == 2
        assert "Traceback" not in said.err


def test_a_fault_of_the_program_is_not_a_failed_check(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("an invariant does not hold")

    monkeypatch.setattr(cli, "app", broken)
    said = command("inspect", "x")
    assert said.code == 70
    assert "an invariant does not hold" in said.err
    assert "fault of the program" in said.err


def test_debugging_shows_the_traceback(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALM_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["realm", "run", "nowhere", "--data", str(tmp_path)])
    with pytest.raises(ValueError, match="expected a recipe"):
        cli.main()
