"""Download one file so that it can be taken up again where it stopped.

What has arrived is kept as `<name>.part` beside the final name. The next attempt asks the server
for the rest; a server that cannot give it, or whose file has changed since, sends everything again,
and that is said. The file gets its name only when it is complete and its checksum is right, which
`pooch` sees to: `ResumingDownload` is one of its downloaders.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

from realm.systems import replace

CHUNK = 1 << 16
TIMEOUT_S = 60.0
AGENT = "realm-lfp"

Report = Callable[[int, int | None], None]  # bytes that are here, bytes in all if known
Say = Callable[[str], None]


class Reply(NamedTuple):
    """An open answer of a server.

    Attributes:
        stream: what it sends.
        first: position in the file of the first byte that comes.
        total: bytes of the whole file, None where the server does not say.
        validator: what names this version of the file, empty where nothing does.
    """

    stream: HTTPResponse
    first: int
    total: int | None
    validator: str


class ResumingDownload:
    """A downloader for `pooch.retrieve`: called with address, file and pooch.

    Args:
        part: where what has arrived is kept.
        report: is told the progress.
        say: is told what a user should know.
        checked: the whole file has a known checksum, so that a server which does not name versions
            of its files may be asked for the rest all the same.
    """

    def __init__(self, part: Path, report: Report, say: Say, checked: bool = False) -> None:
        self.part, self._report, self._say, self._checked = part, report, say, checked
        self._version = part.with_name(part.name + ".version")

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Download `url`, going on from an earlier part, and move it to `output_file`."""
        have = self.part.stat().st_size if self.part.is_file() else 0
        known = self._version.read_text(encoding="utf-8") if self._version.is_file() else ""
        with _answers(url):
            reply = self._ask(url, have, known)
            if reply is not None:
                self._take(url, reply)
        replace(self.part, output_file)
        self._version.unlink(missing_ok=True)

    def _ask(self, url: str, have: int, known: str) -> Reply | None:
        """Ask for what is missing; None if nothing is."""
        if not have:
            return _open(url)
        if not known and not self._checked:
            self._say(
                f"{self.part.name}: the server names no version of this file and no checksum is "
                "known, beginning anew"
            )
            return _open(url)
        try:
            reply = _open(url, have, known)
        except urllib.error.HTTPError as error:
            length = error.headers.get("Content-Range", "").rpartition("/")[2]
            if error.code != 416 or length != str(have):
                raise
            return None
        if reply.first:
            self._say(f"{self.part.name}: going on at byte {have}")
        else:
            self._say(f"{self.part.name}: the server sends no rest of this file, beginning anew")
        return reply

    def _take(self, url: str, reply: Reply) -> None:
        self._version.write_text(reply.validator, encoding="utf-8")
        done, total = reply.first, reply.total
        if total is not None:
            check_room(self.part, total - done)
        self._report(done, total)
        with reply.stream, self.part.open("r+b" if done else "wb") as out:
            out.seek(done)
            out.truncate()
            while block := reply.stream.read(CHUNK):
                out.write(block)
                done += len(block)
                self._report(done, total)
            out.flush()
            os.fsync(out.fileno())
        if total is not None and done != total:
            raise ConnectionError(f"the connection ended after {done} of {total} bytes of {url}")


def check_room(path: Path, wanted: int) -> None:
    """Raise an OSError where the disk of `path` has less than `wanted` bytes left."""
    free = shutil.disk_usage(path.parent).free
    if free < wanted:
        raise OSError(
            28,
            f"expected {wanted} bytes of free space for {path.name}, found {free}; free some, "
            "or choose another folder. What has arrived is kept",
        )


def _open(url: str, have: int = 0, version: str = "") -> Reply:
    request = urllib.request.Request(url, headers={"User-Agent": AGENT})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version:
            request.add_header("If-Range", version)
    stream = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    length = stream.headers.get("Content-Length")
    validator = stream.headers.get("ETag") or stream.headers.get("Last-Modified") or ""
    if validator.startswith("W/"):  # says "alike", not "the same bytes"
        validator = stream.headers.get("Last-Modified") or ""
    whole = stream.headers.get("Content-Range", "")
    if stream.status == 206 and whole.startswith(f"bytes {have}-"):
        total = whole.rpartition("/")[2]
        return Reply(stream, have, int(total) if total.isdigit() else None, validator or version)
    return Reply(stream, 0, None if length is None else int(length), validator)


@contextmanager
def _answers(url: str) -> Iterator[None]:
    """Say in the words of this package what went wrong between us and a server."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise ValueError(
            f"{url}: expected a file, but the server answers {error.code} ({error.reason}); it was "
            "moved or is not free, look at the dataset's page (`realm dataset list --json`) and "
            "fetch it by hand"
        ) from error
    except (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ValueError(
            f"{url}: expected to read from this server, but {reason}; run the same command again, "
            "it goes on with what has arrived"
        ) from error


def fetch_text(url: str) -> str:
    """What a server answers to `url`.

    Raises:
        ValueError: it cannot be reached or refuses.
    """
    with _answers(url):
        request = urllib.request.Request(url, headers={"User-Agent": AGENT})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as stream:
            answer: bytes = stream.read()
    return answer.decode()


def mirrored(url: str, mirror: str | None) -> str:
    """The address with another server in front: scheme and host of `mirror`, the path as it is."""
    if mirror is None:
        return url
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.urlunsplit(("", "", parts.path, parts.query, ""))
    return mirror.rstrip("/") + path
