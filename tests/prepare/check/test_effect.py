"""The probe's sentence: leaked rows flatter, wrong labels hurt, nothing measured is said to be nothing measured."""

from __future__ import annotations

import random
import re

import numpy as np
from label_subjects import bag, labelled, sentences, talks

from tuneproof.prepare.check import CHECKS
from tuneproof.prepare.check.effect import effect
from tuneproof.prepare.check.probe import Probe

FALLS = CHECKS["leakage"].falls


def memorable(count: int, seed: int) -> list[tuple[str, str]]:
    """Labels by lot: only who has seen a row knows its label."""
    draw = random.Random(seed)
    return [
        (" ".join(f"w{draw.randint(0, 999)}" for _ in range(8)), draw.choice(("card", "loan"))) for _ in range(count)
    ]


def test_leaked_rows_flatter_the_score() -> None:
    test = memorable(60, seed=1)
    subject = labelled([*test, *memorable(60, seed=2)], test, label_rows=100)
    subject.options = subject.options.model_copy(update={"label_rows": 1000})
    said = effect(subject, range(60), "nearly a test row", FALLS)
    assert said.startswith("Dropping 60 train rows (nearly a test row) changes the measured accuracy by -")
    assert "on 60 test rows." in said and "nearest train row left" not in said and said.endswith(FALLS)
    points = re.search(r"by (-[\d.]+) points \(95%: (-[\d.]+) to (-[\d.]+)\)", said)
    assert points is not None
    value, low, high = map(float, points.groups())
    assert low < value < high < 0 and value < -20


def test_part_of_the_test_leaked_and_the_rest_is_told_apart() -> None:
    test = memorable(80, seed=1)
    subject = labelled([*test[:30], *memorable(60, seed=2)], test)
    said = effect(subject, range(30), "leaked", FALLS)
    parts = re.search(r"On the (\d+) test rows whose nearest train row left it goes from ([\d.]+)% to ([\d.]+)%", said)
    assert parts is not None
    assert 30 <= int(parts[1]) < 80 and float(parts[2]) > float(parts[3]) + 10


def test_wrong_labels_hurt() -> None:
    rows = sentences(160)
    broken = [(text, "loan" if label == "card" else label) for text, label in rows[:120]] + rows[120:]
    gone = [at for at, (_, label) in enumerate(rows[:120]) if label == "card"]
    said = effect(labelled(broken, sentences(80, seed=5)), gone, "label looks wrong")
    assert "by +" in said and "no change can be told" not in said and FALLS not in said


def test_what_changes_nothing_says_so() -> None:
    said = effect(labelled(sentences(160), sentences(60, seed=5)), [3], "why", FALLS)
    assert "by 0.0 points" in said and "no change can be told" in said and FALLS not in said


def test_test_rows_of_one_group_count_once() -> None:
    """The same accuracies with a wider interval: twenty copies of a row are one opinion."""
    test = memorable(6, seed=1) * 10
    train = [*test[:3], *memorable(60, seed=2)]
    apart = labelled(train, test)
    tied = labelled(train, test)
    groups = [f"g{at % 6}" for at in range(60)]
    tied.splits.test.columns["group"] = groups  # type: ignore[index]
    wide, narrow = (
        [float(bound) for bound in re.findall(r"95%: ([-+\d.]+) to ([-+\d.]+)", effect(one, range(3), "why"))[0]]
        for one in (tied, apart)
    )
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_not_measured() -> None:
    assert effect(talks([("hi", "hello")]), [0], "why").startswith("Not measured: the probe needs labels")
    assert effect(labelled(sentences(20), encoder=False), [0], "why") == "Not measured: There is no encoder."
    assert effect(labelled(sentences(20)), range(20), "why") == "Not measured: no train row would be left."
    subject = labelled(sentences(150), label_rows=100)
    outside = sorted(set(range(150)) - set(subject.sample["train"]))
    assert "none of these rows is among the 100 train rows" in effect(subject, outside[:5], "why")
    assert "Dropping 1 of 2 train rows (why)" in effect(subject, [outside[0], subject.sample["train"][0]], "why")


def test_a_test_label_that_no_sampled_row_has_is_a_mistake() -> None:
    rows = sentences(40)
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    probe = Probe.of(bag(texts), labels, bag([*texts[:4], "card"]), [*labels[:4], "unheard of"])
    assert probe.before.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert probe.nearest[:4].tolist() == [0, 1, 2, 3]
    assert np.isin(probe.correct(np.arange(20)), (0.0, 1.0)).all()
