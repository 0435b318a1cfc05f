"""The models that a server answers with: one entry per version, and names that point at one of them.

    models = Models(metrics)
    models.add("reviews@7", Predictor.open(run))
    models.point("reviews", {"champion": "reviews@7"})
    models.get("reviews").label                     # "reviews@7", from now on the same object for the whole request

A version is never replaced in place: a new one is loaded beside the old one, answers a few stored rows as it did when
it was scored, and then the pointer moves. The old one answers what it has begun, and its weights go.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import torch

from tuneproof.deploy.server.batching import Batcher, Item, enough
from tuneproof.deploy.server.continuous import Continuous, continues
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.guard import Exchange
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.trial import Trial
from tuneproof.deploy.server.writing import Writing
from tuneproof.device import machine
from tuneproof.errors import CheckError, nearest
from tuneproof.modalities import ChatEncoder
from tuneproof.predict import Predictor, generation
from tuneproof.records import Generation, Prediction
from tuneproof.run import Run
from tuneproof.tasks import Writer

CHAMPION = "champion"
READERS_BATCH = 32  # more gains nothing on two cores
READERS = 4  # threads of a model that reads, at most: they share one interpreter
WRITERS_BATCH = 8  # dialogues that are written together: each step reads all weights once
CHECKED_ROWS, CLOSE = 8, 1e-3  # stored answers that a loaded model has to give again, and how closely


@dataclass(slots=True, eq=False)
class Hosted:
    """One version, loaded."""

    label: str  # "reviews@7", or the name of a run
    predictor: Predictor
    batcher: Batcher | Continuous
    since: int  # seconds of the epoch

    @property
    def name(self) -> str:
        return self.label.partition("@")[0]

    @property
    def version(self) -> str:
        return self.label.partition("@")[2]

    @property
    def writes(self) -> bool:
        """Whether it writes answers, token by token."""
        return "answer" in self.predictor.answer.shows and "stopped" in self.predictor.answer.shows

    @property
    def how(self) -> Generation:
        """How its answers were written when it was scored."""
        return generation(self.predictor.config)


@dataclass(slots=True)
class Models:
    """All that is loaded, by label; and per name where its aliases point."""

    metrics: Metrics
    failed: Callable[[str], None] = lambda label: None
    _hosted: dict[str, Hosted] = field(default_factory=dict)
    _aliases: dict[str, dict[str, str]] = field(default_factory=dict)
    _trials: dict[str, Trial] = field(default_factory=dict)
    _pinned: set[str] = field(default_factory=set)  # asked for by their own label, whatever the aliases name

    def add(self, label: str, predictor: Predictor) -> Hosted:
        """Make a loaded model answer to its own label."""
        hosted = host(label, predictor, self.metrics, self._broke, machine().cores)
        self._hosted[label] = hosted
        return hosted

    def pin(self, label: str) -> None:
        """Keep this version, whatever the aliases name."""
        self._pinned.add(label)

    def point(self, name: str, aliases: Mapping[str, str]) -> None:
        """From now on ``name`` and ``name@alias`` are these versions; versions that nothing names any more go."""
        self._aliases[name] = dict(aliases)
        kept = self._pinned | {label for pointed in self._aliases.values() for label in pointed.values()}
        for label in [label for label, hosted in self._hosted.items() if hosted.name == name and label not in kept]:
            self._hosted.pop(label).batcher.close()

    def begin(self, name: str, trial: Trial) -> None:
        """From now on ``trial`` takes part in what is asked of ``name``; its version is loaded."""
        assert trial.label in self._hosted
        self._trials[name] = trial

    def end(self, name: str, why: str) -> Trial | None:
        """The trial of ``name``, which takes part no more."""
        trial = self._trials.pop(name, None)
        if trial is not None:
            trial.end(why)
        return trial

    def trials(self) -> Mapping[str, Trial]:
        return self._trials

    def heard(self, exchange: Exchange, seconds: float) -> None:
        """A request is over."""
        trial = self._trials.get(exchange.model)
        if exchange.key and trial is not None:
            trial.heard(exchange, seconds)

    def busy(self, but: Hosted) -> bool:
        """Whether a caller waits for any model; of ``but`` only who waits in its queue counts."""
        others = any(not hosted.batcher.idle for hosted in self._hosted.values() if hosted is not but)
        return others or but.batcher.waiting

    def _broke(self, label: str) -> None:
        """A model failed again and again: one that is tried is tried no more, and without any other the server ends."""
        for trial in list(self._trials.values()):
            if trial.label == label:
                trial.broke()
                return
        self.failed(label)

    def get(self, asked: str, key: str = "") -> Hosted:
        """The version that answers ``asked``; ``key`` decides, always in the same way, about a canary."""
        name, at, which = asked.partition("@")
        pointed = self._aliases.get(name, {})
        trial = self._trials.get(name)
        if not at and trial is not None and trial.takes(key):
            return self._hosted[trial.label]
        label = pointed.get(which if at else CHAMPION, asked)
        if label not in self._hosted:
            hint = nearest(asked, [*self._aliases, *self._hosted])
            message = f"There is no such model here. {hint}".strip()
            raise Refusal(404, message, param="model", code="model_not_found")
        return self._hosted[label]

    def all(self) -> list[Hosted]:
        return list(self._hosted.values())

    def names(self) -> Mapping[str, Mapping[str, str]]:
        return self._aliases

    def labels(self) -> set[str]:
        return set(self._hosted)

    def close(self, seconds: float) -> bool:
        """Answer what waits; whether all was answered within so many seconds."""
        for hosted in self._hosted.values():
            hosted.batcher.close()
        until = time.monotonic() + seconds
        ended = [hosted.batcher.join(max(0.0, until - time.monotonic())) for hosted in self._hosted.values()]
        return all(ended)


def host(label: str, predictor: Predictor, metrics: Metrics, failed: Callable[[str], None], cores: int) -> Hosted:
    """A predictor with its threads: one on all cores to write; to read one per core, which never wait for another.

    A product of few rows is over before a second core has woken up to help with it.
    """
    hosted = Hosted(label, predictor, cast(Batcher, None), int(time.time()))
    if hosted.writes and continues(predictor):
        hosted.batcher = Continuous(label, predictor, metrics, failed)
        return hosted
    threads = 1 if hosted.writes else readers(cores)
    work, most = (_write(predictor), WRITERS_BATCH) if hosted.writes else (_respond(predictor), READERS_BATCH)
    begin = partial(torch.set_num_threads, cores // threads)
    hosted.batcher = Batcher(label, work, metrics, most=most, threads=threads, begin=begin, failed=failed)
    return hosted


def readers(cores: int) -> int:
    """Threads of a model that reads."""
    return min(READERS, cores)


def writing_of(
    hosted: Hosted, how: Generation, until: Sequence[str], emit: Callable[[str], None] = lambda piece: None
) -> Writing:
    """An answer of a model that writes, as text that grows."""
    encoder = hosted.predictor.encoder
    assert isinstance(encoder, ChatEncoder), "models that write dialogues read them with a chat encoder"

    def decode(ids: Sequence[int]) -> str:
        text: str = encoder.tokenizer.decode(ids, skip_special_tokens=True)
        return text

    return Writing(decode, stops=encoder.stops, limit=how.max_new_tokens, until=until, emit=emit)


def _respond(predictor: Predictor) -> Callable[[Sequence[Item]], Sequence[Prediction]]:
    def work(items: Sequence[Item]) -> Sequence[Prediction]:
        return predictor.respond([item.row for item in items], items[0].how)

    return work


def _write(predictor: Predictor) -> Callable[[Sequence[Item]], Sequence[Prediction]]:
    writer = cast(Writer, predictor.answer)

    def work(items: Sequence[Item]) -> Sequence[Prediction]:
        longest = max(item.how.max_new_tokens for item in items)

        def watch(written: Sequence[Sequence[int]]) -> list[bool]:
            now = time.monotonic()
            return [enough(item, ids, now) for item, ids in zip(items, written, strict=True)]

        how = replace(items[0].how, max_new_tokens=longest)
        rows, seeds = [item.row for item in items], [item.how.seed for item in items]
        return writer.write(predictor.model, predictor.encoder, rows, how, watch, seeds)

    return work


def prove(run: Run, predictor: Predictor) -> None:
    """CheckError when the loaded model answers stored test rows otherwise than when it was scored.

    Tasks whose test answers were not kept, or were scored in other arithmetic, are run once and not compared.
    """
    stored = _stored(run, predictor)
    said = predictor([row for row, _, _ in stored])
    if predictor.config.evaluate.precision != "fp32":
        return
    for (_, value, confidence), now in zip(stored, said, strict=True):
        if value is None:
            continue
        far = confidence is not None and now.confidence is not None and abs(confidence - now.confidence) > CLOSE
        if far or not alike(json.loads(json.dumps(now.value)), value):
            raise CheckError(
                f"{run.path} answers a test row with {now.value!r}; when it was scored it said {value!r}.",
                "Score it again (tuneproof eval), or tune it again, on this machine.",
            )


def alike(now: Any, then: Any) -> bool:
    """Whether two values read from JSON are the same, numbers within a thousandth."""
    if isinstance(now, float | int) and isinstance(then, float | int):
        return abs(now - then) <= CLOSE * max(1.0, abs(then))
    if isinstance(now, dict) and isinstance(then, dict):
        return now.keys() == then.keys() and all(alike(now[key], then[key]) for key in now)
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(alike(*both) for both in zip(now, then, strict=True))
    return bool(now == then)


def _stored(run: Run, predictor: Predictor) -> list[tuple[dict[str, Any], Any, float | None]]:
    """Rows of the test without their truth, and what the model said of each when it was scored."""
    lines = run.read_lines("eval/test/predictions.jsonl")[:CHECKED_ROWS]
    test = run.splits.test
    place = {id: index for index, id in enumerate(test.columns["id"])}
    return [
        (predictor.answer.without_truth(test.row(place[line["id"]])), line["pred"], line["conf"])
        for line in lines
        if line["id"] in place
    ]
