"""The page at ``/``: a person tries the models by hand, with the probabilities or the answer as it is written.

    html, headers = try_out()

It asks the same routes as any program, with the token of the address that ``tuneproof serve`` prints. Nothing of a
model or a request stands in the page itself.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def try_out() -> tuple[str, Mapping[str, str]]:
    """The page, and the headers that let it do nothing but ask this server."""
    folder = resources.files("tuneproof.deploy.server") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("try.css", "try.js"))
    html = (folder / "try.html").read_text(encoding="utf-8").replace("{{style}}", style).replace("{{script}}", script)
    policy = (
        f"default-src 'none'; connect-src 'self'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, {
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
