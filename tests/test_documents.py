"""The documents are true: their code runs, their commands parse, their links and files exist."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import io
import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
from test_architecture import LAYERS, PACKAGE

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
RECIPES = ROOT / "docs" / "guide" / "recipes.md"
QUICKSTART = ROOT / "docs" / "guide" / "quickstart.md"
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
ABSOLUTE = re.compile(r"(?:^|[\s\"'`(=])(?:~|/\w)[\w./-]*")


class Block(NamedTuple):
    """A fenced block: its language, its text and the line its text starts on."""

    language: str
    text: str
    line: int


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        found.append(Block(match[1], match[2], line))
    return found


def prose(document: Path) -> str:
    """The text of a document without its fenced blocks."""
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


def holding(language: str) -> list[Path]:
    return [d for d in DOCUMENTS if any(block.language == language for block in blocks(d))]


@pytest.mark.slow
@pytest.mark.parametrize("document", [d for d in holding("python") if d not in GUIDE], ids=named)
def test_python_blocks_run_and_print_what_they_say(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__document__"}
    printed = ""
    for block in blocks(document):
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.text  # tracebacks name the document's lines
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(code, str(document), "exec"), namespace)
            printed = stream.getvalue()
        elif block.language == "output":
            assert lines(printed) == lines(block.text), f"{document}:{block.line}"


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the guide speaks of it: recordings, a new day, a recipe that trains at once.

    The run is finished, so that pages which begin with it find it there.
    """
    from tiny_recipe import SMALL_RECIPE

    from realm.recipe import load_recipe
    from realm.runs.run import run
    from realm.simulation.write import write_simulated

    folder = tmp_path_factory.mktemp("workplace")
    days = write_simulated(folder / "recordings", 1, 3, duration_s=66.0, channels=6, seed=0)
    (folder / "new").mkdir()
    days[2].rename(folder / "new" / days[2].name)
    recipe = folder / "my_task.toml"
    tiny = SMALL_RECIPE.replace('"small"', '"my_task"')
    recipe.write_text(tiny.replace("[baselines]", '[baselines]\nmethods = ["ridge"]'))
    assert run(load_recipe(recipe), folder / "recordings", folder / "runs" / "my_task")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("document", GUIDE, ids=named)
def test_the_guide_does_what_it_says(
    document: Path, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of a page in its order: commands, Python, and what it prints."""
    place = tmp_path / "place"
    shutil.copytree(workplace, place)
    monkeypatch.chdir(place)
    namespace: dict[str, Any] = {"__name__": "__document__"}
    printed = ""
    for block in blocks(document):
        where = f"{document}:{block.line}"
        if block.language == "console":
            for command in commands_in(block):
                call(command, where)
        elif block.language == "python":
            code = "\n" * (block.line - 1) + block.text
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compile(code, str(document), "exec"), namespace)
            printed = stream.getvalue()
        elif block.language == "output":
            assert lines(printed) == lines(block.text), where
        elif block.language == "toml":
            title = re.match(r"# (\w+\.toml)\n", block.text)
            if title and not Path(title[1]).exists():  # as a reader would save it
                Path(title[1]).write_text(block.text)
        else:
            assert block.language == "text", f"{where}: a block that is not executed"


def call(command: str, where: str) -> None:
    """Run a command of this package as it is written."""
    from typer.testing import CliRunner

    from realm.cli import app

    program, *arguments = shlex.split(command)
    assert program == "realm", where
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"{where}: {command}: {done.exception!r}\n{done.output}"


def commands_in(block: Block) -> list[str]:
    return [
        line.removeprefix("$ ").split("  #")[0].rstrip()
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def commands(document: Path) -> list[str]:
    found = (commands_in(block) for block in blocks(document) if block.language == "console")
    return [command for some in found for command in some]


ALL_COMMANDS = [(d, command) for d in DOCUMENTS for command in commands(d)]


@pytest.mark.parametrize(
    ("document", "command"), ALL_COMMANDS, ids=[command for _, command in ALL_COMMANDS]
)
def test_commands_exist_with_their_options(
    document: Path, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert re.search(rf"^{re.escape(arguments[0])}:", makefile, re.MULTILINE)
        return
    assert program == "realm", f"{named(document)}: expected make or realm, got {command!r}"
    shown = own_recipes(document) or own_recipes(QUICKSTART)
    for name, text in shown.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    check_realm(arguments)


def check_realm(arguments: list[str]) -> None:
    """Parse a command with the real command line; its recipe and overrides must be valid."""
    import typer

    from realm.cli import app
    from realm.recipe import load_recipe

    group: Any = typer.main.get_command(app)
    name, *rest = arguments
    assert name in group.commands, f"expected one of {', '.join(group.commands)}, got {name!r}"
    parameters = group.commands[name].make_context(name, rest).params
    if "recipe" in parameters and "overrides" in parameters:
        load_recipe(parameters["recipe"], parameters["overrides"] or [])


def own_recipes(document: Path) -> dict[str, str]:
    """Recipes a document shows: TOML blocks whose first line is a comment with a file name."""
    found = {}
    for block in blocks(document):
        first = block.text.split("\n", 1)[0]
        if block.language == "toml" and re.fullmatch(r"# [\w-]+\.toml", first):
            found[first.removeprefix("# ")] = block.text
    return found


@pytest.mark.parametrize("document", holding("toml"), ids=named)
def test_recipes_are_valid(document: Path) -> None:
    from realm.recipe import parse_recipe

    assert own_recipes(document)
    for name, text in own_recipes(document).items():
        assert parse_recipe(tomllib.loads(text), name).name == Path(name).stem


def anchors(document: Path) -> set[str]:
    """The anchors that headings get, as on the usual hosts."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere_inside_the_repository(document: Path) -> None:
    for link in LINK.findall(prose(document)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"no heading for {link}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_no_path_outside_the_repository(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not ABSOLUTE.findall(text)
    outside = [part for part in re.findall(r"[\w./-]*\.\./[\w./-]*", text) if "/" in part]
    for part in outside:
        assert (document.parent / part).resolve().is_relative_to(ROOT), f"{part} leads outside"


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_files_named_in_code_spans_exist(document: Path) -> None:
    for span in re.findall(r"`([^`\n]+)`", prose(document)):
        if re.fullmatch(r"(?:src|tests|docs)/[\w./-]+", span):
            assert (ROOT / span).exists(), f"{named(document)} names {span}"


def section(document: Path, heading: str) -> str:
    """What stands below a heading of the second level."""
    text = document.read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def file_map() -> list[str]:
    """Every file of the package with the first sentence of its docstring, folder by folder."""
    lines = []
    for folder in sorted({path.parent for path in PACKAGE.rglob("*.py")}):
        modules = sorted(folder.glob("*.py"), key=lambda path: (path.stem != "__init__", path))
        if lines:
            lines.append("")
        lines.append(f"src/realm/{folder.relative_to(PACKAGE)}/".replace("/./", "/"))
        lines += [f"  {path.name:24} {first_sentence(path)}".rstrip() for path in modules]
    return lines


def first_sentence(module: Path) -> str:
    """The first sentence of a docstring, on one line."""
    text = " ".join((ast.get_docstring(ast.parse(module.read_text())) or "").split())
    return re.split(r"\. (?=[A-Z`])", text)[0].removesuffix(".")


def test_the_file_map_is_the_package() -> None:
    """To mend it, copy the lines with + into the map and take out those with -."""
    shown = section(ARCHITECTURE, "Every file").split("```text\n")[1].split("\n```")[0]
    changes = difflib.unified_diff(shown.splitlines(), file_map(), "map", "tree", n=0, lineterm="")
    assert not (said := "\n".join(changes)), f"docs/architecture.md, Every file:\n{said}"


def test_the_table_of_modules_has_the_order_of_the_layers() -> None:
    rows = re.findall(r"^\| (`realm\..*?) \|", section(ARCHITECTURE, "Modules"), re.MULTILINE)
    named = [re.findall(r"`realm\.(\w+)`", row) for row in rows]
    assert [sorted(names) for names in named] == [
        sorted(layer - {"__main__"}) for layer in LAYERS if layer != {"__main__"}
    ]


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert len(re.findall(r"!\[", text)) == 1
    code = next(block.text for block in blocks(ROOT / "README.md") if block.language == "python")
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 10


def test_the_change_table_names_groups_and_files_that_exist() -> None:
    from realm.extensions import GROUPS

    text = section(ROOT / "README.md", "Change one thing")
    table = [row for row in text.splitlines() if row.startswith("| a")]
    groups = {name for row in table for name in re.findall(r"`realm\.(\w+)`", row)}
    assert groups == set(GROUPS)
    for row in table:
        (path,) = re.findall(r"`(src/[\w./]+)`", row)
        assert (ROOT / path).is_file(), path


def recipe_keys(model: Any, prefix: str = "", made: Any = None) -> dict[str, Any]:
    """Every key of a recipe with its default; "required" where there is none."""
    from realm.nn.encoders import EncoderSettings, settings_class
    from realm.streaming.encoders import MAMBA2

    found: dict[str, Any] = {}
    if dataclasses.is_dataclass(model):
        values = dataclasses.asdict(model())  # type: ignore[operator, arg-type]
        return {f"{prefix}{name}": value for name, value in values.items()}
    for name, field in model.model_fields.items():
        default = getattr(made, name, field.get_default(call_default_factory=True))
        kinds = (field.annotation, *get_args(field.annotation))
        inner = [k for k in kinds if dataclasses.is_dataclass(k) or hasattr(k, "model_fields")]
        if inner and inner[0] is EncoderSettings:
            found[f"{prefix}{name}.kind"] = MAMBA2
            found |= recipe_keys(settings_class({}), f"{prefix}{name}.", default)
        elif inner:
            found |= recipe_keys(inner[0], f"{prefix}{name}.", default)
        else:
            found[prefix + name] = "required" if field.is_required() else default
    return found


def documented_keys() -> dict[str, str]:
    """The keys of the page of recipes with the cell of their default."""
    found: dict[str, str] = {}
    sections = [""]
    for line in RECIPES.read_text().splitlines():
        if line.startswith("## "):
            sections = [f"{name}." for name in re.findall(r"`\[([\w.]+)\]`", line)] or [""]
        elif line.startswith("| `"):
            key, kind, default, meaning = (cell.strip() for cell in line.strip("| ").split(" | "))
            assert kind, line
            assert meaning.endswith("."), line
            for name in sections:
                full = f"{name}{key.strip('`')}"
                assert full not in found, f"{full} is there twice"
                found[full] = default
    return found


def plain_default(value: Any) -> str:
    """A default as the page of recipes writes it."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(plain_default, value))}]"
    if isinstance(value, float | int):
        return "2/3" if value == 2 / 3 else f"{value:g}"
    return value if value in ("required",) else f'"{value}"'


def test_every_key_of_a_recipe_is_documented_with_its_default() -> None:
    from realm.recipe import Recipe

    keys, shown = recipe_keys(Recipe), documented_keys()
    assert sorted(keys.keys() - shown.keys()) == [], "add them to docs/guide/recipes.md"
    assert sorted(shown.keys() - keys.keys()) == [], "take them out of docs/guide/recipes.md"
    for key, value in keys.items():
        usual, *others = shown[key].split("; ")
        wanted = usual
        for other in others:
            names, default = other.split(": ")
            if set(names.split(", ")) & set(key.split(".")):
                wanted = default
        assert wanted == plain_default(value), key


def test_contributing_fits_a_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) < 45


@pytest.mark.parametrize(
    ("name", "block"), [("docs/results.md", "results"), ("docs/experiments.md", "runs")]
)
def test_the_measured_numbers_have_one_place(name: str, block: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    begin, end = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
    assert text.count(begin) == text.count(end) == 1
    assert text.index(begin) < text.index(end)


def test_the_changelog_knows_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()
