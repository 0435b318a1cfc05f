"""Rows as token ids, with every token counted: how many carry loss, how many rows are too long, what is cut.

    encoded = encode(splits, schema, answer, encoder, too_long="cut")
    encoded.examples["train"][0].ids

A row longer than the limit refuses the run unless the policy says ``cut`` (its end goes, counted) or ``drop``
(the row goes, counted; a test row is never dropped, so there it refuses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.errors import CheckError, DataError
from tuneproof.modalities import Encoder, Example
from tuneproof.records import Drop, Schema, Splits, Table
from tuneproof.tasks import Answer


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples by split in the order of the tables, the tables without dropped rows, and the counts."""

    splits: Splits
    examples: Mapping[str, list[Example]]
    dropped: tuple[Drop, ...]
    counts: Mapping[str, Any]  # split -> rows, tokens, loss, rows_cut, tokens_cut, loss_cut, histogram


def encode(splits: Splits, schema: Schema, answer: Answer, encoder: Encoder, too_long: str) -> Encoded:
    """DataError naming rows that are too long under the policy refuse; CheckError naming a row whose mask is wrong."""
    tables: dict[str, Table] = {}
    examples: dict[str, list[Example]] = {}
    dropped: list[Drop] = []
    counts: dict[str, Any] = {}
    for name, table in splits.items():
        whole = _examples(table, schema, answer, encoder)
        long = [index for index, example in enumerate(whole) if len(example) > encoder.max_length]
        if long and (too_long == "refuse" or (too_long == "drop" and name == "test")):
            raise _too_long(table, whole, long, encoder.max_length, too_long)
        if long and too_long == "drop":
            keep = [index for index, example in enumerate(whole) if len(example) <= encoder.max_length]
            lines = tuple(table.lines[index] for index in long[:20])
            dropped.append(Drop(f"longer than {encoder.max_length} tokens", len(long), lines, table.source))
            table, whole = table.take(keep), [whole[index] for index in keep]
        cut = [encoder.cut(example) for example in whole]
        _still_learnable(table, cut)
        tables[name], examples[name] = table, cut
        counts[name] = _counts(whole, cut)
    return Encoded(Splits(**tables), examples, tuple(dropped), counts)


def _examples(table: Table, schema: Schema, answer: Answer, encoder: Encoder) -> list[Example]:
    examples = []
    for index, row in enumerate(answer.labelled(list(table.rows()), schema)):
        try:
            examples.append(answer.example(row, encoder))
        except CheckError as error:
            where = f"{table.source}, line {table.lines[index]}: "
            raise CheckError(where + error.message, error.hint) from error
    return examples


def _too_long(table: Table, examples: Sequence[Example], long: Sequence[int], limit: int, policy: str) -> DataError:
    worst = max(long, key=lambda index: len(examples[index]))
    rows = "1 row is" if len(long) == 1 else f"{len(long):,} of {len(examples):,} rows are"
    why = "; test rows are never dropped" if policy == "drop" else ""
    return DataError(
        f"{table.source}: {rows} longer than {limit} tokens (the longest, line {table.lines[worst]}, "
        f"has {len(examples[worst]):,}){why}.",
        "Say what to do with them: --too-long cut" + ("" if policy == "drop" else " or --too-long drop") + ".",
    )


def _still_learnable(table: Table, examples: Sequence[Example]) -> None:
    for index, example in enumerate(examples):
        if not example.units:
            raise DataError(
                f"{table.source}, line {table.lines[index]}: nothing of the answer is left after cutting.",
                "Use --too-long drop, or a larger --set model.max_length.",
            )


def _counts(whole: Sequence[Example], cut: Sequence[Example]) -> dict[str, Any]:
    lengths = [len(example) for example in cut]
    shortened = [(a, b) for a, b in zip(whole, cut, strict=True) if len(a) > len(b)]
    return {
        "rows": len(cut),
        "tokens": _spread(lengths),
        "loss": _spread([example.units for example in cut]),
        "rows_cut": len(shortened),
        "tokens_cut": sum(len(a) - len(b) for a, b in shortened),
        "loss_cut": sum(a.units - b.units for a, b in shortened),
        "histogram": _histogram(lengths),
    }


def _spread(values: Sequence[int]) -> dict[str, float]:
    if not values:
        return {"total": 0, "mean": 0.0, "median": 0, "p95": 0, "max": 0}
    ordered = sorted(values)
    return {
        "total": sum(values),
        "mean": round(sum(values) / len(values), 1),
        "median": ordered[len(ordered) // 2],
        "p95": ordered[int(0.95 * len(ordered))],
        "max": ordered[-1],
    }


def _histogram(lengths: Sequence[int], bars: int = 24) -> list[list[int]]:
    """[from, to, rows] for bars of equal width over 0..longest, ends excluded."""
    if not lengths:
        return []
    width = max(1, -(-(max(lengths) + 1) // bars))
    counts = [0] * (max(lengths) // width + 1)
    for length in lengths:
        counts[length // width] += 1
    return [[index * width, (index + 1) * width, count] for index, count in enumerate(counts)]
