"""Every export of real runs: agreement, logit distance, and whether llama.cpp itself says the same.

    python benchmarks/parity_table.py RUN... [--only merged gguf] [--first]

For each run and target the export is made with its parity check, as ``tuneproof export`` does it; results go to
benchmarks/results/parity.json, the table to docs/parity.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tuneproof.deploy.export import EXPORTS, export
from tuneproof.device import settle
from tuneproof.errors import CheckError, ConfigError
from tuneproof.run import Run

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "parity.json"
PAGE = HERE.parent / "docs" / "parity.md"
PACKAGES = ("torch", "transformers", "peft", "onnxruntime", "gguf", "xllamacpp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--only", nargs="*", help="targets")
    parser.add_argument("--first", action="store_true", help="each target's default precision only")
    parser.add_argument("--table", action="store_true", help="only write docs/parity.md from the results")
    asked = parser.parse_args()
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if not asked.table and not asked.runs:
        print("Skipped: name finished runs.")
        return
    settle(1)
    for path in asked.runs:
        run = Run.open(path)
        told = f"{Path(run.asked['file']).parent.name or run.asked['file']}, {run.plan['model']['name']}, "
        told += str(run.plan["config"]["method"]["name"])
        for name, target in EXPORTS.items():
            for precision in target.precisions:
                default = next(iter(target.precisions))
                if (asked.only and name not in asked.only) or (asked.first and precision != default):
                    continue
                key = f"{told} | {name} {precision}"
                found[key] = {"run": told, "task": run.schema.task, "to": name, "precision": precision}
                found[key].update(one(run, name, precision))
                print(key, found[key], flush=True)
                RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    found.pop("about", None)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    PAGE.write_text(page(found, commit.stdout.strip()), encoding="utf-8")


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


def page(found: dict[str, Any], commit: str) -> str:
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
    for one_export in found.values():
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
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    left = sorted({f"{o['task']} to {o['to']}: {o['why']}" for o in found.values() if o["outcome"] == "not carried"})
    head = f"""# Parity of exports

Every export of real runs, made and compared as `tuneproof export` does it (see [deploy](deploy.md)): the same 64 stored
test rows through the program that will run it. Quantised exports are judged by their answers to the test rows instead;
the one-sided 95% bound is of share right, or of nats per answer token. Where it says llama.cpp, the file was also run
by llama.cpp itself: the first token of the answer to up to 32 of the rows.

Made by `python benchmarks/parity_table.py RUN...` at {commit}; Python {platform.python_version()},
{", ".join(versions)}; one thread.

"""
    lines = "\n".join(f"* {line}" for line in left)
    return head + "\n".join(rows) + f"\n\nWhat a target does not carry:\n\n{lines}\n"


if __name__ == "__main__":
    main()
