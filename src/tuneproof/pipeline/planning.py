"""The plan: rules, a few measured steps, and what the budget asks for; what the engine is handed.

plan = make_plan(ready, view)
plan["settings"]["train.lr"], plan["cost"]["memory_gib"]
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from peft import PeftModel
from torch.nn import Module

from tuneproof.compute import cast_once
from tuneproof.config import Config, build
from tuneproof.decide import Cost, Situation, Volume, decide, fit_budget, measure, price, refuse_if_too_large
from tuneproof.device import bf16_gain, joules, machine
from tuneproof.evaluate import divided
from tuneproof.memory import peak
from tuneproof.pipeline.ready import Ready
from tuneproof.pipeline.view import View
from tuneproof.place import GPU, device_of, place
from tuneproof.predict import Predictor, generation, predict_examples
from tuneproof.records import Setting
from tuneproof.run import Run
from tuneproof.stats.power import power_line
from tuneproof.tasks.classification import balance
from tuneproof.train.batches import epoch_steps, spared
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import one_step, training_mode

TRIED = 24  # answers at most that are written for the plan


def plan_stage(run: Run, ready: Ready, view: View) -> tuple[Work, int]:
    if not (run.path / "plan.json").is_file():
        with timed(run, "plan"):
            run.write_plan(make_plan(ready, view, run.asked["seconds"].get("prepare", 0.0)))
        run.mark("decided", peak_bytes=peak())
        view.planned(run.plan)
    made = run.plan
    return work_of(ready, build(made["config"])), made["cost"]["steps"]


def make_plan(ready: Ready, view: View, spent: float = 0.0) -> dict[str, Any]:
    """Rules, then a few measured steps, then what the budget asks for, of which ``spent`` seconds are gone."""
    began = time.monotonic()
    place(ready.config.model.device)  # a GPU that was asked for is there
    examples = ready.encoded.examples
    longest = max(len(example) for example in examples["train"])
    this = machine()
    situation = Situation(
        ready.task.answer,
        ready.facts,
        train_rows=len(examples["train"]),
        longest=longest,
        learnt=round(ready.encoded.counts["train"]["loss"]["p95"]),
        machine=this,
        bf16_gain=bf16_gain(),
        bf16_gain_gpu=bf16_gain(GPU) if this.gpu else 1.0,
        labels=len(ready.schema.choices),
    )
    ready = _balanced(ready)
    decided = decide(ready.config, situation, ready.given)
    view.say("Measuring a few training steps")
    cost, facts = _measured(ready, decided.config, longest)
    gc.collect()  # the measured model
    volume = Volume(
        rows=len(examples["train"]),
        test_rows=len(examples["test"]),
        test_tokens=sum(len(example) for example in examples["test"]) / len(examples["test"]),
        passes=2 + len(ready.task.answer.baselines),  # the tuned model reads training rows as well
        moved=ready.facts.kind == "decoder" and not ready.schema.labels,
        least_batch=_least_batch(ready),
        written="evaluate.answers" in ready.task.answer.options and ready.task.complete is not None,
        spent=spent + time.monotonic() - began,
    )
    tight = fit_budget(decided.config, cost, volume, ready.config.asked)
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
            **facts,
        },
        "power": power_line(test_rows) if ready.task.answer.proportion else "",
    }


def _balanced(ready: Ready) -> Ready:
    """The same with what rare labels count in the loss, for a task that asks and where nobody said it."""
    name = "train.class_weights"
    if name not in ready.task.answer.options or ready.config.get(name) is not None:
        return ready
    labels = Counter(example.label for example in ready.encoded.examples["train"])
    found = Setting(*balance(list(labels.values()), ready.schema.rare), "rule")
    return dataclasses.replace(
        ready, config=ready.config.replace({name: found.value}), given={**ready.given, name: found}
    )


def _measured(ready: Ready, config: Config, longest: int) -> tuple[Cost, dict[str, float]]:
    """A few real steps on a model that is thrown away afterwards; its size, and the share of tokens not computed."""
    estimated = refuse_if_too_large(ready.facts, config, longest, machine())
    work = work_of(ready, config)
    state = assemble(work)
    training_mode(state.model)  # it was opened without dropout, which takes memory and time
    order = epoch_steps(
        [len(example) for example in work.train],
        batch_size=config.train.batch_size,
        accumulate=config.train.accumulate,
        window=config.train.length_window,
        seed=config.train.seed,
        epoch=0,
    )
    running = job(work, len(order))

    def forward(rows: Any) -> None:
        predict_examples(
            state.model, work.answer, work.encoder, [work.train[row] for row in rows], config.evaluate.precision
        )
        training_mode(state.model)

    lengths = [len(example) for example in work.train]
    tried, all_ = _tried(ready, config)
    cost = measure(
        lambda step: one_step(state, running, step),
        forward,
        order,
        lengths,
        estimated,
        device_of(state.model),
        _least_batch(ready),
        _writing(state.model, ready, config, tried),
    )
    cost = dataclasses.replace(cost, write_seconds=cost.write_seconds * all_ / max(1, len(tried)))
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in state.model.parameters()]
    return cost, {
        "trained_parameters": sum(size for size, trains in sizes if trains),
        "all_parameters": sum(size for size, _ in sizes),
        "spared_tokens": round(spared(state.model, work.train, order), 3),
    }


def _least_batch(ready: Ready) -> int:
    """Rows to which a batch may shrink in a short budget: measured for tasks that write, and so allowed there."""
    return 2 if "evaluate.answers" in ready.task.answer.options else 0


def _tried(ready: Ready, config: Config) -> tuple[Sequence[int], int]:
    """Test rows whose answers are written to see what that costs, and how many there are on the page; none for a task
    without them."""
    count = min(len(ready.encoded.splits.test), config.evaluate.answers)
    if "evaluate.answers" not in ready.task.answer.options or not count:
        return (), 0
    return range(0, count, -(-count // TRIED)), count


def _writing(model: Module, ready: Ready, config: Config, tried: Sequence[int]) -> Callable[[int], int] | None:
    """Writes answers to those test rows, of at most so many tokens; None where there are none."""
    if not tried:
        return None
    answer, test = ready.task.answer, ready.encoded.splits.test
    writer = Predictor(model, answer, ready.encoder, ready.schema, config)
    rows = [answer.without_truth(test.row(index)) for index in tried]

    def write(tokens: int) -> int:  # as fast as with merged adapters: they are left aside
        aside = model.disable_adapter() if isinstance(model, PeftModel) else nullcontext()
        with cast_once(model, "fp32"), aside:
            said = writer.respond(rows, dataclasses.replace(generation(config), max_new_tokens=tokens))
        return max(1, *(one.tokens_out for one in said))

    return write


def work_of(ready: Ready, config: Config) -> Work:
    examples = ready.encoded.examples
    base = Path(ready.facts.path)
    validation, _ = divided(ready.encoded.splits.validation.columns["id"], examples["validation"], ready.schema.choices)
    answer = ready.task.answer.weighing(config.train.class_weights, examples["train"])
    return Work(answer, ready.schema, config, base, ready.encoder, examples["train"], validation)


@contextmanager
def timed(run: Run, stage: str) -> Iterator[None]:
    """Adds the seconds (and joules) of the block to those that the stage took in earlier attempts."""
    began, used = time.monotonic(), joules()
    try:
        yield
    finally:
        seconds = dict(run.asked["seconds"])
        seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - began, 1)
        run.mark(run.asked["state"], seconds=seconds, **_energy(run, stage, used))


def _energy(run: Run, stage: str, before: float | None) -> dict[str, dict[str, float]]:
    """Joules of each stage, where the processors tell; a counter that began anew counts from there."""
    after = joules()
    if before is None or after is None:
        return {}
    kept = dict(run.asked.get("joules", {}))
    kept[stage] = round(kept.get(stage, 0.0) + (after - before if after >= before else after), 1)
    return {"joules": kept}
