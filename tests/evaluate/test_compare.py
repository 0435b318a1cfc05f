"""Is B better than A: verdicts, exit codes, and what may not be compared."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import LABELS, answered, line, make_run

from tuneproof import cli
from tuneproof.errors import CheckError, ConfigError, DataError, Error, RunError
from tuneproof.evaluate.compare import compare
from tuneproof.evaluate.uses import FILE
from tuneproof.stats import difference
from tuneproof.tasks import metrics

GOOD = [1] * 90 + [0] * 10
BAD = [1] * 70 + [0] * 30
SWAPPED = [0, 1] * 20 + [1] * 60  # 20 wrong, as many as in SWAPPED_BACK, other ones
SWAPPED_BACK = [1, 0] * 20 + [1] * 60


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., list[str]]:
    """``pair(right_a, right_b)``: two run directories as arguments of compare."""

    def make(a: list[int], b: list[int]) -> list[str]:
        return [str(make_run(tmp_path, name, answered(right))) for name, right in (("a", a), ("b", b))]

    return make


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        (BAD, GOOD, "better"),
        (GOOD, BAD, "worse"),
        (SWAPPED, SWAPPED_BACK, "inconclusive"),
        (GOOD, GOOD, "inconclusive"),
    ],
)
def test_the_second_is_judged_against_the_first(pair, a, b, word) -> None:
    found = compare(pair(a, b))
    assert found["verdict"] == word
    expected = difference(a, b)
    assert found["difference"]["value"] == expected.value and found["difference"]["p"] == expected.p
    assert (found["value_a"], found["value_b"], found["n"]) == (sum(a) / 100, sum(b) / 100, 100)
    assert "smallest gain" in found["power"]


def test_rows_are_matched_by_id_not_by_place(tmp_path: Path) -> None:
    a = make_run(tmp_path, "a", answered(BAD))
    b = make_run(tmp_path, "b", answered(BAD)[::-1])
    assert compare([str(a), str(b)])["difference"]["discordant"] == (0, 0)


def test_a_margin_asks_for_not_worse(pair) -> None:
    same = pair(SWAPPED, SWAPPED_BACK)
    assert compare(same, margin=0.5)["verdict"] == "better"
    assert "not worse by 50.0% or more" in compare(same, margin=0.5)["headline"]
    assert compare(same, margin=0.001)["verdict"] == "inconclusive"


@pytest.mark.parametrize("name", ["macro_f1", "weighted_f1", "mcc", "nll", "brier"])
def test_every_metric_gives_its_own_value(pair, name: str) -> None:
    found = compare(pair(BAD, GOOD), metric=name)
    truths, values = [x["y"] for x in answered(GOOD)], [x["pred"] for x in answered(GOOD)]
    whole = {"macro_f1": metrics.macro_f1, "weighted_f1": metrics.weighted_f1, "mcc": metrics.mcc}
    losses = {"nll": (0.105, 2.996), "brier": (0.02, 1.62)}
    right, wrong = losses.get(name, (0.0, 0.0))
    expected = whole[name](truths, values, LABELS) if name in whole else 0.9 * right + 0.1 * wrong
    assert found["value_b"] == pytest.approx(expected) and found["verdict"] == "better"
    assert (found["difference"]["value"] < 0) == (name in losses)


def test_groups_are_clusters(tmp_path: Path) -> None:
    runs = [str(make_run(tmp_path, n, answered(r, group=10))) for n, r in (("a", BAD), ("b", GOOD))]
    found = compare(runs)
    assert found["difference"]["groups"] == 10 and "cluster" in found["difference"]["method"]


@pytest.mark.parametrize("name", ["majority", "base", "frozen-linear"])
def test_a_run_against_its_own_baseline(tmp_path: Path, name: str) -> None:
    run = str(make_run(tmp_path, "a", answered(GOOD)))
    found = compare([name, run])
    assert found["verdict"] == "better" and found["value_a"] == pytest.approx(0.34)
    assert compare([run, name])["verdict"] == "worse"


def test_fewer_than_thirty_rows_never_decide(pair) -> None:
    found = compare(pair([0] * 29, [1] * 29))
    assert found["verdict"] == "inconclusive" and found["difference"]["low"] > 0
    assert any("too few" in note for note in found["notes"])


def test_a_metric_of_one_class_is_null_with_a_reason(tmp_path: Path) -> None:
    runs = []
    for name, said in (("a", "a"), ("b", "b")):
        rows = [line(f"id-{i}", f"question {i}", "a", said if i % 2 else "a") for i in range(60)]
        runs.append(str(make_run(tmp_path, name, rows)))
    found = compare(runs, metric="macro_f1")
    assert found["value_a"] is None and found["difference"]["value"] is None and found["verdict"] == "inconclusive"
    assert any("undefined" in note for note in found["notes"])


def test_several_are_corrected_by_holm(tmp_path: Path) -> None:
    rights = {"a": [1] * 60 + [0] * 40, "b": [1] * 70 + [0] * 30, "c": [0] * 4 + [1] * 72 + [0] * 24, "d": GOOD}
    runs = [str(make_run(tmp_path, name, answered(right))) for name, right in rights.items()]
    found = compare(runs)
    raw = [one["difference"]["p"] for one in found["all"]]
    corrected = [one["p_holm"] for one in found["all"]]
    assert all(c >= r for c, r in zip(corrected, raw, strict=True)) and corrected != raw
    assert found["verdict"] == "better" and found["all"][-1]["verdict"] == "better"
    alone = compare(runs[:2])
    assert "p_holm" not in alone


def test_parts_that_became_worse_are_named(tmp_path: Path) -> None:
    """B gains on the whole and loses in one part."""
    a = answered([1] * 120 + [0] * 280)
    b = answered([0] * 100 + [1] * 20 + [1] * 280)
    for index, (one, other) in enumerate(zip(a, b, strict=True)):
        one["slices"] = other["slices"] = {"country": "x" if index < 120 else "y"}
    runs = [str(make_run(tmp_path, name, rows)) for name, rows in (("a", a), ("b", b))]
    found = compare(runs)
    assert found["verdict"] == "better"
    parts = {part["value"]: part for part in found["slices"]}
    assert parts["x"]["fails"] and not parts["x"]["holds"] and parts["y"]["holds"] and not parts["y"]["fails"]


# -- what may not be compared


def test_other_rows_are_refused_with_counts_unless_asked(tmp_path: Path) -> None:
    a = str(make_run(tmp_path, "a", answered(BAD)))
    b = str(make_run(tmp_path, "b", answered(GOOD)[20:]))
    with pytest.raises(DataError, match=r"20 rows are only in .*a, 0 only in .*b, 80 in both"):
        compare([a, b])
    found = compare([a, b], intersect=True)
    assert found["n"] == 80 and found["intersect"] == {"only_a": 20, "only_b": 0, "both": 80}
    assert "80 common rows (of 100 and 80)" in found["headline"]


def test_no_common_row_is_refused(tmp_path: Path) -> None:
    a = str(make_run(tmp_path, "a", answered([1])))
    b = str(make_run(tmp_path, "b", [line("other", "x", "a", "a")]))
    with pytest.raises(DataError, match="no common row"):
        compare([a, b], intersect=True)


def test_an_id_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = answered(GOOD)
    a = str(make_run(tmp_path, "a", answered(GOOD)))
    b = str(make_run(tmp_path, "b", [*rows[:50], rows[3]]))
    with pytest.raises(DataError, match=r"line 51: the id id-3 stands there twice \(first on line 4\)"):
        compare([a, b])


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "high"])
def test_a_score_that_is_no_number_is_refused_with_its_row(tmp_path: Path, value) -> None:
    rows = answered(GOOD)
    rows[7]["scores"]["nll"] = value
    a = str(make_run(tmp_path, "a", answered(GOOD)))
    b = str(make_run(tmp_path, "b", rows))
    with pytest.raises(DataError, match=r"line 8: .*nll.* id-7"):
        compare([a, b], metric="nll")
    assert compare([a, b])["verdict"] == "inconclusive", "the other scores are there"


def test_rows_that_were_trained_on_are_refused(tmp_path: Path) -> None:
    a = str(make_run(tmp_path, "a", answered(BAD)))
    b = str(make_run(tmp_path, "b", answered(GOOD), trained=["  QUESTION 3 ", "question 4", "else"]))
    with pytest.raises(CheckError, match=r"2 of 100 rows were in the training rows of .*b"):
        compare([a, b])
    found = compare([a, b], allow_leak=True)
    assert found["leaked"] == {b: 2} and "LEAKED" in found["headline"]


def test_other_labels_tasks_and_templates_are_refused(tmp_path: Path) -> None:
    a = str(make_run(tmp_path, "a", answered(GOOD)))
    labels = str(make_run(tmp_path, "labels", answered(GOOD), labels=("a", "b", "z")))
    task = str(make_run(tmp_path, "task", answered(GOOD), task="instruction", labels=()))
    template = str(make_run(tmp_path, "template", answered(GOOD), template="x"))
    with pytest.raises(DataError, match=r"label sets differ: 1 only in .*\(c\); 1 only in .*\(z\)"):
        compare([a, labels])
    with pytest.raises(DataError, match=r"is for text-classification, .* for instruction"):
        compare([a, task])
    with pytest.raises(DataError, match=r"templates or tokenizers"):
        compare([a, template])


def test_a_run_that_has_not_finished(tmp_path: Path) -> None:
    a = str(make_run(tmp_path, "a", answered(GOOD)))
    b = make_run(tmp_path, "b", answered(GOOD))
    (b / "eval" / "test" / "report.json").unlink()
    with pytest.raises(RunError, match=r"has not finished.* tuneproof resume"):
        compare([a, str(b)])
    with pytest.raises(RunError, match='no evaluation "new"'):
        compare([a, a + "/../b"], evaluation="new")


def test_what_is_asked_wrongly(pair) -> None:
    a, b = pair(BAD, GOOD)
    for names, options, words in (
        ([a], {}, "needs two"),
        ([a, b], {"metric": "accurracy"}, '"accuracy"'),
        ([a, b], {"metric": "loss_per_token"}, "no metric"),
        ([a, b], {"margin": -1.0}, "margin"),
        ([a, "majorty"], {}, '"majority"'),
        ([a, b, "majority"], {}, "one run only"),
        ([a, a], {}, "named twice"),
    ):
        with pytest.raises(ConfigError, match=words):
            compare(names, **options)
    with pytest.raises(RunError, match="no run directory"):
        compare(["nowhere", "neither"])


def test_uses_of_the_test_rows_are_counted(pair, tmp_path: Path) -> None:
    names = pair(BAD, GOOD)
    for _ in range(20):
        assert not any("refresh" in note for note in compare(names)["notes"])
    assert any("used 21 times" in note for note in compare(names)["notes"])
    uses = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert len(uses) == 21 and len({use["test"] for use in uses}) == 1


# -- the command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tuneproof", "compare", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_exit_codes(pair, command) -> None:
    a, b = pair(BAD, GOOD)
    assert command(a, b)[0] == 0
    assert command(b, a)[0] == 1
    assert command(a, a + "/../b", "--margin", "0.0001", "--metric", "mcc")[0] == 0
    assert command(a)[0] == 64
    assert command(a, b, "--metric", "nothing")[0] == 64
    assert command(a, b, "--margn", "1")[0] == 64
    assert command(a, b, "--margin", "some")[0] == 64
    assert command("nowhere", b, a)[0] == 64
    assert command(a, str(Path(a).parent))[0] == 65
    code, out, err = command(a, b, "--eval", "x")
    assert code == 65 and not out and err.startswith("tuneproof: ") and "Traceback" not in err


def test_inconclusive_is_two_and_json_is_json(pair, command) -> None:
    code, out, _ = command(*pair(SWAPPED, SWAPPED_BACK), "--json")
    found = json.loads(out)
    assert code == 2 and found["verdict"] == "inconclusive" and found["difference"]["p"] == 1.0


def test_what_is_printed_says_who_and_how_sure(pair, command) -> None:
    a, b = pair(BAD, GOOD)
    _, out, _ = command(a, b)
    first = out.splitlines()[0]
    assert "On 100 rows, accuracy:" in first and f"{b} 90.0% and {a} 70.0%" in first
    assert "20.0 points (95% interval" in first and first.endswith(f"{b} is better.")
    assert "training noise not measured" in out.lower()


def test_every_refusal_is_ours(pair) -> None:
    """No bad input may end in a traceback."""
    a, b = pair(BAD, GOOD)
    for spoiled in ("", "{", '{"id": 1}\n', "[]\n", '{"id": "x", "scores": {}, "question": ""}\n'):
        (Path(b) / "eval" / "test" / "predictions.jsonl").write_text(spoiled)
        with pytest.raises(Error):
            compare([a, b])
