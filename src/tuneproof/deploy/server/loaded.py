"""What a server has loaded from where: names follow the registry, a version may be tried beside a champion.

    loaded = Loaded(models, tried={"reviews": Tried.of("canary", "reviews@challenger=5%")})
    loaded.load("reviews", say)
    loaded.point("reviews", loaded.wanted("reviews", say), say)      # again and again: what moved is served from now on
    loaded.keep()                                                    # records of trials, and why a canary was stopped

A champion is always followed, whatever becomes of the version that is tried beside it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneproof.deploy.registry import Registry, Version, found, trials
from tuneproof.deploy.registry.home import CHAMPION, Reference
from tuneproof.deploy.server.canary import Canary
from tuneproof.deploy.server.hosted import Models, prove
from tuneproof.deploy.server.shadow import Shadow
from tuneproof.deploy.server.trial import Trial
from tuneproof.errors import ConfigError, Error
from tuneproof.predict import Predictor
from tuneproof.run import Run

Say = Callable[[str], None]
STOPPED = "canary stopped"  # the word of the ledger


@dataclass(frozen=True, slots=True)
class Tried:
    """A version beside the champion, as the command line names it."""

    kind: str  # canary, shadow
    name: str
    which: str  # a number or an alias
    share: float

    @classmethod
    def of(cls, kind: str, text: str) -> Tried:
        """``NAME@8=5%`` or ``NAME@challenger=5%``; ConfigError for anything else."""
        version, _, share = text.partition("=")
        found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", share)
        part = float(found[1]) / 100 if found else 0.0
        if "@" not in version or not 0 < part <= (1 if kind == Shadow.kind else 0.99):
            raise ConfigError(
                f'--{kind} "{text}" is no version with a share.', f"For example: --{kind} reviews@challenger=5%"
            )
        asked = Reference.of(version)
        if asked.which == CHAMPION:
            raise ConfigError(f"--{kind} {version}: the champion is what it would be compared with.")
        return cls(kind, asked.name, asked.which, part)

    def number(self, aliases: Mapping[str, int]) -> int | None:
        """The version that it means now."""
        return int(self.which) if self.which.isdigit() else aliases.get(self.which)


@dataclass(slots=True)
class Loaded:
    """Names of the registry are followed, runs and single versions stay as they are."""

    models: Models
    registry: Registry = field(default_factory=Registry)
    tried: Mapping[str, Tried] = field(default_factory=dict)  # by name
    followed: dict[str, dict[str, int]] = field(default_factory=dict)  # name -> alias -> version, as it is served
    _unfit: set[str] = field(default_factory=set)  # versions to try that could not be opened
    _places: dict[Trial, Path] = field(default_factory=dict)  # of the records of trials
    _ended: list[Trial] = field(default_factory=list)  # those whose last record is still to be written
    _told: set[str] = field(default_factory=set)  # canaries that were stopped and stand in the ledger
    _keeping: threading.Lock = field(default_factory=threading.Lock)

    def check(self, references: Sequence[str]) -> None:
        """Error for a trial that would have no effect: of a name that is not served, or of no version."""
        for name, tried in self.tried.items():
            if not {name, f"{name}@{CHAMPION}"} & set(references):
                raise ConfigError(
                    f"--{tried.kind} {name}@{tried.which}: {name} is not served here.",
                    f"Name it as well: tuneproof serve {name}",
                )
            if self.registry.listed(f"{name}@{tried.which}").number == self.registry.listed(name).number:
                raise ConfigError(f"--{tried.kind} {name}@{tried.which}: that is the champion, which answers already.")

    # -- what is served

    def load(self, reference: str, say: Say) -> None:
        """The model of a run, of ``NAME@7``, or of a name with its champion."""
        what = found(reference, self.registry)
        if isinstance(what, Run):
            self.add(what.id, what, say)
        elif "@" in reference and not reference.endswith("@champion"):
            self.add(what.label, what.run, say)
            self.models.pin(what.label)
        else:
            self.point(what.name, self.wanted(what.name, say), say)

    def add(self, label: str, run: Run, say: Say) -> None:
        if label in self.models.labels():
            return
        say(f"Loading {label}")
        predictor = Predictor.open(run)
        prove(run, predictor)
        self.models.add(label, predictor)

    def wanted(self, name: str, say: Say) -> dict[str, int]:
        """Where ``name`` points now, those versions loaded; what is served stays as it is."""
        named = self.registry.aliases(name)
        aliases = {CHAMPION: named[CHAMPION]} if CHAMPION in named else {}
        tried = self.tried.get(name)
        number = None if tried is None else tried.number(named)
        if tried is not None and number is not None and number != aliases.get(CHAMPION):
            aliases[tried.which] = number
        if aliases == self.followed.get(name):
            return aliases
        return {alias: number for alias, number in aliases.items() if self._opened(name, alias, number, say)}

    def _opened(self, name: str, alias: str, number: int, say: Say) -> bool:
        """Whether this version is loaded. One that is to be tried is opened once, and not again when it is unfit."""
        label = f"{name}@{number}"
        if label in self._unfit:
            return False
        try:
            version: Version = self.registry.resolve(label)
            self.add(label, version.run, say)
            if alias != CHAMPION:
                self._same_task(name, label)
        except Error as error:
            if alias == CHAMPION or name not in self.followed:
                raise
            self._unfit.add(label)
            say(f"{label} is not tried: {error}")
            return False
        return True

    def _same_task(self, name: str, label: str) -> None:
        champion = self.registry.listed(name)
        theirs, ours = (str(self.registry.listed(each).manifest["task"]) for each in (label, champion.label))
        if theirs != ours:
            raise ConfigError(
                f"{label} is a model for {theirs}, {champion.label} for {ours}: they answer other questions."
            )

    def point(self, name: str, aliases: Mapping[str, int], say: Say) -> bool:
        """Serve these versions from now on; whether anything moved.

        Called where requests are answered, so that none has chosen a version and not yet queued its inputs.
        """
        if aliases == self.followed.get(name):
            return False
        self.end(name, "an alias moved")
        self.models.point(name, {alias: f"{name}@{number}" for alias, number in aliases.items()})
        self.followed[name] = dict(aliases)
        if name in self.tried:
            self._begin(self.tried[name], aliases, say)
        return True

    # -- what is tried

    def _begin(self, tried: Tried, aliases: Mapping[str, int], say: Say) -> None:
        """The trial of a name whose champion is served, if there is a version to try."""
        if tried.which not in aliases:
            return
        champion, label = (f"{tried.name}@{aliases[alias]}" for alias in (CHAMPION, tried.which))
        stopped = self._stopped(tried.name, aliases[tried.which])
        if stopped and tried.kind == Canary.kind:
            say(f"{label} answers nobody: a canary of it was stopped ({stopped}).")
            return
        trial: Trial
        if tried.kind == Canary.kind:
            trial = Canary(label, champion, tried.share, self.models.metrics)
        else:
            trial = Shadow(self.models.get(label), champion, tried.share, self.models.metrics, self.models.busy)
        self._places[trial] = trials.begun(self.registry.folder(tried.name), tried.kind, aliases[tried.which])
        self.models.begin(tried.name, trial)
        say(f"{label} is tried beside {champion}: {tried.kind}, {100 * tried.share:g}% of requests")

    def end(self, name: str, why: str) -> None:
        """The trial of ``name`` takes part no more; ``keep`` writes its last record."""
        trial = self.models.end(name, why)
        if trial is not None:
            self._ended.append(trial)

    @property
    def unwritten(self) -> bool:
        """Whether a trial ended, or a canary was stopped, and the disk does not say so yet."""
        stopped = any(trial.stopped and trial.label not in self._told for trial in self.models.trials().values())
        return stopped or bool(self._ended)

    def keep(self) -> None:
        """Write down what trials have seen: their records, and in the ledger why a canary was stopped."""
        with self._keeping:  # the end of the server does not wait for the look that is on its way
            for trial in [*self._ended, *self.models.trials().values()]:
                record = trial.record()
                trials.write(self._places[trial], record)
                if trial.stopped and trial.label not in self._told:
                    self._decide(trial, record)
                if trial in self._ended:
                    self._ended.remove(trial)

    def _decide(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """One line of the ledger; BusyError while another process decides, and then at the next look."""
        name = trial.label.partition("@")[0]
        with self.registry.deciding(name) as now:
            version, facts = self.registry.listed(trial.label), {"told": trial.stopped}
            self.registry.decide(name, STOPPED, version, now, expected=now, facts=facts, gate=record)
        self._told.add(trial.label)

    def _stopped(self, name: str, number: int) -> str:
        """Why a canary of this version was stopped, as the ledger says; "" where none was."""
        told = [
            line.facts["told"] for line in self.registry.ledger(name) if (line.what, line.version) == (STOPPED, number)
        ]
        return str(told[-1]) if told else ""
