"""Retrieval: how near to the front what is sought stands, per query.

    found = neighbours(queries, corpus, relevant, itself)
    found[0].scores["recall_at_1"], found[0].nearest      # 1.0, number of the nearest row of the corpus

Relevance is yes or no. A query for which nothing is relevant finds nothing: its scores are 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DEPTH = 10  # places that are looked at
AT_ONCE = 512  # queries whose similarities are held in memory


@dataclass(frozen=True, slots=True)
class Found:
    """What one query found."""

    nearest: int  # row of the corpus; -1 where the corpus holds nothing but the query itself
    similarity: float
    scores: dict[str, float]


def neighbours(
    queries: Any, corpus: Any, relevant: Sequence[frozenset[int]], itself: Sequence[int | None]
) -> list[Found]:
    """For each query its nearest rows by inner product; ``itself`` is its own row in the corpus, which does not count.

    queries (Q, d) and corpus (C, d) are arrays or sparse matrices of unit length; of equal similarities the earlier row
    is nearer.
    """
    turned = corpus.T
    found: list[Found] = []
    for begin in range(0, len(relevant), AT_ONCE):
        product = queries[begin : begin + AT_ONCE] @ turned
        block = np.asarray(product if isinstance(product, np.ndarray) else product.toarray(), dtype=np.float64)
        for row, line in enumerate(block, start=begin):
            own = itself[row]
            if own is not None:
                line[own] = -np.inf
            order = np.argsort(-line, kind="stable")[:DEPTH]
            order = order[np.isfinite(line[order])]
            nearest = int(order[0]) if len(order) else -1
            similarity = float(line[nearest]) if len(order) else 0.0
            found.append(Found(nearest, similarity, retrieval_scores(order.tolist(), relevant[row])))
    return found


def retrieval_scores(ranked: Sequence[int], relevant: frozenset[int]) -> dict[str, float]:
    """recall_at_1, recall_at_5: 1.0 where one of the first is relevant; ndcg_at_10 (Jarvelin & Kekalainen 2002)."""
    hits = [row in relevant for row in ranked[:DEPTH]]
    gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(place + 2) for place in range(min(len(relevant), DEPTH)))
    return {
        "recall_at_1": float(any(hits[:1])),
        "recall_at_5": float(any(hits[:5])),
        "ndcg_at_10": gain / ideal if ideal else 0.0,
    }
