"""Personal data and secrets in any part of any row: counted, shown masked, and replaced when the policy is fix.

    checked = personal_data(subject)
    checked.figures["kinds"][0]      # {"kind": "e-mail address", "values": 12, "different values": 9, ...}

Every text of a row is looked at: texts, labels, groups, each message of any role. A conversation is looked at as one
text, as the question may say what the number in the answer is. Fix and drop reach all three sides, a test file
included, as no file of the run should hold the values; a label is never rewritten. What ``find`` does not know (names)
stays.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from heapq import nsmallest
from operator import and_, or_
from typing import Any

import polars as pl

from tuneproof import personal
from tuneproof.errors import DataError
from tuneproof.personal.key import redaction_key
from tuneproof.prepare.check.redaction import BETWEEN, as_text, derived, redacted_row
from tuneproof.prepare.check.subject import KEPT, Checked, Subject
from tuneproof.prepare.check.tagged import told_by_tags
from tuneproof.records import Finding

NAME = "personal_data"
CHUNK = 100_000  # rows sifted at a time, so that the copy of a column that polars needs stays small
LONG = 8  # characters of a value that is looked for wherever it stands; shorter ones are other things too
SAMPLES = 5  # masked values shown per kind
LONE_NUMBER = r"(?:^|\x00)\s*[0-9]{4,9}[\s.!]*(?:$|\x00)"


@dataclass(frozen=True, slots=True)
class Hit:
    """What stands in one part of one row."""

    side: str
    row: int
    part: str
    kinds: tuple[str, ...]  # one for each value
    also: tuple[tuple[str, str], ...] = ()  # (kind, value) that another row explains


@dataclass(slots=True)
class Count:
    """What was found of one kind."""

    values: int = 0
    distinct: set[int] = field(default_factory=set)  # hashes of the values in their normal form
    rows: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # side -> rows
    samples: dict[str, None] = field(default_factory=dict)  # masked; a dictionary keeps the order


@dataclass(slots=True)
class Search:
    """What was found so far; rows are (side, row number)."""

    counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    hits: dict[tuple[str, int], list[Hit]] = field(default_factory=lambda: defaultdict(list))
    lone: set[tuple[str, int]] = field(default_factory=set)  # rows that have a text that is a number and nothing else
    explained: dict[str, str] = field(default_factory=dict)  # values that the words around them gave away -> kind

    def add(self, hit: Hit, text: str, matches: Sequence[personal.Match]) -> None:
        self.hits[(hit.side, hit.row)].append(hit)
        for match in matches:
            count, value = self.counts[match.kind], text[match.start : match.end]
            count.values += 1
            count.distinct.add(hash(personal.normal(match.kind, value)))
            count.rows[hit.side].add(hit.row)
            if len(count.samples) < SAMPLES:
                count.samples[personal.mask(value)] = None
            if match.explained and len(value) >= LONG:
                self.explained[value] = match.kind


def personal_data(subject: Subject) -> Checked:
    """Every row with a value of a kind in ``personal.KINDS``; DataError for a label that would have to be rewritten."""
    search = Search()
    _first_pass(subject, search)
    _by_tags(subject, search)
    _second_pass(subject, search)
    fix = subject.options.personal_data == "fix"
    if fix:
        _no_labels(subject, search.hits)
    worst = nsmallest(KEPT, search.hits.items(), key=lambda item: (*_order(item[1]), item[0][1]))
    leave: dict[str, list[int]] = defaultdict(list)
    for side, row in sorted(search.hits):
        leave[side].append(row)
    counts = search.counts
    return Checked(
        looked_at=sum(len(table) for _, table in subject.splits.items()),
        found=len(search.hits),
        findings=[_finding(subject, side, row, several) for (side, row), several in worst],
        leave=dict(leave),
        repaired=_repaired(subject, search.hits) if fix else {},
        figures={"kinds": [_figures(kind, counts[kind]) for kind in personal.KINDS if kind in counts]},
        note="Dates of birth, and names of persons that nothing announces, are not looked for."
        + _unexplained(len(search.lone - set(search.hits))),
        known={row: pairs for row, several in search.hits.items() if (pairs := _known(several))},
    )


def candidates(texts: Sequence[str]) -> list[int]:
    """The places of the texts in which ``personal.find`` may find something; of all others it finds nothing."""
    column = pl.Series("text", texts, pl.String)
    possible = column.str.contains(personal.GATE).arg_true()
    rest = column.gather(possible)
    hints = {hint: rest.str.contains(hint) for hints in personal.FAMILIES for hint in hints}
    families = [reduce(and_, (hints[hint] for hint in family)) for family in personal.FAMILIES]
    places: list[int] = possible.filter(reduce(or_, families)).to_list()
    return places


def _matching(texts: Sequence[str], pattern: str) -> list[int]:
    places: list[int] = pl.Series(texts, dtype=pl.String).str.contains(pattern).arg_true().to_list()
    return places


def _unexplained(rows: int) -> str:
    """A sentence on the rows whose text, or a message of it, is a number and nothing else."""
    if rows == 0:
        return ""
    told = f"{rows:,} {'row has' if rows == 1 else 'rows have'}"
    return f" {told} a text that is nothing but a number of 4 to 9 digits; only a person can say what it is."


def _chunks(subject: Subject, size: int = CHUNK) -> Iterator[tuple[str, str, int, list[str]]]:
    """Every part of every side as texts: side, part, number of the first row, texts."""
    for side, table in subject.splits.items():
        for part in sorted(table.columns.keys() - {"id"} - derived(table.columns), key=list(table.columns).index):
            for start in range(0, len(table), size):
                yield side, part, start, [as_text(value) for value in table.columns[part][start : start + size]]


def _first_pass(subject: Subject, search: Search) -> None:
    total = sum(
        len(table) * (len(table.columns) - 1 - len(derived(table.columns))) for _, table in subject.splits.items()
    )
    done = 0
    for side, part, start, texts in _chunks(subject):
        if part not in ("group", "label"):
            search.lone |= {(side, start + place) for place in _matching(texts, LONE_NUMBER)}
        for place in candidates(texts):
            matches = personal.find(texts[place])
            if matches:
                kinds = tuple(match.kind for match in matches)
                search.add(Hit(side, start + place, part, kinds), texts[place], matches)
        done += len(texts)
        subject.progress("personal data", done, total)


def _by_tags(subject: Subject, search: Search) -> None:
    """What the tags of the file call somebody's name, card or address."""
    for side, table in subject.splits.items():
        if not {"words", "tags"} <= derived(table.columns):
            continue
        parts = (table.columns[name] for name in ("text", "words", "tags"))
        for row, (text, words, tags) in enumerate(zip(*parts, strict=True)):
            also = tuple(dict.fromkeys(told_by_tags(text, words, tags)))
            if not also:
                continue
            plain = personal.find(text)
            more = [replace(match, explained=True) for match in personal.find(text, also) if match not in plain]
            if more:
                kinds = tuple(match.kind for match in more)
                search.add(Hit(side, row, "text", kinds, also), text, more)


def _second_pass(subject: Subject, search: Search) -> None:
    """What one row explains ("my card is ...") may stand bare in another: it is the same value there."""
    explained = dict(search.explained)
    if not explained:
        return
    for side, part, start, texts in _chunks(subject, max(CHUNK, len(explained))):  # polars compiles them per chunk
        column = pl.Series(texts, dtype=pl.String)
        places = column.str.contains_any(list(explained)).arg_true()
        held = column.gather(places).str.extract_many(list(explained), overlapping=True)
        for place, values in zip(places.to_list(), held.to_list(), strict=True):
            text, several = texts[place], dict.fromkeys(values)
            plain = personal.find(text)
            found = {text[match.start : match.end] for match in plain}
            if all(value in found and text.count(value) == 1 for value in several):
                continue  # the row itself explains them
            also = tuple((explained[value], value) for value in several)
            more = [match for match in personal.find(text, also) if match not in plain]
            if more:
                kinds = tuple(match.kind for match in more)
                search.add(Hit(side, start + place, part, kinds, also), text, more)


def _figures(kind: str, count: Count) -> dict[str, Any]:
    """A line of the table of kinds."""
    return {
        "kind": personal.KINDS[kind],
        "secret": "yes" if kind in personal.SECRETS else "no",
        "values": count.values,
        "different values": len(count.distinct),
        **{f"rows of {side}": len(count.rows[side]) for side in ("train", "validation", "test")},
        "masked": ", ".join(count.samples),
    }


# -- one row


def _order(hits: Sequence[Hit]) -> tuple[int, int]:
    """Secrets first, then the rows with most values."""
    kinds = [kind for hit in hits for kind in hit.kinds]
    return -sum(kind in personal.SECRETS for kind in kinds), -len(kinds)


def _finding(subject: Subject, side: str, row: int, hits: Sequence[Hit]) -> Finding:
    """The evidence is masked as a whole before a part of it is cut out: a cut value would not be recognised."""
    kinds = Counter(kind for hit in hits for kind in hit.kinds)
    secret = any(kind in personal.SECRETS for kind in kinds)
    told = ", ".join(f"{number} x {personal.KINDS[kind]}" for kind, number in kinds.items())
    parts = " and ".join(dict.fromkeys(hit.part for hit in hits))
    advice = "Withdraw it where it is valid, and replace it" if secret else "Replace it"
    first = hits[0].part
    text, also = as_text(subject.table(side).columns[first][row]), _also(hits, first)
    start = max(0, personal.find(text, also)[0].start - 60)  # what is masked before it only makes the text shorter
    return subject.finding(
        NAME,
        side,
        row,
        "error" if secret else "warn",
        f"In the {parts}: {told}. {advice} with check.personal_data=fix, or drop the row.",
        evidence=personal.masked(text, also)[start:].replace(BETWEEN, " | "),
    )


def _also(hits: Sequence[Hit], part: str) -> tuple[tuple[str, str], ...]:
    return tuple(pair for hit in hits if hit.part == part for pair in hit.also)


def _known(hits: Sequence[Hit]) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(pair for hit in hits for pair in hit.also))


def _no_labels(subject: Subject, hits: Mapping[tuple[str, int], Sequence[Hit]]) -> None:
    for (side, row), several in hits.items():
        for hit in several:
            if hit.part == "label":
                label = personal.masked(subject.table(side).columns["label"][row])
                raise DataError(
                    f'{subject.where(side, row)}: the label "{label}" holds personal data '
                    f"({personal.KINDS[hit.kinds[0]]}), and labels are not rewritten.",
                    "Rename the class in the file, or set check.personal_data=drop.",
                )


# -- the policy fix


def _repaired(subject: Subject, hits: Mapping[tuple[str, int], Sequence[Hit]]) -> dict[str, dict[int, dict[str, Any]]]:
    if not hits:
        return {}
    key = redaction_key()
    repaired: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for (side, row), several in hits.items():
        columns = subject.table(side).columns
        parts = list(dict.fromkeys(hit.part for hit in several))
        whole = {part: values[row] for part, values in columns.items() if part != "id"}
        repaired[side][row] = redacted_row(whole, parts, key, {part: _also(several, part) for part in parts})
    return dict(repaired)
