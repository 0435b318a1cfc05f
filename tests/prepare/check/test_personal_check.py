"""The check of personal data: all sides and parts of a row, nothing raw in what it says, and placeholders that hold."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tuneproof.config import Check as Options
from tuneproof.errors import DataError
from tuneproof.personal import find
from tuneproof.prepare.check import CHECKS, Checked, Subject
from tuneproof.prepare.check.personal import candidates
from tuneproof.prepare.check.redaction import redacted_value
from tuneproof.prepare.check.subject import KEPT
from tuneproof.records import Schema, Splits, Table
from tuneproof.tasks import TASKS

CANARIES = [
    "canary.bird@example.org", "4111-1111-1111-1111", "DE89 3704 0044 0532 0130 00", "536-90-4399", "+1 415 555 2671",
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "203.0.113.77", "RSSMRA85T10A562S",
    "12 Canary Street, Springfield, IL 62704",
    "c4n4ry:c4n4ry-pass", "c4n4ry!x9",
]  # fmt: skip
# what stands around a value that is known by its surroundings only
AROUND = {"c4n4ry:c4n4ry-pass": ("https://", "@db.example"), "c4n4ry!x9": ("password: ", "")}


def around(value: str) -> str:
    before, after = AROUND.get(value, ("", ""))
    return before + value + after


def subject(
    train: Sequence[Any],
    test: Sequence[Any] = ("an ordinary row",),
    *,
    labels: Sequence[str] | None = None,
    group: Sequence[str | None] | None = None,
    policy: str = "keep",
) -> Subject:
    """Rows of texts (str) or of conversations (lists of messages), with a label "a" unless given."""
    chat = isinstance(train[0], list)
    part = "messages" if chat else "text"

    def table(
        side: str, values: Sequence[Any], given: Sequence[str] | None, groups: Sequence[str | None] | None
    ) -> Table:
        label = {} if chat else {"label": list(given or ["a"] * len(values))}
        grouped = {"group": list(groups)} if groups else {}
        ids = [f"{side}-{row}" for row in range(len(values))]
        return Table({"id": ids, **grouped, part: list(values), **label}, range(2, len(values) + 2), f"{side}.csv")

    plain = [turns("hello", "hi")] if chat else ["an ordinary row"]
    rest = plain if chat and isinstance(test[0], str) else test
    splits = Splits(
        table("train", train, labels, group), table("validation", plain, None, None), table("test", rest, None, None)
    )
    task = "instruction" if chat else "text-classification"
    schema = Schema(task, "", {"text": "text", "label": "label"}, (), None, ())
    return Subject(splits, schema, TASKS[task].answer.texts, Options(personal_data=policy), 0)  # type: ignore[arg-type]


def turns(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(contents)]


def look(given: Subject) -> Checked:
    return CHECKS["personal_data"].look(given)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The key of placeholders is made in a folder of the test, if at all."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "tuneproof"


def test_rows_of_every_side_are_counted_by_kind() -> None:
    found = look(subject(["mail a.b@c.de", "nothing", "jo@c.de and a.b@c.de"], ["call +44 20 7946 0958"]))
    email, phone = found.figures["kinds"]
    assert (found.looked_at, found.found) == (5, 3)
    rows = {"rows of train": 2, "rows of validation": 0, "rows of test": 0}
    assert email == {
        "kind": "e-mail address",
        "secret": "no",
        "values": 3,
        "different values": 2,
        **rows,
        "masked": "a.…de, …",
    }
    assert (phone["rows of train"], phone["rows of test"], phone["masked"]) == (0, 1, "+4…58")
    assert found.leave == {"train": [0, 2], "test": [0]}
    assert found.repaired == {}


def test_every_string_of_a_row_is_looked_at() -> None:
    classified = look(subject(["plain", "plain too"], labels=["jo@example.org", "b"], group=[None, "mia@example.org"]))
    assert [finding.message.split(":")[0] for finding in classified.findings] == ["In the label", "In the group"]
    system = [{"role": "system", "content": "you are jo@example.org"}, *turns("hello", "write to mia@example.org")]
    assert look(subject([system])).figures["kinds"][0]["values"] == 2


def test_a_question_explains_the_number_in_the_answer() -> None:
    chats = [
        turns("i am locked out", "the last four digits of your ssn?", "4399"),
        turns("what is in it", "4399 birds"),
    ]
    found = look(subject(chats))
    assert found.leave == {"train": [0]} and [line["kind"] for line in found.figures["kinds"]] == [
        "social security number"
    ]


def test_secrets_are_errors_and_come_first() -> None:
    found = look(subject(["mail jo@example.org", "token ghp_16C7e42F292c6912E7710c838347Ae178B4a"]))
    assert [(finding.severity, finding.line) for finding in found.findings] == [("error", 3), ("warn", 2)]
    assert "Withdraw it" in found.findings[0].message and "check.personal_data=fix" in found.findings[1].message


def test_no_raw_value_stands_in_what_the_check_says(home: Path) -> None:
    """Each canary alone, at the end of a long text, and twice around the place where evidence is cut."""
    values = [around(value) for value in CANARIES]
    texts = [text for value in values for text in (value, "so " * 300 + value, value + " x" * 45 + " " + value)]
    for policy in ("keep", "fix"):
        found = look(subject(texts, policy=policy))
        assert found.found == len(texts)
        said = json.dumps([asdict(finding) for finding in found.findings]) + json.dumps(found.figures) + found.note
        for canary in (*CANARIES, "c4n4ry"):
            assert canary not in said and canary.replace("-", "") not in said, canary
    kept = (home / "redaction.key").read_bytes()
    assert kept.hex() not in said


def test_fix_leaves_nothing_to_be_found() -> None:
    given = subject([f"before {around(value)} after" for value in CANARIES], ["jo@example.org"], policy="fix")
    found = look(given)
    repaired = found.repaired["train"]
    assert sorted(repaired) == list(range(len(CANARIES))) and list(found.repaired["test"]) == [0]
    for row, parts in repaired.items():
        assert list(parts) == ["text"]
        assert find(parts["text"]) == [] and parts["text"].startswith("before ") and parts["text"].endswith(" after")
        assert re.search(r"\[[A-Z_]+-[0-9a-f]{6}\]", parts["text"]), CANARIES[row]
    again = look(subject([parts["text"] for parts in repaired.values()], policy="fix"))
    assert (again.found, again.repaired) == (0, {})


def test_fix_keeps_the_form_of_a_conversation_and_one_placeholder_per_value() -> None:
    chat = [
        {"role": "system", "content": ""},
        *turns("my card? 4111 1111 1111 1111", "yes 4111111111111111", "bye", "bye"),
    ]
    given = subject([chat], [turns("4111-1111-1111-1111 is my card", "ok")], policy="fix")
    found = look(given)
    fixed, other = found.repaired["train"][0]["messages"], found.repaired["test"][0]["messages"]
    assert [message["role"] for message in fixed] == ["system", "user", "assistant", "user", "assistant"]
    placeholders = {match for message in [*fixed, *other] for match in re.findall(r"\[CARD-\w+\]", message["content"])}
    assert len(placeholders) == 1 and fixed[0]["content"] == "" and fixed[3]["content"] == "bye"
    assert chat[1]["content"] == "my card? 4111 1111 1111 1111"  # what was handed in is not touched


def test_a_conversation_without_values_comes_back_as_it_was() -> None:
    chat = turns("what\nis", "this?", "", "a \x00 sign")
    assert redacted_value(chat, b"k" * 32) == turns("what\nis", "this?", "", "a   sign")


def test_a_value_that_one_row_explains_is_found_wherever_it_stands(home: Path) -> None:
    """7312589986798334 is no card by its digits; in the first row a word says that it is one."""
    rows = [
        "my card number is 7312589986798334",
        "7312589986798334",
        "id 17312589986798334",
        "bill 7312589986798334 jo@e.de",
    ]
    found = look(subject(rows, ["so 7312589986798334!"], policy="fix"))
    assert found.leave == {"test": [0], "train": [0, 1, 3]}
    assert found.figures["kinds"][1]["values"] == 4 and found.figures["kinds"][1]["different values"] == 1
    texts = [parts["text"] for side in found.repaired.values() for parts in side.values()]
    assert len({text for line in texts for text in re.findall(r"\[CARD-\w+\]", line)}) == 1
    said = json.dumps([asdict(finding) for finding in found.findings]) + json.dumps(texts)
    assert "7312589986798334" not in said and "jo@e.de" not in said


def test_the_key_is_made_only_when_something_is_replaced(home: Path) -> None:
    look(subject(["jo@example.org"], policy="keep"))
    look(subject(["nothing"], policy="fix"))
    assert not home.exists()
    look(subject(["jo@example.org"], policy="fix"))
    assert home.is_dir()


def test_a_label_with_personal_data_is_refused_by_fix_with_its_line() -> None:
    given = subject(["one", "two"], labels=["b", "jo@example.org"], policy="fix")
    with pytest.raises(DataError) as caught:
        look(given)
    said = str(caught.value)
    assert (
        "train.csv, line 3" in said and "jo…rg" in said and "jo@example.org" not in said and "Rename the class" in said
    )


def test_rows_of_a_bare_number_are_counted_for_a_person() -> None:
    found = look(subject(["5214", " 7788.", "it is 5214", "12", "my ssn is 5214"]))
    assert found.note.endswith(
        "2 rows have a text that is nothing but a number of 4 to 9 digits; only a person can say what it is."
    )
    assert "number of" not in look(subject(["5 birds"])).note


def test_findings_are_bounded_and_counted() -> None:
    found = look(subject([f"mail bird{row}@example.org" for row in range(KEPT + 5)]))
    assert (len(found.findings), found.found) == (KEPT, KEPT + 5)
    assert found.figures["kinds"][0]["different values"] == KEPT + 5


def test_progress_reaches_its_end() -> None:
    given, seen = subject(["a", "b"]), []
    given.progress = lambda what, done, total: seen.append((done, total))
    look(given)
    assert seen[-1][0] == seen[-1][1] == 2 * 4


def test_texts_that_are_sifted_out_hold_nothing() -> None:
    texts = [
        *map(around, CANARIES),
        "nothing",
        "it is 4399",
        "",
        "5 birds",
        "card 12",
        "\x00",
        "Grüße @ 9",
        "one 12 street",
    ]
    kept = set(candidates(texts))
    assert set(range(len(CANARIES))) <= kept
    assert all(find(text) == [] for place, text in enumerate(texts) if place not in kept) and len(kept) < len(texts)
