"""The sentences that people will quote: they must follow from the figures."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tuneproof.evaluate.headline import headline, strongest
from tuneproof.evaluate.measure import interval, items, paired, units
from tuneproof.evaluate.measures import MEASURES
from tuneproof.evaluate.outcome import Outcome, System
from tuneproof.evaluate.report import _scores
from tuneproof.evaluate.score import beyond_blind, scored_rows
from tuneproof.records import Prediction, Table
from tuneproof.stats.interval import wilson
from tuneproof.stats.paired import difference
from tuneproof.tasks import task

CLASSIFY = task("text-classification").answer
CHAT = task("instruction").answer


def labels(right: list[int]) -> list[Prediction]:
    return [
        Prediction("a" if hit else "b", "a", 0.9, {"a": 0.9}, {"nll": 0.1 if hit else 2.3, "correct": float(hit)})
        for hit in right
    ]


def losses(per_token: list[float]) -> list[Prediction]:
    return [Prediction(None, scores={"nll": 10 * loss, "tokens": 10.0, "hits": 5.0}) for loss in per_token]


def outcome(answer, tuned: list[Prediction], base: list[Prediction]) -> Outcome:
    table = Table({"id": [str(i) for i in range(len(tuned))]}, list(range(len(tuned))), "t.csv")
    interval = wilson(1, 2)
    return Outcome(
        [
            System("the tuned model", "", "tuned", tuned, answer.score(tuned), interval),
            System(
                "the base", "", "baseline", base, answer.score(base), interval, difference(items(base), items(tuned))
            ),
        ],
        table,
    )


@pytest.mark.parametrize(
    ("tuned", "base", "word", "said"),
    [
        ([1] * 90 + [0] * 10, [1] * 60 + [0] * 40, "better", "a gain of 30.0 points"),
        ([1] * 60 + [0] * 40, [1] * 90 + [0] * 10, "worse", "not worth deploying"),
        ([1, 0] * 50, [0, 1] * 50, "inconclusive", "cannot tell from chance"),
        (
            [1] * 20,
            [0] * 20,
            "inconclusive",
            "no verdict is given on fewer than 30 test rows",
        ),  # fewer than 30 rows never show anything
    ],
)
def test_headline_of_a_classifier_follows_from_the_rows(tuned, base, word, said) -> None:
    sentence, verdict = headline(outcome(CLASSIFY, labels(tuned), labels(base)), CLASSIFY, "minilm")
    assert verdict == word and said in sentence, sentence


@pytest.mark.parametrize(
    ("shift", "word", "said"), [(-0.5, "better", "less"), (0.5, "worse", "more"), (0.0, "inconclusive", "chance")]
)
def test_headline_of_a_chat_model_knows_that_less_loss_is_better(shift, word, said) -> None:
    base = [2.0 + 0.01 * (i % 7) for i in range(60)]
    tuned = [loss + shift + 0.01 * ((i % 5) - 2) for i, loss in enumerate(base)]
    sentence, verdict = headline(outcome(CHAT, losses(tuned), losses(base)), CHAT, "smollm")
    assert verdict == word and said in sentence, sentence


def test_items_are_comparable_between_systems_whatever_the_task() -> None:
    assert items(labels([1, 0])) == [1.0, 0.0]
    assert items(losses([0.5])) == [0.5]


def test_verdict_and_power_are_about_the_strongest_baseline_wherever_it_stands() -> None:
    weak, strong = labels([0] * 90 + [1] * 10), labels([1] * 85 + [0] * 15)
    tuned = labels([1] * 90 + [0] * 10)
    first, second = (outcome(CLASSIFY, tuned, base).systems[1] for base in (strong, weak))
    assert strongest([first, second]) is first and strongest([second, first]) is first
    report = _scores(
        Outcome([outcome(CLASSIFY, tuned, strong).systems[0], first, second], Table({}, [], "t")), CLASSIFY
    )
    assert "disagreement 5.0%" in report["power"], report["power"]


def test_the_interval_is_of_the_figure_beside_it() -> None:
    """Long answers weigh more in the loss per token, so the interval and the difference must weigh them as well."""
    tuned = [Prediction(None, scores={"nll": 1.0 * n, "tokens": float(n), "hits": 0.0}) for n in (1, 2, 3)] * 20
    tuned += [Prediction(None, scores={"nll": 300.0 + i, "tokens": 100.0, "hits": 0.0}) for i in range(20)]
    base = [dataclasses.replace(p, scores={**p.scores, "nll": p.scores["nll"] + p.scores["tokens"]}) for p in tuned]
    whole = CHAT.score(tuned).main
    assert whole is not None
    found = interval(items(tuned), units(tuned), None)
    assert found.value == pytest.approx(whole) and found.n == len(tuned)
    assert found.low is not None and found.high is not None and found.low < whole < found.high
    gap = paired(items(base), items(tuned), units(tuned), None, 0)
    assert gap.value == pytest.approx(-1.0) and gap.n == len(tuned)
    assert gap.value == pytest.approx(whole - (CHAT.score(base).main or 0.0))


def test_rows_to_score_do_not_depend_on_their_order_in_the_file() -> None:
    ids = [f"row-{i}" for i in range(50)]
    forward = Table({"id": ids}, list(range(50)), "t.csv")
    backward = Table({"id": ids[::-1]}, list(range(50)), "t.csv")
    first = {ids[i] for i in scored_rows(forward, 10)}
    second = {ids[::-1][i] for i in scored_rows(backward, 10)}
    assert first == second and len(first) == 10
    assert scored_rows(forward, None) == list(range(50)) == scored_rows(forward, 99)


def test_where_nothing_beats_a_constant_answer_nothing_is_recommended() -> None:
    """As pubmedqa has it: the tuned model says "yes" to everything, and the word counts are right by chance."""
    rng = random.Random(0)
    constant = [1] * 55 + [0] * 45
    lucky = [hit if rng.random() < 0.97 else 1 - hit for hit in constant]
    made = with_blind(labels(constant), labels(constant), labels(lucky))
    sentence, word = headline(made, CLASSIFY, "minilm")
    assert word == "inconclusive" and "Use " not in sentence
    assert sentence.endswith("Nothing, tuned or simple, is shown to do better here than always a.")
    knowing = with_blind(labels(constant), labels(constant), labels([1] * 90 + [0] * 10))
    assert headline(knowing, CLASSIFY, "minilm")[0].endswith("Use words.")


def test_the_best_of_several_baselines_has_to_be_ahead_by_more_than_one_alone() -> None:
    """pubmedqa again, where p is .044 for the best of three."""
    tuned, nearly = [1] * 50 + [0] * 50, [1] * 50 + [0] * 50
    words = [1] * 50 + [1] * 10 + [0] * 40
    words[:2] = [0, 0]
    one = outcome(CLASSIFY, labels(tuned), labels(words))
    sentence, word = headline(one, CLASSIFY, "minilm")
    gap = one.systems[1].difference
    assert word == "worse" and gap is not None and gap.p is not None and 0.02 < gap.p < 0.05
    others = [outcome(CLASSIFY, labels(tuned), labels(nearly)).systems[1]] * 2
    several = dataclasses.replace(one, systems=[*one.systems, *others])
    sentence, word = headline(several, CLASSIFY, "minilm")
    assert word == "inconclusive" and "that the best of 3 equal baselines has too often (p = 0." in sentence, sentence
    assert headline(outcome(CLASSIFY, labels(tuned), labels([1] * 90 + [0] * 10)), CLASSIFY, "m")[1] == "worse"


def with_blind(tuned: list[Prediction], blind: list[Prediction], words: list[Prediction]) -> Outcome:
    made = outcome(CLASSIFY, tuned, blind)
    model, constant = made.systems
    other = outcome(CLASSIFY, tuned, words).systems[1]
    systems = [
        model,
        dataclasses.replace(constant, name="always a", blind=True),
        dataclasses.replace(other, name="words"),
    ]
    return dataclasses.replace(made, systems=beyond_blind(systems, MEASURES["accuracy"], None, (), 0))
