"""Every bad file ends in one sentence that names the file, the line and the remedy, with exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tuneproof.config import Data
from tuneproof.errors import ConfigError, DataError, Error
from tuneproof.prepare import prepare


def reviews(rows: int = 60) -> str:
    lines = [f"this is the review number {i} of a product,{'good' if i % 2 else 'bad'}" for i in range(rows)]
    return "text,label\n" + "\n".join(lines) + "\n"


GOOD = reviews()
CHAT = [{"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": "a"}]} for i in range(30)]

MONOLOGUE = {"messages": [{"role": "user", "content": "x"}]}


def lines(rows: list[object]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# name of the file, its content, options, what the sentence says (beside the file's name)
BAD = {
    "empty": ("a.csv", "", {}, ["is empty", "header line"]),
    "only white space": ("a.csv", "\n \n", {}, ["is empty"]),
    "header only": ("a.csv", "text,label\n", {}, ["line 1", "no rows", "Add rows"]),
    "duplicate header": ("a.csv", "text,text\na,b\n", {}, ["line 1", '"text" twice', "columns 1 and 2", "Rename"]),
    "no header": ("a.csv", GOOD.partition("\n")[2], {}, ["line 1", "not like a header", '"bad"', "data.header=no"]),
    "no header, numbers": ("a.csv", "1.0,2\n3,4\n", {}, ["line 1", '"1.0" is a number', "first line"]),
    "no header, a column of numbers": (
        "a.csv",
        "".join(f"this is the review {i},{i % 2}\n" for i in range(60)),
        {},
        [
            "line 1",
            "not like a header",
            '"0" is a number, as in the rows below it',
            "data.header=no",
            "data.header=yes",
        ],
    ),
    "header thrice": ("a.csv", "a,a,a,b,b\n1,2,3,4,5\n", {}, ["3 times (columns 1 and 2 and 3)", 'and "b" as well']),
    "ragged": (
        "a.csv",
        GOOD + "a,b,c\nd\n",
        {},
        ["line 62: 3 fields", "has 2", "2 of 62 records", "1 with 1 field", "lines 62, 63", "quotes"],
    ),
    "open quote": ("a.csv", GOOD + 'x,"y\nz,good\n', {}, ["line 62", "never closed", "Close it"]),
    "stray quote": ("a.csv", GOOD + '"x"y,good\n', {}, ["line 62", "after its closing quote", "twice"]),
    "an encoding that cannot be told": (
        "a.csv",
        GOOD.encode() + b"using the\xe6M'Kraan crystal,good\n",
        {},
        ["line 62", "0xe6", "cp1252", "theæM'Kraan", "cp1250", "thećM'Kraan", "iconv -f CP1252", "or -f CP1250"],
    ),
    "UTF-8 with a broken byte": (
        "a.csv",
        GOOD.encode() + "café für naïve,good\n".encode() + b"caf\xc3,good\n",
        {},
        ["line 63", "0xc3", "one byte is broken", "Correct that line"],
    ),
    "two encodings": (
        "a.csv",
        GOOD.encode() + ("caf\xe9 fran\xe7ais,good\n" * 9).encode("cp1252") + "café,good\n".encode() * 9,
        {},
        ["line 62", "mixes cp1252 with UTF-8", "one by one"],
    ),
    "UTF-16, cut off": ("a.csv", GOOD.encode("utf-16")[:-1], {}, ["line 61", "UTF-16", "cut off"]),
    "NUL": ("a.csv", GOOD.encode() + b"a\0b,good\n", {}, ["line 62", "NUL byte", "tr -d"]),
    "pickle": ("a.csv", b"\x80\x04\x95abc", {}, ["pickle", "CSV or JSONL"]),
    "damaged zip": ("a.jsonl", b"PK\x03\x04abc", {}, ["damaged zip archive", "Save it again"]),
    "gzip": ("a.csv", b"\x1f\x8b\x08abc", {}, ["gzip", "gunzip"]),
    "damaged parquet": ("a.parquet", b"PAR1abc", {}, ["Parquet", "Write it again"]),
    "no separator": ("a.txt", "just words\nand more\n", {}, ["line 1", "no separator"]),
    "broken JSON": (
        "a.jsonl",
        lines(CHAT[:16]) + '{"messages": [\n' + lines(CHAT[16:]),
        {},
        ["line 17", "JSON", "Correct"],
    ),
    "two broken": (
        "a.jsonl",
        lines(CHAT) + "{]\n{]\n",
        {},
        ["line 31: not valid JSON", "2 of 32 lines cannot be read: 2 not valid JSON", "lines 31, 32"],
    ),
    "not an object": ("a.jsonl", lines([*CHAT, [1]]), {}, ["line 31", "an array", "Correct"]),
    "key twice": ("a.jsonl", lines(CHAT) + '{"a": 1, "a": 2}\n', {}, ["line 31", '"a" stands twice']),
    "half a surrogate": ("a.jsonl", '{"a": "\\ud800"}\n', {}, ["line 1", "surrogate"]),
    "deep nesting": ("a.jsonl", '{"a": ' + "[" * 200_000 + "\n", {}, ["line 1", "nested too deeply"]),
    "infinity": ("a.jsonl", '{"a": Infinity}\n', {}, ["line 1", "Infinity"]),
    "huge number": ("a.jsonl", '{"a": ' + "1" * 5000 + "}\n", {}, ["line 1", "digits"]),
    "one object": ("a.json", '{\n "data": [1,\n 2]\n}\n', {}, ["line 1", '"data"', "not rows"]),
    "cut array": ("a.json", '[{"a": 1},\n{"a": 2}\n', {}, ["line 3", "expected after element 2", "cut short"]),
    "bad element": ("a.json", '[{"a": 1},\n{"a" 2}]\n', {}, ["line 2", "JSON", "Correct"]),
    "empty array": ("a.json", "[]", {}, ["no rows"]),
    "JSON suffix, no JSON": ("a.json", "text,label\n", {}, ["line 1", "starts with", "Rename"]),
    "no text": ("a.csv", "x,y\n1,2\n3,4\n", {}, ["numbers and short entries", '"x" (numbers', "no task yet", "--text"]),
    "nothing fits": (
        "a.csv",
        "x\nthis lamp is a great lamp\nthat kettle was a broken one\n",
        {},
        ['"x" (free text', "Known layouts"],
    ),
    "unknown text column": ("a.csv", GOOD, {"text": "txt"}, ['"txt"', '"text", "label"', 'Did you mean "text"']),
    "unknown label column": ("a.csv", GOOD, {"label": "labl"}, ['"labl"', 'Did you mean "label"']),
    "unknown group column": ("a.csv", GOOD, {"group": "user"}, ['"user"', "--group"]),
    "task without columns": (
        "a.csv",
        GOOD,
        {"task": "instruction"},
        ["instruction", '"text" (free text', "Known layouts"],
    ),
    "one class": ("a.csv", GOOD.replace(",bad", ",good"), {}, ["line 2", 'label "good"', "two classes"]),
    "a class of one row": ("a.csv", GOOD + "some text here,goood\n", {}, ["line 62", '"goood"', 'mean "good"']),
    "labels missing": (
        "a.csv",
        GOOD.replace(",bad", ","),
        {},
        ["line 2", "30 of 60", "no label 30", "data.max_missing=0.50"],
    ),
    "too few rows": ("a.csv", reviews(12), {}, ["12 usable rows", "needs 20", "--test"]),
    "no assistant": ("a.jsonl", lines([MONOLOGUE] * 30), {}, ["line 1", "no assistant turn 30"]),
    "two layouts": (
        "a.jsonl",
        lines([*CHAT, {"messages": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}]),
        {},
        ["2 layouts", "30 rows have messages with role", "1 row has messages with from", "line 31", "in one of them"],
    ),
    "two texts": (
        "a.csv",
        "note,remark,label\n" + "".join(f"some english words {i},and some more {i},x{i % 2}\n" for i in range(30)),
        {},
        ["which column is the text", '"note"', '"remark"', "--text NAME --label NAME"],
    ),
    "preference pairs": (
        "a.jsonl",
        lines([{"prompt": f"q {i}", "chosen": "a", "rejected": "b"} for i in range(30)]),
        {},
        ['"chosen" and "rejected"', "preference pairs", "--task"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gets_one_sentence(case: str, write, answers) -> None:
    name, content, options, told = BAD[case]
    path = write(name, content)
    with pytest.raises(Error) as caught:
        prepare(path, Data(**options), answers)
    error = caught.value
    assert error.exit_code == 2 and isinstance(error, DataError)
    assert error.message.startswith(str(path))
    assert error.hint and "\n" not in str(error)
    assert [part for part in told if part not in str(error)] == [], str(error)


def refused(path: Path, answers, **options: str) -> str:
    with pytest.raises(Error) as caught:
        prepare(path, Data(**options), answers)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_a_missing_file_is_answered_with_its_neighbour(reviews_csv: Path, answers) -> None:
    told = refused(reviews_csv.with_name("review.csv"), answers)
    assert "There is no file" in told and 'Did you mean "reviews.csv"?' in told


def test_a_folder_is_not_a_file(tmp_path: Path, answers) -> None:
    assert "is a folder" in refused(tmp_path, answers)


def test_an_unknown_task_gets_the_nearest(reviews_csv: Path, answers) -> None:
    with pytest.raises(ConfigError, match="text-classification"):
        prepare(reviews_csv, Data(task="text-clasification"), answers)


def test_columns_without_effect_are_refused(write, answers) -> None:
    told = refused(write("a.jsonl", CHAT), answers, task="instruction", text="messages")
    assert "no effect" in told


def test_options_of_other_formats_are_refused(write, reviews_csv: Path, answers) -> None:
    with pytest.raises(ConfigError, match=r"data.header has no effect"):
        prepare(write("a.jsonl", CHAT), Data(header="no"), answers)
    with pytest.raises(ConfigError, match=r"data.sheet has no effect.*no workbook"):
        prepare(reviews_csv, Data(sheet="Data"), answers)


def test_a_test_file_with_an_unknown_label(write, reviews_csv: Path, answers) -> None:
    test = write("test.csv", "text,label\nnice,good\nterrible,awful\n")
    told = refused(reviews_csv, answers, test=str(test))
    assert str(test) in told and '"awful" (line 3)' in told and "no train row" in told


def test_a_test_file_without_the_column(write, reviews_csv: Path, answers) -> None:
    told = refused(reviews_csv, answers, test=str(write("test.csv", "text,lable\nnice,good\n")))
    assert "test.csv" in told and 'no column "label"' in told and 'Did you mean "lable"?' in told


def test_the_file_itself_is_no_test(reviews_csv: Path, answers) -> None:
    assert "training file itself" in refused(reviews_csv, answers, test=str(reviews_csv))


def test_a_test_file_that_holds_all_of_train(write, reviews_csv: Path, answers) -> None:
    copy = write("copy.csv", reviews_csv.read_text())
    told = refused(reviews_csv, answers, test=str(copy))
    assert "0 usable rows" in told and "60 rows that are also in the test file" in told


def test_too_few_groups(write, answers) -> None:
    rows = [{"text": f"this is the text {i}", "label": f"x{i % 2}", "who": f"w{i % 2}"} for i in range(40)]
    told = refused(write("a.jsonl", rows), answers, group="who")
    assert "2 groups" in told and "a.jsonl" in told
