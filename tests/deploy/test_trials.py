"""A version beside the champion: a shadow changes no answer, a harmful canary is stopped and the ledger says why."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from served_models import QUESTION, Served

from tuneproof.deploy.registry import Registry
from tuneproof.deploy.registry.canaries import STOPPED
from tuneproof.deploy.registry.show import table
from tuneproof.deploy.server.canary import WINDOW, WINDOWS, Canary
from tuneproof.deploy.server.guard import Exchange, Work
from tuneproof.deploy.server.hosted import Models
from tuneproof.deploy.server.loaded import Loaded, Tried
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.serving import Serving
from tuneproof.deploy.server.shadow import QUEUE, Shadow
from tuneproof.errors import BusyError, ConfigError, RunError
from tuneproof.modalities import MODALITIES
from tuneproof.predict import Predictor
from tuneproof.records import Generation
from tuneproof.run import Run

TEXTS = [f"the lamp number {n} is {word}" for n in range(60) for word in ("great", "broken")]


def wait(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


# -- who takes part


@pytest.mark.parametrize(
    "text",
    [
        "reviews",
        "reviews=5%",
        "reviews@8",
        "reviews@8=0%",
        "reviews@8=100%",
        "reviews@8=5",
        "reviews@best=5%",
        "a/b@8=5%",
    ],
)
def test_a_trial_that_cannot_be_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError):
        Serving(canary=text).check()


def test_what_a_trial_names() -> None:
    assert Tried.of("canary", "reviews@8=2.5%") == Tried("canary", "reviews", "8", 0.025)
    assert Tried.of("shadow", "reviews@challenger=100%") == Tried("shadow", "reviews", "challenger", 1.0)
    with pytest.raises(ConfigError, match="at once"):
        Serving(canary="reviews@8=5%", shadow="reviews@9=5%").check()
    with pytest.raises(ConfigError, match="champion"):
        Serving(shadow="reviews@champion=5%").check()


def try_canary(served: Served, challenger: Predictor, share: float) -> Canary:
    served.models.add("reviews@2", challenger)
    served.models.point("reviews", {"champion": "reviews@1", "challenger": "reviews@2"})
    canary = Canary("reviews@2", "reviews@1", share, served.metrics)
    served.models.begin("reviews", canary)
    return canary


def label_of(served: Served, body: Any) -> str:
    return str(served.post("/v1/classify", {"model": "reviews", **body}).headers["x-model"])


def test_a_canary_meets_its_share_and_always_the_same_texts_and_callers(served: Served, reviewer: Predictor) -> None:
    canary = try_canary(served, reviewer, 0.2)
    keys = [f"user {n}" for n in range(1000)]
    assert 0.15 < sum(map(canary.takes, keys)) / 1000 < 0.25
    first = [label_of(served, {"input": text}) for text in TEXTS[:40]]
    assert set(first) == {"reviews@1", "reviews@2"}
    assert [label_of(served, {"input": text}) for text in TEXTS[:40]] == first
    callers = {label_of(served, {"input": text, "user": "jo"}) for text in TEXTS[:40]}
    assert len(callers) == 1
    assert {label_of(served, {"model": "reviews@1", "input": text}) for text in TEXTS[:20]} == {"reviews@1"}
    sides = canary.record()["sides"]
    assert sum(side["answers"] for side in sides) == 120  # whoever names a version takes no part


# -- harm


def test_a_canary_that_cannot_answer_is_stopped(served: Served, reviewer: Predictor, review_run: Run) -> None:
    """It was tuned for shorter texts, so it refuses what the champion reads."""
    short = replace(reviewer, encoder=MODALITIES["text"](review_run.model, 4))
    canary = try_canary(served, short, 0.5)
    asked = 0
    while canary.share and asked < len(TEXTS):
        served.post("/v1/classify", {"model": "reviews", "input": TEXTS[asked]})
        asked += 1
    assert asked < 60 and "failed" in canary.stopped
    assert served.metrics.value("canary_share", model="reviews", version="2") == 0
    assert {label_of(served, {"input": text}) for text in TEXTS} == {"reviews@1"}


def test_a_canary_that_is_wrong_by_what_callers_say_is_stopped(served: Served, reviewer: Predictor) -> None:
    canary = try_canary(served, reviewer, 0.5)
    for text in TEXTS:
        answer = served.post("/v1/classify", {"model": "reviews", "input": text})
        said = answer.json["data"][0]["label"]
        right = said if answer.json["model"] == "reviews@1" else {"positive": "negative", "negative": "positive"}[said]
        served.post("/v1/feedback", {"request_id": answer.headers["x-request-id"], "label": right})
        if not canary.share:
            break
    assert "were wrong" in canary.stopped
    assert canary.record()["state"].startswith("stopped: ")


def test_a_model_that_breaks_is_tried_no_more_and_the_server_goes_on(served: Served, reviewer: Predictor) -> None:
    broken = replace(reviewer, model=None)  # type: ignore[arg-type]
    canary = try_canary(served, broken, 0.5)
    ended: list[str] = []
    served.models.failed = ended.append
    for _ in range(3):
        assert served.post("/v1/classify", {"model": "reviews@2", "input": "great"}).status == 503
    wait(lambda: canary.stopped)
    assert not canary.share and ended == []


def exchanges(
    draw: random.Random, canary: Canary, count: int, seconds: Callable[[bool], float], bad: Any
) -> Iterator[int]:
    """Requests of distinct texts, as the server tells of them."""
    for number in range(count):
        key = f"{draw.random()}"
        new = canary.takes(key)
        one = Exchange(f"{number:024x}", 0.0, "/v1/classify", "reviews", "2" if new else "1", key=key)
        one.status = 503 if draw.random() < bad[new] else 200
        one.work = Work([], Generation(0), ["a"], 0.0)
        canary.heard(one, seconds(new))
        yield number


def stops_after(seed: int, count: int, slower: float = 1.0, bad: Any = (0.02, 0.02), share: float = 0.2) -> int | None:
    draw = random.Random(seed)
    canary = Canary("reviews@2", "reviews@1", share, Metrics())
    for number in exchanges(
        draw, canary, count, lambda new: draw.lognormvariate(-4, 0.7) * (slower if new else 1), bad
    ):
        if canary.stopped:
            return number
    return None


def test_equal_versions_are_seldom_stopped() -> None:
    """Errors, seconds and windows together; make proof draws more and longer."""
    assert sum(stops_after(seed, 600) is not None for seed in range(60)) <= 5


@pytest.mark.proof
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_equal_versions_are_stopped_once_in_twenty_at_most(share: float) -> None:
    stopped = [stops_after(seed, 3000, share=share) for seed in range(200)]
    assert sum(after is not None for after in stopped) / 200 <= 0.05


def test_a_slow_version_is_stopped() -> None:
    found = [stops_after(seed, 3000, slower=5.0) for seed in range(10)]
    assert all(after is not None for after in found), found


def test_what_is_asked_again_counts_in_windows_only() -> None:
    """One caller asks one text for ever, and the version fails on it: no evidence for a bet, and yet it ends."""
    canary = Canary("reviews@2", "reviews@1", 0.5, Metrics())
    keys = [str(n) for n in range(20)]
    ours, theirs = ([key for key in keys if canary.takes(key) is side] for side in (True, False))
    for count in range(WINDOW * WINDOWS):
        for key, version, status in ((ours[0], "2", 503), (theirs[0], "1", 200)):
            one = Exchange(f"{count:024x}", 0.0, "/v1/classify", "reviews", version, key=key)
            one.status = status
            canary.heard(one, 0.01)
        assert bool(canary.stopped) == (count == WINDOW * WINDOWS - 1)
    assert "3 windows" in canary.stopped


# -- a shadow


@pytest.fixture
def shadow(served: Served, reviewer: Predictor) -> Iterator[Shadow]:
    served.models.add("reviews@2", reviewer)
    served.models.point("reviews", {"champion": "reviews@1", "challenger": "reviews@2"})
    found = Shadow(served.models.get("reviews@2"), "reviews@1", 1.0, served.metrics, served.models.busy)
    served.models.begin("reviews", found)
    yield found
    found.end("over")
    assert found.join(10)


def counted(served: Served, outcome: str, name: str = "reviews") -> float:
    return served.metrics.value("shadow_total", model=name, version="2", outcome=outcome)


def test_a_shadow_is_asked_the_same_and_changes_nothing(served: Served, shadow: Shadow) -> None:
    for text in TEXTS[:10]:
        answer = served.post("/v1/classify", {"model": "reviews", "input": text})
        assert answer.status == 200 and answer.json["model"] == "reviews@1"
    wait(lambda: counted(served, "same") == 10)
    old, new = shadow.record()["sides"]
    assert (old["answers"], new["answers"]) == (10, 10) and new["counts"] == [[0, 10], [10, 10]]
    assert new["p95"] > 0 and "0 full, 0 busy, 0 drawn" in shadow.record()["notes"]["requests not asked"]


def shadowed(served: Served, predictor: Predictor, **more: Any) -> Shadow:
    """Another version in the place of the shadow that is there."""
    hosted = served.models.add("reviews@3", predictor)
    served.models.end("reviews", "another one")
    found = Shadow(hosted, "reviews@1", 1.0, served.metrics, **{"busy": served.models.busy, **more})
    served.models.begin("reviews", found)
    return found


def test_a_shadow_that_answers_otherwise_is_counted(served: Served, shadow: Shadow, review_run: Run) -> None:
    other = Predictor.open(review_run)
    head = next(module for name, module in other.model.named_modules() if name == "classifier")
    head.weight.data, head.bias.data = -head.weight.data, -head.bias.data
    found = shadowed(served, other)
    served.post("/v1/classify", {"model": "reviews", "input": TEXTS[:5]})
    wait(lambda: found.record()["sides"][1]["answers"] == 5)
    assert found.record()["sides"][1]["counts"] == [[0, 5], [0, 5]]
    found.end("over")


def test_a_shadow_that_cannot_answer_is_counted(
    served: Served, shadow: Shadow, reviewer: Predictor, review_run: Run
) -> None:
    found = shadowed(served, replace(reviewer, encoder=MODALITIES["text"](review_run.model, 4)))
    served.post("/v1/classify", {"model": "reviews", "input": TEXTS[:5]})
    wait(lambda: found.record()["sides"][1]["answers"] == 5)
    assert found.record()["sides"][1]["counts"] == [[5, 5], [0, 0]]
    broken = shadowed(served, replace(reviewer, model=None))  # type: ignore[arg-type]
    for _ in range(3):
        served.post("/v1/classify", {"model": "reviews", "input": "great"})
    wait(lambda: "failed again and again" in broken.record()["state"])
    assert broken.join(10)


def test_a_machine_without_time_skips_the_shadow_and_counts_it(
    served: Served, shadow: Shadow, reviewer: Predictor
) -> None:
    found = shadowed(served, reviewer, busy=lambda hosted: True, patience=60)
    for text in TEXTS[: QUEUE + 6]:
        assert served.post("/v1/classify", {"model": "reviews", "input": text}).json["model"] == "reviews@1"
    assert f"5 full, 0 busy, 0 drawn; {QUEUE} waiting" == full(found)
    served.models.end("reviews", "another one")
    assert found.join(10)
    hasty = Shadow(served.models.get(found.label), "reviews@1", 1.0, served.metrics, lambda hosted: True, patience=0.05)
    served.models.begin("reviews", hasty)
    served.post("/v1/classify", {"model": "reviews", "input": "great"})
    wait(lambda: full(hasty) == "0 full, 1 busy, 0 drawn")
    assert hasty.record()["sides"][1]["answers"] == 0
    hasty.end("over")


def full(shadow: Shadow) -> str:
    return str(shadow.record()["notes"]["requests not asked"])


def test_a_written_answer_is_compared_and_ends_when_a_caller_comes(
    served: Served, chatter: Predictor, chat_run: Run
) -> None:
    hosted = served.models.add("chats@2", Predictor.open(chat_run))
    served.models.point("chats", {"champion": "chats@1", "challenger": "chats@2"})
    found = Shadow(hosted, "chats@1", 1.0, served.metrics, served.models.busy)
    served.models.begin("chats", found)
    for more in ({}, {"stream": True}, {"stop": "a"}, {"max_tokens": 2}):
        served.post("/v1/chat/completions", {"model": "chats", **QUESTION, **more})
    served.post("/v1/chat/completions", {"model": "chats", **QUESTION, "temperature": 1.0})
    wait(lambda: counted(served, "same", "chats") == 4)
    assert "1 drawn" in full(found) and found.record()["sides"][1]["counts"] == [[0, 4], [4, 4]]
    served.models.end("chats", "another one")
    asked: list[int] = []

    def after_three(hosted: Any) -> bool:
        asked.append(1)
        return hosted.batcher.idle is False and len(asked) > 3

    other = Shadow(hosted, "chats@1", 1.0, served.metrics, after_three, patience=0.5)
    served.models.begin("chats", other)
    served.post("/v1/chat/completions", {"model": "chats", **QUESTION})
    wait(lambda: "1 busy" in full(other))
    assert other.record()["sides"][1]["answers"] == 0 and hosted.batcher.idle
    other.end("over")


# -- the registry says so


def registered(registry: Registry, run: Run, count: int) -> None:
    for _ in range(count):
        version = registry.register(run, "reviews")
        if version.number == 1:
            promote(registry, 1)


def promote(registry: Registry, number: int) -> None:
    version = registry.listed(f"reviews@{number}")
    with registry.deciding("reviews") as now:
        aliases = {key: value for key, value in now.items() if value != number} | {"champion": number}
        registry.decide("reviews", "promoted", version, aliases, expected=now, facts={})


def loaded_of(registry: Registry, kind: str, text: str, said: list[str]) -> Loaded:
    tried = Tried.of(kind, text)
    loaded = Loaded(Models(Metrics()), registry, {"reviews": tried})
    loaded.check(["reviews"])
    loaded.load("reviews", said.append)
    return loaded


def test_the_ledger_says_why_a_canary_was_stopped_and_it_stays_so(tmp_path: Path, review_run: Run) -> None:
    registry, said = Registry(tmp_path / "home"), list[str]()
    registered(registry, review_run, 2)
    loaded = loaded_of(registry, "canary", "reviews@challenger=50%", said)
    canary = loaded.models.trials()["reviews"]
    assert isinstance(canary, Canary) and canary.label == "reviews@2"
    for _ in exchanges(random.Random(1), canary, 200, lambda new: 0.01, (0.0, 0.9)):
        pass
    assert canary.stopped and loaded.unwritten
    with registry.deciding("reviews"), pytest.raises(BusyError):
        loaded.keep()
    loaded.keep()
    assert not loaded.unwritten
    loaded.keep()
    line = registry.ledger("reviews")[-1]
    assert (line.what, line.version, line.facts["told"]) == (STOPPED, 2, canary.stopped)
    assert [each.what for each in registry.ledger("reviews")].count(STOPPED) == 1
    assert registry.aliases("reviews") == {"champion": 1, "challenger": 2} and registry.verify() == []
    shown = "\n".join(table(registry, "reviews"))
    assert "canary of @2 beside @1, 50% of requests" in shown and f"stopped: {canary.stopped}" in shown
    again = loaded_of(registry, "canary", "reviews@2=50%", said)
    assert not again.models.trials() and "a canary of it was stopped" in said[-1]
    assert again.models.get("reviews", "anybody").label == "reviews@1"
    for each in (loaded, again):
        each.models.close(10)


def test_a_trial_follows_its_alias_and_ends_when_its_version_is_promoted(tmp_path: Path, review_run: Run) -> None:
    registry, said = Registry(tmp_path / "home"), list[str]()
    registered(registry, review_run, 2)
    loaded = loaded_of(registry, "shadow", "reviews@challenger=100%", said)
    assert loaded.models.trials()["reviews"].label == "reviews@2"
    registered(registry, review_run, 1)
    assert loaded.point("reviews", loaded.wanted("reviews", said.append), said.append)
    assert loaded.models.trials()["reviews"].label == "reviews@3"
    assert loaded.models.labels() == {"reviews@1", "reviews@3"} and loaded.unwritten
    promote(registry, 3)
    assert loaded.point("reviews", loaded.wanted("reviews", said.append), said.append)
    assert not loaded.models.trials() and loaded.models.labels() == {"reviews@3"}
    loaded.keep()
    shown = "\n".join(table(registry, "reviews"))
    assert shown.count("ended: an alias moved") == 2 and "same answer" in shown and registry.verify() == []
    loaded.models.close(10)


def test_a_version_that_is_served_by_its_number_stays(tmp_path: Path, review_run: Run) -> None:
    registry = Registry(tmp_path / "home")
    registered(registry, review_run, 2)
    loaded = Loaded(Models(Metrics()), registry)
    for reference in ("reviews@2", "reviews"):
        loaded.load(reference, lambda line: None)
    assert loaded.models.labels() == {"reviews@1", "reviews@2"}
    loaded.models.close(10)


def test_a_trial_without_effect_is_refused(tmp_path: Path, review_run: Run) -> None:
    registry = Registry(tmp_path / "home")
    registered(registry, review_run, 1)
    for which, error, message in (("1", ConfigError, "that is the champion"), ("challenger", RunError, "challenger")):
        with pytest.raises(error, match=message):
            loaded_of(registry, "canary", f"reviews@{which}=5%", [])
    with pytest.raises(ConfigError, match="is not served here"):
        Loaded(Models(Metrics()), registry, {"reviews": Tried.of("canary", "reviews@2=5%")}).check(["others"])


def test_a_version_to_try_that_does_not_open_leaves_the_champion_alone(tmp_path: Path, review_run: Run) -> None:
    registry, said = Registry(tmp_path / "home"), list[str]()
    registered(registry, review_run, 2)
    loaded = loaded_of(registry, "shadow", "reviews@challenger=100%", said)
    third = registry.register(review_run, "reviews")
    weights = third.path / "model" / "tokenizer.json"
    weights.unlink()
    for _ in range(2):
        loaded.point("reviews", loaded.wanted("reviews", said.append), said.append)
    assert sum("reviews@3 is not tried" in line for line in said) == 1
    assert not loaded.models.trials() and loaded.models.get("reviews").label == "reviews@1"
    promote(registry, 2)
    assert loaded.point("reviews", loaded.wanted("reviews", said.append), said.append)
    assert loaded.models.get("reviews").label == "reviews@2"
    loaded.models.close(10)
