"""What an encoder with a decoder is asked of a general text: that with which it was pretrained, as its tokenizer shows.

    gapped(encoder, "The with statement is used to wrap ...", 0).target     # ids that the model is to write

Sentinels (T5): stretches of 3 tokens, 15% in all, are left out; the target is what stood there (Raffel et al. 2020,
3.1.4). A mask (BART): 30% in such stretches are one mask each; the target is the whole text (Lewis et al. 2020, 2.2).
Neither: the second half of the text after the first.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tuneproof.config import DOCUMENT_TOKENS
from tuneproof.modalities import Example, TextEncoder

STRETCH = 3  # tokens that are left out at once
SENTINEL = "<extra_id_{}>"
LEFT_OUT, MASKED = 0.15, 0.3


def gapped(encoder: TextEncoder, text: str, number: int) -> Example:
    """``number`` of the text draws what is left out, the same for every model."""
    tokenizer = encoder.tokenizer
    bare = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    before, after = _around(encoder.encode(text).ids, bare)
    ids = bare[: max(2, min(DOCUMENT_TOKENS, encoder.max_length - len(before) - len(after)))]
    words, end = tokenizer.get_vocab(), tokenizer.eos_token_id
    if SENTINEL.format(0) in words:
        gaps = _gaps(len(ids), LEFT_OUT, number)
        marks = [words[SENTINEL.format(at)] for at in range(len(gaps) + 1)]
        written = [id for mark, (start, stop) in zip(marks, gaps, strict=False) for id in (mark, *ids[start:stop])]
        return Example([*before, *_without(ids, gaps, marks), *after], target=[*written, marks[-1], end])
    if tokenizer.mask_token_id is not None:
        gaps = _gaps(len(ids), MASKED, number)
        source = _without(ids, gaps, [tokenizer.mask_token_id] * len(gaps))
        return Example([*before, *source, *after], target=[*before, *ids, *after])
    half = max(1, len(ids) // 2)
    return Example([*before, *ids[:half], *after], target=[*ids[half:], end])


def _around(whole: Sequence[int], bare: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The special tokens before a text and after it."""
    for first in range(len(whole) - len(bare) + 1):
        if list(whole[first : first + len(bare)]) == list(bare):
            return whole[:first], whole[first + len(bare) :]
    return [], []


def _gaps(tokens: int, share: float, number: int) -> list[tuple[int, int]]:
    """Stretches in order, one somewhere in each part of the text, and a token between any two of them."""
    count = max(1, round(share * tokens / STRETCH))
    draw = random.Random(number)
    found = []
    for part in range(count):
        first, last = part * tokens // count, (part + 1) * tokens // count
        start = draw.randint(first, max(first, last - STRETCH - 1))
        found.append((start, min(start + STRETCH, max(start + 1, last - 1))))
    return found


def _without(ids: Sequence[int], gaps: Sequence[tuple[int, int]], marks: Sequence[int]) -> list[int]:
    found: list[int] = []
    at = 0
    for mark, (start, stop) in zip(marks, gaps, strict=False):
        found += [*ids[at:start], mark]
        at = stop
    return [*found, *ids[at:]]
