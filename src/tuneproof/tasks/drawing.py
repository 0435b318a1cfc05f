"""How tokens are drawn, and how somebody follows them while they are.

    model.generate(..., **drawing(how), stopping_criteria=[Watched(prompt_length, watch)])

Greedy unless a temperature is asked for: everything that is scored is greedy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria

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
        return torch.tensor(self.watch(input_ids[:, self.prompt :].tolist()), dtype=torch.bool)


def drawing(how: Generation) -> dict[str, Any]:
    """Arguments of ``generate``; with a temperature, torch's generator is seeded as a side effect."""
    if how.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    torch.manual_seed(how.seed)
    return {"do_sample": True, "temperature": how.temperature, "top_p": how.top_p, "top_k": 0}
