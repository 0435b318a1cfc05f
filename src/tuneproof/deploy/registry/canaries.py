"""A version that passed the gate and becomes the champion by steps: what the ledger says about it.

    steps("5%,25%,50%")                  # (0.05, 0.25, 0.5)
    under_way(registry.ledger("reviews"))  # Promise(version=9, champion=7, steps=(.05, .25, .5), step=1), or None

The gate writes ``passed`` with the steps, servers write ``canary step`` and at the end ``promoted``. Whatever else
moves the champion, a stop, or another verdict about the version ends it. A server that starts again goes on at the step
that was reached, since the ledger says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tuneproof.deploy.registry.books import Registry
from tuneproof.deploy.registry.home import CHAMPION
from tuneproof.deploy.registry.ledger import Line
from tuneproof.errors import ConfigError

PASSED, STEP, STOPPED, ENDED = "passed", "canary step", "canary stopped", "canary ended"
MOVED = ("promoted", "rolled back")
VERDICTS = ("rejected", "held")
MOST_STEPS = 10


@dataclass(frozen=True, slots=True)
class Promise:
    """A canary that is under way."""

    version: int
    champion: int  # that it was weighed against
    steps: tuple[float, ...]
    step: int  # the index of the one that was reached


def steps(text: str) -> tuple[float, ...]:
    """``1%,5%,25%,50%``, growing, as shares; 100% at the end is the promotion itself. ConfigError for anything else."""
    found = [re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", part.strip()) for part in text.split(",")]
    shares = tuple(float(part[1]) / 100 for part in found if part)
    if shares and shares[-1] == 1:
        found, shares = found[:-1], shares[:-1]
    grows = all(low < high for low, high in zip((0.0, *shares), shares, strict=False))
    if not 0 < len(shares) <= MOST_STEPS or len(shares) < len(found) or not grows or shares[-1] > 0.99:
        raise ConfigError(
            f'--canary "{text}" is no list of growing shares, {MOST_STEPS} at most.',
            "For example: --canary 1%,5%,25%,50%",
        )
    return shares


def shares(steps: Sequence[float]) -> str:
    """The same as text."""
    return ", ".join(f"{100 * step:g}%" for step in steps)


def under_way(lines: Sequence[Line]) -> Promise | None:
    """The canary whose end would be a promotion; None where there is none."""
    step = 0
    over: set[int] = set()
    for line in reversed(lines):
        if line.what in MOVED:
            return None
        if line.what in (STOPPED, ENDED, *VERDICTS):
            over.add(line.version)
        if line.what == STEP:
            step = max(step, int(line.facts["step"]))
        if line.what == PASSED:
            promise = Promise(line.version, line.aliases[CHAMPION], tuple(line.facts["steps"]), step)
            return None if line.version in over else promise
    return None


def stopped(lines: Sequence[Line], version: int) -> str:
    """Why a canary of this version was stopped; "" where none was."""
    told = [line.facts["told"] for line in lines if (line.what, line.version) == (STOPPED, version)]
    return str(told[-1]) if told else ""


def end(name: str, books: Registry) -> Promise | None:
    """End the canary of ``name`` that is under way, and say which; the champion stays. None where there is none."""
    with books.deciding(name) as now:
        promise = under_way(books.ledger(name))
        if promise is not None:
            version = books.listed(f"{name}@{promise.version}")
            books.decide(name, ENDED, version, now, expected=now, facts={"told": "by hand"})
    return promise
