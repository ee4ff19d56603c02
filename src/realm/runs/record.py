"""What a run notes in `run.json`: enough to make it again and to know that it is the same."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import realm
from realm.data.sessions import PreparedSession
from realm.files import sha256_file
from realm.recipe import Recipe
from realm.report.learning_curves import read_metrics


def describe(
    recipe: Recipe, prepared: Sequence[Path], out: Path, stages: dict[str, dict[str, float]]
) -> dict[str, Any]:
    """The content of `run.json`: settings, versions, commit, hashes, teacher's errors and times."""
    packages = ("numpy", "scipy", "torch", "h5py", "scikit-learn", "accelerate")
    sessions = [PreparedSession.load(path) for path in prepared]
    return {
        "recipe": recipe.resolved(),
        "versions": {"realm-lfp": realm.__version__, "python": platform.python_version()}
        | {package: version(package) for package in packages},
        "commit": commit(),
        "machine": {"system": platform.platform(), "cores": os.cpu_count()},
        "data": {
            session.session_id: {
                "recording_sha256": session.provenance["input_sha256"],
                "prepared_sha256": sha256_file(path),
            }
            for session, path in zip(sessions, prepared, strict=True)
        },
        "reconstruction": {
            f"seed{seed}": _reconstruction(out / f"seed{seed}") for seed in recipe.seeds
        },
        "stages": stages,
    }


def _reconstruction(folder: Path) -> dict[str, float]:
    """The teacher's best validation: its error on hidden entries and the errors it must beat."""
    records = read_metrics(folder / "teacher" / "metrics.jsonl")
    best = max((r for r in records if r["split"] == "validation"), key=lambda r: r["score"])
    return {name: best[name] for name in ("reconstruction", "channel_mean", "interpolation")}


def commit() -> str | None:
    """The commit of the source tree this package runs from, "+" if it was changed; else None."""
    folder = Path(realm.__file__).parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", str(folder))
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
