"""All stages in order: tune, resume, plan.

    run = tune("reviews.csv", Config(), runs=Path("runs"), view=Quiet())
    resume("runs/reviews-7f3a", view=Quiet())          # the same call, on what is there already

Each stage is skipped when its artifact is complete, so resuming is running the same function again.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuneproof import sources
from tuneproof.config import Config, build
from tuneproof.device import machine, settle
from tuneproof.engines import ENGINES
from tuneproof.errors import Error, RunError
from tuneproof.evaluate import Document, Subject, calibration_rows, divided, evaluate, own
from tuneproof.memory import peak
from tuneproof.methods import method
from tuneproof.pipeline.planning import make_plan, plan_stage, timed
from tuneproof.pipeline.ready import Inputs, Made, Ready, make, opponent, reopened
from tuneproof.pipeline.repeats import repeat
from tuneproof.pipeline.view import View
from tuneproof.predict import Known
from tuneproof.prepare import render_data
from tuneproof.prepare.ledger import changed
from tuneproof.prepare.mixed import once
from tuneproof.prepare.read import read
from tuneproof.records import Job, ModelFacts
from tuneproof.run import Run
from tuneproof.tasks import task
from tuneproof.train.fit import train

UNTOLD = ("train", "training", "data", "dataset")  # names of files that say less than their folder's


def tune(files: str | Sequence[str], config: Config, *, runs: Path, view: View, command: str = "") -> Run:
    """All stages on the data file (or files of one layout) into a new run directory; the run, scored.

    Errors are those of errors.py; a file that is refused leaves no directory behind.
    """
    inputs, asked = located(files, config, view)
    run = created(inputs, asked, runs, command or f"tuneproof tune {' '.join(inputs.names)}")
    view.say(f"Run {run.path}")
    try:
        with run.locked():
            return _stages(run, view)
    except Error:
        if not run.has_data:
            shutil.rmtree(run.path)
        raise


def resume(path: str | Path, *, view: View) -> Run:
    """Continues a run where it stopped; RunError when its data file was changed since."""
    run = Run.open(path)
    with run.locked():
        if run.asked["state"] == "scored":
            run.forget_checkpoints()  # a process that ended just before it could
            view.say(f"{run.path} is finished: its page is {run.report}")
            return run
        if run.asked["state"] == "checked":
            raise RunError(f"{run.path} is a check of data, which is finished.", f"Its page: {run.data_page}")
        _check_unchanged(run)
        return _stages(run, view)


def plan(files: str | Sequence[str], config: Config, *, view: View) -> dict[str, Any]:
    """What ``tune`` would do, with its cost measured; nothing is trained or kept."""
    inputs, asked = located(files, config, view)
    settle(asked.train.threads or machine().cores)
    made = make(inputs, asked, view)
    told(made, view)
    planned = make_plan(made.ready, view)
    view.planned(planned)
    return planned


def _stages(run: Run, view: View) -> Run:
    asked = build(run.asked["config"])
    settle(asked.train.threads or machine().cores)
    retained = own(read(Path(asked.evaluate.retain))) if asked.evaluate.retain else []
    asks = opponent(asked, view)
    ready = _prepare_stage(run, asked, view)
    work, steps = plan_stage(run, ready, view)
    if not run.model.is_dir():
        with timed(run, "train"):
            for progress in ENGINES["local"].run(Job("train", lambda: train(run, work, steps, view.say))):
                view.progress(progress)
        run.mark("trained", peak_bytes=max(peak(), run.asked.get("peak_bytes", 0)))
    if work.config.train.seeds > 1 or work.config.evaluate.learning_curve:
        with timed(run, "again"):
            repeat(run, work, steps, ready.encoded, view)
    report = evaluate(run, _subject(run, ready, work.config, retained, asks), view.say)
    run.mark("scored")
    run.forget_checkpoints()
    view.scored(report)
    return run


def _subject(run: Run, ready: Ready, config: Config, retained: Sequence[Document], asks: ModelFacts | None) -> Subject:
    splits, examples = ready.encoded.splits, ready.encoded.examples
    ids, schema = splits.validation.columns["id"], ready.schema
    _, spared = divided(ids, examples["validation"], schema.choices, schema.unanswered)
    rows = once(splits.train.columns["id"])
    return Subject(
        config,
        ready.schema,
        splits.train.take(rows),
        splits.test,
        {"train": [examples["train"][row] for row in rows], "test": examples["test"]},
        spared,
        splits.validation.take(calibration_rows(ids)) if schema.choices else None,
        retained,
        splits.validation,
        opponent=asks,
        known=Known.read(run.checkpoints),
    )


def _prepare_stage(run: Run, asked: Config, view: View) -> Ready:
    """Prepared data from the run directory, or made and written there."""
    if run.has_data:
        return reopened(run, asked)
    with timed(run, "prepare"):
        kept = run.asked
        inputs = Inputs(tuple(kept["files"]), tuple(Path(path) for path in kept["paths"]), kept["hints"])
        made = make(inputs, asked, view)
        if asked.check.personal_data != "fix":  # vectors and keys are those of the texts as they were
            made.known.write(run.checkpoints)
        write_data(run, made)
    run.mark("prepared")
    told(made, view)
    return made.ready


def write_data(run: Run, made: Made) -> None:
    """What prepare leaves in ``data/``, the manifest last."""
    run.data.mkdir(exist_ok=True)
    run.write_json("data/tokens.json", made.tokens)
    run.write_json("data/report.json", made.report)
    run.write_findings(made.diagnosis.findings)
    run.write_text("data/data.html", render_data(made.report))
    run.write_data(made.ready.encoded.splits, made.ready.schema, made.ledger, made.prepared.manifest)


def told(made: Made, view: View) -> None:
    view.prepared(made.ready.schema, made.ledger, made.tokens)
    view.checked(made.report)


# -- what was asked


def located(files: str | Sequence[str], config: Config, view: View) -> tuple[Inputs, Config]:
    """The data files on this disk; what their source knows of their columns fills in what nobody said."""
    names = (files,) if isinstance(files, str) else tuple(files)
    found = [sources.data(name, say=view.say) for name in names]
    hints = {
        f"data.{part}": value
        for source in found
        for part, value in source.hints.items()
        if f"data.{part}" not in config.asked
    }
    if config.data.test is not None and sources.is_fetched(config.data.test):
        hints["data.test"] = str(sources.data(config.data.test, say=view.say).path)
    _check_names(config)
    return Inputs(names, tuple(source.path for source in found), hints), config.replace(hints)


def created(inputs: Inputs, asked: Config, runs: Path, command: str) -> Run:
    """A new run directory that remembers what was asked."""
    first = inputs.paths[0]
    return Run.create(
        runs,
        first.absolute().parent.name if first.stem in UNTOLD else first.stem,
        {
            "file": inputs.told,
            "files": list(inputs.names),
            "paths": [str(path) for path in inputs.paths],
            "config": asked.model_dump(exclude_unset=True),
            "hints": dict(inputs.hints),
            "command": command,
            "tuneproof": version("tuneproof"),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("torch", "transformers", "peft", "polars")},
            "seconds": {},
        },
    )


def _check_names(asked: Config) -> None:
    """Names that can be checked before a file is read, are."""
    if asked.method.name is not None:
        method(asked.method.name)
    if asked.data.task is not None:
        task(asked.data.task)


def _check_unchanged(run: Run) -> None:
    """RunError when a data file is there but is not the one that the run began with."""
    if not run.has_data:
        return
    for name in changed(run.manifest):
        if Path(name).exists():  # one that is gone is not needed: its rows are in the run directory
            raise RunError(f"{name} was changed since {run.path} began.", "Put the old file back, or start a new run.")
