"""Versions of this package and of those it computes with, for the record of what made a file."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """The version of this package; "0+unknown" in a source tree that was never installed."""
    try:
        return version("realm-lfp")
    except PackageNotFoundError:
        return "0+unknown"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Version by name: this package, Python, and these packages ("absent" if not installed)."""
    found = {"realm-lfp": own_version(), "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
