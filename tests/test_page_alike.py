"""What two answers have in common, as it is marked on the page."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from tuneproof.page.alike import common


def test_words_in_the_same_order_are_marked() -> None:
    found = common("Okay, your order will be ready at noon!", "Your order is ready.")
    assert found == [
        ("Okay, ", False),
        ("your order", True),
        (" will be ", False),
        ("ready", True),
        (" at noon!", False),
    ]
    assert common("", "a") == [] and common(None, "a") == [] and common("a b", None) == [("a b", False)]
    assert common("The same.", "the SAME") == [("The same", True), (".", False)]


@given(st.text("ab .\n", max_size=40), st.text("ab .\n", max_size=40))
def test_the_pieces_are_the_whole(said: str, truth: str) -> None:
    found = common(said, truth)
    assert "".join(part for part, _ in found) == said and all(part for part, _ in found)
    assert all(one[1] != other[1] for one, other in itertools.pairwise(found))
    assert not any(re.search(r"\w", part) for part, same in common(said, said) if not same), "a text is like itself"
