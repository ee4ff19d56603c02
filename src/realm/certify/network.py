"""Sockets: of a new process that loads and decodes, of this one while it does, of their children.

Seen in two ways: Python's audit events, which show every use of its `socket` module and every start
of a process, and the lists that Linux keeps, which show sockets that a library opens itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from realm.certify.check import Finding, Trial, at_most, not_measured
from realm.certify.environment import NOT_HERE, PROC

WATCHED_S = 3.0  # of signal that is decoded while sockets are watched
EVERY = 20  # bins between two readings of the open files
TIMEOUT_S = 300.0
TABLES = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6")
LISTENING = "0A"  # the state in /proc/net/tcp
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system")
CATCHES = "a decoder that sends data, fetches something, or can be reached"


def socket_inodes(proc: Path = PROC) -> set[str] | None:
    """Sockets that a process has open."""
    try:
        names = os.listdir(proc / "fd")
    except OSError:
        return None
    found = set()
    for name in names:
        try:
            target = os.readlink(proc / "fd" / name)
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[len("socket:[") : -1])
    return found


def addresses(proc: Path = PROC) -> dict[str, tuple[str, bool]] | None:
    """TCP, UDP and raw sockets of the network namespace: address, and whether it listens."""
    found, read = {}, 0
    for table in TABLES:
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        read += 1
        for columns in map(str.split, lines):
            listens = columns[3] == LISTENING or not table.startswith("tcp")
            text = f"{table} {_address(columns[1])} to {_address(columns[2])}"
            found[columns[9]] = (text, listens)
    return found if read else None


def _address(text: str) -> str:
    host, port = text.split(":")
    words = bytes.fromhex(host)
    ordered = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    return f"{ip_address(ordered)}:{int(port, 16)}"


def children() -> list[Path]:
    """The folders in /proc of all processes that this one started, and that these started."""
    parents: dict[int, list[int]] = {}
    for path in PROC.parent.glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        parents.setdefault(parent, []).append(int(path.parent.name))
    found, waiting = [], [os.getpid()]
    while waiting:
        born = parents.get(waiting.pop(), [])
        found += [PROC.parent / str(each) for each in born]
        waiting += born
    return found


_watching: list[SocketWatch] = []
_hooked: list[bool] = []


class SocketWatch:
    """Records the use of sockets, and the start of processes, inside a `with` block.

    Attributes:
        events, starts: audit events, such as "socket.connect" and "os.fork".
        opened: sockets that were not there before, each with its address; None where unknown.
        listening: those of them that anyone could reach.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.starts: list[str] = []
        self.opened: dict[str, str] | None = {}
        self.listening: set[str] | None = set()
        self._before: set[str] = set()

    def __enter__(self) -> Self:
        if not _hooked:  # a hook cannot be removed, so there is only one
            sys.addaudithook(_hook)
            _hooked.append(True)
        self._before = socket_inodes() or set()
        for child in children():
            self._before |= socket_inodes(child) or set()
        _watching.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        self.look()
        _watching.remove(self)

    def look(self) -> None:
        """Read which sockets are open now, here and in children."""
        ours, told = socket_inodes(), addresses()
        if ours is None or self.opened is None:
            self.opened = self.listening = None
            return
        for child in children():
            ours |= socket_inodes(child) or set()
        for inode in ours - self._before:
            text, listens = (told or {}).get(inode, ("of another kind", False))
            self.opened[inode] = text
            if listens and self.listening is not None:
                self.listening.add(inode)
        if told is None:
            self.listening = None


def _hook(event: str, _: Any) -> None:
    if _watching and (event.startswith("socket.") or event in STARTS):
        for watch in _watching:
            (watch.events if event.startswith("socket.") else watch.starts).append(event)


def check_sockets(trial: Trial) -> list[Finding]:
    """Load, decode bin by bin, save and restore the state, and watch for sockets."""
    x = trial.piece(trial.rng("sockets"), WATCHED_S)
    with SocketWatch() as watch:
        decoder = trial.make("float32", False)
        state = decoder.initial_state()
        per_bin = max(1, round(trial.rate_hz * decoder.bin_ms / 1000))
        for number, start in enumerate(range(0, len(x), per_bin)):
            _, state = decoder.step(x[start : start + per_bin], state)
            if number % EVERY == 0:
                watch.look()
        decoder.state_from_bytes(decoder.state_to_bytes(state))
    return [*judged(watch), _from_the_start(trial)]


def judged(watch: SocketWatch) -> list[Finding]:
    """The checks of what was recorded."""
    seen = f": {', '.join(sorted(set(watch.events)))}" if watch.events else ""
    started = f": {', '.join(sorted(set(watch.starts)))}" if watch.starts else ""
    findings: list[Finding] = [
        at_most(
            "uses of sockets by Python",
            len(watch.events),
            "events",
            0,
            f"audit events{seen}",
            CATCHES,
        ),
        at_most(
            "processes started while decoding",
            len(watch.starts),
            "events",
            0,
            f"audit events{started}",
            "what a child process could do unseen",
        ),
    ]
    for name, found in (("opened", watch.opened), ("listening", watch.listening)):
        if found is None:
            findings.append(not_measured(f"sockets {name}", "sockets", 0, NOT_HERE, CATCHES))
            continue
        told = "; ".join(sorted(set((watch.opened or {}).values())))
        text = "of this process and its children while it decoded: TCP, UDP and all others"
        text += f": {told}" if found else ""
        findings.append(at_most(f"sockets {name}", len(found), "sockets", 0, text, CATCHES))
    return findings


NEW_PROCESS = """
import sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
import json
import numpy as np
from realm.streaming import StreamingDecoder
decoder = StreamingDecoder.load(sys.argv[1])
n = round(decoder.sampling_rate_hz)
samples = np.random.default_rng(0).normal(size=(n, len(decoder.channel_names))) * 1e-5
decoder.step(samples, decoder.initial_state())
used = sorted(set(events))
from realm.certify.network import addresses, children, socket_inodes
from realm.certify.environment import PROC
told = addresses() or {}
mine = [socket_inodes(each) or set() for each in (PROC, *children())]
print(json.dumps([used, sorted(told[i][0] for i in set().union(*mine) if i in told)]))
"""


def _from_the_start(trial: Trial) -> Finding:
    """What a new process uses, from before its first import to after its first outputs."""
    name, catches = "sockets of a new process, from its start on", f"{CATCHES}, also on import"
    try:
        done = subprocess.run(
            [sys.executable, "-c", NEW_PROCESS, str(trial.folder)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        events, sockets = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return not_measured(name, "uses", 0, lines[-1] if lines else "it ended early", catches)
    seen = ", ".join([*events, *sockets]) or "none"
    text = "a new process loads libraries and bundle and decodes a second; TCP, UDP, and by events"
    return at_most(name, len(events) + len(sockets), "uses", 0, f"{text}: {seen}", catches)
