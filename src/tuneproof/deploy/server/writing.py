"""An answer while it is written: tokens become text that can be sent, and it ends where it was asked to.

    writing = Writing(decode, stops={2}, limit=200, until=("\\n\\n",), emit=send)
    writing.feed([314, 512])         # False: go on
    writing.text                     # what was sent so far

The pieces that ``emit`` hears, put together, are the text of the answer: half a character, white space that may be
the last, and what may be the beginning of a stop text wait until it is clear what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

UNFINISHED = "\ufffd"  # what a tokenizer makes of a character whose last byte is still to come


class Writing:
    """One answer. ``feed`` gets all its tokens each time."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        *,
        stops: Collection[int],
        limit: int,
        until: Sequence[str] = (),
        emit: Callable[[str], None] = lambda piece: None,
    ) -> None:
        self._decode = decode
        self._stops = frozenset(stops)
        self._limit = limit
        self._until = tuple(until)
        self._emit = emit
        self.text = ""
        self.tokens = 0
        self.reason = ""  # "stop" or "length" when it is over

    def feed(self, ids: Sequence[int]) -> bool:
        """Whether the answer is complete."""
        if self.reason:
            return True
        end = next((index for index, id in enumerate(ids) if id in self._stops), None)
        self.tokens = len(ids) if end is None else end
        text = self._decode(ids[: self.tokens]).lstrip()
        cut = min((at for at in (text.find(stop) for stop in self._until) if at >= 0), default=None)
        if cut is not None or end is not None:
            self._send((text if cut is None else text[:cut]).rstrip(), "stop")
        elif len(ids) >= self._limit:
            self._send(text.rstrip(), "length")
        else:
            self._send(text[: self._sure(text)])
        return bool(self.reason)

    def _sure(self, text: str) -> int:
        """How many characters of ``text`` no later token can change or cut."""
        kept = len(text.rstrip(UNFINISHED).rstrip())
        for stop in self._until:
            for size in range(min(len(stop) - 1, len(text)), 0, -1):
                if text.endswith(stop[:size]):
                    kept = min(kept, len(text[:-size].rstrip()))
                    break
        return kept

    def _send(self, text: str, reason: str = "") -> None:
        self.reason = reason
        if len(text) > len(self.text):
            piece, self.text = text[len(self.text) :], text
            self._emit(piece)
