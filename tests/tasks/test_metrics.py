"""Every metric against the field's own code, 1,000 random cases each, and by hand where nothing is defined.

Conventions of the oracles: scikit-learn answers ``zero_division`` (here NaN) where we answer None; its MCC and
seqeval's F1 answer 0 where we answer None; sacreBLEU answers 0 for references without a token.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tuneproof import stats
from tuneproof.errors import DataError
from tuneproof.tasks import metrics

CASES = 1_000
CLOSE = 1e-9


def label_cases() -> Iterator[tuple[list[str], list[str]]]:
    """Truth and prediction: random, one class, all wrong, classes that only one side has."""
    rng = np.random.default_rng(0)
    for case in range(CASES):
        n, classes = int(rng.integers(1, 40)), int(rng.integers(1, 7))
        truth = rng.integers(0, classes, n)
        if case % 10 == 0:
            truth[:] = 0
        predicted = np.where(rng.random(n) < rng.random(), truth, rng.integers(0, classes + 1, n))
        if case % 10 == 1:
            predicted = (truth + 1) % (classes + 1)
        if case % 10 == 2:
            predicted[:] = 0
        yield [f"c{x}" for x in truth], [f"c{x}" for x in predicted]


def same(ours: float | None, theirs: float, undefined: bool) -> bool:
    return ours is None if undefined else ours is not None and abs(ours - theirs) <= CLOSE


def test_one_label_metrics_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn", reason="scikit-learn is the oracle")
    learn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    with sklearn.config_context(skip_parameter_validation=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for truth, said in label_cases():
            one = len(set(truth)) < 2
            labels = metrics.label_set(truth, said)
            t, s = np.array([labels.index(x) for x in truth]), np.array([labels.index(x) for x in said])  # ints: faster
            theirs = learn.precision_recall_fscore_support(t, s, zero_division=np.nan)
            assert same(metrics.accuracy(truth, said), learn.accuracy_score(t, s), False)
            for average, metric in (("macro", metrics.macro_f1), ("weighted", metrics.weighted_f1)):
                expected = learn.precision_recall_fscore_support(t, s, average=average, zero_division=0)[2]
                assert same(metric(truth, said), expected, one)
            assert same(metrics.mcc(truth, said), learn.matthews_corrcoef(t, s), one or len(set(said)) < 2)
            for ours, precision, recall, f1, support in zip(metrics.per_class(truth, said), *theirs, strict=True):
                assert same(ours.precision, precision, math.isnan(precision)) and ours.support == support
                assert same(ours.recall, recall, math.isnan(recall)) and same(ours.f1, f1, math.isnan(f1))
            table = metrics.confusion(truth, said, labels)
            assert (table[:, :-1] == learn.confusion_matrix(t, s)).all() and not table[:, -1].any()


def test_no_items_have_no_score() -> None:
    for metric in (metrics.accuracy, metrics.macro_f1, metrics.weighted_f1, metrics.mcc):
        assert metric([], []) is None
    assert metrics.per_class([], []) == []
    assert metrics.entity_scores([], []) == {"precision": None, "recall": None, "f1": None}
    assert set(metrics.regression_scores([], []).values()) == {None}
    assert metrics.bleu([], [])[0] is None and metrics.chrf([], [])[0] is None
    assert set(metrics.probability_scores(np.zeros((0, 2)), []).values()) == {None}
    assert set(metrics.multilabel_scores([], [], ["a"]).values()) == {None}


def test_every_undefined_metric_has_a_reason() -> None:
    undefined = {"macro_f1": metrics.macro_f1(["a"], ["a"]), "accuracy": metrics.accuracy(["a"], ["a"])}
    assert metrics.notes(undefined) == ("macro_f1: the truth holds fewer than two classes",)
    for scores in (
        metrics.probability_scores(np.zeros((0, 2)), []),
        metrics.multilabel_scores([], [], ["a"]),
        metrics.entity_scores([], []),
        metrics.regression_scores([], []),
        dict.fromkeys(metrics.rouge("", "")),
    ):
        assert len(metrics.notes(dict.fromkeys(scores))) == len(scores)


def test_a_prediction_that_is_no_label_is_a_miss() -> None:
    truth, said = ["a", "b", "b", "a"], ["a", "b", "??", None]
    labels = ["a", "b"]
    assert metrics.accuracy(truth, said) == 0.5
    assert metrics.macro_f1(truth, said, labels) == pytest.approx(2 / 3)  # each: precision 1, recall 1/2
    learn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    assert metrics.mcc(truth, said, labels) == pytest.approx(learn.matthews_corrcoef(truth, ["a", "b", "?", "?"]))
    assert metrics.confusion(truth, said, labels).tolist() == [[1, 0, 1], [0, 1, 1]]
    with pytest.raises(DataError, match="Item 1: the true label 'z'"):
        metrics.class_counts(["a", "z"], ["a", "a"], labels)
    with pytest.raises(DataError, match="2 truths and 1 predictions"):
        metrics.accuracy(["a", "b"], ["a"])


def test_sums_of_counts_give_the_same_values_in_bulk() -> None:
    for truth, said in list(label_cases())[:100]:
        labels = metrics.label_set(truth, said)
        sums = np.asarray(metrics.class_counts(truth, said, labels).sum(axis=0)).ravel()
        bulk = np.stack([sums, 3 * sums])  # every item three times: the same scores
        for metric, plain in (
            (metrics.macro_f1_of, metrics.macro_f1),
            (metrics.weighted_f1_of, metrics.weighted_f1),
            (metrics.mcc_of, metrics.mcc),
        ):
            value = plain(truth, said)
            assert metric(bulk) == pytest.approx([math.nan if value is None else value] * 2, nan_ok=True, abs=CLOSE)
        assert metrics.accuracy_of(bulk)[0] == pytest.approx(metrics.accuracy(truth, said))


def test_multilabel_equals_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn", reason="scikit-learn is the oracle")
    learn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(1)
    for case in range(CASES):
        n, classes = int(rng.integers(1, 30)), int(rng.integers(2, 7))
        truth = rng.random((n, classes)) < rng.random()
        said = truth ^ (rng.random((n, classes)) < rng.random())
        if case % 10 == 0:
            truth[:] = False
        if case % 10 == 1:
            said[:] = False
        sets = [[np.flatnonzero(row).tolist() for row in table] for table in (truth, said)]
        ours = metrics.multilabel_scores(sets[0], sets[1], range(classes))
        nothing = not truth.any() and not said.any()
        with sklearn.config_context(skip_parameter_validation=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, average in (("micro_f1", "micro"), ("multilabel_macro_f1", "macro")):
                theirs = learn.f1_score(truth, said, average=average, zero_division=np.nan)
                assert same(ours[name], theirs, nothing), (case, name)
        assert same(ours["subset_accuracy"], learn.accuracy_score(truth, said), False)


def test_probability_scores_equal_scikit_learn() -> None:
    learn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(2)
    for _ in range(100):
        classes = int(rng.integers(2, 6))
        shares, truth = rng.dirichlet(np.ones(classes), 25), rng.integers(0, classes, 25)
        assert stats.nll_items(shares, truth).mean() == pytest.approx(
            learn.log_loss(truth, shares, labels=range(classes)), abs=1e-9
        )
        if classes == 2:  # scikit-learn's binary form is half of Brier's
            assert stats.brier_items(shares, truth).mean() == pytest.approx(
                2 * learn.brier_score_loss(truth, shares[:, 1], pos_label=1), abs=1e-9
            )
    scores = metrics.probability_scores(shares, truth)
    assert set(scores) == {"nll", "brier", "ece"} and scores["nll"] == pytest.approx(
        stats.nll_items(shares, truth).mean()
    )


def tag_cases(scheme: str) -> Iterator[tuple[list[list[str]], list[list[str]]]]:
    rng = np.random.default_rng(3)
    tags = ["O", *(f"{prefix}-{kind}" for prefix in metrics.SCHEMES[scheme][1:] for kind in ("PER", "LOC"))]
    for case in range(CASES):
        sizes = rng.integers(0, 9, int(rng.integers(1, 6)))
        truth = [rng.choice(tags, size).tolist() for size in sizes]
        keep = rng.random()
        said = [[t if rng.random() < keep else str(rng.choice(tags)) for t in row] for row in truth]
        if case % 10 == 0:
            truth = [["O"] * len(row) for row in truth]
        if case % 10 == 1:
            said = [["O"] * len(row) for row in truth]
        yield truth, said


@pytest.mark.parametrize("scheme", ["IOB2", "BIOES"])
def test_entities_equal_seqeval_strict(scheme: str) -> None:
    seqeval = pytest.importorskip("seqeval.metrics.v1", reason="seqeval 1.2.2 is an oracle of the dev group")
    schemes = pytest.importorskip("seqeval.scheme", reason="seqeval 1.2.2 is an oracle of the dev group")
    theirs = {"IOB2": schemes.IOB2, "BIOES": schemes.IOBES}[scheme]
    for truth, said in tag_cases(scheme):
        types = metrics.entity_types(truth, said, scheme=scheme)
        counts = metrics.entity_counts(truth, said, types, scheme)
        ours = metrics.entity_scores(truth, said, scheme)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pooled = seqeval.precision_recall_fscore_support(truth, said, average="micro", scheme=theirs)
            single = seqeval.precision_recall_fscore_support(truth, said, average=None, scheme=theirs)
        for value, expected in zip(ours.values(), pooled, strict=False):
            assert abs((value or 0.0) - expected) <= CLOSE  # where we have None, seqeval has 0 and a warning
        for row, *expected in zip(metrics.class_scores(counts, types), *single, strict=True):
            found = [row.precision or 0.0, row.recall or 0.0, row.f1 or 0.0, row.support]
            assert found == pytest.approx(expected, abs=CLOSE)
        f1 = metrics.micro_f1_of(counts.sum(axis=0))
        assert (math.isnan(f1) and ours["f1"] is None) or f1 == pytest.approx(ours["f1"])


def test_entities_by_hand() -> None:
    assert metrics.entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER"]) == {("PER", 0, 2), ("LOC", 4, 5)}
    assert metrics.entities(["S-A", "B-A", "I-A", "E-A", "B-A", "O"], "BIOES") == {("A", 0, 1), ("A", 1, 4)}
    with pytest.raises(DataError, match="'X-PER' is not one of IOB2"):
        metrics.entities(["X-PER"])
    with pytest.raises(DataError, match="Unknown tagging scheme"):
        metrics.entities(["O"], "IOE1")
    with pytest.raises(DataError, match="Sequence 0 has 2 true and 1 predicted"):
        metrics.entity_scores([["O", "O"]], [["O"]])


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("The Denver Broncos", "denver broncos"),
        ("Denver  Broncos.", "denver broncos"),
        ("A   cat, an owl; the  Dog!", "cat owl dog"),
        ("Levi's Stadium", "levis stadium"),
        ("24\u201310", "24\u201310"),  # only ASCII punctuation goes: an en dash stays
        ("theatre", "theatre"),
        ("the", ""),
    ],
)
def test_squad_normalisation(text: str, becomes: str) -> None:
    assert metrics.squad_normalise(text) == becomes


def test_squad_scores_on_published_examples() -> None:
    # The metric card of "squad": two of three right gives 66.7 for both; the partial answer shares no normalised token,
    # because "Beyonce" is not "Beyoncé".
    said = ["1976", "Beyonce", "climate change"]
    answers = [["1976"], ["Beyoncé and Bruno Mars"], ["climate change"]]
    for metric in (metrics.exact_match, metrics.token_f1):
        assert [metric(s, a) for s, a in zip(said, answers, strict=True)] == [1.0, 0.0, 1.0]
    # SQuAD 1.1, Super Bowl 50: three gold answers, the best one counts.
    golden = ["Santa Clara, California", "Levi's Stadium", "Levi's Stadium in the San Francisco Bay Area"]
    assert metrics.exact_match("levis stadium", golden) == 1.0
    assert metrics.token_f1("Levi's Stadium, Santa Clara", golden) == pytest.approx(2 * 2 / (4 + 2))
    # SQuAD 2.0: no answer is matched by an empty one only.
    assert metrics.token_f1("", []) == metrics.exact_match("", []) == 1.0
    assert metrics.token_f1("Paris", []) == metrics.exact_match("Paris", []) == 0.0
    assert metrics.token_f1("", ["Paris"]) == 0.0 and metrics.token_f1("the", ["a"]) == 1.0


def text_cases() -> Iterator[tuple[list[str], list[str]]]:
    rng = np.random.default_rng(5)
    words = ["the", "cat", "sat", "on", "a", "mat", ",", "and", "'Twas", "3.5", "(very)", "good", "!", "über", "naïve"]
    for case in range(CASES):
        n = int(rng.integers(1, 5))
        gold = [" ".join(rng.choice(words, int(rng.integers(0, 14)))) for _ in range(n)]
        keep = rng.random()
        said = [" ".join(w if rng.random() < keep else str(rng.choice(words)) for w in line.split()) for line in gold]
        if case % 10 == 0:
            said = ["" for _ in gold]
        if case % 10 == 1:
            said = ["zzz qqq " * int(rng.integers(0, 4)) for _ in gold]
        if case % 10 == 2:
            gold = ["" for _ in gold]
        if case % 10 == 3:
            said = [line[: int(rng.integers(0, 9))] for line in gold]
        yield said, gold


def test_bleu_and_chrf_equal_sacrebleu() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is the oracle")
    for said, gold in text_cases():
        empty = not any(line.split() for line in gold)
        for corpus, counts, metric, theirs in (
            (metrics.bleu, metrics.bleu_counts, metrics.bleu_of, sacrebleu.corpus_bleu(said, [gold]).score),
            (metrics.chrf, metrics.chrf_counts, metrics.chrf_of, sacrebleu.corpus_chrf(said, [gold]).score),
        ):
            value, signature = corpus(said, gold)
            assert same(value, theirs, empty) and (empty or "version:" in signature)
            summed = float(metric(counts(said, gold).sum(axis=0)))
            assert math.isnan(summed) if empty else abs(summed - theirs) <= CLOSE, (said, gold)


def test_rouge_equals_googles_on_ascii() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score is an oracle of the dev group")
    google = scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    for said, gold in list(text_cases())[:300]:
        for one, other in zip(said, gold, strict=True):
            one, other = (x.encode("ascii", "ignore").decode() for x in (one, other))
            theirs = {name: score.fmeasure for name, score in google.score(other, one).items()}
            assert metrics.rouge(one, other) == pytest.approx(theirs, abs=CLOSE)


def test_rouge_tokens_beyond_ascii() -> None:
    assert metrics.rouge_tokens("Über naïve_x") == ["über", "naïve", "x"]
    assert metrics.rouge_tokens("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
    assert metrics.rouge_tokens("GPT是好的 ok") == ["gpt", "是", "好", "的", "ok"]
    assert metrics.rouge("die Katze saß", "die Katze saß da")["rougeL"] == pytest.approx(6 / 7)


def test_regression_equals_scikit_learn_and_scipy() -> None:
    learn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(6)
    for case in range(CASES):
        n = int(rng.integers(2, 30))
        truth = np.round(rng.normal(0, 3, n), case % 4)  # rounding makes ties
        said = np.round(truth + rng.normal(0, 1, n), case % 4)
        if case % 50 == 0:
            truth[:] = 1.5
        ours = metrics.regression_scores(truth, said)
        assert same(ours["mae"], learn.mean_absolute_error(truth, said), False)
        assert same(ours["rmse"], learn.root_mean_squared_error(truth, said), False)
        flat = np.ptp(truth) == 0
        assert (
            ours["r2"] is None
            if flat
            else ours["r2"] == pytest.approx(learn.r2_score(truth, said), abs=CLOSE, rel=CLOSE)
        )
        undefined = bool(flat or np.ptp(said) == 0)
        theirs = math.nan if undefined else float(scipy_stats.spearmanr(truth, said).statistic)
        assert same(ours["spearman"], theirs, undefined)
    with pytest.raises(DataError, match="Item 1 is not finite"):
        metrics.regression_scores([1.0, 2.0], [1.0, float("nan")])
