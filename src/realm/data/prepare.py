"""Turn recordings into prepared sessions: one at a time, in processes, or on a cluster.

A file appears under its final name only when it is whole, and a session that is already prepared
from the same input with the same settings is left alone, so an interrupted preparation continues
where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from realm.data.config import DataConfig
from realm.data.prepared_file import write_prepared
from realm.data.sessions import FORMAT, description, open_prepared
from realm.files import make_folder, sha256_file, sha256_json
from realm.recordings.open import identify, is_stray, open_recording
from realm.recordings.recording import Recording
from realm.signal import SignalConfig
from realm.workers import Workers, cores

SMALL_BYTES = 64 << 20  # of input: seconds of work, about what starting the processes takes


class Outcome(NamedTuple):
    """What became of one recording: the prepared file, or why there is none."""

    source: Path
    prepared: Path | None
    error: str


def prepare_session(
    source: Path | str, out_dir: Path | str, signal: SignalConfig, data: DataConfig
) -> Path:
    """Prepare one recording; returns `<out_dir>/<session_id>.h5`.

    Raises:
        ValueError: the recording cannot be used; the message names it and says what to do.
        OSError: the folder cannot be written or the disk is full; an earlier file is kept.
    """
    settings = settings_of(signal, data)
    with open_recording(source, data.lfp) as recording:
        data = data.of_session(recording.session_id)
        target = Path(out_dir) / f"{recording.session_id}.h5"
        hashes = {
            "input_sha256": input_hash(recording, data.behavior),
            "config_sha256": sha256_json(settings),
        }
        if not is_prepared(target, hashes):
            write_prepared(recording, target, signal, data, {**hashes, "settings": settings})
    return target


def prepare_all(
    paths: Sequence[Path | str],
    out_dir: Path | str,
    signal: SignalConfig,
    data: DataConfig,
    workers: int | None = None,
    cluster: bool = False,
    show: bool = True,
) -> list[Path]:
    """Prepare many recordings, with a progress bar; returns the prepared files in the same order.

    Args:
        paths: of the recordings.
        out_dir: where the prepared files go; with `cluster`, a folder that all nodes share.
        signal, data: settings.
        workers: processes; 1 stays in this process, None means one per CPU, or 1 where starting
            processes would take longer than the work.
        cluster: use Ray: the cluster this machine belongs to, or else a local one.
        show: a progress bar.

    Raises:
        ValueError: two recordings have one session id, or some cannot be prepared. All others are
            done by then, and the message has one line for each that is not.
        OSError: the folder cannot be written.
    """
    sources = [Path(path).resolve() for path in paths]
    _check_distinct(sources)
    jobs = [(source, make_folder(out_dir).resolve(), signal, data) for source in sources]
    workers = min(len(jobs), workers or _useful_workers(sources))
    if cluster:
        outcomes = _on_cluster(jobs)
    elif workers > 1:
        outcomes = _in_processes(jobs, workers)
    else:
        outcomes = (_attempt(*job) for job in jobs)
    done = {outcome.source: outcome for outcome in _shown(outcomes, len(jobs), show)}
    failed = [done[source].error for source in sources if done[source].prepared is None]
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(jobs)} recordings could not be prepared, "
            f"the others are done:\n" + "\n".join(f"- {line}" for line in failed)
        )
    return [path for source in sources if (path := done[source].prepared) is not None]


def settings_of(signal: SignalConfig, data: DataConfig) -> dict[str, Any]:
    """Everything but the input that decides what a prepared file holds, as JSON values."""
    settings = {"format": FORMAT, "signal": signal.to_dict(), "data": data.model_dump()}
    content: dict[str, Any] = json.loads(json.dumps(settings))
    return content


def input_hash(recording: Recording, behavior: str | None = None) -> str:
    """SHA-256 of the recording's file; of the names and hashes of all files where it has several.

    The files are those of its samples and of `behavior`. A folder counts as every file in it except
    those that an operating system left there.
    """
    files = [
        inner
        for path in recording.files_with(behavior)
        for inner in (
            sorted(p for p in path.rglob("*") if p.is_file() and not is_stray(p))
            if path.is_dir()
            else [path]
        )
    ]
    if files == [recording.path]:
        return sha256_file(recording.path)
    return sha256_json([[file.name, sha256_file(file)] for file in files])


def is_prepared(target: Path, hashes: dict[str, str]) -> bool:
    """Whether `target` is a whole prepared file with these hashes."""
    if not target.exists():
        return False
    try:
        with open_prepared(target) as found:
            stored = description(found)
    except ValueError:
        return False
    return all(stored.get(name) == value for name, value in hashes.items())


def _useful_workers(sources: list[Path]) -> int:
    total = sum(source.stat().st_size for source in sources if source.exists())
    return cores() if total > SMALL_BYTES else 1


Job = tuple[Path, Path, SignalConfig, DataConfig]


def _attempt(source: Path, out_dir: Path, signal: SignalConfig, data: DataConfig) -> Outcome:
    """Prepare one recording; whatever goes wrong becomes text, so that the others go on."""
    try:
        return Outcome(source, prepare_session(source, out_dir, signal, data), "")
    except (ValueError, OSError) as error:
        text = str(error)
        return Outcome(source, None, text if str(source) in text else f"{source}: {text}")
    except Exception as error:
        return Outcome(source, None, f"{source}: unexpected {type(error).__name__}: {error}")


def _in_processes(jobs: list[Job], workers: int) -> Iterator[Outcome]:
    with Workers(workers) as pool:
        waiting = {pool.submit(_attempt, *job): job[0] for job in jobs}
        for future in as_completed(waiting):
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Outcome(waiting[future], None, f"{waiting[future]}: {_DIED}")


_DIED = (
    "a process was stopped from outside, for instance for want of memory, before this recording "
    "was done; run the command again, what is finished is kept, or use fewer workers"
)


def _on_cluster(jobs: list[Job]) -> Iterator[Outcome]:
    try:
        import ray  # slow to import, and only this needs it
    except ImportError as error:
        raise ValueError(
            f"cluster: expected ray to be installed, it is not ({error}); run "
            "pip install 'realm-lfp[cluster]', or leave out --cluster"
        ) from error
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False)
    try:
        attempt: Callable[..., Any] = ray.remote(_attempt).remote
        waiting = {attempt(*job): job[0] for job in jobs}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting))
            source = waiting.pop(ready)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayError as error:
                yield Outcome(source, None, f"{source}: {_DIED} ({error})")
    finally:
        if started:
            ray.shutdown()


def _shown(outcomes: Iterator[Outcome], total: int, show: bool) -> Iterator[Outcome]:
    """Pass outcomes on and show how many there were."""
    columns = (TextColumn("prepare"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    last = TextColumn("{task.fields[last]}")
    with Progress(*columns, last, console=Console(stderr=True), disable=not show) as bar:
        task = bar.add_task("prepare", total=total, last="")
        for outcome in outcomes:
            bar.update(task, advance=1, last=outcome.source.name)
            yield outcome


def _check_distinct(sources: list[Path]) -> None:
    """Raise a ValueError if two files would be prepared under one name."""
    seen: dict[str, Path] = {}
    for source in sources:
        try:
            session_id = identify(source)[0]
        except ValueError:
            continue  # its own attempt says what is wrong with it
        first = seen.setdefault(session_id, source)
        if first is not source:
            raise ValueError(
                f"{source}: expected a session id of its own, got {session_id!r} as in {first}; "
                "change session_id in one of the files or leave one out"
            )
