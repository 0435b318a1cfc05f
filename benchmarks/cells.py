"""The table of cells, TASKS x METHODS, from the suite that runs them: docs/cells.md.

    python benchmarks/cells.py [--only instruction] [--again] [--table]

Runs tests/proof/test_cells_proof.py and writes down what each test said: works, or the reason why not, and at which
commit. Results stand in ``benchmarks/results/cells.json`` after every cell, so it can be stopped and started again:
cells that work are not run anew, unless asked for, and those that were not run stay as they were.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tuneproof.methods import METHODS, NOT_OFFERED
from tuneproof.tasks import TASKS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "cells.json"
# The tables are imported before pytest is, and with them a package that has a plugin for it.
IMPORTED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
PAGE = ROOT / "docs" / "cells.md"


class Collector:
    """What each test of a cell ended with, kept on disk; cells that are known to work are left out."""

    def __init__(self, found: dict[str, Any], commit: str, again: bool) -> None:
        self.found, self.commit, self.again = found, commit, again

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if not self.again:
            items[:] = [item for item in items if not self.works(item.nodeid)]

    def works(self, test: str) -> bool:
        name = cell_of(test)
        return name is not None and self.found.get(name, {}).get("outcome") == "passed"

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = cell_of(report.nodeid)
        if name is None or (report.when != "call" and report.outcome == "passed"):
            return
        cell: dict[str, Any] = {"outcome": report.outcome, "commit": self.commit, **dict(report.user_properties)}
        if report.outcome == "skipped":
            cell["reason"] = str(report.longrepr[2]).removeprefix("Skipped: ")
        if report.outcome == "failed":
            cell["reason"] = str(report.longrepr.reprcrash.message).split("\n")[0]
        self.found[name] = cell
        write(RESULTS, json.dumps({"cells": self.found}, indent=1) + "\n")


def cell_of(test: str) -> str | None:
    """ "text-classification lora", of the test's name; None where it is no cell."""
    match = re.search(r"test_cell\[(.+)\]$", test)
    if match is None:
        return None
    task = next(name for name in sorted(TASKS, key=len, reverse=True) if match[1].startswith(f"{name}-"))
    return f"{task} {match[1].removeprefix(f'{task}-')}"


def write(path: Path, text: str) -> None:
    """All of it or nothing, whenever this is stopped."""
    beside = path.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="as pytest -k")
    parser.add_argument("--again", action="store_true", help="also the cells that work")
    parser.add_argument("--table", action="store_true", help="only write the page from the results")
    asked = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text())["cells"] if RESULTS.is_file() else {}
    if not asked.table:
        chosen = ["-k", asked.only] if asked.only else []
        suite = str(ROOT / "tests" / "proof" / "test_cells_proof.py")
        git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        collector = Collector(found, git.stdout.strip(), asked.again)
        pytest.main(["-q", "-m", "proof", "-p", "no:cacheprovider", *IMPORTED, *chosen, suite], plugins=[collector])
    write(PAGE, page(found))


def page(cells: dict[str, Any]) -> str:
    reasons: list[str] = []
    rows = []
    for method in METHODS:
        marks = [mark(cells.get(f"{task} {method}"), reasons) for task in TASKS]
        rows.append(f"| {method} | {' | '.join(marks)} |")
    notes = "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1))
    commits = ", ".join(sorted({cell["commit"] for cell in cells.values()}))
    older = ", ".join(sorted({cell["commit"] for cell in cells.values() if "loss" in cell and "lr" not in cell}))
    never = "\n".join(f"* {name}: {reason}" for name, reason in NOT_OFFERED.items())
    return f"""# Which method works with which task

Made by `python benchmarks/cells.py` from tests/proof/test_cells_proof.py, at {commits}, on
models of width 32. "works" means, in that cell: only the right weights move, to the bit; a new head trains; the loss
falls; a run stopped and continued ends as the uninterrupted one, to the bit; the saved folder, opened again, predicts
the same, to the bit; what is said to merge merges; and sixteen rows are learnt: by heart in so many steps (loss per row
or answer token below .01), or to the loss that is shown in as many steps as that, which has to be half of that at the
start at most (a tenth less in cells of 4558692, and for prompt and p-tuning of chat models: vectors before frozen
random layers can do no more; what else is asked for less stands in tests/cells.py with what was tried). Rates are those
of the plan's own rule for a model of that width, times five, as its weights are random and steps are few, and for a few
methods times a factor in tests/cells.py ({older} had a rate
for each method in place of the rule). A width of 32 leaves methods with few weights little to learn with.
That the command line, Python and a folder opened without tuneproof say the same is shown by tests/conformance, the last
for every task with full tuning, freeze and LoRA, and for every method but qlora and adamss on text-classification.

| method | {" | ".join(TASKS)} |
|---|{"---|" * len(TASKS)}
{chr(10).join(rows)}

## Reasons

{notes}

## What peft has and tuneproof does not offer

{never}
"""


def mark(cell: dict[str, Any] | None, reasons: list[str]) -> str:
    if cell is None:
        reason = "Not run yet: the script goes on where it was stopped."
    elif cell["outcome"] == "passed":
        learnt = "" if cell["loss"] < 0.01 else f"loss {cell['loss']:.2g} in "
        return f"works, {learnt}{cell['steps']} steps"
    else:
        reason = cell["reason"]
    if reason not in reasons:
        reasons.append(reason)
    word = {"skipped": "no", "failed": "FAILS"}[cell["outcome"]] if cell else "-"
    return f"{word} ({reasons.index(reason) + 1})"


if __name__ == "__main__":
    main()
