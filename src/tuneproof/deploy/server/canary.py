"""A version that answers a share of a name's requests, watched after every answer, and stopped when it does harm.

    canary = Canary("reviews@9", "reviews@7", 0.05, metrics)
    canary.takes(key)                    # the same side for the same text, always
    canary.heard(exchange, seconds)
    canary.share, canary.stopped         # 0.0, "12 of 118 answers failed, ..."

    canary = Canary("reviews@9", "reviews@7", 0.05, metrics, steps=(0.05, 0.25))
    canary.reached, canary.go_on()       # "5%: 300 texts, ...": the step is done; 25% from now on

Three bets (stats/betting.py) ask whether it fails more often by a point, is slow more often, and is wrong more often by
a point where callers said what was right. Slow is an answer of the champion beyond its own 95th percentile, and one of
the version beyond twice that: the bet asks whether the percentile doubled. Each bet is worth a third, so one of them
reaches 20 by chance in one canary of twenty at most, however long it runs. A text or caller counts once in the bets,
since what is asked again is no new evidence. Beside them everything counts in windows of 100 answers of the version:
failures or the 95th percentile doubled, by more than chance (1%), in three windows one after another stop it as well.

With steps the stakes of the bets stay from one step to the next, so one canary in twenty holds for all of them. A step
is done after so many texts or callers that met the version, the last window not a bad one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.deploy.registry.canaries import shares
from tuneproof.deploy.registry.trials import percentile
from tuneproof.deploy.server.guard import Exchange
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.trial import Side, failed, now, record, share_of
from tuneproof.stats.betting import Harm, excess

LIMIT = 20.0
MARGINS = {"failed": 0.01, "slow": 0.0, "wrong": 0.01}  # by how much a version may be worse
SLOW, TIMES = 0.95, 2.0
FIRST_LOOK = 50  # answers of the champion before anything counts as slow, and between two looks at its percentile
WINDOW, WINDOWS, CHANCE = 100, 3, 0.01
ENOUGH = 300  # texts or callers that met the version before a step is done: three windows
REMEMBERED = 100_000  # texts and callers that have counted
JUDGED = 10_000  # answers that a caller can still say something about


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer that may still be judged."""

    new: bool
    key: str
    values: tuple[str | None, ...]  # None: not a text that could be compared


class Canary:
    """One version with its share; used from the server's loop alone."""

    kind = "canary"

    def __init__(self, label: str, champion: str, share: float, metrics: Metrics, steps: Sequence[float] = ()) -> None:
        self.label = label
        self.champion = champion
        self.share = share
        self.stopped = ""  # why, once it did harm
        self.reached = ""  # what was seen at the step that is done; "" while it is not
        self._asked = share
        self._steps = tuple(steps)
        self._met: set[str] = set()  # texts and callers at this step, of the version
        self._metrics = metrics
        self._since, self._until = now(), ""
        self._state = "running"
        self._old, self._new = Side(f"@{champion.partition('@')[2]}"), Side(f"@{label.partition('@')[2]}")
        self._bets = {name: Harm(share, margin) for name, margin in MARGINS.items()}
        self._bad = {name: ([0, 0], [0, 0]) for name in ("slow", "wrong")}  # per side: how many, and of how many
        self._slow: float | None = None  # the champion's 95th percentile at the last look
        self._counted: dict[str, OrderedDict[str, None]] = {"answer": OrderedDict(), "wrong": OrderedDict()}
        self._said: OrderedDict[str, _Said] = OrderedDict()
        self._windows = 0  # bad ones, one after another
        self._open_window()
        self._show()

    def takes(self, key: str) -> bool:
        return share_of(key) < self.share

    @property
    def next(self) -> int | None:
        """Which step follows, from 0; None where there is none, and after the last one."""
        return next((place for place, share in enumerate(self._steps) if share > self._asked), None)

    def go_on(self) -> None:
        """Begin the next step."""
        if self.next is None or self.stopped or not self.reached:
            return
        self.share = self._asked = self._steps[self.next]
        self.reached, self._met = "", set()
        for bet in self._bets.values():
            bet.divide(self.share)
        self._open_window()
        self._show()

    def heard(self, exchange: Exchange, seconds: float) -> None:
        label = f"{exchange.model}@{exchange.version}"
        if not self.share or label not in (self.label, self.champion) or exchange.status == 499:
            return  # stopped; begun under another champion; a caller who left says nothing about a version
        new, bad = label == self.label, failed(exchange)
        for sides in ((self._old, self._new), self._window):
            sides[new].heard(seconds, bad)
        slow = self._is_slow(new, seconds, bad)
        if _first(self._counted["answer"], exchange.key):
            self._bets["failed"].hear(new, float(bad))
            if slow is not None:
                self._bets["slow"].hear(new, float(slow))
        if not new and self._old.answers % FIRST_LOOK == 0:
            self._slow = percentile(self._old.seconds, SLOW)
        if exchange.work is not None:
            texts = tuple(value if isinstance(value, str) else None for value in exchange.work.values)
            self._said[exchange.id] = _Said(new, exchange.key, texts)
            if len(self._said) > JUDGED:
                self._said.popitem(last=False)
        if self._window[1].answers == WINDOW:
            self._close_window()
        self._weigh()
        if self._steps and new and not self.reached:
            self._met.add(exchange.key)
            if len(self._met) >= ENOUGH and not self._windows and not self.stopped:
                self.reached = f"{100 * self._asked:g}%: {len(self._met):,} texts or callers, {self._told_evidence()}"

    def judged(self, request_id: str, index: int, given: Mapping[str, Any]) -> None:
        said = self._said.get(request_id)
        if not self.share or said is None or index >= len(said.values):
            return
        wrong = _wrong(said.values[index], given)
        if wrong is None or not _first(self._counted["wrong"], said.key):
            return
        count = self._bad["wrong"][said.new]
        count[0], count[1] = count[0] + round(wrong), count[1] + 1
        self._bets["wrong"].hear(said.new, wrong)
        self._weigh()

    def record(self) -> dict[str, Any]:
        sides = [
            side.told(*((count[0], count[1]) for count in (self._bad["slow"][new], self._bad["wrong"][new])))
            for new, side in enumerate((self._old, self._new))
        ]
        limit = f", slow is over {1000 * self._slow:,.1f} ms ({self._new.name}: twice that)" if self._slow else ""
        notes = {"evidence of harm": f"{self._told_evidence()}; {LIMIT:g} stops it{limit}"}
        if self._steps:
            notes["steps"] = shares(self._steps)
        found = record(self, self._since, self._state, ("slow", "wrong"), sides, notes)
        return {**found, "share": self._asked, "until": self._until or now()}

    def broke(self) -> None:
        self._stop("the model failed again and again")

    def end(self, why: str) -> None:
        self.share, self._state = 0.0, self._state if self.stopped else f"ended: {why}"
        self._show()

    def _is_slow(self, new: bool, seconds: float, bad: bool) -> bool | None:
        """Whether this answer was slow; None where that cannot be told."""
        if self._slow is None or bad:
            return None
        slow = seconds > self._slow * (TIMES if new else 1.0)
        count = self._bad["slow"][new]
        count[0], count[1] = count[0] + slow, count[1] + 1
        return slow

    def _evidence(self) -> dict[str, float]:
        return {name: math.exp(min(700.0, bet.log_e)) / len(self._bets) for name, bet in self._bets.items()}

    def _told_evidence(self) -> str:
        return ", ".join(f"{name} {value:.3g}" for name, value in self._evidence().items())

    def _weigh(self) -> None:
        """Stop the version if one of the bets is won."""
        for name, evidence in self._evidence().items():
            if evidence >= LIMIT and not self.stopped:
                self._stop(f"{self._how_many(name)}; evidence {evidence:.3g}, {LIMIT:g} stops it")
        self._show()

    def _how_many(self, name: str) -> str:
        if name == "failed":
            (old, of_old), (new, of_new) = ((side.failed, side.answers) for side in (self._old, self._new))
        else:
            (old, of_old), (new, of_new) = self._bad[name]
        what = {"failed": "failed", "slow": "took twice the champion's 95th percentile", "wrong": "were wrong"}[name]
        beside = "was over it" if name == "slow" else "did" if name == "failed" else "were"
        return f"{new:,} of {of_new:,} answers {what}, of the champion's {old:,} of {of_old:,} {beside}"

    def _stop(self, why: str) -> None:
        self.share, self.stopped, self._state, self._until = 0.0, why, f"stopped: {why}", now()
        self.reached = ""

    def _open_window(self) -> None:
        self._window = (Side("old"), Side("new"))

    def _close_window(self) -> None:
        old, new = self._window
        self._open_window()
        if not old.answers:
            return
        broken = _doubled(new.failed, new.answers, old.failed, old.answers)
        slower = _slower(old, new)
        self._windows = self._windows + 1 if broken or slower else 0
        if self._windows == WINDOWS:
            what = "failures" if broken else "the 95th percentile of seconds"
            self._stop(f"{what} doubled in {WINDOWS} windows of {WINDOW} answers, one after another")

    def _show(self) -> None:
        name, _, version = self.label.partition("@")
        self._metrics.set("canary_share", self.share, model=name, version=version)
        for test, evidence in self._evidence().items():
            self._metrics.set("canary_log_e", math.log(evidence), model=name, version=version, test=test)


def _slower(old: Side, new: Side) -> bool:
    """Whether the 95th percentile is twice that of the old side, and not by chance."""
    before, after = percentile(old.seconds, SLOW), percentile(new.seconds, SLOW)
    if before is None or after is None or after < TIMES * before:
        return False
    slow_old, slow_new = (sum(took >= TIMES * before for took in side.seconds) for side in (old, new))
    return _doubled(slow_new, len(new.seconds), slow_old, len(old.seconds))


def _doubled(bad_new: int, new: int, bad_old: int, old: int) -> bool:
    """Whether the share of bad ones is twice that of the old side, and not by chance."""
    twice = bad_new * old >= TIMES * bad_old * new and bad_new > 0
    return twice and excess(bad_new, new, bad_old, old) <= CHANCE


def _first(counted: OrderedDict[str, None], key: str) -> bool:
    """Whether this text or caller has not counted yet."""
    if key in counted:
        return False
    counted[key] = None
    if len(counted) > REMEMBERED:
        counted.popitem(last=False)
    return True


def _wrong(value: str | None, given: Mapping[str, Any]) -> float | None:
    """How wrong an answer was by what its caller said: 0 to 1; None where the two cannot be compared."""
    if "score" in given:
        return 1.0 - float(given["score"])
    if value is None:
        return None
    (said,) = given.values()
    return float(value.strip() != said.strip())
