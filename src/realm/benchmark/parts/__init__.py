"""The parts of the benchmark, in the order in which they are done.

To add one, write a file here with a `PART` and give it a name in `PARTS`.
"""

from __future__ import annotations

from realm.benchmark.part import Part
from realm.benchmark.parts import heldout, labels, lookahead, main, spikes, transfer

PARTS: dict[str, Part] = {
    "main": main.PART,
    "lookahead": lookahead.PART,
    "labels": labels.PART,
    "transfer": transfer.PART,
    "heldout": heldout.PART,
    "spikes": spikes.PART,
}
COST = "cost"  # trains nothing: it is in every report with a main run


def with_needed(names: list[str]) -> list[str]:
    """These parts and those they need, in order.

    Raises:
        ValueError: there is no such part.
    """
    known = (*PARTS, COST)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"--only {unknown[0]}: expected a part of the benchmark ({', '.join(known)}); "
            "correct the name"
        )
    needs = [("main",) if name == COST else PARTS[name].needs for name in names]
    needed = set(names).union(*needs)
    return [name for name in PARTS if name in needed]
