"""``tuneproof check``: the data doctor alone, into a run directory of its own.

    found = check("reviews.csv", Config(), runs=Path("runs"), view=Quiet())
    found.verdict, found.checks[0].found          # "warnings", 133

The same doctor that ``tune`` runs, on the same rows. It opens a model only to read texts with its tokenizer and, for
labels, to compare them by its vectors; where no model is to be had it says so and looks at the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.config import Config
from tuneproof.device import machine, settle
from tuneproof.errors import Error
from tuneproof.pipeline.ready import (
    Pretrained,
    Ready,
    diagnose,
    embedder,
    given,
    instructed,
    pretrained,
    tokens_of,
    understood,
)
from tuneproof.pipeline.view import View
from tuneproof.pipeline.whole import created, located
from tuneproof.predict import Known
from tuneproof.prepare import Diagnosis, Examinable, Prepared, data_report, render_data, write_review
from tuneproof.prepare.export import write_rows
from tuneproof.prepare.sample import sample
from tuneproof.prepare.tokens import Encoded, encode
from tuneproof.run import Run
from tuneproof.tasks import Task, task_of
from tuneproof.tasks.readable import READABLE

TOKEN_ROWS = 50_000  # rows, chosen by hash, whose tokens are counted: more take longer than all the other checks


@dataclass(frozen=True, slots=True)
class Found:
    """What a check of a file ends with."""

    run: Run
    diagnosis: Diagnosis
    report: dict[str, Any]

    @property
    def verdict(self) -> str:
        """ "clean", "warnings" or "errors"."""
        return self.diagnosis.verdict

    @property
    def findings(self) -> list[Any]:
        """``records.Finding`` objects, check by check, the worst first."""
        return self.diagnosis.findings

    @property
    def page(self) -> Path:
        return self.run.data_page


def check(
    files: str | Sequence[str],
    config: Config,
    *,
    runs: Path,
    view: View,
    command: str = "",
    review: Path | None = None,
    fixed: Path | None = None,
) -> Found:
    """Examines the data; ``review`` receives the suspicious rows as a CSV to edit, ``fixed`` the rows as they end."""
    inputs, asked = located(files, config, view)
    settle(asked.train.threads or machine().cores)
    prepared = understood(inputs, asked, view, READABLE)
    if prepared.schema.task in READABLE:
        found, why_none, look = None, f"no model is tuned for {prepared.schema.task} yet", None
        answer: Examinable = READABLE[prepared.schema.task]
    else:
        settled = given(inputs)
        prepared, asked = instructed(prepared, asked, settled, view)
        this = task_of(prepared.schema)
        found, why_none = _model(this, asked, settled, view)
        look = embedder(this, prepared.schema, found, asked, view, Known()) if found is not None else None
        answer = this.answer
    diagnosis = diagnose(prepared, answer, look, asked, view, why_none)
    tokens = None
    if found is not None:
        tokens, encoded = _tokens(this, diagnosis.prepared, found, view)
        diagnosis = diagnosis.with_tokens(encoded)
    report = data_report(inputs.told, diagnosis.prepared, diagnosis.prepared.ledger, diagnosis, tokens, why_none)
    run = created(inputs, asked, runs, command or f"tuneproof check {' '.join(inputs.names)}")
    _write(run, diagnosis, report, tokens)
    if review is not None:
        write_review(diagnosis.findings, prepared.splits, review, diagnosis.prepared.splits)
    if fixed is not None:
        write_rows(diagnosis.prepared.splits, fixed)
    view.prepared(prepared.schema, diagnosis.prepared.ledger, tokens or {})
    view.checked(report)
    return Found(run, diagnosis, report)


def _model(this: Task, asked: Config, given: dict[str, Any], view: View) -> tuple[Pretrained | None, str]:
    """The model that a run would use; one that nobody named and that cannot be had is done without."""
    try:
        return pretrained(this, asked, given, view), ""
    except Error as error:
        if asked.model.name is not None:
            raise
        return None, f"no model was to be had: {error.message}"


def _tokens(this: Task, prepared: Prepared, found: Pretrained, view: View) -> tuple[dict[str, Any], Encoded]:
    """``tokens.json`` of the rows, or of a sample; nothing is refused for its length, it is counted."""
    splits = sample(prepared.splits, TOKEN_ROWS)
    rows = sum(len(table) for _, table in splits.items())
    view.say(f"Counting the tokens of {rows:,} rows")
    encoded = encode(splits, prepared.schema, this.answer, found.encoder, "count")
    ready = Ready(this, prepared.schema, encoded, found.encoder, found.facts, found.config, found.given)
    whole = sum(prepared.ledger.used.values())
    notes = [] if rows == whole else [f"counted on {rows:,} of {whole:,} rows, chosen by hash"]
    notes += [f"without {drop.rows:,} rows of {drop.source}: {drop.reason}" for drop in encoded.dropped]
    return {**tokens_of(ready), "note": "; ".join(notes)}, encoded


def _write(run: Run, diagnosis: Diagnosis, report: dict[str, Any], tokens: dict[str, Any] | None) -> None:
    prepared = diagnosis.prepared
    run.data.mkdir(exist_ok=True)
    if tokens is not None:
        run.write_json("data/tokens.json", tokens)
    run.write_json("data/report.json", report)
    run.write_findings(diagnosis.findings)
    run.write_text("data/data.html", render_data(report))
    run.write_data(prepared.splits, prepared.schema, prepared.ledger, prepared.manifest)
    run.mark("checked")
