"""A chat model's answers to several callers at once: side by side, each from when it is asked, and in batches.

    python benchmarks/serving_chat.py RUN [--callers 8] [--requests 16] [--tokens 32] [--rounds 3]

RUN is a finished run of a model that writes; its test questions are asked, or a few of a customer's where it has fewer.
Both queues of the server over one model in one process, without HTTP, in turn: ``continuous.py``, and ``batching.py``
as models are hosted that cannot be continued. Callers come a fifth of a second apart and ask again when answered.
Medians of the rounds go to ``benchmarks/results/serving_chat.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from serving import about

RESULTS = Path(__file__).parent / "results" / "serving_chat.json"
APART = 0.2  # seconds between the first questions of the callers
THINGS = ("phone", "router", "printer", "screen", "mouse", "keyboard", "account", "laptop")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.run is None:
        print("Skipped: name a finished run of a model that writes.")
        return
    from tuneproof.deploy.server.batching import Batcher
    from tuneproof.deploy.server.continuous import Continuous
    from tuneproof.deploy.server.hosted import WRITERS_BATCH, _write
    from tuneproof.deploy.server.metrics import Metrics
    from tuneproof.device import machine, settle
    from tuneproof.predict import Predictor, generation
    from tuneproof.run import Run

    settle(machine().cores)
    run = Run.open(asked.run)
    predictor = Predictor.open(run)
    how = replace(generation(predictor.config), max_new_tokens=asked.tokens)
    queues: dict[str, Any] = {
        "batches": Batcher("batches", _write(predictor), Metrics(), most=WRITERS_BATCH),
        "continuous": Continuous("continuous", predictor, Metrics()),
    }
    texts = questions(run, asked.requests)
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(asked.rounds):
        order = list(queues) if number % 2 else list(queues)[::-1]
        rounds.append({name: load(queues[name], texts, how, asked.callers) for name in order})
        print(rounds[-1], flush=True)
    for queue in queues.values():
        queue.close()
        assert queue.join(60)
    medians = {
        name: {key: statistics.median(one[name][key] for one in rounds) for key in rounds[0][name]} for name in queues
    }
    asking = {"callers": asked.callers, "requests": asked.requests, "tokens": asked.tokens}
    found = {"model": run.plan["model"]["name"], **asking, "medians": medians, "rounds": rounds, **about()}
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(medians))


def questions(run: Any, count: int) -> list[str]:
    """The first things that users say in the test rows."""
    found = [
        next(str(message["content"]) for message in row["messages"] if message["role"] == "user")
        for row in run.splits.test.rows()
        if "messages" in row
    ]
    made = [f"my {thing} does not work, what can I do about it?" for thing in THINGS]
    return (found + made * count)[:count]


def load(queue: Any, texts: Sequence[str], how: Any, callers: int) -> dict[str, float]:
    """Answers and tokens a second, seconds to the first token (mean) and of an answer (median, longest)."""
    from tuneproof.deploy.server.batching import Item

    places, lock = iter(range(len(texts))), threading.Lock()
    took, first, tokens = list[float](), dict[int, float](), list[int]()

    def ask(index: int) -> None:
        over, began = threading.Event(), time.monotonic()

        def done(what: Any) -> None:
            took.append(time.monotonic() - began)
            tokens.append(what.tokens_out)
            over.set()

        def watch(ids: Sequence[int]) -> bool:
            first.setdefault(index, time.monotonic() - began)
            return len(ids) >= how.max_new_tokens

        row = {"messages": [{"role": "user", "content": texts[index]}]}
        queue.submit([Item(row, 20, how, began + 600, done, watch=watch)])
        over.wait()

    def caller() -> None:
        while True:
            with lock:
                index = next(places, None)
            if index is None:
                return
            ask(index)

    began = time.monotonic()
    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
        time.sleep(APART)
    for thread in threads:
        thread.join()
    total = time.monotonic() - began
    return {
        "answers a second": len(texts) / total,
        "tokens a second": sum(tokens) / total,
        "first token": statistics.mean(first.values()),
        "median": statistics.median(took),
        "longest": max(took),
    }


if __name__ == "__main__":
    main()
