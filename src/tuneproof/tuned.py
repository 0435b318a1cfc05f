"""A finished run as Python users meet it.

run = tp.open("runs/reviews-7f3a")
run.predict(["arrived broken"])        # [{"label": "negative", "confidence": 0.97, ...}]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tuneproof.errors import DataError, RunError
from tuneproof.predict import Predictor
from tuneproof.run import Run, write_atomically


class Tuned:
    """Predictions and the proof."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def __repr__(self) -> str:
        return f"Tuned({str(self.run.path)!r})"

    @cached_property
    def predictor(self) -> Predictor:
        return Predictor.open(self.run)

    def predict(self, rows: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer per row: texts, or rows with the parts of the task (``text``; ``messages``)."""
        return [self.predictor.answer.show(prediction) for prediction in self.predictor(rows)]

    @property
    def scores(self) -> dict[str, Any]:
        """Metrics of the tuned model and of every baseline, with intervals."""
        return self.run.scores

    @property
    def report(self) -> Path:
        """The page."""
        return self.run.report

    @property
    def model(self) -> Path:
        """An ordinary transformers or peft folder."""
        return self.run.model


def predict_file(run: str, source: Path, output: Path | None) -> Iterator[str]:
    """One JSON line per row of ``source``, or, with ``output``, one line that says where they lie."""
    from tuneproof.prepare.read import read
    from tuneproof.tasks.layouts import Unusable

    tuned = Tuned(Run.open(run))
    predictor = tuned.predictor
    table = read(source, header=tuned.run.config.data.header, own=False)
    rows = []
    for index, row in enumerate(table.rows()):
        try:
            rows.append(predictor.answer.ask(row, predictor.schema))
        except Unusable as error:
            raise DataError(
                f"{source}, line {table.lines[index]}: {error.reason}.",
                "Every row needs the parts the model was tuned on.",
            ) from error
    lines = (
        json.dumps({"line": table.lines[index], **answer}, ensure_ascii=False)
        for index, answer in enumerate(tuned.predict(rows))
    )
    if output is None:
        yield from lines
        return
    write_atomically(output, "".join(line + "\n" for line in lines).encode("utf-8"))
    yield f"{len(rows):,} predictions in {output}"


class Conversation:
    """A dialogue with a tuned chat model; it remembers what was said."""

    def __init__(self, run: str) -> None:
        self.tuned = Tuned(Run.open(run))
        self.messages: list[dict[str, str]] = []
        if "answer" not in self.tuned.predictor.answer.shows:
            raise RunError(
                f"{run} holds a model for {self.tuned.run.schema.task}, which does not chat.",
                f"Use: tuneproof predict {run} --input FILE",
            )

    def reply(self, said: str) -> str:
        self.messages.append({"role": "user", "content": said})
        answer = str(self.tuned.predict([{"messages": self.messages}])[0]["answer"])
        self.messages.append({"role": "assistant", "content": answer})
        return answer
