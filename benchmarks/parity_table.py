"""Every export of real runs: agreement, logit distance, and whether llama.cpp itself says the same.

    python benchmarks/parity_table.py RUN... [--only merged gguf] [--first] [--cells 1]

For each run, target and precision the export is made with its parity check, as ``tuneproof export`` does it. Each of
these cells goes to benchmarks/results/parity.json as soon as it is there, with the commit and the versions that made
it, and the table to docs/parity.md. A cell that has them is not made again: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.deploy.export import EXPORTS, export
from tuneproof.device import settle
from tuneproof.errors import CheckError, ConfigError
from tuneproof.run import Run, write_atomically

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "parity.json"
PAGE = HERE.parent / "docs" / "parity.md"
EARLIER = "7e3b52f"  # where cells that do not say so were made
PACKAGES = ("torch", "transformers", "peft", "onnxruntime", "gguf", "xllamacpp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--only", nargs="*", help="targets")
    parser.add_argument("--first", action="store_true", help="each target's default precision only")
    parser.add_argument("--cells", type=int, help="stop after so many")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--table", action="store_true", help="only write docs/parity.md from the results")
    asked = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if not asked.table and not asked.runs:
        print("Skipped: name finished runs.")
        return
    settle(1)
    todo = [cell for path in asked.runs for cell in cells(Run.open(path), asked.only, asked.first)]
    todo = [cell for cell in todo if asked.again or "commit" not in found.get(cell.key, {})]
    for cell in todo[: asked.cells]:
        found[cell.key] = cell.made()
        print(cell.key, found[cell.key], flush=True)
        write_atomically(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
    PAGE.write_text(page(found), encoding="utf-8")
    if todo[len(todo[: asked.cells]) :]:
        print(f"{len(todo) - len(todo[: asked.cells])} cells are left.")


@dataclass(frozen=True, slots=True)
class Cell:
    """One export of one run."""

    run: Run
    told: str  # file, model and method
    to: str
    precision: str

    @property
    def key(self) -> str:
        return f"{self.told} | {self.to} {self.precision}"

    def made(self) -> dict[str, Any]:
        """What came of it, and what made it."""
        head = {"run": self.told, "task": self.run.schema.task, "to": self.to, "precision": self.precision}
        return {**head, **one(self.run, self.to, self.precision), "commit": commit(), "versions": versions()}


def cells(run: Run, only: Sequence[str] | None, first: bool) -> list[Cell]:
    """All of a run, or those of some targets; with ``first`` each target's default precision."""
    return [
        Cell(run, told(run), name, precision)
        for name, target in EXPORTS.items()
        for precision in list(target.precisions)[: 1 if first else None]
        if not only or name in only
    ]


def told(run: Run) -> str:
    """File, model and method."""
    file, plan = run.asked["file"], run.plan
    return f"{Path(file).parent.name or file}, {plan['model']['name']}, {plan['config']['method']['name']}"


def commit() -> str:
    """Of this checkout; "-dirty" where code in it is not committed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, cwd=HERE, check=True).stdout.strip()

    changed = git("status", "--porcelain", "../src", Path(__file__).name)
    return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def one(run: Run, name: str, precision: str) -> dict[str, Any]:
    """What came of one export: figures, a refusal, or what it cannot carry."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        try:
            done = export(run, run.id, name, Path(work) / "out", precision, lambda line: None)
        except ConfigError as error:
            return {"outcome": "not carried", "why": error.message.split(": ", 1)[-1]}
        except CheckError as error:
            return {"outcome": "refused", "why": error.message.split(": ", 1)[-1]}
        parity = done.parity
        found = {
            "outcome": "published",
            "rows": parity.rows,
            "positions": parity.positions,
            "agreement": parity.agreement,
            "distance": parity.distance,
            "bound": parity.quality.bound if parity.quality else None,
            "scored": parity.quality.n if parity.quality else None,
            "megabytes": sum(file.stat().st_size for file in done.folder.rglob("*") if file.is_file()) / 1e6,
            "seconds": round(time.monotonic() - began, 1),
        }
        found["notes"] = list(parity.notes)
        return found


def page(found: dict[str, Any]) -> str:
    """The table, runs in the order they came and targets in theirs."""
    runs, targets = list(dict.fromkeys(each["run"] for each in found.values())), list(EXPORTS)
    made = sorted(found.values(), key=lambda each: (runs.index(each["run"]), targets.index(each["to"])))
    columns = (
        "run",
        "to",
        "outcome",
        "agreement",
        "largest logit difference",
        "bound on the test rows",
        "MB",
        "also",
    )
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for one_export in made:
        if one_export["outcome"] == "not carried":
            continue
        said = "; ".join(one_export.get("notes", []))
        if one_export["outcome"] == "refused":
            cells = [f"refused: {one_export['why']}", "", "", "", "", ""]
        else:
            bound = one_export["bound"]
            cells = [
                "published",
                f"{one_export['agreement']:.2%} of {one_export['positions']:,}",
                f"{one_export['distance']:.2g}",
                "" if bound is None else f"{bound:+.4f} on {one_export['scored']:,}",
                f"{one_export['megabytes']:,.0f}",
                said,
            ]
        rows.append(f"| {one_export['run']} | {one_export['to']} {one_export['precision']} | {' | '.join(cells)} |")
    left = sorted({f"{o['task']} to {o['to']}: {o['why']}" for o in made if o["outcome"] == "not carried"})
    commits = sorted({str(each.get("commit", EARLIER)) for each in made})
    with_ = sorted({str(each["versions"]) for each in made if "versions" in each}) or [versions()]
    head = f"""# Parity of exports

Every export of real runs, made and compared as `tuneproof export` does it (see [deploy](deploy.md)): the same 64 stored
test rows through the program that will run it. Quantised exports are judged by their answers to the test rows instead;
the one-sided 95% bound is of share right, or of nats per answer token. Where it says llama.cpp, the file was also run
by llama.cpp itself: the first token of the answer to up to 32 of the rows.

Made by `python benchmarks/parity_table.py RUN...` at {", ".join(commits)};
{"; ".join(with_)}; one thread.

"""
    lines = "\n".join(f"* {line}" for line in left)
    return head + "\n".join(rows) + f"\n\nWhat a target does not carry:\n\n{lines}\n"


if __name__ == "__main__":
    main()
