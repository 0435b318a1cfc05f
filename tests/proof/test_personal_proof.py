"""Personal data at full size: the recall of figure 10 on ten times more values, long hostile texts, a million rows."""

from __future__ import annotations

import time

import pytest
from personal_corpus import corpus, recall
from test_personal import HOSTILE

from tuneproof.personal import find
from tuneproof.prepare.check.personal import candidates

pytestmark = pytest.mark.proof


def test_recall_on_a_large_generated_corpus() -> None:
    shares, missed = recall(corpus(5000, seed=17))
    assert min(shares.values()) >= 0.98, (shares, missed[:20])


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_megabyte_of_hostile_text_takes_seconds(piece: str) -> None:
    text = piece * (1_000_000 // len(piece)) + " 1234"
    start = time.process_time()
    find(text)
    assert time.process_time() - start < 30


def test_a_million_rows_take_seconds() -> None:
    """One row in a hundred with a value; measured 3 s on a shared machine (benchmarks/personal_data.py)."""
    rows = [f"please tell me where order {row % 97} is, i wait since monday" for row in range(1_000_000)]
    rows[::100] = [f"write to bird{row}@example.org about order {row}" for row in range(10_000)]
    start = time.process_time()
    hits = sum(bool(find(rows[place])) for place in candidates(rows))
    assert hits == 10_000 and time.process_time() - start < 60
