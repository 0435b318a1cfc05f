"""One call for rows of various length says what a call for each group of similar ones says; a GPU's kernel too."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from tuneproof.compute.attention import _products
from tuneproof.compute.layout import CAUSAL, Layout

HEADS, KEYS, WIDTH = 4, 2, 8
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=7)


def row_by_row(
    query: Tensor, key: Tensor, value: Tensor, q_ends: Tensor, k_ends: Tensor, most_q: int, most_k: int, **more: object
) -> Tensor:
    """What varlen_attn is documented to do, by torch's ordinary attention; the last query sees the last key."""
    assert more == {"window_size": CAUSAL}
    assert q_ends.dtype == k_ends.dtype == torch.int32
    queries, keys = q_ends.diff().tolist(), k_ends.diff().tolist()
    assert (max(queries), max(keys)) == (most_q, most_k)
    assert (sum(queries), sum(keys)) == (len(query), len(key))
    found = []
    for q, k, v in zip(query.split(queries), key.split(keys), value.split(keys), strict=True):
        seen = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q))
        heads = (one.transpose(0, 1)[None] for one in (q, k, v))
        found.append(scaled_dot_product_attention(*heads, attn_mask=seen, enable_gqa=True)[0].transpose(0, 1))
    return torch.cat(found)


def in_groups(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
    if seen is None:
        seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()[None, None]
    return _products(query, key, value, seen, 0.0, None).transpose(1, 2)


def drawn(tokens: int, device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(tokens)
    return [torch.randn(1, heads, tokens, WIDTH).to(device, dtype) for heads in (HEADS, KEYS, KEYS)]


@given(st.integers(0, 30), LENGTHS)
def test_one_call_says_what_groups_say(prefix: int, rests: list[int]) -> None:
    laid = Layout(prefix, tuple(rests))
    tensors = drawn(laid.tokens, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(laid.attend_at_once(row_by_row, *tensors), laid.attend(in_groups, *tensors))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@pytest.mark.parametrize(("prefix", "rests"), [(0, (7, 30, 31, 2)), (12, (5, 1, 40)), (300, (40, 41, 39, 40))])
def test_the_kernel_of_a_gpu(prefix: int, rests: tuple[int, ...]) -> None:
    gpu = torch.device("cuda")
    laid = Layout(prefix, rests, gpu)
    tensors = [one.requires_grad_() for one in drawn(laid.tokens, gpu, torch.bfloat16)]
    at_once = laid.attend_at_once(partial(varlen_attn, enable_gqa=True), *tensors)
    groups = laid.attend(in_groups, *tensors)
    torch.testing.assert_close(at_once, groups, rtol=2e-2, atol=2e-2)
    mine = torch.autograd.grad(at_once.float().sum(), tensors)
    for one, other in zip(mine, torch.autograd.grad(groups.float().sum(), tensors), strict=True):
        torch.testing.assert_close(one, other, rtol=5e-2, atol=5e-2)
