from __future__ import annotations

from typing import Any

import pytest

from tuneproof.config import Check as Options
from tuneproof.prepare.check import CHECKS, Checked, Subject
from tuneproof.records import Schema, Splits, Table
from tuneproof.tasks import TASKS

ANSWER = TASKS["instruction"].answer


def said(*turns: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


def plain(number: int) -> list[dict[str, Any]]:
    return said(("user", f"what is {number}?"), ("assistant", f"it is the number {number}"))


def table(rows: list[list[dict[str, Any]]]) -> Table:
    ids = [f"{len(rows)}-{number}" for number in range(len(rows))]
    return Table({"id": ids, "messages": rows}, list(range(1, len(rows) + 1)), "chats.jsonl")


def looked(*odd: list[dict[str, Any]], usual: int = 60) -> Checked:
    """The check over ``odd`` rows, lines 1 and on, among ordinary ones."""
    train = [*odd, *(plain(number) for number in range(usual))]
    rest = [plain(1000 + number) for number in range(5)]
    schema = Schema("instruction", "messages", {"messages": "messages"}, (), None, ())
    splits = Splits(table(train), table(rest), table(rest))
    return CHECKS["dialogues"].look(Subject(splits, schema, ANSWER.texts, Options(), 0))


def test_ordinary_conversations_are_not_named() -> None:
    checked = looked()
    assert (checked.looked_at, checked.found, list(checked.findings)) == (70, 0, [])
    assert checked.figures["turns"] == [[2, 3, 70]] and checked.figures["shares"] == {} and not checked.note


@pytest.mark.parametrize(
    ("row", "kind", "severity"),
    [
        (said(("user", "say <|im_end|> now"), ("assistant", "no")), "special tokens in a message", "warn"),
        (said(("user", "[INST] hello [/INST]"), ("assistant", "well, hi")), "special tokens in a message", "warn"),
        (
            said(("user", "### Instruction:\nadd\n### Response:\n"), ("assistant", "which numbers")),
            "turns written into one message",
            "warn",
        ),
        (said(("user", "why?"), ("assistant", " ... ")), "answers that say nothing", "warn"),
        (said(("user", "why?"), ("assistant", "N/A")), "answers that say nothing", "warn"),
        (said(("user", "Say it again"), ("assistant", "say  it again")), "answers that repeat the question", "warn"),
        (said(("user", "yes or no?"), ("assistant", "no")), "very short answers", "info"),
        (said(("assistant", "what can I do?"), ("user", "go")), "the assistant begins", "info"),
        (said(("user", "go"), ("assistant", "gone away"), ("user", "ok")), "the user has the last word", "info"),
    ],
)
def test_what_is_odd_is_named(row: list[dict[str, Any]], kind: str, severity: str) -> None:
    checked = looked(row)
    assert checked.figures[kind] == 1 and checked.found == 1
    assert {(one.severity, one.side, one.line) for one in checked.findings} >= {(severity, "train", 1)}


def test_prose_and_code_are_not_special_tokens() -> None:
    texts = ("a < b and b > c", "use <div> or <b>", "x[0] | y", "the </a> tag", "Human: he said", "<| not one |>")
    checked = looked(*(said(("user", text), ("assistant", f"you wrote {text}")) for text in texts))
    assert checked.found == 0


def test_what_many_rows_have_in_common_is_counted_and_not_named() -> None:
    checked = looked(*(said(("assistant", f"hello number {number}"), ("user", "hi")) for number in range(20)))
    assert checked.figures["the assistant begins"] == 20 == checked.figures["the user has the last word"]
    assert checked.found == 0


def test_one_answer_to_many_questions() -> None:
    rows = [said(("user", f"how about {number}?"), ("assistant", "As an AI, I cannot.")) for number in range(8)]
    checked = looked(*rows)
    (finding,) = checked.findings
    assert checked.found == 8 and finding.line == 1 and finding.message.startswith("8 different questions")
    assert finding.score == pytest.approx(8 / 78, abs=1e-4)
    assert checked.figures["shares"] == {"As an AI, I cannot.": 8}
    assert looked(*rows[:4]).found == 0
    assert looked(*[rows[0]] * 8).found == 0, "the same question over again is a duplicate, not a habit"


def test_answers_that_are_labels_are_said_to_be() -> None:
    rows = [said(("user", f"is {number} odd?"), ("assistant", ("true", "false")[number % 2])) for number in range(120)]
    checked = looked(*rows, usual=0)
    assert checked.note.startswith("The answers are 7 fixed texts") and checked.found == 0


def test_evidence_is_masked() -> None:
    checked = looked(said(("user", "write to anna.berger@example.com <|im_end|>"), ("assistant", "I have written")))
    assert "anna.berger" not in str(checked.findings) and checked.findings[0].evidence


def test_tasks_without_conversations_say_so() -> None:
    rows = Table({"id": ["1"], "text": ["a"], "label": ["b"]}, [1], "a.csv")
    schema = Schema("text-classification", "text+label", {"text": "text", "label": "label"}, ("b",), None, ())
    subject = Subject(Splits(rows, rows, rows), schema, TASKS["text-classification"].answer.texts, Options(), 0)
    checked = CHECKS["dialogues"].look(subject)
    assert (checked.looked_at, checked.found) == (0, 0) and "no conversations" in checked.note
