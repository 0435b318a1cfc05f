"""Where two texts are the same: the words of one that stand in the other in the same order.

common("It is ready at noon.", "It will be ready.")    # [("It", True), (" is ", False), ("ready", True), ...]
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

LETTERS = 6_000  # of a text that are compared at most: the time grows with the square


def common(said: Any, truth: Any) -> list[tuple[str, bool]]:
    """``said`` in pieces, which together are the whole, each with whether its words are in ``truth``, case aside."""
    text, other = ("" if value is None else str(value) for value in (said, truth))
    parts = re.split(r"(\w+)", text[:LETTERS])  # words at the odd places
    words, known = parts[1::2], re.findall(r"\w+", other[:LETTERS])
    blocks = SequenceMatcher(
        None, [word.lower() for word in known], [word.lower() for word in words], autojunk=False
    ).get_matching_blocks()
    same = {at for block in blocks for at in range(block.b, block.b + block.size)}
    found: list[tuple[str, bool]] = []
    for place, part in enumerate(parts):
        word, odd = divmod(place, 2)
        marked = word in same and (bool(odd) or word - 1 in same)  # between two that are marked as well
        if found and found[-1][1] == marked:
            found[-1] = (found[-1][0] + part, marked)
        elif part:
            found.append((part, marked))
    rest = text[LETTERS:]
    return [*found, (rest, False)] if rest else found
