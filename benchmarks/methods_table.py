"""What each method costs, measured: trained weights, memory and time of a step, for the table of ``tuneproof methods``.

    python benchmarks/methods_table.py [--model minilm-l6] [--only lora vera] [--again]

Each method in a process of its own, forked from one that has loaded the libraries: sixteen made-up rows of 64 tokens,
77 classes, one warm-up step and three that count. Memory is the peak above what the process held before it opened the
model. A step's seconds are those of one core, processor time of one thread: who else uses the machine hardly matters.
Then, at the rates that the plan gives the method: the loss of 36 short questions on six topics, at first and after 36
steps of twelve; tests/methods/test_told.py holds that every method learns them. Results go to
``src/tuneproof/methods/measured.json`` after each method, with commit, versions and hardware; stopped and started
again, it goes on with those that are missing. 4-bit layers are measured where bitsandbytes is installed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from tuneproof import sources
from tuneproof.config import build
from tuneproof.device import settle
from tuneproof.errors import Error
from tuneproof.memory import Peak, peak
from tuneproof.methods import METHODS
from tuneproof.methods.parts import Parts
from tuneproof.modalities import MODALITIES, Example
from tuneproof.predict import open_model
from tuneproof.records import Schema
from tuneproof.tasks import TASKS
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import one_step
from tuneproof.train.optim import set_lr

RESULTS = Path(__file__).parents[1] / "src" / "tuneproof" / "methods" / "measured.json"
ROWS, TOKENS, CLASSES, STEPS, THREADS = 16, 64, 77, 3, 1
TOPICS = ("card", "transfer", "exchange rate", "account", "pin", "refund")
ASKED = ("what about my {}?", "i have a {} problem", "tell me of the {}", "is the {} fine?", "{} please", "no {} yet")
LEARNT, EACH, WARM = 36, 12, 6  # steps, rows of a step, steps in which the rate rises


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="minilm-l6")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--again", action="store_true", help="also the methods that have figures")
    asked = parser.parse_args()
    folder = sources.model(asked.model, say=print).path
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"about": None, "methods": {}}
    here = about(asked.model)
    found: dict[str, Any] = known["methods"] if same(known["about"], here) else {}
    for name in asked.only or METHODS:
        if name in found and not asked.again:
            continue
        context = multiprocessing.get_context("fork")  # no thread has been started yet
        ours, theirs = context.Pipe(duplex=False)
        child = context.Process(target=measure, args=(name, folder, theirs))
        child.start()
        found[name] = ours.recv() | {"commit": here["commit"]}
        child.join()
        print(f"{name:12} {json.dumps(found[name])}", flush=True)
        commits = ", ".join(sorted({one["commit"] for one in found.values()}))
        record = {"about": here | {"commit": commits}, "methods": {one: found[one] for one in METHODS if one in found}}
        RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def same(one: dict[str, Any] | None, other: dict[str, Any]) -> bool:
    """Whether figures of both can stand in one table."""
    return one is not None and all(one[name] == other[name] for name in ("model", "rows", "hardware", "versions"))


def measure(name: str, folder: Path, out: Any) -> None:
    settle(THREADS)
    task = TASKS["text-classification"]
    encoder = MODALITIES[task.modality](folder, TOKENS)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 20000, (ROWS, TOKENS), generator=draw).tolist()
    before = peak()
    try:
        found = cost(work(name, folder, [Example(row, label=n) for n, row in enumerate(ids)], CLASSES), before)
    except Error as error:
        out.send({"refused": error.message})
        return
    rows = [(asked.format(topic), n) for asked in ASKED for n, topic in enumerate(TOPICS)]
    examples = [encoder.encode(text, label=n) for text, n in rows]
    out.send(found | learnt(work(name, folder, examples, len(TOPICS))))


def work(name: str, folder: Path, examples: list[Example], classes: int) -> Work:
    """What training needs, at the rates that the plan gives the method (decide/recipe.py)."""
    config = build({"model": {"max_length": TOKENS, "precision": "fp32", "name": "m"}})
    task, factor = TASKS["text-classification"], METHODS[name].lr_factor
    width = AutoConfig.from_pretrained(folder).hidden_size
    values = {
        "method.name": name,
        "train.lr": task.answer.learning_rate(width)[0] * factor,
        "train.head_lr_factor": 10 / factor,
        "train.batch_size": ROWS,
        "train.accumulate": 1,
        "train.schedule": "constant",
        "evaluate.validation_rows": 1,
    }
    values |= {option: value for option, (value, _) in METHODS[name].settings(config, 6).items()}
    schema = Schema(task.name, "text+label", {}, tuple(f"class {n}" for n in range(classes)), None, ())
    encoder = MODALITIES[task.modality](folder, TOKENS)
    return Work(task.answer, schema, config.replace(values), folder, encoder, examples, examples)


def cost(work: Work, before: int) -> dict[str, Any]:
    state, running = assemble(work), job(work, 100)
    set_lr(state.optimizer, 1.0)
    one_step(state, running, [list(range(ROWS))])
    seconds, highest = [], 0
    for _ in range(STEPS):
        began = time.process_time()
        with Peak() as one:
            one_step(state, running, [list(range(ROWS))])
        seconds.append(time.process_time() - began)
        highest = max(highest, one.bytes)
    new = Parts.of(open_model(work.answer, work.schema, work.config, work.base, None)).new
    trained = {name: p.numel() for name, p in state.model.named_parameters() if p.requires_grad}
    return {
        "trained": sum(trained.values()),
        "new": sum(n for name, n in trained.items() if any(f"{one}." in name for one in new)),  # head, with any method
        "parameters": sum(p.numel() for p in state.model.parameters()),
        "mib": round((highest - before) / 2**20),
        "seconds": round(statistics.median(seconds), 3),
    }


def learnt(work: Work) -> dict[str, Any]:
    """Loss per row over the first pass and over the last."""
    state, running = assemble(work), job(work, 100)
    draw, losses = torch.Generator().manual_seed(0), []
    for step in range(LEARNT):
        if step % (len(work.train) // EACH) == 0:
            order = torch.randperm(len(work.train), generator=draw).tolist()
        set_lr(state.optimizer, min(1.0, (step + 1) / WARM))
        before = float(state.loss)
        one_step(state, running, [[order.pop() for _ in range(EACH)]])
        losses.append((float(state.loss) - before) / EACH)
    first, last = (sum(some) / len(some) for some in (losses[:3], losses[-3:]))
    return {"lr": work.config.train.lr, "first": round(first, 3), "last": round(last, 3)}


def about(model: str) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    import peft
    import transformers

    return {
        "model": model,
        "rows": f"{ROWS} rows of {TOKENS} tokens, {CLASSES} classes",
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "hardware": f"{os.cpu_count()} cores, {platform.machine()}, one of them used",
        "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}",
    }


if __name__ == "__main__":
    main()
