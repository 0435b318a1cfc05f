"""Rows of a batch side by side: the model computes no padding, and tokens that all rows begin with once.

    with side_by_side(model, batch.ids, batch.here.ids, batch.lengths):
        loss = answer.loss(model, batch)

Who calls the model gives it the padded batch and gets padded states back: a hook before its stack of layers lays the
rows side by side, with positions that begin anew in each, and one behind it puts the states where they are expected.
What each token may see goes through the model to the attention function (attention.py) as an argument of its own.
Models that are not known to hand it on, and calls that are more than a batch of ids, go their usual way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from transformers import PreTrainedModel

from tuneproof.compute.attention import NAME
from tuneproof.compute.layout import Layout, layout

# Types of causal models that hand arguments on to their attention and take the positions they are given.
PACKED = ("llama", "qwen2", "qwen3", "granite", "olmo2", "gpt_neox", "gpt2")


def packs(model: Module) -> PreTrainedModel | None:
    """The stack of layers within ``model`` that can compute rows side by side, or None."""
    body = [module for module in model.modules() if isinstance(module, PreTrainedModel)][-1]
    config: Any = body.config
    kinds = set(config.to_dict().get("layer_types") or ())
    known = config.model_type in PACKED and config._attn_implementation == NAME
    return body if known and kinds <= {"full_attention"} else None


@contextmanager
def side_by_side(model: Module, ids: Tensor, here: Tensor, lengths: Sequence[int]) -> Iterator[None]:
    """Within it a call with ``ids``, (B, T), computes them side by side where that pays; padding is on the right.

    ``here`` are the same in the memory of this process, and ``lengths`` the tokens of each row.
    """
    body = packs(model)
    rows = [row[:length] for row, length in zip(here.tolist(), lengths, strict=True)]
    found = layout(rows, ids.device) if body is not None else None
    with nullcontext() if body is None or found is None else laid(body, ids, found):
        yield


@contextmanager
def laid(body: PreTrainedModel, ids: Tensor, found: Layout) -> Iterator[None]:
    """Within it a call of ``body`` with ``ids`` computes them as ``found`` says."""
    hooks = [
        body.register_forward_pre_hook(lambda _, args, given: _one_sequence(found, ids, args, given), with_kwargs=True),
        body.register_forward_hook(lambda _, args, given, made: _expected(given, made), with_kwargs=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _one_sequence(found: Layout, ids: Tensor, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """What the stack is called with: one sequence, and a mask of four dimensions, which models take as it is."""
    if args or given.get("input_ids") is not ids or given.get("past_key_values") is not None:
        return None  # an adapter's tokens stand before the text
    everything = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=ids.device)
    positions = found.sources[1][None]
    one = {"input_ids": found.of_batch(ids), "attention_mask": everything, "position_ids": positions}
    return args, {**given, **one, "side_by_side": found}


def _expected(given: dict[str, Any], made: Any) -> Any:
    """(B, T, width) of last states, from those of the tokens side by side."""
    if isinstance(found := given.get("side_by_side"), Layout):
        made.last_hidden_state = found.as_batch(made.last_hidden_state)
    return made
