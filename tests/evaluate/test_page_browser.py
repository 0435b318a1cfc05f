"""The page in a real browser: it opens without an error, folds, sorts and filters, and fits a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from page_reports import REPORTS

from tuneproof.evaluate.page import render

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium (apt-get install chromium)")

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

ACTIONS = """
const press = (node) => node.click();
const table = document.querySelector("#classes table");
const seen = () => [...table.tBodies[0].rows].filter((row) => row.offsetParent !== null);
const shown = () => seen().map((row) => row.cells[0].textContent.trim());
const said = { ready: document.documentElement.dataset.ready, before: shown().length };
press(table.parentElement.querySelector("button.all"));
said.all = shown().length;
press(table.querySelector("th button"));
said.sorted = shown();
press(table.querySelector("th button"));
said.backwards = shown();
const box = document.querySelector("#classes input");
box.value = "CARD_arr"; box.dispatchEvent(new Event("input"));
said.filtered = shown();
said.status = document.querySelector("#classes [role=status]").textContent;
const folder = document.querySelector("#plan h2 button");
press(folder);
said.folded = [folder.getAttribute("aria-expanded"), document.querySelector("#plan .body").offsetParent === null];
const term = document.querySelector("abbr"); term.focus();
said.tip = document.querySelector(".tip").textContent;
document.body.dataset.said = JSON.stringify(said);
"""


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


def test_tables_sort_filter_and_sections_fold(tmp_path: Path) -> None:
    said = driven(render(REPORTS["banking"]()), ACTIONS, tmp_path)
    assert said["ready"] == "yes"
    assert said["before"] == 12 and said["all"] == 77
    assert said["sorted"] == sorted(said["sorted"], key=str.casefold) and said["backwards"] == said["sorted"][::-1]
    assert said["filtered"] == ["card_arrival"] and said["status"] == "1 found"
    assert said["folded"] == ["false", True]
    assert said["tip"].startswith("Share of rows")


@pytest.mark.parametrize("name", ["chat", "hostile"])
def test_it_opens_without_an_error_and_runs_nothing_of_the_users(name: str, tmp_path: Path) -> None:
    document, console = browse(render(REPORTS[name]()), tmp_path)
    assert console == ""
    assert 'data-ready="yes"' in document
    assert "<title>owned" not in document


@pytest.mark.parametrize("name", ["banking", "reviews", "hostile"])
def test_nothing_sticks_out_on_a_phone(name: str, tmp_path: Path) -> None:
    """The page in a frame of 390 px: no element is wider than the screen unless it scrolls by itself."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", render(REPORTS[name]()))
    (tmp_path / "inner.html").write_text(page, encoding="utf-8")
    frame = '<iframe src="inner.html" style="width:390px;height:900px"></iframe>'
    script = """onload = () => { const inner = document.querySelector("iframe").contentDocument.documentElement;
    document.body.dataset.said = JSON.stringify({ width: inner.scrollWidth, ready: inner.dataset.ready }); };"""
    outer = f"<!DOCTYPE html><body>{frame}</body>"
    said = driven(outer, script, tmp_path, "--allow-file-access-from-files")
    assert said == {"width": 390, "ready": "yes"}
