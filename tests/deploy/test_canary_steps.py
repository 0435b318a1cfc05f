"""A version that passed the gate becomes the champion by steps, or does not: the ledger says each of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from test_server_process import Process
from test_trials import exchanges, promote, registered
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof.deploy.registry import Registry, canaries
from tuneproof.deploy.registry.canaries import ENDED, PASSED, STEP, STOPPED, Promise, steps, under_way
from tuneproof.deploy.registry.rollback import roll_back
from tuneproof.deploy.registry.show import table
from tuneproof.deploy.server.canary import ENOUGH, Canary
from tuneproof.deploy.server.hosted import Models
from tuneproof.deploy.server.loaded import Loaded, Tried
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.errors import BusyError, ConfigError
from tuneproof.pipeline import Quiet, Weighing, add, weigh
from tuneproof.run import Run

SHARES = (0.3, 0.6)


def passed(registry: Registry, number: int, shares: Sequence[float] = SHARES) -> None:
    """The gate let this version pass."""
    version = registry.listed(f"reviews@{number}")
    with registry.deciding("reviews") as now:
        facts = {"told": "by hand", "steps": list(shares)}
        registry.decide("reviews", PASSED, version, now, expected=now, facts=facts, gate={"verdict": "promoted"})


def typed(*arguments: str, home: Path | None = None) -> tuple[int, str]:
    """A command as a person types it: its exit code and what it says."""
    command = [sys.executable, "-m", "tuneproof.cli", *arguments]
    env = {**os.environ, **({"XDG_DATA_HOME": str(home)} if home else {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stdout + done.stderr


def words(registry: Registry) -> list[str]:
    return [line.what for line in registry.ledger("reviews")]


# -- what the ledger says


@pytest.mark.parametrize("text", ["", "5", "0%", "50%,5%", "5%,5%", "100%", "99.5%", "5%,,9%", "1%," * 11 + "50%"])
def test_steps_that_cannot_be_are_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match="growing shares"):
        steps(text)


def test_steps_as_a_person_writes_them() -> None:
    assert steps("1%, 5%,25%,50%") == (0.01, 0.05, 0.25, 0.5)
    assert steps("5%,25%,100%") == (0.05, 0.25)  # the last of them is the promotion itself


def test_what_ends_a_canary(tmp_path: Path, review_run: Run) -> None:
    registry = Registry(tmp_path / "home")
    registered(registry, review_run, 3)

    def now() -> Promise | None:
        return under_way(registry.ledger("reviews"))

    def word(what: str, number: int, **facts: Any) -> None:
        version = registry.listed(f"reviews@{number}")
        with registry.deciding("reviews") as aliases:
            registry.decide("reviews", what, version, aliases, expected=aliases, facts=facts)

    assert now() is None
    passed(registry, 2)
    assert now() == Promise(2, 1, SHARES, 0)
    word(STEP, 2, told="", step=1)
    word("rejected", 3)
    assert now() == Promise(2, 1, SHARES, 1)
    for what in ("rejected", "held", STOPPED, ENDED):
        word(what, 2, told="why")
        assert now() is None
        passed(registry, 2)
        assert now() == Promise(2, 1, SHARES, 0)
    promote(registry, 3)
    assert now() is None
    roll_back("reviews", "1", books=registry)
    assert now() is None and registry.verify() == []


# -- a server that was told to try something else


@pytest.mark.parametrize("kind", ["canary", "shadow"])
def test_a_trial_beside_a_canary_that_is_under_way_is_refused(
    tmp_path: Path, registry: Registry, review_run: Run, kind: str
) -> None:
    """The command as it is typed: exit code 2, one sentence with both versions, and what settles it."""
    registered(registry, review_run, 1)
    passed(registry, 2)
    code, said = typed("serve", "reviews", f"--{kind}", "reviews@3=5%", "--port", "0", home=tmp_path)
    assert code == 2 and "Traceback" not in said
    told = " ".join(said.split())
    assert f"--{kind} reviews@3: a canary of reviews@2 is under way, at 30% of the requests" in told
    assert "tuneproof rollback reviews" in told and f"Leave --{kind} out" in told
    assert words(registry)[-1] == PASSED
    code, said = typed("rollback", "reviews", home=tmp_path)
    assert code == 0 and "canary of reviews@2 has ended" in said
    tried = Tried.of(kind, "reviews@3=5%")
    Loaded(Models(Metrics()), registry, {"reviews": tried}).check(["reviews"])


def test_a_canary_that_begins_beside_another_trial_is_told_once(registry: Registry, review_run: Run) -> None:
    registered(registry, review_run, 1)
    said: list[str] = []
    loaded = Loaded(Models(Metrics()), registry, {"reviews": Tried.of("shadow", "reviews@3=5%")})
    loaded.load("reviews", said.append)
    passed(registry, 2)
    for _ in range(3):
        loaded.point("reviews", loaded.wanted("reviews", said.append), said.append)
    assert sum("The canary of reviews@2 gets no requests here" in line for line in said) == 1
    assert loaded.models.trials()["reviews"].label == "reviews@3"
    loaded.end("reviews", "over")
    loaded.models.close(10)


# -- a server that follows


class Follower:
    """What a server has loaded, looked after as its loop does."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.said: list[str] = []
        self.loaded = Loaded(Models(Metrics()), registry)
        self.loaded.load("reviews", self.said.append)

    def look(self) -> None:
        self.loaded.point("reviews", self.loaded.wanted("reviews", self.said.append), self.said.append)
        if self.loaded.unwritten:
            self.loaded.keep()
            self.loaded.go_on()

    @property
    def canary(self) -> Canary:
        found = self.loaded.models.trials()["reviews"]
        assert isinstance(found, Canary)
        return found

    def hear(self, count: int, bad: Any = (0.0, 0.0), seed: int = 1) -> None:
        for _ in exchanges(random.Random(seed), self.canary, count, lambda new: 0.01, bad):
            pass

    def close(self) -> None:
        self.loaded.models.close(10)


@pytest.fixture
def registry(tmp_path: Path, review_run: Run) -> Registry:
    found = Registry(tmp_path / "tuneproof")
    registered(found, review_run, 2)
    return found


def test_a_server_goes_from_step_to_step_and_promotes_at_the_end(registry: Registry) -> None:
    server = Follower(registry)
    assert not server.loaded.models.trials()
    passed(registry, 2)
    server.look()
    assert server.canary.share == 0.3 and server.loaded.models.get("reviews@2").label == "reviews@2"
    server.hear(ENOUGH // 2)
    server.look()
    assert words(registry)[-1] == PASSED
    server.hear(ENOUGH * 4, seed=2)
    with registry.deciding("reviews"), pytest.raises(BusyError):
        server.look()
    assert server.canary.share == 0.3
    server.look()
    assert words(registry)[-1] == STEP and server.canary.share == 0.6
    assert registry.ledger("reviews")[-1].facts["told"].startswith(f"30%: {ENOUGH} texts or callers, failed ")
    server.look()
    assert words(registry).count(STEP) == 1

    again = Follower(registry)  # a server that was killed here goes on at the second step
    assert again.canary.share == 0.6
    again.hear(ENOUGH * 2, seed=3)
    again.look()
    assert registry.aliases("reviews") == {"champion": 2, "previous": 1}
    again.look()
    assert again.loaded.models.get("reviews", "anybody").label == "reviews@2" and not again.loaded.models.trials()
    server.look()
    assert server.loaded.models.labels() == {"reviews@2"}
    again.look()
    assert words(registry)[-3:] == [PASSED, STEP, "promoted"] and registry.verify() == []
    shown = "\n".join(table(registry, "reviews"))
    assert "ended: it was promoted" in shown and "steps: 30%, 60%" in shown
    assert roll_back("reviews", books=registry)[0].number == 1
    for each in (server, again):
        each.look()
        assert each.loaded.models.get("reviews", "anybody").label == "reviews@1"
        each.close()


def test_a_step_that_does_harm_promotes_nobody(registry: Registry) -> None:
    server = Follower(registry)
    passed(registry, 2)
    server.look()
    server.hear(ENOUGH * 4)
    server.look()
    server.hear(200, bad=(0.0, 0.5), seed=2)
    assert server.canary.stopped and not server.canary.reached
    server.look()
    assert words(registry)[-2:] == [STEP, STOPPED] and under_way(registry.ledger("reviews")) is None
    server.look()
    assert not server.loaded.models.trials() and server.loaded.models.labels() == {"reviews@1"}
    assert registry.aliases("reviews")["champion"] == 1 and registry.verify() == []
    server.close()


def test_one_caller_does_not_carry_a_version_up(registry: Registry) -> None:
    canary = Canary("reviews@2", "reviews@1", 0.5, Metrics(), (0.5,))
    key = next(key for key in map(str, range(20)) if canary.takes(key))
    for one in (list(exchanges_of(key, ENOUGH * 2)), list(exchanges_of("another", 5))):
        for exchange in one:
            canary.heard(exchange, 0.01)
    assert not canary.reached


def exchanges_of(key: str, count: int) -> Any:
    from tuneproof.deploy.server.guard import Exchange

    for number in range(count):
        one = Exchange(f"{number:024x}", 0.0, "/v1/classify", "reviews", "2", key=key)
        one.status = 200
        yield one


def test_a_canary_that_is_ended_by_hand(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Follower(registry)
    passed(registry, 2)
    server.look()
    server.hear(ENOUGH * 4)  # its step is done, and not written yet
    assert canaries.end("reviews", registry) == Promise(2, 1, SHARES, 0)
    server.loaded.keep()
    assert words(registry)[-1] == ENDED
    server.look()
    assert not server.loaded.models.trials() and registry.aliases("reviews")["champion"] == 1
    assert canaries.end("reviews", registry) is None
    passed(registry, 2)  # nothing was found against it: it may begin anew
    server.look()
    assert server.canary.share == 0.3 and not server.canary.reached
    server.close()
    monkeypatch.setenv("XDG_DATA_HOME", str(registry.root.parent))
    registry.root.rename(registry.root.parent / "tuneproof")
    code, told = typed("rollback", "reviews")
    assert code == 0 and "canary of reviews@2 has ended; reviews@1 answers everybody" in told


def test_a_version_that_does_not_open_keeps_no_server_from_starting(registry: Registry) -> None:
    passed(registry, 2)
    (registry.listed("reviews@2").path / "model" / "tokenizer.json").unlink()
    server = Follower(registry)
    assert "reviews@2 is not tried" in server.said[-1] and server.loaded.models.labels() == {"reviews@1"}
    server.close()


# -- what it lets through


def outcome(seed: int, bad: tuple[float, float], shares: Sequence[float], slower: float = 1.0) -> str:
    """What becomes of a version whose answers fail, or take longer, so often."""
    draw = random.Random(seed)
    canary = Canary("reviews@2", "reviews@1", shares[0], Metrics(), shares)

    def seconds(new: bool) -> float:
        return draw.lognormvariate(-4, 0.7) * (slower if new else 1)

    while True:
        for _ in exchanges(draw, canary, 200, seconds, bad):
            if canary.stopped or canary.reached:
                break
        if canary.stopped:
            return "stopped"
        if canary.reached and canary.next is None:
            return "promoted"
        canary.go_on()


def test_equal_versions_climb_and_bad_ones_do_not() -> None:
    """make proof draws more."""
    outcomes = [outcome(seed, (0.01, 0.01), (0.2, 0.5)) for seed in range(20)]
    assert outcomes.count("promoted") >= 18
    assert [outcome(seed, (0.01, 0.2), (0.2, 0.5)) for seed in range(20)].count("promoted") == 0


@pytest.mark.proof
@pytest.mark.parametrize(
    ("bad", "slower", "least", "most"),
    [((0.02, 0.02), 1.0, 0.95, 1.0), ((0.01, 0.1), 1.0, 0.0, 0.02), ((0.01, 0.01), 4.0, 0.0, 0.02)],
)
def test_how_many_become_the_champion(bad: tuple[float, float], slower: float, least: float, most: float) -> None:
    found = [outcome(seed, bad, (0.05, 0.25, 0.5), slower) for seed in range(100)]
    share = found.count("promoted") / len(found)
    print(f"bad {bad}, {slower:g} times as slow: {share:.0%} promoted")
    assert least <= share <= most


# -- the real program


@pytest.fixture(scope="module")
def weighed_run(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with test rows enough for the gate to decide."""
    root = tmp_path_factory.mktemp("weighed")
    rows = review_rows(160, seed=3)
    train, test = write_csv(root / "train.csv", rows[60:]), write_csv(root / "test.csv", rows[:60])
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
    options |= {"data_test": str(test), "model_name": str(tiny_bert), "method_name": "full", "train_epochs": 1}
    return tp.tune(train, runs=root / "runs", **options).run.path


def test_the_program_from_the_gate_to_the_champion(
    tmp_path: Path, weighed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """promote --canary beside a running server, real requests, the promotion at the end."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    registry = Registry()
    for _ in range(2):
        add(weighed_run, "reviews", view=Quiet())
    policy = tmp_path / "gate.toml"
    policy.write_text('mode = "not_worse"\nmargin = 0.9\nlatency = 1000\nforgetting = 9\ncalibration = 0.9\n')
    with pytest.raises(ConfigError, match="shares the requests with the champion"):
        weigh("reviews@1", Weighing(canary=SHARES), view=Quiet())
    promote(registry, 1)
    process = Process(tmp_path, "reviews")
    asked = ("promote", "reviews@2", "--canary", "70%,95%,100%", "--policy", str(policy))
    code, told = typed(*asked)
    assert code == 0 and "reviews@2 against reviews@1: passed" in told, told
    with pytest.raises(ConfigError, match="is under way"):
        weigh("reviews@2", Weighing(canary=SHARES), view=Quiet())
    process.wait_for("reviews@2 is tried beside reviews@1: canary, 70% of requests")
    answered: list[str] = []

    def asked_of(number: int) -> str:
        body = {"model": "reviews", "input": f"the lamp number {number} is great"}
        return str(process.post("/v1/classify", body)["model"])

    with ThreadPoolExecutor(8) as callers:
        while registry.aliases("reviews")["champion"] == 1 and len(answered) < 4000:
            answered += callers.map(asked_of, range(len(answered), len(answered) + 50))
    assert words(registry)[-3:] == [PASSED, STEP, "promoted"], (len(answered), process.lines)
    assert set(answered) == {"reviews@1", "reviews@2"} and registry.verify() == []
    process.wait_for("reviews is now reviews@2")
    assert {process.post("/v1/classify", {"model": "reviews", "input": f"clock {n}"})["model"] for n in range(9)} == {
        "reviews@2"
    }
    assert process.end() == 0
