"""What tokens spell, as bytes: which of them may come next where only some texts are allowed.

    tree = spelling(tokenizer)
    list(tree.after(grammar.begin(), grammar))     # ids of the tokens with which a text may begin

Bytes, as many tokenizers cut a letter into several tokens. Byte-level tokenizers (GPT-2's and its kind) are read, and
those that have a token for each byte (SentencePiece's). Special tokens spell nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

State = TypeVar("State")
BYTE = re.compile("<0x([0-9A-F]{2})>")
SPACE = "\u2581"  # how SentencePiece writes a space


class Grammar(Protocol[State]):
    """What may be written, byte by byte."""

    def moves(self, states: Iterable[State]) -> Mapping[int, frozenset[State]]:
        """Byte that may come next -> where one then is."""
        ...


@dataclass(slots=True)
class Node:
    """All tokens that begin alike."""

    tokens: list[int] = field(default_factory=list)  # those that end here
    longer: dict[int, Node] = field(default_factory=dict)  # by the next byte

    def add(self, spelt: bytes, token: int) -> None:
        node = self
        for byte in spelt:
            node = node.longer.setdefault(byte, Node())
        node.tokens.append(token)

    def after(self, states: Iterable[State], grammar: Grammar[State]) -> Iterator[int]:
        """The tokens that may come next, all of whose bytes ``grammar`` allows."""
        for byte, reached in grammar.moves(states).items():
            node = self.longer.get(byte)
            if node is not None:
                yield from node.tokens
                yield from node.after(reached, grammar)


def spelling(tokenizer: Any, also: Sequence[int] = ()) -> tuple[dict[int, bytes], Node]:
    """Of each token what it spells, and the tokens as a tree; of added tokens only those in ``also``."""
    added = {id: str(token) for id, token in tokenizer.added_tokens_decoder.items()}
    kinds = set(_kinds(json.loads(tokenizer.backend_tokenizer.to_str())["decoder"]))
    read = _bytes_of_letters if "ByteLevel" in kinds else _bytes_of_pieces
    found = {id: read(token) for token, id in tokenizer.get_vocab().items() if id not in added}
    found |= {id: added[id].encode() for id in also if id in added}
    root = Node()
    for id, spelt in found.items():
        if spelt:
            root.add(spelt, id)
    return found, root


def _kinds(decoder: Mapping[str, Any] | None) -> Iterator[str]:
    if decoder is not None:
        yield decoder["type"]
        for part in decoder.get("decoders", ()):
            yield from _kinds(part)


def _letters() -> dict[str, int]:
    """The letter by which byte-level tokenizers write each byte: itself where it is visible, else one from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + n): byte for n, byte in enumerate(unseen)}


LETTERS = _letters()


def _bytes_of_letters(token: str) -> bytes:
    return bytes(LETTERS[letter] for letter in token) if all(letter in LETTERS for letter in token) else b""


def _bytes_of_pieces(token: str) -> bytes:
    byte = BYTE.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE, " ").encode()
