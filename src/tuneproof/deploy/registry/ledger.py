"""Every decision about a name, one line each, chained: a line holds the sha256 of the line before it and its own.

    ledger = Ledger(folder / "ledger.jsonl")
    ledger.append("promoted", version=9, aliases={"champion": 9, "previous": 7}, facts={"gate": "3f9a..."})
    ledger.lines()[-1].aliases

The last line says which version each alias names: a decision is taken when its line is on the disk. A line that was
cut off by a crash was never decided; it is dropped at the next write. Any other damage is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.errors import CheckError
from tuneproof.run import disk_errors, sync_folder

FIRST = "0" * 64
KEYS = {"seq", "at", "what", "version", "manifest", "aliases", "facts", "prev", "sum"}


@dataclass(frozen=True, slots=True)
class Line:
    """One decision and the aliases after it."""

    seq: int
    at: str
    what: str  # registered, promoted, rejected, held, rolled back, and the words of ``canaries``
    version: int
    manifest: str  # sha256 of the version's manifest
    aliases: Mapping[str, int]
    facts: Mapping[str, Any]
    prev: str
    sum: str  # sha256 of the line without this


class Ledger:
    """One file; whoever appends holds the lock of its name."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def lines(self) -> list[Line]:
        """All decisions, the chain checked; CheckError names the first line that is not as it was written."""
        whole, _ = self._split()
        found: list[Line] = []
        previous = FIRST
        for number, raw in enumerate(whole, start=1):
            line = self._line(raw, number)
            if line.seq != number or line.prev != previous:
                raise self._changed(number, "it does not follow the line before it")
            previous = hashlib.sha256(raw).hexdigest()
            found.append(line)
        return found

    def append(self, what: str, *, version: int, manifest: str, aliases: Mapping[str, int], facts: Any) -> Line:
        """One more line, synced to the disk; what a crash left of another one is cut off first."""
        before = self.lines()
        whole, torn = self._split()
        prev = hashlib.sha256(whole[-1]).hexdigest() if whole else FIRST
        told = {
            "seq": len(before) + 1,
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "what": what,
            "version": version,
            "manifest": manifest,
            "aliases": dict(aliases),
            "facts": facts,
            "prev": prev,
        }
        raw = canonical({**told, "sum": hashlib.sha256(canonical(told)).hexdigest()})
        with disk_errors(self.file):
            new = not self.file.exists()
            with self.file.open("ab") as out:
                if torn:
                    out.truncate(sum(len(line) + 1 for line in whole))
                out.write(raw + b"\n")
                out.flush()
                os.fsync(out.fileno())
            if new:
                sync_folder(self.file.parent)
        return self._line(raw, len(before) + 1)

    def _split(self) -> tuple[list[bytes], bytes]:
        """Whole lines, and what stands behind the last line end."""
        if not self.file.exists():
            return [], b""
        *whole, rest = self.file.read_bytes().split(b"\n")
        return whole, rest

    def _line(self, raw: bytes, number: int) -> Line:
        try:
            told = json.loads(raw)
        except ValueError:
            raise self._changed(number, "it is no JSON") from None
        if not isinstance(told, dict) or set(told) != KEYS or canonical(told) != raw:
            raise self._changed(number, "it is not in the form in which lines are written")
        own = {key: value for key, value in told.items() if key != "sum"}
        if hashlib.sha256(canonical(own)).hexdigest() != told["sum"]:
            raise self._changed(number, "it does not match its own checksum")
        return Line(**told)

    def _changed(self, number: int, why: str) -> CheckError:
        return CheckError(
            f"{self.file}, line {number}: the ledger was changed: {why}.",
            "Put the file back from a copy; until then nothing of it is served or promoted.",
        )


def canonical(value: Any) -> bytes:
    """The one way to write ``value`` as JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")
