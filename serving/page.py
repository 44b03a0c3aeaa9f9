"""`/docs`: a page for people. It holds nothing of the model: what it shows it reads from `/openapi.json`.

So the page is open to everybody, also where a guard is set; it then asks for a credential, and keeps it in memory only.
Nothing comes from elsewhere, and its Content-Security-Policy lets nothing run but its own script.
"""

import base64
import hashlib
import re
from pathlib import Path

from serving.application import Route

PAGE = Path(__file__).with_name("docs.html")


def routes() -> dict[str, Route]:
    """The endpoint."""
    page = PAGE.read_bytes()
    headers = (
        (b"content-security-policy", policy(page)),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-cache"),
    )
    kind = b"text/html; charset=utf-8"
    return {"/docs": Route("docs", "GET", lambda request: page, content_type=kind, headers=headers)}


def policy(page: bytes) -> bytes:
    """The Content-Security-Policy of a page: its own style and script by their digests, requests to its own server."""
    script, style = (_digest(page, tag) for tag in (b"script", b"style"))
    rules = (
        "default-src 'none'",
        f"script-src '{script}'",
        f"style-src '{style}'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return "; ".join(rules).encode()


def _digest(page: bytes, tag: bytes) -> str:
    [content] = re.findall(b"<%s>(.*?)</%s>" % (tag, tag), page, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
