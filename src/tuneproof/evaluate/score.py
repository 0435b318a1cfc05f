"""Scores on the untouched test rows: per-item records first, aggregates and paired differences from those.

evaluate(run, Subject(...), say)       # eval/test/predictions.jsonl, report.json, report.html
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuneproof.config import Config
from tuneproof.evaluate.baselines import BASELINES, Rows
from tuneproof.evaluate.card import write_card
from tuneproof.evaluate.page import render
from tuneproof.evaluate.report import build_report
from tuneproof.memory import peak
from tuneproof.modalities import Example
from tuneproof.predict import Predictor, predict_examples
from tuneproof.records import Prediction, Schema, Scores, Table
from tuneproof.run import Run, write_atomically
from tuneproof.stats.interval import Interval, mean_interval, wilson
from tuneproof.stats.paired import Difference, difference
from tuneproof.tasks import Answer

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated, and on what."""

    config: Config
    schema: Schema
    train: Table
    test: Table
    examples: Mapping[str, Sequence[Example]]  # "train" and "test", in the order of their tables


@dataclass(frozen=True, slots=True)
class System:
    """One contender on the test rows."""

    name: str
    what: str
    kind: str  # "tuned" or "baseline"
    predictions: Sequence[Prediction]
    scores: Scores
    interval: Interval
    difference: Difference | None = None  # tuned minus this one, oriented as measured


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that the report is made of."""

    systems: Sequence[System]
    table: Table  # the scored test rows
    answers: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    seconds: float = 0.0
    peak_bytes: int = 0


def evaluate(run: Run, subject: Subject, say: Say) -> dict[str, Any]:
    """Scores the saved model, the baselines, and writes the evaluation; returns the report."""
    began = time.monotonic()
    chosen = scored_rows(subject.test, subject.config.evaluate.test_rows)
    table = subject.test.take(chosen)
    test = [subject.examples["test"][index] for index in chosen]
    tuned = Predictor.open(run)
    say(f"Scoring the tuned model on {len(test):,} test rows.")
    predictions = predict_examples(tuned.model, tuned.answer, tuned.encoder, test, subject.config.evaluate.precision)
    replies = _replies(tuned, table)
    base = Predictor.open(run, base=True)
    rows = Rows(
        base=base,
        train=subject.examples["train"],
        test=test,
        train_texts=[tuned.answer.texts(row)[0] for row in subject.train.rows()],
        test_texts=[tuned.answer.texts(row)[0] for row in table.rows()],
        labels=subject.schema.labels,
        seed=subject.config.train.seed,
    )
    systems = [_system("the tuned model", "", "tuned", predictions, tuned, None, table)]
    for name in tuned.answer.baselines:
        baseline = BASELINES[name]
        say(f"Baseline: {baseline.title}.")
        found = baseline.predict(rows)
        systems.append(_system(baseline.title, baseline.what, "baseline", found, tuned, predictions, table))
    answers = _side_by_side(table, tuned.answer, replies, _replies(base, table))
    folder = run.evaluation("test")
    _write_predictions(folder, table, systems)
    outcome = Outcome(systems, table, answers, time.monotonic() - began, peak())
    report = build_report(run, subject.config, subject.schema, outcome, tuned.answer)
    run.write_json("eval/test/report.json", report)
    write_card(run, report)
    write_atomically(folder / "report.html", render(report).encode("utf-8"))
    return report


def scored_rows(test: Table, limit: int | None) -> list[int]:
    """All rows, or ``limit`` of them chosen by the hash of their id, in the order of the file."""
    everything = range(len(test))
    if limit is None or limit >= len(test):
        return list(everything)
    ids = test.columns["id"]
    ranked = sorted(everything, key=lambda index: hashlib.sha256(f"scored {ids[index]}".encode()).digest())
    return sorted(ranked[:limit])


def _system(
    name: str,
    what: str,
    kind: str,
    predictions: Sequence[Prediction],
    tuned: Predictor,
    against: Sequence[Prediction] | None,
    table: Table,
) -> System:
    own = items(predictions)
    group = table.columns.get("group")
    return System(
        name,
        what,
        kind,
        predictions,
        tuned.answer.score(predictions),
        _interval(own, units(predictions), group),
        paired(own, items(against), units(predictions), group, tuned.config.train.seed)
        if against is not None
        else None,
    )


def items(predictions: Sequence[Prediction]) -> list[float]:
    """The per-item score that differences are made of: rightness, or loss per answer token."""
    return [p.scores["correct"] if "correct" in p.scores else p.scores["nll"] / p.scores["tokens"] for p in predictions]


def units(predictions: Sequence[Prediction]) -> list[int]:
    """How much each item weighs in the score of the whole: its answer tokens, or 1."""
    return [int(p.scores.get("tokens", 1)) for p in predictions]


def paired(
    a: Sequence[float], b: Sequence[float], weight: Sequence[int], group: Sequence[Any] | None, seed: int
) -> Difference:
    """B - A of the score of the whole: a mean over units whose rows (or groups) are the clusters."""
    if max(weight) == 1:
        return difference(a, b, group, seed=seed)
    wide = difference(np.repeat(a, weight), np.repeat(b, weight), _owners(weight, group), seed=seed)
    return dataclasses.replace(wide, n=len(a))  # rows decide whether there are enough, not tokens


def _interval(values: Sequence[float], weight: Sequence[int], group: Sequence[Any] | None) -> Interval:
    if max(weight) > 1:
        wide = mean_interval(np.repeat(values, weight), _owners(weight, group))
        return dataclasses.replace(wide, n=len(values))
    if group is None and set(values) <= {0.0, 1.0}:
        return wilson(int(sum(values)), len(values))
    return mean_interval(values, group)


def _owners(weight: Sequence[int], group: Sequence[Any] | None) -> list[Any]:
    """For each unit the row, or the group, that it belongs to."""
    names = group if group is not None else range(len(weight))
    return [name for name, count in zip(names, weight, strict=True) for _ in range(count)]


def _replies(predictor: Predictor, table: Table) -> list[Prediction]:
    """Generated answers to the first rows, where the task generates; nothing otherwise."""
    if "evaluate.answers" not in predictor.answer.options:
        return []
    count = min(len(table), predictor.config.evaluate.answers)
    return predictor([predictor.answer.without_truth(table.row(index)) for index in range(count)])


def _side_by_side(
    table: Table, answer: Answer, tuned: Sequence[Prediction], base: Sequence[Prediction]
) -> list[dict[str, Any]]:
    """Both models' answers to the same rows."""
    return [
        {
            "line": table.lines[index],
            "prompt": answer.without_truth(table.row(index))["messages"],
            "truth": answer.texts(table.row(index))[1],
            "base": old.value,
            "tuned": new.value,
            "base_stopped": bool(old.scores["stopped"]),
            "tuned_stopped": bool(new.scores["stopped"]),
        }
        for index, (new, old) in enumerate(zip(tuned, base, strict=True))
    ]


def _write_predictions(folder: Path, table: Table, systems: Sequence[System]) -> None:
    """One line per test row: what was asked for, what the tuned model said, and every baseline's word on it."""
    lines = []
    for index, p in enumerate(systems[0].predictions):
        line = {
            "id": table.columns["id"][index],
            "line": table.lines[index],
            "group": table.columns["group"][index] if "group" in table.columns else table.columns["id"][index],
            "y": p.truth,
            "pred": p.value,
            "p": [[label, round(share, 6)] for label, share in p.probabilities.items()],
            "conf": p.confidence,
            "scores": dict(p.scores),
            "in_tok": p.tokens_in,
            "out_tok": p.tokens_out,
            "err": p.error,
            "baselines": {
                s.name: {"pred": s.predictions[index].value, **s.predictions[index].scores} for s in systems[1:]
            },
        }
        lines.append(json.dumps(line, ensure_ascii=False, allow_nan=False))
    write_atomically(folder / "predictions.jsonl", ("\n".join(lines) + "\n").encode("utf-8"))
