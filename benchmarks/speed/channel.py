"""One side of a comparison, as a process that works when it is told to: a line in, a line of JSON out.

    channel = Channel()              # what is printed from here on goes to stderr
    channel.ready(tokens=1800)       # waits for "go"
    channel.tell(seconds=2.1)

Standard library only: it runs in the environment of either side.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


class Channel:
    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def tell(self, **facts: Any) -> None:
        self._out.write(json.dumps(facts) + "\n")
        self._out.flush()

    def wait(self) -> None:
        """Until the other end says go; ends this process where it has nothing more to say."""
        if not sys.stdin.readline().strip():
            raise SystemExit(0)


def peak() -> int:
    """Largest resident memory since the process began, bytes."""
    with open("/proc/self/status", encoding="ascii") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
