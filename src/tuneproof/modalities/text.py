"""Plain text, or a pair of texts, to token ids with the special tokens that the model was pretrained with.

encoder = TextEncoder(folder, 256)
encoder.encode("arrived broken").ids       # [101, 3369, 3714, 102]
encoder.encode("a red lamp", "lamp, red")  # one sequence, with token types where the tokenizer gives them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuneproof.modalities.encoding import Batch, Example, Reader, collate, load_tokenizer, shortened, shortened_pair


@dataclass(frozen=True, slots=True)
class Window:
    """A question with a stretch of its context, as one sequence."""

    ids: list[int]
    types: list[int] | None  # where the model tells two texts apart
    first: int  # where the context begins among ids
    offsets: list[tuple[int, int]]  # characters of the context that each of its tokens here is of

    def span(self, answers: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """First and last token of the first answer that lies in this window as a whole; (0, 0) where none does."""
        for answer in answers:
            start, end = answer["start"], answer["start"] + len(answer["text"])
            inside = [index for index, (a, b) in enumerate(self.offsets) if a < end and b > start]
            if inside and self.offsets[inside[0]][0] <= start and self.offsets[inside[-1]][1] >= end:
                return self.first + inside[0], self.first + inside[-1]
        return 0, 0


class TextEncoder:
    """One tokenizer, one limit."""

    def __init__(self, folder: Path, max_length: int) -> None:
        self.folder = folder
        self.tokenizer = load_tokenizer(folder)
        self.max_length = max_length
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._read = Reader(self.tokenizer)

    def encode(
        self,
        text: str,
        second: str | None = None,
        *,
        label: int | None = None,
        values: Sequence[float] | None = None,
    ) -> Example:
        """The whole text or pair, however long; ``cut`` is a separate, counted decision."""
        found = self._read(text, second, truncation=False)
        if second is None:
            return Example(found["input_ids"], label=label, values=values)
        types = found.get("token_type_ids")
        return Example(found["input_ids"], label=label, values=values, types=types, halves=_halves(found))

    def spelled(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids of the whole text, and which characters each is of; special tokens are of none."""
        found = self._read(text, truncation=False, return_offsets_mapping=True)
        return found["input_ids"], [(start, stop) for start, stop in found["offset_mapping"]]

    def windows(self, question: str, context: str, stride: int) -> list[Window]:
        """The question with the whole context, in as many overlapping pieces as it takes; [] where there is no room."""
        room = self.max_length - len(self._read(question, "")["input_ids"])
        if room < 2:
            return []
        found = self._read(
            question,
            context,
            truncation="only_second",
            max_length=self.max_length,
            stride=min(stride, room // 2),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        types = found.get("token_type_ids")
        windows = []
        for index, ids in enumerate(found["input_ids"]):
            inside = [at for at, part in enumerate(found.sequence_ids(index)) if part == 1]
            if inside:
                offsets = [tuple(found["offset_mapping"][index][at]) for at in inside]
                windows.append(Window(ids, types[index] if types else None, inside[0], offsets))
        return windows

    def target(self, text: str) -> list[int]:
        """Ids that a decoder is to write, its end token last; some tokenizers (Marian's) read targets otherwise."""
        ids: list[int] = self._read(text_target=text, truncation=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        return ids if ids[-1:] == [end] else [*ids, end]

    def cut(self, example: Example) -> Example:
        if example.parts:
            return replace(example, parts=tuple(self.cut(part) for part in example.parts))
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
