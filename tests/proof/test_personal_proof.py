"""Personal data at full size: the recall of figure 10 on ten times more values, long hostile texts, a million rows."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from personal_corpus import corpus, recall
from test_personal import HOSTILE

from tuneproof.personal import find
from tuneproof.prepare.check.personal import candidates
from tuneproof.prepare.check.tagged import told_by_tags

pytestmark = pytest.mark.proof
HELP_LINE = Path(__file__).parents[2].parent / "shared" / "data" / "multidogo_finance"


def test_recall_on_a_large_generated_corpus() -> None:
    shares, missed = recall(corpus(5000, seed=17))
    assert min(shares.values()) >= 0.98, (shares, missed[:20])


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_megabyte_of_hostile_text_takes_seconds(piece: str) -> None:
    text = piece * (1_000_000 // len(piece)) + " 1234"
    start = time.process_time()
    find(text)
    assert time.process_time() - start < 30


def test_a_million_rows_take_seconds() -> None:
    """One row in a hundred with a value; measured 1 s (benchmarks/personal_data.py)."""
    rows = [f"please tell me where order {row % 97} is, i wait since monday" for row in range(1_000_000)]
    rows[::100] = [f"write to bird{row}@example.org about order {row}" for row in range(10_000)]
    start = time.process_time()
    hits = sum(bool(find(rows[place])) for place in candidates(rows))
    assert hits == 10_000 and time.process_time() - start < 60


def test_no_raw_value_in_any_file_of_a_run(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finance help line through ``tuneproof check --redact``: what is found stands nowhere, as text or in a table.

    Values of six characters or more; four digits are also amounts and parts of hashes.
    """
    if not HELP_LINE.is_dir():
        pytest.skip(f"the shared data set is not at {HELP_LINE}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    train, test = (turns(HELP_LINE / f"{name}.jsonl", tmp_path / f"{name}.csv") for name in ("train", "test"))
    least = {"NAME": 8}  # a shorter name in a row that does not announce it may be another word
    found = [(text, one) for text in train + test for one in find(text)]
    values = {text[one.start : one.end] for text, one in found if one.end - one.start >= least.get(one.kind, 6)}
    tuneproof = Path(sys.executable).with_name("tuneproof")
    command = [tuneproof, "check", "train.csv", "--test", "test.csv", "--text", "text", "--label", "label", "--redact"]
    more = ["--task", "text-classification", "--model", tiny_bert, "--set", "data.too_long=cut"]
    ran = subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1, 2) and "The page:" in ran.stdout, ran.stdout + ran.stderr
    files = [file for file in (tmp_path / "runs").rglob("*") if file.is_file()]
    held = "\n".join(read(file) for file in files) + ran.stdout + ran.stderr
    assert len(values) > 300 and len(files) >= 10 and "[CARD-" in held
    assert [value for value in sorted(values) if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", held)] == []


def test_no_raw_value_of_words_with_tags(tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same help line as words and slots: what is found in the text, or told by a slot, stands in no file.

    Values of eight characters or more: those are looked for in every row once one row has told what they are.
    """
    if not HELP_LINE.is_dir():
        pytest.skip(f"the shared data set is not at {HELP_LINE}")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    values: set[str] = set()
    for name in ("train.jsonl", "test.jsonl"):
        lines = (HELP_LINE / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(lines, encoding="utf-8")
        for row in map(json.loads, lines.strip().split("\n")):
            text = " ".join(row["tokens"])
            values |= {text[one.start : one.end] for one in find(text)}
            values |= {value for _, value in told_by_tags(text, row["tokens"], row["ner_tags"])}
    values = {value for value in values if len(value) >= 8}
    tuneproof = Path(sys.executable).with_name("tuneproof")
    command = [tuneproof, "check", "train.jsonl", "--test", "test.jsonl", "--redact", "--model", tiny_bert]
    more = ["--set", "data.too_long=cut"]
    ran = subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1, 2) and "The page:" in ran.stdout, ran.stdout + ran.stderr
    held = "\n".join(read(file) for file in (tmp_path / "runs").rglob("*") if file.is_file()) + ran.stdout + ran.stderr
    assert len(values) > 500 and "[NAME-" in held
    assert [value for value in sorted(values) if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", held)] == []


def turns(source: Path, to: Path) -> list[str]:
    """The customer's turns as a CSV of text and intent, without the intents that are rare; and the texts."""
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").strip().split("\n")]
    rows = [row for row in rows if "<div>" not in row["intent"] and row["intent"] != "openaccount"]
    texts = [" ".join(row["tokens"]) for row in rows]
    with to.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("text", "label"), *zip(texts, (row["intent"] for row in rows), strict=True)])
    return texts


def read(file: Path) -> str:
    if file.suffix != ".parquet":
        return file.read_text(encoding="utf-8")
    table = pl.read_parquet(file)
    return "\n".join(str(value) for name in table.columns for value in table[name].to_list())
