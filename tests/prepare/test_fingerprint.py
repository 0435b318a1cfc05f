"""Fingerprints of columns are those of plain Python, and tell texts apart."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.prepare import fingerprint
from tuneproof.prepare.fingerprint import Fingerprints, digest, fingerprints, joined, ordered, read, written
from tuneproof.tasks import columns

TEXT = st.text(st.sampled_from("aAzZ[@`{\0 é\u0130\ufb01\t7"), max_size=20) | st.text(max_size=40)


def ids(**parts: list[str]) -> list[str]:
    found: list[str] = written(*joined({name: fingerprints(pl.Series(of)) for name, of in parts.items()})).to_list()
    return found


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=30))
def test_columns_say_what_plain_python_says(rows: list[tuple[str, str]]) -> None:
    texts, labels = (list(of) for of in zip(*rows, strict=True))
    assert ids(text=texts, label=labels) == [digest({"text": text, "label": label}) for text, label in rows]


def test_a_digest_never_changes() -> None:
    """Runs, review files and versions of data hold these."""
    assert digest({"text": "The seal leaks.", "label": "fault"}) == "cf54be0d19e6abe0db22e598f6b082cb"
    assert digest({"text": ""}) == "9694c27a12ef59040b53af473e88205c"
    assert digest({"messages": [{"role": "user", "content": "é"}]}) == "fe4c8049605896f4f09f34fe94777c8a"


def test_long_and_short_texts_in_one_column_and_pieces_of_any_size(monkeypatch) -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choices("abcdé ", k=draw.choice([0, 1, 7, 8, 9, 63, 64, 65, 3000]))) for _ in range(2000)]
    texts += ["x" * 1_000_000, ""]
    expected = [digest({"text": text}) for text in texts]
    for size in (1, 1000, 2**18):
        monkeypatch.setattr(fingerprint, "PIECE", size)
        assert ids(text=texts) == expected


def test_a_column_of_few_texts_is_computed_once_each_with_the_same_result() -> None:
    few = ["spam", "ham", "Ham ", ""] * 1000
    whole, each = fingerprints(pl.Series(few)), fingerprints(pl.Series(few[:4]))
    assert [whole.high[:4].tolist(), whole.low[:4].tolist()] == [each.high.tolist(), each.low.tolist()]
    assert (whole.folded.reshape(1000, 4) == each.folded).all() and each.folded[1] == each.folded[2]


@given(st.lists(TEXT, min_size=1, max_size=30))
def test_texts_that_fold_alike_have_one_folded_fingerprint_and_others_have_not(texts: list[str]) -> None:
    found = fingerprints(pl.Series(texts)).folded.tolist()
    folded = [columns.fold(text) for text in texts]
    assert [found.index(one) for one in found] == [folded.index(text) for text in folded]


def test_texts_that_differ_little_differ_in_half_of_the_bits_of_each_half() -> None:
    """Every bit of a change reaches every bit: one letter, one place, one zero byte, two words that change places."""
    base = "abcdefgh12345678"
    texts = [base, "abcdefgh12345679", "bbcdefgh12345678", base + "\0", "12345678abcdefgh", base[:-1], base * 2]
    found = fingerprints(pl.Series(texts))
    for half in (found.high, found.low, found.folded):
        for one, other in product(half.tolist(), repeat=2):
            assert one == other or 14 <= (one ^ other).bit_count() <= 50


def test_all_texts_of_three_letters_have_fingerprints_of_their_own() -> None:
    texts = ["".join(of) for of in product("abcdefghijklmnopqrstuvwxyz 0123456789", repeat=3)]
    found = fingerprints(pl.Series(texts))
    for half in (found.high, found.low):
        assert len(np.unique(half)) == len(np.unique(half >> np.uint64(24))) == len(texts)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 2), st.integers(0, 2**64 - 1)), max_size=20))
def test_what_is_written_is_read_again_and_the_order_is_that_of_the_text(pairs: list[tuple[int, int]]) -> None:
    words = np.array(pairs, dtype=np.uint64).reshape(-1, 2)
    found = Fingerprints(words[:, 0], words[:, 1], words[:, 1])
    text = written(found.high, found.low)
    assert (read(text) == words).all()
    assert ordered(words).hex() == "".join(sorted(text.to_list()))
