"""Rows as token ids, with every token counted: how many carry loss, how many rows are too long, what is cut.

    encoded = encode(splits, schema, answer, encoder, too_long="cut")
    encoded.examples["train"][0].ids

A row longer than the limit refuses the run unless the policy says ``cut`` (its end goes, counted) or ``drop``
(the row goes, counted; a test row is never dropped, so there it refuses). ``count`` cuts and refuses nothing: for who
only looks. What the rows look like in the end is shown by ``view``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneproof.errors import CheckError, DataError
from tuneproof.modalities import Encoder, Example
from tuneproof.prepare.clean import drops
from tuneproof.records import Drop, Finding, Schema, Splits, Table
from tuneproof.tasks import Answer
from tuneproof.tasks.rows import Unusable, counted

Shown = tuple[Table, list[Example], list[Drop]]  # rows that are kept, their examples, and those that are not
KEPT = 1000  # findings that are kept; how many there were is in the counts


@dataclass(frozen=True, slots=True)
class Cut:
    """What the limit takes from a row."""

    tokens: int
    learnt: int  # of those, the ones that would have carried loss


@dataclass(frozen=True, slots=True)
class Encoded:
    """Examples by split in the order of the tables, the tables without dropped rows, and the counts.

    The counts of a split are ``rows``; ``tokens`` and ``loss`` (spread over the rows); ``unusable`` (rows that this
    model cannot show, which are not among them); ``rows_cut``, ``tokens_cut``, ``loss_cut`` (answer tokens lost);
    ``no_loss_tokens`` (rows without a learnt token left); ``bos`` (rows that begin with the begin-of-sequence token);
    ``ends`` (rows whose last learnt token is special, so that the model learns to stop; None where rows count whole);
    ``special_text`` (rows in which a person wrote the text of a special token); ``histogram``.
    """

    splits: Splits
    examples: Mapping[str, list[Example]]
    dropped: tuple[Drop, ...]
    counts: Mapping[str, Any]
    cuts: Mapping[str, Mapping[int, Cut]]  # split -> row -> what it loses
    findings: tuple[Finding, ...]  # "too_long" and "no_loss_tokens", the worst first


def encode(
    splits: Splits, schema: Schema, answer: Answer, encoder: Encoder, too_long: str, max_missing: float = 1.0
) -> Encoded:
    """The rows of ``splits`` as this model reads them.

    A row that the model's template cannot show is dropped by name. DataError when more than ``max_missing`` of the rows
    are dropped so, and for rows that are too long under the policy; CheckError naming a row whose mask is wrong.
    """
    tables: dict[str, Table] = {}
    examples: dict[str, list[Example]] = {}
    cuts: dict[str, dict[int, Cut]] = {}
    dropped: list[Drop] = []
    shown = {name: _shown(table, schema, answer, encoder) for name, table in splits.items()}
    if too_long != "count":
        _enough(splits, shown, max_missing)
    for name, (rows, whole, unusable) in shown.items():
        table, whole, long = _short_enough(name, rows, whole, encoder.max_length, too_long)
        dropped += unusable + long
        tables[name], examples[name] = table, [encoder.cut(example) for example in whole]
        cuts[name] = _cuts(whole, examples[name])
        if too_long != "count":
            _still_learnable(table, whole, examples[name], encoder.max_length)
    counts = {name: _counts(encoder, examples[name], cuts[name], shown[name][2]) for name in tables}
    found = [one for name in tables for one in _findings(name, tables[name], examples[name], cuts[name])]
    found.sort(key=lambda one: (one.check, -(one.score or 0)))
    return Encoded(Splits(**tables), examples, tuple(dropped), counts, cuts, tuple(found[:KEPT]))


def _shown(table: Table, schema: Schema, answer: Answer, encoder: Encoder) -> Shown:
    """The rows that the model's template can show, as examples, and the others as drops."""
    kept: list[int] = []
    examples: list[Example] = []
    unusable: dict[str, list[int]] = {}
    for index, row in enumerate(answer.labelled(list(table.rows()), schema)):
        try:
            example = answer.example(row, encoder)
        except Unusable as error:
            unusable.setdefault(error.reason, []).append(index)
            continue
        except CheckError as error:
            raise CheckError(f"{_where(table, index)}: {error.message}", error.hint) from error
        kept.append(index)
        examples.append(example)
    dropped = [one for reason, rows in unusable.items() for one in drops(reason, table, rows)]
    return (table.take(kept) if dropped else table), examples, dropped


def _enough(splits: Splits, shown: Mapping[str, Shown], max_missing: float) -> None:
    """Refuse when too many rows, or all of one side, cannot be shown by this model."""
    rows = sum(len(table) for _, table in splits.items())
    gone = [drop for _, _, unusable in shown.values() for drop in unusable]
    lost = sum(drop.rows for drop in gone)
    bare = [name for name, (table, _, unusable) in shown.items() if unusable and not len(table)]
    if not bare and lost <= max_missing * rows:
        return
    first = max(gone, key=lambda drop: drop.rows)
    side = f", all {bare[0]} rows among them" if bare else ""
    share = math.ceil(100 * lost / rows) / 100
    without = "" if bare else f", or go on without those rows: --set data.max_missing={share:.2f}"
    raise DataError(
        f"{first.source}, line {first.lines[0]}: {lost:,} of {rows:,} rows are unusable with this model "
        f"({first.reason}){side}.",
        f"Choose a model that can read them{without}.",
    )


def _short_enough(name: str, table: Table, whole: list[Example], limit: int, too_long: str) -> Shown:
    """The rows without those that are too long, where the policy is to drop them."""
    long = [index for index, example in enumerate(whole) if example.longest > limit]
    if long and (too_long == "refuse" or (too_long == "drop" and name == "test")):
        raise _too_long(table, whole, long, limit, too_long)
    if not long or too_long != "drop":
        return table, whole, []
    keep = [index for index, example in enumerate(whole) if example.longest <= limit]
    gone = [dataclasses.replace(one, code="too_long") for one in drops(f"longer than {limit} tokens", table, long)]
    return table.take(keep), [whole[index] for index in keep], gone


def _too_long(table: Table, examples: Sequence[Example], long: Sequence[int], limit: int, policy: str) -> DataError:
    worst = max(long, key=lambda index: examples[index].longest)
    rows = "1 row is" if len(long) == 1 else f"{len(long):,} of {len(examples):,} rows are"
    why = "; test rows are never dropped" if policy == "drop" else ""
    return DataError(
        f"{table.file(worst)}: {rows} longer than {limit} tokens (the longest, line {table.lines[worst]}, "
        f"has {examples[worst].longest:,}){why}.",
        "Say what to do with them: --too-long cut" + ("" if policy == "drop" else " or --too-long drop") + ".",
    )


def _still_learnable(table: Table, whole: Sequence[Example], cut: Sequence[Example], limit: int) -> None:
    """Refuse rows that lose all of their answer; one that had nothing to learn, of a type not taught, is measured."""
    bare = [index for index, (a, b) in enumerate(zip(whole, cut, strict=True)) if a.units and not b.units]
    if bare:
        more = f" (and of {counted(len(bare) - 1, 'other row')})" if len(bare) > 1 else ""
        raise DataError(
            f"{_where(table, bare[0])}: nothing of the answer is left after cutting to {limit:,} tokens{more}.",
            "Use --too-long drop, or a larger --set model.max_length.",
        )


def _where(table: Table, index: int) -> str:
    return f"{table.file(index)}, line {table.lines[index]}"


# -- what is told


def _cuts(whole: Sequence[Example], cut: Sequence[Example]) -> dict[int, Cut]:
    pairs = enumerate(zip(whole, cut, strict=True))
    return {row: Cut(len(a) - len(b), a.units - b.units) for row, (a, b) in pairs if len(a) > len(b)}


def _findings(name: str, table: Table, examples: Sequence[Example], cuts: Mapping[int, Cut]) -> list[Finding]:
    """Rows that the limit takes something from; the score is the share of the answer (or of the row) that is lost."""
    found = []
    for row, cut in cuts.items():
        example = examples[row]
        tokens, learnt = len(example) + cut.tokens, example.units + cut.learnt
        message = f"{cut.tokens:,} of {counted(tokens, 'token')} are cut off"
        if example.loss is not None:
            message += f", with {cut.learnt:,} of {counted(learnt, 'answer token')}"
        check, severity = ("too_long", "warn") if example.units else ("no_loss_tokens", "error")
        share = round(cut.learnt / learnt if example.loss is not None else cut.tokens / tokens, 4)
        id, file, line = table.columns["id"][row], table.file(row), table.lines[row]
        found.append(Finding(check, severity, name, id, file, line, message + ".", score=share))
    return found


def _counts(
    encoder: Encoder, examples: Sequence[Example], cuts: Mapping[int, Cut], unusable: Sequence[Drop]
) -> dict[str, Any]:
    lengths = [len(example) for example in examples]
    tokenizer = encoder.tokenizer
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    by_token = bool(examples) and examples[0].loss is not None
    return {
        "rows": len(examples),
        "tokens": _spread(lengths),
        "loss": _spread([example.units for example in examples]),
        "unusable": sum(drop.rows for drop in unusable),
        "rows_cut": len(cuts),
        "tokens_cut": sum(cut.tokens for cut in cuts.values()),
        "loss_cut": sum(cut.learnt for cut in cuts.values()),
        "no_loss_tokens": sum(not example.units for example in examples),
        "bos": sum((example.parts or (example,))[0].ids[0] == tokenizer.bos_token_id for example in examples),
        "ends": sum(_last_learnt(example) in special for example in examples) if by_token else None,
        "special_text": sum(example.neutralised > 0 for example in examples),
        "histogram": _histogram(lengths),
    }


def _last_learnt(example: Example) -> int | None:
    assert example.loss is not None
    return next((id for id, learnt in zip(reversed(example.ids), reversed(example.loss), strict=True) if learnt), None)


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
