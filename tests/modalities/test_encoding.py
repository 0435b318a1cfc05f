"""Rows to padded tensors: every kind of truth keeps its place, and the parts of a row stay together."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from tuneproof.modalities import ChatEncoder, TextEncoder
from tuneproof.modalities.encoding import IGNORED, Example, collate, shortened


def test_parts_stand_together_and_know_their_row() -> None:
    pair = Example([], parts=(Example([1, 2]), Example([3])), label=1)
    batch = collate([pair, Example([4, 5, 6], label=0)], pad_id=9)
    assert batch.ids.tolist() == [[1, 2, 9], [3, 9, 9], [4, 5, 6]]
    assert batch.owner.tolist() == [0, 0, 1] and len(batch) == 2 and batch.tokens == 6
    assert batch.labels is not None and batch.labels.tolist() == [1, 0]


def test_units_are_learnt_tokens_or_one() -> None:
    rows = [
        Example([1, 2, 3], tags=[IGNORED, 4, 0]),
        Example([1, 2], loss=[False, True]),
        Example([1], target=[7, 8, 9]),
        Example([1], values=[0.5]),
    ]
    assert [row.units for row in rows] == [2, 1, 3, 1]


def test_tags_targets_and_values_are_padded_with_what_carries_no_loss() -> None:
    batch = collate(
        [
            Example([1], tags=[2], target=[5, 6], values=[1.0, 0.0], types=[0], span=(0, 0)),
            Example([1, 2], tags=[0, 1], target=[5], values=[0.0, 1.0], types=[0, 1], span=(0, 1)),
        ],
        pad_id=0,
    )
    assert batch.tags is not None and batch.tags.tolist() == [[2, IGNORED], [0, 1]]
    assert batch.target is not None and batch.target.tolist() == [[5, 6], [5, IGNORED]]
    assert batch.values is not None and batch.values.dtype == torch.float32 and batch.values.shape == (2, 2)
    assert batch.inputs["token_type_ids"].tolist() == [[0, 0], [0, 1]]
    assert batch.spans is not None and batch.spans.tolist() == [[0, 0], [0, 1]]


def test_a_shortened_row_keeps_tags_and_segments_beside_their_tokens() -> None:
    cut = shortened(Example([1, 2, 3, 4], tags=[0, 1, 0, IGNORED], types=[0, 0, 1, 1]), 3, end=[4])
    assert (list(cut.ids), cut.tags, cut.types) == ([1, 2, 4], [0, 1, IGNORED], [0, 0, 1])


def side_by_side(*asked: Callable[[], Any], seconds: float = 1.0) -> list[bool]:
    """Whether each of them, again and again in a thread of its own, says what it says alone."""
    alone = [ask() for ask in asked]
    until = time.monotonic() + seconds

    def again(ask: Callable[[], Any], right: Any) -> bool:
        while time.monotonic() < until:
            if ask() != right:
                return False
        return True

    with ThreadPoolExecutor(len(asked)) as threads:
        return list(threads.map(again, asked, alone))


def test_threads_that_read_at_once_do_not_read_under_each_others_settings(tiny_bert: Path, tiny_llama: Path) -> None:
    """A server counts a request's tokens while a thread of the model reads those of another."""
    story, question = "the lamp is broken and the shop is great " * 40, "is it great"
    texts, chats = TextEncoder(tiny_bert, 64), ChatEncoder(tiny_llama, 2048)
    assert (
        side_by_side(
            lambda: [window.ids for window in texts.windows(question, story, 16)],
            lambda: texts.encode(story).ids,
            lambda: texts.encode(story).ids,
        )
        == [True] * 3
    )
    end = str(chats.tokenizer.eos_token)
    said = [[{"role": "user", "content": text * 20}] for text in (f"hello {end} there ", "what is two and two? ")]
    assert (
        side_by_side(*[lambda messages=messages: chats.prompt(messages).ids for messages in (*said, said[0])])
        == [True] * 3
    )
