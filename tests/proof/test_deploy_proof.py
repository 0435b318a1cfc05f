"""A hundred kills at seeded random moments, of servers under load and of promotions: the registry verifies each time.

    make proof          # or: pytest -m proof tests/proof/test_deploy_proof.py -s

Each kill is a real SIGKILL of a process that runs the command line (killable.py). A server is killed while it opens its
models, while it answers, or while it follows an alias that moves; the next one has to come back with the champion.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from test_resume_proof import Processes
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof.deploy.registry import Registry
from tuneproof.deploy.registry.rollback import roll_back
from tuneproof.pipeline import Quiet, add

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("one_thread")]

KILLS = 50  # of each kind
STARTS = 300.0  # seconds within which a server answers, whatever else the machine does


@pytest.fixture(scope="module")
def run(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with test rows enough for the gate to decide."""
    root = tmp_path_factory.mktemp("runs")
    rows = review_rows(300, seed=3)
    train, test = write_csv(root / "train.csv", rows[120:]), write_csv(root / "test.csv", rows[:120])
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
    options |= {"data_test": str(test), "model_name": str(tiny_bert), "method_name": "full", "train_epochs": 2}
    return tp.tune(train, runs=root / "runs", **options).run.path


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Path) -> Registry:
    """Two equal versions of one name, the first of them the champion."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    books = Registry()
    for _ in range(2):
        add(run, "reviews", view=Quiet())
    with books.deciding("reviews") as now:
        books.decide("reviews", "promoted", books.listed("reviews@1"), {**now, "champion": 1}, expected=now, facts={})
    return books


@pytest.fixture
def processes(own_cache: Path, registry: Registry) -> Iterator[Processes]:
    """Started after the home folder is set, which its children inherit."""
    made = Processes(str(own_cache))
    yield made
    made.server.communicate(timeout=30)


def holds(registry: Registry) -> None:
    """Everything is as it was written, and one version is the champion and can be opened."""
    fresh = Registry(registry.root)
    assert fresh.verify() == []
    assert fresh.resolve("reviews").number == fresh.aliases("reviews")["champion"] == champion_of(fresh)


def champion_of(registry: Registry) -> int:
    return registry.ledger("reviews")[-1].aliases["champion"]


def move(registry: Registry) -> None:
    """The other version becomes the champion."""
    other = 3 - champion_of(registry)
    version = registry.listed(f"reviews@{other}")
    with registry.deciding("reviews") as now:
        registry.decide("reviews", "promoted", version, {**now, "champion": other}, expected=now, facts={})


class Asked:
    """A server that listens, found by what it printed; gone when it was killed before."""

    def __init__(self, pid: int, log: Path, registry: Registry) -> None:
        said = ""
        until = time.monotonic() + STARTS
        while "Authorization" not in said:
            if not Path(f"/proc/{pid}").exists():
                raise ConnectionError("killed before it answered")
            assert time.monotonic() < until, said
            time.sleep(0.01)
            said = log.read_text() if log.exists() else ""
        self.url = next(line for line in said.splitlines() if line.startswith("Serving ")).split()[-1]
        self.token = (registry.root / "run" / "token").read_text().split()[1]

    def version(self) -> str:
        body = json.dumps({"model": "reviews", "input": "the lamp is great"}).encode()
        request = urllib.request.Request(f"{self.url}/v1/classify", body, method="POST")
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return str(found["model"])


def seconds_of_a_start(processes: Processes, registry: Registry, cwd: Path) -> float:
    """Until a server that nobody kills has answered."""
    began = time.monotonic()
    pid = processes.start(cwd, "serve", "reviews", "--port", "0")
    assert Asked(pid, processes.log, registry).version() == f"reviews@{champion_of(registry)}"
    took = time.monotonic() - began
    os.kill(pid, signal.SIGKILL)
    assert processes.hear()["signal"] == signal.SIGKILL
    return took


def killed_servers(processes: Processes, registry: Registry, cwd: Path, kills: int, seed: int) -> Counter[str]:
    """How many were killed before their first answer, and how many later."""
    draw = random.Random(seed)
    seen: Counter[str] = Counter()
    start = seconds_of_a_start(processes, registry, cwd)  # half a second on a quiet machine
    while sum(seen.values()) < kills:
        after = draw.uniform(0.02, 2 * start if draw.random() < 0.4 else max(5.0, 3 * start))
        pid = processes.start(cwd, "serve", "reviews", "--port", "0", after=after)
        champion, answers = champion_of(registry), 0
        try:
            server = Asked(pid, processes.log, registry)
            while True:
                said = server.version()
                assert said == f"reviews@{champion}" or answers  # the first answer: later ones follow what moves
                answers += 1
                if draw.random() < 0.05:
                    move(registry)
        except (OSError, HTTPException, ValueError):  # it was killed, perhaps in the middle of an answer
            pass
        assert processes.hear()["signal"] == signal.SIGKILL
        holds(registry)
        seen["answering" if answers else "starting"] += 1
    return seen


def test_fifty_killed_servers_come_back_with_the_champion(
    processes: Processes, registry: Registry, tmp_path: Path
) -> None:
    seen = killed_servers(processes, registry, tmp_path, KILLS, seed=1)
    print(f"\n{KILLS} servers killed: {dict(seen)}")
    assert seen["answering"] >= KILLS // 4, seen


def killed_writing(
    processes: Processes, registry: Registry, cwd: Path, asked: tuple[str, ...], after: float
) -> dict[str, Any]:
    """Killed so many seconds after its evidence, the first thing that it writes, was there."""
    gates = registry.folder("reviews") / "gates"
    before = len(list(gates.glob("*.json")))
    pid = processes.start(cwd, *asked)
    while len(list(gates.glob("*.json"))) == before and Path(f"/proc/{pid}").exists():
        time.sleep(0.001)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, signal.SIGKILL)
    return processes.hear()


def killed_promotions(processes: Processes, registry: Registry, cwd: Path, kills: int, seed: int) -> Counter[str]:
    """How many died before their decision was on the disk, and how many after it."""
    policy = cwd / "gate.toml"
    policy.write_text('mode = "not_worse"\nmargin = 0.5\nlatency = 1000\nforgetting = 1\ncalibration = 0.9\n')
    draw = random.Random(seed)
    seen: Counter[str] = Counter()

    def asked() -> tuple[str, ...]:
        return ("promote", f"reviews@{3 - champion_of(registry)}", "--policy", str(policy))

    whole = processes.run(cwd, *asked())
    assert whole["code"] == 0 and champion_of(registry) == 2, processes.log.read_text()
    while sum(seen.values()) < kills:
        champion = champion_of(registry)
        if draw.random() < 0.5:  # while it writes, which is the shortest part
            ended = killed_writing(processes, registry, cwd, asked(), draw.uniform(0.0, 0.03))
        else:
            ended = processes.run(cwd, *asked(), after=draw.random() * whole["seconds"])
        holds(registry)
        if "code" in ended:
            assert ended["code"] == 0 and champion_of(registry) != champion
            whole = ended
            continue
        seen["decided" if champion_of(registry) != champion else "undecided"] += 1
    return seen


def test_fifty_killed_promotions_leave_one_champion(processes: Processes, registry: Registry, tmp_path: Path) -> None:
    seen = killed_promotions(processes, registry, tmp_path, KILLS, seed=2)
    print(f"\n{KILLS} promotions killed: {dict(seen)}")
    assert min(seen["decided"], seen["undecided"]) >= KILLS // 10, seen
    champion = champion_of(registry)
    now, before = roll_back("reviews", books=registry)
    assert (now.number, before.number) == (3 - champion, champion), seen
