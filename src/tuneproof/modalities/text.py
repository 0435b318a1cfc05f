"""Plain text, or a pair of texts, to token ids with the special tokens that the model was pretrained with.

encoder = TextEncoder(folder, 256)
encoder.encode("arrived broken").ids       # [101, 3369, 3714, 102]
encoder.encode("a red lamp", "lamp, red")  # one sequence, with token types where the tokenizer gives them
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuneproof.modalities.encoding import Batch, Example, collate, load_tokenizer, shortened, shortened_pair


class TextEncoder:
    """One tokenizer, one limit."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.max_length = max_length
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def encode(
        self,
        text: str,
        second: str | None = None,
        *,
        label: int | None = None,
        values: Sequence[float] | None = None,
    ) -> Example:
        """The whole text or pair, however long; ``cut`` is a separate, counted decision."""
        found = self.tokenizer(text, second, truncation=False, verbose=False)
        if second is None:
            return Example(found["input_ids"], label=label, values=values)
        types = found.get("token_type_ids")
        return Example(found["input_ids"], label=label, values=values, types=types, halves=_halves(found))

    def cut(self, example: Example) -> Example:
        if example.longest <= self.max_length:
            return example
        if example.halves is not None:
            return shortened_pair(example, self.max_length)
        end = [example.ids[-1]] if example.ids[-1] in self.tokenizer.all_special_ids else []
        return shortened(example, self.max_length, end)

    def collate(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, self.tokenizer.pad_token_id)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)


def _halves(found: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the tokens of either text begin and end; a text without tokens stands where it would begin."""
    of = found.sequence_ids(0)
    first = [at for at, text in enumerate(of) if text == 0]
    second = [at for at, text in enumerate(of) if text == 1]
    a = (first[0], first[-1] + 1) if first else (1, 1)
    b = (second[0], second[-1] + 1) if second else (len(of) - 1, len(of) - 1)
    return a, b
