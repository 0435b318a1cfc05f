"""The stages in order, and what is handed from one to the next; the only module that knows them all.

    run = tune("reviews.csv", Config(), runs=Path("runs"), view=Quiet())
    resume("runs/reviews-7f3a", view=Quiet())          # the same call, on what is there already

Each stage is skipped when its artifact is complete, so resuming is running the same function again.
"""

from __future__ import annotations

import dataclasses
import gc
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from tuneproof import sources
from tuneproof.choose import choose, facts
from tuneproof.config import Config, build
from tuneproof.decide import (
    Cost,
    Situation,
    Volume,
    check_model,
    decide,
    fit_budget,
    length_limit,
    measure,
    price,
    refuse_if_too_large,
)
from tuneproof.device import bf16_gain, machine, settle
from tuneproof.engines import ENGINES
from tuneproof.errors import RunError
from tuneproof.evaluate import Subject, evaluate
from tuneproof.memory import peak
from tuneproof.methods import method
from tuneproof.modalities import MODALITIES, Encoder
from tuneproof.predict import predict_examples
from tuneproof.prepare import Prepared, prepare
from tuneproof.prepare.ledger import changed
from tuneproof.prepare.tokens import Encoded, encode
from tuneproof.records import Job, Ledger, ModelFacts, Progress, Schema, Setting
from tuneproof.run import Run
from tuneproof.stats.power import power_line
from tuneproof.tasks import TASKS, Task, task
from tuneproof.train.batches import epoch_steps
from tuneproof.train.fit import Work, assemble, job, train
from tuneproof.train.loop import one_step

UNTOLD = ("train", "training", "data", "dataset")  # names of files that say less than their folder's


class View(Protocol):
    """Whoever looks at the run while it works."""

    def say(self, line: str) -> None: ...

    def prepared(self, schema: Schema, ledger: Ledger, tokens: Mapping[str, Any]) -> None: ...

    def planned(self, plan: Mapping[str, Any]) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def scored(self, report: Mapping[str, Any]) -> None: ...


class Quiet:
    """Nobody looks."""

    def say(self, line: str) -> None:
        pass

    def prepared(self, schema: Schema, ledger: Ledger, tokens: Mapping[str, Any]) -> None:
        pass

    def planned(self, plan: Mapping[str, Any]) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass

    def scored(self, report: Mapping[str, Any]) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Ready:
    """Data, model and encoder, ready to be planned and trained on."""

    task: Task
    schema: Schema
    encoded: Encoded
    encoder: Encoder
    facts: ModelFacts
    config: Config
    given: Mapping[str, Setting]  # what was decided about the model already


def tune(file: str, config: Config, *, runs: Path, view: View, command: str = "") -> Run:
    """All stages on ``file`` into a new run directory; the run, scored. Errors are those of errors.py."""
    path, asked, hints = _located(file, config, view)
    _check_methods(asked)
    run = Run.create(
        runs,
        path.absolute().parent.name if path.stem in UNTOLD else path.stem,
        {
            "file": str(file),
            "path": str(path),
            "config": asked.model_dump(exclude_unset=True),
            "hints": hints,
            "command": command or f"tuneproof tune {file}",
            "tuneproof": version("tuneproof"),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("torch", "transformers", "peft", "polars")},
            "seconds": {},
        },
    )
    view.say(f"Run {run.path}")
    with run.locked():
        return _stages(run, view)


def resume(path: str | Path, *, view: View) -> Run:
    """Continues a run where it stopped; RunError when its data file was changed since."""
    run = Run.open(path)
    with run.locked():
        if run.asked["state"] == "scored":
            view.say(f"{run.path} is finished: its page is {run.report}")
            return run
        _check_unchanged(run)
        return _stages(run, view)


def plan(file: str, config: Config, *, view: View) -> dict[str, Any]:
    """What ``tune`` would do, with its cost measured; nothing is trained or kept."""
    path, asked, hints = _located(file, config, view)
    _check_methods(asked)
    settle(asked.train.threads or machine().cores)
    ready, prepared = _prepared(file, path, asked, hints, view)
    view.prepared(ready.schema, _with_drops(prepared, ready.encoded), _tokens(ready))
    made = _plan(ready, view)
    view.planned(made)
    return made


def _stages(run: Run, view: View) -> Run:
    asked = build(run.asked["config"])
    settle(asked.train.threads or machine().cores)
    ready = _prepare_stage(run, asked, view)
    work, steps = _plan_stage(run, ready, view)
    if not run.model.is_dir():
        with _timed(run, "train"):
            for progress in ENGINES["local"].run(Job("train", lambda: train(run, work, steps, view.say))):
                view.progress(progress)
        run.mark("trained", peak_bytes=max(peak(), run.asked.get("peak_bytes", 0)))
    examples = {name: ready.encoded.examples[name] for name in ("train", "test")}
    report = evaluate(
        run,
        Subject(work.config, ready.schema, ready.encoded.splits.train, ready.encoded.splits.test, examples),
        view.say,
    )
    run.mark("scored")
    run.forget_checkpoints()
    view.scored(report)
    return run


# -- prepare


def _prepare_stage(run: Run, asked: Config, view: View) -> Ready:
    """Prepared data from the run directory, or made and written there."""
    if run.has_data:
        return _reopened(run, asked)
    with _timed(run, "prepare"):
        ready, prepared = _prepared(run.asked["file"], Path(run.asked["path"]), asked, run.asked["hints"], view)
        ledger = _with_drops(prepared, ready.encoded)
        run.data.mkdir(exist_ok=True)
        run.write_json("data/tokens.json", _tokens(ready))
        run.write_data(ready.encoded.splits, ready.schema, ledger, prepared.manifest)
    run.mark("prepared")
    view.prepared(ready.schema, ledger, _tokens(ready))
    return ready


def _prepared(file: str, path: Path, asked: Config, hints: Mapping[str, str], view: View) -> tuple[Ready, Prepared]:
    view.say(f"Reading {file}")
    prepared = prepare(path, asked.data, {name: row.answer for name, row in TASKS.items()}, file)
    this = task(prepared.schema.task)
    given = {name: Setting(value, f"{file} says so of itself", "rule") for name, value in hints.items()}
    if asked.model.name is None:
        given["model.name"] = Setting(*choose(this.name, this.answer.kinds, machine()), "rule")
        asked = asked.replace({"model.name": given["model.name"].value})
    found = facts(sources.model(asked.model.name, say=view.say))
    if asked.model.max_length is None:
        given["model.max_length"] = Setting(*length_limit(found, this.answer), "rule")
        asked = asked.replace({"model.max_length": given["model.max_length"].value})
    check_model(asked, found, this.answer)
    encoder = MODALITIES[this.modality](Path(found.path), asked.model.max_length)
    view.say(f"Counting the tokens of {sum(len(table) for _, table in prepared.splits.items()):,} rows")
    encoded = encode(prepared.splits, prepared.schema, this.answer, encoder, asked.data.too_long)
    return Ready(this, prepared.schema, encoded, encoder, found, asked, given), prepared


def _reopened(run: Run, asked: Config) -> Ready:
    """The same from the artifacts: rows that were dropped are gone from the tables already."""
    kept = run.read_json("data/tokens.json")
    found = ModelFacts(**kept["model"])
    this = task(run.schema.task)
    source = sources.model(found.name)
    if source.revision != found.revision:
        raise RunError(
            f"The model {found.name} is not the one that {run.path} began with: revision {source.revision[:12]}, "
            f"then {found.revision[:12]}.",
            "Start a new run.",
        )
    given = {name: Setting(**setting) for name, setting in kept["given"].items()}
    asked = asked.replace({name: setting.value for name, setting in given.items()})
    encoder = MODALITIES[this.modality](source.path, asked.model.max_length)
    encoded = encode(run.splits, run.schema, this.answer, encoder, "cut")
    return Ready(this, run.schema, encoded, encoder, found, asked, given)


def _with_drops(prepared: Prepared, encoded: Encoded) -> Ledger:
    """The ledger after rows were dropped for their length; it still has to close."""
    used = {name: len(table) for name, table in encoded.splits.items()}
    ledger = dataclasses.replace(prepared.ledger, used=used, dropped=(*prepared.ledger.dropped, *encoded.dropped))
    assert ledger.closes(), "rows in = rows used + rows dropped"
    return ledger


def _tokens(ready: Ready) -> dict[str, Any]:
    table, examples = ready.encoded.splits.train, ready.encoded.examples["train"]
    longest = max(range(len(examples)), key=lambda index: len(examples[index]))
    view = []
    for title, index in (("The first row", 0), ("The longest row", longest)):
        pieces = ready.task.answer.view(table.row(index), ready.encoder)
        if pieces:
            shown = [{"text": text, "loss": learnt} for text, learnt in pieces]
            view.append({"title": f"{title} (line {table.lines[index]})", "pieces": shown})
    return {
        "model": dataclasses.asdict(ready.facts),
        "given": {name: dataclasses.asdict(setting) for name, setting in ready.given.items()},
        "splits": dict(ready.encoded.counts),
        "view": view,
    }


# -- decide


def _plan_stage(run: Run, ready: Ready, view: View) -> tuple[Work, int]:
    if not (run.path / "plan.json").is_file():
        with _timed(run, "plan"):
            run.write_plan(_plan(ready, view))
        run.mark("decided", peak_bytes=peak())
        view.planned(run.plan)
    made = run.plan
    return _work(ready, build(made["config"])), made["cost"]["steps"]


def _plan(ready: Ready, view: View) -> dict[str, Any]:
    """Rules, then a few measured steps, then what the budget asks for."""
    examples = ready.encoded.examples
    longest = max(len(example) for example in examples["train"])
    situation = Situation(
        ready.task.answer,
        ready.facts,
        train_rows=len(examples["train"]),
        longest=longest,
        learnt=round(ready.encoded.counts["train"]["loss"]["p95"]),
        machine=machine(),
        bf16_gain=bf16_gain(),
    )
    decided = decide(ready.config, situation, ready.given)
    view.say("Measuring a few training steps")
    cost, trained, total = _measured(ready, decided.config, longest)
    gc.collect()  # the measured model
    volume = Volume(
        rows=len(examples["train"]),
        test_rows=len(examples["test"]),
        test_tokens=sum(len(example) for example in examples["test"]) / len(examples["test"]),
        passes=1 + len(ready.task.answer.baselines),
    )
    tight = fit_budget(decided.config, cost, volume)
    if tight:
        budgeted = ready.config.replace({name: setting.value for name, setting in tight.items()})
        decided = decide(budgeted, situation, {**ready.given, **tight})
    test_rows = min(volume.test_rows, decided.config.evaluate.test_rows or volume.test_rows)
    return {
        "config": decided.config.model_dump(exclude_none=True),
        "settings": {name: dataclasses.asdict(setting) for name, setting in sorted(decided.settings.items())},
        "model": dataclasses.asdict(ready.facts),
        "cost": {
            **price(decided.config, cost, volume),
            **dataclasses.asdict(cost),
            "trained_parameters": trained,
            "all_parameters": total,
        },
        "power": power_line(test_rows) if ready.task.answer.higher_is_better else "",
    }


def _measured(ready: Ready, config: Config, longest: int) -> tuple[Cost, int, int]:
    """A few real steps on a model that is thrown away afterwards."""
    estimated = refuse_if_too_large(ready.facts, config, longest, machine())
    work = _work(ready, config)
    state = assemble(work)
    order = epoch_steps(
        [len(example) for example in work.train],
        batch_size=config.train.batch_size,
        accumulate=config.train.accumulate,
        seed=config.train.seed,
        epoch=0,
    )
    running = job(work, len(order))

    def forward(rows: Any) -> None:
        predict_examples(
            state.model, work.answer, work.encoder, [work.train[row] for row in rows], config.evaluate.precision
        )

    lengths = [len(example) for example in work.train]
    cost = measure(lambda step: one_step(state, running, step), forward, order, lengths, estimated)
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in state.model.parameters()]
    return cost, sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)


def _work(ready: Ready, config: Config) -> Work:
    examples = ready.encoded.examples
    base = Path(ready.facts.path)
    return Work(ready.task.answer, ready.schema, config, base, ready.encoder, examples["train"], examples["validation"])


# -- what was asked


def _located(file: str, config: Config, view: View) -> tuple[Path, Config, dict[str, str]]:
    """The data file on this disk; what its source knows of its columns fills in what nobody said."""
    source = sources.data(file, say=view.say)
    hints = {f"data.{part}": value for part, value in source.hints.items() if f"data.{part}" not in config.asked}
    return source.path, config.replace(hints), hints


def _check_methods(asked: Config) -> None:
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


@contextmanager
def _timed(run: Run, stage: str) -> Iterator[None]:
    """Adds the seconds of the block to those that the stage took in earlier attempts."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds = dict(run.asked["seconds"])
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - began, 1)
        run.mark(run.asked["state"], seconds=seconds)
