"""The same training again, where somebody asked: with other seeds, or on parts of the rows.

    repeat(run, work, steps, encoded, view)     # again/seed-1/, again/seed-2/, again/rows-10/, ... inside the run

All share the prepared data and the plan of the run; each is trained, scores the run's own test rows, and leaves
``metrics.jsonl`` and ``result.json``. What is complete is skipped and what was begun goes on, so a resumed run ends
like one that was never stopped. What they say is made of the results by ``evaluate.repeated``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tuneproof.config import Config
from tuneproof.decide.recipe import total_steps
from tuneproof.engines import ENGINES
from tuneproof.evaluate.calibrate import calibrate, divided
from tuneproof.evaluate.repeated import FOLDER
from tuneproof.evaluate.score import scored_rows
from tuneproof.modalities import Example
from tuneproof.pipeline.view import View
from tuneproof.place import place
from tuneproof.predict import Predictor, open_model, predict_examples
from tuneproof.prepare.tokens import Encoded
from tuneproof.records import Job
from tuneproof.run import Run
from tuneproof.train.fit import Paused, Work, train

SHARES = (10, 25, 50)  # percent of the training rows; the run itself is 100
FEWEST_STEPS = 100  # of a training on few rows, unless the run itself has fewer: a pass over a tenth teaches nothing
LOOKS = 4  # validations at least


@dataclass(frozen=True, slots=True)
class Variation:
    """One more training."""

    name: str
    told: str
    config: Config
    rows: Sequence[int] | None  # of the training rows; None: all
    steps: int


def repeat(run: Run, work: Work, steps: int, encoded: Encoded, view: View) -> None:
    """Trains and scores every variation that was asked for and is not there yet; ``Paused`` as in training."""
    splits, examples = encoded.splits, encoded.examples
    wanted = list(variations(work, steps, splits.train.columns["id"]))
    chosen = scored_rows(splits.test, work.config.evaluate.test_rows)
    test = [examples["test"][i] for i in chosen]
    ids = [splits.test.columns["id"][i] for i in chosen]
    held, schema = splits.validation.columns["id"], work.schema
    _, spared = divided(held, examples["validation"], schema.choices, schema.unanswered)
    for number, one in enumerate(wanted, start=1):
        inner = Run(run.path / FOLDER / one.name)
        if (inner.path / "result.json").is_file():
            continue
        inner.path.mkdir(parents=True, exist_ok=True)
        view.say(f"Training again, {one.told} ({number} of {len(wanted)}).")
        _train(run, inner, _varied(work, one), one.steps, view)
        _score(inner, _varied(work, one), one.steps, spared, test, ids, view)


def variations(work: Work, steps: int, ids: Sequence[str]) -> Iterator[Variation]:
    """Other seeds first, then parts of the rows, each a part of the next."""
    config = work.config
    for seed in range(config.train.seed + 1, config.train.seed + config.train.seeds):
        yield Variation(f"seed-{seed}", f"with seed {seed}", config.replace({"train.seed": seed}), None, steps)
    if not config.evaluate.learning_curve:
        return
    ranked = sorted(range(len(ids)), key=lambda index: hashlib.sha256(f"curve {ids[index]}".encode()).digest())
    for share in SHARES:
        rows = sorted(ranked[: max(1, len(ids) * share // 100)])
        fewer = min(steps, max(total_steps(config, len(rows)), FEWEST_STEPS))
        often = {"train.validate_every": max(1, min(config.train.validate_every, fewer // LOOKS))}
        yield Variation(f"rows-{share}", f"on {share}% of the rows", config.replace(often), rows, fewer)


def _varied(work: Work, one: Variation) -> Work:
    rows = work.train if one.rows is None else [work.train[i] for i in one.rows]
    return dataclasses.replace(work, config=one.config, train=rows)


def _train(run: Run, inner: Run, work: Work, steps: int, view: View) -> None:
    if inner.model.is_dir():
        return
    try:
        for progress in ENGINES["local"].run(Job("train", lambda: train(inner, work, steps, view.say))):
            view.progress(progress)
    except Paused as paused:
        raise Paused(run.path, paused.exit_code - 128) from None


def _score(
    inner: Run,
    work: Work,
    steps: int,
    spared: Sequence[Example],
    test: Sequence[Example],
    ids: Sequence[str],
    view: View,
) -> None:
    """Per-item scores, at a temperature and by a threshold of its own; the weights are not kept."""
    model = open_model(work.answer, work.schema, work.config, work.base, inner.model)
    model.to(place(work.config.model.device))
    tuned = Predictor(model.eval(), work.answer, work.encoder, work.schema, work.config)
    tuned = calibrate(inner, tuned, spared, view.say)
    said = predict_examples(tuned.model, tuned.answer, tuned.encoder, test, work.config.evaluate.precision)
    inner.write_json(
        "result.json",
        {
            "seed": work.config.train.seed,
            "rows": len(work.train),
            "steps": steps,
            "ids": list(ids),
            "items": [[p.truth, p.value, dict(p.scores)] for p in said],
        },
    )
    inner.forget_checkpoints()
    shutil.rmtree(inner.model)
