"""Trials of `realm tune`: their settings, drawn from what a method declares, and their results.

Every method gets the same number of trials. The first has the settings of the recipe. The others
are drawn from the method's space, each from a random generator of its own, so that asking for more
trials keeps those that are done. Results are a table for machines, a page for people, and settings
for a recipe.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from realm.files import write_text
from realm.methods.method import Space
from realm.methods.registry import find, names
from realm.recipe import Recipe, parse_recipe, with_overrides
from realm.report.markdown import markdown
from realm.report.section import Section
from realm.report.tables import ResultTable, number

DRAWS = 1000  # tries to draw settings that no earlier trial had

Settings = dict[str, Any]  # key of the recipe -> value


class TrialResult(NamedTuple):
    """One trial: its settings by key of the recipe, mean R² of the sessions on validation time.

    The R² is NaN where it is undefined. `cpu_s` is the CPU time of the training; for a student
    without that of its teacher, which all trials share.
    """

    method: str
    trial: int
    settings: Settings
    validation_r2: float
    cpu_s: float


def draw_trials(recipe: Recipe, method: str, trials: int, seed: int) -> list[Settings]:
    """The settings of every trial of a method, all different; fewer where the space is small.

    Raises:
        ValueError: the method has no settings to tune, or `trials` is below 1.
    """
    found = find(method)
    if found is None or not found.space or trials < 1:
        raise ValueError(
            f"expected 1 trial or more of one of {', '.join(names())}, got {trials} of {method!r}; "
            "correct --method or --trials"
        )
    space = {key: found.space[key] for key in found.space if _has(recipe, key)}
    drawn = [{key: setting(recipe, key) for key in space}]
    for trial in range(1, trials):
        generator = random.Random(f"{seed}/{method}/{trial}")
        fresh = (_draw(space, generator) for _ in range(DRAWS))
        new = next((settings for settings in fresh if settings not in drawn), None)
        if new is not None:
            drawn.append(new)
    return drawn


def setting(recipe: Recipe, key: str) -> Any:
    """The value of a key such as "distill.encoder.layers" in a recipe."""
    value: Any = recipe.resolved()
    for part in key.split("."):
        value = value[part]
    return value


def _has(recipe: Recipe, key: str) -> bool:
    """False for a setting that another kind of encoder than the recipe's would have."""
    try:
        setting(recipe, key)
    except KeyError:
        return False
    return True


def with_settings(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe with these settings.

    Raises:
        ValueError: they do not fit it; the message names the key.
    """
    said = {key: value for key, value in settings.items() if value is not None}
    content = recipe.resolved()
    for key in settings.keys() - said.keys():
        assert setting(recipe, key) is None, f"{key} cannot be unset"
    return parse_recipe(with_overrides(content, override_lines(said)), recipe.name)


def override_lines(settings: Settings) -> list[str]:
    """The settings as `key=value`, as `--set` takes them; without those that are not set."""
    return [f"{key}={_toml(value)}" for key, value in settings.items() if value is not None]


def _draw(space: Space, generator: random.Random) -> Settings:
    return {key: dimension.draw(generator) for key, dimension in space.items()}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def best(results: Sequence[TrialResult]) -> TrialResult:
    """The trial with the highest R²; the earliest where none is higher."""
    return max(results, key=lambda r: -math.inf if math.isnan(r.validation_r2) else r.validation_r2)


def by_method(results: Sequence[TrialResult]) -> dict[str, list[TrialResult]]:
    """The trials of every method, methods in the order they come in."""
    methods = dict.fromkeys(result.method for result in results)
    return {name: [result for result in results if result.method == name] for name in methods}


def summary_table(results: Sequence[TrialResult]) -> ResultTable:
    """Per method: trials, R² of the recipe's settings and of the best trial, CPU seconds of all."""
    lines = []
    for method, trials in by_method(results).items():
        chosen = best(trials)
        spent = number(sum(trial.cpu_s for trial in trials), digits=1)
        first, most = number(trials[0].validation_r2), number(chosen.validation_r2)
        lines.append((method, str(len(trials)), first, most, str(chosen.trial), spent))
    columns = ("Method", "Trials", "R², recipe", "R², best", "Best trial", "All trials, CPU s")
    return ResultTable("Tuning on validation time", columns, tuple(lines))


def best_settings(results: Sequence[TrialResult]) -> str:
    """For each method the best trial's settings as `--set` options, as a shell takes them."""
    lines = []
    for method, trials in by_method(results).items():
        chosen, spent = best(trials), sum(trial.cpu_s for trial in trials)
        lines.append(
            f"# {method}: trial {chosen.trial}, R² on validation {number(chosen.validation_r2)}; "
            f"{spent:.1f} CPU s in {len(trials)} trials"
        )
        own = ["# the settings of the recipe"] if chosen.trial == 0 else []
        lines += own or [f"--set '{line}'" for line in override_lines(chosen.settings)]
    return "\n".join(lines) + "\n"


def write_tuning(out: Path, results: Sequence[TrialResult]) -> None:
    """Write `tuning.csv` and `tuning.md`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TrialResult._fields)
    for row in results:
        r2 = "" if math.isnan(row.validation_r2) else f"{row.validation_r2:.6g}"
        settings = json.dumps(row.settings)
        writer.writerow([row.method, row.trial, settings, r2, f"{row.cpu_s:.3f}"])
    write_text(out / "tuning.csv", text.getvalue())
    write_text(out / "tuning.md", _page(out, results))


def read_tuning(path: Path) -> list[TrialResult]:
    """Read `tuning.csv`; nothing where there is none.

    Raises:
        ValueError: it is no such table.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    try:
        return [
            TrialResult(
                line["method"],
                int(line["trial"]),
                json.loads(line["settings"]),
                float(line["validation_r2"] or "nan"),
                float(line["cpu_s"]),
            )
            for line in lines
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the columns {', '.join(TrialResult._fields)} and numbers in them, "
            f"but {error}; delete the file, finished trials are kept in their folders"
        ) from error


def _page(out: Path, results: Sequence[TrialResult]) -> str:
    text = (
        "R² is the mean over sessions on validation time; test time is not used. Trial 0 is the "
        "recipe as it is. The CPU seconds of the student are without those of its teacher, which "
        "all its trials share."
    )
    lines = [
        (
            r.method,
            str(r.trial),
            ", ".join(override_lines(r.settings)),
            number(r.validation_r2),
            number(r.cpu_s, digits=1),
        )
        for r in results
    ]
    columns = ("Method", "Trial", "Settings", "R²", "CPU s")
    trials = ResultTable("All trials", columns, tuple(lines), text_columns=3)
    sections = [
        Section("Summary", (text,), tables=(summary_table(results),)),
        Section("Best settings", (f"```text\n{best_settings(results)}```",)),
        Section("Trials", tables=(trials,)),
    ]
    return markdown("Tuning", sections, out)
