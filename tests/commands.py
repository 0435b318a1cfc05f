"""The command line in a test: the entry point itself, in this process, and what it said.

said = command("tune", file, "--method", "lora")
assert_one_sentence(said, "lora")          # exit 2, one sentence with those words, perhaps a hint
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """``command("tune", file)``: the entry point itself, in this process, in an empty folder."""
    from tuneproof import cli

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["tuneproof", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)

    return run


def assert_one_sentence(said: Said, *words: str, code: int = 2) -> None:
    """The sentence, perhaps a hint below it, nothing else on standard error."""
    assert said.code == code, said
    lines = said.err.rstrip("\n").split("\n")
    assert lines[0].startswith("tuneproof: "), said.err
    assert len(lines) <= 2 and all(line.startswith("  ") for line in lines[1:]), said.err
    assert "Traceback" not in said.err + said.out
    assert lines[0].rstrip().endswith((".", "?")), lines[0]
    for word in words:
        assert word.lower() in said.err.lower(), f"{word!r} is not in: {said.err}"


__all__ = ["Command", "Said", "assert_one_sentence", "command"]
