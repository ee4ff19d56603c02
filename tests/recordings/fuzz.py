"""Damaged recordings of every format: what is said of them, and what they may cost.

    python tests/recordings/fuzz.py COUNT FOLDER [KIND ...]

Each of COUNT damaged copies is opened and read in this one process, whose memory is limited. Prints
what went wrong as JSON: one entry for each copy that ended in anything but a message with the name
of one of its files. `test_damaged_headers.py` runs it.
"""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from every_format import LFP_OF, WRITERS

from realm.recordings.open import find_recordings, open_recording

HEADER = 6000  # bytes at the beginning of a file in which it is damaged, mostly
MORE_MEMORY = 768 << 20  # beyond what the process takes with everything imported
NUMBERS = (b"0", b"-1", b"99999999", b"1e300", b"nan", b"", b"\xff\xfe", b"7,5", b"2147483648")
EXTREMES = (0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, 2**15, 255)

Damage = Callable[[bytearray, int, random.Random], None]


def flip(content: bytearray, at: int, draw: random.Random) -> None:
    content[at] ^= 1 << draw.randrange(8)


def overwrite(content: bytearray, at: int, draw: random.Random) -> None:
    content[at] = draw.choice((0, 255, 127, 128, 32, 48, 10, 45, draw.randrange(256)))


def extreme(content: bytearray, at: int, draw: random.Random) -> None:
    width = draw.choice((2, 4, 8))
    number = draw.choice(EXTREMES) & (256**width - 1)
    content[at : at + width] = number.to_bytes(width, draw.choice(("little", "big")))


def remove(content: bytearray, at: int, draw: random.Random) -> None:
    del content[at : at + draw.choice((1, 2, 8, 200))]


def insert(content: bytearray, at: int, draw: random.Random) -> None:
    content[at:at] = draw.randbytes(draw.choice((1, 2, 8, 200)))


def cut(content: bytearray, at: int, draw: random.Random) -> None:
    del content[at:]


def number(content: bytearray, at: int, draw: random.Random) -> None:
    """Another number where digits stand; the length of the file may change."""
    places = list(re.finditer(rb"[-+]?\d[\d.]*", bytes(content[:HEADER])))
    if places:
        place = draw.choice(places)
        new = draw.choice(NUMBERS)
        if draw.random() < 0.5:
            new = new[: len(place[0])].ljust(len(place[0]))
        content[place.start() : place.end()] = new


DAMAGES: tuple[Damage, ...] = (flip, overwrite, extreme, remove, insert, cut, number, number)


def damage(folder: Path, draw: random.Random) -> None:
    """Damage one to three places of one of the files."""
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.stat().st_size]
    file = draw.choice(files)
    content = bytearray(file.read_bytes())
    for _ in range(draw.choice((1, 1, 2, 3))):
        if content:
            end = len(content) if draw.random() < 0.1 else min(HEADER, len(content))
            draw.choice(DAMAGES)(content, draw.randrange(end), draw)
    file.write_bytes(content)


def wrong_with(path: Path, kind: str, names: set[str]) -> str:
    """What is wrong with how a damaged recording is refused; empty where it is read or refused."""
    try:
        with open_recording(path, LFP_OF.get(kind)) as recording:
            recording.read(0, min(recording.n_samples, 50_000))
            behaviors = recording.behavior_paths()
            for behavior in behaviors:
                _refusal(lambda behavior=behavior: recording.behavior(behavior), names)
    except Exception as error:
        return _judged(error, names)
    return ""


def _refusal(read: Callable[[], object], names: set[str]) -> None:
    try:
        read()
    except ValueError as error:
        said = _judged(error, names)
        if said:
            raise RuntimeError(said) from error


def _judged(error: BaseException, names: set[str]) -> str:
    known = isinstance(error, ValueError | OSError)
    named = any(name in str(error) for name in names)
    costly = isinstance(error.__cause__, MemoryError)
    if known and named and not costly:
        return ""
    return f"{type(error).__name__}: {str(error)[:300]}"


def main(count: int, folder: Path, kinds: list[str]) -> None:
    """Damage `count` copies, of every kind in turn."""
    warnings.simplefilter("ignore")
    clean = {kind: folder / "clean" / kind for kind in kinds}
    paths: dict[str, Path] = {}
    for kind, place in clean.items():
        place.mkdir(parents=True)
        paths[kind] = WRITERS[kind](place).relative_to(place)
        assert not wrong_with(place / paths[kind], kind, {"nothing"}), kind
    taken = int(re.findall(r"VmSize:\s+(\d+)", Path("/proc/self/status").read_text())[0]) << 10
    resource.setrlimit(resource.RLIMIT_AS, (taken + MORE_MEMORY, taken + MORE_MEMORY))
    found = []
    for trial in range(count):
        kind = kinds[trial % len(kinds)]
        place = folder / "damaged"
        shutil.copytree(clean[kind], place)
        damage(place, random.Random(f"{kind} {trial}"))
        (folder / "last").write_text(f"{kind} {trial}")
        names = {paths[kind].name, *(f.name for f in place.rglob("*.*") if f.is_file())}
        names.add(f"{place}/")  # the description may name a file that is not there
        said = wrong_with(place / paths[kind], kind, names)
        try:
            find_recordings(place)
        except Exception as error:
            said = said or _judged(error, {*names, place.name})
        if said:
            found.append([f"{kind} {trial}", said])
        shutil.rmtree(place)
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or list(WRITERS))
