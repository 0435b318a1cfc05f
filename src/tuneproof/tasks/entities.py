"""Entities in texts: how files write them, what they are, when two are the same.

    row = from_tags(["Ann", "left", "Bonn"], ["B-PER", "O", "B-LOC"], "IOB2")
    found(row["text"], row["words"], row["tags"])
    # [{"text": "Ann", "start": 0, "end": 3, "label": "PER"}, {"text": "Bonn", "start": 9, "end": 13, "label": "LOC"}]

Every way of writing becomes words with IOB2 tags, so that a model learns one. An entity is its type, its first and its
last character: all three have to be right, as in seqeval's strict mode. Nothing here knows a model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuneproof.tasks.rows import Unusable, blank, written

WORD = re.compile(r"\w+|[^\w\s]")  # of a text that comes without words
TAG = re.compile(r"([A-Z])-(.+)", re.DOTALL)
OUTSIDE = "O"
# Prefixes of each scheme as the four things that they say: an entity begins, goes on, ends, stands alone.
SCHEMES = {"IOB2": "BI", "IOB1": "BI", "BIOES": "BIES", "BILOU": "BILU", "types alone": ""}
LABELS = ("label", "type", "tag", "entity", "entity_group", "entity_type", "class", "category")
ENDS = (("start", "end"), ("start_offset", "end_offset"), ("begin", "end"), ("start_char", "end_char"))

Span = tuple[int, int]
Entity = dict[str, Any]  # "text", "start", "end" (characters, end exclusive), "label"; predicted ones: "confidence"


def scheme_of(rows: Iterable[Any]) -> str:
    """How the tags of a whole column are written: a key of SCHEMES. Rows that hold no tags are passed over."""
    prefixes: set[str] = set()
    plain = without_start = fresh = False
    for tags in rows:
        before = OUTSIDE
        for tag in tags if isinstance(tags, list) else ():
            tag = written(tag)
            parts = TAG.fullmatch(tag)
            plain |= parts is None and tag != OUTSIDE
            if parts is not None:
                prefix, kind = parts.groups()
                prefixes.add(prefix)
                inside = before[2:] == kind
                without_start |= prefix == "I" and not inside
                fresh |= prefix == "B" and not inside
            before = tag if parts is not None else OUTSIDE
    if not prefixes & set("BISU") or (plain and not prefixes & set("BI")):
        return "types alone"
    if prefixes & set("LU"):
        return "BILOU"
    if prefixes & set("ES"):
        return "BIOES"
    return "IOB1" if without_start and not fresh else "IOB2"  # IOB1 writes B only where two of a type meet


def from_tags(words: Any, tags: Any, scheme: str) -> dict[str, Any]:
    """The row of a file with words and a tag for each; ``Unusable`` where they do not make entities."""
    if blank(words) or not isinstance(words, list):
        raise Unusable("empty text")
    if not isinstance(tags, list) or len(tags) != len(words):
        raise Unusable("not one tag for each word")
    told = [written(word) for word in words]
    return {"text": " ".join(told), "words": told, "tags": iob2(tags, scheme)}


def iob2(tags: Sequence[Any], scheme: str) -> list[str]:
    """The same entities in the one scheme that is taught."""
    if any(not isinstance(tag, str) for tag in tags):
        raise Unusable("tags are not names such as B-PER")
    if scheme == "types alone":
        pairs = zip([OUTSIDE, *tags], tags, strict=False)
        return [tag if tag == OUTSIDE else f"{'I' if before == tag else 'B'}-{tag}" for before, tag in pairs]
    inside, ends, alone = (*SCHEMES[scheme][1:], "", "")[:3]
    found: list[str] = []
    going = ""  # type of an entity that has to go on, or may where the scheme does not write ends
    for tag in tags:
        parts = TAG.fullmatch(tag)
        if parts is None and tag != OUTSIDE:
            raise Unusable("a tag that its scheme does not know")
        prefix, kind = parts.groups() if parts is not None else ("", "")
        if prefix and prefix not in SCHEMES[scheme]:
            raise Unusable("a tag that its scheme does not know")
        goes_on = prefix in (inside, ends) and prefix != "" and kind == going
        if ends and going and not goes_on:
            raise Unusable("an entity without its end")
        if prefix in (inside, ends) and prefix and not goes_on and scheme != "IOB1":
            raise Unusable("a tag without its start")
        found.append(f"{'I' if goes_on else 'B'}-{kind}" if prefix else OUTSIDE)
        going = "" if not prefix or (prefix in (ends, alone) and ends) else kind
    if ends and going:
        raise Unusable("an entity without its end")
    return found


def from_spans(text: Any, spans: Any) -> dict[str, Any]:
    """The row of a file with a text and its entities as characters; ``Unusable`` where one is not in the text."""
    if blank(text) or not isinstance(text, str):
        raise Unusable("empty text")
    if not isinstance(spans, list) and spans is not None:
        raise Unusable("entities are not a list")
    words = split(text)
    where = located(text, words)
    tags, starts = [OUTSIDE] * len(words), {start: index for index, (start, _) in enumerate(where)}
    stops = {stop: index for index, (_, stop) in enumerate(where)}
    for start, stop, label in sorted(_span(text, span) for span in spans or ()):
        first, last = starts.get(start), stops.get(stop)
        if first is None or last is None:
            raise Unusable("an entity that ends within a word")
        if any(tag != OUTSIDE for tag in tags[first : last + 1]):
            raise Unusable("entities that overlap")
        tags[first : last + 1] = [f"B-{label}", *[f"I-{label}"] * (last - first)]
    return {"text": text, "words": words, "tags": tags}


def _span(text: str, span: Any) -> tuple[int, int, str]:
    """First and last character, white space around it left aside, and the type."""
    if isinstance(span, Mapping):
        start, stop = next(((span[a], span[b]) for a, b in ENDS if a in span and b in span), (None, None))
        label, own = next((span[name] for name in LABELS if not blank(span.get(name))), None), span.get("text")
    elif isinstance(span, list) and len(span) >= 3:
        (start, stop, label), own = span[:3], None
    else:
        raise Unusable("an entity without start, end and type")
    if not isinstance(start, int) or not isinstance(stop, int) or blank(label) or isinstance(label, list | dict):
        raise Unusable("an entity without start, end and type")
    if not 0 <= start < stop <= len(text) or not text[start:stop].strip():
        raise Unusable("an entity outside of the text")
    if isinstance(own, str) and own != text[start:stop]:
        raise Unusable("an entity that is not what stands there")
    inner = text[start:stop]
    return start + len(inner) - len(inner.lstrip()), stop - len(inner) + len(inner.rstrip()), written(label)


def split(text: str) -> list[str]:
    """The words of a text that comes without: runs of letters and digits, and every other mark alone."""
    return WORD.findall(text)


def located(text: str, words: Sequence[str]) -> list[Span]:
    """First and last character (exclusive) of each word in ``text``, where they stand in order."""
    found, at = [], 0
    for word in words:
        start = text.index(word, at)
        at = start + len(word)
        found.append((start, at))
    return found


def found(text: str, words: Sequence[str], tags: Sequence[str], sure: Sequence[float] = ()) -> list[Entity]:
    """Entities of well-formed tags; ``sure`` are the probabilities of the tags: an entity is as sure as its least."""
    where = located(text, words)
    entities: list[Entity] = []
    for index, tag in enumerate(tags):
        start, stop = where[index]
        if tag.startswith("B-"):
            entities.append({"text": text[start:stop], "start": start, "end": stop, "label": tag[2:]})
            if sure:
                entities[-1]["confidence"] = sure[index]
        elif tag != OUTSIDE:
            assert entities and tags[index - 1][2:] == tag[2:], "a tag without its start"
            entities[-1] |= {"text": text[entities[-1]["start"] : stop], "end": stop}
            if sure:
                entities[-1]["confidence"] = min(entities[-1]["confidence"], sure[index])
    return entities


def counted(value: Iterable[Entity], truth: Iterable[Entity]) -> dict[str, float]:
    """What a row adds to precision, recall and F1."""
    said, true = keys(value), keys(truth)
    names = ("entities_right", "entities_found", "entities_true")
    return dict(zip(names, map(float, (len(said & true), len(said), len(true))), strict=True))


def keys(entities: Iterable[Entity]) -> set[tuple[str, int, int]]:
    """What makes two entities the same."""
    return {(one["label"], one["start"], one["end"]) for one in entities}


def types(tags: Iterable[Sequence[str]]) -> list[str]:
    """The types in rows of tags, sorted."""
    return sorted({tag[2:] for row in tags for tag in row if tag != OUTSIDE})


def tag_set(kinds: Iterable[str]) -> tuple[str, ...]:
    """O, and B and I of every type: also those that a file happens not to hold."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI"))


def may_follow(tags: Sequence[str]) -> list[list[bool]]:
    """[before][after]: whether two tags may stand side by side. No I begins a row: ``may_follow`` of O says so."""
    return [[after[:2] != "I-" or (before[2:] == after[2:] and before != OUTSIDE) for after in tags] for before in tags]


def marked(text: str, entities: Iterable[Entity]) -> str:
    """``Ann left [Bonn | LOC]``: the text as a person reads it."""
    parts, at = [], 0
    for one in sorted(entities, key=lambda one: int(one["start"])):
        parts += [text[at : one["start"]], f"[{text[one['start'] : one['end']]} | {one['label']}]"]
        at = one["end"]
    return "".join([*parts, text[at:]])
