"""Inputs of many requests through one model together: a queue, and the threads that empty it.

    batcher = Batcher("reviews@7", work, metrics)
    batcher.submit([Item(row, length=12, ...)])        # Refusal 429 when the queue is full
    batcher.close()                                    # what waits is answered first

An idle thread never waits: it takes the oldest input and, of the others, those of about its length (padding is paid for
by everybody) that want to be answered in the same way, and leaves the other threads their share. While they work the
queue fills, so batches grow with the load.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.deploy.server.failures import Refusal, refusal
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.errors import Error
from tuneproof.records import Generation, Prediction

BATCH_TOKENS = 4096  # with padding
QUEUE_ITEMS, QUEUE_TOKENS = 256, 1_000_000
BUCKET = 1.25  # lengths within a factor of this go together
CRASHES, CRASH_WINDOW = 3, 60.0  # so many within so many seconds end the server


@dataclass(slots=True, eq=False)
class Item:
    """One input on its way. ``done`` and ``watch`` are called from a thread of the model."""

    row: Mapping[str, Any]
    length: int  # tokens
    how: Generation
    deadline: float  # time.monotonic()
    done: Callable[[Prediction | Refusal], None]
    watch: Callable[[Sequence[int]], bool] | None = None  # hears all tokens written so far; whether that is enough
    born: float = 0.0
    gone: bool = False  # nobody waits for it any more
    answered: bool = False

    @property
    def key(self) -> Hashable:
        """Inputs with one key may be answered together, however long their answers and whatever their seeds may be."""
        how = self.how
        return how.repetition_penalty, how.no_repeat_ngram, how.temperature, how.top_p

    def answer(self, with_: Prediction | Refusal) -> None:
        """Once, whoever comes first."""
        if not self.answered:
            self.answered = True
            self.done(with_)


class Batcher:
    """The queue and the threads of one model; each thread calls ``begin`` first."""

    def __init__(
        self,
        label: str,
        work: Callable[[Sequence[Item]], Sequence[Prediction]],
        metrics: Metrics,
        *,
        most: int = 32,
        threads: int = 1,
        begin: Callable[[], None] = lambda: None,
        failed: Callable[[str], None] = lambda label: None,
    ) -> None:
        self.label = label
        self._work = work
        self._metrics = metrics
        self._most = most
        self._failed = failed
        self._queue: deque[Item] = deque()
        self._tokens = 0
        self._changed = threading.Condition()
        self._closed = False
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._busy = 0  # threads that work
        self._begin = begin
        self._threads = [
            threading.Thread(target=self._run, name=f"model {label}, {number}", daemon=True)
            for number in range(1, threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked on."""
        return not self._queue and not self._busy

    @property
    def waiting(self) -> bool:
        """Whether somebody is in the queue."""
        return bool(self._queue)

    def submit(self, items: Sequence[Item]) -> None:
        """All of them or none; Refusal 429 when they do not fit the queue, 503 when it is closed."""
        tokens = sum(item.length for item in items)
        with self._changed:
            admit(self._closed, len(self._queue) + len(items), self._tokens + tokens)
            now = time.monotonic()
            for item in items:
                item.born = now
            self._queue.extend(items)
            self._tokens += tokens
            self._changed.notify(len(items))

    def close(self) -> None:
        """Answer what waits, then end the threads; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Whether the threads have ended within so many seconds."""
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        self._begin()
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return
                batch = self._take()
                self._busy += 1
            self._serve(self._alive(batch))
            with self._changed:
                self._busy -= 1

    def _take(self) -> list[Item]:
        """The oldest input and those that go with it, in the order they came."""
        first = self._queue[0]
        bucket, key = _bucket(first.length), first.key
        longest = first.length
        most = min(self._most, math.ceil(len(self._queue) / len(self._threads)))
        taken: list[Item] = []
        for item in self._queue:
            longest = max(longest, item.length)
            if len(taken) == most or longest * (len(taken) + 1) > max(BATCH_TOKENS, first.length):
                break
            if abs(_bucket(item.length) - bucket) <= 1 and item.key == key:
                taken.append(item)
        chosen = set(map(id, taken))
        self._queue = deque(item for item in self._queue if id(item) not in chosen)
        self._tokens -= sum(item.length for item in taken)
        return taken

    def _alive(self, batch: Sequence[Item]) -> list[Item]:
        now = time.monotonic()
        for item in batch:
            self._metrics.observe("queue_seconds", now - item.born, model=self.label)
            if not item.gone and now > item.deadline:
                item.answer(too_late())
        return [item for item in batch if not item.gone and not item.answered]

    def _serve(self, batch: Sequence[Item]) -> None:
        if not batch:
            return
        self._metrics.observe("batch_size", len(batch), model=self.label)
        try:
            for item, prediction in zip(batch, self._work(batch), strict=True):
                item.answer(prediction)
        except Error as error:
            if len(batch) == 1:
                batch[0].answer(refusal(error))
                return
            for item in batch:  # one input that cannot be used does not spoil the others
                if not item.answered:
                    self._serve([item])
        except Exception:  # nobody else does this thread's work: callers hear of it, and it goes on, or all ends
            for item in batch:
                item.answer(Refusal(503, "The model failed on this batch.", code="model_failed", after=1))
            self._crashes.append(time.monotonic())
            if len(self._crashes) == CRASHES and self._crashes[0] > time.monotonic() - CRASH_WINDOW:
                self._failed(self.label)


def admit(closed: bool, items: int, tokens: int) -> None:
    """Refusal 503 by a queue that is closed, 429 where it would hold more than it may."""
    if closed:
        raise Refusal(503, "The server is shutting down.", code="draining", after=5)
    if items > QUEUE_ITEMS or tokens > QUEUE_TOKENS:
        raise Refusal(429, "Too many inputs are waiting for this model.", code="queue_full", after=1)


def too_late() -> Refusal:
    return Refusal(504, "No answer within the deadline.", code="deadline")


def enough(item: Item, ids: Sequence[int], now: float) -> bool:
    """Whether an answer that has come as far as ``ids`` may end; one that is too late is refused."""
    if item.gone or item.answered:
        return True
    if now > item.deadline:
        item.answer(too_late())
        return True
    return item.watch(ids) if item.watch is not None else len(ids) >= item.how.max_new_tokens


def _bucket(length: int) -> int:
    return math.ceil(math.log(max(1, length)) / math.log(BUCKET))
