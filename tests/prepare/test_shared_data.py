"""Every text data set beside the repository: the right task and columns come out without any option."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.prepare import prepare

TEXT, CHAT = "text-classification", "instruction"
TAGS, QUESTIONS = "token-classification", "question-answering"
INFERRED = {
    "banking77/train.csv": (TEXT, "text", "label", 77),
    "clinc150/train.jsonl": (TEXT, "text", "label", 151),
    "sms_spam/train.csv": (TEXT, "text", "label", 2),
    "cuad_clauses/train.jsonl": (TEXT, "text", "label", 24),
    "pubmedqa/train.jsonl": (TEXT, "context", "label", 3),
    "amazon_counterfactual_en/train.jsonl": (TEXT, "text", "label", 2),
    "clickbait_headlines/train.csv": (TEXT, "text", "label", 2),
    "onestop_english/train.jsonl": (TEXT, "text", "label", 3),
    "pricerunner_products/train.csv": (TEXT, "title", "category", 10),
    "amazon_google_matching/train.csv": (TEXT, "left_title", "label", 2),
    "onestop_english/simplify_train.jsonl": (CHAT, "instruction", "output", 0),
    "medquad_instruct/train.jsonl": (CHAT, "instruction", "output", 0),
    "human_instructions/train.jsonl": (CHAT, "instruction", "output", 0),
    "taskmaster4_chat/train.jsonl": (CHAT, "messages", None, 0),
    "gsm8k/train.jsonl": (CHAT, "question", "answer", 0),
    "mts_dialog/train.jsonl": (CHAT, "document", "summary", 0),
    "scitldr_a/train.jsonl": (CHAT, "document", "summary", 0),
    "wnut17/train.jsonl": (TAGS, "tokens", "ner_tags", 0),
    "xquad_en/train.jsonl": (QUESTIONS, "question", "context", 0),
    "covid_qa/full_papers_sample.squad.json": (QUESTIONS, "question", "answers", 0),
    "messy_inputs/sms_spam_cp1252_semicolon.csv": (TEXT, "text", "label", 6),
    "messy_inputs/alpaca_user_oriented.json": (CHAT, "instruction", "output", 0),
    "messy_inputs/sharegpt_vicuna_dummy.json": (CHAT, "conversations", None, 0),
    "messy_inputs/sharegpt_toolcall.jsonl": (CHAT, "conversations", "tools", 0),
    "messy_inputs/openai_messages_content_parts.jsonl": (CHAT, "messages", None, 0),
    "messy_inputs/alpaca_identity_placeholders.json": (CHAT, "instruction", "output", 0),
    "messy_inputs/mts_dialog_validation_raw.csv": (CHAT, "dialogue", "section_text", 0),
}
REFUSED = {
    "heart_cleveland/train.csv": "table of numbers and short entries",
    "student_performance/train.csv": "table of numbers and short entries",
    "telecom_churn_mlc/train.csv": "table of numbers and short entries",
    "auto_claim_fraud_aws/train.csv": "table of numbers and short entries",
    "messy_inputs/avengers.csv": "iconv -f CP1252",
    "messy_inputs/heart_three_hospitals_noheader.data": "not like a header",
    "messy_inputs/cuad_label_report_dates.xlsx": "which column is the text",
    "messy_inputs/cuad_label_report_governing_law.xlsx": "no task fits",
    "messy_inputs/image_folder": "image classification",
}


@pytest.mark.parametrize("name", INFERRED)
def test_task_and_columns_are_inferred(name: str, shared: Path, answers) -> None:
    task, first, second, labels = INFERRED[name]
    path = shared / name
    test = path.with_name(path.name.replace("train", "test"))
    own = {"test": str(test)} if test != path else {}
    prepared = prepare(path, Data(**own), answers)
    fields = prepared.schema.fields
    assert prepared.schema.task == task and len(prepared.schema.labels) == labels
    assert first in fields.values() and (second is None or second in fields.values())
    assert prepared.ledger.closes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_by_name(name: str, shared: Path, answers) -> None:
    with pytest.raises(DataError) as caught:
        prepare(shared / name, Data(), answers)
    assert REFUSED[name] in str(caught.value) and str(shared / name) in str(caught.value)


def test_leaked_rows_of_banking77_leave_train(shared: Path, answers) -> None:
    folder = shared / "banking77"
    ledger = prepare(folder / "train.csv", Data(test=str(folder / "test.csv")), answers).ledger
    assert ledger.used["test"] == 3080
    assert {drop.reason: drop.rows for drop in ledger.dropped} == {"also in the test file": 7, "exact duplicate": 4}
