"""Questions about a text whose answers stand in it: how files write them, and when an answer is right.

    answers = {"text": ["Bonn"], "answer_start": [9]}
    canonical({"question": "Where?", "context": "Ann left Bonn.", "answers": answers}, schema)
    # {"text": "Where?\\nAnn left Bonn.", "question": "Where?", "answers": [{"text": "Bonn", "start": 9}]}

SQuAD 1 and 2 in the nested form are unfolded where files are read (``prepare.squad``); here a row is one question. No
answer is moved or repaired. Nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tuneproof.records import Column, Guess, Row, Schema
from tuneproof.tasks import metrics
from tuneproof.tasks.rows import Unusable, blank, written

SURE = 0.985  # more than what other tasks say of the same columns
NONE = "(no answer)"
ANSWERS = ("answers", "answer", "answer_text")
STARTS = ("answer_start", "start")


def known(columns: Sequence[Column]) -> Guess | None:
    """Question, context and answers by their names; where answers are plain texts, perhaps a column of starts."""
    by_name = {column.name.lower(): column.name for column in columns}
    answers = next((by_name[name] for name in ANSWERS if name in by_name), None)
    if "question" not in by_name or "context" not in by_name or answers is None:
        return None
    nested = next(column for column in columns if column.name == answers)
    starts = next((by_name[name] for name in STARTS if name in by_name), None)
    if not nested.kinds.get("list", 0) + nested.kinds.get("object", 0) and starts is None:
        return None  # an answer in free words
    fields = {"question": by_name["question"], "context": by_name["context"], "answers": answers}
    fields |= {"start": starts} if starts else {}
    fields |= {"impossible": by_name["is_impossible"]} if "is_impossible" in by_name else {}
    told = ", ".join(f'"{name}"' for name in list(fields.values())[:3])
    reason = f"columns {told} ask for a stretch of a text; questions about one text stay together"
    return Guess("question+context+answers", fields, SURE, reason, group=by_name["context"])


def canonical(row: Row, schema: Schema) -> dict[str, Any]:
    """The question and its context as one text, and the answers where they stand; ``Unusable`` where they do not."""
    found = asked(row, schema)
    _, context = parts(found)
    answers = _answers(row, schema)
    for one in answers:
        start = one["start"]
        if not isinstance(start, int) or isinstance(start, bool):
            raise Unusable("an answer without the place where it stands")
        if start < 0 or context[start : start + len(one["text"])] != one["text"]:
            raise Unusable("an answer that does not stand where it should")
    impossible = row.get(schema.fields.get("impossible", ""))
    if impossible in (True, "true", "True", 1) and answers:
        raise Unusable("an answer to a question that is said to have none")
    return {**found, "answers": answers}


def asked(row: Row, schema: Schema) -> dict[str, Any]:
    """The part of a row that the model reads."""
    question, context = (row.get(schema.fields[part]) for part in ("question", "context"))
    if blank(question) or blank(context) or isinstance(question, list | dict) or not isinstance(context, str):
        raise Unusable("empty text")
    question = written(question)
    return {"text": f"{question}\n{context}", "question": question}


def parts(row: Row) -> tuple[str, str]:
    """Question and context of a canonical row, or of one that a person wrote."""
    question = str(row["question"])
    return question, str(row["context"] if "context" in row else row["text"][len(question) + 1 :])


def _answers(row: Row, schema: Schema) -> list[dict[str, Any]]:
    """Texts with their places, in any of the ways in which they are written; the same one twice is one."""
    given = row.get(schema.fields["answers"])
    start = row.get(schema.fields.get("start", ""))
    if isinstance(given, dict):
        texts, starts = given.get("text"), given.get("answer_start", given.get("start"))
        given = _paired(texts, starts)
    elif isinstance(given, list) and all(isinstance(one, dict) for one in given):
        given = [(one.get("text"), one.get("answer_start", one.get("start"))) for one in given]
    else:
        given = _paired(given, start)
    found: list[dict[str, Any]] = []
    for text, place in given:
        if blank(text):
            continue
        one = {"text": written(text), "start": _whole(place)}
        if one not in found:
            found.append(one)
    return found


def _paired(texts: Any, starts: Any) -> list[tuple[Any, Any]]:
    texts = texts if isinstance(texts, list) else [texts]
    starts = starts if isinstance(starts, list) else [starts] * min(1, len(texts))
    if len(texts) != len(starts):
        raise Unusable("not one place for each answer")
    return list(zip(texts, starts, strict=True))


def _whole(place: Any) -> Any:
    """Starts in a CSV file are text."""
    return int(place) if isinstance(place, str) and place.strip().isdigit() else place


def told(answers: Iterable[str]) -> str:
    """Answers as a person reads them."""
    return "; ".join(dict.fromkeys(answers)) or NONE


def scored(said: str, answers: Sequence[str]) -> dict[str, float]:
    """Exact match and token F1 of one answer, by SQuAD's published normalisation."""
    return {"exact_match": metrics.exact_match(said, answers), "token_f1": metrics.token_f1(said, answers)}
