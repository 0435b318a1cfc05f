"""Planted label errors are found, ranked and suggested rightly; what cannot be judged is said; no label is changed."""

from __future__ import annotations

import random

import numpy as np
from label_subjects import bag, labelled, sentences, talks

from tuneproof.prepare.check import CHECKS
from tuneproof.prepare.check.guesses import guess, trust, words
from tuneproof.prepare.check.labels import label_issues
from tuneproof.prepare.check.linear import centred, fit
from tuneproof.prepare.split import folds


def wrong(rows: list[tuple[str, str]], count: int, seed: int = 1) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """The rows with ``count`` labels replaced, and the right label of each."""
    draw = random.Random(seed)
    labels = sorted({label for _, label in rows})
    right = {at: rows[at][1] for at in draw.sample(range(len(rows)), count)}
    changed = list(rows)
    for at, label in right.items():
        changed[at] = (rows[at][0], draw.choice([other for other in labels if other != label]))
    return changed, right


def test_planted_errors_are_named_with_the_right_label() -> None:
    rows, right = wrong(sentences(800), 40)
    subject = labelled(rows)
    found = label_issues(subject)
    assert found.found == len(found.findings) >= 24
    named = [finding.line - 2 for finding in found.findings]
    assert len(set(named) & set(right)) >= 0.95 * found.found
    assert all(finding.suggest == right[at] for at, finding in zip(named, found.findings, strict=True) if at in right)
    assert all(f'"{rows[at][1]}"' in finding.message for at, finding in zip(named, found.findings, strict=True))
    scores = [finding.score for finding in found.findings]
    assert scores == sorted(scores) and all(score is not None and 0 <= score <= 1 for score in scores)
    assert subject.splits.train.columns["label"] == [label for _, label in rows]
    assert sum(count for _, _, count in found.figures["histogram"]) == found.looked_at == 800
    assert sum(found.figures["shares"].values()) == found.found


def test_planted_errors_are_ranked_first() -> None:
    rows, right = wrong(sentences(200), 10)
    guesses = labelled(rows).guesses
    assert set(np.argsort(trust(guesses.probabilities, guesses.numbers))[:10].tolist()) == set(right)


def test_right_labels_are_left_in_peace() -> None:
    found = label_issues(labelled(sentences(200)))
    assert found.found <= 2 and found.leave == {"train": []}


def test_only_as_many_leave_as_were_asked_for_the_worst_first_and_none_that_looks_right() -> None:
    rows, _ = wrong(sentences(200), 10)
    three = label_issues(labelled(rows, drop_label_issues=3))
    assert list(three.leave["train"]) == [finding.line - 2 for finding in three.findings[:3]]
    assert three.note == ""
    many = label_issues(labelled(rows, drop_label_issues=150))
    assert len(many.leave["train"]) == many.found < 150
    assert f"{many.found} rows look wrong: no others leave" in many.note


def test_rows_of_rare_classes_are_not_judged_and_counted() -> None:
    rare = [("lonely words of another kind", "odd"), ("another lonely text", "odd"), ("unlike the rest", "odd")]
    found = label_issues(labelled([*sentences(120), *rare]))
    assert found.looked_at == 120
    assert found.note == "Not judged: 3 rows of 1 class with too few rows."
    assert all(finding.line - 2 < 120 and finding.suggest != "odd" for finding in found.findings)


def test_what_cannot_be_judged_is_said() -> None:
    assert label_issues(labelled(sentences(40), encoder=False)).note == "There is no encoder."
    assert "no labels" in label_issues(talks([("hi", "hello")] * 9)).note
    few = label_issues(labelled(sentences(12), groups=["a", "b", "c"] * 4))
    assert few.looked_at == 0 and "fewer than 5 groups" in few.note
    small = label_issues(labelled(sentences(12)))  # three rows of each class
    assert small.looked_at == 0 and "five rows" in small.note


def test_a_sample_by_hash_is_looked_at_and_said() -> None:
    rows, right = wrong(sentences(400), 40)
    subject = labelled(rows, label_rows=100)
    found = label_issues(subject)
    assert found.looked_at == 100 and found.note == "100 of 400 train rows, chosen by their hash."
    assert 3 <= len({finding.line - 2 for finding in found.findings} & set(right)) <= 25
    assert subject.vectors.shape == (100, 64)


def test_a_group_is_never_judged_by_its_own_rows() -> None:
    """Twins of one group share a wrong label: seen one by one each would vouch for the other."""
    rows = sentences(160)
    twins = [(" ".join(f"word{number}" for number in range(at, at + 6)), "tax") for at in (0, 0, 0, 0)]
    alone = labelled([*rows, *twins], groups=[None] * 160 + ["g"] * 4).guesses
    together = labelled([*rows, *((f"{text} x{at}", label) for at, (text, label) in enumerate(twins))]).guesses
    tax = alone.classes.index("tax")
    assert alone.probabilities[-4:, tax].max() < together.probabilities[-4:, tax].min()


def test_the_same_rows_are_judged_alike_twice() -> None:
    rows, _ = wrong(sentences(120), 6)
    assert label_issues(labelled(rows)).findings == label_issues(labelled(rows)).findings


def test_the_score_prefers_certainly_wrong_to_undecided() -> None:
    probabilities = np.array([[0.45, 0.55, 0.0], [0.001, 0.55, 0.449], [0.9, 0.05, 0.05], [0.0, 1.0, 0.0], [1.0, 0, 0]])
    scores = trust(probabilities, np.zeros(5, dtype=np.int64))
    assert np.argsort(scores).tolist() == [3, 1, 0, 2, 4]
    assert scores[3] == 0 and scores[4] == 1


def test_probabilities_are_out_of_fold() -> None:
    """Random labels: who has seen a row knows its label, who has not is right by chance."""
    texts = [f"w{number} v{number * 7} u{number * 13}" for number in range(200)]
    labels = ["ab"[number % 2] for number in range(200)]
    draw = random.Random(3)
    draw.shuffle(labels)
    guesses = guess(texts, labels, bag(texts), folds(texts, labels, 5, "s"), 0)
    assert abs((guesses.said == guesses.numbers).mean() - 0.5) < 0.13
    np.testing.assert_allclose(guesses.probabilities.sum(1), 1, rtol=1e-5)
    features = np.hstack([centred(bag(texts)), words(texts, 0)])
    seen = fit(features, guesses.numbers, 2).probabilities(features).argmax(1)
    assert (seen == guesses.numbers).mean() > 0.7


def test_softmax_regression_is_that_of_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    from tuneproof.prepare.check.linear import C

    rows = sentences(200)
    features = centred(bag([text for text, _ in rows]))
    names, numbers = np.unique([label for _, label in rows], return_inverse=True)
    theirs = LogisticRegression(C=C, max_iter=500, tol=1e-8).fit(features.astype(np.float64), numbers)
    ours = fit(features, numbers, len(names)).probabilities(features)
    np.testing.assert_allclose(ours, theirs.predict_proba(features.astype(np.float64)), atol=2e-3)


def test_words_of_texts_that_share_none() -> None:
    assert words(["alpha", "beta", "gamma"], 0).shape == (3, 0)
    assert words([" ", ""], 0).shape == (2, 0)
    shared = words(["red lamp", "red chair", "blue lamp", "blue chair"], 0)
    assert shared.shape[0] == 4 and 1 <= shared.shape[1] <= 3 and np.isfinite(shared).all()


def test_the_rows_of_the_table() -> None:
    """What the doctor does with a policy needs a reason for the ledger."""
    mine = ("label_issues", "class_health", "outliers", "lengths", "languages", "beginnings", "placeholders")
    assert all(bool(CHECKS[name].policy) == bool(CHECKS[name].leaves) for name in mine)
    assert {name for name in mine if CHECKS[name].policy} == {"label_issues", "outliers", "placeholders"}


def test_labels_that_the_words_do_not_carry_are_not_doubted() -> None:
    """A list of most rows helps nobody: it says that the classifier knows nothing of these classes."""
    draw = random.Random(0)
    rows = [(text, draw.choice(["yes", "no", "maybe"])) for text, _ in sentences(300)]
    found = label_issues(labelled(rows, drop_label_issues=5))
    assert found.found == 0 and found.looked_at == 0 and not found.findings and not found.leave
    assert "which says nothing about them" in found.note and "takes no row" in found.note
    half, _ = wrong(sentences(300), 60)
    assert label_issues(labelled(half)).found >= 30, "a fifth of the labels may be wrong"
