"""A version that is asked a copy of some requests after they were answered; nobody hears what it says.

    shadow = Shadow(challenger, "reviews@7", 0.2, metrics, busy=models.busy)
    shadow.heard(exchange, seconds)      # its answer is sent: the copy waits for a quiet moment
    shadow.record()

It takes spare time only. A copy starts once no model has had work for a moment, one input at a time; where a caller
comes while it writes, it ends at the next token. What finds the queue full, or no quiet moment, is skipped and counted.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tuneproof.deploy.server.batching import Item
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.guard import Exchange, Work
from tuneproof.deploy.server.hosted import Hosted, alike, writing_of
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.trial import Side, failed, now, record, share_of
from tuneproof.records import Prediction

QUEUE = 64  # copies that wait
PATIENCE = 5.0  # seconds that one waits for a quiet moment
QUIET, LOOK = 0.02, 0.005  # no model has had work for so long; between two looks
SECONDS = 120.0  # that one input may take
SKIPPED = ("full", "busy", "drawn")  # why a copy was not asked; "drawn": an answer made by chance cannot be compared


class Shadow:
    """One version and its thread."""

    kind = "shadow"

    def __init__(
        self,
        challenger: Hosted,
        champion: str,
        share: float,
        metrics: Metrics,
        busy: Callable[[Hosted], bool],
        patience: float = PATIENCE,
    ) -> None:
        self.label = challenger.label
        self.champion = champion
        self.share = share
        self.stopped = self.reached = ""  # a shadow harms nobody, and has no steps
        self._challenger = challenger
        self._metrics = metrics
        self._busy = busy
        self._patience = patience
        self._since = now()
        self._state = "running"
        self._old, self._new = Side(f"@{champion.partition('@')[2]}"), Side(f"@{challenger.version}")
        self._alike = 0
        self._skipped: Counter[str] = Counter()
        self._queue: deque[tuple[Work, float]] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"shadow {self.label}", daemon=True)
        self._thread.start()

    @property
    def next(self) -> int | None:
        return None

    def go_on(self) -> None:
        """It has one share for all of its life."""

    def takes(self, key: str) -> bool:
        return False

    def heard(self, exchange: Exchange, seconds: float) -> None:
        """Called in the server's loop, so it does nothing but put the copy into the queue."""
        ours = f"{exchange.model}@{exchange.version}" == self.champion and exchange.status != 499
        if self._ended or not ours or share_of(exchange.key) >= self.share:
            return
        work = exchange.work
        if work is None or failed(exchange):
            if failed(exchange):
                self._old.heard(seconds, True)
            return
        for _ in work.rows:
            self._old.heard(_comparable(work, work.seconds), False)
        if work.how.temperature:
            self._skip("drawn")
            return
        with self._changed:
            full = len(self._queue) == QUEUE
            if not full:
                self._queue.append((work, time.monotonic()))
                self._changed.notify()
        if full:
            self._skip("full")

    def judged(self, request_id: str, index: int, given: Mapping[str, Any]) -> None:
        """What callers say is about the champion's answers."""

    def record(self) -> dict[str, Any]:
        compared = self._new.answers - self._new.failed
        sides = [self._old.told((0, 0)), self._new.told((self._alike, compared))]
        skipped = ", ".join(f"{self._skipped[why]:,} {why}" for why in SKIPPED)
        waiting = len(self._queue)
        notes = {"requests not asked": f"{skipped}; {waiting:,} waiting" if waiting else skipped}
        found = record(self, self._since, self._state, ("same answer",), sides, notes)
        return {**found, "share": self.share}

    def broke(self) -> None:
        self.end("the model failed again and again")

    def end(self, why: str) -> None:
        """Drop what waits; what is being asked ends at its next token."""
        with self._changed:
            self._ended, self._state = True, f"ended: {why}"
            self._queue.clear()
            self._changed.notify()

    def join(self, seconds: float) -> bool:
        """Whether the thread has ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _skip(self, why: str) -> None:
        self._skipped[why] += 1
        self._count(f"skipped {why}")

    def _count(self, outcome: str) -> None:
        self._metrics.count(
            "shadow_total", model=self._challenger.name, version=self._challenger.version, outcome=outcome
        )

    # -- in the thread

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._ended:
                    self._changed.wait()
                if self._ended:
                    return
                work, born = self._queue.popleft()
            whole = all(self._asked(work, index, born + self._patience) for index in range(len(work.rows)))
            if not whole and not self._ended:
                self._skip("busy")

    def _asked(self, work: Work, index: int, until: float) -> bool:
        """One input of a request; False where there was no time for it."""
        if not self._quiet(until):
            return False
        began = time.monotonic()
        try:
            said = self._said(work, index)
            same = not isinstance(said, Refusal) and _same(said, work.values[index])
        except Exception:  # this thread is the shadow's only one: whatever the version cannot do, it goes on
            said, same = Refusal(503, "The model failed on this input.", code="model_failed"), False
        seconds = time.monotonic() - began
        if said is None:
            return False
        self._new.heard(_comparable(work, seconds), isinstance(said, Refusal))
        if isinstance(said, Refusal):
            self._count("failed")
            return True
        self._alike += same
        self._count("same" if same else "different")
        if _comparable(work, seconds) is not None:
            for role, took in (("champion", work.seconds), ("shadow", seconds)):
                self._metrics.observe("shadow_seconds", took, model=self._challenger.name, role=role)
        return True

    def _quiet(self, until: float) -> bool:
        """Wait until no model has had work for a moment; False where that moment does not come."""
        since = time.monotonic()
        while not self._ended:
            moment = time.monotonic()
            if self._busy(self._challenger) or not self._challenger.batcher.idle:
                since = moment + LOOK
            elif moment - since >= QUIET:
                return True
            if moment > until:
                return False
            time.sleep(LOOK)
        return False

    def _said(self, work: Work, index: int) -> Any:
        """What the version says, a Refusal where it fails, None where a caller came in between."""
        row, predictor = work.rows[index], self._challenger.predictor
        length = predictor.answer.length(row, predictor.encoder)
        if length > predictor.encoder.max_length:
            return Refusal(422, "The input is too long for this version.", code="context_length_exceeded")
        heard: list[Prediction | Refusal] = []
        over, interrupted = threading.Event(), False
        writing = writing_of(self._challenger, work.how, work.stops) if work.written else None

        def done(outcome: Prediction | Refusal) -> None:
            heard.append(outcome)
            over.set()

        def watch(ids: Sequence[int]) -> bool:
            nonlocal interrupted
            interrupted = interrupted or self._ended or self._busy(self._challenger)
            enough = writing.feed(ids) if writing is not None else len(ids) >= work.how.max_new_tokens
            return interrupted or enough

        item = Item(row, length, work.how, time.monotonic() + SECONDS, done, watch)
        try:
            self._challenger.batcher.submit([item])
        except Refusal:
            return None  # it is being closed, or callers filled its queue
        over.wait(SECONDS + 1)
        if interrupted or not heard:
            item.gone = True
            return None
        if isinstance(heard[0], Refusal):
            return heard[0]
        return heard[0].value if writing is None else writing.text


def _comparable(work: Work, seconds: float) -> float | None:
    """The seconds of a request with one input: the champion answered several together, the shadow one by one."""
    return seconds if len(work.rows) == 1 else None


def _same(said: Any, value: Any) -> bool:
    return alike(json.loads(json.dumps(said)), json.loads(json.dumps(value)))
