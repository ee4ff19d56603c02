"""A web server on this machine that gives files as an archive does, and fails on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Archive:
    """What the server gives and what it was asked.

    Attributes:
        files: content by path.
        cut_after: bytes after which it closes the connection once, None = never.
        ranges: whether it can send the rest of a file.
        version: names the content; another one means that the files have changed.
        asked: path and header Range of every request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.cut_after: int | None = None
        self.ranges = True
        self.version = '"a"'
        self.asked: list[tuple[str, str]] = []

    def first(self, path: str, wanted: str, version: str) -> int | None:
        """Where the answer begins; None if there is nothing left to send."""
        if not (self.ranges and wanted and version in ("", self.version)):
            return 0
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        return first if first < len(self.files[path]) else None


@contextmanager
def serving(archive: Archive) -> Iterator[Archive]:
    """The archive at `archive.url` for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            archive.asked.append((self.path, wanted))
            content = archive.files.get(self.path.partition("?")[0])
            if content is None:
                self.send_error(404)
                return
            path = self.path.partition("?")[0]
            first = archive.first(path, wanted, self.headers.get("If-Range", ""))
            if first is None:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if first else 200)
            if first:
                whole = len(content)
                self.send_header("Content-Range", f"bytes {first}-{whole - 1}/{whole}")
            if archive.version:
                self.send_header("ETag", archive.version)
            rest = content[first:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if archive.cut_after is not None:
                rest, archive.cut_after = rest[: archive.cut_after], None
            self.wfile.write(rest)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    archive.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield archive
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
