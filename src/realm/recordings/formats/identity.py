"""Session id and subject of files that state neither."""

from __future__ import annotations

import re
from pathlib import Path


def safe(name: str) -> str:
    """`name` with only what is safe in a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "session"


def named_after_file(path: Path) -> tuple[str, str]:
    """The file's name is the session and, unless a description says more, the subject."""
    session = safe(path.stem)
    return session, session


def joined(subject: str | None, session: str | None, stated: tuple[str, str]) -> tuple[str, str]:
    """What a description says, laid over what the file says; the id names the subject."""
    session_id = safe(session) if session else stated[0]
    if subject and subject not in session_id:
        session_id = safe(f"{subject}_{session_id}")
    return session_id, subject or (session_id if session else stated[1])
