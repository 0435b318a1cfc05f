"""Tuned models against every baseline on real data, with intervals: ``tuneproof tune`` with defaults, and its reports.

    python benchmarks/evaluate_real.py [--data DIR] [--only pubmedqa ...] [--minutes 8]
    python benchmarks/evaluate_real.py --take NAME RUN       # a finished run made elsewhere, such as by tune_real.py
    python benchmarks/evaluate_real.py --table               # only write docs/real.md from the results

Classification gets MiniLM-L6 and no budget, the chats SmolLM2-135M and ``--minutes``. A chat model that is only asked
stands beside the classifiers with ``--prompted MODEL`` (ten minutes and more on two cores). Each run is a process of
its own; each row of the results names its commit.
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
RESULTS = HERE / "results" / "evaluate_real.json"
PAGE = HERE.parent / "docs" / "real.md"
SETS: dict[str, tuple[str, str, bool]] = {  # train, test, whether it is a chat with a budget
    "banking77": ("train.csv", "test.csv", False),
    "clinc150": ("train.jsonl", "test.jsonl", False),
    "cuad_clauses": ("train.jsonl", "test.jsonl", False),
    "amazon_counterfactual_en": ("train.jsonl", "test.jsonl", False),
    "pubmedqa": ("train.jsonl", "test.jsonl", False),
    "medquad_instruct": ("train.jsonl", "test.jsonl", True),
    "taskmaster4_chat": ("train.jsonl", "test.jsonl", True),
}
# What a run asks before it begins.
OPTIONS: dict[str, list[str]] = {
    "pubmedqa": ["--too-long", "cut"],  # 26 of 1,000 abstracts are longer than the model reads
    "cuad_clauses": ["--too-long", "cut"],  # 8 of 6,309 clauses are
}
BESIDE = ("in_scope_accuracy", "out_of_scope_recall")  # metrics that are shown beside the one that decides
SLICES = {"clinc150": [("label", "oos")]}  # parts that get a line of their own: out-of-scope questions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--minutes", default="8")
    parser.add_argument("--prompted", help="chat model that is asked the classifiers' questions")
    parser.add_argument("--runs", type=Path, default=Path("runs/real"))
    parser.add_argument("--take", nargs=2, metavar=("NAME", "RUN"))
    parser.add_argument("--trained", help="commit at which the run that is taken was trained, where that is another")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.take:
        keep(asked.take[0], {**summary(Path(asked.take[1]), asked.take[0], None), "trained": asked.trained})
    elif not asked.table:
        if not asked.data.is_dir():
            print(f"Skipped: there is no folder {asked.data}; name one with --data.")
            return
        for name in asked.only or SETS:
            one(name, asked)
    if RESULTS.is_file():
        PAGE.write_text(page(json.loads(RESULTS.read_text())), encoding="utf-8")


def one(name: str, asked: argparse.Namespace) -> None:
    """One run in a process of its own."""
    train, test, chat = SETS[name]
    folder, runs = asked.data / name, asked.runs / name
    command = [sys.executable, "-m", "tuneproof.cli", "tune", str(folder / train), "--test", str(folder / test)]
    command += ["--runs", str(runs), *OPTIONS.get(name, [])]
    if chat:
        command += ["--minutes", asked.minutes]
    elif asked.prompted:
        command += ["--set", f"evaluate.prompted={asked.prompted}"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    newest = max(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    keep(name, summary(newest, name, round((time.monotonic() - began) / 60, 1)))


def keep(name: str, found: dict[str, Any]) -> None:
    kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    kept[name] = found
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(f"{name}: {found['headline']}", flush=True)


def summary(run: Path, name: str, minutes: float | None) -> dict[str, Any]:
    """What the report says, in short."""
    report = json.loads((run / "eval/test/report.json").read_text(encoding="utf-8"))
    scores = report["scores"]
    parts = [
        {key: part[key] for key in ("column", "value", "n", "score", "interval", "difference", "verdict")}
        for part in report["slices"]["parts"]
        if (part["column"], part["value"]) in SLICES.get(name, [])
    ]
    prompted = report.get("prompted") or {}
    return {
        "headline": report["headline"],
        "verdict": report["verdict"],
        "primary": scores["primary"],
        "percent": scores["percent"],
        "n": scores["n"],
        "systems": [
            {"name": s["name"], "value": s["values"][scores["primary"]], "interval": s["interval"], **_gap(s)}
            for s in scores["systems"]
        ],
        "beside": {
            s["name"]: {name: s["values"][name] for name in BESIDE if name in s["values"]} for s in scores["systems"]
        },
        "prompted": {"model": prompted.get("model"), "ways": prompted.get("ways", [])},
        "slices": parts,
        "slices_baseline": report["slices"]["baseline"],
        "overfitting": (report.get("overfitting") or {}).get("sentence"),
        "overfitted": (report.get("overfitting") or {}).get("verdict"),
        "forgetting": [one["sentence"] for one in (report.get("forgetting") or {}).get("sets", [])],
        "method": report["run"]["method"],
        "model": report["run"]["model"],
        "minutes": minutes if minutes is not None else round(sum(report["cost"]["seconds"].values()) / 60, 1),
        "commit": commit(),
        "machine": report["run"]["machine"],
        "versions": report["run"]["versions"],
    }


def _gap(system: dict[str, Any]) -> dict[str, Any]:
    gap = system.get("difference")
    return {"difference": {key: gap[key] for key in ("value", "low", "high", "p")}} if gap else {}


def commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True).stdout.strip()


# -- the page


def page(found: dict[str, Any]) -> str:
    """The results as docs/real.md."""
    some = next(iter(found.values()))
    versions = ", ".join(f"{name} {version}" for name, version in some["versions"].items())
    head = (
        "# Tuned against every baseline, on real data\n\n"
        "`tuneproof tune` with default settings and seed 0, one run each; MiniLM-L6 for labels (share of test rows "
        "answered rightly), SmolLM2-135M-Instruct for\nanswers (loss per answer token, lower is better). The gain is "
        "the tuned model minus the baseline on these rows, with its 95% interval; of a\nloss a negative one is good. "
        "Made by `python benchmarks/evaluate_real.py --data DIR`. One seed: training noise is not in the intervals.\n\n"
        f"Machine: {some['machine']}, shared with much other work, so minutes are an upper bound; {versions}.\n"
    )
    return head + "".join(section(name, one) for name, one in found.items())


def section(name: str, found: dict[str, Any]) -> str:
    trained = f" (trained at {found['trained']})" if found.get("trained") else ""
    lines = [
        f"\n## {name}\n",
        f"{found['headline']}\n",
        f"{found['n']:,} test rows, {found['model']}, {found['method']}, {found['minutes']} minutes, "
        f"commit {found['commit']}{trained}.\n",
        f"| | {found['primary']} | 95% interval | tuned minus this | 95% interval | p |\n|---|---|---|---|---|---|",
        *[system(one, found["percent"]) for one in found["systems"]],
    ]
    for way in found["prompted"]["ways"]:
        if "score" in way:
            title = f"{found['prompted']['model']} asked {way['name']} ({way['n']} rows)"
            lines.append(
                system(
                    {"name": title, "value": way["score"], "interval": way["interval"], **_gap(way)}, found["percent"]
                )
            )
    for part in found["slices"]:
        title = f"part {part['column']} = {part['value']}, {part['n']} rows, minus {found['slices_baseline']}"
        lines.append(
            system(
                {"name": title, "value": part["score"], "interval": part["interval"], **_gap(part)}, found["percent"]
            )
        )
    lines.append("")
    lines += [
        f"{who}: {', '.join(f'{metric} {100 * value:.1f}' for metric, value in values.items())}\n"
        for who, values in found.get("beside", {}).items()
        if values
    ]
    lines += [f"{sentence}\n" for sentence in (found["overfitting"], *found["forgetting"]) if sentence]
    return "\n".join(lines)


def system(one: dict[str, Any], percent: bool) -> str:
    def shown(value: float | None, signed: bool = False) -> str:
        if value is None:
            return ""
        scale, digits = (100, 1) if percent else (1, 3)
        return f"{scale * value:+.{digits}f}" if signed else f"{scale * value:.{digits}f}"

    def ends(low: float | None, high: float | None, signed: bool = False) -> str:
        return "" if low is None else f"{shown(low, signed)} to {shown(high, signed)}"

    gap = one.get("difference", {})
    p = gap.get("p")
    return (
        f"| {one['name']} | {shown(one['value'])} | {ends(*one['interval'])} | {shown(gap.get('value'), True)} | "
        f"{ends(gap.get('low'), gap.get('high'), True)} | {'' if p is None else f'{p:.2g}'} |"
    )


if __name__ == "__main__":
    main()
