"""A real browser for the tests of pages: opens a page, runs a script in it, and says what came of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]


def browse(page: str, folder: Path, *flags: str) -> tuple[str, str]:
    """The document after its script has run, and what the browser wrote on its console."""
    file, profile = folder / "page.html", folder / "profile"
    file.write_text(page, encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", file.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def driven(page: str, script: str, folder: Path, *flags: str) -> dict[str, Any]:
    """What ``script`` wrote into ``data-said``; the policy of the page is lifted for it."""
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    document, console = browse(free.replace("</body>", f"<script>{script}</script></body>"), folder, *flags)
    assert console == ""
    found = re.search(r'data-said="([^"]*)"', document)
    assert found, "the script did not come to its end"
    said: dict[str, Any] = json.loads(found.group(1).replace("&quot;", '"').replace("&gt;", ">").replace("&amp;", "&"))
    return said


def width_on_a_phone(page: str, folder: Path) -> int:
    """How wide the page is in a frame of 390 px: 390, unless an element is wider and does not scroll by itself."""
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (folder / "inner.html").write_text(free, encoding="utf-8")
    frame = '<iframe src="inner.html" style="width:390px;height:900px"></iframe>'
    script = """onload = () => { const inner = document.querySelector("iframe").contentDocument.documentElement;
    document.body.dataset.said = JSON.stringify({ width: inner.scrollWidth, ready: inner.dataset.ready }); };"""
    said = driven(f"<!DOCTYPE html><body>{frame}</body>", script, folder, "--allow-file-access-from-files")
    assert said["ready"] == "yes"
    return int(said["width"])
