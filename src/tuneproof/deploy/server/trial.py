"""What a canary and a shadow have in common: who takes part, how the two sides are counted, what is written down.

    share_of("the text of a request") < 0.05        # always the same for the same text
    side.heard(seconds=0.012, failed=False)
    trial.record()                                  # counts, without a word of any request

A request takes part by its ``user``, or, where it names none, by what it asks: the same text always meets the same
side.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tuneproof.deploy.registry.trials import percentile
from tuneproof.deploy.server.guard import Exchange

SECONDS_KEPT = 1000  # of each side, the newest


class Trial(Protocol):
    """A version beside the champion of a name."""

    kind: str
    label: str  # "reviews@9"
    champion: str  # "reviews@7"
    share: float  # of requests; 0 once it was stopped
    stopped: str  # why, where it did harm
    reached: str  # what was seen at the step of a canary that is done; "" while it is not

    @property
    def next(self) -> int | None:
        """The step that follows; None where the end of this one is a promotion."""
        ...

    def go_on(self) -> None:
        """Begin the next step."""
        ...

    def takes(self, key: str) -> bool:
        """Whether the version answers this request instead of the champion."""
        ...

    def heard(self, exchange: Exchange, seconds: float) -> None:
        """A request of the name is over, its answer sent."""
        ...

    def judged(self, request_id: str, index: int, given: Mapping[str, Any]) -> None:
        """A caller said what was right."""
        ...

    def record(self) -> dict[str, Any]: ...

    def broke(self) -> None:
        """The model failed again and again; called from its thread."""
        ...

    def end(self, why: str) -> None:
        """Take no more; ``why`` goes into the record."""
        ...


@dataclass(slots=True)
class Side:
    """What one version did."""

    name: str
    answers: int = 0
    failed: int = 0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=SECONDS_KEPT))

    def heard(self, seconds: float | None, failed: bool) -> None:
        """One answer; ``seconds`` is None where they cannot be compared."""
        self.answers += 1
        self.failed += failed
        if not failed and seconds is not None:
            self.seconds.append(seconds)

    def told(self, *more: tuple[int, int]) -> dict[str, Any]:
        """For the record: how many answers failed and ``more`` pairs of a count and what it is a count of."""
        seconds = list(self.seconds)  # the other thread may add to it
        return {
            "name": self.name,
            "answers": self.answers,
            "counts": [[self.failed, self.answers], *map(list, more)],
            "p50": percentile(seconds, 0.5),
            "p95": percentile(seconds, 0.95),
        }


def record(
    trial: Trial, since: str, state: str, counts: Sequence[str], sides: Sequence[Any], notes: Any
) -> dict[str, Any]:
    """The record of a trial as it is now."""
    return {
        "kind": trial.kind,
        "version": int(trial.label.partition("@")[2]),
        "champion": int(trial.champion.partition("@")[2]),
        "since": since,
        "until": now(),
        "state": state,
        "counts": ["failed", *counts],
        "sides": list(sides),
        "notes": notes,
    }


def failed(exchange: Exchange) -> bool:
    """Whether the model did not answer: an error of ours, a full queue, an input that it cannot read."""
    return exchange.broken or exchange.status >= 500 or exchange.status in (422, 429)


def key_of(user: str | None, asked: Any) -> str:
    """What decides about the side of a request."""
    if user is not None:
        return f"user {user}"
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def share_of(key: str) -> float:
    """A number in [0, 1) that is always the same for one key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
