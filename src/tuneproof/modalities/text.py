"""Plain text to token ids with the special tokens that the model was pretrained with.

encoder = TextEncoder(folder, 256)
encoder.encode("arrived broken").ids       # [101, 3369, 3714, 102]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tuneproof.modalities.encoding import Batch, Example, collate, load_tokenizer, shortened


class TextEncoder:
    """One tokenizer, one limit."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self.tokenizer = load_tokenizer(folder)
        self.max_length = max_length
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def encode(self, text: str, label: int | None = None) -> Example:
        """The whole text, however long; ``cut`` is a separate, counted decision."""
        return Example(self.tokenizer(text, truncation=False, verbose=False)["input_ids"], label=label)

    def cut(self, example: Example) -> Example:
        if example.longest <= self.max_length:
            return example
        end = [example.ids[-1]] if example.ids[-1] in self.tokenizer.all_special_ids else []
        return shortened(example, self.max_length, end)

    def collate(self, examples: Sequence[Example]) -> Batch:
        return collate(examples, self.tokenizer.pad_token_id)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder)
