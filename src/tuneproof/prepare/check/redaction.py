"""A row with placeholders for what is personal in it, all its parts in step.

    redacted_row({"text": "ann , 4929 1234", "words": [...], "tags": ["B-name", "O", "B-card", "I-card"]}, key, also)
    # {"text": "[NAME-0c41fe] , [CARD-3fa91c]", "words": ["[NAME-0c41fe]", ",", "[CARD-3fa91c]"], "tags": [...]}

Most parts are rewritten one by one. Two kinds of rows have parts that speak of places in another: the words and tags of
a text, and answers that stand in a context. Those are made anew from what became of the text.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof import personal
from tuneproof.prepare.check.subject import Known
from tuneproof.tasks import entities
from tuneproof.tasks.questions import parts

BETWEEN = "\0"  # stands between the messages of a conversation while it is one text; no value can span it
# Parts that only repeat what stands in the text of a row with these parts.
DERIVED = (frozenset(("words", "tags")), frozenset(("question", "answers")))


def derived(columns: Mapping[str, Any]) -> frozenset[str]:
    """Parts of rows with these parts that hold nothing which their text does not hold."""
    return frozenset[str]().union(*(some for some in DERIVED if some <= columns.keys() and "text" in columns))


def redacted_row(row: Mapping[str, Any], named: Sequence[str], key: bytes, also: Mapping[str, Known]) -> dict[str, Any]:
    """The parts of ``row`` that change: those that are ``named`` and what speaks of places in them."""
    found: dict[str, Any] = {}
    for part in named:
        if part == "text" and derived(row):
            changed = _Changed.of(row["text"], key, also.get(part, ()))
            found |= _tagged(row, changed) if "words" in row else _answered(row, changed)
        else:
            found[part] = redacted_value(row[part], key, also.get(part, ()))
    return found


@dataclass(frozen=True, slots=True)
class _Changed:
    """A text, what replaces which stretch of it, and the text that this makes."""

    before: str
    stretches: list[tuple[int, int, str]]

    @classmethod
    def of(cls, text: str, key: bytes, also: Known) -> _Changed:
        return cls(text, personal.placeholders(text, key, also))

    def part(self, start: int, end: int) -> str:
        """What became of ``before[start:end]``; placeholders that it touches are in it as a whole."""
        return self.text[self.place(start) : self.place(end, end=True)]

    @property
    def text(self) -> str:
        pieces, at = [], 0
        for start, end, new in self.stretches:
            pieces += [self.before[at:start], new]
            at = end
        return "".join((*pieces, self.before[at:]))

    def place(self, at: int, *, end: bool = False) -> int:
        """Where the character at ``at`` stands now; within a placeholder its beginning, or its ``end``."""
        moved = 0
        for first, last, new in self.stretches:
            if last <= at:
                moved += len(new) - (last - first)
            elif first < at:
                return first + moved + (len(new) if end else 0)
        return at + moved


def _tagged(row: Mapping[str, Any], changed: _Changed) -> dict[str, Any]:
    """Words that one placeholder replaces become one word, with the tag of the first of them that has one."""
    where = entities.located(row["text"], row["words"])
    words: list[str] = []
    tags: list[str] = []
    for first, last in _together(where, changed.stretches):
        words.append(changed.part(where[first][0], where[last - 1][1]))
        tag = next((tag for tag in row["tags"][first:last] if tag != entities.OUTSIDE), entities.OUTSIDE)
        goes_on = tag.startswith("I-") and bool(tags) and tags[-1][2:] == tag[2:]
        tags.append(f"B-{tag[2:]}" if tag.startswith("I-") and not goes_on else tag)
    return {"text": changed.text, "words": words, "tags": tags}


def _together(where: Sequence[entities.Span], stretches: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int]]:
    """Words from number to number: those that one stretch touches, and every other word alone."""
    first = 0
    starts = [start for start, _, _ in stretches]
    for at, (_, end) in enumerate(where):
        before = bisect_right(starts, end - 1) - 1  # the last stretch that begins before the word ends
        following = where[at + 1][0] if at + 1 < len(where) else None
        if following is not None and before >= 0 and stretches[before][1] > following:
            continue
        yield first, at + 1
        first = at + 1


def _answered(row: Mapping[str, Any], changed: _Changed) -> dict[str, Any]:
    """Question, context and answers; an answer of which a placeholder takes a part holds all of the placeholder."""
    question, context = parts(row)
    begin = len(question) + 1
    told = changed.part(0, len(question))
    shift = len(told) + 1
    answers = []
    for one in row["answers"]:
        start, end = begin + one["start"], begin + one["start"] + len(one["text"])
        answers.append({**one, "text": changed.part(start, end), "start": changed.place(start) - shift})
    return {"text": f"{told}\n{changed.part(begin, begin + len(context))}", "question": told, "answers": answers}


# -- one part


def redacted_value(value: Any, key: bytes, also: Known = ()) -> Any:
    """A text, or a list of messages, with placeholders for all that ``personal.find`` finds in it."""
    if isinstance(value, str):
        return personal.redacted(value, key, also)
    pieces = iter(personal.redacted(as_text(value), key, also).split(BETWEEN))
    return _filled(value, pieces)


def as_text(value: Any) -> str:
    """A value as one text: the strings in it with BETWEEN in between (a NUL of the text itself becomes a space)."""
    return value if isinstance(value, str) else BETWEEN.join(text.replace(BETWEEN, " ") for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    """Every string in a nested value, but for the names of roles."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key != "role":
                yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _filled(value: Any, pieces: Iterator[str]) -> Any:
    """``value`` with its strings replaced one after the other, in the order of ``_strings``."""
    if isinstance(value, str):
        return next(pieces)
    if isinstance(value, Mapping):
        return {key: item if key == "role" else _filled(item, pieces) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, pieces) for item in value]
    return value
