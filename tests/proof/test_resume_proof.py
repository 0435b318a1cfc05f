"""Fifty kills at seeded random moments, over both tasks, three methods and accumulation: nothing is lost or changed.

    make proof          # or: pytest -m proof tests/proof/test_resume_proof.py -s

Each kill is a real SIGKILL of a process that runs the command line. Half of them come after a random time, half
between two system calls of the path that saves (killable.py). What is compared with the uninterrupted run: the sha256
of the saved weights, every logged loss and validation score, and the scores on the test rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tuneproof.run import Run

pytestmark = pytest.mark.proof

TASKS = ("text-classification", "instruction")
METHODS = ("full", "freeze", "lora")
CASES = [(task, method, parts) for task in TASKS for method in METHODS for parts in (1, 4)]
KILLS = 52  # at least 50, and nearly the same number for each of the twelve cases
OPTIONS = [
    *("--set", "train.threads=1"),
    *("--set", "train.save_seconds=0"),
    *("--set", "train.log_every=1"),
    *("--set", "train.validate_every=4"),
    *("--set", "train.batch_size=8"),
    *("--set", "train.patience=100"),
    *("--set", "model.precision=fp32"),  # measured otherwise, and a busy machine measures differently
    *("--set", "evaluate.precision=fp32"),
]


class Processes:
    """Command lines in processes of their own, one at a time."""

    def __init__(self, cache: str) -> None:
        program = Path(__file__).with_name("killable.py")
        self.server = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": cache, "TOKENIZERS_PARALLELISM": "false"},
        )
        assert self.hear() == {"ready": True}
        self.started = 0

    def hear(self) -> dict[str, Any]:
        assert self.server.stdout is not None
        return json.loads(self.server.stdout.readline())

    def start(self, cwd: Path, *argv: object, after: float | None = None, die_at: int | None = None) -> int:
        assert self.server.stdin is not None
        self.started += 1
        self.log = cwd / f"log-{self.started}"
        order = {"argv": [str(a) for a in argv], "cwd": str(cwd), "log": str(self.log)}
        self.server.stdin.write(json.dumps({**order, "after": after, "die_at": die_at}) + "\n")
        self.server.stdin.flush()
        return int(self.hear()["pid"])

    def run(self, cwd: Path, *argv: object, after: float | None = None, die_at: int | None = None) -> dict[str, Any]:
        """To its end, or to its death ``after`` so many seconds."""
        self.start(cwd, *argv, after=after, die_at=die_at)
        return self.hear()


@pytest.fixture(scope="module")
def processes(own_cache: Path) -> Iterator[Processes]:
    made = Processes(str(own_cache))
    yield made
    made.server.communicate(timeout=30)


def outcome(run: Run) -> dict[str, Any]:
    """All that must be equal."""
    weights = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(run.model.glob("*.safetensors"))
    }
    assert len(weights) == 1
    keys = ("step", "epoch", "loss", "lr", "rows", "tokens", "validation")
    lines = [{key: line.get(key) for key in keys} for line in run.metrics()]
    scores = [(system["name"], system["values"]) for system in run.scores["systems"]]
    return {"weights": weights, "metrics": lines, "scores": scores}


def arguments(task: str, method: str, parts: int, files: Mapping[str, Path], bases: Mapping[str, Path]) -> list[str]:
    epochs = "4" if task == "text-classification" else "8"  # about thirty steps of each
    short = ["--set", "evaluate.answers=1", "--set", "evaluate.max_new_tokens=4"] if task == "instruction" else []
    return [
        *("tune", str(files[task]), "--model", str(bases[task]), "--method", method, "--epochs", epochs),
        *("--set", f"train.accumulate={parts}"),
        *OPTIONS,
        *short,
    ]


class Whole:
    """The uninterrupted runs, made once each."""

    def __init__(
        self, processes: Processes, folder: Path, files: Mapping[str, Path], bases: Mapping[str, Path]
    ) -> None:
        self.processes, self.folder, self.files, self.bases = processes, folder, files, bases
        self.made: dict[tuple[str, str, int], tuple[list[str], dict[str, Any], float]] = {}

    def __call__(self, task: str, method: str, parts: int) -> tuple[list[str], dict[str, Any], float]:
        """The command, its outcome and its seconds."""
        case = (task, method, parts)
        if case not in self.made:
            cwd = self.folder / "-".join(map(str, case))
            cwd.mkdir()
            argv = arguments(*case, self.files, self.bases)
            ended = self.processes.run(cwd, *argv)
            assert ended.get("code") == 0, self.processes.log.read_text()
            (run,) = Run.all(cwd / "runs")
            self.made[case] = (argv, outcome(run), ended["seconds"])
        return self.made[case]


@pytest.fixture(scope="module")
def whole(processes: Processes, files, bases, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(processes, tmp_path_factory.mktemp("whole"), files, bases)


def where(cwd: Path) -> str:
    """What the killed process was at, from what it left."""
    run = next(Run.all(cwd / "runs"), None)
    if run is None:
        return "before the run began"
    if list(run.checkpoints.glob(".*")):
        return "writing a checkpoint"
    if (run.path / ".model.tmp").exists():
        return "saving the model"
    if run.model.exists():
        return "scoring"
    return "training" if (run.path / "plan.json").exists() else "preparing or planning"


PLACES: Counter[str] = Counter()


@pytest.mark.parametrize("number", range(len(CASES)))
def test_killed_at_random_moments(number: int, processes: Processes, whole: Whole, tmp_path: Path) -> None:
    case = CASES[number]
    argv, expected, seconds = whole(*case)
    draw = random.Random(number)
    wanted = (number + 1) * KILLS // len(CASES) - number * KILLS // len(CASES)
    kills = chains = 0
    while kills < wanted:
        cwd = tmp_path / f"chain{chains}"
        cwd.mkdir()
        chains += 1
        while kills < wanted:  # the same run is killed and resumed until it came through or there were kills enough
            begun = next(Run.all(cwd / "runs"), None)
            again = argv if begun is None else ["resume", begun.path.relative_to(cwd)]
            if kills % 2 == 0:
                ended = processes.run(cwd, *again, after=draw.uniform(0, seconds))
            else:
                ended = processes.run(cwd, *again, die_at=draw.randint(1, 300))
            if ended.get("signal") != signal.SIGKILL:
                assert ended.get("code") == 0, processes.log.read_text()
                break
            kills += 1
            PLACES[where(cwd)] += 1
        begun = next(Run.all(cwd / "runs"), None)
        ended = processes.run(cwd, *(argv if begun is None else ["resume", begun.path.relative_to(cwd)]))
        assert ended.get("code") == 0, processes.log.read_text()
        (run,) = Run.all(cwd / "runs")
        assert outcome(run) == expected
        assert run.asked["state"] == "scored" and not run.checkpoints.exists()
    print(f"{case}: {kills} kills in {chains} runs, all equal; so far {sum(PLACES.values())}: {dict(PLACES)}")
    if number == len(CASES) - 1 and sum(PLACES.values()) >= 50:  # not when a single case was asked for
        assert PLACES["writing a checkpoint"] >= 5 and PLACES["training"] >= 5


def wait_for(cwd: Path, lines: int) -> None:
    """Until so many reports are in metrics.jsonl."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        run = next(Run.all(cwd / "runs"), None)
        if run is not None and len(run.metrics()) >= lines:
            return
        time.sleep(0.005)
    raise AssertionError("no report came")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_ctrl_c_saves_and_says_how_to_continue(case, processes: Processes, whole: Whole, tmp_path: Path) -> None:
    argv, expected, _ = whole(*case)
    draw = random.Random(str(case))
    pid = processes.start(tmp_path, *argv)
    wait_for(tmp_path, draw.randint(1, 12))
    os.kill(pid, signal.SIGINT)
    ended = processes.hear()
    said = processes.log.read_text()
    (run,) = Run.all(tmp_path / "runs")
    assert ended.get("code") == 130, said
    assert f"Continue with: tuneproof resume runs/{run.id}" in said and "Traceback" not in said
    step = run.metrics()[-1]["step"]
    assert max(run.checkpoints.glob("step-*")).name in (f"step-{step:08d}", f"step-{step + 1:08d}"), "nothing is lost"
    assert processes.run(tmp_path, "resume", f"runs/{run.id}").get("code") == 0
    assert outcome(run) == expected


@pytest.mark.parametrize("case", CASES[::5], ids=str)
def test_a_second_ctrl_c_ends_at_once(case, processes: Processes, whole: Whole, tmp_path: Path) -> None:
    argv, expected, _ = whole(*case)
    pid = processes.start(tmp_path, *argv)
    wait_for(tmp_path, 3)
    os.kill(pid, signal.SIGINT)
    time.sleep(0.001)  # two at the same time would be one
    with suppress(ProcessLookupError):  # it may have obeyed the first already
        os.kill(pid, signal.SIGINT)
    ended = processes.hear()
    said = processes.log.read_text()
    assert ended.get("code") == 130 and "Traceback" not in said, said
    (run,) = Run.all(tmp_path / "runs")
    assert processes.run(tmp_path, "resume", f"runs/{run.id}").get("code") == 0
    assert outcome(run) == expected


@pytest.mark.parametrize("task", TASKS)
def test_killed_as_a_process_of_its_own(task: str, whole: Whole, files, bases, tmp_path: Path) -> None:
    """No fork: python starts, imports, works and is killed; the result is that of the forked ones."""
    argv, expected, _ = whole(task, "full", 1)
    program = [sys.executable, "-W", "ignore", "-m", "tuneproof.cli"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*program, *argv], cwd=tmp_path, stdout=log, stderr=log)
        wait_for(tmp_path, 7)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        (run,) = Run.all(tmp_path / "runs")
        done = subprocess.run([*program, "resume", f"runs/{run.id}"], cwd=tmp_path, stdout=log, stderr=log, check=False)
    assert done.returncode == 0, (tmp_path / "log").read_text()
    assert outcome(run) == expected
