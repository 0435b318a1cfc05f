"""The TF-IDF baseline: as strong as it can cheaply be, and the same in the folder that is kept."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from tuneproof.evaluate import saved_tfidf, tfidf
from tuneproof.evaluate.deciding import Deciding

LABELS = ("ham", "spam")


@given(st.text(max_size=60))
def test_parts_are_those_of_scikit_learn(text: str) -> None:
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=tfidf.PARTS).build_analyzer()
    pieces = TfidfVectorizer(analyzer="char_wb", ngram_range=tfidf.PIECES).build_analyzer()
    assert sorted(saved_tfidf.words(text.lower())) == sorted(words(text))
    assert sorted(saved_tfidf.pieces(text.lower())) == sorted(pieces(text))


def spelled(rows: int, spread: int) -> tuple[list[str], list[int]]:
    """Words that were never seen before begin with what tells the label."""
    draw = random.Random(0)
    numbers = [draw.randrange(2) for _ in range(rows)]
    ends = ["".join(draw.choices("abcdefgh", k=5)) for _ in range(spread)]
    return [f"{('kla', 'zor')[number]}{draw.choice(ends)} is here." for number in numbers], numbers


@pytest.mark.parametrize(("spread", "pieces"), [(10_000, True), (3, False)])
def test_pieces_are_read_where_they_help_and_kept(spread: int, pieces: bool, tmp_path: Path) -> None:
    texts, numbers = spelled(400, spread)
    new, truth = texts[300:], numbers[300:]
    machine = tfidf.fit(texts[:300], numbers[:300], seed=0)
    assert tfidf.pieces_help(texts[:300], numbers[:300], seed=0) == pieces
    assert [name for name, _ in machine.steps[0][1].transformer_list] == ["words", "pieces"][: 1 + pieces]
    assert machine.predict(new).tolist() == truth
    tfidf.save(machine, LABELS, tmp_path / "kept", "about", Deciding(LABELS))
    assert saved_tfidf.predict(new, tmp_path / "kept") == [LABELS[number] for number in truth]
    assert (tmp_path / "kept" / "pieces.json").exists() == pieces


def test_signs_do_not_make_another_word() -> None:
    machine = tfidf.fit(["card?", "cash!", "card", "cash."] * 5, [0, 1, 0, 1] * 5, seed=0)
    assert machine.predict(["card!", "cash?"]).tolist() == [0, 1]


@pytest.mark.parametrize("texts", [["a", "b"] * 6, ["?", "!"] * 6, ["\u4f60", "\u597d"] * 6])
def test_rows_of_one_letter_of_any_script(texts: list[str]) -> None:
    assert tfidf.fit(texts, [0, 1] * 6, seed=0).predict(texts[:2]).tolist() == [0, 1]
