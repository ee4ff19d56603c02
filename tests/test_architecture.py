"""The import order of the package, what the signal chain needs, and how nothing is stored."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import realm

PACKAGE = Path(realm.__file__).parent

# A module imports from lines above its own, or from its own line.
LAYERS = [
    {
        "moved",
        "extensions",
        "files",
        "progress",
        "compiled_cache",
        "compiling",
        "locks",
        "volts",
        "versions",
        "systems",
    },
    {"workers"},
    {"signal"},
    {"streaming"},
    {"live"},
    {"certify"},
    {"recordings"},
    {"simulation"},
    {"data"},
    {"nn"},
    {"training"},
    {"evaluation"},
    {"methods"},
    {"recipe"},
    {"inspection"},
    {"datasets"},
    {"stages"},
    {"decoder"},
    {"report"},
    {"runs"},
    {"benchmark"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}

# Loaded on first use only, so that `import realm` needs nothing.
ALLOWED = {
    ("__init__.py", "realm.decoder.decoder"),
    ("__init__.py", "realm.moved"),
    ("__init__.py", "realm.versions"),
}
# Types, never at run time: models know what windows look like, not where they come from.
ALLOWED_AS_TYPES = {"realm.data.windows"}


class Import(NamedTuple):
    module: str
    line: int
    only_types: bool


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(path: Path) -> list[Import]:
    """Everything a module imports, also inside functions, "a.b" for `from a import b`."""
    tree = ast.parse(path.read_text())
    typed = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    return [
        Import(name, node.lineno, id(node) in typed)
        for node in ast.walk(tree)
        for name in _names(node, path)
    ]


def _names(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{path}:{node.lineno}: expected absolute imports"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            part = PACKAGE.parent / Path(*inner.split("."))
            yield inner if part.is_dir() or part.with_suffix(".py").exists() else str(node.module)


def part(module: str) -> str | None:
    """The part of this package that a module belongs to; None for the package itself."""
    names = module.split(".")
    return names[1] if len(names) > 1 else None


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_only_upward(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for found in imports(path):
        if found.module.split(".")[0] != "realm" or (path.name, found.module) in ALLOWED:
            continue
        other = part(found.module)
        if other is None:  # the version
            continue
        if own == "nn" and found.only_types and found.module in ALLOWED_AS_TYPES:
            continue
        assert own in LEVEL, f"{own}: say in LAYERS where it belongs"
        assert other in LEVEL, f"{other}: say in LAYERS where it belongs"
        assert LEVEL[other] <= LEVEL[own], (
            f"{path}:{found.line}: {own} must not import {found.module}"
        )
        if own == "nn":
            assert other != "data", f"{path}:{found.line}: windows are for typing only"


def graph() -> dict[str, set[str]]:
    """Modules by name, and the modules that each imports, also inside functions; not types."""
    named = {_module(path): path for path in modules()}
    return {
        name: {i.module for i in imports(path) if not i.only_types and i.module in named} - {name}
        for name, path in named.items()
    }


def _module(path: Path) -> str:
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules of which each reaches each other (strongly connected, after Tarjan)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(edges[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            at = stack.index(name)
            group = set(stack[at:])
            del stack[at:]
            if len(group) > 1:
                found.append(group)

    for name in sorted(edges):
        if name not in order:
            visit(name)
    return found


def test_no_two_modules_import_each_other_on_any_way() -> None:
    assert circles(graph()) == []


def test_a_circle_is_found_over_a_third_module() -> None:
    edges = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}
    assert circles(edges) == [{"a", "b", "c"}]
    assert "realm.signal.chain" in graph()["realm.signal"]


def test_the_check_sees_imports_inside_functions_and_for_types(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from realm.data.windows import Windows\n"
        "def f():\n    from realm import cli\n    import realm.runs.run\n"
    )
    found = {(i.module, i.only_types) for i in imports(path)}
    assert {("realm.data.windows", True), ("realm.cli", False), ("realm.runs.run", False)} <= found


@pytest.mark.parametrize("module", ["realm", "realm.signal", "realm.streaming"])
def test_what_runs_on_a_rig_loads_nothing_of_the_training(module: str) -> None:
    heavy = ("torch", "torch_brain", "pydantic", "ray", "pynwb", "h5py", "sklearn", "matplotlib")
    code = f"import sys, {module}\nprint([name for name in {heavy} if name in sys.modules])\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_signal_chain_works_where_torch_cannot_be_imported() -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'torch_brain', 'pydantic', 'ray'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import numpy as np\n"
        "from realm.signal import SignalChain, SignalConfig\n"
        "chain = SignalChain(SignalConfig(), 1000.0, ['a', 'b'])\n"
        "x = np.random.default_rng(0).normal(size=(2000, 2)) * 1e-4\n"
        "chain = chain.fit_guard(x)\n"
        "chain = chain.fit_normalization(chain.forward(x))\n"
        "assert chain.forward(x).values.shape[0] == 200\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)


def test_signal_imports_only_numpy_and_scipy_and_numba_where_it_compiles() -> None:
    standard = set(sys.stdlib_module_names) | {"__future__"}
    for path in sorted((PACKAGE / "signal").rglob("*.py")):
        used = {found.module.split(".")[0] for found in imports(path)}
        compiles = {"numba"} if path.parent.name == "compiled" else set()
        assert used - standard <= {"numpy", "scipy", "realm"} | compiles, path


def test_streaming_imports_only_what_the_base_install_has() -> None:
    standard = set(sys.stdlib_module_names) | {"__future__"}
    for path in sorted((PACKAGE / "streaming").rglob("*.py")):
        used = {found.module.split(".")[0] for found in imports(path)}
        assert used - standard <= {"numpy", "numba", "safetensors", "realm"}, path
        parts = {part(i.module) for i in imports(path) if i.module.startswith("realm")}
        assert parts - {None} <= {
            "files",
            "compiling",
            "signal",
            "streaming",
            "extensions",
            "systems",
        }, path


def test_a_training_needs_no_cluster_engine() -> None:
    found = {
        (imported.module.split(".")[0], path.name)
        for path in modules()
        for imported in imports(path)
    }
    heavy = ("torch_brain", "ray", "pandas", "mlflow")
    assert {pair for pair in found if pair[0] in heavy} == {("ray", "prepare.py")}


def test_no_source_file_is_ignored_by_git() -> None:
    """What git ignores is in no wheel, and the formatter passes it by."""
    found = subprocess.run(
        ["git", "-C", str(PACKAGE), "check-ignore", "--no-index", *map(str, modules())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""


def test_no_module_is_a_drawer() -> None:
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    named = {path.stem for path in modules()} | {path.parent.name for path in modules()}
    assert not named & drawers


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_pickled(path: Path) -> None:
    forbidden = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    assert not {found.module.split(".")[0] for found in imports(path)} & forbidden
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "torch.load" and path.name == "published.py":  # a foreign file, asked for
                assert "weights_only=True" in map(ast.unparse, node.keywords), path
                continue
            assert called not in ("torch.load", "torch.save", "eval", "exec"), f"{path}: {called}"
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}, path
