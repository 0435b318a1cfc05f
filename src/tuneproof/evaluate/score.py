"""Scores on test rows that nobody trained on: per-item records first, aggregates and paired differences from those.

evaluate(run, Subject(...), say)       # eval/test/predictions.jsonl, report.json, report.html
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tuneproof.config import Config
from tuneproof.device import joules
from tuneproof.evaluate import uses
from tuneproof.evaluate.baselines import BASELINES
from tuneproof.evaluate.calibrate import calibrate, expected_error
from tuneproof.evaluate.card import write_card
from tuneproof.evaluate.forgetting import forgetting
from tuneproof.evaluate.leaks import question_key
from tuneproof.evaluate.measures import MEASURES, Measure, Pairs, items
from tuneproof.evaluate.outcome import Outcome, System
from tuneproof.evaluate.overfitting import overfitting
from tuneproof.evaluate.page import render
from tuneproof.evaluate.prompted import Asking, chat_model, prompted
from tuneproof.evaluate.readings import WRITERS
from tuneproof.evaluate.report import build_report
from tuneproof.evaluate.retain import COUNT, SOURCE, Document, by_subject, documents
from tuneproof.evaluate.rows import Rows
from tuneproof.evaluate.slices import slice_names
from tuneproof.memory import peak
from tuneproof.methods import METHODS, merged
from tuneproof.modalities import Example
from tuneproof.place import reachable
from tuneproof.predict import Known, Predictor
from tuneproof.records import ModelFacts, Prediction, Row, Schema, Table
from tuneproof.run import Run, write_atomically
from tuneproof.tasks import Answer
from tuneproof.tasks.tables import pairs

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is evaluated, and on what."""

    config: Config
    schema: Schema
    train: Table
    test: Table
    examples: Mapping[str, Sequence[Example]]  # "train" and "test", in the order of their tables
    calibration: Sequence[Example] = ()  # validation rows that training has not seen
    spared: Table | None = None  # these as a table, where labels are decided by a rule that is fitted on them
    retain: Sequence[Document] = ()  # the user's own texts that should not be forgotten
    validation: Table | None = None  # rows on which the wording of a prompt is chosen
    opponent: ModelFacts | None = None  # a chat model that is asked the same questions
    id: str = "test"  # of the evaluation: its folder under eval/
    leaked: int = 0  # test rows that were trained on, and are scored because somebody allowed it
    known: Known = field(default_factory=Known)  # vectors of rows that prepare has computed


def evaluate(run: Run, subject: Subject, say: Say) -> dict[str, Any]:
    """Scores the saved model, the baselines, and writes the evaluation; returns the report."""
    began, used = time.monotonic(), joules()
    chosen = scored_rows(subject.test, subject.config.evaluate.test_rows)
    table = subject.test.take(chosen)
    test = [subject.examples["test"][index] for index in chosen]
    tuned = calibrate(run, Predictor.open(run), subject.calibration, say)
    say(f"Scoring the tuned model on {len(test):,} test rows.")
    predictions = tuned.scored(test, list(table.rows()))
    base = Predictor.open(run, base=True)
    texts = [tuned.answer.texts(row)[0] for row in table.rows()]
    systems = _systems(predictions, tuned, _rows(base, subject, table, test, texts), table, say)
    parts = slice_names(table, predictions, texts, bool(subject.schema.labels) and subject.schema.rare is None)
    folder = run.evaluation(subject.id)
    _write_predictions(folder, table, systems, parts)
    overfitted = _overfitting(subject, tuned, predictions, table, say)
    asked = _prompted(subject, table, predictions, tuned.answer, say)
    forgot = _forgetting(run, subject, tuned, base, test, say)
    outcome = Outcome(
        systems,
        table,
        _answers(tuned, base, table, systems, say),  # the last: adapters are merged into the tuned model for it
        slices=parts,
        calibration=run.calibration,
        overfitting=overfitted,
        prompted=asked,
        forgetting=forgot,
        about=_about(run, subject, tuned, len(table)),
        seconds=time.monotonic() - began,
        joules=_used(used),
        peak_bytes=peak(),
    )
    report = build_report(run, subject.config, subject.schema, outcome, tuned.answer)
    run.write_json(f"eval/{subject.id}/report.json", report)
    if subject.id == "test":
        write_card(run, report)
    write_atomically(folder / "report.html", render(report).encode("utf-8"))
    return report


def _used(before: float | None) -> float | None:
    after = joules()
    return None if before is None or after is None else max(0.0, after - before)


def scored_rows(test: Table, limit: int | None) -> list[int]:
    """All rows, or ``limit`` of them chosen by the hash of their id, in the order of the file."""
    everything = range(len(test))
    if limit is None or limit >= len(test):
        return list(everything)
    ids = test.columns["id"]
    ranked = sorted(everything, key=lambda index: hashlib.sha256(f"scored {ids[index]}".encode()).digest())
    return sorted(ranked[:limit])


def _rows(base: Predictor, subject: Subject, table: Table, test: Sequence[Example], texts: Sequence[str]) -> Rows:
    spared = subject.calibration if subject.spared is not None else ()
    kept = subject.spared if subject.spared is not None else table.take([])
    return Rows(
        base=base,
        train=subject.examples["train"],
        test=test,
        train_texts=[base.answer.texts(row)[0] for row in subject.train.rows()],
        test_texts=texts,
        test_rows=list(table.rows()),
        labels=subject.schema.choices,
        seed=subject.config.train.seed,
        train_pairs=pairs(subject.train),
        test_pairs=pairs(table),
        known=subject.known,
        spared=spared,
        spared_texts=[base.answer.texts(row)[0] for row in kept.rows()],
        spared_pairs=pairs(kept),
    )


def _systems(predictions: Sequence[Prediction], tuned: Predictor, rows: Rows, table: Table, say: Say) -> list[System]:
    """The tuned model, then every baseline of the task, paired with it."""
    group, seed = table.columns.get("group"), tuned.config.train.seed
    how = MEASURES[tuned.answer.score(predictions).primary]
    found = [_system("the tuned model", "", "tuned", predictions, tuned.answer, group, rows.labels)]
    for name in tuned.answer.baselines:
        row = BASELINES[name]
        say(f"Baseline: {row.title}.")
        said = tuned.answer.marked(row.predict(rows))
        gap = how.difference(Pairs(items(said), items(predictions), group, rows.labels), seed)
        system = _system(row.title, row.what, "baseline", said, tuned.answer, group, rows.labels)
        save = "" if rows.test_pairs else row.save
        found.append(replace(system, difference=gap, blind=row.blind, save=save))
    return beyond_blind(found, how, group, rows.labels, seed)


def beyond_blind(
    systems: Sequence[System], how: Measure, group: Sequence[Any] | None, labels: tuple[str, ...], seed: int
) -> list[System]:
    """Each system, those that look at the rows with their lead over the best of those that do not."""
    blind = [one for one in systems if one.blind and one.scores.main is not None]
    if not blind:
        return list(systems)
    sign = 1 if how.higher_is_better else -1
    best = items(max(blind, key=lambda one: sign * (one.scores.main or 0.0)).predictions)
    leads = [how.difference(Pairs(best, items(one.predictions), group, labels), seed) for one in systems]
    return [one if one.blind else replace(one, beyond=lead) for one, lead in zip(systems, leads, strict=True)]


def _system(
    name: str,
    what: str,
    kind: str,
    predictions: Sequence[Prediction],
    answer: Answer,
    group: Sequence[Any] | None,
    labels: tuple[str, ...],
) -> System:
    scores, calibration = answer.score(predictions), expected_error(predictions)
    if "nll" in scores.values:
        ece = calibration["ece"] if calibration is not None else None
        scores = replace(scores, values={**scores.values, "ece": ece})
    interval = MEASURES[scores.primary].interval(items(predictions), labels, group)
    return System(name, what, kind, predictions, scores, interval, calibration=calibration)


def _overfitting(
    subject: Subject, tuned: Predictor, predictions: Sequence[Prediction], table: Table, say: Say
) -> dict[str, Any] | None:
    say("Scoring a sample of the training rows: did it learn them by heart?")
    return overfitting(tuned, subject.train, subject.examples["train"], predictions, table)


def _prompted(
    subject: Subject, table: Table, predictions: Sequence[Prediction], answer: Answer, say: Say
) -> dict[str, Any] | None:
    """A chat model asked the same questions, where somebody named one."""
    if subject.opponent is None or subject.validation is None:
        return None
    rows = {name: [answer.texts(row) for row in each.rows()] for name, each in _sides(subject, table)}
    asking = Asking(subject.schema.labels, rows["train"], rows["validation"], rows["test"], table.columns["id"])
    chat = chat_model(subject.opponent, subject.config.train.seed, reachable(subject.config.model.device))
    return prompted(chat, asking, predictions, say)


def _sides(subject: Subject, test: Table) -> list[tuple[str, Table]]:
    assert subject.validation is not None
    return [("train", subject.train), ("validation", subject.validation), ("test", test)]


def _forgetting(
    run: Run, subject: Subject, tuned: Predictor, base: Predictor, test: Sequence[Example], say: Say
) -> dict[str, Any]:
    """Measured once per run, as it is about the model and not about the test rows; the models are used up by it."""
    kept = "eval/forgetting.json"
    if (run.path / kept).is_file():
        found: dict[str, Any] = run.read_json(kept)
        return found
    asked = subject.config.evaluate.retain_documents
    count = COUNT if asked is None else asked
    about = run.plan["model"]
    general = documents(count) if about["kind"] in WRITERS else by_subject(count)
    say(f"Measuring on {len(general) + len(subject.retain):,} documents what the model forgot.")
    sets = [(SOURCE, general), *([("your own texts", subject.retain)] if subject.retain else [])]
    found = forgetting(tuned, base, about, sets, test)
    run.write_json(kept, found)
    return found


def _about(run: Run, subject: Subject, tuned: Predictor, scored: int) -> dict[str, Any]:
    """What a comparison and a reader need to know of this evaluation beside its figures."""
    template = tuned.answer.template(tuned.encoder)
    return {
        "id": subject.id,
        "file": subject.test.source,
        "rows": len(subject.test),
        "scored": scored,
        "leaked": subject.leaked,
        "template": hashlib.sha256(template.encode()).hexdigest() if template else "",
        "uses": uses.record([run], subject.id, "evaluate"),
    }


def _untouched(systems: Sequence[System]) -> Sequence[Prediction]:
    """What the pretrained model said, where that is among the baselines; nothing otherwise."""
    titles = {row.title for row in BASELINES.values() if row.untouched}
    return next((system.predictions for system in systems if system.name in titles), ())


def _answers(
    tuned: Predictor, base: Predictor, table: Table, systems: Sequence[System], say: Say
) -> list[dict[str, Any]]:
    """Both models' written answers to the first rows, where the task writes; those that were scored, where they are."""
    count = min(len(table), tuned.config.evaluate.answers)
    if "evaluate.answers" not in tuned.answer.options or not count:
        return []
    say(f"Writing {count} answers with both models.")
    written = [
        _replies(tuned, table, systems[0].predictions[:count]),
        _replies(base, table, _untouched(systems)[:count]),
    ]
    return _side_by_side(table, tuned.answer, *written)


def _replies(predictor: Predictor, table: Table, said: Sequence[Prediction]) -> Sequence[Prediction]:
    """``said`` where it was written, else answers written now, by the model with its adapters merged: half the time."""
    if said and said[0].value is not None:
        return said
    if METHODS[predictor.config.method.name].merges:
        predictor = replace(predictor, model=merged(predictor.model).eval())
    count = min(len(table), predictor.config.evaluate.answers)
    return predictor([predictor.answer.without_truth(table.row(index)) for index in range(count)])


def _side_by_side(
    table: Table, answer: Answer, tuned: Sequence[Prediction], base: Sequence[Prediction]
) -> list[dict[str, Any]]:
    """Both models' answers to the same rows."""
    return [
        {
            "line": table.lines[index],
            "prompt": _prompt(answer, table.row(index)),
            "truth": answer.texts(table.row(index))[1],
            "base": old.value,
            "tuned": new.value,
            "base_stopped": bool(old.scores["stopped"]),
            "tuned_stopped": bool(new.scores["stopped"]),
        }
        for index, (new, old) in enumerate(zip(tuned, base, strict=True))
    ]


def _prompt(answer: Answer, row: Row) -> Any:
    """What was asked, as turns of a conversation."""
    plain = [{"role": "user", "content": answer.texts(row)[0]}]
    return answer.without_truth(row).get("messages", plain)


def _write_predictions(
    folder: Path, table: Table, systems: Sequence[System], parts: Mapping[str, Sequence[str]]
) -> None:
    """One line per test row: what was asked for, what the tuned model said, and every baseline's word on it."""
    lines = []
    for index, p in enumerate(systems[0].predictions):
        line = {
            "id": table.columns["id"][index],
            "line": table.lines[index],
            "file": table.file(index),
            "group": table.columns["group"][index] if "group" in table.columns else table.columns["id"][index],
            "question": question_key(table.row(index)),
            "slices": {name: values[index] for name, values in parts.items()},
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
