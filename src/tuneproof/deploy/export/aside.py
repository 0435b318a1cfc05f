"""The process in which exports are opened without tuneproof: begun when it is first asked, and asked again and again.

    with one_process():                      # ends it; without, each question begins a process of its own
        answer = ask({"folder": ..., ...})   # CheckError with its last word where it could not

Importing torch and transformers takes ten seconds, and an export that is not the model is asked three times.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

PROGRAM = Path(__file__).with_name("outside.py")


class Silent(Exception):
    """It said nothing, or why it could not: the words are its own."""


@dataclass(frozen=True, slots=True)
class _Process:
    errors: IO[str]
    popen: subprocess.Popen[str]

    def ask(self, request: Mapping[str, Any]) -> Any:
        assert self.popen.stdin is not None and self.popen.stdout is not None
        with suppress(BrokenPipeError):
            self.popen.stdin.write(json.dumps(request) + "\n")
            self.popen.stdin.flush()
        line = self.popen.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise Silent((self.errors.read().strip().splitlines() or ["no word about it"])[-1])
        return json.loads(line)


@contextmanager
def _begun() -> Iterator[_Process]:
    command = [sys.executable, "-I", str(PROGRAM)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield _Process(errors, popen)
        finally:
            popen.kill()
            popen.communicate()


@dataclass(slots=True)
class _Aside:
    """The process there is, and who counts on it."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    users: int = 0
    process: _Process | None = None
    held: ExitStack = field(default_factory=ExitStack)

    def begin(self) -> _Process:
        if self.process is None:
            self.process = self.held.enter_context(_begun())
        return self.process

    def end(self) -> None:
        self.process = None
        self.held.close()


_ASIDE = _Aside()


@contextmanager
def one_process() -> Iterator[None]:
    """All that is asked within is asked of one process, which ends with the outermost of these."""
    with _ASIDE.lock:
        _ASIDE.users += 1
    try:
        yield
    finally:
        with _ASIDE.lock:
            _ASIDE.users -= 1
            if not _ASIDE.users:
                _ASIDE.end()


def ask(request: Mapping[str, Any]) -> Any:
    """What ``outside.py`` answers; Silent with the last line that it said where it could not."""
    with one_process(), _ASIDE.lock:
        try:
            answer = _ASIDE.begin().ask(request)
        except BaseException:  # what it would say next belongs to this question
            _ASIDE.end()
            raise
    if "error" in answer:
        raise Silent(answer["error"])
    return answer
