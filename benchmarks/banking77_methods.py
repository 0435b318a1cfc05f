"""Nine methods on the same 10,003 questions of a bank's customers, 77 classes: what each reaches, and what it costs.

    python benchmarks/banking77_methods.py [--data DIR] [--only vera] [--again] [--epochs 3] [--set train.threads=1]
        [--table] [--cut 300]

``tuneproof tune`` with default settings and seed 0 but for the method and the epochs, each in a process of its own.
Results go to ``benchmarks/results/banking77_methods.json``, table and chart to ``docs/methods.md`` and
``docs/methods.svg``, after each method: stopped and started again, it goes on with those that are missing. With
``--cut`` about so many rows are taken and all three go into the folder of the runs. Minutes are those of a machine that
may be shared; the page says so.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "banking77_methods.json"
PAGE = HERE.parent / "docs" / "methods.md"
CHART = HERE.parent / "docs" / "methods.svg"
NINE = ("full", "freeze", "lora", "bitfit", "vera", "ia3", "ln", "oft", "prompt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data" / "banking77")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--again", action="store_true", help="also the methods that have results")
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--runs", type=Path, default=Path("runs/banking77-methods"))
    parser.add_argument("--set", action="append", default=[], help="passed on; kept with the results")
    parser.add_argument("--table", action="store_true", help="only write page and chart from the results")
    parser.add_argument("--cut", type=int, help="only so many rows of each file, for a trial of this program")
    asked = parser.parse_args()
    results, page_at, chart_at = RESULTS, PAGE, CHART
    if asked.cut:
        results, page_at, chart_at = (asked.runs / path.name for path in (RESULTS, PAGE, CHART))
        asked.data = cut(asked.data, asked.cut, asked.runs / "data")
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    if not asked.table and not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    for name in () if asked.table else asked.only or NINE:
        if name not in found or asked.again:
            found[name] = one(asked.data, name, asked.epochs, asked.set, asked.runs / name)
            found = {method: found[method] for method in (*NINE, *found) if method in found}
            results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(row(name, found[name]), flush=True)
        page_at.write_text(page(found, asked.cut), encoding="utf-8")
        chart_at.write_text(chart(found), encoding="utf-8")
    if asked.table:
        page_at.write_text(page(found, asked.cut), encoding="utf-8")
        chart_at.write_text(chart(found), encoding="utf-8")


def cut(data: Path, rows: int, to: Path) -> Path:
    """Of both files the first 20 rows of each of the first labels."""
    to.mkdir(parents=True, exist_ok=True)
    for name in ("train.csv", "test.csv"):
        with (data / name).open(encoding="utf-8", newline="") as lines:
            head, *body = csv.reader(lines)
        labels = sorted({label for _, label in body})[: max(2, rows // 20)]
        kept = [row for label in labels for row in [row for row in body if row[1] == label][:20]]
        with (to / name).open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([head, *kept])
    return to


def one(data: Path, method: str, epochs: str, options: list[str], runs: Path) -> dict[str, Any]:
    """One run in a process of its own; its report in short."""
    command = [sys.executable, "-m", "tuneproof.cli", "tune", str(data / "train.csv"), "--test", str(data / "test.csv")]
    command += ["--method", method, "--epochs", epochs, "--runs", str(runs)]
    command += [part for option in options for part in ("--set", option)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    newest = max(runs.iterdir(), key=lambda path: path.stat().st_mtime)
    report = json.loads((newest / "eval/test/report.json").read_text(encoding="utf-8"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    tuned, *others = report["scores"]["systems"]
    return {
        "accuracy": tuned["values"]["accuracy"],
        "interval": tuned["interval"],
        "beside": {s["name"]: s["values"]["accuracy"] for s in others},
        "verdict": report["verdict"],
        "forgetting": report["forgetting"]["sets"] if report["forgetting"] else [],
        "cost": report["cost"],
        "lr": next(s["value"] for s in report["plan"] if s["name"] == "train.lr"),
        "epochs": float(epochs),
        "options": options,
        "machine": report["run"]["machine"],
        "versions": report["run"]["versions"],
        "commit": commit.stdout.strip(),
    }


def row(name: str, found: dict[str, Any]) -> str:
    low, high = found["interval"]
    cost = found["cost"]
    best = max(found["beside"].values())
    minutes = sum(cost["seconds"].values()) / 60
    share = 100 * cost["trained_parameters"] / cost["all_parameters"]
    lost = "; ".join(
        f"{one['verdict']}"
        + (f" ({one['base']:.3f} to {one['tuned']:.3f}, {one['measure']})" if "tuned" in one else "")
        for one in found["forgetting"]
    )
    return (
        f"| {name} | {found['accuracy']:.4f} ({low:.4f} to {high:.4f}) | {found['accuracy'] - best:+.4f}, "
        f"{found['verdict']} | {cost['trained_parameters']:,} ({share:.2f}%) | {cost['peak_memory_mib']:,} MiB | "
        f"{minutes:.1f} | {lost} | {found['lr']:g} |"
    )


def page(found: dict[str, Any], cut: int | None = None) -> str:
    rows = "\n".join(row(name, one) for name, one in found.items())
    any_run = next(iter(found.values()))
    versions = ", ".join(f"{name} {version}" for name, version in any_run["versions"].items())
    beside = "; ".join(f"{name} {value:.4f}" for name, value in any_run["beside"].items())
    epochs = ", ".join(sorted({f"{one['epochs']:g}" for one in found.values()}))
    missing = [name for name in NINE if name not in found]
    left = f"\nNot run yet: {', '.join(missing)}.\n" if missing else ""
    left += f"\nA trial of the program with about {cut} rows of each file: these figures mean nothing.\n" if cut else ""
    commits = ", ".join(sorted({one["commit"] for one in found.values()}))
    return f"""# Methods on one data set

banking77: 10,003 questions of a bank's customers to train on, 3,080 to test, 77 classes; MiniLM-L6,
{epochs} epochs, seed 0, every other setting as decided. Made by
`python benchmarks/banking77_methods.py`, which writes the chart as well.

![accuracy by method](methods.svg)

| method | accuracy (95% interval) | against the best baseline | trains | peak memory | minutes | forgetting | rate |
|---|---|---|---|---|---|---|---|
{rows}
{left}
Beside them: {beside}. One seed: differences smaller than the intervals mean nothing. Where a method is below a
baseline, its own page says so as this table does. Machine: {any_run["machine"]}, shared with other work, so minutes
are an upper bound; commit {commits}; {versions}.

`tuneproof methods` lists all methods with their cost.
"""


def chart(found: dict[str, Any]) -> str:
    """Intervals of accuracy, one line per method, with the strongest baseline as an upright."""
    best = max(next(iter(found.values()))["beside"].values())
    low = min(best, *(one["interval"][0] for one in found.values()))
    high = max(best, *(one["interval"][1] for one in found.values()))
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)

    def at(value: float) -> float:
        return 110 + 560 * (value - low) / (high - low)

    height = 60 + 26 * len(found)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="720" height="{height}" fill="white"/>',
        f'<path d="M{at(best):.1f} 20V{height - 35}" stroke="#999" stroke-dasharray="4"/>',
        f'<text x="{at(best):.1f}" y="14" text-anchor="middle" fill="#666">strongest baseline {best:.3f}</text>',
    ]
    for index, (name, one) in enumerate(found.items()):
        y = 38 + 26 * index
        left, right = one["interval"]
        lines += [
            f'<text x="100" y="{y + 4}" text-anchor="end">{name}</text>',
            f'<line x1="{at(left):.1f}" x2="{at(right):.1f}" y1="{y}" y2="{y}" stroke="#2b6cb0" stroke-width="2"/>',
            f'<circle cx="{at(one["accuracy"]):.1f}" cy="{y}" r="5" fill="#2b6cb0"/>',
        ]
    for n in range(5):
        value = low + n * (high - low) / 4
        place = f'x="{at(value):.1f}" y="{height - 22}"'
        lines.append(f'<text {place} text-anchor="middle" font-size="11" fill="#666">{value:.3f}</text>')
    lines.append(f'<text x="390" y="{height - 6}" text-anchor="middle">accuracy, 95% interval</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    main()
