"""Every text data set through ``tuneproof check`` without any option: what was recognised, what was found, how fast.

    python benchmarks/check_all.py [--data DIR] [--only banking77 ...]

``DIR`` holds one folder per data set with train and test files. Each check is a process of its own, one by one.
Results go to ``benchmarks/results/check_all.json`` and ``docs/checked.md``. Expected task and columns stand in SETS, so
a wrong guess shows in the table; the ledger of each must close.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from aa_runs import commit, here

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "check_all.json"
PAGE = HERE.parent / "docs" / "checked.md"
CLASSIFICATION, INSTRUCTION = "text-classification", "instruction"
TOKENS, ANSWERS = "token-classification", "question-answering"
SEQ2SEQ = "seq2seq"
# data set (and which of its files) -> train file, test file, the task, and the column of each part
SETS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "amazon_counterfactual_en": ("train.jsonl", "test.jsonl", CLASSIFICATION, {"text": "text", "label": "label"}),
    "amazon_counterfactual_en ext": (
        "train_ext.jsonl",
        "test_ext.jsonl",
        CLASSIFICATION,
        {"text": "text", "label": "label"},
    ),
    "amazon_google_matching": ("train.csv", "test.csv", CLASSIFICATION, {"second": "right_title", "label": "label"}),
    "banking77": ("train.csv", "test.csv", CLASSIFICATION, {"text": "text", "label": "label"}),
    "bcontrast_chat_ende": ("train.jsonl", "test.jsonl", SEQ2SEQ, {"text": "en", "target": "de"}),
    "clickbait_headlines": ("train.csv", "test.csv", CLASSIFICATION, {"text": "text", "label": "label"}),
    "clinc150": ("train.jsonl", "test.jsonl", CLASSIFICATION, {"text": "text", "label": "label"}),
    "covid_qa": ("train.jsonl", "test.jsonl", ANSWERS, {"question": "question", "context": "context"}),
    "cuad_clauses": ("train.jsonl", "test.jsonl", CLASSIFICATION, {"text": "text", "label": "label"}),
    "cuad_qa_short": ("train.jsonl", "test.jsonl", ANSWERS, {"question": "question", "context": "context"}),
    "diabla_enfr": ("train.jsonl", "test.jsonl", SEQ2SEQ, {"text": "en", "target": "fr"}),
    "fashion_brands_ner": ("train.jsonl", "test.jsonl", TOKENS, {"words": "tokens", "tags": "ner_tags"}),
    "gsm8k": ("train.jsonl", "test.jsonl", INSTRUCTION, {"prompt": "question", "response": "answer"}),
    "human_instructions": ("train.jsonl", "test.jsonl", INSTRUCTION, {"prompt": "instruction", "response": "output"}),
    "medquad_instruct": ("train.jsonl", "test.jsonl", INSTRUCTION, {"prompt": "instruction", "response": "output"}),
    "mts_dialog": ("train.jsonl", "test.jsonl", INSTRUCTION, {"prompt": "document", "response": "summary"}),
    "multidogo_finance": ("train.jsonl", "test.jsonl", TOKENS, {"words": "tokens", "tags": "ner_tags"}),
    "ncbi_disease": ("train.jsonl", "test.jsonl", TOKENS, {"words": "tokens", "tags": "ner_tags"}),
    "onestop_english": ("train.jsonl", "test.jsonl", CLASSIFICATION, {"text": "text"}),
    "onestop_english simplify": (
        "simplify_train.jsonl",
        "simplify_test.jsonl",
        INSTRUCTION,
        {"prompt": "instruction", "input": "input", "response": "output"},
    ),
    "pricerunner_products": ("train.csv", "test.csv", CLASSIFICATION, {"text": "title", "label": "category"}),
    "pubmedqa": ("train.jsonl", "test.jsonl", CLASSIFICATION, {}),
    "scitldr_a": ("train.jsonl", "test.jsonl", INSTRUCTION, {"prompt": "document"}),
    "sec_filings_ner": ("train.jsonl", "test.jsonl", TOKENS, {"words": "tokens", "tags": "ner_tags"}),
    "sms_spam": ("train.csv", "test.csv", CLASSIFICATION, {"text": "text", "label": "label"}),
    "taskmaster4_chat": ("train.jsonl", "test.jsonl", INSTRUCTION, {"messages": "messages"}),
    "wnut17": ("train.jsonl", "test.jsonl", TOKENS, {"words": "tokens", "tags": "ner_tags"}),
    "xquad_en": ("train.jsonl", "test.jsonl", ANSWERS, {"question": "question", "context": "context"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--runs", type=Path, default=Path("runs/checked"))
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in asked.only or SETS:
        found[name] = {**one(asked.data / name.split()[0], name, asked.runs / name), "commit": commit(), **here()}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(page(found), encoding="utf-8")
        print(row(name, found[name]), flush=True)


def one(folder: Path, name: str, runs: Path) -> dict[str, Any]:
    """One check in a process of its own; its report in short."""
    train, test, task, fields = SETS[name]
    command = [sys.executable, "-m", "tuneproof.cli", "check", str(folder / train), "--test", str(folder / test)]
    before = set(runs.glob("*"))
    began = time.monotonic()
    done = subprocess.run([*command, "--runs", str(runs)], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    made = set(runs.glob("*")) - before
    if not made:
        return {"refused": " ".join(done.stderr.split())[-300:], "seconds": seconds, "expected": task}
    report = json.loads((made.pop() / "data" / "report.json").read_text(encoding="utf-8"))
    ledger = report["ledger"]
    rows_in, used = sum(ledger["rows_in"].values()), sum(ledger["used"].values())
    dropped = sum(drop["rows"] for drop in ledger["dropped"])
    assert rows_in == used + dropped, name
    return {
        "task": report["task"],
        "layout": report["layout"],
        "fields": report["fields"],
        "right": report["task"] == task and fields.items() <= report["fields"].items(),
        "rows_in": rows_in,
        "used": used,
        "dropped": dropped,
        "verdict": report["verdict"],
        "found": {check["name"]: check["found"] for check in report["checks"]},
        "seconds": seconds,
    }


def row(name: str, found: dict[str, Any]) -> str:
    if "refused" in found:
        return f"| {name} | refused: {found['refused']} | no | | | | | {found['seconds']:.0f} |"
    fields = ", ".join(f"{part} = {column}" for part, column in found["fields"].items())
    told = ", ".join(f"{check} {count:,}" for check, count in found["found"].items() if count)
    right = "yes" if found["right"] else "NO"
    return (
        f"| {name} | {found['task']} ({fields}) | {right} | {found['rows_in']:,} | {found['used']:,} | "
        f"{found['dropped']:,} | {told} | {found['seconds']:.0f} |"
    )


def page(found: dict[str, Any]) -> str:
    """The results as docs/checked.md."""
    cores = len(os.sched_getaffinity(0))
    head = (
        "# Every text data set through the doctor\n\n"
        "`tuneproof check train --test test`, no other option, without a GPU; made by "
        f"`python benchmarks/check_all.py --data DIR`. Seconds are of\nthe whole process on {cores} of the machine's "
        f"{os.cpu_count()} cores, loading PyTorch and the model included. In each row, rows in = used + dropped.\n\n"
        "| data | recognised as | right | rows in | used | dropped | rows named, by check | seconds |\n"
        "|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(row(name, found[name]) for name in SETS if name in found) + "\n"


if __name__ == "__main__":
    main()
