"""Who may see the dashboard: a browser on this machine with the token.

Three checks, each against one danger. Host: a foreign name that was pointed at this machine (DNS
rebinding). Origin: a page of another site, or of another port, that opens our WebSocket. Token:
anyone else who can reach a port of this machine. The token is kept by the page, not by a cookie,
because browsers send the cookies of one port to every other port of the same machine.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from hmac import compare_digest

LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
PROTOCOL = "realm.dashboard.1"  # of the WebSocket; offered beside the token, the only one accepted
TOKEN_PREFIX = "token."


def new_token() -> str:
    """256 random bits, fit for a WebSocket's header."""
    return secrets.token_urlsafe(32)


def why_not_host(hosts: Sequence[str]) -> str | None:
    """Why a request with these Host headers is refused; None if it is allowed."""
    if len(hosts) == 1 and LOOPBACK.fullmatch(hosts[0]):
        return None
    return "expected a Host that names this machine (127.0.0.1 or localhost)"


def why_not_socket(
    host: str, origins: Sequence[str], protocols: Sequence[str], token: str
) -> str | None:
    """Why a WebSocket is refused; None if it is allowed.

    Args:
        host: the Host header, already accepted by `why_not_host`.
        origins: all Origin headers.
        protocols: what the browser offers in Sec-WebSocket-Protocol.
        token: the right one.
    """
    if len(origins) != 1 or origins[0].lower() != f"http://{host.lower()}":
        return f"expected the page of this server, Origin http://{host}"
    offered = [p[len(TOKEN_PREFIX) :] for p in protocols if p.startswith(TOKEN_PREFIX)]
    if PROTOCOL not in protocols or len(offered) != 1:
        return "expected a token; open the whole address that was printed when the decoder started"
    if not compare_digest(offered[0].encode(), token.encode()):
        return "wrong token; open the address that was printed when the decoder started last"
    return None


def page_headers(host: str) -> dict[str, str]:
    """Headers of every answer: nothing from elsewhere, nothing kept, nowhere embedded.

    Args:
        host: the Host header, already accepted by `why_not_host`.
    """
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"ws://{host}",  # not every browser counts ws: as 'self'
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
        "Server": "realm",
    }
