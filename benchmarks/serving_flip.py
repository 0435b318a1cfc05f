"""A server under steady load while its champion changes and changes back: what failed, what was mixed, what memory did.

    python benchmarks/serving_flip.py RUN RUN [--seconds 600] [--concurrency 32] [--onnx]

The two runs of classifiers are registered as two versions of one name. So many callers ask four texts a request without
a pause. After a third of the time the second version is promoted, after two thirds it is rolled back. An answer has to
name one version and to be, in every one of its four parts, what that version says when it is asked alone. The memory of
the server is read every second. Results go to ``benchmarks/results/serving_flip.json``, with ``--onnx`` to
``serving_flip_onnx.json``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from serving import Server, about

RESULTS = Path(__file__).parent / "results" / "serving_flip.json"
NAME, TEXTS, PARTS = "flips", 400, 4
CLOSE = 1e-3  # of a probability: batches of other shapes round otherwise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--onnx", action="store_true", help="tuneproof serve --onnx")
    asked = parser.parse_args()
    if len(asked.runs) != 2:
        print("Skipped: name two finished runs of classifiers on the same labels.")
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        expected = registered(asked.runs)
        server = Server([NAME], Path(home), *["--onnx"] * asked.onnx)
        try:
            found = measured(server, expected, asked.seconds, asked.concurrency)
        finally:
            server.end()
    results = RESULTS.with_stem(f"{RESULTS.stem}_onnx") if asked.onnx else RESULTS
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({**found, **about()}, indent=1) + "\n")
    print({name: value for name, value in found.items() if name != "memory, MiB"}, found["memory, MiB"])


def registered(runs: list[Path]) -> dict[str, dict[str, tuple[str, float]]]:
    """Both as versions, the first of them the champion; what each says of each text."""
    from tuneproof.deploy.registry import Registry
    from tuneproof.pipeline import Quiet, add
    from tuneproof.predict import Predictor
    from tuneproof.run import Run

    texts = [str(text) for text in Run.open(runs[0]).splits.test.columns["text"]]
    random.Random(0).shuffle(texts)
    expected = {}
    for run in runs:
        version = add(run, NAME, view=Quiet())
        said = Predictor.open(version.run)(texts[:TEXTS])
        expected[version.label] = {
            text: (str(p.value), float(p.confidence or 0)) for text, p in zip(texts, said, strict=False)
        }
    move(Registry(), 1)
    return expected


def move(books: Any, number: int) -> None:
    """This version is the champion from now on."""
    version = books.listed(f"{NAME}@{number}")
    with books.deciding(NAME) as now:
        aliases = {"champion": number, **({"previous": now["champion"]} if "champion" in now else {})}
        books.decide(NAME, "promoted", version, aliases, expected=now, facts={})


class Caller(threading.Thread):
    """Asks until it is told to stop, and checks what it is told."""

    def __init__(self, server: Server, expected: dict[str, Any], seed: int, until: float) -> None:
        super().__init__()
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
        self.expected = expected
        self.draw = random.Random(seed)
        self.until = until
        self.texts = sorted(next(iter(expected.values())))
        self.seconds: list[float] = []
        self.versions: list[tuple[float, str]] = []  # when each was answered, and by which
        self.failed: list[str] = []
        self.mixed: list[str] = []

    def run(self) -> None:
        while time.monotonic() < self.until and len(self.failed) < 10:
            began = time.monotonic()
            try:
                self.ask()
            except OSError as error:
                self.failed.append(repr(error))
                self.connection.close()
            self.seconds.append(time.monotonic() - began)
        self.connection.close()

    def ask(self) -> None:
        texts = self.draw.sample(self.texts, PARTS)
        body = json.dumps({"model": NAME, "input": texts, "top_k": 1})
        self.connection.request("POST", "/v1/classify", body, self.headers)
        answer = self.connection.getresponse()
        told = answer.read()
        if answer.status != 200:
            self.failed.append(f"{answer.status} {told[:200]!r}")
            return
        said = json.loads(told)
        version = said["model"]
        self.versions.append((time.monotonic(), version))
        for text, part in zip(texts, said["data"], strict=True):
            label, sure = self.expected[version][text]
            if part["label"] != label or abs(part["confidence"] - sure) > CLOSE:
                self.mixed.append(f"{version} said {part['label']} {part['confidence']:.4f}, alone {label} {sure:.4f}")
        if answer.headers["x-model"] != version:
            self.mixed.append(f"{version} in the body, {answer.headers['x-model']} in the headers")


def measured(server: Server, expected: dict[str, Any], seconds: float, concurrency: int) -> dict[str, Any]:
    from tuneproof.deploy.registry import Registry
    from tuneproof.deploy.registry.rollback import roll_back

    books = Registry()
    began = time.monotonic()
    callers = [Caller(server, expected, seed, began + seconds) for seed in range(concurrency)]
    for caller in callers:
        caller.start()
    memory, moved = list[float](), list[float]()
    while any(caller.is_alive() for caller in callers):
        time.sleep(1)
        memory.append(resident(server.process.pid))
        if time.monotonic() > began + seconds * (len(moved) + 1) / 3 and len(moved) < 2:
            moved.append(time.monotonic())
            if len(moved) == 1:
                move(books, 2)
            else:
                roll_back(NAME, books=books)
    answered = sorted(one for caller in callers for one in caller.versions)
    took = sorted(one for caller in callers for one in caller.seconds)
    tenths = [memory[len(memory) * part // 10 : len(memory) * (part + 1) // 10] for part in range(10)]
    return {
        "seconds": seconds,
        "concurrency": concurrency,
        "requests": len(took),
        "failed": [one for caller in callers for one in caller.failed],
        "mixed": [one for caller in callers for one in caller.mixed],
        "answered by": dict(Counter(version for _, version in answered)),
        "seconds until the promoted version answered": first(answered, moved[0], f"{NAME}@2"),
        "seconds until the old one answered again": first(answered, moved[1], f"{NAME}@1"),
        "p50": took[len(took) // 2],
        "p95": took[int(0.95 * len(took))],
        "memory, MiB": [round(statistics.median(part)) for part in tenths if part],
    }


def first(answered: list[tuple[float, str]], after: float, version: str) -> float | None:
    return next((round(at - after, 2) for at, by in answered if at > after and by == version), None)


def resident(pid: int) -> float:
    """MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    main()
