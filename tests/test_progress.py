"""What workers tell arrives, in order, and never holds up who starts or ends them."""

from __future__ import annotations

import time
from collections import defaultdict

import pytest

from realm.progress import Progress, Relay, relayed, speak_to
from realm.workers import Workers

STEPS = 50


class Heard:
    """Notes what is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: dict[str, list[tuple[int, dict[str, float]]]] = defaultdict(list)
        self.totals: dict[str, int] = {}
        self.progress = Progress(self.lines.append, self._training)

    def _training(self, title, steps):  # type: ignore[no-untyped-def]
        self.totals[title] = steps
        return lambda step, figures: self.steps[title].append((step, figures))


def work(seed: int) -> int:
    progress = relayed()
    progress.say(f"seed {seed} begins")
    report = progress.training(f"seed {seed}", STEPS)
    for step in range(1, STEPS + 1):
        report(step, {"r2": 0.5} if step == 20 else {"loss": 1 / step})
    return seed


def test_workers_are_heard() -> None:
    heard = Heard()
    with Relay(heard.progress) as relay, Workers(2, relay) as pool:
        assert sorted(pool.map(work, [1, 2, 3])) == [1, 2, 3]
    assert sorted(heard.lines) == [f"seed {seed} begins" for seed in (1, 2, 3)]
    assert heard.totals == {f"seed {seed}": STEPS for seed in (1, 2, 3)}
    for reports in heard.steps.values():
        told = [step for step, _ in reports]
        assert told == sorted(told)
        assert {1, 20, STEPS} <= set(told)  # the first, the last, and every score
        assert len(told) < STEPS
        assert (20, {"r2": 0.5}) in reports


def talk_for_ever() -> None:
    speak = relayed().say
    while True:
        speak("x" * 1000)


def test_a_talkative_worker_does_not_outlive_an_interruption() -> None:
    heard = Heard()
    with pytest.raises(KeyboardInterrupt):
        interrupted_once_heard(heard)
    assert heard.lines


def interrupted_once_heard(heard: Heard) -> None:
    with Relay(heard.progress) as relay, Workers(1, relay) as pool:
        pool.submit(talk_for_ever)
        while not heard.lines:
            time.sleep(0.01)
        raise KeyboardInterrupt


def test_where_nobody_listens_it_is_silent() -> None:
    speak_to(None)
    progress = relayed()
    progress.say("unheard")
    progress.training("unheard", 3)(1, {"loss": 1.0})
