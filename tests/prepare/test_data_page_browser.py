"""The data page in a real browser: no error, filters and folds, and a link that opens what is folded."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import CHROMIUM, browse, driven, width_on_a_phone
from data_reports import REPORTS

from tuneproof.prepare.page import render_data

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium (apt-get install chromium)")

ACTIONS = """
const article = document.querySelector("#check-1");
const table = article.querySelector("table.findings");
const shown = () => [...table.tBodies[0].rows].filter((row) => row.offsetParent !== null).length;
const said = { ready: document.documentElement.dataset.ready, before: shown() };
const box = article.querySelector("input");
box.value = "LINE 40"; box.dispatchEvent(new Event("input"));
said.found = shown();
box.value = ""; box.dispatchEvent(new Event("input"));
article.querySelector("button.all").click();
said.all = shown();
document.querySelector("#checks h2 button").click();
const quiet = document.querySelector("#check-2");
said.hidden = quiet.checkVisibility();
location.hash = "#check-2";
setTimeout(() => { said.shown = quiet.checkVisibility(); document.body.dataset.said = JSON.stringify(said); }, 200);
"""


def test_findings_filter_and_fold_and_a_link_opens_what_is_folded(tmp_path: Path) -> None:
    said = driven(render_data(REPORTS["banking"]()), ACTIONS, tmp_path, "--virtual-time-budget=5000")
    assert said == {"ready": "yes", "before": 5, "found": 1, "all": 133, "hidden": False, "shown": True}


@pytest.mark.parametrize("name", ["bad", "hostile"])
def test_it_opens_without_an_error_and_runs_nothing_of_the_users(name: str, tmp_path: Path) -> None:
    document, console = browse(render_data(REPORTS[name]()), tmp_path)
    assert console == ""
    assert 'data-ready="yes"' in document
    assert "<title>owned" not in document


@pytest.mark.parametrize("name", ["banking", "chat", "hostile"])
def test_nothing_sticks_out_on_a_phone(name: str, tmp_path: Path) -> None:
    assert width_on_a_phone(render_data(REPORTS[name]()), tmp_path) == 390
