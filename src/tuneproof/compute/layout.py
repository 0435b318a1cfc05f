"""Where the tokens of a batch stand when its rows lie side by side: no padding, and what all begin with only once.

    layout([[1, 2, 7], [1, 2, 8, 9]])        # Layout(prefix=2, rests=(1, 2)): 5 tokens in place of 8
    layout([[1, 2], [3, 4]])                 # None: nothing would be saved

A causal model looks at nothing behind a token, so the tokens that all rows begin with have the same states in each of
them: computing these once is exact, wherever the loss lies. Attention never goes from one row to another; it is
computed for rows of similar length together, so that neither a mask over all pairs of tokens nor much padding is paid
for. All of it follows from the tokens. Shapes: B rows, T tokens of the longest, N tokens side by side; in attention
H heads, K heads of keys, width D, and G rows of a group, L tokens of the longest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from tuneproof.place import put

HERE = torch.device("cpu")
SAVES = 0.05  # of a batch's tokens, padding among them: less does not pay for moving the others about
SIMILAR = 1.25  # times as long as its shortest row is the longest of a group, at most

# Queries (G, H, L, D), keys and values (G, K, S, D), and which keys are seen, None for all up to a query's own place,
# to (G, L, H, D).
Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
# torch.nn.attention.varlen.varlen_attn, or one that says the same: queries (n, H, D), keys and values (m, K, D) of rows
# that lie one after the other, where each row's begin and end, how long the longest are, and that no query sees a key
# behind its own, the last query of a row being its last key's. (n, H, D).
AtOnce = Callable[..., Any]
CAUSAL = (-1, 0)


def layout(rows: Sequence[Sequence[int]], device: torch.device = HERE) -> Layout | None:
    """How ``rows`` lie side by side on ``device``; None where that saves too little."""
    padded = len(rows) * max(len(row) for row in rows)
    begin = min(_alike(rows), min(len(row) for row in rows) - 1)  # every row keeps a token of its own
    if begin * (len(rows) - 1) < SAVES * padded:
        begin = 0
    found = Layout(begin, tuple(len(row) - begin for row in rows), device)
    return found if padded - found.tokens >= SAVES * padded else None


def _alike(rows: Sequence[Sequence[int]]) -> int:
    """Tokens that all rows begin with: as many as the first and the last of them in the order of a dictionary."""
    texts = [list(row) for row in rows]
    first, last = min(texts), max(texts)
    return next((at for at, (x, y) in enumerate(zip(first, last, strict=False)) if x != y), len(first))


@dataclass(frozen=True)
class Layout:
    """The tokens that all rows begin with, then the rest of each row."""

    prefix: int
    rests: tuple[int, ...]  # tokens of each row behind the prefix, at least one
    device: torch.device = HERE

    @property
    def tokens(self) -> int:
        """N."""
        return self.prefix + sum(self.rests)

    @cached_property
    def sources(self) -> tuple[Tensor, Tensor]:
        """Row and place of each token side by side, (N,) both; the prefix is the first row's."""
        row = [0] * self.prefix + [at for at, rest in enumerate(self.rests) for _ in range(rest)]
        place = [*range(self.prefix), *(self.prefix + at for rest in self.rests for at in range(rest))]
        return put(torch.tensor(row), self.device), put(torch.tensor(place), self.device)

    @cached_property
    def padded(self) -> Tensor:
        """(B, T): where the token of each row and place stands side by side; behind its end, the row's last token."""
        ends = [self.prefix + end for end in accumulate(self.rests)]
        longest = max(self.rests)
        numbers = [
            [*range(self.prefix), *range(end - rest, end), *[end - 1] * (longest - rest)]
            for rest, end in zip(self.rests, ends, strict=True)
        ]
        return put(torch.tensor(numbers), self.device)

    def of_batch(self, padded: Tensor) -> Tensor:
        """(1, N, ...) from (B, T, ...)."""
        row, place = self.sources
        return padded[row, place][None]

    def as_batch(self, found: Tensor) -> Tensor:
        """(B, T, ...) from (1, N, ...)."""
        return found[0].index_select(0, self.padded.flatten()).view(*self.padded.shape, *found.shape[2:])

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The prefix, as a row of its own, and the rests, those of similar length that follow one another together."""
        found: list[list[int]] = []
        for rest in self.rests:
            if not found or max(*found[-1], rest) > SIMILAR * min(*found[-1], rest):
                found.append([])
            found[-1].append(rest)
        first = [Group(0, (self.prefix,), self.device)] if self.prefix else []
        return (*first, *(Group(self.prefix, tuple(rests), self.device) for rests in found))

    def attend(self, one: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(1, N, H, D) from (1, H, N, D) and keys and values (1, K, N, D): each token sees the prefix and its row."""
        sizes = [group.tokens for group in self.groups]
        queries, keys, values = (torch.split(found[0].transpose(0, 1), sizes) for found in (query, key, value))
        begin = keys[0], values[0]
        each = zip(self.groups, queries, keys, values, strict=True)
        parts = [group.attend(one, q, k, v, *begin) for group, q, k, v in each]
        return torch.cat(parts)[None]

    @cached_property
    def spans(self) -> Spans:
        """The same for a kernel that takes rows of various length: the prefix is a row, and begins each other."""
        own = [*([self.prefix] if self.prefix else []), *self.rests]
        seen = [*([self.prefix] if self.prefix else []), *(self.prefix + rest for rest in self.rests)]
        keys = [*range(self.prefix)]
        for end, rest in zip(accumulate(self.rests), self.rests, strict=True):
            keys += [*range(self.prefix), *range(self.prefix + end - rest, self.prefix + end)]
        queries, ends = ([0, *accumulate(sizes)] for sizes in (own, seen))
        return Spans(
            put(torch.tensor(queries, dtype=torch.int32), self.device),
            put(torch.tensor(ends, dtype=torch.int32), self.device),
            max(own),
            max(seen),
            put(torch.tensor(keys), self.device) if self.prefix else None,
        )

    def attend_at_once(self, one: AtOnce, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """``attend``, as one call."""
        q, k, v = (found[0].transpose(0, 1) for found in (query, key, value))
        spans = self.spans
        if spans.keys is not None:
            k, v = k[spans.keys], v[spans.keys]
        ends = (spans.queries_end, spans.keys_end, spans.longest_query, spans.longest_key)
        found: Tensor = one(q.contiguous(), k.contiguous(), v.contiguous(), *ends, window_size=CAUSAL)
        return found[None]


@dataclass(frozen=True)
class Spans:
    """Rows one after the other."""

    queries_end: Tensor  # (rows + 1,) int32: 0, then where the queries of each row end
    keys_end: Tensor  # (rows + 1,) int32
    longest_query: int
    longest_key: int
    keys: Tensor | None  # which token side by side each key is of; None: each once, in order


@dataclass(frozen=True)
class Group:
    """Rows that attention is computed for together, each seeing ``prefix`` tokens before its own."""

    prefix: int
    lengths: tuple[int, ...]
    device: torch.device = HERE

    @property
    def tokens(self) -> int:
        """n."""
        return sum(self.lengths)

    @cached_property
    def padding(self) -> tuple[Tensor, Tensor] | None:
        """Which token stands where in (G, L), the last of a row behind its end, and where in it each token stands."""
        longest = max(self.lengths)
        if longest == min(self.lengths):
            return None
        into: list[int] = []
        out: list[int] = []
        for row, (length, end) in enumerate(zip(self.lengths, accumulate(self.lengths), strict=True)):
            into += [*range(end - length, end), *[end - 1] * (longest - length)]
            out += range(row * longest, row * longest + length)
        return put(torch.tensor(into), self.device), put(torch.tensor(out), self.device)

    @cached_property
    def seen(self) -> Tensor | None:
        """(1, 1, L, prefix + L): the prefix, and a row's own tokens so far; padding stands behind all that counts."""
        if not self.prefix:
            return None
        longest = max(self.lengths)
        wide = self.prefix + longest
        return torch.ones(longest, wide, dtype=torch.bool, device=self.device).tril(self.prefix)[None, None]

    def attend(
        self, one: Attention, query: Tensor, key: Tensor, value: Tensor, first_key: Tensor, first_value: Tensor
    ) -> Tensor:
        """(n, H, D) from (n, H, D), keys and values (n, K, D) and those of the prefix, (prefix, K, D)."""
        q, k, v = (self._rows(found) for found in (query, key, value))
        if self.prefix:
            k, v = _behind(first_key, k), _behind(first_value, v)
        found = one(q, k, v, self.seen).flatten(0, 1)  # (G L, H, D)
        if self.padding is not None:
            found = _Moved.apply(found, self.padding[1], None)  # type: ignore[no-untyped-call]
        return found

    def _rows(self, found: Tensor) -> Tensor:
        """(G, H, L, D) from (n, H, D)."""
        if self.padding is not None:
            found = _Moved.apply(found, *self.padding)  # type: ignore[no-untyped-call]
        return found.reshape(len(self.lengths), -1, *found.shape[1:]).transpose(1, 2)


def _behind(prefix: Tensor, own: Tensor) -> Tensor:
    """(G, K, prefix + L, D) from (prefix, K, D) and (G, K, L, D)."""
    return torch.cat([prefix.transpose(0, 1).expand(len(own), -1, -1, -1), own], dim=2)


class _Moved(torch.autograd.Function):
    """Tokens by number, into padding or out of it; the gradient is moved as well, and nothing has to be added up.

    Into padding, ``back`` says which place of each token counts: what fills up has no gradient. Out of it there is no
    ``back``: every token is taken once, and what is not taken has no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: Tensor, back: Tensor | None) -> Tensor:
        ctx.to, ctx.back, ctx.tokens = to, back, len(x)
        return x.index_select(0, to)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if ctx.back is not None:
            return gradient.index_select(0, ctx.back), None, None
        return gradient.new_zeros(ctx.tokens, *gradient.shape[1:]).index_copy_(0, ctx.to, gradient), None, None
