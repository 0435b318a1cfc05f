"""The request log: off unless somebody turns it on, and then without personal data and not for ever.

    log = Log.of(home() / "logs", "sample:0.01")
    log.write(exchange, seconds)

``off`` (the default) keeps time, request id, version, counts and code of each request, nothing of what it said. The
other modes keep texts as well, each with personal data and secrets replaced by placeholders (personal.redacted).
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from tuneproof.deploy.server.guard import Exchange
from tuneproof.errors import ConfigError
from tuneproof.personal import redacted
from tuneproof.personal.key import redaction_key

KEPT_DAYS, KEPT_BYTES = 30, 1 << 30


@dataclass(slots=True)
class Log:
    """One file a day, mode 0600."""

    folder: Path
    share: float  # of requests whose texts are kept
    mode: str
    _draw: random.Random = field(default_factory=random.SystemRandom)
    _swept: str = ""

    @classmethod
    def of(cls, folder: Path, mode: str) -> Log:
        """``mode`` is off, full or sample:SHARE; ConfigError for anything else."""
        kind, _, share = mode.partition(":")
        try:
            shares = {"off": 0.0, "full": 1.0} | ({"sample": float(share)} if kind == "sample" else {})
            if kind not in shares or not 0 <= shares[kind] <= 1 or (share and kind != "sample"):
                raise ValueError
        except ValueError:
            raise ConfigError(
                f'--log-requests "{mode}" is none of the modes.', "Use off, full, or sample:0.01 for one in a hundred."
            ) from None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder, shares[kind], mode)

    def write(self, exchange: Exchange, seconds: float) -> None:
        day = time.strftime("%Y-%m-%d")
        if day != self._swept:
            self._sweep(day)
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "id": exchange.id,
            "route": exchange.route,
            "model": exchange.model,
            "version": exchange.version,
            "tokens_in": exchange.tokens_in,
            "tokens_out": exchange.tokens_out,
            "seconds": round(seconds, 4),
            "code": exchange.status,
        }
        if exchange.texts and self._draw.random() < self.share:
            line["texts"] = [redacted(text, redaction_key()) for text in exchange.texts]
        handle = os.open(self.folder / f"requests-{day}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as out:
            out.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _sweep(self, day: str) -> None:
        """Days that are too old go, and the oldest of what is too much."""
        self._swept = day
        files = sorted(self.folder.glob("requests-*.jsonl"))
        oldest = time.time() - KEPT_DAYS * 86400
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if file.stat().st_mtime < oldest or total > KEPT_BYTES:
                total -= file.stat().st_size
                file.unlink()


def purge(folder: Path, before: str) -> int:
    """Remove the log of all days before ``before`` (YYYY-MM-DD); how many files went."""
    gone = [file for file in folder.glob("requests-*.jsonl") if file.stem.removeprefix("requests-") < before]
    for file in gone:
        file.unlink()
    return len(gone)
