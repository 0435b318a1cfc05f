"""What the doctor found as plain JSON: ``data/report.json``, which the data page and the run's page draw.

report = data_report("reviews.csv", prepared, ledger, diagnosis, tokens)
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from tuneproof.personal import masked
from tuneproof.prepare.doctor import Diagnosis
from tuneproof.prepare.stage import Prepared
from tuneproof.records import Ledger


def data_report(
    file: str,
    prepared: Prepared,
    ledger: Ledger,
    diagnosis: Diagnosis,
    tokens: Mapping[str, Any] | None,
    no_tokens: str = "",
) -> dict[str, Any]:
    """Everything a domain expert would look at; ``no_tokens`` says why tokens were not counted."""
    schema = prepared.schema
    return {
        "file": file,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "files": dict(ledger.rows_in),
        "notes": list(ledger.notes),
        "task": schema.task,
        "layout": schema.layout,
        "fields": dict(schema.fields),
        "reasons": list(schema.reasons),
        "splits": dict(ledger.used),
        "data_id": prepared.manifest["data_id"],
        "ledger": dataclasses.asdict(ledger),
        "tokens": tokens["splits"] if tokens is not None else None,
        "tokens_note": tokens.get("note", "") if tokens is not None else no_tokens,
        "training_view": [_masked(row) for row in tokens["view"]] if tokens is not None else [],
        "model": tokens["model"]["name"] if tokens is not None else None,
        "checks": [one.as_json() for one in diagnosis.checks],
        "verdict": diagnosis.verdict,
        "version": version("tuneproof"),
    }


def _masked(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the training view for people: no token ids, personal data masked."""
    pieces = [{**piece, "text": masked(piece["text"])} for piece in row["pieces"]]
    return {**row, "pieces": [{key: value for key, value in piece.items() if key != "ids"} for piece in pieces]}
