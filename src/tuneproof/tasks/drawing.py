"""How tokens are drawn, and how somebody follows them while they are.

    model.generate(..., **drawing(how, seeds), stopping_criteria=[Watched(prompt_length, watch)])

Greedy unless a temperature is asked for: everything that is scored is greedy. Each row is drawn by a generator of its
own: what stands beside it in a batch, or is drawn in another thread, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria, TopPLogitsWarper

from tuneproof.records import Generation

# All tokens written so far, row by row -> which rows are done. A row that is done may be followed by padding.
Watch = Callable[[Sequence[Sequence[int]]], Sequence[bool]]


class Watched(StoppingCriteria):  # type: ignore[misc]
    """Shows what was written after each step, and ends the rows that are said to be done."""

    def __init__(self, prompt: int, watch: Watch) -> None:
        self.prompt = prompt  # tokens before the first written one, padding included
        self.watch = watch

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        """(rows,) bool."""
        return torch.tensor(self.watch(input_ids[:, self.prompt :].tolist()), dtype=torch.bool, device=input_ids.device)


class Drawn(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token of each row, drawn by that row's generator; the likeliest that is left is then the drawn one.

    transformers' own draws are torch's global generator's, which all threads of a process share.
    """

    def __init__(self, how: Generation, seeds: Sequence[int]) -> None:
        self.temperature = how.temperature
        self.likely = TopPLogitsWarper(how.top_p) if how.top_p < 1 else None
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary): 0 at what was drawn, minus infinity elsewhere."""
        scores = scores / self.temperature
        if self.likely is not None:
            scores = self.likely(input_ids, scores)
        shares = torch.softmax(scores.float(), -1).cpu()  # generators live there, and draw the same for every device
        rows = zip(shares, self.generators, strict=True)
        drawn = torch.stack([torch.multinomial(row, 1, generator=generator) for row, generator in rows])  # (rows, 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn.to(scores.device), 0.0)


def drawing(how: Generation, seeds: Sequence[int]) -> dict[str, Any]:
    """Arguments of ``generate`` for so many rows; the seeds count where there is a temperature."""
    greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return greedy if how.temperature == 0 else {**greedy, "logits_processor": [Drawn(how, seeds)]}
