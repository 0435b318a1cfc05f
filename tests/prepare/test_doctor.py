"""What the doctor does about what it finds: policies, the books, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer

from tuneproof.config import Check, Data
from tuneproof.errors import CheckError, ConfigError
from tuneproof.prepare import Diagnosis, Prepared, examine, prepare
from tuneproof.tasks import TASKS

ANSWERS = {name: task.answer for name, task in TASKS.items()}
WORDS = ["amber", "brass", "cedar", "denim", "ebony", "flint", "glass", "hemp", "ivory", "jute"]
MAIL = "ann.smith@corp-example.net"


def vectors(texts: Sequence[str]) -> Any:
    """A real, cheap encoder: hashed words."""
    return HashingVectorizer(n_features=64).transform(texts).toarray().astype(np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """360 rows about three things each; 20 near copies of the first 20; a mail address in one."""
    texts = [f"the {a} {b} and its {c} handle came late" for a in WORDS for b in WORDS for c in WORDS if a < b < c]
    texts += [f"the {a} {b} and its {c} handle are fine" for a in WORDS for b in WORDS for c in WORDS if a < b < c]
    texts += [f"no {a} in the {b} shop near {c} street" for a in WORDS for b in WORDS for c in WORDS if a < b < c]
    rows = [(text, "good" if "fine" in text else "bad") for text in texts]
    rows += [(f"{text}!!", label) for text, label in rows[:20]]
    rows.append((f"ask {MAIL} about the crooked teapot", "bad"))
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows), encoding="utf-8")
    return path


def diagnosed(file: Path, **options: Any) -> tuple[Prepared, Diagnosis]:
    before = prepare(file, Data(), ANSWERS)
    answer = ANSWERS[before.schema.task]
    return before, examine(before, answer, Check(**options), seed=0, embed=vectors)


def rows(prepared: Prepared, side: str) -> set[str]:
    return set(dict(prepared.splits.items())[side].columns["text"])


def test_leaked_rows_leave_train_and_the_books_close(file: Path) -> None:
    before, after = diagnosed(file)
    leak = next(one for one in after.checks if one.name == "leakage")
    assert leak.action == "dropped" and leak.changed == leak.checked.found > 0 and leak.severity == "error"
    assert rows(after.prepared, "test") == rows(before, "test")
    gone = rows(before, "train") - rows(after.prepared, "train")
    assert gone and after.prepared.ledger.closes()
    assert after.prepared.manifest["parents"] == [before.manifest["data_id"]] != [after.prepared.manifest["data_id"]]
    assert after.prepared.manifest["checks"]["leakage"] == leak.checked.found
    assert "accuracy" in leak.effect, "what the change does is measured"


def test_kept_rows_are_only_told_of(file: Path) -> None:
    before, after = diagnosed(file, leakage="keep")
    leak = next(one for one in after.checks if one.name == "leakage")
    assert (leak.action, leak.changed, leak.effect) == ("kept", 0, "")
    assert after.prepared.manifest["data_id"] == before.manifest["data_id"]
    assert after.prepared.manifest["parents"] == []
    assert after.verdict == "errors", "something bad stays"


def test_refuse_names_the_first_row(file: Path) -> None:
    with pytest.raises(CheckError, match=r"a\.csv, line \d+") as refused:
        diagnosed(file, leakage="refuse")
    assert refused.value.exit_code == 3 and "check.leakage=keep" in refused.value.hint


def test_personal_data_is_replaced_and_the_row_gets_a_new_id(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    before, after = diagnosed(file, personal_data="fix", leakage="keep")
    texts = [text for side in ("train", "validation", "test") for text in rows(after.prepared, side)]
    assert not any(MAIL in text for text in texts) and sum("[EMAIL-" in text for text in texts) == 1
    assert after.prepared.ledger == before.ledger
    assert after.prepared.manifest["data_id"] != before.manifest["data_id"]


def test_an_option_without_effect_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="drop_label_issues"):
        diagnosed(file, label_issues="drop")
    with pytest.raises(ConfigError, match="no effect"):
        diagnosed(file, drop_label_issues=3)


def test_asked_label_issues_leave_and_are_counted(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    wrong = [line.replace(",bad", ",good") if number in range(5, 100, 8) else line for number, line in enumerate(lines)]
    file.write_text("\n".join(wrong) + "\n", encoding="utf-8")
    before, after = diagnosed(file, label_issues="drop", drop_label_issues=3, leakage="keep")
    one = next(one for one in after.checks if one.name == "label_issues")
    assert one.action == "dropped" and one.changed == 3
    assert len(before.splits.train) - len(after.prepared.splits.train) == 3 and after.prepared.ledger.closes()


def test_without_an_encoder_the_rest_is_looked_at(file: Path) -> None:
    before = prepare(file, Data(), ANSWERS)
    after = examine(before, ANSWERS[before.schema.task], Check(), seed=0, no_embed="no model was to be had")
    looked = {one.name: one.checked for one in after.checks}
    assert looked["label_issues"].looked_at == 0 and "no model" in looked["label_issues"].note
    assert looked["leakage"].found


def test_tagged_words_are_examined(tmp_path: Path) -> None:
    line = '{{"tokens": ["{0}", "lives", "in", "{1}"], "tags": ["B-PER", "O", "O", "B-LOC"]}}\n'
    text = "".join(line.format(a, b) for a in WORDS for b in WORDS if a != b)
    broken = '{"tokens": ["one", "two"], "tags": ["O"]}\n'
    (tmp_path / "a.jsonl").write_text(text + broken, encoding="utf-8")
    prepared = prepare(tmp_path / "a.jsonl", Data(), ANSWERS)
    assert prepared.schema.task == "token-classification"
    assert prepared.schema.fields == {"words": "tokens", "tags": "tags"}
    assert prepared.schema.tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert [(drop.reason, drop.lines) for drop in prepared.ledger.dropped if "tag" in drop.reason] == [
        ("not one tag for each word", (91,))
    ]
    after = examine(prepared, ANSWERS["token-classification"], Check(), seed=0)
    assert after.prepared.ledger.closes()
