"""How the cost of training grows with the rows and with their length: seconds, peak memory and slopes, as a chart.

    python benchmarks/speed/growth.py [--data DIR] [--rounds 3]

Rows: one epoch of MiniLM-L6 on banking77 with 1, 4 and 16 times as many rows, full tuning. Lengths: a step of
SmolLM2-135M with LoRA, 8 rows of 128, 256 and 512 tokens, every second one learnt. A slope is that of the logarithm of
the seconds against that of the tokens: 1 is linear. Each size is a process of its own, so that its memory is its own.
Results: ``benchmarks/results/growth.json`` and ``docs/growth.svg``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import subjects

from tuneproof.device import settle
from tuneproof.memory import peak
from tuneproof.modalities import Example
from tuneproof.train.batches import epoch_steps
from tuneproof.train.fit import assemble, job
from tuneproof.train.loop import one_step, training_mode

RESULTS = subjects.RESULTS / "growth.json"
CHART = subjects.ROOT / "docs" / "growth.svg"
FEWEST, SHORTEST = 96, 128
ROWS, LENGTHS = (1, 4, 16), (1, 2, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="all cores when not given")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "TIMES"), help="measure one size and print it")
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "gsm8k", "banking77"):
        print(told)
        return
    settle(asked.threads or subjects.machine().cores)
    if asked.one:
        what, times = asked.one
        print(json.dumps((rows if what == "rows" else lengths)(asked.data, int(times), asked.rounds)))
        return
    found: dict[str, Any] = {"here": subjects.here(), "rows": [], "lengths": []}
    for what, sizes in (("rows", ROWS), ("lengths", LENGTHS)):
        for times in sizes:
            found[what].append(alone(what, times, asked))
            print(what, times, found[what][-1], flush=True)
        found[f"slope of {what}"] = slope(found[what])
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    CHART.write_text(chart(found), encoding="utf-8")
    print({key: value for key, value in found.items() if key.startswith("slope")})


def alone(what: str, times: int, asked: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--data", str(asked.data), "--rounds", str(asked.rounds)]
    command += ["--threads", str(asked.threads), "--one", what, str(times)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def rows(data: Path, times: int, rounds: int) -> dict[str, float]:
    work = subjects.classes(data, times * FEWEST, {"train.batch_size": 32})
    order = epoch_steps([len(e) for e in work.train], batch_size=32, accumulate=1, seed=0, epoch=0)
    return measured(work, order, 1 if times == ROWS[-1] else rounds)


def lengths(data: Path, times: int, rounds: int) -> dict[str, float]:
    work = subjects.chat(data, 400, {})
    flat = [id for row in work.train for id in row.ids]
    size = times * SHORTEST
    made = [Example(flat[at * size : (at + 1) * size], loss=[bool(n % 2) for n in range(size)]) for at in range(8)]
    return measured(replace(work, train=made), [[list(range(8))]], rounds)


def measured(work: Any, order: Any, rounds: int) -> dict[str, float]:
    """Median seconds of all steps of ``order`` after a step that warms up; memory that training added."""
    state, running = assemble(work), job(work, 1)
    training_mode(state.model)
    before = peak()
    one_step(state, running, max(order, key=lambda micros: max(len(work.train[row]) for row in micros[0])))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        for micros in order:
            one_step(state, running, micros)
        seconds.append(time.perf_counter() - began)
    tokens = sum(len(work.train[row]) for micros in order for micro in micros for row in micro)
    return {
        "tokens": tokens,
        "seconds": round(statistics.median(seconds), 3),
        "peak_gib": round(peak() / 2**30, 3),
        "added_gib": round((peak() - before) / 2**30, 3),
    }


def slope(points: list[dict[str, float]]) -> float:
    """Least squares through the logarithms."""
    x = [math.log(point["tokens"]) for point in points]
    y = [math.log(point["seconds"]) for point in points]
    mx, my = statistics.mean(x), statistics.mean(y)
    up = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return round(up / sum((a - mx) ** 2 for a in x), 3)


def chart(found: dict[str, Any]) -> str:
    """Two drawings side by side: seconds as dots with the line that is linear in tokens, GiB under each."""
    parts = []
    for at, (what, title) in enumerate(
        (("rows", "rows x1, x4, x16 (MiniLM-L6)"), ("lengths", "length x1, x2, x4 (SmolLM2)"))
    ):
        points = found[what]
        most_x, most_y = points[-1]["tokens"], max(point["seconds"] for point in points)
        left = 60 + 330 * at
        parts.append(f'<text x="{left}" y="24" class="title">{title}, slope {found[f"slope of {what}"]}</text>')
        parts.append(f'<path d="M{left} 40V240H{left + 270}" class="axis"/>')
        first = points[0]
        rate = first["seconds"] / first["tokens"]
        parts.append(f'<path d="M{left} 240L{left + 260} {240 - 190 * rate * most_x / most_y:.0f}" class="linear"/>')
        for point in points:
            x, y = left + 260 * point["tokens"] / most_x, 240 - 190 * point["seconds"] / most_y
            parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4"/>')
            parts.append(f'<text x="{x - 6:.0f}" y="{y - 10:.0f}" class="end">{point["seconds"]:.2f} s</text>')
            parts.append(f'<text x="{x:.0f}" y="258" class="end">{point["tokens"]:,}</text>')
            parts.append(f'<text x="{x:.0f}" y="274" class="end">{point["peak_gib"]:.2f} GiB</text>')
    style = (
        "text{font:12px system-ui,sans-serif;fill:#333}.title{font-weight:600}.end{text-anchor:end}"
        "path{fill:none}.axis{stroke:#888}.linear{stroke:#888;stroke-dasharray:4 4}circle{fill:#2563a8}"
    )
    said = "Seconds over tokens; the dashed line is the first size scaled in proportion. Below: tokens and peak memory."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 290" role="img"><title>{said}</title>'
        f'<style>{style}</style><rect width="720" height="290" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    main()
