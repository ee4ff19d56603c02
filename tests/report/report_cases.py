"""A page that is checked while it is read, and runs to report on."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from realm.evaluation.results import ResultRow, write_results

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Balanced tags, nothing that is fetched; the text and the sections without data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.left_out, self.images = "", 0, 0
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)
        assert self.open == []
        assert self.links <= self.anchors, "a link of the contents leads nowhere"
        assert "url(" not in text
        assert "@import" not in text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "iframe", "object")
        for name, value in attrs:
            if name in ("src", "href"):
                assert value is not None
                assert value.startswith(("data:", "#")), "fetches something"
            if name == "href" and value and value.startswith("#"):
                self.links.add(value[1:])
            if name == "id" and value:
                self.anchors.add(value)
        self.left_out += ("class", "left-out") in attrs
        self.images += tag == "img"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def result(
    session: str, seed: int, r2: float, method: str = "student", **more: object
) -> ResultRow:
    values: dict[str, object] = {
        "subject": "sim",
        "split": "test",
        "label_s": "all",
        "lookahead_ms": 0.0,
        "r2_low": r2 - 0.1,
        "r2_high": r2 + 0.1,
        "pearson_r": 0.8,
        "r2_shifted": 0.0,
        "parameters": 10,
        "train_cpu_s": 1.0,
        "us_per_bin": 20.0,
    }
    values |= more
    return ResultRow(method=method, session=session, seed=seed, r2=r2, **values)  # type: ignore[arg-type]


def write_run(folder: Path, rows: list[ResultRow], **record: object) -> Path:
    """A run folder of results and a record alone."""
    sessions = dict.fromkeys(row.session for row in rows)
    data = {name: {"recording_sha256": f"{name:f<64}", "prepared_sha256": ""} for name in sessions}
    write_results(rows, folder / "results.csv")
    (folder / "run.json").write_text(json.dumps({"data": data} | record))
    return folder
