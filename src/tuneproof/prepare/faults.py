"""Everything that is wrong in one file, as one sentence: the first place in full, all of them counted by kind.

    faults = Faults("reviews.jsonl", "line")
    faults.add(17, "not valid JSON", "not valid JSON: Expecting value at column 3")
    faults.refuse(rows=900, remedy="Correct that line, or remove it.")     # DataError

It knows nothing of formats: a kind is a few words that can be counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tuneproof.errors import DataError

COLLECTED = 1000  # places that are kept; all are counted
SHOWN = 5  # places that are named


@dataclass(slots=True)
class Faults:
    """Places of one file that cannot be read, and why."""

    source: str
    unit: str  # what is counted: "line", "row", "element"
    found: list[tuple[int, str]] = field(default_factory=list)  # line, the whole complaint; at most COLLECTED
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, line: int, kind: str, complaint: str) -> None:
        self.kinds[kind] += 1
        if len(self.found) < COLLECTED:
            self.found.append((line, complaint))

    def __bool__(self) -> bool:
        return bool(self.found)

    @property
    def full(self) -> bool:
        return len(self.found) == COLLECTED

    def refuse(self, rows: int, remedy: str) -> None:
        """DataError when there are any; ``rows`` is how many were good."""
        if not self.found:
            return
        line, complaint = self.found[0]
        bad = sum(self.kinds.values())
        if bad == 1:
            raise DataError(f"{self.source}, line {line}: {complaint}.", remedy)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.most_common(SHOWN))
        places = ", ".join(f"{line}" for line, _ in self.found[:SHOWN]) + (", ..." if bad > SHOWN else "")
        raise DataError(
            f"{self.source}, line {line}: {complaint} "
            f"({bad:,} of {bad + rows:,} {self.unit}s cannot be read: {kinds}; lines {places}).",
            remedy,
        )
