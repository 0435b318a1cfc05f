from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare.schema import columns
from tuneproof.records import Column, Guess, Schema, Table
from tuneproof.tasks import layouts


def facts(**values: Sequence[Any]) -> list[Column]:
    """Columns with these values, each repeated to 60 rows."""
    full = {name: [value[i % len(value)] for i in range(60)] for name, value in values.items()}
    return columns(Table(full, list(range(60)), "a.csv"))


LONG = [f"some words of a longer text, number {i}" for i in range(60)]
LONGER = [f"{text}, and then a good deal more of it to read" for text in LONG]


def fields(guess: Guess | None) -> tuple[str, str] | None:
    return (guess.fields["text"], guess.fields["label"]) if guess else None


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"text": LONG, "label": ["a", "b"]}, ("text", "label")),
        ({"Review Text": LONG, "Sentiment": ["a", "b"]}, ("Review Text", "Sentiment")),
        ({"id": range(60), "remark": LONG, "verdict": ["a", "b"]}, ("remark", "verdict")),
        ({"title": LONG, "body": LONGER, "stars": [1, 2, 3, 4, 5]}, ("body", "stars")),
        ({"text": LONG, "stars": [1, 2, 3, 4, 5], "label": ["a", "b"]}, ("text", "label")),
        ({"text": LONG, "label": [0, 1], "category": ["a", "b", "c"]}, ("text", "label")),
        ({"text": LONG, "label": ["a"]}, ("text", "label")),  # one class: check_labels says so
        ({"text": ["good one", "bad", *LONG[:40]], "label": ["a", "b"]}, ("text", "label")),
        (
            {"text": ["天気がとてもいいですねそう思います" + str(i) for i in range(60)], "label": ["a", "b"]},
            ("text", "label"),
        ),
        ({"text": LONG, "label": [i / 7 for i in range(60)]}, None),  # a number to predict
        ({"text": LONG, "answer": LONGER}, None),  # free text, whatever it is called
        ({"text": LONG, "user_id": range(60)}, None),
        ({"city": ["Rome", "Oslo"], "label": ["a", "b"]}, None),  # no free text
        ({"text": LONG}, None),
    ],
)
def test_text_and_label(values: dict[str, Sequence[Any]], found: tuple[str, str] | None) -> None:
    assert fields(layouts.text_and_label(facts(**values), Data())) == found


def test_equal_claims_are_a_question() -> None:
    with pytest.raises(DataError, match=r'"left", "right" have an equal claim.* --text NAME --label NAME'):
        layouts.text_and_label(facts(left=LONG, right=LONG, label=["a", "b"]), Data())
    with pytest.raises(DataError, match='"intent", "topic" have an equal claim'):
        layouts.text_and_label(facts(text=LONG, intent=["a", "b"], topic=["c", "d"]), Data())


def test_what_was_asked_for_is_used() -> None:
    found = facts(left=LONG, right=LONG, label=["a", "b"], grade=["c", "d"])
    assert fields(layouts.text_and_label(found, Data(text="right"))) == ("right", "label")
    assert fields(layouts.text_and_label(found, Data(text="left", label="grade"))) == ("left", "grade")
    with pytest.raises(DataError, match=r'no column "rigth".*Did you mean "right"'):
        layouts.text_and_label(found, Data(text="rigth"))
    with pytest.raises(DataError, match="both the text and the label"):
        layouts.text_and_label(found, Data(text="left", label="left"))


def test_the_group_is_not_the_label() -> None:
    found = facts(text=LONG, who=["a", "b"], verdict=["c", "d"])
    assert fields(layouts.text_and_label(found, Data(group="who"))) == ("text", "verdict")


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        ({"messages": [[{"role": "user", "content": "x"}]]}, "messages"),
        ({"dialog": [[{"role": "user", "content": "x"}]]}, "messages"),
        ({"conversations": [[{"from": "human", "value": "x"}]]}, "conversations"),
        ({"instruction": LONG, "input": LONG, "output": LONGER}, "instruction+output"),
        ({"instruction": LONG, "context": LONG, "response": LONGER, "category": ["a"]}, "instruction+response"),
        ({"prompt": LONG, "completion": ["yes", "no"]}, "prompt+completion"),
        ({"question": LONG, "answer": LONGER}, "question+answer"),
        ({"question": LONG, "answer": ["yes", "no"]}, None),  # a label
        ({"text": LONG, "label": ["a", "b"]}, None),
        ({"conversation": LONG}, None),
    ],
)
def test_chat(values: dict[str, Sequence[Any]], layout: str | None) -> None:
    guess = layouts.chat(facts(**values), Data())
    assert (guess.layout if guess else None) == layout


def schema(layout: str, labels: tuple[str, ...] = (), **fields: str) -> Schema:
    return Schema("task", layout, fields, labels, None, ())


MESSAGES = schema("messages", messages="messages")


def turns(*said: tuple[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in said]}


def test_conversations_stay_as_they_are() -> None:
    row = turns(("system", "be brief"), ("user", " hi \n"), ("assistant", "hello"), ("user", "bye"))
    assert layouts.canonical_messages(row, MESSAGES) == row
    greeting = turns(("assistant", "how can I help?"), ("user", "hi"), ("assistant", "hello"))
    assert layouts.canonical_messages(greeting, MESSAGES) == greeting


def test_share_gpt_names_become_roles() -> None:
    row = {"c": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "system": "be brief"}
    found = layouts.canonical_messages(row, schema("conversations", messages="c", system="system"))
    assert found == turns(("system", "be brief"), ("user", "hi"), ("assistant", "hello"))


def test_alpaca_joins_instruction_and_input() -> None:
    parts = schema("instruction+output", prompt="instruction", response="output", input="input")
    row = {"instruction": "add", "input": "1 + 1", "output": 2.0}
    assert layouts.canonical_messages(row, parts) == turns(("user", "add\n\n1 + 1"), ("assistant", "2"))
    assert layouts.canonical_messages({**row, "input": " "}, parts) == turns(("user", "add"), ("assistant", "2"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": None}, "no messages"),
        ({"messages": []}, "no messages"),
        ({"messages": "text"}, "messages are not a list"),
        ({"messages": ["text"]}, "a message is not an object"),
        ({"messages": [{"content": "x"}]}, "message without a role"),
        (turns(("narrator", "x")), "unrecognised role"),
        (turns(("tool", "x")), "tool calls"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]}, "tool calls"),
        (turns(("user", [{"type": "text", "text": "x"}]), ("assistant", "y")), "content parts"),
        (turns(("user", "x"), ("assistant", " ")), "empty answer"),
        (turns(("user", None), ("assistant", "x")), "empty text"),
        (turns(("user", "x")), "no assistant turn"),
        (turns(("user", "x"), ("user", "y"), ("assistant", "z")), "bad turn order"),
        (turns(("user", "x"), ("system", "y"), ("assistant", "z")), "bad turn order"),
        ({"messages": [{"role": "assistant", "content": "x", "weight": 0}]}, "messages with a weight"),
    ],
)
def test_unusable_conversations_have_a_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(layouts.Unusable) as caught:
        layouts.canonical_messages(row, MESSAGES)
    assert caught.value.reason == reason


def test_labels_are_stripped_and_numbers_agree() -> None:
    parts = schema("text+label", ("0", "1"), text="t", label="l")
    for label in (1, 1.0, "1", " 1.0 "):
        assert layouts.canonical_text({"t": " x ", "l": label}, parts) == {"text": " x ", "label": "1"}
    assert layouts.canonical_text({"t": "x", "l": True}, schema("", text="t", label="l"))["label"] == "true"
    assert layouts.label_set([10, 2.0, "2", None, " "]) == ("2", "10")
    assert layouts.label_set(["1.0", "1.5"]) == ("1.0", "1.5")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"t": "x", "l": " "}, "no label"),
        ({"t": None, "l": "a"}, "empty text"),
        ({"t": ["x"], "l": "a"}, "text is a list or an object"),
    ],
)
def test_unusable_texts_have_a_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(layouts.Unusable) as caught:
        layouts.canonical_text(row, schema("text+label", text="t", label="l"))
    assert caught.value.reason == reason


def test_the_question_is_all_before_the_last_answer() -> None:
    row = turns(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), ("user", "e"))
    assert layouts.question(row) == "user: a\nassistant: b\nuser: c"
    assert layouts.question(turns(("assistant", "hello"))) == "assistant: hello"


def test_openings_and_last_words_are_told() -> None:
    rows = [turns(("assistant", "a"))["messages"], turns(("assistant", "a"), ("user", "b"))["messages"]]
    told = layouts.remarks(Table({"id": ["1", "2"], "messages": rows}, [1, 2], "a.jsonl"))
    assert told[0].startswith("2 conversations where the assistant begins")
    assert told[1].startswith("1 conversation where the user has the last word")
