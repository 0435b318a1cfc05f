"""How files write entities, that words and pieces meet again, and that no tag goes on with what has not begun."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneproof.config import Data
from tuneproof.errors import DataError
from tuneproof.modalities import TextEncoder
from tuneproof.prepare import prepare
from tuneproof.prepare.schema import columns as facts
from tuneproof.records import Prediction, Table
from tuneproof.tasks import TASKS, entities, metrics
from tuneproof.tasks.rows import REASONS, Unusable
from tuneproof.tasks.token_classification import decode, first_pieces

ANSWERS = {name: row.answer for name, row in TASKS.items()}
ANSWER = TASKS["token-classification"].answer
WORDS = ["Ann", "Lee", "met", "Bob", "Kay", "in", "Bonn"]
IOB2 = ["B-PER", "I-PER", "O", "B-PER", "I-PER", "O", "B-LOC"]


# -- ways to write entities


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB2", IOB2),
        ("IOB1", ["I-PER", "I-PER", "O", "I-PER", "I-PER", "O", "I-LOC"]),
        ("BIOES", ["B-PER", "E-PER", "O", "B-PER", "E-PER", "O", "S-LOC"]),
        ("BILOU", ["B-PER", "L-PER", "O", "B-PER", "L-PER", "O", "U-LOC"]),
        ("types alone", ["PER", "PER", "O", "PER", "PER", "O", "LOC"]),
    ],
)
def test_every_scheme_is_recognised_and_becomes_the_one_that_is_taught(scheme: str, tags: list[str]) -> None:
    assert entities.scheme_of([["O"], tags]) == scheme
    assert entities.iob2(tags, scheme) == IOB2


def test_two_of_a_type_side_by_side_stay_two() -> None:
    assert entities.iob2(["I-A", "B-A", "I-A"], "IOB1") == ["B-A", "B-A", "I-A"]
    assert entities.iob2(["S-A", "B-A", "I-A", "E-A"], "BIOES") == ["B-A", "B-A", "I-A", "I-A"]
    assert entities.iob2(["A", "A", "B"], "types alone") == ["B-A", "I-A", "B-B"]
    assert entities.scheme_of([["B-A", "I-A"], ["O", "I-A"]]) == "IOB2", "one row without a start makes no other scheme"


@pytest.mark.parametrize(
    ("words", "tags", "scheme", "reason"),
    [
        (["a", "b"], ["O"], "IOB2", "not one tag for each word"),
        ([], [], "IOB2", "empty text"),
        (["a", "b"], ["O", "I-A"], "IOB2", "a tag without its start"),
        (["a", "b"], ["B-A", "I-B"], "IOB2", "a tag without its start"),
        (["a", "b"], ["B-A", "O"], "BIOES", "an entity without its end"),
        (["a", "b"], ["O", "E-A"], "BIOES", "a tag without its start"),
        (["a", "b"], ["O", "B-A"], "BIOES", "an entity without its end"),
        (["a", "b"], ["O", "X-A"], "IOB2", "a tag that its scheme does not know"),
        (["a", "b"], ["O", "person"], "IOB2", "a tag that its scheme does not know"),
        (["a", "b"], [0, 3], "IOB2", "tags are not names such as B-PER"),
    ],
)
def test_tags_that_make_no_entities_are_named(words: list[str], tags: list[Any], scheme: str, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        entities.from_tags(words, tags, scheme)
    assert caught.value.reason == reason and reason in REASONS


TEXT = "Ann Lee met  Bob\nin Bonn."


def spans(*pairs: tuple[int, int, str]) -> list[dict[str, Any]]:
    return [{"start": start, "end": end, "label": label} for start, end, label in pairs]


@pytest.mark.parametrize(
    "given_as",
    [
        spans((0, 7, "PER"), (13, 16, "PER"), (20, 24, "LOC")),
        [[20, 24, "LOC"], [0, 7, "PER"], [13, 16, "PER"]],
        [{"start_offset": 0, "end_offset": 8, "type": "PER"}, {"start_offset": 12, "end_offset": 17, "type": "PER"},
         {"start_offset": 20, "end_offset": 24, "type": "LOC", "text": "Bonn"}],
    ],
)  # fmt: skip
def test_characters_become_words_with_tags_and_characters_again(given_as: list[Any]) -> None:
    row = entities.from_spans(TEXT, given_as)
    assert row["words"] == ["Ann", "Lee", "met", "Bob", "in", "Bonn", "."]
    assert row["tags"] == ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC", "O"]
    again = entities.found(row["text"], row["words"], row["tags"])
    assert entities.keys(again) == {("PER", 0, 7), ("PER", 13, 16), ("LOC", 20, 24)}
    assert entities.marked(TEXT, again) == "[Ann Lee | PER] met  [Bob | PER]\nin [Bonn | LOC]."


@pytest.mark.parametrize(
    ("given_as", "reason"),
    [
        (spans((0, 99, "PER")), "an entity outside of the text"),
        (spans((-3, 2, "PER")), "an entity outside of the text"),
        (spans((5, 5, "PER")), "an entity outside of the text"),
        (spans((1, 7, "PER")), "an entity that ends within a word"),
        (spans((0, 7, "PER"), (4, 7, "LOC")), "entities that overlap"),
        ([{"start": 0, "end": 3}], "an entity without start, end and type"),
        ([{"start": "0", "end": 3, "label": "PER"}], "an entity without start, end and type"),
        ([[0, 3]], "an entity without start, end and type"),
        ([{"start": 0, "end": 3, "label": "PER", "text": "Bob"}], "an entity that is not what stands there"),
        ("PER", "entities are not a list"),
    ],
)
def test_entities_that_are_not_in_the_text_are_named(given_as: Any, reason: str) -> None:
    with pytest.raises(Unusable) as caught:
        entities.from_spans(TEXT, given_as)
    assert caught.value.reason == reason and reason in REASONS


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"tokens": ["Ann", "left"], "tags": ["I-PER", "O"]}, "a tag without its start"),
        ({"tokens": ["Ann", "left"], "tags": ["B-PER"]}, "not one tag for each word"),
        ({"tokens": ["Ann", "left"], "tags": [1, 0]}, "tags are not names such as B-PER"),
    ],
)
def test_a_file_with_too_many_of_those_is_refused_by_line(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    good = {"tokens": ["Bob", "left"], "tags": ["B-PER", "O"]}
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in [good, row, row, row]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        prepare(file, Data(), ANSWERS)
    assert "a.jsonl, line 2: 3 of 4 rows" in caught.value.message and told in caught.value.message


def test_a_file_without_an_entity_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"tokens": ["a", str(i)], "tags": ["O", "O"]}) + "\n" for i in range(40)))
    with pytest.raises(DataError, match="line 1: none of the 40 usable rows has an entity"):
        prepare(file, Data(), ANSWERS)


TOLD = ["Ann Lee met Bob in Bonn and then they went"] * 2


@pytest.mark.parametrize(
    ("columns", "fields"),
    [
        ({"tokens": [["a"], ["b", "c"]], "ner_tags": [["O"], ["B-X", "O"]]}, {"words": "tokens", "tags": "ner_tags"}),
        ({"words": [["a"], ["b"]], "labels": [["O"], ["O"]], "id": [1, 2]}, {"words": "words", "tags": "labels"}),
        ({"text": TOLD, "entities": [spans((0, 3, "PER")), []]}, {"text": "text", "tags": "entities"}),
        ({"text": TOLD, "label": [[[0, 3, "PER"]], []]}, {"text": "text", "tags": "label"}),
        ({"text": TOLD, "label": [["a", "b"], []]}, None),  # several labels for a row
        ({"text": TOLD, "entities": ["PER", "LOC"]}, None),
        ({"tokens": [["a"], ["b"]]}, None),
    ],
)
def test_words_with_tags_and_texts_with_entities_are_recognised(columns: Any, fields: dict[str, str] | None) -> None:
    guess = ANSWER.recognise(facts(Table(columns, [1, 2], "a.jsonl")), Data())
    assert (guess.fields if guess else None) == fields


def test_columns_can_be_named(tmp_path: Path) -> None:
    columns = {"w": [["a"], ["b"]], "t": [["O"], ["B-X"]], "tokens": [["a"], ["b"]]}
    guess = ANSWER.recognise(facts(Table(columns, [1, 2], "a.jsonl")), Data(text="w", label="t"))
    assert guess is not None and guess.fields == {"words": "w", "tags": "t"}


# -- words and pieces


TAGS = ("O", "B-A", "I-A", "B-B", "I-B")


def well_formed(draw: list[int]) -> list[str]:
    """Tags that the scheme allows, from any numbers."""
    tags: list[str] = []
    for number in draw:
        tag = TAGS[number % len(TAGS)]
        fits = not tag.startswith("I-") or (tags and tags[-1] != "O" and tags[-1][2:] == tag[2:])
        tags.append(tag if fits else "O")
    return tags


word = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(word, st.integers(0, 99)), min_size=1, max_size=12))
def test_words_tags_pieces_and_back_are_the_same(tiny_bert: Path, drawn: list[tuple[str, int]]) -> None:
    """Whatever the words: their tags, put on the pieces and read from them again, are the entities of the row."""
    words, tags = [one for one, _ in drawn], well_formed([number for _, number in drawn])
    row = entities.from_tags(words, tags, "IOB2")
    where = entities.located(row["text"], words)
    assert [row["text"][start:stop] for start, stop in where] == words
    encoder = encoders.setdefault(tiny_bert, TextEncoder(tiny_bert, 64))
    _, offsets = encoder.spelled(row["text"])
    pieces = first_pieces(offsets, where)
    shown = [piece for piece in pieces if piece is not None]
    assert shown == sorted(set(shown)), "no piece is two words', and they stand in order"
    for (start, stop), piece in zip(where, pieces, strict=True):
        inside = [index for index, (a, b) in enumerate(offsets) if a < stop and b > start and b > a]
        if piece is not None:
            assert piece == inside[0], "the first that reaches into the word"
        else:
            assert not set(inside) - set(shown), "only a word without a piece of its own has none"
    emitted = np.full((len(words), len(TAGS)), -1e9)
    for index, piece in enumerate(pieces):
        emitted[index, TAGS.index(tags[index]) if piece is not None else 0] = 0.0
    path = decode(emitted, np.array(entities.may_follow(TAGS)), 0)
    if None not in pieces:
        assert [TAGS[tag] for tag in path] == tags
        found = entities.found(row["text"], words, tags)
        assert [one["text"] for one in found] == [row["text"][one["start"] : one["end"]] for one in found]
        assert [one["start"] for one in found] == [
            start for (start, _), tag in zip(where, tags, strict=True) if tag.startswith("B-")
        ]


encoders: dict[Path, TextEncoder] = {}


# -- decoding


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_the_decoded_tags_are_the_best_of_those_that_are_allowed(words: int, seed: int) -> None:
    emitted = np.random.default_rng(seed).normal(size=(words, len(TAGS)))
    allowed = np.array(entities.may_follow(TAGS))
    path = decode(emitted, allowed, 0)
    assert allowed[0, path[0]] and all(allowed[a, b] for a, b in itertools.pairwise(path))
    paths = itertools.product(range(len(TAGS)), repeat=words) if words <= 4 else [path]
    for other in paths:
        if allowed[0, other[0]] and all(allowed[a, b] for a, b in itertools.pairwise(other)):
            assert emitted[range(words), list(other)].sum() <= emitted[range(words), path].sum() + 1e-9


# -- scores


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=10), min_size=1))
def test_scores_are_those_of_strict_entities(rows: list[list[tuple[int, int]]]) -> None:
    """Equal to metrics.entity_scores, which a proof holds equal to seqeval's strict mode."""
    sides = [[well_formed([pair[side] for pair in row]) for row in rows] for side in (0, 1)]
    said = []
    for true, found in zip(*sides, strict=True):
        words = [f"w{index}" for index in range(len(true))]
        texts = [entities.found(" ".join(words), words, tags) for tags in (found, true)]
        said.append(Prediction(texts[0], texts[1], scores=entities.counted(*texts)))
    scores = ANSWER.score(said).values
    expected = metrics.entity_scores(sides[0], sides[1])
    assert {name.removeprefix("entity_"): value for name, value in scores.items()} == pytest.approx(expected)
    kinds = {one.label: one for one in ANSWER.classes(said)}
    assert sum(one.support for one in kinds.values()) == sum(p.scores["entities_true"] for p in said)
