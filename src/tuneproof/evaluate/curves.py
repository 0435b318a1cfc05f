"""Loss and validation score by step, and which weights were kept and why.

curves(run.metrics(), answer, steps=1108)["chosen"]     # "Of 8 looks at 494 validation rows the one after ..."
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tuneproof.evaluate.measures import MEASURES
from tuneproof.stats.looks import latest_best
from tuneproof.tasks import Answer

RISEN = 1.1  # how far above its lowest value a validation loss has to end before the page says that it rose


def curves(records: Sequence[Mapping[str, Any]], answer: Answer, steps: int) -> dict[str, Any]:
    """``records`` are the lines of metrics.jsonl, ``steps`` those that were planned."""
    checks = [r for r in records if "validation" in r]
    known = [r for r in checks if r["validation"][answer.primary] is not None]
    index = latest_best(
        [r["validation"][answer.primary] for r in known],
        [r["validation"]["n"] for r in known],
        higher=answer.higher_is_better,
        share=answer.proportion,
        errors=[r["validation"].get("brier") for r in known],
    )
    taken = None if index is None else known[index]
    losses = [[r["step"], r["validation"]["nll"]] for r in checks if r["validation"].get("nll") is not None]
    return {
        "loss_name": f"loss per {answer.unit}",
        "train": [[r["step"], r["loss"]] for r in records if "loss" in r],
        "validation_name": answer.primary,
        "validation": [[r["step"], r["validation"][answer.primary]] for r in known],
        "validation_loss": losses,
        "best_step": taken["step"] if taken else None,
        "chosen": chosen(known, taken, losses, answer) if taken else "",
        "steps": steps,
        "last_step": records[-1]["step"] if records else 0,
    }


def chosen(
    known: Sequence[Mapping[str, Any]], taken: Mapping[str, Any], losses: Sequence[Sequence[float]], answer: Answer
) -> str:
    """Which epoch's weights were kept and why, and whether the loss on validation rows had begun to rise."""
    last, name = known[-1], answer.primary
    best = (max if answer.higher_is_better else min)(known, key=lambda r: r["validation"][name])
    equal = best["validation"][name] == taken["validation"][name]
    first = taken if equal else best
    said = f"Of {len(known):,} looks at {taken['validation']['n']:,} validation rows {_look(first, name)} was best"
    if not equal:
        why = "is later" if taken["step"] > best["step"] else _surer(taken, best)
        said += f"; {_look(taken, name)} is not worse by more than a standard error and {why}, and was kept"
    later = [r for r in known if r["step"] > taken["step"]]
    if later:
        worse = "worse" if all(_score(r, answer) < _score(taken, answer) for r in later) else "worse or less sure"
        said += f"; {len(later):,} later {'one was' if len(later) == 1 else 'ones were'} {worse}."
    else:
        said += ", the last one." if equal else "."
    lowest = min(losses, key=lambda point: point[1], default=None)
    if lowest and lowest[0] < last["step"] and losses[-1][1] > RISEN * lowest[1]:
        said += (
            f" The validation loss was lowest at step {lowest[0]:,} ({lowest[1]:.3f}) and rose to {losses[-1][1]:.3f} "
            "by the end: from there on it learnt its training rows by heart."
        )
    return said


def _score(record: Mapping[str, Any], answer: Answer) -> float:
    value: float = record["validation"][answer.primary]
    return value if answer.higher_is_better else -value


def _surer(taken: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    kept, passed = taken["validation"]["brier"], best["validation"]["brier"]
    return f"its probabilities are nearer to the truth (Brier score {kept:.3f} against {passed:.3f})"


def _look(record: Mapping[str, Any], name: str) -> str:
    score = MEASURES[name].written(record["validation"][name])
    epochs = "1 epoch" if record["epoch"] == 1 else f"{record['epoch']:.2g} epochs"
    return f"the one after {epochs} (step {record['step']:,}, {name} {score})"
