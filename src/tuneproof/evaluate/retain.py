"""General text that a model should still know after tuning: 500 passages that come with every installation.

    documents(500)[0].text          # "Exceptions are a means of breaking out of the normal flow of control ..."
    own(table)                      # the user's own, from a table with a text column

Built at run time from text that is on the machine wherever this runs: the language reference in the standard library
(``pydoc_data.topics``, PSF licence) and the data set descriptions of scikit-learn (BSD licence). Nothing is fetched.
It is English technical prose: it says little about other languages, dialogue or facts of the world, and another Python
version has slightly other passages (``fingerprint`` names them). Differences are paired, so that does not bias them.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, resources
from itertools import zip_longest

from tuneproof.errors import DataError
from tuneproof.records import Table

COUNT = 500
WORDS = 60  # of a passage at least, paragraphs are joined until then
MOST = 120  # words of a passage at most
FEWEST = 30  # documents of one's own
PROBED = 8  # passages that a subject needs to be told from others
SOURCE = "the Python language reference and the data set descriptions of scikit-learn"
TEXT, KIND = "text", "label"  # columns of one's own file


@dataclass(frozen=True, slots=True)
class Document:
    """A passage, and the subject that it is about, by which encoders are probed."""

    text: str
    subject: str


def documents(count: int = COUNT) -> list[Document]:
    """``count`` passages, chosen and ordered by hash: fewer documents are a part of more."""
    found = {passage: subject for subject, text in _texts() for passage in passages(text)}
    ranked = sorted(found, key=lambda passage: hashlib.sha256(passage.encode()).digest())
    return [Document(passage, found[passage]) for passage in ranked[:count]]


def by_subject(count: int = COUNT) -> list[Document]:
    """At most ``count`` passages for a probe: of few subjects, those with most passages, from each alike in turn."""
    of: dict[str, list[Document]] = {}
    for one in documents(sys.maxsize):
        of.setdefault(one.subject, []).append(one)
    ranked = sorted((name for name in of if len(of[name]) >= PROBED), key=lambda name: (-len(of[name]), name))
    turns = zip_longest(*(of[name] for name in ranked[: max(2, count // 20)]))
    return [one for turn in turns for one in turn if one is not None][:count]


def own(table: Table) -> list[Document]:
    """The rows of a table with a ``text`` column; its ``label`` column, if any, is the subject. DataError otherwise."""
    if TEXT not in table.columns:
        names = ", ".join(f'"{name}"' for name in table.columns)
        raise DataError(
            f'{table.source}: there is no column "{TEXT}"; the file has {names}.', "Rename the text column."
        )
    subjects = table.columns.get(KIND, [""] * len(table))
    found = [
        Document(str(text).strip(), str(subject or ""))
        for text, subject in zip(table.columns[TEXT], subjects, strict=True)
        if text is not None and str(text).strip()
    ]
    if len(found) < FEWEST:
        raise DataError(
            f"{table.source}: {len(found)} texts to measure forgetting with; {FEWEST} are needed.", "Add rows."
        )
    return found


def fingerprint(found: Sequence[Document]) -> str:
    """sha256 of the passages, in their order."""
    return hashlib.sha256("\0".join(one.text for one in found).encode()).hexdigest()


def passages(text: str) -> list[str]:
    """Paragraphs, joined to at least 60 words and cut after 120; lines that only underline a title are left out."""
    prose = re.sub(r"^[*=\-~^+#.\"]{3,}\s*$", "", text, flags=re.MULTILINE)
    found: list[str] = []
    words: list[str] = []
    for paragraph in re.split(r"\n\s*\n", prose):
        words += paragraph.split()
        if len(words) >= WORDS:
            found.append(" ".join(words[:MOST]))
            words = []
    return found


def _texts() -> list[tuple[str, str]]:
    """(subject, text), subjects in the order of their names."""
    topics: dict[str, str] = import_module("pydoc_data.topics").topics
    found = sorted(topics.items())
    for file in sorted(resources.files("sklearn.datasets.descr").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".rst"):
            found.append((file.name.removesuffix(".rst"), file.read_text(encoding="utf-8")))
    return found
