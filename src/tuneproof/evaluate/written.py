"""How near the shown answers of a chat model come to those of the file: ROUGE, of as many as were written.

    found = written(outcome.answers, group)     # {"n": 5, "tuned": {"rougeL": .41, ...}, "base": ..., ...}

It decides nothing: words in common are no proof of a right answer, and a handful of rows proves little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate.measure import as_json
from tuneproof.stats.paired import difference
from tuneproof.tasks.metrics import ROUGE_TOKENIZER, rouge


def written(answers: Sequence[Mapping[str, Any]], group: Sequence[Any] | None) -> dict[str, Any] | None:
    """Plain JSON: means of both models, and tuned minus untouched by ROUGE-L, paired; None without answers.

    ``group`` names the cluster of each answer's row.
    """
    if not answers:
        return None
    by = {side: [rouge(str(one[side]), str(one["truth"])) for one in answers] for side in ("tuned", "base")}
    means = {side: {name: sum(one[name] for one in each) / len(each) for name in each[0]} for side, each in by.items()}
    base, tuned = ([one["rougeL"] for one in by[side]] for side in ("base", "tuned"))
    return {
        "n": len(answers),
        **means,
        "difference": as_json(difference(base, tuned, group)),
        "tokens": ROUGE_TOKENIZER,
    }
