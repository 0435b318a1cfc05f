"""What callers know better, kept per model: the labels that a later evaluation and a re-tuning stand on.

    feedbacks = Feedbacks(home() / "feedback")
    feedbacks.keep("reviews@7", request_id, 0, {"label": "negative"})

One line each in ``feedback/<name>.jsonl``, mode 0600, synced before the caller hears that it is kept.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.run import disk_errors


@dataclass(frozen=True, slots=True)
class Feedbacks:
    folder: Path

    def keep(self, label: str, request_id: str, index: int, given: Mapping[str, Any]) -> None:
        name, _, version = label.partition("@")
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "request_id": request_id,
            "index": index,
            "version": version,
            **given,
        }
        with disk_errors(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.folder / f"{name}.jsonl"
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "a", encoding="utf-8") as out:
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                out.flush()
                os.fsync(out.fileno())
