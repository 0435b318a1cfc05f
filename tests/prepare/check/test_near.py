"""Near copies: nothing is missed, nothing is named that is none, and what leaves is what should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneproof.config import Check as Options
from tuneproof.prepare.check import CHECKS, Checked, Subject, compared, exact, minhash
from tuneproof.prepare.check.compared import Compared, measured, plain, without_prefix
from tuneproof.prepare.check.shingles import jaccard, sets
from tuneproof.records import Schema, Splits, Table
from tuneproof.tasks import TASKS

SIDES = ("train", "validation", "test")
LONG = "please tell me where the {} card is that i ordered from you more than two weeks ago and never got"
FILLER = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen {}"

Texts = st.lists(st.text("ab c", max_size=24), min_size=1, max_size=40)


def labelled(**sides: Sequence[tuple[str, str]]) -> Subject:
    """A Subject of (text, label) rows by side; what is not given is one row like no other."""
    tables = []
    for side in SIDES:
        rows = sides.get(side, [(f"a row of {side} that is like none of the others", "a")])
        texts, labels = [row[0] for row in rows], [row[1] for row in rows]
        tables.append(_table(side, {"text": texts, "label": labels}))
    return _subject(
        "text-classification", tables, tuple(sorted({label for t in tables for label in t.columns["label"]}))
    )


def chats(**sides: Sequence[Sequence[str]]) -> Subject:
    """A Subject of conversations, each "role: text" strings."""
    tables = []
    for side in SIDES:
        rows = sides.get(side, [["user: " + f"hello from {side}, " * 9, "assistant: hi"]])
        messages = [[dict(zip(("role", "content"), turn.split(": ", 1), strict=True)) for turn in row] for row in rows]
        tables.append(_table(side, {"messages": messages}))
    return _subject("instruction", tables, ())


def _table(side: str, columns: dict[str, list[Any]]) -> Table:
    rows = len(next(iter(columns.values())))
    return Table({"id": [f"{side}-{row}" for row in range(rows)], **columns}, range(2, rows + 2), f"{side}.csv")


def _subject(task: str, tables: list[Table], labels: tuple[str, ...]) -> Subject:
    schema = Schema(task, "", {}, labels, None, ())
    return Subject(Splits(*tables), schema, TASKS[task].answer.texts, Options(), 0)


def look(name: str, subject: Subject) -> Checked:
    return CHECKS[name].look(subject)


def pieces(text: str) -> set[str]:
    return {text[at : at + 5] for at in range(max(len(text) - 4, 1))} if text else set()


def like(one: str, other: str) -> float:
    either = pieces(one) | pieces(other)
    return len(pieces(one) & pieces(other)) / len(either) if either else 0.0


def sentences(rows: int, seed: int = 0) -> list[str]:
    """Different texts of 12 words, every fifth nearly the one before it."""
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    for row in range(rows):
        words = [f"{word:x}" for word in rng.integers(0x1000, 0xFFFFF, 12)]
        texts.append(texts[-1] + "s" if row % 5 == 4 else " ".join(words))
    return texts


# -- sets and pairs


@given(Texts)
@settings(deadline=None, max_examples=60)
def test_jaccard_is_that_of_sets_of_five_characters(texts: list[str]) -> None:
    left, right = (found.ravel() for found in np.indices((len(texts), len(texts))))
    expected = [like(texts[a], texts[b]) for a, b in zip(left, right, strict=True)]
    assert jaccard(sets(texts), left, right).tolist() == pytest.approx(expected, abs=1e-12)
    assert measured(texts, left, right).tolist() == pytest.approx(expected, abs=1e-12)


@given(Texts, Texts, st.sampled_from([0.5, 0.8, 0.9, 1.0]))
@settings(deadline=None, max_examples=100)
def test_the_exact_index_misses_no_pair(left: list[str], right: list[str], least: float) -> None:
    found = sets([*left, *right])
    rows = np.arange(len(left)), np.arange(len(right)) + len(left)
    blocks = list(exact.Index(found, *rows, least).candidates())
    named = {(a, b - len(left)) for one, other in blocks for a, b in zip(one.tolist(), other.tolist(), strict=True)}
    alike = {(a, b) for a, x in enumerate(left) for b, y in enumerate(right) if like(x, y) >= least}
    assert alike <= named
    assert sum(len(one) for one, _ in blocks) == len(named)


def test_blocks_do_not_change_what_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(300)
    whole = _pairs(texts)
    assert len(whole) == 60
    monkeypatch.setattr(exact, "AT_ONCE", 3)
    monkeypatch.setattr("tuneproof.prepare.check.shingles.AT_ONCE", 50)
    assert _pairs(texts) == whole


def test_minhash_finds_them_too_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(2000)
    every = _pairs(texts)
    monkeypatch.setattr(compared, "EXACT_ROWS", 1000)
    monkeypatch.setattr(minhash, "MEMBERS", 16)
    found = _pairs(texts)
    assert set(found) <= set(every) and len(found) >= 0.97 * len(every)
    note = look("near_duplicates", labelled(train=[(text, "a") for text in texts])).note
    assert "MinHash" in note and "95%" in note
    monkeypatch.undo()
    assert look("near_duplicates", labelled(train=[(text, "a") for text in texts])).note == ""


@pytest.mark.parametrize("bound", ["EXACT_CHARACTERS", "EXACT_WORK"])
def test_a_file_of_one_template_stays_linear(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """400 rows that are all alike are 79,800 pairs; of a crowd each is compared with the first 16, in one cluster."""
    monkeypatch.setattr(compared, bound, 100)
    texts = [LONG.format(f"{row:04d}") for row in range(400)]
    looked = Compared(texts, {"train": 0}, {"train": 400})
    pairs = sum(len(found.left) for found in looked.pairs("train", "train", 0.8))
    assert 399 <= pairs <= 40_000
    assert looked.inexact == {"train"}
    checked = look("near_duplicates", labelled(train=[(text, "a") for text in texts]))
    assert checked.figures["clusters"] == 1 and checked.leave == {"train": list(range(1, 400))}


def _pairs(texts: list[str]) -> list[tuple[int, int, float]]:
    found = Compared(texts, {"train": 0}, {"train": len(texts)}).pairs("train", "train", 0.8)
    return sorted(
        (a, b, round(score, 9))
        for pairs in found
        for a, b, score in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.score.tolist(), strict=True)
    )


def test_short_texts_are_alike_only_when_they_are_the_same() -> None:
    texts = ["ok", "okay", "no", "on", "hi", "hi there", ""]
    found = Compared([*texts, "ok"], {"train": 0}, {"train": 8})
    assert [(p.left.tolist(), p.right.tolist()) for p in found.pairs("train", "train", 0.8)] == [([0], [7])]


# -- what is compared


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("where's my card?", "wheres my card", True),
        ("how can i activate my card>", "how can i activate my card?", True),
        ("can i top-up", "can i topup", True),
        ("pay 3.5 now", "pay 35 now", False),
        ("what is 3 - 4", "what is 3 + 4", False),
        ("1,000 rows", "1000 rows", False),
        ("???", "!!!", False),
        ("卡在哪里。", "卡在哪里", True),
    ],
)
def test_marks_of_a_sentence_do_not_count(one: str, other: str, same: bool) -> None:
    assert (plain(one) == plain(other)) is same and plain(one)


def test_the_beginning_that_most_rows_share_does_not_count() -> None:
    prompt = "you are the assistant of a bank and answer briefly. the customer says: "
    tails = ["my card is lost", "what is the rate of the dollar", "i want to close the account"]
    assert without_prefix([*(prompt + tail for tail in tails), "another one", "and one more"]) == [
        *tails, "another one", "and one more",
    ]  # fmt: skip
    half = [prompt + tails[0], prompt + tails[1], "another one", "and one more"]
    assert without_prefix(half) == half  # not more than half
    short = ["how do i open it", "how do i close it", "how do i lose it"]
    assert without_prefix(short) == short  # a question, not boilerplate
    assert without_prefix([]) == []


def test_a_long_shared_system_prompt_makes_no_duplicates() -> None:
    personas = [f"system: You are number {n}. " + "Be polite, brief and right. " * 60 for n in range(4)]
    questions = sentences(44, seed=3)[:40:2]
    rows = [[persona, f"user: {q}?", "assistant: yes"] for persona in personas for q in questions[:: len(personas)]]
    rows += [[personas[0], f"user: {q}!", "assistant: no"] for q in sentences(20, seed=5) if not q.endswith("s")]
    test = [[personas[1], f"user: {questions[0]}, thanks", "assistant: yes"]]
    checked = look("leakage", chats(train=rows, test=test))
    asking = {row for row, turns in enumerate(rows) if turns[1] == f"user: {questions[0]}?"}
    assert set(checked.leave["train"]) == asking and len(asking) == 4
    assert look("near_duplicates", chats(train=rows[:5])).found == 0


def test_a_long_shared_instruction_makes_no_duplicates() -> None:
    rows = [
        [f"user: {'Read the text below and name its topic in one word. ' * 20}{q}", "assistant: x"]
        for q in sentences(40)
    ]
    checked = look("near_duplicates", chats(train=rows))
    assert checked.leave == {"train": [row for row in range(40) if row % 5 == 4]}


# -- leakage


def test_train_and_validation_rows_leave_and_test_rows_never() -> None:
    subject = labelled(
        train=[(LONG.format("new"), "a"), (FILLER.format("seventeen"), "a"), ("something else altogether, once", "b")],
        validation=[(FILLER.format("Seventeen!"), "a"), (LONG.format("red"), "a")],
        test=[("nothing of this kind", "a"), (LONG.format("old"), "b")],
    )
    checked = look("leakage", subject)
    assert checked.leave == {"train": [0, 1], "validation": [1]}
    assert checked.looked_at == 5 and checked.found == 3
    assert checked.figures["train rows near a test row"] == 1
    assert checked.figures["train rows near a validation row"] == 2
    assert checked.figures["validation rows near a test row"] == 1
    assert sum(count for _, _, count in checked.figures["rows by Jaccard index"]) == 3
    of_row = {(finding.side, finding.line): finding for finding in checked.findings}
    first = of_row["train", 2]
    assert first.partner == "test.csv, line 3" and first.severity == "error"
    assert first.score == pytest.approx(like(LONG.format("new"), LONG.format("old")), abs=1e-4)
    assert 'where the label is "b", not "a"' in first.message and "where" not in of_row["train", 3].message
    assert checked.findings[0].score == 1.0  # the worst first


def test_rows_that_are_different_stay() -> None:
    train, test = sentences(200, seed=1), sentences(200, seed=2)
    checked = look("leakage", labelled(train=[(t, "a") for t in train], test=[(t, "a") for t in test]))
    assert checked.found == 0 and checked.leave == {} and not checked.findings


def test_the_partner_is_the_one_most_alike() -> None:
    tests = [(LONG.format("some other"), "a"), (LONG.format("news"), "a"), (LONG.format("green"), "a")]
    checked = look("leakage", labelled(train=[(LONG.format("new"), "a")], test=tests))
    assert checked.findings[0].partner == "test.csv, line 3"


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    subject = labelled(train=[(text, "a") for text in sentences(50)])
    subject.progress = lambda what, done, total: told.append((what, done, total))
    look("near_duplicates", subject)
    assert told and all(0 <= done <= total for _, done, total in told)


# -- near duplicates


def test_all_but_the_first_of_a_cluster_leave() -> None:
    texts = [LONG.format("new"), "quite another thing to ask about", LONG.format("news"), LONG.format("newer")]
    checked = look("near_duplicates", labelled(train=[(text, "a") for text in texts]))
    assert checked.leave == {"train": [2, 3]} and checked.found == 2
    assert checked.figures["largest clusters"][0]["rows"] == 3
    assert checked.figures["largest clusters"][0]["first"] == "train.csv, line 2"
    assert all(finding.severity == "warn" for finding in checked.findings)


def test_a_row_joined_by_a_later_one_is_of_the_cluster_and_names_it() -> None:
    """The first two are alike only through the third."""
    words = [f"{n * n:04x}" for n in range(100, 128)]
    first, second, bridge = words[:22], words[4:26], words[2:24]
    texts = [" ".join(one) for one in (first, second, bridge)]
    assert like(texts[0], texts[1]) < 0.8 <= min(like(texts[0], texts[2]), like(texts[1], texts[2]))
    checked = look("near_duplicates", labelled(train=[(text, "a") for text in texts]))
    assert checked.leave == {"train": [1, 2]}
    assert {finding.line: finding.partner for finding in checked.findings}[3] == "train.csv, line 4"


def test_rows_of_a_cluster_with_two_labels_stay_and_are_told() -> None:
    train = [
        (LONG.format("new"), "a"),
        (LONG.format("news"), "a"),
        (LONG.format("newer"), "b"),
        (FILLER.format("x"), "a"),
    ]
    checked = look("near_duplicates", labelled(train=[*train, (FILLER.format("y"), "a")]))
    assert checked.leave == {"train": [4]} and checked.found == 3
    assert sum("labels differ: it stays" in finding.message for finding in checked.findings) == 2
    assert checked.figures["of these, in clusters whose answers differ"] == 2


def test_one_question_with_two_answers_is_no_duplicate() -> None:
    said = "the library opens at nine in the morning and closes at eight in the evening, on sundays at {}"
    rows = [
        [f"user: {LONG.format('new')}", "assistant: It is in the post."],
        [f"user: {LONG.format('news')}", "assistant: Nobody knows."],
        [f"user: {FILLER.format('x')}", f"assistant: {said.format('six')}"],
        [f"user: {FILLER.format('y')}", f"assistant: {said.format('ten')}"],
    ]
    checked = look("near_duplicates", chats(train=rows))
    assert checked.found == 2 and checked.leave == {"train": [3]}
    assert any("answers differ: it stays" in finding.message for finding in checked.findings)


# -- conflicts


def test_one_text_with_two_labels_is_an_error_and_all_of_it_leaves() -> None:
    train = [("My card  is lost", "a"), ("something else", "a"), ("my CARD is lost", "b")]
    checked = look("conflicts", labelled(train=train, test=[("t e s t", "a"), ("T E S T", "b")]))
    assert checked.leave == {"train": [0, 2]} and checked.found == 4
    assert {finding.severity for finding in checked.findings} == {"error"}
    assert checked.findings[0].message == 'The same text is labelled "a" here and "b" in train.csv, line 4.'
    assert {finding.side for finding in checked.findings} == {"train", "test"}


def test_nearly_one_text_with_two_labels_is_a_warning_and_stays() -> None:
    train = [(LONG.format("new"), "a"), (LONG.format("news"), "b"), (LONG.format("new") + "!", "b"), ("else", "a")]
    checked = look("conflicts", labelled(train=train))
    assert checked.leave == {} and checked.found == 3
    assert {finding.severity for finding in checked.findings} == {"warn"}
    assert {finding.line: finding.partner for finding in checked.findings}[2] == "train.csv, line 4"


def test_near_copies_of_one_label_are_no_conflict() -> None:
    checked = look("conflicts", labelled(train=[(LONG.format("new"), "a"), (LONG.format("news"), "a")]))
    assert checked.found == 0 and checked.looked_at == 4


def test_written_answers_are_not_looked_at() -> None:
    checked = look("conflicts", chats())
    assert checked.found == checked.looked_at == 0 and "several good answers" in checked.note


def test_no_text_of_a_row_leaves_the_checks_unmasked_or_whole() -> None:
    text = "write to someone@example.com about the card " + "and more " * 60
    others = [(other, "a") for other in sentences(8)[:4]]
    subject = labelled(train=[(text, "a"), (text + "a", "b"), *others], test=[(text + "b", "a")])
    for name in ("leakage", "near_duplicates", "conflicts"):
        told = repr(look(name, subject))
        assert "someone@example.com" not in told and "and more " * 30 not in told
        assert look(name, subject).found
