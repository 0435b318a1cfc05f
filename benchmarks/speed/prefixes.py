"""What rows cost that begin with the same 300 tokens, and what padding costs: a step side by side, and padded.

    python benchmarks/speed/prefixes.py [--data DIR] [--rounds 5]

SmolLM2-135M with LoRA, 8 rows a step. "Shared": 300 tokens that all rows begin with, 40 of their own. "Even": rows as
training meets them, of similar length, the chat template's own system prompt in front. "Mixed": rows of 40 to 320
tokens in one batch, nothing shared. Results: ``benchmarks/results/prefixes.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import subjects

from tuneproof.compute import layout as laying
from tuneproof.device import settle
from tuneproof.modalities import Example
from tuneproof.train.batches import epoch_steps
from tuneproof.train.fit import assemble, job
from tuneproof.train.loop import one_step

RESULTS = subjects.RESULTS / "prefixes.json"
ROWS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=subjects.DATA)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="all cores when not given")
    asked = parser.parse_args()
    if told := subjects.missing(asked.data, "gsm8k"):
        print(told)
        return
    settle(asked.threads or subjects.machine().cores)
    work = subjects.chat(asked.data, 400, {})
    state = assemble(work)
    found = {}
    for name, rows in batches(work.train).items():
        running = job(replace(work, train=rows), 1)

        def step(running=running) -> None:
            one_step(state, running, [range(ROWS)])

        def padded(step=step) -> None:
            with never():
                step()

        seconds = subjects.in_turn({"padded": padded, "side by side": step}, asked.rounds)
        laid = laying.layout([row.ids for row in rows])
        wide = ROWS * max(len(row) for row in rows)
        found[name] = {
            "tokens": sum(len(row) for row in rows),
            "padded": wide,
            "computed": wide if laid is None else laid.tokens,
            "shared": 0 if laid is None else laid.prefix,
            "seconds": {side: round(statistics.median(each), 3) for side, each in seconds.items()},
            "rounds": seconds,
            "added_gib": {"padded": subjects.added(padded), "side by side": subjects.added(step)},
        }
        one = found[name]
        gain = one["seconds"]["padded"] / one["seconds"]["side by side"]
        print(
            f"{name}: {one['padded']} tokens become {one['computed']}, {one['seconds']}, {gain:.2f} times", flush=True
        )
    RESULTS.write_text(json.dumps({"here": subjects.here(), **found}, indent=1) + "\n", encoding="utf-8")


def batches(rows: Sequence[Example]) -> dict[str, list[Example]]:
    """Eight rows each, on whose last tokens lies the loss."""
    texts = [list(row.ids) for row in rows]
    flat = [id for text in texts for id in text]

    def own(at: int, length: int) -> list[int]:
        return flat[1000 * at : 1000 * at + length]

    def example(ids: list[int], learnt: int) -> Example:
        return Example(ids, loss=[False] * (len(ids) - learnt) + [True] * learnt)

    order = epoch_steps([len(row) for row in rows], batch_size=ROWS, accumulate=1, seed=0, epoch=0)
    return {
        "shared": [example([*own(20, 300), *own(at, 40)], 30) for at in range(ROWS)],
        "even": [rows[row] for row in order[0][0]],
        "mixed": [example(own(at, 40 * (at + 1)), 20 * (at + 1)) for at in range(ROWS)],
    }


@contextmanager
def never() -> Iterator[None]:
    """Within it nothing is worth laying side by side."""
    usual, laying.SAVES = laying.SAVES, 2.0
    try:
        yield
    finally:
        laying.SAVES = usual


if __name__ == "__main__":
    main()
