"""The server under load, beside one forward pass per request: answers per second and latencies on loopback.

    python benchmarks/serving.py RUN [--texts FILE] [--requests 1500] [--concurrency 32] [--rounds 5] [--onnx]

RUN is a finished run of a classifier; FILE has one text a line (the test rows of the run when not given). The server is
a process of its own, and with ``--onnx`` there is a second one, whose model onnxruntime computes; the other side is the
same model and tokenizer asked text by text, in this process. They take turns, and who has none is idle. Then the
latency at 60% of what each server can do, and what it would be if there were nothing but the model: a queue simulated
with the seconds that batches take on one core. All rounds and their medians go to ``benchmarks/results/serving.json``,
with the GEMM rate of the machine at that time.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "serving.json"
PACED = 6  # seconds of a round at 60%
CALLERS = 64  # connections of such a round, more than are ever busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--onnx", action="store_true", help="tuneproof serve --onnx, beside the server without it")
    asked = parser.parse_args()
    if asked.run is None:
        print("Skipped: name a finished run of a classifier.")
        return
    from tuneproof.predict import Predictor
    from tuneproof.run import Run

    run = Run.open(asked.run)
    predictor = Predictor.open(run)
    texts = (
        asked.texts.read_text(encoding="utf-8").splitlines() if asked.texts else list(run.splits.test.columns["text"])
    )
    texts = [str(text) for text in texts[: asked.requests]]
    with tempfile.TemporaryDirectory() as home:
        servers = {"server": Server([str(asked.run)], Path(home))}
        if asked.onnx:
            servers["server, onnxruntime"] = Server([str(asked.run)], Path(home), "--onnx")
        targets = {name: one.classifier(run.id) for name, one in servers.items()}
        try:
            rounds = []
            for _ in range(asked.rounds):
                round_ = {"one by one": one_by_one(predictor, texts[: len(texts) // 4])}
                rounds.append(
                    round_ | {name: load(target, texts, asked.concurrency) for name, target in targets.items()}
                )
                print(rounds[-1], flush=True)
            rates = {name: 0.6 * statistics.median(each[name]["per_second"] for each in rounds) for name in targets}
            paced: dict[str, list[dict[str, float]]] = {name: [] for name in targets}
            for _ in range(asked.rounds):
                for name, target in targets.items():
                    sent = (texts * 3)[: int(rates[name] * PACED)]
                    paced[name].append(load(target, sent, CALLERS, rates[name]))
            print(paced, flush=True)
        finally:
            for one in servers.values():
                one.end()
    took = batch_seconds(predictor, texts)
    found = {
        "gain": {
            name: statistics.median(each[name]["per_second"] / each["one by one"]["per_second"] for each in rounds)
            for name in targets
        },
        "rounds": rounds,
        "at 60%": paced,
        "p95 at 60%": {name: statistics.median(each["p95"] for each in those) for name, those in paced.items()},
        "seconds of a batch on one core": took,
        "p95 at 60%, the model alone": {str(cores): floor(took, rates["server"], cores) for cores in (1, 2)},
        **about(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for name in targets:
        print(
            f"{name}: {found['gain'][name]:.2f} times one forward pass per request; "
            f"p95 at 60% load {1000 * found['p95 at 60%'][name]:.0f} ms"
        )
    print(f"by the model alone {found['p95 at 60%, the model alone']}")


def one_by_one(predictor: Any, texts: list[str]) -> dict[str, float]:
    """The same model, a text at a time."""
    began = time.monotonic()
    for text in texts:
        predictor([text])
    return {"per_second": len(texts) / (time.monotonic() - began)}


# -- a load


@dataclass(frozen=True, slots=True)
class Target:
    """What one request looks like, and where it goes."""

    port: int
    path: str
    body: Callable[[str], Any]
    token: str = ""

    def request(self, text: str) -> bytes:
        """As it goes over the line; written beforehand, as callers and server share the cores."""
        body = json.dumps(self.body(text)).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
        if self.token:
            head += f"Authorization: Bearer {self.token}\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer(line: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next answer; http.client would take .8 ms of a core to read its head."""

    def more() -> bytes:
        part = line.recv(65536)
        if not part:
            raise RuntimeError("The server hung up in the middle of an answer.")
        return part

    said = b""
    while b"\r\n\r\n" not in said:
        said += more()
    head, _, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if length is None:
        raise RuntimeError(f"An answer without its length: {head!r}")
    while len(body) < int(length[1]):
        body += more()
    return int(head.split(b" ", 2)[1]), body


def load(
    target: Target, texts: Sequence[str], concurrency: int, rate: float | None = None, seconds: float = 600
) -> dict[str, float]:
    """All texts, one a request, from so many callers at once; with ``rate`` they come evenly, so many a second.

    Seconds of a request count from when it was due. Whatever is not answered with 200 ends the measurement.
    """
    places = iter(range(len(texts)))
    lock, took, failed = threading.Lock(), list[float](), list[str]()
    bodies = {text: target.request(text) for text in texts}
    began = time.monotonic()

    def caller() -> None:
        with socket.create_connection(("127.0.0.1", target.port), timeout=seconds) as line:
            while not failed:
                with lock:
                    index = next(places, None)
                if index is None:
                    break
                due = began + index / rate if rate else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                line.sendall(bodies[texts[index]])
                status, said = answer(line)
                if status != 200:
                    failed.append(f"{status}: {said[:200]!r}")
                took.append(time.monotonic() - due)

    callers = [threading.Thread(target=caller) for _ in range(concurrency)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    total = time.monotonic() - began
    if failed:
        raise RuntimeError(f"A request to {target.path} failed with {failed[0]}")
    ranked = sorted(took)
    return {
        "per_second": len(texts) / total,
        "p50": ranked[len(ranked) // 2],
        "p95": ranked[int(0.95 * len(ranked))],
    }


class Server:
    """``tuneproof serve`` as a process, its home folder elsewhere."""

    def __init__(self, references: Sequence[str], home: Path, *options: str) -> None:
        command = [sys.executable, "-m", "tuneproof.cli", "serve", *references, "--port", "0", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "XDG_DATA_HOME": str(home)}
        )
        assert self.process.stdout is not None
        self.port = 0
        for line in self.process.stdout:
            if line.startswith("Serving "):
                self.port = int(line.rsplit(":", 1)[1])
            if "Authorization" in line:
                break
        self.token = (home / "tuneproof" / "run" / "token").read_text().split()[1]

    def classifier(self, model: str) -> Target:
        return Target(self.port, "/v1/classify", lambda text: {"model": model, "input": text, "top_k": 1}, self.token)

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


# -- what the model alone allows


def batch_seconds(predictor: Any, texts: Sequence[str]) -> dict[int, float]:
    """Medians of the seconds that batches of similar length take on one core."""
    import torch

    from tuneproof.predict import generation

    torch.set_num_threads(1)
    rows = [predictor.parts(text, 1) for text in texts]
    rows.sort(key=lambda row: predictor.answer.length(row, predictor.encoder))
    found = {}
    for size in (1, 2, 4, 8, 16, 32):
        took = []
        for index in range(24):
            at = index * (len(rows) - size) // 23
            began = time.perf_counter()
            predictor.respond(rows[at : at + size], generation(predictor.config))
            took.append(time.perf_counter() - began)
        found[size] = statistics.median(took[2:])
    return found


def floor(took: Mapping[int, float], rate: float, cores: int, requests: int = 20_000) -> float:
    """95th percentile of the seconds of requests that come evenly, where a batch takes what the model takes, no more.

    A core that is free takes its share of what waits, as the server's threads do.
    """
    sizes = sorted(took)

    def seconds(size: int) -> float:
        upper = next((one for one in sizes if one >= size), sizes[-1])
        lower = max((one for one in sizes if one <= size), default=upper)
        share = 0.0 if upper == lower else (size - lower) / (upper - lower)
        return took[lower] + share * (took[upper] - took[lower])

    free = [0.0] * cores
    waited, first = list[float](), 0
    while first < requests:
        now = max(heapq.heappop(free), first / rate)
        waiting = min(requests, math.floor(now * rate + 1e-9) + 1) - first
        size = min(sizes[-1], math.ceil(waiting / cores))
        over = now + seconds(size)
        waited += [over - index / rate for index in range(first, first + size)]
        heapq.heappush(free, over)
        first += size
    return sorted(waited)[int(0.95 * len(waited))]


def about() -> dict[str, Any]:
    from importlib.metadata import version

    import torch

    from tuneproof.device import machine

    torch.set_num_threads(machine().cores)
    left = torch.ones(512, 512)
    began = time.perf_counter()
    for _ in range(50):
        left @ left
    rate = 50 * 2 * 512**3 / (time.perf_counter() - began) / 1e9
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return {
        "gemm fp32 GFLOP/s": round(rate),
        "machine": machine().describe(),
        "commit": commit.stdout.strip(),
        "versions": {name: version(name) for name in ("torch", "transformers", "starlette", "uvicorn")},
    }


if __name__ == "__main__":
    main()
