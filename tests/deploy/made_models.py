"""Finished runs made by hand, small enough to register a thousand of them; no model in them can be opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tuneproof.config import build
from tuneproof.records import Ledger, Schema, Splits, Table
from tuneproof.run import Run


def made_run(root: Path, name: str, *, weights: bytes = b"weights", trained: Sequence[str] = ("one", "two")) -> Run:
    """``root/name``: scored, with ``weights`` as its model."""
    run = Run(root / name)
    run.path.mkdir(parents=True)
    run.write_json("run.json", {"state": "scored", "created": "2026-05-11", "file": "rows.csv"})
    model = {"name": "tiny", "path": str(root), "revision": "1", "licence": "MIT", "kind": "encoder"}
    config = build({}).replace({"method.name": "full", "model.name": "tiny"})
    run.write_plan({"config": config.model_dump(), "model": model})
    sides = [_table(texts, side) for side, texts in (("train", trained), ("validation", ["v"]), ("test", ["t", "u"]))]
    schema = Schema("text-classification", "text+label", {"text": "text", "label": "label"}, ("a", "b"), None, ())
    run.write_data(Splits(*sides), schema, Ledger({}, {}, ()), {"data_id": "d" * 64})
    run.model.mkdir()
    (run.model / "config.json").write_text("{}")
    (run.model / "tokenizer.json").write_text("{}")
    (run.model / "model.safetensors").write_bytes(weights)
    run.evaluation("test")
    system = {"kind": "tuned", "name": "the tuned model", "values": {"accuracy": 0.9}, "interval": [0.8, 0.95]}
    scores = {"primary": "accuracy", "n": 2, "systems": [system]}
    about = {"id": "test", "template": ""}
    run.write_json(
        "eval/test/report.json",
        {"headline": "It helped.", "evaluation": about, "scores": scores},
    )
    (run.evaluations / "test" / "predictions.jsonl").write_text(json.dumps({"id": "test-0"}) + "\n")
    return run


def _table(texts: Sequence[str], side: str) -> Table:
    ids = [f"{side}-{index}" for index in range(len(texts))]
    columns = {"id": ids, "text": list(texts), "label": ["ab"[index % 2] for index in range(len(texts))]}
    return Table(columns, list(range(2, 2 + len(texts))), "rows.csv")
