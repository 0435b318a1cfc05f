"""How often a set of test rows was looked at: choosing among many models by one test set overfits to it.

    record([run], "test", "evaluate")        # a line in test_uses.jsonl beside the runs; a sentence from the 21st on

Rows are known by the hash of their ids, so runs in one folder that share a test set share its count.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence

from tuneproof.run import Run

MOST = 20  # uses after which the test rows should be replaced
FILE = "test_uses.jsonl"


def record(runs: Sequence[Run], evaluation: str, by: str) -> str:
    """Counts one use of the rows of ``evaluation``; what to tell when there were more than ``MOST``, else ""."""
    run = runs[0]
    lines = run.read_lines(f"eval/{evaluation}/predictions.jsonl")
    rows = fingerprint([line["id"] for line in lines])
    folder = Run(run.path.parent)
    use = {"test": rows, "rows": len(lines), "runs": [each.id for each in runs], "by": by}
    folder.append_line(FILE, {**use, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    used = sum(1 for line in folder.read_lines(FILE) if line["test"] == rows)
    return told(used)


def fingerprint(ids: Sequence[str]) -> str:
    """sha256 of the sorted ids: the same rows in another order are the same test set."""
    return hashlib.sha256(json.dumps(sorted(ids)).encode()).hexdigest()


def told(used: int) -> str:
    if used <= MOST:
        return ""
    return f"these test rows were used {used} times: refresh them, choosing by one test set again and again fits it"
