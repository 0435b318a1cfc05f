"""Scored run directories made by hand, so that what two runs said is exactly what a test wants it to be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuneproof.evaluate.leaks import question_key
from tuneproof.records import Ledger, Schema, Splits, Table
from tuneproof.run import Run
from tuneproof.tasks import task_of

LABELS = ("a", "b", "c")


def table(texts: Sequence[str], labels: Sequence[str], prefix: str) -> Table:
    ids = [f"{prefix}-{index}" for index in range(len(texts))]
    return Table({"id": ids, "text": list(texts), "label": list(labels)}, list(range(2, 2 + len(texts))), "rows.csv")


def line(id: str, text: str, truth: str, said: str, **more: Any) -> dict[str, Any]:
    """A line of predictions.jsonl; its probability of the answer is .9."""
    right = float(truth == said)
    scores = {"correct": right, "nll": 0.105 if right else 2.996, "brier": 0.02 if right else 1.62}
    always = {"pred": "a", "correct": float(truth == "a")}
    return {
        "id": id,
        "line": 2,
        "group": id,
        "question": question_key({"text": text}),
        "slices": {},
        "y": truth,
        "pred": said,
        "conf": 0.9,
        "scores": scores,
        "baselines": {"always the most frequent label": always, "linear head on the untouched model": always},
        **more,
    }


def make_run(
    root: Path,
    name: str,
    lines: Sequence[Mapping[str, Any]],
    *,
    trained: Sequence[str] = ("one", "two"),
    labels: tuple[str, ...] = LABELS,
    task: str = "text-classification",
    template: str = "",
    evaluation: str = "test",
) -> Path:
    """``root/name`` with these predictions; ``trained`` are the texts of its training rows."""
    run = Run(root / name)
    run.path.mkdir(parents=True)
    run.write_json("run.json", {"state": "scored", "created": "2026-05-11", "file": "rows.csv"})
    known = [labels[index % len(labels)] if labels else "" for index in range(len(trained))]
    train, rest = table(trained, known, "train"), table(["three"], [labels[0] if labels else ""], "rest")
    schema = Schema(task, "text+label", {"text": "text", "label": "label"}, labels, None, ())
    run.write_data(Splits(train, rest, rest), schema, Ledger({}, {}, ()), {})
    folder = run.evaluation(evaluation)
    (folder / "predictions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    primary = task_of(schema).answer.primary
    about = {"id": evaluation, "template": template}
    run.write_json(f"eval/{evaluation}/report.json", {"evaluation": about, "scores": {"primary": primary}})
    return run.path


def answered(right: Sequence[int], *, group: int = 1, **more: Any) -> list[dict[str, Any]]:
    """Rows whose truths go round the labels, answered rightly (1) or with the next label (0)."""
    found = []
    for index, hit in enumerate(right):
        truth = LABELS[index % 3]
        said = truth if hit else LABELS[(index + 1) % 3]
        found.append(line(f"id-{index}", f"question {index}", truth, said, **more))
        if group > 1:
            found[-1]["group"] = f"group-{index // group}"
    return found
