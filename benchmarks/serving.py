"""The server under load, beside one forward pass per request: answers per second and latencies on loopback.

    python benchmarks/serving.py RUN [--texts FILE] [--requests 1500] [--concurrency 32] [--rounds 5]

RUN is a finished run of a classifier; FILE has one text a line (the test rows of the run when not given). The server is
a process of its own; the other side is the same model and tokenizer asked text by text, in this process, alternating
with the server, which is idle meanwhile. Then the latency at 60% of what the server can do. Medians of the rounds go to
``benchmarks/results/serving.json``, with the GEMM rate of the machine at that time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "serving.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
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
        server = Server(asked.run, Path(home))
        try:
            rounds = []
            for _ in range(asked.rounds):
                rounds.append(
                    {
                        "one by one": one_by_one(predictor, texts[: len(texts) // 4]),
                        "server": server.load(run.id, texts, asked.concurrency),
                    }
                )
                print(rounds[-1], flush=True)
            rate = statistics.median(each["server"]["per_second"] for each in rounds)
            paced = [server.load(run.id, texts[: int(rate * 6)], 64, rate=0.6 * rate) for _ in range(asked.rounds)]
        finally:
            server.end()
    found = {
        "gain": statistics.median(each["server"]["per_second"] / each["one by one"]["per_second"] for each in rounds),
        "rounds": rounds,
        "at 60%": paced,
        "p95 at 60%": statistics.median(each["p95"] for each in paced),
        **about(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(
        f"{found['gain']:.2f} times one forward pass per request; p95 at 60% load {1000 * found['p95 at 60%']:.0f} ms"
    )


def one_by_one(predictor: Any, texts: list[str]) -> dict[str, float]:
    """The same model, a text at a time."""
    began = time.monotonic()
    for text in texts:
        predictor([text])
    return {"per_second": len(texts) / (time.monotonic() - began)}


class Server:
    """``tuneproof serve`` as a process."""

    def __init__(self, run: Path, home: Path) -> None:
        command = [sys.executable, "-m", "tuneproof.cli", "serve", str(run), "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "XDG_DATA_HOME": str(home)}
        )
        assert self.process.stdout is not None
        self.port = 0
        for line in self.process.stdout:
            if "Serving " in line:
                self.port = int(line.rsplit(":", 1)[1])
            if "Authorization" in line:
                break
        self.token = (home / "tuneproof" / "run" / "token").read_text().split()[1]

    def load(self, model: str, texts: list[str], concurrency: int, rate: float | None = None) -> dict[str, float]:
        """All texts, one a request, from so many callers at once; with ``rate`` they come evenly, so many a second."""
        places = iter(range(len(texts)))
        lock, seconds = threading.Lock(), list[float]()
        began = time.monotonic()

        def caller() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            while True:
                with lock:
                    index = next(places, None)
                if index is None:
                    break
                due = began + index / rate if rate else time.monotonic()
                time.sleep(max(0.0, due - time.monotonic()))
                body = json.dumps({"model": model, "input": texts[index], "top_k": 1})
                connection.request("POST", "/v1/classify", body, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
                seconds.append(time.monotonic() - due)
            connection.close()

        callers = [threading.Thread(target=caller) for _ in range(concurrency)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        total = time.monotonic() - began
        ranked = sorted(seconds)
        return {
            "per_second": len(texts) / total,
            "p50": ranked[len(ranked) // 2],
            "p95": ranked[int(0.95 * len(ranked))],
        }

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def about() -> dict[str, Any]:
    from importlib.metadata import version

    import torch

    from tuneproof.device import machine

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
