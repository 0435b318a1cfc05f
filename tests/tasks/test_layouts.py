from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare.clean import drop
from tuneproof.prepare.schema import columns, infer
from tuneproof.records import Column, Guess, Schema, Table
from tuneproof.tasks import TASKS, layouts
from tuneproof.tasks.rows import REASONS


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
        ({"text": [*map(str, range(10_000, 10_012)), *LONG[:48]], "label": ["a", "b"]}, ("text", "label")),  # of a chat
        ({"remark": [*map(str, range(10_000, 10_012)), *LONG[:48]], "label": ["a", "b"]}, None),
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
        ({"dialog": [[{"speaker": "customer", "text": "x"}]]}, "conversations"),
        ({"chat": [[{"author": "prompter", "message": "x"}]], "id": range(60)}, "conversations"),
        ({"user": LONG, "assistant": LONGER}, "user+assistant"),
        ({"query": LONG, "response": LONGER}, "query+response"),
        ({"input": LONG, "output": ["yes", "no"]}, None),  # a label
        (
            {"prompt": [[{"role": "user", "content": "x"}]], "messages": [[{"role": "user", "content": "x"}]]},
            "messages",
        ),
    ],
)
def test_chat(values: dict[str, Sequence[Any]], layout: str | None) -> None:
    guess = layouts.chat(facts(**values), Data())
    assert (guess.layout if guess else None) == layout


def test_reasons_name_columns_and_what_is_in_the_messages() -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "x"}], "loss_weight": 0, "stars": 5}
    guess = layouts.chat(facts(messages=[[message, {"role": "tool", "content": "y", "tool_calls": []}]]), Data())
    assert guess is not None and guess.reason == (
        'column "messages" holds 120 messages with role and content; 60 with content as parts (joined by line breaks '
        'where all are text); 60 with a key for tool calls; 60 with a weight; not read: "stars"'
    )
    pair = layouts.chat(facts(instruction=LONG, context=LONG, response=LONGER), Data())
    assert pair is not None and pair.reason.startswith('columns "instruction" and "response" are a prompt and')
    assert pair.reason.endswith('by their names, "context" is joined to the prompt by a blank line')


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"prompt": LONG, "chosen": LONG, "rejected": LONGER}, "preference pairs"),
        (
            {"conversations": [[{"from": "human", "value": "x"}]], "chosen": LONG, "rejected": LONGER},
            "preference pairs",
        ),
        ({"prompt": LONG, "completion": LONGER, "label": [True, False]}, "single answers judged good or bad"),
        ({"messages": [[{"role": "user", "content": "x"}]], "images": [["a.png"]]}, "conversations about images"),
    ],
)
def test_what_has_no_task_yet_is_named(values: dict[str, Sequence[Any]], name: str, answers: Any) -> None:
    columns = {key: [value[i % len(value)] for i in range(60)] for key, value in values.items()}
    with pytest.raises(DataError, match=f"look like {name}.* no task yet"):
        infer(Table(columns, list(range(60)), "a.jsonl"), answers, Data())


@pytest.fixture
def answers() -> dict[str, Any]:
    return {name: task.answer for name, task in TASKS.items()}


def mixed(*rows: dict[str, Any]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return Table({name: [row.get(name) for row in rows] for name in names}, list(range(1, len(rows) + 1)), "a.jsonl")


def test_a_mixture_of_layouts_counts_both(answers: Any) -> None:
    messages = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    pair = {"prompt": "what is it", "completion": "it is this"}
    alpaca = {"instruction": "do it now", "output": "it is done"}
    told = (
        r"a.jsonl: the rows are written in 3 layouts: 40 rows have messages with role and content \(first in line 1\), "
        r"9 rows have prompt\+completion \(first in line 42\), 1 row has instruction\+output \(first in line 41\)\. "
    )
    with pytest.raises(DataError, match=told):
        infer(mixed(*[messages] * 40, alpaca, *[pair] * 9), answers, Data())
    share = {"messages": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}
    with pytest.raises(DataError, match=r"2 rows have messages with role and content .* 1 row has .* from and value"):
        infer(mixed(messages, share, messages), answers, Data())
    with pytest.raises(DataError, match=r"first in b.jsonl, line 2"):
        table = dataclasses.replace(mixed(messages, share, messages), files=["a.jsonl", "b.jsonl", "a.jsonl"])
        infer(table, answers, Data())


def test_a_row_in_two_layouts_is_no_mixture(answers: Any) -> None:
    """As in data sets that give the first prompt again beside the conversation."""
    row = {
        "prompt": "what is it", "response": "it is this",
        "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
    }  # fmt: skip
    assert infer(mixed(*[row] * 30), answers, Data()).layout == "messages"


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
        ({"messages": [{"role": "user"}]}, "message without content"),
        (turns(("user", {"a": 1}), ("assistant", "y")), "message content is an object"),
        (turns(("tool", "x")), "no assistant turn"),
        (turns(("tool", "x"), ("assistant", "y")), "bad turn order"),
        (turns(("user", "x"), ("tool", "y"), ("assistant", "z")), "bad turn order"),
        ({"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]}, "tool call that cannot be read"),
        ({"messages": [{"from": "function_call", "value": "add(1, 2)"}]}, "tool call that cannot be read"),
        ({"messages": [{"from": "function_call", "value": "[" * 10**5}]}, "tool call that cannot be read"),
        (
            turns(("user", [{"type": "image_url", "image_url": {}}]), ("assistant", "y")),
            "images in a message",
        ),
        (turns(("user", [{"type": "input_audio"}]), ("assistant", "y")), "audio in a message"),
        (turns(("user", [{"type": "tool_result"}]), ("assistant", "y")), "tool calls in content parts"),
        (turns(("user", [{"type": "hologram"}]), ("assistant", "y")), "content parts of an unknown type"),
        (turns(("user", [7]), ("assistant", "y")), "content parts of an unknown type"),
        (turns(("user", [{"type": "text"}]), ("assistant", "y")), "content parts of an unknown type"),
        (turns(("user", [{"type": "text", "text": " "}]), ("assistant", "y")), "empty text"),
        (
            {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "because"}]},
            "reasoning kept apart from the answer",
        ),
        (turns(("user", "x"), ("assistant", " ")), "empty answer"),
        (turns(("user", None), ("assistant", "x")), "empty text"),
        (turns(("user", "x")), "no assistant turn"),
        (turns(("user", "x"), ("user", "y"), ("assistant", "z")), "bad turn order"),
        (turns(("user", "x"), ("system", "y"), ("assistant", "z")), "bad turn order"),
        ({"messages": [{"role": "assistant", "content": "x", "weight": 0}]}, "every answer has the weight 0"),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": -0.5}]},
            "message weight that is negative or no number",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": float("nan")}]},
            "message weight that is negative or no number",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": float("inf")}]},
            "message weight that is negative or no number",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x", "weight": "1"}]},
            "message weight that is negative or no number",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "weight": 1}]},
            "weight on a message that is not the assistant's",
        ),
    ],
)
def test_unusable_conversations_have_a_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(layouts.Unusable) as caught:
        layouts.canonical_messages(row, MESSAGES)
    assert caught.value.reason == reason and caught.value.code == REASONS[reason]


def test_the_codes_of_openais_validator_are_all_there() -> None:
    assert drop("no messages", [3], "a.jsonl").code == "missing_messages_list", "the ledger has them"
    assert {
        "data_type", "missing_messages_list", "message_missing_key", "message_unrecognized_key", "unrecognized_role",
        "missing_content", "example_missing_assistant_message",
    } <= set(REASONS.values())  # fmt: skip


@pytest.mark.parametrize("human", ["human", "User", "prompter", "customer"])
@pytest.mark.parametrize("model", ["gpt", "Assistant", "model", "bot", "chatgpt"])
@pytest.mark.parametrize(("who", "what"), [("from", "value"), ("role", "content"), ("speaker", "text")])
def test_roles_and_keys_in_the_usual_ways(human: str, model: str, who: str, what: str) -> None:
    row = {"messages": [{who: "system", what: "s"}, {who: human, what: "a"}, {who: model, what: "b"}]}
    assert layouts.canonical_messages(row, MESSAGES) == turns(("system", "s"), ("user", "a"), ("assistant", "b"))


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "input_text", "value": "b"}, "c"]
    row = turns(("user", parts), ("assistant", [{"type": "text", "text": " d "}]))
    assert layouts.canonical_messages(row, MESSAGES) == turns(("user", "a\nb\nc"), ("assistant", " d "))


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": [2.5]}}}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}
CALLED = [
    {"role": "user", "content": "add 1 and 2.5"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "3.5"},
    {"role": "assistant", "content": "it is 3.5"},
]


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "3.5"}),
        ({"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])}, {"role": "ipython", "content": 3.5}),
        (
            {"role": "assistant", "function_call": {"name": "add", "arguments": '{"a": 1, "b": [2.5]}'}},
            {"role": "function", "content": "3.5"},
        ),
        (
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 1, "b": [2.5]}}'},
            {"from": "observation", "value": "3.5"},
        ),
    ],
)
def test_tool_calls_take_one_form(said: dict[str, Any], result: dict[str, Any]) -> None:
    parts = schema("messages", messages="messages", tools="tools")
    for tools in ([TOOL], TOOL["function"], json.dumps([TOOL["function"]])):
        row = {"messages": [CALLED[0], said, result, CALLED[3]], "tools": tools}
        assert layouts.canonical_messages(row, parts) == {"messages": CALLED, "tools": [TOOL]}
    assert layouts.canonical_messages({"messages": CALLED, "tools": "[]"}, parts)["tools"] is None
    assert layouts.prompt_messages({"messages": CALLED, "tools": [TOOL]}, parts)["messages"] == CALLED[:3]
    with pytest.raises(layouts.Unusable, match="list of tools that cannot be read"):
        layouts.canonical_messages({"messages": CALLED, "tools": "add"}, parts)


def test_ids_of_tool_calls_stay() -> None:
    """Templates such as Mistral's write them."""
    row = copy.deepcopy(CALLED)
    row[1]["tool_calls"][0]["id"] = "call00001"
    row[2] |= {"tool_call_id": "call00001", "name": "add"}
    assert layouts.canonical_messages({"messages": row}, MESSAGES) == {"messages": row}


@pytest.mark.parametrize("order", [[0, 1, 0, 3], [1, 3], [0, 1, 2, 0], [0, 3, 3]])
def test_a_call_is_followed_by_its_result(order: list[int]) -> None:
    with pytest.raises(layouts.Unusable, match="bad turn order"):
        layouts.canonical_messages({"messages": [CALLED[index] for index in order]}, MESSAGES)


def test_weights_other_than_1_stay() -> None:
    messages = turns(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))["messages"]
    row = {"messages": [{**m, "weight": w} for m, w in zip(messages, (None, 0.25, None, 3), strict=True)]}
    found = layouts.canonical_messages(row, MESSAGES)["messages"]
    assert [message.get("weight") for message in found] == [None, 0.25, None, 3]
    assert layouts.remarks(Table({"id": ["1"], "messages": [found]}, [1], "a.jsonl")) == [
        "1 conversation with answers of another weight than 1; each of their tokens counts that much in the loss"
    ]


def test_weights_of_0_stay_and_of_1_go() -> None:
    messages = turns(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))["messages"]
    weights = (0.0, 0, None, 1)
    row = {"messages": [{**m, "loss_weight": weight} for m, weight in zip(messages, weights, strict=True)]}
    found = layouts.canonical_messages(row, MESSAGES)["messages"]
    assert [message.get("weight") for message in found] == [None, 0, None, None]
    assert layouts.question({"messages": found}) == "user: a\nassistant: b\nuser: c"
    weighted_last = [*found[:3], {**found[3], "weight": 0}]
    weighted_last[1] = messages[1]
    assert layouts.question({"messages": weighted_last}) == "user: a", "what is taught last is what is asked for"


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


def test_what_is_special_about_conversations_is_told() -> None:
    weighted = [{**message, "weight": 0} if index == 1 else message for index, message in enumerate(CALLED)]
    rows = [
        turns(("assistant", "a"))["messages"],
        turns(("assistant", "a"), ("user", "b"))["messages"],
        CALLED,
        weighted,
    ]
    told = layouts.remarks(Table({"id": list("1234"), "messages": rows}, [1, 2, 3, 4], "a.jsonl"))
    assert [line.partition(";")[0] for line in told] == [
        "2 conversations where the assistant begins",
        "1 conversation where the user has the last word",
        "2 conversations with tool calls",
        "1 conversation with answers of weight 0",
    ]


def test_the_page_about_prepare_names_every_reason() -> None:
    page = (Path(__file__).parents[2] / "docs" / "prepare.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE))
    for reason, code in REASONS.items():
        assert reason in rows[code].split("; ")


KEYS = st.sampled_from(
    ["role", "from", "speaker", "content", "value", "text", "weight", "tool_calls", "function_call", "name", "type",
     "function", "arguments", "tool_call_id", "refusal", "images", "id"]
)  # fmt: skip
WORDS = st.sampled_from(["user", "assistant", "system", "tool", "function_call", "text", "image", "", " ", "["])
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 2), st.floats(), WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(messages=st.one_of(JSON, st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=4)), tools=JSON, system=JSON)
def test_any_json_is_a_conversation_or_unusable(messages: Any, tools: Any, system: Any) -> None:
    parts = schema("messages", messages="messages", tools="tools", system="system")
    row = {"messages": messages, "tools": tools, "system": system}
    for become in (layouts.canonical_messages, layouts.prompt_messages):
        try:
            found = become(row, parts)
        except layouts.Unusable as error:
            assert error.code
            continue
        assert set(found) == {"messages", "tools"}
        assert all(isinstance(message["content"], str) for message in found["messages"])
