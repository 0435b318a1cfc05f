"""The gate: what promotes, rejects and holds; what is refused; and what a hold asks people to label."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import review_rows, write_csv

import tuneproof as tp
from tuneproof import cli
from tuneproof.deploy.gate import (
    Policy,
    Rule,
    calibration,
    cost,
    forgetting,
    primary,
    read_policy,
    rows_to_label,
    verdict,
)
from tuneproof.deploy.registry import Registry
from tuneproof.deploy.registry.rollback import roll_back
from tuneproof.errors import CheckError, ConfigError, DataError
from tuneproof.pipeline import Quiet, Weighed, Weighing, add, weigh, weighed_lines
from tuneproof.run import Run
from tuneproof.stats.paired import difference

pytestmark = pytest.mark.usefixtures("one_thread")


BETTER = Policy()


def decided(a: Any, b: Any, policy: Policy = BETTER) -> Rule:
    return primary("G2", "frozen test", difference(a, b), policy, higher_is_better=True, told="figures")


def drawn(rng: np.random.Generator, n: int, gain: float, disagreement: float = 0.08) -> tuple[Any, Any]:
    """Two 0/1 vectors whose expected difference is ``gain``."""
    only_b = (disagreement + gain) / 2
    kind = rng.choice(4, size=n, p=[0.85 - disagreement, disagreement - only_b, only_b, 0.15])
    return (kind < 2).astype(float), ((kind == 0) | (kind == 2)).astype(float)


@pytest.mark.parametrize(
    ("policy", "gain", "n", "most"),
    [
        (Policy(), 0.0, 500, 0.03),
        (Policy(), 0.0, 1000, 0.03),
        (Policy(), -0.01, 1000, 0.01),
        (Policy(mode="not_worse"), -0.01, 1000, 0.065),
        (Policy(mode="not_worse", margin=0.02), -0.02, 500, 0.065),
    ],
)
def test_it_seldom_promotes_what_is_not_better(policy: Policy, gain: float, n: int, most: float) -> None:
    """ACCEPTANCE 3, on 2,000 pairs of models that are what they are by construction."""
    rng = np.random.default_rng(7)
    promoted = sum(decided(*drawn(rng, n, gain), policy).word == "pass" for _ in range(2000))
    assert promoted / 2000 <= most, promoted


def test_it_promotes_what_is_better_and_rejects_what_is_worse() -> None:
    rng = np.random.default_rng(8)
    words = {gain: [decided(*drawn(rng, 3000, gain)).word for _ in range(200)] for gain in (0.03, -0.03)}
    assert words[0.03].count("pass") >= 195 and words[-0.03].count("fail") >= 195


def test_losses_turn_round() -> None:
    rng = np.random.default_rng(9)
    loss = rng.normal(2, 0.3, 400)
    gap = difference(loss, loss - 0.05 + rng.normal(0, 0.05, 400))
    assert primary("G2", "frozen test", gap, Policy(), higher_is_better=False, told="").word == "pass"
    assert primary("G2", "frozen test", gap, Policy(), higher_is_better=True, told="").word == "fail"


def test_a_hold_says_how_many_rows_would_tell() -> None:
    """As many as the formula of docs/statistics.md: 6.18 q / m^2 for not worse, 7.85 q / d^2 for better."""
    a, b = np.ones(1000), np.ones(1000)
    a[:30], b[30:80] = 0, 0  # 8% disagree, 2 points worse
    rule = decided(a, b, Policy(mode="not_worse", margin=0.02))
    assert rule.word == "hold" and rule.need == {"frozen test": 1236}
    better = decided(b, a, Policy())
    assert better.word == "pass"
    assert rows_to_label(difference(b, a), Policy()) == 1570
    assert rows_to_label(difference(a, b), Policy()) is None


def test_the_worst_word_decides() -> None:
    rules = {word: Rule("G", "", word, "") for word in ("pass", "fail", "hold")}
    assert verdict([rules["pass"]]) == "promoted"
    assert verdict([rules["pass"], rules["hold"]]) == "held"
    assert verdict([rules["hold"], rules["fail"]]) == "rejected"


def test_other_rules() -> None:
    policy = Policy()
    lost = {"sets": [{"name": "text", "lost": {"value": 0.08, "low": 0.06, "high": 0.1}}]}
    assert forgetting({}, lost, policy).word == "fail"
    assert forgetting(lost, lost, policy).word == "pass"
    assert forgetting({}, {}, policy).word == "pass"
    near = {"ece": 0.02, "low": 0.01, "high": 0.03}
    assert calibration({"ece": 0.01, "low": 0.0, "high": 0.02}, near, policy).word == "pass"
    assert calibration(near, {"ece": 0.05, "low": 0.041, "high": 0.07}, policy).word == "fail"
    assert calibration(near, {"ece": 0.03, "low": 0.01, "high": 0.05}, policy).word == "hold"
    assert calibration(near, {"ece": 0.05, "low": None, "high": None}, policy).word == "fail"
    assert calibration(None, None, policy).word == "pass"
    assert cost((0.01, 0.0119), (100, 119), policy).word == "pass"
    assert cost((0.01, 0.013), (100, 100), policy).word == "fail"
    assert cost((0.01, 0.01), (100, 130), policy).word == "fail"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('mode = "bettter"', "mode"),
        ("margn = 0.1", 'Did you mean "margin"'),
        ("margin = 0", "margin"),
        ("latency = 0.5", "latency"),
        ("margin =", "no TOML"),
    ],
)
def test_a_wrong_policy_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gate.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_policy(file)
    assert said in str(refused.value)
    file.write_text('mode = "not_worse"\nmargin = 0.02\n')
    assert read_policy(file) == Policy(mode="not_worse", margin=0.02)
    assert read_policy(None) == Policy()


# -- on real versions, tiny ones

OPTIONS: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
OPTIONS |= {"evaluate_retain_documents": 30, "train_head_lr_factor": 1, "train_batch_size": 8, "train_lr": 3e-3}


@dataclasses.dataclass(frozen=True)
class Shop:
    """Runs on one file with one test file: a good one, one that saw few rows, one with shuffled labels."""

    root: Path
    test: Path
    good: Path
    weak: Path
    shuffled: Path


@pytest.fixture(scope="module")
def shop(one_thread: None, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root = tmp_path_factory.mktemp("shop")
    rows = review_rows(700, seed=3)
    test = write_csv(root / "test.csv", rows[:300])
    shuffled = [{**row, "label": rows[-1 - index]["label"]} for index, row in enumerate(rows[300:])]
    for index, row in enumerate(shuffled):
        row["label"] = ("negative", "positive")[(index * 7919 // 3) % 2]
    files = {
        "good": write_csv(root / "good.csv", rows[300:]),
        "weak": write_csv(root / "weak.csv", rows[300:360]),
        "shuffled": write_csv(root / "shuffled.csv", shuffled),
    }
    made = {}
    for name, file in files.items():
        epochs = 1 if name == "weak" else 6
        options = {**OPTIONS, "data_test": str(test), "model_name": str(tiny_bert), "method_name": "full"}
        made[name] = tp.tune(file, runs=root / "runs", train_epochs=epochs, **options).run.path
    return Shop(root, test, **made)


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return Registry()


# What a neighbour on the machine can change, and what 30 documents cannot tell, is not asked for here.
EASY = Policy(latency=100, forgetting=1)


def weighed(reference: str, **asked: Any) -> Weighed:
    return weigh(reference, Weighing(**{"policy": EASY, **asked}), view=Quiet())


def word(found: Weighed, id: str) -> str:
    return next(rule.word for rule in found.rules if rule.id == id)


def test_the_first_is_promoted_and_a_better_one_replaces_it(shop: Shop, books: Registry) -> None:
    assert add(shop.weak, "shop", view=Quiet()).label == "shop@1"
    first = weighed("shop@1")
    assert first.verdict == "promoted" and [rule.id for rule in first.rules] == ["G0"]
    add(shop.good, "shop", view=Quiet())
    dry = weighed("shop@2", dry_run=True)
    assert dry.verdict == "promoted", dry.rules
    assert books.aliases("shop") == {"champion": 1, "challenger": 2}
    second = weighed("shop@2")
    assert [rule.id for rule in second.rules] == ["G0", "G1", "G2", "G4", "G5", "G6", "G7"]
    assert books.aliases("shop") == {"champion": 2, "previous": 1}
    line = books.ledger("shop")[-1]
    gate = json.loads((books.root / "models/shop/gates" / f"{line.facts['gate'][:16]}.json").read_text())
    assert gate["verdict"] == "promoted" and len(gate["rules"]) == 7
    now, before = roll_back("shop")
    assert (now.number, before.number) == (1, 2) and books.aliases("shop") == {"champion": 1, "previous": 2}
    roll_back("shop", "2")
    assert books.resolve("shop").number == 2 and books.verify() == []
    assert [line.what for line in books.ledger("shop")][-2:] == ["rolled back", "rolled back"]


def test_a_model_of_shuffled_labels_is_rejected(shop: Shop, books: Registry) -> None:
    add(shop.good, "shop", view=Quiet())
    weighed("shop@1")
    add(shop.shuffled, "shop", view=Quiet())
    found = weighed("shop@2")
    assert found.verdict == "rejected" and word(found, "G2") == "fail"
    assert books.aliases("shop") == {"champion": 1}
    assert any("G2  fail" in line for line in weighed_lines(found, Weighing()))


def test_the_same_model_again_holds_or_is_not_worse(shop: Shop, books: Registry) -> None:
    add(shop.good, "shop", view=Quiet())
    weighed("shop@1")
    add(shop.good, "shop", view=Quiet())
    found = weighed("shop@2")
    assert found.verdict == "held" and word(found, "G2") == "hold"
    assert books.aliases("shop") == {"champion": 1, "challenger": 2}
    easy = Policy(mode="not_worse", margin=0.05, latency=100, forgetting=1)
    assert word(weighed("shop@2", policy=easy, dry_run=True), "G2") == "pass"


def test_who_was_trained_on_the_frozen_rows_is_refused(shop: Shop, books: Registry, tiny_bert: Path) -> None:
    add(shop.good, "shop", view=Quiet())
    weighed("shop@1")
    leaky = shop.root / "leaky.csv"
    leaky.write_text(shop.test.read_text() + (shop.root / "good.csv").read_text().split("\n", 1)[1])
    options = {**OPTIONS, "model_name": str(tiny_bert), "method_name": "full", "train_epochs": 1}
    add(tp.tune(leaky, runs=shop.root / "runs", **options).run.path, "shop", view=Quiet())
    with pytest.raises(CheckError, match="was trained on") as refused:
        weighed("shop@2")
    assert refused.value.exit_code == 3 and books.ledger("shop")[-1].what == "registered"


def test_a_promotion_to_itself_is_refused(shop: Shop, books: Registry) -> None:
    add(shop.good, "shop", view=Quiet())
    weighed("shop@1")
    with pytest.raises(ConfigError, match="is champion already"):
        weighed("shop@1")
    with pytest.raises(ConfigError, match="one champion only"):
        roll_back("shop")


def test_other_labels_break_the_contract(shop: Shop, books: Registry, tiny_bert: Path) -> None:
    add(shop.good, "shop", view=Quiet())
    weighed("shop@1")
    other = shop.root / "other.csv"
    other.write_text((shop.root / "weak.csv").read_text().replace("negative", "bad"))
    options = {**OPTIONS, "model_name": str(tiny_bert), "method_name": "full", "train_epochs": 1}
    add(tp.tune(other, runs=shop.root / "runs", **options).run.path, "shop", view=Quiet())
    found = weighed("shop@2")
    assert found.verdict == "rejected" and word(found, "G1") == "fail" and "negative" in found.rules[-1].told


def test_an_adapter_is_admitted_and_weighed(finished: Callable[[str, str], Path], books: Registry) -> None:
    for task, method in (("text-classification", "lora"), ("instruction", "lora")):
        add(finished(task, method), task, view=Quiet())
        first = weighed(f"{task}@1")
        assert first.verdict == "promoted", first.rules
        add(finished(task, method), task, view=Quiet())
        found = weighed(f"{task}@2", dry_run=True)
        assert word(found, "G0") == "pass" and word(found, "G2") == "hold"


def test_a_hold_chooses_rows_and_their_labels_decide(shop: Shop, books: Registry, tmp_path: Path) -> None:
    """The rows that both answer alike need no label: what is asked for is the disagreement, and it decides."""
    add(shop.weak, "shop", view=Quiet())
    weighed("shop@1")
    add(shop.good, "shop", view=Quiet())
    rows = review_rows(1500, seed=11)
    known = {row["text"] for row in review_rows(700, seed=3)}
    rows = [row for row in rows if row["text"] not in known]
    pool = write_csv(tmp_path / "pool.csv", [{"text": row["text"], "label": ""} for row in rows])
    fresh = Policy(fresh=True, fresh_rows=200, latency=100, forgetting=1)
    to_label = tmp_path / "label.csv"
    held = weighed("shop@2", policy=fresh, pool=pool, to_label=to_label)
    assert held.verdict == "held" and word(held, "G3") == "hold" and held.need == {"fresh test": 200}
    with to_label.open() as lines:
        asked = list(csv.DictReader(lines))
    order = [row["label it"] for row in asked]
    assert len(asked) == 200 and order == sorted(order, reverse=True)
    wanted = [row for row in asked if row["label it"] == "yes"]
    assert 0 < len(wanted) == held.to_label < 200
    assert all((row["champion"] != row["challenger"]) == (row["label it"] == "yes") for row in asked)
    with pytest.raises(DataError, match="answer differently here, and the row has no label"):
        weighed("shop@2", policy=fresh, labels=to_label)
    truth = {row["text"]: row["label"] for row in rows}
    early = len(wanted) // 2
    for row in wanted[:early]:
        row["label"] = truth[row["text"]]
    some = weighed("shop@2", policy=fresh, labels=write_csv(tmp_path / "some.csv", asked), dry_run=True)
    counted = early + round((200 - len(wanted)) * early / len(wanted))  # as large a share of the rows without labels
    assert word(some, "G3") == "hold" and next(r for r in some.rules if r.id == "G3").figures["n"] == counted
    for row in wanted[early:]:
        row["label"] = truth[row["text"]]
    wanted[0]["label"] = ""
    with pytest.raises(DataError, match="the row has no label"):  # only the first ones are a sample of all
        weighed("shop@2", policy=fresh, labels=write_csv(tmp_path / "chosen.csv", asked))
    wanted[0]["label"] = truth[wanted[0]["text"]]
    write_csv(tmp_path / "labelled.csv", asked)
    found = weighed("shop@2", policy=fresh, labels=tmp_path / "labelled.csv")
    assert word(found, "G3") == "pass" and found.verdict == "promoted", found.rules
    with pytest.raises(CheckError, match="were in the training rows"):
        add(shop.weak, "shop", view=Quiet())
        weighed("shop@3", policy=fresh, labels=shop.root / "good.csv")


def test_a_changed_file_is_not_weighed(shop: Shop, books: Registry) -> None:
    version = add(shop.good, "shop", view=Quiet())
    weights = version.path / "model" / "model.safetensors"
    weights.chmod(0o644)
    raw = weights.read_bytes()
    weights.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    with pytest.raises(CheckError, match="is not what was registered"):
        weighed("shop@1")


def test_answers_that_are_not_those_of_registration_are_rejected(shop: Shop, books: Registry, tmp_path: Path) -> None:
    """Vectors of another model beside these weights: the version is not what it says it is."""
    from tuneproof.deploy.export.subject import Subject
    from tuneproof.deploy.vectors import FILE, vectors

    other = json.dumps(vectors(Subject.open(Run.open(shop.shuffled), "x"))).encode()
    books.register(Run.open(shop.good), "shop", {FILE: other})
    assert word(weighed("shop@1"), "G0") == "fail"
    copied = shutil.copytree(shop.good, tmp_path / "copied")
    books.register(Run.open(copied), "shop")
    assert "without answers" in weighed("shop@2").rules[0].told


# -- through the command line


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``command("promote", "shop@2")``: exit code and what was said."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tuneproof", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out + said.err

    return run


def test_exit_codes(shop: Shop, books: Registry, command: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    policy = tmp_path / "gate.toml"
    policy.write_text("latency = 100\nforgetting = 1\n")
    asked = ("--policy", policy)
    assert command("registry", "add", shop.weak, "--name", "shop")[0] == 0
    assert command("promote", "shop@1", *asked)[0] == 0
    command("registry", "add", shop.good, "--name", "shop")
    with books.deciding("shop"):
        code, said = command("promote", "shop@2", *asked)
        assert code == 75 and "Another process is deciding about shop" in said
    code, said = command("promote", "shop@2", *asked)
    assert code == 0 and "shop@2 against shop@1: promoted" in said and "G2  pass" in said
    command("registry", "add", shop.shuffled, "--name", "shop")
    assert command("promote", "shop@3", *asked)[0] == 1
    command("registry", "add", shop.good, "--name", "shop")
    code, said = command("promote", "shop@4", *asked)
    assert code == 2 and "cannot be told" in said
    for wrong in (
        ("shop@9",),
        ("shop@2",),
        ("nothing@1",),
        ("shop@4", "--polcy", policy),
        ("shop@4", "--pool", policy),
    ):
        assert command("promote", *wrong)[0] == 64, wrong
    code, said = command("rollback", "shop")
    assert code == 0 and "shop@1 is the champion again, in place of shop@2" in said
    code, said = command("registry", "show", "shop")
    assert code == 0 and "champion" in said and "rolled back  @1" in said and "accuracy" in said
    assert command("registry", "verify")[0] == 0
    weights = books.listed("shop@1").path / "model" / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    code, said = command("registry", "verify")
    assert code == 3 and "model.safetensors was changed" in said
    assert command("promote", "shop@1", *asked)[0] == 3


@pytest.mark.proof
def test_twenty_models_of_shuffled_labels_are_rejected(shop: Shop, books: Registry, tiny_bert: Path) -> None:
    """ACCEPTANCE 30, the gate's part: 20 of 20."""
    add(shop.good, "shop", view=Quiet())
    weighed("shop@1")
    with (shop.root / "good.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    words = []
    for seed in range(20):
        labels = [row["label"] for row in rows]
        random.Random(seed).shuffle(labels)
        mixed = [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]
        file = write_csv(shop.root / f"mixed-{seed}.csv", mixed)
        options = {**OPTIONS, "data_test": str(shop.test), "model_name": str(tiny_bert), "method_name": "full"}
        run = tp.tune(file, runs=shop.root / "runs", train_epochs=2, train_seed=seed, **options).run
        words.append(weighed(add(run.path, "shop", view=Quiet()).label).verdict)
    assert words == ["rejected"] * 20 and books.aliases("shop") == {"champion": 1}
