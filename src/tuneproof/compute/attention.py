"""Attention by length: plain batched products where torch's fused kernel for the CPU does not pay.

    attention_by_length(model)

The fused kernel walks over blocks of keys, forwards and once more backwards, which for short rows costs more than the
scores that it saves. Forward and backward of nine heads of 64, 2,048 tokens in all, milliseconds on two cores:

    tokens of a row         64   128   256   512   1,024
    bf16, fused             57    69    73   119     193
    bf16, plain products    13    19    32    61     172
    fp32, fused             29    42    62   120     239
    fp32, plain products    24    38    67   178     407

Rows that lie side by side are one call of torch's kernel for rows of various length on a GPU, in half precision, which
is what that kernel takes; elsewhere rows of similar length are a call. A GPU's kernels are fast at any length.

A pass in fp32 without gradients, which is how a model is scored and served, keeps the fused kernel at any length: the
forward alone gains a sixth at best, and the saved folder opened without tuneproof has to say the same.

Entered through transformers' own table of attention functions; models that compute attention otherwise keep theirs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import dropout as drop
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tuneproof.compute.layout import Layout
from tuneproof.device import computed_in
from tuneproof.place import GPU

NAME = "by_length"
UP_TO = {torch.bfloat16: 768, torch.float32: 128}  # tokens of a row; from the table above
HALVES = (torch.bfloat16, torch.float16)


def attention_by_length(model: Module) -> None:
    """Every transformers model within ``model`` that uses torch's fused attention chooses by length from now on."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module.config._attn_implementation == "sdpa":
            AttentionInterface.register(NAME, attend)
            AttentionMaskInterface.register(NAME, mask)
            module.set_attn_implementation(NAME)


def mask(*sizes: Any, attention_mask: Tensor | None = None, **more: Any) -> Tensor | None:
    """transformers' own mask; on a GPU it is made without looking whether it hides anything: that would be to wait.

    ``Batch.inputs`` has none where nothing is hidden, which is known before.
    """
    if attention_mask is not None and attention_mask.device.type != "cpu":
        more |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    found: Tensor | None = sdpa_mask(*sizes, attention_mask=attention_mask, **more)
    return found


def attend(
    module: Module,
    query: Tensor,  # (B, H, T, D)
    key: Tensor,  # (B, K, S, D), H a multiple of K
    value: Tensor,
    attention_mask: Tensor | None,  # (B, 1, T, S), True where a key is seen
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    side_by_side: Layout | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """(B, T, H, D), as every attention function of transformers; without its weights.

    With ``side_by_side`` B is 1, and its rows are attended to as if each stood alone.
    """
    if side_by_side is not None:
        half = computed_in(query)
        if query.device.type == GPU and half in HALVES and not dropout:
            more = {"scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
            tensors = (one.to(half) for one in (query, key, value))
            return side_by_side.attend_at_once(partial(varlen_attn, **more), *tensors), None

        def rows(q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> Tensor:
            return attend(module, q, k, v, seen, dropout, scaling, is_causal=seen is None, **more)[0]

        return side_by_side.attend(rows, query, key, value), None
    length, keys = query.shape[2], key.shape[2]
    plain = attention_mask is None or attention_mask.dtype == torch.bool
    exact = query.dtype == torch.float32 and not torch.is_grad_enabled()  # to the bit what transformers alone says
    fused = exact or query.device.type != "cpu"  # the table is of the kernel for the CPU
    if fused or length == 1 or keys > UP_TO.get(query.dtype, 0) or not plain or more.get("position_bias") is not None:
        found, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal=is_causal, **more
        )
        return found, None
    if is_causal is None:
        is_causal = bool(getattr(module, "is_causal", True))  # as transformers' own function reads it
    if attention_mask is None and is_causal:
        attention_mask = torch.ones(length, keys, dtype=torch.bool, device=query.device).tril(keys - length)[None, None]
    return _products(query, key, value, attention_mask, dropout, scaling).transpose(1, 2).contiguous(), None


def _products(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, dropout: float, scaling: float | None
) -> Tensor:
    """(B, H, T, D). Heads that share a key are one product: no key is repeated."""
    rows, heads, length, width = query.shape
    groups, keys = key.shape[1], key.shape[2]
    scaled = query * (width**-0.5 if scaling is None else scaling)
    scores = scaled.reshape(rows, groups, -1, width) @ key.transpose(-1, -2)  # (B, K, H/K T, S)
    scores = scores.view(rows, heads, length, keys)
    if seen is not None:
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    weights = drop(torch.softmax(scores, -1), dropout)
    return (weights.view(rows, groups, -1, keys) @ value).view(rows, heads, length, width)
