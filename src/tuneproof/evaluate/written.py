"""How near the shown answers of a chat model come to those of the file: ROUGE, of as many as were written.

    found = written(outcome.answers, group)     # {"n": 5, "tuned": {"rougeL": .41, ...}, "base": ..., ...}
    found = written(outcome.answers, group, leads(outcome.answers, "document+summary"))

It decides nothing: words in common are no proof of a right answer, and a handful of rows proves little. A summary has
the first sentences of its document to beat, which cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate.baselines import BASELINES, leading
from tuneproof.evaluate.measure import as_json
from tuneproof.stats.paired import difference
from tuneproof.tasks.chat_layouts import sums_up
from tuneproof.tasks.metrics import ROUGE_TOKENIZER, rouge

Scored = Sequence[Mapping[str, float]]


def written(
    answers: Sequence[Mapping[str, Any]], group: Sequence[Any] | None, beside: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any] | None:
    """Plain JSON: means of both models, and tuned minus untouched by ROUGE-L, paired; None without answers.

    ``group`` names the cluster of each answer's row; ``beside`` holds others' answers to the same rows.
    """
    if not answers:
        return None
    truths = [str(one["truth"]) for one in answers]
    tuned, base = (_scored([str(one[side]) for one in answers], truths) for side in ("tuned", "base"))
    others = {name: _scored(texts, truths) for name, texts in (beside or {}).items()}
    return {
        "n": len(answers),
        "tuned": _means(tuned),
        "base": _means(base),
        "difference": _gap(base, tuned, group),
        "beside": [
            {"name": name, **_means(scored), "difference": _gap(scored, tuned, group)}
            for name, scored in others.items()
        ],
        "tokens": ROUGE_TOKENIZER,
    }


def leads(answers: Sequence[Mapping[str, Any]], layout: str) -> dict[str, list[str]]:
    """The first sentences of what was asked about, where the file's answers sum it up; nothing elsewhere."""
    if not sums_up(layout):
        return {}
    asked = [next(str(turn["content"]) for turn in one["prompt"] if turn["role"] == "user") for one in answers]
    return {BASELINES[f"lead-{n}"].title: [leading(text, n) for text in asked] for n in (1, 3)}


def _scored(texts: Sequence[str], truths: Sequence[str]) -> Scored:
    return [rouge(text, truth) for text, truth in zip(texts, truths, strict=True)]


def _means(each: Scored) -> dict[str, float]:
    return {name: sum(one[name] for one in each) / len(each) for name in each[0]}


def _gap(theirs: Scored, ours: Scored, group: Sequence[Any] | None) -> dict[str, Any]:
    base, tuned = ([one["rougeL"] for one in side] for side in (theirs, ours))
    return as_json(difference(base, tuned, group))
