"""What the plan will cost, from a few measured steps on real rows, and how to stay within a budget.

    cost = measure(step, forward, steps, lengths, estimated)
    price(config, cost, volume)        # {"steps": 1240, "train_minutes": 3.1, ...}

The caller hands over the step as a function: this stage knows nothing of training.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.config import DIVERGENCE_ROWS, DOCUMENT_TOKENS, FEWEST_DOCUMENTS, Config
from tuneproof.decide.recipe import GIB, memory_of, step_bytes, total_steps
from tuneproof.device import Machine
from tuneproof.errors import ResourceError
from tuneproof.memory import Peak
from tuneproof.methods import METHODS
from tuneproof.records import ModelFacts, Setting

STEPS = 3  # measured, after one that warms up
WRITTEN = 12  # tokens that are written to see how long one takes
# Shares of a budget of minutes, less what is spent already and what written answers take: nobody wants those cut short.
TRAIN_SHARE = 0.55  # that training and its validations may take
SCORE_SHARE = 0.17  # that scoring of the test rows may take; the rest is loading, baselines, saving and slack
RETAIN_SHARE = 0.08  # that reading general documents may take, to see what was forgotten
LEAST = 0.4  # of the budget that stays for all else, however long answers may become
PARTS = 0.85  # of a training that 10, 25 and 50% of the rows take together
# Steps that a budget should allow before more rows share one. SmolLM2-135M with lora on medquad_instruct, some 42,000
# tokens in batches of 8, 4 and 2 rows: 26, 52 and 103 steps, 2.048, 1.996 and 1.944 nats per answer token.
STEPS_WANTED = 150
WRITERS = 2  # models that write answers: the tuned one and the untouched one


@dataclass(frozen=True, slots=True)
class Cost:
    """Measured on this machine, for this plan."""

    row_seconds: float  # one row more in a step, on average over an epoch
    token_seconds: float  # one token through training
    forward_seconds: float  # one token through prediction
    peak_bytes: int  # resident memory of the step with the largest micro-batch
    estimated_bytes: int  # the same by arithmetic, before the model was loaded
    update_seconds: float = 0.0  # of a step, whatever its rows
    write_seconds: float = 0.0  # one more token of the answers that the page shows, written side by side

    def step(self, rows: int) -> float:
        """Seconds of an update of the weights by so many rows."""
        return self.update_seconds + rows * self.row_seconds


@dataclass(frozen=True, slots=True)
class Volume:
    """How much there is to do."""

    rows: int  # to train on
    test_rows: int
    test_tokens: float  # mean per test row
    passes: int  # models that score the test rows
    moved: bool = False  # whether both models read test rows once more, to see how far the tuned one moved
    least_batch: int = 0  # rows to which a batch may shrink where time allows few steps; 0: it may not
    written: bool = False  # whether each scored row is answered in writing, and not only those on the page
    spent: float = 0.0  # seconds that preparing and measuring have taken


def refuse_if_too_large(facts: ModelFacts, config: Config, longest: int, machine: Machine) -> int:
    """Arithmetic before anything is loaded: bytes of a step, or ResourceError when this machine has not got them."""
    rows = -(-config.train.batch_size // config.train.accumulate)
    needed = step_bytes(config, facts, rows, longest)
    there, free = memory_of(config, machine)
    if needed > free:
        ways = [f"--set train.accumulate={config.train.batch_size}"] if rows > 1 else []
        ways += ["a smaller --set model.max_length"]
        ways += ["--method lora"] if METHODS[config.method.name].trained_share > METHODS["lora"].trained_share else []
        raise ResourceError(
            f"A training step of {facts.name} needs about {needed / GIB:.1f} GiB of {there}; "
            f"{free / GIB:.1f} GiB are free.",
            f"Try {', '.join(ways)}, or a smaller --model.",
        )
    return needed


def measure(
    step: Callable[[Sequence[Sequence[int]]], None],
    forward: Callable[[Sequence[int]], None],
    steps: Sequence[Sequence[Sequence[int]]],
    lengths: Sequence[int],
    estimated: int,
    device: Any = None,
    least: int = 0,
    write: Callable[[int], int] | None = None,
) -> Cost:
    """Runs ``step`` once on the micro-batch that is largest (memory, warm-up), then on some ordinary ones (time).

    Where a step may shrink to ``least`` rows, such steps are run as well: what does not shrink with them is told apart.
    ``write`` makes the answers of the page, of at most so many tokens, and tells how many the longest has; None
    where there are none.
    """
    tokens = [sum(lengths[row] for micro in each for row in micro) for each in steps]
    with Peak(device) as high:
        step(max(steps, key=lambda one: max(_padded(micro, lengths) for micro in one)))
    tried = steps[:STEPS]
    took = _seconds(step, tried, device)
    rows = [row for micro in steps[0] for row in micro]
    with Peak(device) as pass_:
        forward(rows)
    seconds = pass_.seconds / max(1, sum(lengths[row] for row in rows))
    update = 0.0
    if least:
        few = [[each[0][:least]] for each in tried]
        shares = [sum(lengths[row] for row in each[0]) / all_ for each, all_ in zip(few, tokens, strict=False)]
        update = statistics.median(
            max(0.0, small - share * whole) / (1 - share) if share < 1 else 0.0
            for small, whole, share in zip(_seconds(step, few, device), took, shares, strict=True)
        )
    rate = statistics.median(
        max(0.0, whole - update) / max(1, count) for whole, count in zip(took, tokens, strict=False)
    )
    written = 0.0 if write is None else _each_token(write)
    # A step's cost follows its tokens, and rows differ widely in length: the mean row, at the measured rate.
    return Cost(rate * statistics.mean(lengths), rate, seconds, high.bytes, estimated, update, written)


def _padded(micro: Sequence[int], lengths: Sequence[int]) -> int:
    """Tokens of a micro-batch, each row as long as its longest."""
    return len(micro) * max(lengths[row] for row in micro)


def _seconds(
    step: Callable[[Sequence[Sequence[int]]], None], steps: Sequence[Sequence[Sequence[int]]], device: Any
) -> list[float]:
    found = []
    for one in steps:
        with Peak(device) as took:
            step(one)
        found.append(took.seconds)
    return found


def _each_token(write: Callable[[int], int]) -> float:
    """Seconds of one more token, reading the prompts left aside."""
    seconds, tokens = [], []
    for count in (1, 1 + WRITTEN):
        with Peak() as one:
            tokens.append(write(count))
        seconds.append(one.seconds)
    return max(0.0, seconds[1] - seconds[0]) / max(1, tokens[1] - tokens[0])


def fit_budget(config: Config, cost: Cost, volume: Volume, asked: frozenset[str] = frozenset()) -> dict[str, Setting]:
    """Settings that keep the whole run within ``train.minutes``: fewer epochs, scored rows, documents; or nothing.

    ``asked`` are options that somebody set on purpose: how many documents are read is theirs to say.
    """
    minutes = config.train.minutes
    if minutes is None:
        return {}
    found: dict[str, Setting] = {}
    seconds = max(LEAST * 60 * minutes, 60 * minutes - volume.spent - _aside(config, cost, volume))
    time = TRAIN_SHARE * seconds / (1.1 * trainings(config))  # a tenth for validation
    steps, batch = total_steps(config, volume.rows), config.train.batch_size
    if time < steps * cost.step(batch) and volume.least_batch and "train.batch_size" not in asked:
        while time < STEPS_WANTED * cost.step(batch) and batch // 2 >= volume.least_batch:
            batch //= 2
    possible = max(1, int(time / cost.step(batch)))
    if batch < config.train.batch_size:
        why = f"{_allow(minutes)} {possible * batch:,} rows: smaller batches make more steps of them"
        found["train.batch_size"] = Setting(batch, why, "measured")
        steps = total_steps(config.replace({"train.batch_size": batch}), volume.rows)
    if possible < steps:
        why = f"{_allow(minutes)} {possible:,} of {steps:,} steps at {cost.step(batch):.2f} s each"
        found["train.epochs"] = Setting(round(config.train.epochs * possible / steps, 4), why, "measured")
    scored = max(30, int(SCORE_SHARE * seconds / _row_seconds(config, cost, volume)))
    if scored < volume.test_rows and config.evaluate.test_rows is None:
        why = f"{_allow(minutes)} scoring {scored:,} of {volume.test_rows:,} rows"
        found["evaluate.test_rows"] = Setting(scored, why, "measured")
    if "evaluate.retain_documents" not in asked:
        found |= _retained(config, cost, seconds)
    return found


def trainings(config: Config) -> float:
    """How many trainings of the whole length there are: other seeds, and the parts of a learning curve."""
    return config.train.seeds + (PARTS if config.evaluate.learning_curve else 0.0)


def _allow(minutes: float) -> str:
    return "1 minute allows" if minutes == 1 else f"{minutes:g} minutes allow"


def _aside(config: Config, cost: Cost, volume: Volume) -> float:
    """Seconds of what does not shrink with the budget: the answers, and how far the model moved."""
    moved = WRITERS * DIVERGENCE_ROWS * volume.test_tokens * cost.forward_seconds if volume.moved else 0.0
    return moved + _written(config, cost, volume)


def _written(config: Config, cost: Cost, volume: Volume) -> float:
    """Seconds that the answers of the page take where none ends by itself; rows that are scored have their own."""
    return 0.0 if volume.written else WRITERS * (config.evaluate.max_new_tokens or 0) * cost.write_seconds


def _row_seconds(config: Config, cost: Cost, volume: Volume) -> float:
    """Of scoring one test row by all that score it."""
    read = volume.passes * volume.test_tokens * cost.forward_seconds
    if not volume.written:
        return read
    return read + WRITERS * (config.evaluate.max_new_tokens or 0) * cost.write_seconds / max(1, config.evaluate.answers)


def _retained(config: Config, cost: Cost, seconds: float) -> dict[str, Setting]:
    """Fewer general documents where both models cannot read as many within their share of ``seconds``."""
    possible = int(RETAIN_SHARE * seconds / (2 * DOCUMENT_TOKENS * cost.forward_seconds))
    read = max(FEWEST_DOCUMENTS, possible)
    if read >= (config.evaluate.retain_documents or 0):
        return {}
    why = f"{_allow(config.train.minutes or 0)} both models to read {read:,} general documents"
    return {"evaluate.retain_documents": Setting(read, why, "measured")}


def price(config: Config, cost: Cost, volume: Volume) -> dict[str, float]:
    """Steps, minutes and memory of the plan."""
    steps = total_steps(config, volume.rows)
    scored = min(volume.test_rows, config.evaluate.test_rows or volume.test_rows)
    return {
        "steps": steps,
        # a tenth for validation
        "train_minutes": 1.1 * steps * cost.step(config.train.batch_size) / 60 * trainings(config),
        "evaluate_minutes": (scored * _row_seconds(config, cost, volume) + _aside(config, cost, volume)) / 60,
        "memory_gib": cost.peak_bytes / GIB,
        "estimated_memory_gib": cost.estimated_bytes / GIB,
    }
