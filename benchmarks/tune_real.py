"""The spine on real data: ``tuneproof tune`` with default settings, one seed, and what came out of it.

    python benchmarks/tune_real.py [--data DIR] [--only banking77-full ...] [--minutes 8]

``DIR`` holds one folder per data set with train and test files (banking77, medquad_instruct, taskmaster4_chat, gsm8k).
Each run is a process of its own, one after the other. Results go to ``benchmarks/results/tune_real.json`` with commit,
versions and hardware; a table is printed. Chat runs get ``--minutes``, classification none.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "tune_real.json"
PAGE = HERE.parent / "docs" / "results.md"
SETS = {
    "banking77": ("train.csv", "test.csv", ("full", "freeze", "lora"), False),
    "medquad_instruct": ("train.jsonl", "test.jsonl", ("lora", "full"), True),
    "taskmaster4_chat": ("train.jsonl", "test.jsonl", ("lora", "full"), True),
    "gsm8k": ("train.jsonl", "test.jsonl", ("lora", "full"), True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--minutes", default="8")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"))
    parser.add_argument("--table", action="store_true", help="only write docs/results.md from the results")
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    if asked.table:
        PAGE.write_text(page(found), encoding="utf-8")
        return
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    for name, (train, test, methods, timed) in SETS.items():
        for method in methods:
            key = f"{name}-{method}"
            if asked.only is not None and key not in asked.only:
                continue
            folder = asked.data / name
            options = ["--test", str(folder / test), "--method", method, "--runs", str(asked.runs / key)]
            options += ["--minutes", asked.minutes] if timed else []
            found[key] = one(str(folder / train), options, asked.runs / key)
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
            print(line(key, found[key]), flush=True)


def one(file: str, options: list[str], runs: Path) -> dict[str, Any]:
    """One run in a process of its own; its report in short."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tuneproof.cli", "tune", file, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    newest = max(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    return summary(newest, wall)


def summary(run: Path, wall: float) -> dict[str, Any]:
    report = json.loads((run / "eval/test/report.json").read_text(encoding="utf-8"))
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    return {
        "headline": report["headline"],
        "primary": report["scores"]["primary"],
        "scored_rows": report["scores"]["n"],
        "systems": {s["name"]: {**s["values"], "interval": s["interval"]} for s in report["scores"]["systems"]},
        "stopped": [answer["tuned_stopped"] for answer in report["answers"]],
        "stopped_before": [answer["base_stopped"] for answer in report["answers"]],
        "steps": plan["cost"]["steps"],
        "planned_train_minutes": round(plan["cost"]["train_minutes"], 2),
        "cost": report["cost"],
        "wall_minutes": round(wall / 60, 2),
        "commit": commit.stdout.strip(),
        "versions": report["run"]["versions"],
        "machine": report["run"]["machine"],
    }


def line(key: str, found: dict[str, Any]) -> str:
    scores = ", ".join(f"{name} {values[found['primary']]:.4f}" for name, values in found["systems"].items())
    return f"{key:26} {found['primary']}: {scores}; {found['wall_minutes']:.1f} min"


def page(found: dict[str, Any]) -> str:
    """The results as docs/results.md."""
    rows = []
    for key, one_run in found.items():
        tuned, *others = one_run["systems"].items()
        primary = one_run["primary"]
        low, high = tuned[1]["interval"]
        beside = "; ".join(f"{name} {values[primary]:.4f}" for name, values in others)
        name, method = key.rsplit("-", 1)
        stops = f"{sum(one_run['stopped'])} of {len(one_run['stopped'])}" if one_run["stopped"] else ""
        rows.append(
            f"| {name} | {method} | {tuned[1][primary]:.4f} ({low:.4f} to {high:.4f}) | {beside} | "
            f"{one_run['scored_rows']:,} | {one_run['steps']:,} | {one_run['wall_minutes']:.1f} | {stops} | "
            f"{one_run['commit']} |"
        )
    any_run = next(iter(found.values()))
    versions = ", ".join(f"{name} {version}" for name, version in any_run["versions"].items())
    head = (
        "# What it reaches on real data\n\n"
        "`tuneproof tune` with default settings and seed 0, one run each; MiniLM-L6 on banking77 (accuracy, higher is "
        "better), SmolLM2-135M-Instruct\non the chats (loss per answer token, lower is better). Made by "
        "`python benchmarks/tune_real.py --data DIR`; the chats had a budget (`--minutes`) of 8 or 9 minutes.\n"
        "Rows are the clusters of the chats' intervals.\n\n"
        f"Machine: {any_run['machine']}, shared with other work, so minutes are an upper bound; {versions}.\n\n"
        "| data | method | tuned model (95% interval) | beside it | test rows | steps | minutes | answers that stop "
        "by themselves | commit |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
