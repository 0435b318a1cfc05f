"""The data doctor: every check of CHECKS looks at the divided rows, and the policies say what happens to them.

    examined = examine(prepared, answer, options, seed=0, embed=embed)
    examined.checks[0].name, examined.checks[0].found, examined.checks[0].action
    examined.prepared                  # the rows after it, with a ledger that closes

All checks look at the same rows; what they name leaves, or is repaired, afterwards and at once. Labels are never
changed here: a person does that in a review file (``review``).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tuneproof.config import Check as Options
from tuneproof.errors import CheckError, ConfigError, DataError
from tuneproof.prepare.check import CHECKS, Check, Checked, Subject
from tuneproof.prepare.check.effect import effect
from tuneproof.prepare.check.personal import NAME as PERSONAL
from tuneproof.prepare.check.subject import Embed
from tuneproof.prepare.clean import drops, identify, is_content
from tuneproof.prepare.ledger import version
from tuneproof.prepare.stage import Prepared, merged
from tuneproof.prepare.tokens import Encoded
from tuneproof.records import Finding, Row, Splits, Table
from tuneproof.tasks.rows import quoted

SIDES = ("train", "validation", "test")
BAD = ("info", "warn", "error")


class Examinable(Protocol):
    """The part of an Answer that the doctor needs."""

    def texts(self, row: Row) -> tuple[str, str]: ...


Say = Callable[[str, int, int], None]  # title, rows done, rows


@dataclass(frozen=True, slots=True)
class Examined:
    """One check, what it found, and what was done about it."""

    name: str
    check: Check
    checked: Checked
    action: str  # "kept", "dropped", "fixed" or "told"
    changed: int  # rows that left or were repaired because of it
    effect: str  # what that did to a cheap probe, in one sentence; "" where nothing left
    seconds: float

    @property
    def severity(self) -> str:
        """The worst of its findings, "" without any."""
        return max((finding.severity for finding in self.checked.findings), key=BAD.index, default="")

    def as_json(self, most: int = 1000) -> dict[str, Any]:
        """For the report; ``most`` findings."""
        return {
            "name": self.name,
            "title": self.check.title,
            "what": self.check.what,
            "policy": self.check.policy,
            "looked_at": self.checked.looked_at,
            "found": self.checked.found,
            "action": self.action,
            "changed": self.changed,
            "severity": self.severity,
            "seconds": round(self.seconds, 2),
            "note": self.checked.note,
            "figures": dict(self.checked.figures),
            "effect": self.effect,
            "findings": [dataclasses.asdict(finding) for finding in self.checked.findings[:most]],
        }


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The rows as the doctor leaves them, and everything it found."""

    prepared: Prepared
    checks: tuple[Examined, ...]

    def with_tokens(self, encoded: Encoded) -> Diagnosis:
        """The same with what the model's limit takes from the rows, which only its tokenizer can tell."""
        looked_at = sum(len(examples) for examples in encoded.examples.values())
        checked = Checked(looked_at, sum(map(len, encoded.cuts.values())), encoded.findings)
        title = "Rows longer than the model reads"
        what = "Their end is cut off. The score is the share of the answer, or of the text, that is lost; 1 is worst."
        told = Examined("too_long", Check(title, what, lambda subject: checked), checked, "told", 0, "", 0.0)
        return dataclasses.replace(self, checks=(*self.checks, told))

    @property
    def findings(self) -> list[Finding]:
        return [finding for one in self.checks for finding in one.checked.findings]

    @property
    def verdict(self) -> str:
        """ "errors" when something bad stays in the rows, "warnings" when something was found, else "clean"."""
        if any(one.severity == "error" and one.action not in ("dropped", "fixed") for one in self.checks):
            return "errors"
        return "warnings" if any(one.severity in ("error", "warn") for one in self.checks) else "clean"


def examine(
    prepared: Prepared,
    answer: Examinable,
    options: Options,
    *,
    seed: int,
    embed: Embed | None = None,
    no_embed: str = "",
    progress: Say = lambda title, done, total: None,
) -> Diagnosis:
    """All checks, then what their policies say. CheckError where one says refuse and something was found."""
    if options.label_issues == "drop" and not options.drop_label_issues:
        raise ConfigError(
            "check.label_issues=drop needs to know how many rows leave.", "Add --set check.drop_label_issues=N."
        )
    if options.drop_label_issues and options.label_issues != "drop":
        raise ConfigError(
            "check.drop_label_issues would have no effect: labels are only reported.",
            "Add --set check.label_issues=drop.",
        )
    subject = Subject(prepared.splits, prepared.schema, answer.texts, options, seed, embed, no_embed, progress)
    looked = _all(subject, progress)
    for _, check, checked, _ in looked:
        _refuse(check, checked, options)
    changes = _changes(looked, options)
    whole = {side: _repaired(table, changes.repaired[side]) for side, table in prepared.splits.items()}
    treated = _treated(prepared, whole, changes, looked)
    told = []
    for name, check, checked, seconds in looked:
        gone = {side: changes.taken(name, side) for side in SIDES}
        action, changed = _done(check, options, sum(map(len, gone.values())), sum(map(len, checked.repaired.values())))
        said = effect(subject, gone["train"], check.leaves, check.falls) if gone["train"] and options.effect else ""
        told.append(Examined(name, check, _named_anew(checked, whole, changes), action, changed, said, seconds))
    return Diagnosis(treated, tuple(told))


def _all(subject: Subject, progress: Say) -> list[tuple[str, Check, Checked, float]]:
    """Every check, in the order of the table; personal data is looked for first, so that the others can mask it."""
    first = _look(PERSONAL, CHECKS[PERSONAL], subject, progress)
    subject.known = first[2].known
    return [first if name == PERSONAL else _look(name, check, subject, progress) for name, check in CHECKS.items()]


def _look(name: str, check: Check, subject: Subject, progress: Say) -> tuple[str, Check, Checked, float]:
    began = time.monotonic()
    progress(check.title, 0, 0)
    return name, check, check.look(subject), time.monotonic() - began


def _policy(check: Check, options: Options) -> str:
    return getattr(options, check.policy) if check.policy else "told"


def _refuse(check: Check, checked: Checked, options: Options) -> None:
    if _policy(check, options) != "refuse" or not checked.found:
        return
    first = checked.findings[0]
    raise CheckError(
        f"{check.title}: {checked.found:,} of {checked.looked_at:,} rows, "
        f"the first in {first.file}, line {first.line}: {first.message}",
        f"Correct them, or choose another policy: --set check.{check.policy}=keep",
    )


def _done(check: Check, options: Options, gone: int, repaired: int) -> tuple[str, int]:
    """What was done about what a check found, and to how many rows."""
    policy = _policy(check, options)
    if policy == "drop":
        return "dropped", gone
    if policy == "fix":
        return "fixed", repaired
    return ("told" if policy == "told" else "kept"), 0


@dataclass(slots=True)
class Changes:
    """Row numbers by side: which check took each, and what became of those that were repaired."""

    gone: dict[str, dict[int, str]]
    repaired: dict[str, dict[int, Mapping[str, Any]]]

    def taken(self, name: str, side: str) -> list[int]:
        return [index for index, by in self.gone[side].items() if by == name]


def _changes(looked: Sequence[tuple[str, Check, Checked, float]], options: Options) -> Changes:
    """A row that two checks would drop is counted with the first of them."""
    changes = Changes({side: {} for side in SIDES}, {side: {} for side in SIDES})
    for name, check, checked, _ in looked:
        policy = _policy(check, options)
        if policy == "drop":
            for side, indices in checked.leave.items():
                for index in indices:
                    changes.gone[side].setdefault(index, name)
        elif policy == "fix":
            for side, rows in checked.repaired.items():
                changes.repaired[side].update(rows)
    return changes


def _treated(
    prepared: Prepared,
    whole: Mapping[str, Table],
    changes: Changes,
    looked: Sequence[tuple[str, Check, Checked, float]],
) -> Prepared:
    """The rows of ``whole`` (after repairs) without those that left; the books follow."""
    splits = Splits(**{side: _without(table, changes.gone[side]) for side, table in whole.items()})
    left = list(prepared.ledger.dropped)
    for side, table in prepared.splits.items():
        for name, check in CHECKS.items():
            taken = changes.taken(name, side)
            left += drops(f"{check.leaves} ({side})", table, sorted(taken))
    ledger = dataclasses.replace(
        prepared.ledger, used={side: len(table) for side, table in splits.items()}, dropped=tuple(merged(left))
    )
    assert ledger.closes(), "rows in = rows used + rows dropped"
    _still_taught(prepared, splits)
    before, made = prepared.manifest["data_id"], version(splits)
    manifest = {
        **prepared.manifest,
        "rows": sum(ledger.used.values()),
        "data_id": made,
        "parents": [before] if made != before else [],
        "splits": dict(ledger.used),
        "checks": {name: checked.found for name, _, checked, _ in looked},
    }
    return Prepared(splits, prepared.schema, ledger, manifest)


def _repaired(table: Table, repaired: Mapping[int, Mapping[str, Any]]) -> Table:
    """The table with other values, and with the ids of these rows."""
    if not repaired:
        return table
    columns: dict[str, list[Any]] = {name: list(values) for name, values in table.columns.items()}
    for index, parts in repaired.items():
        for name, value in parts.items():
            columns[name][index] = value
    columns["id"] = identify({name: values for name, values in columns.items() if is_content(name)})
    return dataclasses.replace(table, columns=columns)


def _without(table: Table, gone: Mapping[int, str]) -> Table:
    return table.take([index for index in range(len(table)) if index not in gone]) if gone else table


def _named_anew(checked: Checked, whole: Mapping[str, Table], changes: Changes) -> Checked:
    """Findings about repaired rows name them by their new id: from the old one a short text could be computed."""
    ids = {
        (side, table.file(index), table.lines[index]): table.columns["id"][index]
        for side, table in whole.items()
        for index in changes.repaired[side]
    }
    if not ids:
        return checked
    named = [dataclasses.replace(one, id=ids.get((one.side, one.file, one.line), one.id)) for one in checked.findings]
    return dataclasses.replace(checked, findings=named)


def _still_taught(prepared: Prepared, splits: Splits) -> None:
    """DataError when what left takes a whole class, or a whole side, with it."""
    for side, table in splits.items():
        if not len(table):
            raise DataError(
                f"The checks would take every {side} row.", "Look at them first: tuneproof check FILE; or keep them."
            )
    if not prepared.schema.labels:
        return
    lost = sorted(set(prepared.schema.labels) - set(splits.train.columns["label"]))
    if lost:
        raise DataError(
            f"The checks would take every train row of {quoted(lost, 5)}.",
            "Look at them first: tuneproof check FILE; or keep them: --set check.leakage=keep",
        )
