"""Addresses of ZeroMQ sockets, and who can reach a socket that listens there."""

from __future__ import annotations

import ipaddress
import re

FORM = re.compile(r"tcp://(?P<host>\*|[A-Za-z0-9.-]+):(?P<port>\d{1,5})")


def check_address(address: str, where: str) -> str:
    """The host of an address such as tcp://127.0.0.1:5555.

    Raises:
        ValueError: it is no such address; the message begins with `where`.
    """
    match = FORM.fullmatch(address)
    if match is None or not 0 < int(match["port"]) < 65_536:
        raise ValueError(
            f"{where}: expected an address such as tcp://127.0.0.1:5555, got {address!r}; correct "
            "it"
        )
    return match["host"]


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach a socket that listens on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name, an interface or `*`: not known without asking
