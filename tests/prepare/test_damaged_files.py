"""500 damaged files of every format are read or refused in one sentence, in bounded memory, with the right line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from damaged import GOOD, GROWTH, damaged, most_memory, outcome
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneproof.errors import DataError
from tuneproof.prepare.read import read


@pytest.mark.parametrize("name", GOOD)
def test_before_the_damage_they_are_good(name: str, tmp_path: Path, answers) -> None:
    suffix, content = GOOD[name]
    (tmp_path / f"a{suffix}").write_bytes(content)
    assert outcome(tmp_path / f"a{suffix}", answers) == "read"


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
@given(damaged())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(tmp_path: Path, answers, file: tuple[str, bytes]) -> None:
    before = most_memory(forget=True)
    path = tmp_path / f"a{file[0]}"
    path.write_bytes(file[1])
    outcome(path, answers)
    assert most_memory() - before < GROWTH


CSV = [f"this is the text {i},{'ab'[i % 2]}" for i in range(40)]
JSONL = [json.dumps({"text": f"text {i}", "label": "ab"[i % 2]}) for i in range(40)]
CSV_FAULTS = {
    "a field too many": lambda line: f"{line},c".encode(),
    "a field too few": lambda line: line.split(",")[0].encode(),
    "text behind a quote": lambda line: f'"x"{line}'.encode(),
    "a NUL": lambda line: f"\0{line}".encode(),
    "a byte of another encoding": lambda line: b"using the\xe6M'Kraan " + line.encode(),
}
JSON_FAULTS = {
    "cut short": lambda line: line[:-3].encode(),
    "an array": lambda line: b"[1]",
    "a key twice": lambda line: b'{"a": 1, "a": 2}',
    "too deep": lambda line: b'{"a":' * 5000,
    "half a pair": lambda line: b'{"a": "\\ud800"}',
    "a NUL": lambda line: f"\0{line}".encode(),
}


@pytest.mark.parametrize("fault", CSV_FAULTS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 39), quoted=st.booleans())
def test_the_line_of_a_damaged_record_is_named(tmp_path: Path, fault: str, number: int, quoted: bool) -> None:
    lines = [line.encode() for line in CSV]
    lines[number] = CSV_FAULTS[fault](CSV[number])
    if quoted and number:  # a record of two lines before it
        lines[number - 1] = b'"of two\nlines",a'
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + b"\n".join(lines) + b"\n")
    with pytest.raises(DataError) as caught:
        read(path, ["a.csv"])
    assert caught.value.message.startswith(f"a.csv, line {number + 2 + (quoted and number > 0)}:")


@pytest.mark.parametrize("fault", JSON_FAULTS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, 39), array=st.booleans())
def test_the_line_of_a_damaged_object_is_named(tmp_path: Path, fault: str, number: int, array: bool) -> None:
    lines = [line.encode() for line in JSONL]
    lines[number] = JSON_FAULTS[fault](JSONL[number])
    path = tmp_path / "a.json"
    path.write_bytes(b"[\n" + b",\n".join(lines) + b"\n]" if array else b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        read(path, ["a.json"])
    line = number + 1 + array
    if fault == "cut short" and array:  # the parser sees it where the next element begins
        assert caught.value.message.startswith((f"a.json, line {line}:", f"a.json, line {line + 1}:"))
    elif not (number == 0 and not array and fault == "an array"):
        assert caught.value.message.startswith(f"a.json, line {line}:")


def test_every_broken_line_is_counted_by_kind(write) -> None:
    bad = ['{"a": ', "[1]", '{"a": 1, "a": 2}', "[2]", "nonsense", "7"]
    path = write("a.jsonl", "\n".join([*JSONL, *bad, *JSONL]))
    with pytest.raises(DataError) as caught:
        read(path, ["a.jsonl"])
    assert str(caught.value) == (
        "a.jsonl, line 41: not valid JSON: Expecting value at column 6 (6 of 86 lines cannot be read: "
        "3 not an object, 2 not valid JSON, 1 with a key twice; lines 41, 42, 43, 44, 45, ...). "
        "Correct that line, or remove it."
    )


def test_broken_elements_of_an_array_are_all_counted(write) -> None:
    objects = [f'{{\n  "text": "text {i}"\n }}' for i in range(20)]
    objects[3] = '{\n  "text": "text 3\n }'
    objects[7] = '{\n  "text" "text 7"\n }'
    path = write("a.json", "[\n " + ",\n ".join(objects) + "\n]")
    with pytest.raises(DataError) as caught:
        read(path, ["a.json"])
    assert "a.json, line 12: not valid JSON" in str(caught.value)
    assert "2 of 20 elements cannot be read: 2 not valid JSON; lines 12, 24" in str(caught.value)
