"""One number that makes confidences true, and how labels are decided from them, fitted on rows of its own.

    rows = calibration_rows(validation.columns["id"])       # half of the validation rows, by hash, which training skips
    predictor = calibrate(run, Predictor.open(run), examples, say)

``model/calibration.json`` holds both; ``Predictor`` divides the logits by the temperature and decides by the rule, if
there is one (``tasks.rules``). Plain transformers open the model without them: then confidences are the uncalibrated
ones and labels the likeliest. It never looks at a test row.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tuneproof.compute import cast_once
from tuneproof.modalities import Example
from tuneproof.place import batch_tokens
from tuneproof.predict import Predictor, by_length, predict_examples
from tuneproof.records import Prediction
from tuneproof.run import Run
from tuneproof.stats.calibration import calibration_error, fit_temperature

FEWEST = 200  # validation rows from which half of them can be spared


def calibration_rows(ids: Sequence[str]) -> list[int]:
    """Numbers of the validation rows that are for the temperature alone; none of fewer than 200 rows."""
    if len(ids) < FEWEST:
        return []
    return [index for index, id in enumerate(ids) if hashlib.sha256(f"calibration {id}".encode()).digest()[0] % 2]


def divided(
    ids: Sequence[str], examples: Sequence[Example], labels: Sequence[str], unanswered: bool = False
) -> tuple[list[Example], list[Example]]:
    """Validation rows for training to look at, and those for the temperature (where answers are one of ``labels``).

    Where some questions are ``unanswered`` one number is fitted, on the rows that chose the weights as well: as is
    usual for SQuAD 2.
    """
    if unanswered:
        return list(examples), list(examples)
    spared = set(calibration_rows(ids)) if labels else set()
    sides: tuple[list[Example], list[Example]] = ([], [])
    for index, example in enumerate(examples):
        sides[index in spared].append(example)
    return sides


def calibrate(run: Run, predictor: Predictor, examples: Sequence[Example], say: Callable[[str], None]) -> Predictor:
    """The predictor at the temperature of the run, which is fitted on ``examples`` the first time.

    A task without a fixed set of labels has no temperature, and nothing is written.
    """
    if run.calibration is None and predictor.schema.choices:
        run.write_calibration(_fitted(predictor, examples, say))
    if run.calibration is None and predictor.schema.unanswered and examples:
        run.write_calibration(_settled(predictor, examples, say))
    return dataclasses.replace(predictor, answer=predictor.answer.at_temperature(run.temperature).ruled(run.rule))


def _settled(predictor: Predictor, examples: Sequence[Example], say: Callable[[str], None]) -> dict[str, Any]:
    """How sure an answer has to be for it to be given, where some questions have none; there is no temperature."""
    say(f"Fitting on {len(examples):,} validation rows when no answer is given.")
    said = predict_examples(
        predictor.model, predictor.answer, predictor.encoder, examples, predictor.config.evaluate.precision
    )
    why = "a stretch of a text is no fixed set of labels"
    nothing = {"temperature": 1.0, "accepted": False, "nll_before": None, "nll_after": None, "reason": why}
    return {"rule": dict(predictor.answer.settled(said)), **nothing, "n": len(examples)}


def _fitted(predictor: Predictor, examples: Sequence[Example], say: Callable[[str], None]) -> dict[str, Any]:
    if not examples:
        why = f"fewer than {FEWEST} validation rows, so none could be spared for it"
        return {"temperature": 1.0, "accepted": False, "nll_before": None, "nll_after": None, "n": 0, "reason": why}
    say(f"Fitting the temperature on {len(examples):,} validation rows of its own.")
    found_logits = logits(predictor, examples)
    several = bool(predictor.schema.several)
    truth = [example.values if several else example.label for example in examples]
    found = fit_temperature(found_logits, np.array(truth))
    rule = predictor.answer.rule(found_logits / found.value, examples, predictor.schema)
    return {
        "rule": dict(rule),
        "temperature": found.value,
        "accepted": found.accepted,
        "nll_before": found.nll_before,
        "nll_after": found.nll_after,
        "n": found.n,
        "reason": found.reason,
    }


def logits(predictor: Predictor, examples: Sequence[Example]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(rows, classes), in the order of ``examples``, before any temperature."""
    found = np.empty((len(examples), len(predictor.schema.choices)))
    with cast_once(predictor.model, predictor.config.evaluate.precision), torch.inference_mode():
        for indices in by_length([len(example) for example in examples], batch_tokens(predictor.model)):
            batch = predictor.encoder.collate([examples[index] for index in indices]).beside(predictor.model)
            found[indices] = predictor.answer.logits(predictor.model, batch).cpu().numpy()
    return found


def expected_error(predictions: Sequence[Prediction], raw: bool = False) -> dict[str, Any] | None:
    """Calibration error with interval and diagram; ``raw`` before the temperature; None without confidences."""
    sure = [p.scores.get("raw_confidence", p.confidence) if raw else p.confidence for p in predictions]
    right = [p.scores.get("correct") for p in predictions]
    known = [(float(c), float(r)) for c, r in zip(sure, right, strict=True) if c is not None and r is not None]
    if not known or len(known) < len(predictions):
        return None
    found = calibration_error([min(1.0, c) for c, _ in known], [r for _, r in known])
    return {
        "ece": found.value,
        "low": found.low,
        "high": found.high,
        "chance": found.chance,
        "n": found.n,
        "bins": [list(each) for each in found.bins],
    }
