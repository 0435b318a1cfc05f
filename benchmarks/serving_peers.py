"""LitServe and transformers' own server beside ours: answers per second, and seconds at one and the same load.

    make bench-servers RUN=runs/reviews-7f3a [CHAT=runs/support-19c2]
    python benchmarks/serving_peers.py RUN [--chat RUN] [--rounds 3] [--requests 1500] [--peers DIR]

RUN is a finished run of a classifier, ``--chat`` one of a chat model, all of their weights tuned. The peers are
installed into an environment of their own (``--peers``, a folder git does not see), which borrows torch and
transformers from this one. LitServe gets batches and a wait as ours has them (at most 32, none), once with one worker
on all cores and once with a worker for each. transformers' server has no route for a classifier of this kind, so it is
compared on the chat model, with and without its continuous batching. Each server is alone while it is measured. Results
go to ``benchmarks/results/serving_peers.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving import CALLERS, PACED, Server, Target, about, load

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "serving_peers.json"
BATCH, WAIT = 32, 0.0
TOKENS, DIALOGUES, AT_ONCE = 32, 32, 8  # of the chat: tokens of an answer, requests of a round, callers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--chat", type=Path)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=HERE.parent / ".venv-servers")
    parser.add_argument("--install", action="store_true", help="only make the environment of the peers")
    asked = parser.parse_args()
    if asked.run is None and not asked.install:
        print("Skipped: name a finished run of a classifier.")
        return
    fault = installed(asked.peers)
    if fault or asked.install:
        print(f"Skipped: the peers cannot be installed: {fault}" if fault else "The peers are installed.")
        return
    found = {"classifier": classifiers(asked), "chat": chats(asked) if asked.chat else None}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**found, **about(), "peers": versions(asked.peers)}, indent=1) + "\n")


def installed(folder: Path) -> str:
    """Makes the environment where it is missing; why it cannot be made, or ""."""
    done = folder / ".made"
    if done.is_file():
        return ""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    own = subprocess.run(
        [folder / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    Path(own.stdout.strip(), "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    made = subprocess.run([*pip, "litserve", "fastapi"], capture_output=True, text=True, check=False)
    if made.returncode:
        return made.stderr.strip().splitlines()[-1]
    done.touch()
    return ""


def versions(folder: Path) -> dict[str, str]:
    asked = "import importlib.metadata as m; print(*(m.version(n) for n in ('litserve', 'fastapi', 'transformers')))"
    told = subprocess.run([folder / "bin" / "python", "-c", asked], capture_output=True, text=True, check=True)
    return dict(zip(("litserve", "fastapi", "transformers"), told.stdout.split(), strict=True))


# -- classifiers


def classifiers(asked: argparse.Namespace) -> dict[str, Any]:
    from tuneproof.device import machine
    from tuneproof.run import Run

    run, cores = Run.open(asked.run), machine().cores
    texts = [str(text) for text in run.splits.test.columns["text"]][: asked.requests]

    def lit(workers: int, threads: int) -> Callable[[], Any]:
        command = [HERE / "peers" / "litserve_app.py", run.model, workers, threads, BATCH, WAIT]
        return lambda: peer(asked.peers, command, Target(0, "/predict", lambda text: {"input": text}))

    servers = {
        "tuneproof": lambda: ours(asked.run, lambda server: server.classifier(run.id)),
        f"LitServe, 1 worker of {cores} threads": lit(1, cores),
        f"LitServe, {cores} workers of 1 thread": lit(cores, 1),
    }
    found: dict[str, Any] = {}
    for name, server in servers.items():
        with server() as target:
            load(target, texts[:200], 32)
            found[name] = {"full": [load(target, texts, 32) for _ in range(asked.rounds)]}
            print(name, found[name], flush=True)
    rate = 0.6 * min(middle(one["full"], "per_second") for one in found.values())
    for name, server in servers.items():
        with server() as target:
            load(target, texts[:200], 32)
            paced = [load(target, texts[: int(rate * PACED)], CALLERS, rate) for _ in range(asked.rounds)]
            found[name]["at the same rate"] = paced
            print(name, f"at {rate:.0f} a second", paced, flush=True)
    return {
        "rate": rate,
        "servers": found,
        "medians": {
            name: {
                "per_second": middle(one["full"], "per_second"),
                "p95 of 32 callers": middle(one["full"], "p95"),
                "p50 at the rate": middle(one["at the same rate"], "p50"),
                "p95 at the rate": middle(one["at the same rate"], "p95"),
            }
            for name, one in found.items()
        },
    }


def middle(rounds: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in rounds)


# -- chat models


def chats(asked: argparse.Namespace) -> dict[str, Any]:
    from tuneproof.run import Run

    run = Run.open(asked.chat)
    rows = [row["messages"] for row in run.splits.test.rows()]
    questions = [json.dumps([m for m in messages if m["role"] != "assistant"][:1]) for messages in rows[:DIALOGUES]]

    def body(model: str) -> Callable[[str], Any]:
        return lambda text: {
            "model": model, "messages": json.loads(text), "max_tokens": TOKENS, "temperature": 0, "stream": False
        }  # fmt: skip

    def theirs(*more: str) -> Callable[[], Any]:
        command = ["-m", "transformers.cli.transformers", "serve", run.model, "--device", "cpu", *more, "--port"]
        return lambda: peer(asked.peers, command, Target(0, "/v1/chat/completions", body(str(run.model))))

    servers = {
        "tuneproof": lambda: ours(
            asked.chat, lambda server: Target(server.port, "/v1/chat/completions", body(run.id), server.token)
        ),
        "transformers serve": theirs(),
        "transformers serve, continuous batching": theirs("--continuous-batching"),
    }
    found: dict[str, Any] = {}
    for name, server in servers.items():
        try:
            with server() as target:
                load(target, questions[:2], 2)
                found[name] = load(target, questions, AT_ONCE)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            found[name] = {"skipped": str(error)[:300]}
        print(name, found[name], flush=True)
    return {"callers": AT_ONCE, "tokens": TOKENS, "requests": len(questions), "servers": found}


# -- processes


@contextmanager
def ours(run: Path, of: Callable[[Server], Target]) -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as home:
        server = Server([str(run)], Path(home))
        try:
            yield of(server)
        finally:
            server.end()


@contextmanager
def peer(folder: Path, command: list[Any], target: Target) -> Iterator[Target]:
    """A server in the environment of the peers; the port is put where the command has room for it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [str(word) for word in command]
    at = 2 if words[0].endswith(".py") else len(words)
    process = subprocess.Popen(
        [folder / "bin" / "python", *words[:at], str(port), *words[at:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        listening(process, port)
        yield Target(port, target.path, target.body)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Returns once somebody listens; RuntimeError where the process ends, or nobody does within two minutes."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not listen within two minutes")


if __name__ == "__main__":
    main()
