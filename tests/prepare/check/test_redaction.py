"""Rows whose parts speak of places in another part: after redaction they still do, and hold nothing raw."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.personal import redacted
from tuneproof.prepare.check.redaction import derived, redacted_row
from tuneproof.prepare.check.tagged import kind_of, told_by_tags
from tuneproof.tasks import entities, questions

KEY = b"k" * 32
WORDS = [
    "hello",
    "my",
    "card",
    "is",
    ",",
    "4111",
    "1111",
    "canary.bird@example.org",
    "ann",
    "12",
    "Canary",
    "Street",
    ".",
]


def tagged(words: list[str], tags: list[str]) -> dict[str, Any]:
    return {"text": " ".join(words), "words": words, "tags": tags}


def test_several_words_become_one_with_their_tag() -> None:
    words = ["i", "am", "ann", ",", "card", "4111", "1111", "1111", "1111", "ok"]
    tags = ["O", "O", "B-name", "O", "O", "B-card", "I-card", "I-card", "I-card", "O"]
    also = told_by_tags(" ".join(words), words, tags)
    found = redacted_row(tagged(words, tags), ["text"], KEY, {"text": also})
    name, card = redacted("ann", KEY, [("NAME", "ann")]), redacted("4111 1111 1111 1111", KEY)
    assert found["words"] == ["i", "am", name, ",", "card", card, "ok"]
    assert found["tags"] == ["O", "O", "B-name", "O", "O", "B-card", "O"]
    assert found["text"] == " ".join(found["words"])


def test_an_entity_of_which_a_part_is_replaced_stays_whole() -> None:
    words = ["send", "to", "jo@example.org", "now", "please"]
    found = redacted_row(tagged(words, ["O", "B-to", "I-to", "I-to", "O"]), ["text"], KEY, {})
    assert found["tags"] == ["O", "B-to", "I-to", "I-to", "O"] and found["words"][2].startswith("[EMAIL-")
    cards = ["4111", "1111", "1111", "1111"]
    found = redacted_row(tagged(["a", *cards, "b"], ["B-x", "I-x", "O", "O", "B-y", "I-y"]), ["text"], KEY, {})
    assert found["tags"] == ["B-x", "I-x", "B-y"], "what is left of an entity begins anew"


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["O", "B-card", "B-name", "B-x"])), min_size=1))
def test_words_tags_and_text_stay_in_step(row: list[tuple[str, str]]) -> None:
    words, tags = [word for word, _ in row], [tag for _, tag in row]
    also = told_by_tags(" ".join(words), words, tags)
    found = redacted_row(tagged(words, tags), ["text"], KEY, {"text": also})
    assert len(found["words"]) == len(found["tags"]) and " ".join(found["words"]) == found["text"]
    assert entities.iob2(found["tags"], "IOB2") == found["tags"], "no tag without its start"
    assert found["text"] == redacted(" ".join(words), KEY, also) and "canary.bird" not in found["text"]
    assert {tag[2:] for tag in found["tags"]} <= {tag[2:] for tag in tags}


def test_an_answer_stands_where_it_is_said_to() -> None:
    draw = random.Random(0)
    values = ["jo@example.org", "4111 1111 1111 1111", "12 Canary Street, Springfield, IL 62704"]
    for _ in range(200):
        context = " ".join(draw.choice([*values, "one", "two words", "three."]) for _ in range(draw.randint(3, 9)))
        start = draw.randrange(len(context))
        end = draw.randint(start + 1, len(context))
        question = draw.choice(["Where?", "Is it jo@example.org?"])
        answers = [{"text": context[start:end], "start": start}]
        row = {"text": f"{question}\n{context}", "question": question, "answers": answers}
        found = redacted_row(row, ["text"], KEY, {})
        asked, now = questions.parts(found)
        (one,) = found["answers"]
        assert asked == redacted(question, KEY) and now == redacted(row["text"], KEY)[len(asked) + 1 :]
        assert now[one["start"] : one["start"] + len(one["text"])] == one["text"] != ""
        assert "example.org" not in str(found) and "4111" not in str(found)


def test_other_rows_change_part_by_part() -> None:
    row = {"text": "to jo@example.org", "label": "a", "group": "jo@example.org"}
    assert derived(row) == set()
    found = redacted_row(row, ["text", "group"], KEY, {})
    assert set(found) == {"text", "group"} and found["text"] == f"to {found['group']}"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("card_number", "CARD"),
        ("Card Number", "CARD"),
        ("SSN", "SSN"),
        ("first_name", "NAME"),
        ("PER", None),
        ("name2", None),
    ],
)
def test_types_are_known_by_their_names(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind
