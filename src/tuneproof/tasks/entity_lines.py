"""Entities as lines that a chat model writes, and back: ``PER: Ann Lee``, in the order of the text; or ``none``.

    where = places("Ann Lee left Bonn", ["Ann", "Lee", "left", "Bonn"])
    told([{"text": "Ann Lee", "label": "PER", ...}])            # "PER: Ann Lee"
    read("PER: Ann Lee\\nLOC: Bonn", where, ("LOC", "PER"))      # entities with their places, or None

An entity is found again at the first place behind the one before it where its words stand: of equal words the first are
meant. ``Lines`` says byte by byte what else than such lines cannot be written. White space counts as one space.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from tuneproof.tasks.entities import Entity, located

NONE = "none"


@dataclass(frozen=True)
class Places:
    """A text with its white space made one space, and where its words stand there."""

    text: str  # as it was
    flat: str
    at: tuple[int, ...]  # of each character of ``flat`` its place in ``text``
    starts: tuple[int, ...]  # of the words, in ``flat``
    stops: tuple[int, ...]  # exclusive

    def entity(self, start: int, stop: int, label: str) -> Entity:
        """The stretch of ``flat`` from ``start`` to ``stop`` in the text as it was."""
        first, end = self.at[start], self.at[stop - 1] + 1
        return {"text": self.text[first:end], "start": first, "end": end, "label": label}


def places(text: str, words: Sequence[str]) -> Places:
    """Where the words stand that entities begin and end at; words of white space alone are none."""
    at: list[int] = []
    for index, letter in enumerate(text):
        if not letter.isspace() or (at and not text[at[-1]].isspace()):
            at.append(index)
    flat = "".join(" " if text[index].isspace() else text[index] for index in at)
    into = {index: place for place, index in enumerate(at)}
    stands = [(start, stop) for start, stop in located(text, words) if text[start:stop].strip()]
    inner = [(text[a:b], a) for a, b in stands]
    starts = tuple(into[a + len(word) - len(word.lstrip())] for word, a in inner)
    stops = tuple(into[a + len(word.rstrip()) - 1] + 1 for word, a in inner)
    return Places(text, flat, tuple(at), starts, stops)


def one_line(text: str) -> str:
    """White space as one space, none at the ends."""
    return " ".join(text.split())


def told(entities: Iterable[Entity]) -> str:
    """The answer that says these entities, which stand in the order of their text."""
    return "\n".join(f"{one_line(one['label'])}: {one_line(one['text'])}" for one in entities) or NONE


def read(answer: str, where: Places, types: Sequence[str]) -> list[Entity] | None:
    """The entities of an answer; None where a line says no entity of the text behind the one before it."""
    if answer == NONE:
        return []
    found: list[Entity] = []
    after, ends = 0, set(where.stops)
    for line in answer.split("\n"):
        named = [kind for kind in types if line.startswith(f"{one_line(kind)}: ")]
        label = max(named, key=len, default=None)
        if label is None:
            return None
        words = line[len(one_line(label)) + 2 :]
        fits = (s for s in where.starts if s >= after and s + len(words) in ends and where.flat.startswith(words, s))
        start = next(fits, None) if words else None
        if start is None:
            return None
        after = start + len(words)
        found.append(where.entity(start, after, label))
    return found


# -- what can be written

# Part, which of its texts, its next byte, and the byte of the row at which the next entity may begin.
State = tuple[str, int, int, int]
END: State = ("end", 0, 0, 0)


@dataclass(frozen=True)
class Lines:
    """All answers about a row, with what the chat template writes around an answer; one may be in several states."""

    where: Places
    types: tuple[str, ...]
    lead: bytes = b""
    tail: bytes = b""

    def begin(self) -> frozenset[State]:
        return frozenset(self._reached(("lead", 0, 0, 0)))

    def moves(self, states: Iterable[State]) -> Mapping[int, frozenset[State]]:
        """Byte that may come next -> where one then is; END among ``states`` says that it may be the end."""
        found: dict[int, set[State]] = {}
        for part, which, at, after in states:
            if part != "end":
                # "first" is a stretch of the row of which nothing is written yet, so it cannot be over
                reached = self._reached(("row" if part == "first" else part, which, at + 1, after))
                found.setdefault(self._text(part, which)[at], set()).update(reached)
        return {byte: frozenset(reached) for byte, reached in found.items()}

    def through(self, states: frozenset[State], written: bytes) -> frozenset[State]:
        """Where one is after more bytes; nowhere when they are not allowed."""
        for byte in written:
            states = self.moves(states).get(byte, frozenset())
        return states

    def _text(self, part: str, which: int) -> bytes:
        if part in ("row", "first"):
            return self._row
        return self._heads[which] if part == "head" else {"lead": self.lead, "none": b"none", "tail": self.tail}[part]

    def _reached(self, state: State) -> Iterator[State]:
        """States with a byte of their own, or END, that ``state`` stands for."""
        part, which, at, after = state
        if part == "row":
            if at < self._stops[-1]:
                yield state
            if at in self._ends:
                yield from self._reached(("tail", 0, 0, 0))
                yield from self._begun(at, first=False)
        elif at < len(self._text(part, which)):
            yield state
        elif part == "lead":
            yield from self._begun(0, first=True)
            yield ("none", 0, 0, 0)
        elif part == "head":
            yield from (("first", 0, start, 0) for start in self._starts if start >= after)
        elif part == "none":
            yield from self._reached(("tail", 0, 0, 0))
        else:
            yield END

    def _begun(self, after: int, *, first: bool) -> Iterator[State]:
        """A line about an entity that begins at the byte ``after`` or behind it."""
        if self._starts and after <= self._starts[-1]:
            count = len(self.types)
            yield from (("head", which, 0, after) for which in (range(count) if first else range(count, 2 * count)))

    @cached_property
    def _heads(self) -> list[bytes]:
        """What comes before an entity of each type, in the first line and in others."""
        heads = [f"{one_line(kind)}: ".encode() for kind in self.types]
        return [*heads, *(b"\n" + head for head in heads)]

    @cached_property
    def _row(self) -> bytes:
        return self.where.flat.encode()

    @cached_property
    def _bytes(self) -> list[int]:
        """Bytes before each character of ``flat``, and before its end."""
        return [0, *accumulate(len(letter.encode()) for letter in self.where.flat)]

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(self._bytes[start] for start in self.where.starts)

    @cached_property
    def _stops(self) -> tuple[int, ...]:
        return tuple(self._bytes[stop] for stop in self.where.stops)

    @cached_property
    def _ends(self) -> frozenset[int]:
        return frozenset(self._stops)
