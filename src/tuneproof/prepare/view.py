"""The training view: a few rows as the model reads them, and which of their tokens carry loss.

    training_view(encoded, answer, encoder)
    # [{"title": "The first row (line 2)", "row": 0, "pieces": [{"text": "hello<|im_end|>", "loss": True, ...}]}]

Rendered from the row itself, not from its example: the loop compares the two before its first step (``train.seen``), so
that what is shown is what is trained on, or nothing is trained. Rows that count whole have no view.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tuneproof.modalities import Encoder, Piece
from tuneproof.prepare.tokens import Encoded
from tuneproof.tasks import Answer


def training_view(encoded: Encoded, answer: Answer, encoder: Encoder) -> list[dict[str, Any]]:
    """``view`` of data/tokens.json: the first train row, the longest, and the most suspicious ones, each once.

    A row is its ``title``, its number ``row`` among the train rows, ``id``, ``file`` and ``line``, and ``pieces``: the
    text, whether it carries ``loss``, the ``weight`` of its tokens there, its token ``ids``, and whether it is ``cut``:
    beyond the limit, never read.
    """
    table = encoded.splits.train
    if not len(table):
        return []
    shown = []
    for row, titles in _chosen(encoded).items():
        pieces = answer.view(table.row(row), encoder)
        if pieces:
            shown.append(
                {
                    "title": f"{'; '.join(titles)} (line {table.lines[row]})",
                    "row": row,
                    "id": table.columns["id"][row],
                    "file": table.file(row),
                    "line": table.lines[row],
                    "pieces": list(_within(pieces, encoder)),
                }
            )
    return shown


def _chosen(encoded: Encoded) -> dict[int, list[str]]:
    """Row numbers of train with what makes each worth a look."""
    examples, cuts = encoded.examples["train"], encoded.cuts["train"]
    rows = range(len(examples))
    whole = [len(example) + (cuts[row].tokens if row in cuts else 0) for row, example in enumerate(examples)]
    fewest = min(rows, key=lambda row: examples[row].units)
    chosen: dict[int, list[str]] = {}
    chosen.setdefault(0, []).append("The first row")
    chosen.setdefault(max(rows, key=whole.__getitem__), []).append("The longest row")
    chosen.setdefault(fewest, []).append(f"The row with the fewest learnt tokens: {examples[fewest].units:,}")
    if cuts:
        most = max(cuts, key=lambda row: (cuts[row].learnt, cuts[row].tokens))
        lost = cuts[most]
        what = f"{lost.learnt:,} answer tokens" if lost.learnt else f"{lost.tokens:,} tokens"
        chosen.setdefault(most, []).append(f"The row that loses most to the limit: {what}")
    written = max(rows, key=lambda row: examples[row].neutralised)
    if examples[written].neutralised:
        chosen.setdefault(written, []).append("A row in which somebody wrote special tokens, read as letters")
    return chosen


def _within(pieces: Sequence[Piece], encoder: Encoder) -> Iterator[dict[str, Any]]:
    """The pieces up to the limit, and what is cut off."""
    left = encoder.max_length
    for piece in pieces:
        ids = list(piece.ids)
        if len(ids) <= left:
            yield _shown(piece.text, ids, loss=piece.learnt, weight=piece.weight)
        elif left:
            text = encoder.tokenizer.decode(ids[:left], clean_up_tokenization_spaces=False)
            same = piece.text.startswith(text)  # not where the cut goes through the bytes of one character
            rest = piece.text[len(text) :] if same else encoder.tokenizer.decode(ids[left:])
            yield _shown(text, ids[:left], loss=piece.learnt, weight=piece.weight)
            yield _shown(rest, ids[left:], cut=True)
        else:
            yield _shown(piece.text, ids, cut=True)
        left = max(0, left - len(ids))


def _shown(text: str, ids: list[int], *, loss: bool = False, weight: float = 1.0, cut: bool = False) -> dict[str, Any]:
    return {"text": text, "loss": loss, "weight": weight, "cut": cut, "ids": ids}
