"""The page in a real browser: it opens without an error, folds, sorts and filters, and fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import CHROMIUM, browse, driven, width_on_a_phone
from page_reports import REPORTS

from tuneproof.evaluate.page import render

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium (apt-get install chromium)")

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
    assert width_on_a_phone(render(REPORTS[name]()), tmp_path) == 390
