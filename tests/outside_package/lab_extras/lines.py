"""A sink: one JSON list of the behavior per line."""

import json
from pathlib import Path

from realm.live.registry import Kind
from realm.live.sinks import Sink


class Lines(Sink):
    def __init__(self, path):
        self.path, self.file = path, None

    def open(self, info):
        self.file = self.path.open("w")

    def write(self, outputs, status):
        for row in outputs.behavior.tolist():
            self.file.write(json.dumps(row) + "\n")

    def close(self):
        if self.file is not None:
            self.file.close()
            self.file = None


LINES = Kind(Lines, "path", Path, example="lines:decoded.jsonl")
