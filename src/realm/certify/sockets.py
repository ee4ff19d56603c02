"""Decoding talks to nobody: no socket is opened and none listens.

Two witnesses: Python's audit events, which see every use of its `socket` module, and the list of
open files that Linux keeps, which sees sockets that a library opens by itself.
"""

from __future__ import annotations

import sys
from typing import Any, Self

from realm.certify.check import Finding, at_most, not_measured
from realm.certify.process import NOT_HERE, listening_inodes, socket_inodes
from realm.certify.trial import Trial

STRETCH_S = 3.0
EVERY = 20  # bins between two looks at the open files

_watching: list[SocketWatch] = []
_hooked: list[bool] = []


class SocketWatch:
    """Notes sockets while it is entered.

    Attributes:
        events: audit events, such as "socket.connect".
        opened, listening: numbers of sockets that were not there before; None where unknown.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self.opened: set[str] | None = set()
        self.listening: set[str] | None = set()
        self._before: set[str] = set()

    def __enter__(self) -> Self:
        if not _hooked:  # a hook stays for ever, so there is one
            sys.addaudithook(_hook)
            _hooked.append(True)
        self._before = socket_inodes() or set()
        _watching.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        self.look()
        _watching.remove(self)

    def look(self) -> None:
        """Read which sockets are open now."""
        ours, all_listening = socket_inodes(), listening_inodes()
        new = None if ours is None else ours - self._before
        if self.opened is not None:
            self.opened = None if new is None else self.opened | new
        if self.listening is not None:
            found = None if new is None or all_listening is None else new & all_listening
            self.listening = None if found is None else self.listening | found


def _hook(event: str, _: Any) -> None:
    if _watching and event.startswith("socket."):
        for watch in _watching:
            watch.events.append(event)


def check_sockets(trial: Trial) -> list[Finding]:
    """Load, decode bin by bin, save and restore the state, under both witnesses."""
    x = trial.piece(trial.rng("sockets"), STRETCH_S)
    with SocketWatch() as watch:
        decoder = trial.make("float32", False)
        state = decoder.initial_state()
        per_bin = max(1, round(trial.rate_hz * decoder.bin_ms / 1000))
        for number, start in enumerate(range(0, len(x), per_bin)):
            _, state = decoder.step(x[start : start + per_bin], state)
            if number % EVERY == 0:
                watch.look()
        decoder.state_from_bytes(decoder.state_to_bytes(state))
    return judged(watch)


def judged(watch: SocketWatch) -> list[Finding]:
    """What two witnesses saw."""
    seen = f": {', '.join(sorted(set(watch.events)))}" if watch.events else ""
    findings: list[Finding] = [
        at_most("uses of sockets by Python", len(watch.events), "events", 0, f"audit events{seen}")
    ]
    for name, found in (("opened", watch.opened), ("listening", watch.listening)):
        if found is None:
            findings.append(not_measured(f"sockets {name}", "sockets", 0, NOT_HERE))
            continue
        text = "of this process while it loaded and decoded, from the system's list"
        findings.append(at_most(f"sockets {name}", len(found), "sockets", 0, text))
    return findings
