"""The nouns that travel between stages: small, frozen, standard library only.

    table = Table({"text": ["good", "bad"], "label": ["+", "-"]}, lines=[2, 3], source="reviews.csv")
    table.row(0)            # {"text": "good", "label": "+"}

Nothing here reads a file, knows a task or imports a library. Shapes and units stand beside each field.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length, and for each row the line of the file where it starts (1-based).

    ``files`` names each row's own file (or file and sheet) where the table was read from several; it is empty where
    all rows come from ``source``.
    """

    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    source: str
    files: Sequence[str] = ()
    notes: Sequence[str] = ()  # what reading decided, for the ledger: "a.csv was read as cp1252 (...)"

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            assert len(values) == len(self.lines), f"column {name}: {len(values)} values, {len(self.lines)} lines"
        assert not self.files or len(self.files) == len(self.lines), "one file per row, or none"

    def __len__(self) -> int:
        return len(self.lines)

    def row(self, index: int) -> dict[str, Any]:
        return {name: values[index] for name, values in self.columns.items()}

    def rows(self) -> Iterator[dict[str, Any]]:
        names = tuple(self.columns)
        return (dict(zip(names, values, strict=True)) for values in zip(*self.columns.values(), strict=True))

    def take(self, indices: Sequence[int]) -> Table:
        """The rows at ``indices``, in that order."""
        columns = {name: _taken(values, indices) for name, values in self.columns.items()}
        files = _taken(self.files, indices) if self.files else ()
        return Table(columns, _taken(self.lines, indices), self.source, files)

    def file(self, index: int) -> str:
        """The file that the row stands in."""
        return self.files[index] if self.files else self.source


@runtime_checkable
class Takes(Protocol):
    """A column that gives some of its values by itself."""

    def take(self, rows: Sequence[int]) -> Sequence[Any]: ...


def _taken(values: Sequence[Any], indices: Sequence[int]) -> Sequence[Any]:
    return values.take(indices) if isinstance(values, Takes) else [values[index] for index in indices]


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of a file holds, counted over all of its rows (never over the first few)."""

    name: str
    rows: int
    missing: int  # null, or only white space
    kinds: Mapping[str, int]  # "text", "number", "list", "object" -> rows of that kind
    distinct: int
    mean_chars: float  # of the values that are text
    values: tuple[str, ...]  # up to 1,000 distinct values, most frequent first
    keys: Mapping[str, int] = field(default_factory=dict)  # of objects: key -> how often; "key[]": how often a list


@dataclass(frozen=True, slots=True)
class Guess:
    """A task that recognises itself in a file: which column plays which part, and why."""

    layout: str  # "text+label", "messages", "prompt+response", ...
    fields: Mapping[str, str]  # part -> column, such as {"text": "review", "label": "stars"}
    sureness: float  # 0..1; the surest task wins, two within .05 of each other is a question to the user
    reason: str
    group: str | None = None  # column whose rows belong together, where the layout itself says so


@dataclass(frozen=True, slots=True)
class Schema:
    """What the file was understood to be."""

    task: str
    layout: str
    fields: Mapping[str, str]  # part -> column of the file
    labels: tuple[str, ...]  # sorted label set for classification, () otherwise
    group: str | None  # column whose rows must stay on one side of a split
    reasons: tuple[str, ...]
    time: str | None = None  # column with the time of a row, where the split goes by it
    scale: tuple[float, float] | None = None  # mean and deviation of the training rows' numbers, where one is predicted
    several: tuple[str, ...] = ()  # labels of which a row has any number, sorted
    rare: str | None = None  # of two labels the rare one, whose F1 decides
    ordinal: bool = False  # whether the labels are steps of a scale, in their order
    outside: str | None = None  # the label that stands for none of the others
    tags: tuple[str, ...] = ()  # what a word can be tagged as, for token classification
    unanswered: bool = False  # whether some of the training questions have no answer
    instruction: str = ""  # what a chat model is asked about a row, where the rows are no dialogues themselves

    @property
    def choices(self) -> tuple[str, ...]:
        """What an answer is chosen from: the labels, whether a row has one or several of them."""
        return self.labels or self.several

    @property
    def named(self) -> tuple[str, ...]:
        """The labels or tags that a head of the model gives numbers for; a chat model writes them, and has no head."""
        return () if self.instruction else self.choices or self.tags

    @property
    def outputs(self) -> int:
        """Numbers that a head gives: one per label or tag, or the one to predict; 0 for tasks of another kind."""
        return len(self.named) or int(self.scale is not None)


@dataclass(frozen=True, slots=True)
class Drop:
    """Rows that are not used, by one named reason."""

    reason: str
    rows: int
    lines: tuple[int, ...]  # the first 20
    source: str
    code: str = ""  # what a program calls the reason, where it has such a name (tasks.rows.REASONS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One row that a check of the data names. No text of the file stands in it unmasked where it is personal."""

    check: str  # a key of prepare.check.CHECKS
    severity: str  # "error", "warn" or "info"
    side: str  # "train", "validation" or "test"
    id: str  # of the canonical row
    file: str
    line: int
    message: str  # one sentence that a person can act on
    evidence: str = ""  # the text, or the part of it, at most 200 characters, masked
    score: float | None = None  # the check's own measure; which way is worse stands in the check's ``what``
    suggest: str | None = None  # such as the label that fits better
    partner: str = ""  # the other row that it is about, as "file, line 12"


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every row of every input file is accounted for: ``rows_in + repeated == sum(used) + sum(dropped)``."""

    rows_in: Mapping[str, int]  # file -> rows read
    used: Mapping[str, int]  # "train", "validation", "test" -> rows
    dropped: tuple[Drop, ...]
    notes: tuple[str, ...] = ()
    repeated: Mapping[str, int] = field(default_factory=dict)  # file -> copies of its train rows, beside the rows

    def closes(self) -> bool:
        rows = sum(self.rows_in.values()) + sum(self.repeated.values())
        return rows == sum(self.used.values()) + sum(drop.rows for drop in self.dropped)


@dataclass(frozen=True, slots=True)
class Splits:
    """Canonical rows: ``id`` (sha256 of the content), ``group`` and ``time`` if any, and the parts of the task."""

    train: Table
    validation: Table
    test: Table

    def items(self) -> tuple[tuple[str, Table], ...]:
        return (("train", self.train), ("validation", self.validation), ("test", self.test))


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says about one row. ``truth`` is None where nobody knows it."""

    value: Any  # a label, a number, a text
    truth: Any = None
    confidence: float | None = None  # probability of ``value``, 0..1
    probabilities: Mapping[str, float] = field(default_factory=dict)  # at most the 20 largest
    scores: Mapping[str, float] = field(default_factory=dict)  # per item, such as {"nll": 0.31, "correct": 1.0}
    tokens_in: int = 0
    tokens_out: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """How a model that writes is made to write: greedy wherever it is scored."""

    max_new_tokens: int
    repetition_penalty: float = 1.0  # divides the logits of what was said already (CTRL, arXiv 1909.05858); 1 is none
    no_repeat_ngram: int = 0  # tokens in a row that may not come twice; 0: no limit
    temperature: float = 0.0  # divides the logits before a token is drawn; 0: the likeliest is taken
    top_p: float = 1.0  # drawn among the likeliest tokens that together have this probability
    seed: int = 0  # of the draws
    beams: int = 1  # beginnings that are followed at once; 1: greedy
    length_penalty: float = 1.0  # exponent of the length that a beam's log probability is divided by


@dataclass(frozen=True, slots=True)
class Scores:
    """Aggregates over ``n`` items; a metric that is undefined is None and says why in ``notes``."""

    primary: str  # the metric that decides, a key of ``values``
    values: Mapping[str, float | None]
    n: int
    higher_is_better: bool = True
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> float | None:
        return self.values[self.primary]


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of a stage that takes time; training yields it at log points, not at each step."""

    stage: str
    step: int
    steps: int
    epoch: float = 0.0
    loss: float | None = None  # mean per unit (row or answer token) since the last report
    lr: float | None = None
    rows: int = 0  # rows trained on so far
    tokens: int = 0  # tokens trained on so far, padding not counted
    seconds: float = 0.0  # time spent training so far in this process
    validation: Scores | None = None
    paused: bool = False  # asked to stop by a signal: save, do not record


@dataclass(frozen=True, slots=True)
class Setting:
    """One decided option: its value, why, and by whom ("you", "rule", "default", "measured")."""

    value: Any
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a pretrained model is, read from its files and nothing else."""

    name: str  # as asked for
    path: str  # the admitted folder
    revision: str
    licence: str
    kind: str  # "encoder", "decoder", "seq2seq", or "" where its configuration does not tell
    parameters: int
    width: int
    layers: int
    vocabulary: int
    context: int  # tokens at most
    trained: bool = True  # False where its weights are as they were drawn, which its norms show
    dropping_heads: int = 0  # heads of each layer whose attention weights are dropped out, and so kept; else 0


@dataclass(frozen=True, slots=True)
class Job:
    """Work for an engine: called once, it reports while it runs."""

    name: str
    work: Callable[[], Generator[Progress, None, None]]
