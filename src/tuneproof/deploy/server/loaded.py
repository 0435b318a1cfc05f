"""What a server has loaded from where: names follow the registry, a version may be tried beside a champion.

    loaded = Loaded(models, tried={"reviews": Tried.of("canary", "reviews@challenger=5%")})
    loaded.load("reviews", say)
    loaded.point("reviews", loaded.wanted("reviews", say), say)      # again and again: what moved is served from now on
    loaded.keep()                                # records of trials, why a canary was stopped, which step it has done
    loaded.go_on()                               # those whose step stands in the ledger begin the next one

A champion is always followed, whatever becomes of the version that is tried beside it. What is tried is the canary that
the ledger says is under way, or what the command line says of a name; it may not say so while there is a canary.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneproof.deploy.registry import Registry, Version, canaries, found, trials
from tuneproof.deploy.registry.books import promoted
from tuneproof.deploy.registry.home import CHAMPION, Reference
from tuneproof.deploy.server.canary import Canary
from tuneproof.deploy.server.graph import by_graph, has_graph
from tuneproof.deploy.server.hosted import Models, prove, readers
from tuneproof.deploy.server.shadow import Shadow
from tuneproof.deploy.server.sharing import share
from tuneproof.deploy.server.trial import Trial
from tuneproof.device import give_back, machine
from tuneproof.errors import ConfigError, Error
from tuneproof.predict import Predictor
from tuneproof.run import Run

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tried:
    """A version beside the champion, as the command line or the ledger names it."""

    kind: str  # canary, shadow
    name: str
    which: str  # a number or an alias
    share: float
    steps: tuple[float, ...] = ()  # where the end of it is a promotion

    @classmethod
    def promised(cls, name: str, promise: canaries.Promise) -> Tried:
        share = promise.steps[promise.step]
        return cls(Canary.kind, name, str(promise.version), share, promise.steps)

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
    graphs: bool = False  # whether models that read are computed by onnxruntime
    sooner: list[str] = field(default_factory=list)  # what torch computes and onnxruntime could
    followed: dict[str, dict[str, int]] = field(default_factory=dict)  # name -> alias -> version, as it is served
    _promised: dict[str, Tried] = field(default_factory=dict)  # by name, as the ledger said at the last look
    _unfit: set[str] = field(default_factory=set)  # versions to try that could not be opened
    _places: dict[Trial, Path] = field(default_factory=dict)  # of the records of trials
    _ended: list[Trial] = field(default_factory=list)  # those whose last record is still to be written
    _told: set[str] = field(default_factory=set)  # canaries that were stopped or promoted and stand in the ledger
    _kept: dict[str, str] = field(default_factory=dict)  # canary -> what it reached, as it stands in the ledger
    _keeping: threading.Lock = field(default_factory=threading.Lock)

    def check(self, references: Sequence[str]) -> None:
        """Error for a trial that would have no effect, or push aside the canary that the ledger says is under way."""
        for name, tried in self.tried.items():
            if not {name, f"{name}@{CHAMPION}"} & set(references):
                raise ConfigError(
                    f"--{tried.kind} {name}@{tried.which}: {name} is not served here.",
                    f"Name it as well: tuneproof serve {name}",
                )
            if self.registry.listed(f"{name}@{tried.which}").number == self.registry.listed(name).number:
                raise ConfigError(f"--{tried.kind} {name}@{tried.which}: that is the champion, which answers already.")
            promise = canaries.under_way(self.registry.ledger(name))
            if promise is not None:
                raise ConfigError(
                    f"--{tried.kind} {name}@{tried.which}: a canary of {name}@{promise.version} is under way, "
                    f"at {canaries.shares(promise.steps[promise.step :][:1])} of the requests, and both cannot be.",
                    f"Leave --{tried.kind} out to go on with it, or end it first: tuneproof rollback {name}",
                )

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
        if self.graphs:
            predictor, why = by_graph(predictor, run, label, machine().cores // readers(machine().cores), say)
            say(f"{label} is computed by {f'torch: {why}' if why else 'onnxruntime'}")
            give_back()
        elif has_graph(predictor, run, label):
            self.sooner.append(label)
        saved = share(predictor.model, [hosted.predictor.model for hosted in self.models.all()]) / 2**20
        if saved >= 1:
            give_back()
            say(f"{label} has {saved:,.0f} MiB of weights in common with what is loaded; they are kept once")
        prove(run, predictor)
        self.models.add(label, predictor)

    def wanted(self, name: str, say: Say) -> dict[str, int]:
        """Where ``name`` points now, those versions loaded; what is served stays as it is."""
        lines = self.registry.ledger(name)
        named = lines[-1].aliases
        aliases = {CHAMPION: named[CHAMPION]} if CHAMPION in named else {}
        promise = canaries.under_way(lines)
        before = self._promised.pop(name, None)
        if promise is not None:
            self._promised[name] = Tried.promised(name, promise)
            if name in self.tried and before is None:
                tries = f"{name}@{self.tried[name].which}"
                say(
                    f"The canary of {name}@{promise.version} gets no requests here: this server was told to try {tries}"
                )
        tried = self.tried.get(name) or self._promised.get(name)
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
            if alias == CHAMPION or (name in self.tried and name not in self.followed):
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
        tried = self.tried.get(name) or self._promised.get(name)
        if tried is not None:
            self._begin(tried, aliases, say)
        return True

    # -- what is tried

    def _begin(self, tried: Tried, aliases: Mapping[str, int], say: Say) -> None:
        """The trial of a name whose champion is served, if there is a version to try."""
        if tried.which not in aliases:
            return
        champion, label = (f"{tried.name}@{aliases[alias]}" for alias in (CHAMPION, tried.which))
        stopped = canaries.stopped(self.registry.ledger(tried.name), aliases[tried.which])
        if stopped and tried.kind == Canary.kind:
            say(f"{label} answers nobody: a canary of it was stopped ({stopped}).")
            return
        trial: Trial
        if tried.kind == Canary.kind:
            trial = Canary(label, champion, tried.share, self.models.metrics, tried.steps)
        else:
            trial = Shadow(self.models.get(label), champion, tried.share, self.models.metrics, self.models.busy)
        self._told.discard(label)
        self._kept.pop(label, None)
        self._places[trial] = trials.begun(self.registry.folder(tried.name), tried.kind, aliases[tried.which])
        self.models.begin(tried.name, trial)
        say(f"{label} is tried beside {champion}: {tried.kind}, {100 * tried.share:g}% of requests")

    def end(self, name: str, why: str) -> None:
        """The trial of ``name`` takes part no more; ``keep`` writes its last record."""
        trial = self.models.trials().get(name)
        if trial is not None:
            self.models.end(name, "it was promoted" if trial.label in self._told and not trial.stopped else why)
            self._ended.append(trial)

    @property
    def unwritten(self) -> bool:
        """Whether a trial ended, was stopped or has done a step, and the disk does not say so yet."""
        return bool(self._ended) or any(self._news(trial) for trial in self.models.trials().values())

    def _news(self, trial: Trial) -> bool:
        """Whether the ledger has to hear of it."""
        if trial.label in self._told:
            return False
        return bool(trial.stopped) or (bool(trial.reached) and self._kept.get(trial.label) != trial.reached)

    def keep(self) -> None:
        """Write down what trials have seen: their records, and in the ledger what became of a canary."""
        with self._keeping:  # the end of the server does not wait for the look that is on its way
            for trial in [*self._ended, *self.models.trials().values()]:
                record = trial.record()
                trials.write(self._places[trial], record)
                if self._news(trial):
                    self._decide(trial, record)
                if trial in self._ended:
                    self._ended.remove(trial)

    def _decide(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """One line of the ledger; BusyError while another process decides, and then at the next look."""
        name = trial.label.partition("@")[0]
        stopped, reached, step = trial.stopped, trial.reached, trial.next
        with self.registry.deciding(name) as now:
            version, what, aliases = self.registry.listed(trial.label), canaries.STOPPED, now
            facts: dict[str, Any] = {"told": stopped}
            if not stopped:
                promise = canaries.under_way(self.registry.ledger(name))
                if promise is None or promise.version != version.number:
                    return  # ended since; the next look ends it here as well
                what, facts = canaries.STEP, {"told": reached, "step": step}
                if step is None:
                    what, aliases, facts = "promoted", promoted(now, version.number), {"told": f"canary, {reached}"}
            self.registry.decide(name, what, version, aliases, expected=now, facts=facts, gate=record)
        if stopped or step is None:
            self._told.add(trial.label)
        self._kept[trial.label] = reached

    def go_on(self) -> None:
        """Begin the next step where the ledger says that one is done; called where requests are answered."""
        for trial in self.models.trials().values():
            if trial.reached and self._kept.get(trial.label) == trial.reached:
                trial.go_on()
