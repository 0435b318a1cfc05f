"""Who may ask what: tokens in a file of the owner alone, each with its scopes.

    access = Access.of(home() / "run" / "token")     # made at the first start, mode 0600
    access.scopes("Bearer 3f...")                    # {"infer", "feedback", "metrics"}; None for a token nobody has

A line of the file is ``scope,scope token``. Several lines are live at once, so a token is changed without a gap:
add the new line, move the callers, remove the old line. The file is read again when it changes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from tuneproof.errors import ConfigError, ResourceError

SCOPES = frozenset({"infer", "feedback", "metrics", "admin"})
FAILURES, WINDOW = 10, 60.0  # failed tries of one peer within so many seconds, then 429


@dataclass(slots=True)
class Access:
    """Live tokens, as sha256, and the scopes of each. Without a file nothing is asked for (``open_to_all``)."""

    file: Path | None
    _read: tuple[int, int] = (0, 0)
    _scopes: dict[bytes, frozenset[str]] = field(default_factory=dict)
    _failed: dict[str, deque[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path) -> Access:
        """The tokens of ``file``, which is made with one token where it is missing."""
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        except OSError as error:
            raise ResourceError(f"The token file {file} cannot be made: {error.strerror}.") from None
        else:
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(f"{','.join(sorted(SCOPES))} {secrets.token_hex(32)}\n")
        access = cls(file)
        access.refresh()
        return access

    @property
    def open_to_all(self) -> bool:
        return self.file is None

    @property
    def first(self) -> str:
        """The first token, for the line that tells a person how to ask; "" where none is needed."""
        return self.file.read_text(encoding="ascii").split()[1] if self.file else ""

    def refresh(self) -> None:
        """Read the file again if it was changed; ConfigError for a wrong line, or a file that others may read."""
        if self.file is None:
            return
        about = self.file.stat()
        if (about.st_mtime_ns, about.st_size) == self._read:
            return
        if about.st_mode & 0o077:
            raise ConfigError(f"Others than its owner may read {self.file}.", f"Run: chmod 600 {self.file}")
        found: dict[bytes, frozenset[str]] = {}
        for number, line in enumerate(self.file.read_text(encoding="ascii").splitlines(), start=1):
            scopes, _, token = line.strip().partition(" ")
            named = frozenset(scopes.split(","))
            if len(token) < 32 or not named <= SCOPES:
                raise ConfigError(
                    f"{self.file}, line {number}: not a line of scopes and a token of 32 characters or more.",
                    f"Scopes are {', '.join(sorted(SCOPES))}, separated by commas.",
                )
            found[_digest(token)] = named
        self._scopes, self._read = found, (about.st_mtime_ns, about.st_size)

    def scopes(self, authorization: str) -> frozenset[str] | None:
        """What the bearer of the header may do; None for a header that no live token makes."""
        if self.open_to_all:
            return SCOPES
        kind, _, token = authorization.partition(" ")
        asked = _digest(token.strip())
        found: frozenset[str] | None = None
        for known, scopes in self._scopes.items():  # all are compared, so time tells nothing
            if hmac.compare_digest(known, asked) and kind.lower() == "bearer":
                found = scopes
        return found

    def blocked(self, peer: str) -> bool:
        """Whether ``peer`` failed so often lately that it has to wait."""
        tries = self._failed.get(peer)
        while tries and tries[0] < time.monotonic() - WINDOW:
            tries.popleft()
        return tries is not None and len(tries) >= FAILURES

    def failed(self, peer: str) -> None:
        if len(self._failed) > 1024:  # many peers: forget those that have waited
            self._failed = {name: tries for name, tries in self._failed.items() if self.blocked(name)}
        self._failed.setdefault(peer, deque(maxlen=FAILURES)).append(time.monotonic())


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
