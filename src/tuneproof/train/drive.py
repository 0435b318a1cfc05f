"""What happens around the loop, each an ordinary iterator over Progress: record, keep, stop early, obey a signal.

    with closing(stop_early(keep(record(fit(state, job), run), run, state), patience=3)) as progress:
        for p in progress: show(p)

After a resume the past is read back from ``metrics.jsonl``, so each of them goes on as if nothing had happened.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from tuneproof.records import Progress, Scores
from tuneproof.run import Run
from tuneproof.stats.looks import latest_best
from tuneproof.tasks import Answer
from tuneproof.train import checkpoint
from tuneproof.train.loop import State

SLOW = 1.0  # seconds from which saving a checkpoint is felt


class Paused(Exception):
    """A signal asked to stop; everything is saved. The text is the path of the run."""

    def __init__(self, run: Path, signal_number: int) -> None:
        super().__init__(str(run))
        self.exit_code = 128 + signal_number  # as shells count: 130 for Ctrl-C, 143 for SIGTERM


def record(progress: Iterable[Progress], run: Run) -> Iterator[Progress]:
    """Each report as a line of ``metrics.jsonl``, written before it is passed on."""
    for p in progress:
        if not p.paused:
            run.append_metrics(line(p))
        yield p


def line(p: Progress) -> dict[str, Any]:
    """A report as JSON: what is None is left out."""
    values = dataclasses.asdict(p)
    if p.validation is not None:
        values["validation"] = {**p.validation.values, "n": p.validation.n}
    del values["paused"]
    return {key: value for key, value in values.items() if value is not None}


def keep(
    progress: Iterable[Progress], run: Run, state: State, *, every: float, answer: Answer, say: Callable[[str], None]
) -> Iterator[Progress]:
    """Saves the best weights at validations, and a checkpoint there and every ``every`` seconds; large ones rarer.

    Which are best is said by ``tuneproof.stats.looks``, for the metric of ``answer``.
    A full disk costs the checkpoint, not the run: it is said, and tried again soon. Best weights that could not be
    written are kept in memory until they are, and no checkpoint is written before them: a run that resumes would
    otherwise stand behind its best validation without the weights of it.
    """
    past = looks(run, answer)
    unsaved: Best | None = None
    rested = time.monotonic()
    due = rested + every
    try:
        for p in progress:
            better = False
            if p.validation is not None:
                past.append(Look(p.step, p.validation.main, p.validation.n, p.validation.values.get("brier")))
                better = decided(past, answer) == p.step
            if better:
                unsaved = Best(state.step, checkpoint.trained(state))
            began = time.monotonic()
            now_due = p.paused or began >= (due if p.validation is None else rested)
            if unsaved is not None and (better or now_due):
                if _written(partial(unsaved.write, run), say):
                    unsaved = None
                elif better:
                    unsaved = unsaved.held()
            if now_due:  # never before the best weights that it counts on
                saved = unsaved is None and _written(lambda: checkpoint.save(run.checkpoints, state, {}), say)
                took = time.monotonic() - began
                rested = time.monotonic() + (30 * took if took > SLOW else 0.0)  # not more than 3% of the time
                due = max(rested, time.monotonic() + (every if saved else 0.0))
            yield p
            if p.paused:
                raise Paused(run.path, state.stop)
    finally:
        if unsaved is not None:
            _written(partial(unsaved.write, run), say)


@dataclass(frozen=True, slots=True)
class Best:
    """Weights of a validation that no later one has bettered yet."""

    step: int
    weights: Mapping[str, Tensor]

    def write(self, run: Run) -> None:
        checkpoint.write(run.checkpoints, "best", {"model.safetensors": self.weights}, {"step": self.step})

    def held(self) -> Best:
        """The same with weights of its own, which training does not change."""
        return Best(self.step, {name: weight.detach().clone() for name, weight in self.weights.items()})


def _written(save: Callable[[], Any], say: Callable[[str], None]) -> bool:
    try:
        save()
    except OSError as error:
        say(f"This checkpoint could not be written ({error.strerror}); training goes on with the one before it.")
        return False
    return True


class Look(NamedTuple):
    """A validation, as far as it says which weights are kept."""

    step: int
    score: float | None
    rows: int
    brier: float | None  # squared error of the probabilities, where the task has some


def looks(run: Run, answer: Answer) -> list[Look]:
    """The recorded validations."""
    found = [(r["step"], r["validation"]) for r in run.metrics() if "validation" in r]
    return [Look(step, seen[answer.primary], seen["n"], seen.get("brier")) for step, seen in found]


def decided(past: Sequence[Look], answer: Answer) -> int | None:
    """The step whose weights are kept, None where no validation has a score."""
    index = latest_best(
        [look.score for look in past],
        [look.rows for look in past],
        higher=answer.higher_is_better,
        share=answer.proportion,
        errors=[look.brier for look in past],
    )
    return None if index is None else past[index].step


def stop_early(progress: Iterable[Progress], run: Run, *, patience: int) -> Generator[Progress, None, None]:
    """Ends after ``patience`` validations in a row that did not improve on the best before them."""
    past: list[float | None] = []
    for p in progress:
        if p.validation is not None and not past:
            primary = p.validation.primary
            past = [r["validation"][primary] for r in run.metrics() if "validation" in r][:-1]
        yield p
        if p.validation is not None:
            past.append(p.validation.main)
            if since_best(past, p.validation) >= patience:
                return


def since_best(values: list[float | None], like: Scores) -> int:
    """How many validations ago the best one was; ties go to the earlier.

    0 as long as a share of what was found is 0: a rare label, or an entity, is found late and is no reason to stop.
    """
    sign = 1.0 if like.higher_is_better else -1.0
    if like.higher_is_better and not any(values):
        return 0
    signed = [sign * value if value is not None else float("-inf") for value in values]
    return len(signed) - 1 - signed.index(max(signed))


@contextmanager
def obeying_signals(state: State) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the run at the next step and saves; the second ends it at once."""

    def ask(number: int, frame: Any) -> None:
        if state.stop:
            raise KeyboardInterrupt
        state.stop = number

    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
