"""The review file: suspicious rows as a CSV that a person edits in a spreadsheet and hands back.

    write_review(findings, splits, Path("review.csv"))                     # tuneproof check FILE --review review.csv
    splits, dropped, notes = apply(splits, read_review(path, splits, schema))      # --apply review.csv

``decision`` is keep, drop, relabel (``new_label`` is one of the labels that exist) or relabel-new (a label of its own);
nothing means that the row stays as it is. Decisions are about rows: texts are shown masked and cannot be changed here.
A test row may be relabelled, because a person says that its truth is wrong, and is then told in the notes; it cannot be
dropped, because what a test measures is not decided by what looks odd in it. Where personal data was replaced, a row is
named by its id under the key of the placeholders: from the id itself a short text could be guessed.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import hmac
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.errors import DataError, nearest
from tuneproof.personal.key import redaction_key
from tuneproof.prepare import clean as cleaning
from tuneproof.prepare.check.subject import shown
from tuneproof.prepare.read import read
from tuneproof.records import Drop, Finding, Schema, Splits, Table
from tuneproof.run import write_atomically
from tuneproof.tasks import tables
from tuneproof.tasks.columns import normal
from tuneproof.tasks.rows import counted, question, quoted, written

# What is filled in stands first. The id stands last because it is never empty: Excel leaves out the separators of cells
# that are empty at the end of a line, and the lines would differ in length.
COLUMNS = ("decision", "new_label", "label", "suggestion", "text", "score", "check", "side", "file", "line", "id")
NEEDED = ("decision", "new_label", "label", "text", "id")
KEEP, DROP, RELABEL, NEW = "keep", "drop", "relabel", "relabel-new"
DECISIONS = (KEEP, DROP, RELABEL, NEW)
DROPPED = "dropped in review"
TWICE = "exact duplicate after review"
KEYED = "keyed-"  # begins the name of a row whose personal data was replaced
TEXT_MOST = 2000  # characters of a text: a spreadsheet takes 32,767 and a person reads fewer
# What a spreadsheet would calculate (with the wide forms of the signs), and our own mark.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'")
# What a spreadsheet would turn into a date, a number of its own style or TRUE.
TURNED = re.compile(r"[\s(]*[\d.,$€£¥%].{0,40}|[^\W\d_]{3,9}\.?[ \-/.]*\d[\d ,./:-]*|true|false", re.I | re.S)
PLAIN = re.compile(r"0|[1-9]\d{0,14}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about one row."""

    side: str
    index: int  # of the row in its side
    what: str  # one of DECISIONS
    label: str | None  # the new one, where it gets one
    line: int  # of the review file


@dataclass(frozen=True, slots=True)
class Decisions:
    """All of them, and how many lines have none."""

    source: str
    decisions: tuple[Decision, ...]
    undecided: int


def write_review(findings: Sequence[Finding], splits: Splits, to: Path, after: Splits | None = None) -> int:
    """One line per row of ``splits`` that a finding names, in the order of the findings; the number of rows.

    ``after`` are the rows as the doctor leaves them: what it took out already needs no decision and is not listed, and
    what it repaired is named under the user's key.
    UTF-8 with a byte order mark, by which Excel knows it. DataError when ``to`` exists: a person may have worked on it.
    """
    if to.exists():
        raise DataError(f"{to} exists already, and may hold decisions.", "Give another name, or remove it first.")
    places = {
        (side, table.file(index), line): index
        for side, table in splits.items()
        for index, line in enumerate(table.lines)
    }
    left = _ids(after if after is not None else splits)
    rows: dict[tuple[str, str, int], list[Finding]] = {}
    for finding in findings:
        where = (finding.side, finding.file, finding.line)
        if where in left:
            rows.setdefault(where, []).append(finding)
    tables = dict(splits.items())
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for where, several in rows.items():
        row = tables[where[0]].row(places[where])
        name = row["id"] if left[where] == row["id"] else _keyed(row["id"], redaction_key())
        writer.writerow(_line(row, name, several))
    write_atomically(to, content.getvalue().encode("utf-8-sig"))
    return len(rows)


def read_review(path: Path, splits: Splits, schema: Schema) -> Decisions:
    """The decisions in a review file, as CSV with any separator or as a spreadsheet.

    DataError, naming the line and the remedy, for a row that is not in ``splits``, a text or label that was edited, an
    unknown decision or label, decisions that contradict each other, and a test row that would be dropped.
    """
    table = read(path)
    _has_columns(table)
    rows = _Rows(splits, schema, table)
    decisions: dict[tuple[str, int], Decision] = {}
    undecided = 0
    for number in range(len(table)):
        found = rows.decision(number)
        if found is None:
            undecided += 1
            continue
        before = decisions.setdefault((found.side, found.index), found)
        if (before.what, before.label) != (found.what, found.label):
            raise DataError(
                f"{path}, line {found.line}: the row was decided otherwise in line {before.line} "
                f"({_said(before)}, here {_said(found)}).",
                "Leave one of the two.",
            )
    return Decisions(str(path), tuple(decisions.values()), undecided)


def apply(splits: Splits, decisions: Decisions) -> tuple[Splits, list[Drop], list[str]]:
    """The rows after the decisions, what left with its reason, and notes for the ledger.

    A relabelled row gets a new id, so that the data has a new version. One of train or validation that is then equal to
    another row of its side leaves as a duplicate. DataError when a side, or a class that is measured, would be left
    without train rows.
    """
    tables: dict[str, Table] = {}
    dropped: list[Drop] = []
    for side, table in splits.items():
        own = [one for one in decisions.decisions if one.side == side]
        gone = {one.index for one in own if one.what == DROP}
        labels = {one.index: one.label for one in own if one.label is not None}
        relabelled = _relabelled(table, labels)
        twice = _twice(relabelled, labels, gone) if side != "test" else set()
        dropped += cleaning.drops(DROPPED, table, sorted(gone)) + cleaning.drops(TWICE, table, sorted(twice))
        kept = [index for index in range(len(table)) if index not in gone and index not in twice]
        tables[side] = relabelled.take(kept)
    after = Splits(**tables)
    _still_taught(after, decisions.source)
    return after, dropped, _notes(splits, decisions)


def escaped(value: str) -> str:
    """``value`` as a spreadsheet leaves it alone: with a quote before what it would calculate or turn into a date."""
    turned = TURNED.fullmatch(value) and not PLAIN.fullmatch(value)
    return f"'{value}" if value.startswith(FORMULA) or turned else value


def unescaped(value: str) -> str:
    return value[1:] if value.startswith("'") else value


# -- writing


def _ids(splits: Splits) -> dict[tuple[str, str, int], str]:
    """The id of every row by side, file and line; it changes where a row is repaired."""
    return {
        (side, table.file(index), line): id
        for side, table in splits.items()
        for index, (line, id) in enumerate(zip(table.lines, table.columns["id"], strict=True))
    }


def _keyed(id: str, key: bytes) -> str:
    return KEYED + hmac.new(key, f"row:{id}".encode(), hashlib.sha256).hexdigest()[:32]


def _line(row: Mapping[str, Any], name: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """The cells of a row that the file calls ``name``."""
    score = next((one.score for one in findings if one.score is not None), None)
    texts = {
        "label": str(row.get("label", "")),
        "suggestion": next((one.suggest for one in findings if one.suggest is not None), ""),
        "text": _text(row),
        "check": ", ".join(dict.fromkeys(one.check for one in findings)),
        "side": findings[0].side,
        "file": findings[0].file,
        "id": name,
    }
    line = {column: escaped(text) for column, text in texts.items()}
    return {**line, "line": findings[0].line, "score": "" if score is None else f"{score:.4g}"}


def _text(row: Mapping[str, Any]) -> str:
    """What a person reads of a canonical row: the text, or who says what."""
    if "messages" not in row:
        return shown(question(row), TEXT_MOST)
    return shown("\n".join(f"{one['role']}: {one['content']}" for one in row["messages"]), TEXT_MOST)


# -- reading


def _has_columns(table: Table) -> None:
    absent = [name for name in NEEDED if name not in table.columns]
    if absent:
        raise DataError(
            f"{table.source}: there is no column {quoted(absent)}; the file has {quoted(list(table.columns))}.",
            "Hand back the file that --review wrote, with its header.",
        )


class _Rows:
    """The lines of a review file beside the rows that they are about."""

    def __init__(self, splits: Splits, schema: Schema, table: Table) -> None:
        self.tables = dict(splits.items())
        self.labels = schema.labels
        self.table = table
        key = redaction_key() if any(unescaped(str(id)).startswith(KEYED) for id in table.columns["id"]) else None
        self.places: dict[str, list[tuple[str, int]]] = {}
        for side, rows in splits.items():
            for index, id in enumerate(rows.columns["id"]):
                for name in (id,) if key is None else (id, _keyed(id, key)):
                    self.places.setdefault(name, []).append((side, index))

    def decision(self, number: int) -> Decision | None:
        """What line ``number`` says, None where nothing was decided."""
        cells = {name: written(value).strip() if value is not None else "" for name, value in self._cells(number)}
        where = f"{self.table.source}, line {self.table.lines[number]}"
        side, index = self._place(cells, where)
        row = self.tables[side].row(index)
        origin = f"{self.tables[side].file(index)}, line {self.tables[side].lines[index]}"
        _unedited(cells, row, origin, where)
        what = _decided(cells, where)
        if what is None:
            return None
        label = self._label(cells["new_label"], what, row, where) if what in (RELABEL, NEW) else None
        if what == DROP and side == "test":
            raise DataError(
                f"{where}: a test row cannot be dropped in a review.",
                f"Keep or relabel it; or take it out of its file ({origin}).",
            )
        return Decision(side, index, what, label, self.table.lines[number])

    def _cells(self, number: int) -> list[tuple[str, Any]]:
        return [(name, values[number]) for name, values in self.table.columns.items()]

    def _place(self, cells: Mapping[str, str], where: str) -> tuple[str, int]:
        """The row with this id; of two (one text in train and in the test file) the one on the side that is named."""
        found = self.places.get(unescaped(cells["id"]), [])
        if not found:
            key = ", or the key of the placeholders" if unescaped(cells["id"]).startswith(KEYED) else ""
            raise DataError(
                f'{where}: no row of the data has the id "{cells["id"][:16]}".',
                f"The data file was changed since the review was written, or the id was{key}: write the review again.",
            )
        return next((place for place in found if place[0] == cells.get("side")), found[0])

    def _label(self, new: str, what: str, row: Mapping[str, Any], where: str) -> str:
        if "label" not in row:
            raise DataError(f"{where}: the rows of this task have no label to change.", "Write keep or drop.")
        if not new:
            raise DataError(f"{where}: relabel, but new_label is empty.", "Write the label that fits, or keep.")
        label = new if new in self.labels else unescaped(new)
        if label == row["label"]:
            raise DataError(f'{where}: the row has the label "{label}" already.', "Write keep, or another label.")
        if what == RELABEL and label not in self.labels:
            near = nearest(label, self.labels)
            raise DataError(
                f'{where}: no row has the label "{label}".',
                f"{near} Write {NEW} instead of {RELABEL} if it is to be a new label.".strip(),
            )
        return label


def _decided(cells: Mapping[str, str], where: str) -> str | None:
    """One of DECISIONS, or None; a new label alone says that the row gets it."""
    said, new = re.sub(r"[\s_-]+", "-", cells["decision"].casefold()), cells["new_label"]
    if not said:
        return RELABEL if new else None
    if said not in DECISIONS:
        near = nearest(said, DECISIONS)
        raise DataError(f'{where}: "{cells["decision"]}" is no decision.', f"{near} Write {quoted(DECISIONS)}.".strip())
    if said in (KEEP, DROP) and new:
        raise DataError(
            f'{where}: the decision is {said}, but there is the new label "{new}".',
            f"Write {RELABEL}, or clear new_label.",
        )
    return said


def _unedited(cells: Mapping[str, str], row: Mapping[str, Any], origin: str, where: str) -> None:
    """What stands there to be read must stand there still."""
    for name, before in (("text", _text(row)), ("label", str(row.get("label", "")))):
        if not any(_same(cell, before) for cell in (cells[name], unescaped(cells[name]))):
            remedy = "write the label into new_label" if name == "label" else f"correct it in {origin}"
            raise DataError(
                f"{where}: the {name} of the row was edited, which would have no effect.",
                f"Put it back and {remedy}; if nobody edited it, save the file as CSV UTF-8.",
            )


def _same(cell: str, before: str) -> bool:
    """White space aside (spreadsheets write line breaks of their own), or the same number."""
    if cell.split() == before.split():
        return True
    try:
        return float(cell) == float(before)
    except ValueError:
        return False


def _said(decision: Decision) -> str:
    return decision.what if decision.label is None else f'{decision.what} "{decision.label}"'


# -- applying


def _relabelled(table: Table, labels: Mapping[int, str]) -> Table:
    """``table`` with new labels, and the ids that its content has now."""
    if not labels:
        return table
    columns = dict(table.columns)
    columns["label"] = [labels.get(index, label) for index, label in enumerate(columns["label"])]
    columns["id"] = cleaning.identify({name: of for name, of in columns.items() if cleaning.is_content(name)})
    return dataclasses.replace(table, columns=columns)


def _twice(table: Table, labels: Mapping[int, str], gone: set[int]) -> set[int]:
    """Relabelled rows that now say what another row of the table says."""
    if not labels:
        return set()
    asked = tables.questions(table)
    texts = {normal(asked[index]) for index in labels}
    pairs = zip(asked, table.columns["label"], strict=True)
    keys = {
        index: (text, label)
        for index, (text, label) in enumerate((normal(text), label) for text, label in pairs)
        if text in texts and index not in gone
    }
    seen = {key for index, key in keys.items() if index not in labels}
    twice = set()
    for index in sorted(labels):
        if keys[index] in seen:
            twice.add(index)
        seen.add(keys[index])
    return twice


def _still_taught(splits: Splits, source: str) -> None:
    empty = [side for side, table in splits.items() if not len(table)]
    if empty:
        raise DataError(f"{source}: its decisions take every {empty[0]} row.", "Keep some of them.")
    if "label" not in splits.train.columns:
        return
    taught = set(splits.train.columns["label"])
    measured = {label for _, table in splits.items() for label in table.columns["label"]}
    if untaught := sorted(measured - taught):
        raise DataError(
            f"{source}: after its decisions no train row has the label {quoted(untaught, 5)}, and other rows have it.",
            "Keep train rows with it, or relabel the others.",
        )
    if len(taught) == 1:
        raise DataError(
            f'{source}: after its decisions every train row has the label "{taught.pop()}".', "At least two are needed."
        )


def _notes(splits: Splits, decisions: Decisions) -> list[str]:
    """Who was relabelled, by side and line, and how many lines changed nothing."""
    told = []
    for side, table in splits.items():
        changed = sorted(one.index for one in decisions.decisions if one.side == side and one.label is not None)
        for where in cleaning.drops("", table, changed):
            lines = ", ".join(map(str, where.lines)) + (", ..." if where.rows > len(where.lines) else "")
            rows = counted(where.rows, f"{side} row")
            told.append(
                f"{where.source}: {rows} relabelled in review ({'line' if where.rows == 1 else 'lines'} {lines})"
            )
    kept = Counter(one.what for one in decisions.decisions)[KEEP]
    told.append(
        f"{decisions.source}: {counted(kept, 'row')} kept as they are, {decisions.undecided:,} without a decision"
    )
    return told
