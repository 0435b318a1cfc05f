"""The process that opens exports: one for many questions, gone when nobody counts on it, replaced where it died."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from tuneproof.deploy.export import aside
from tuneproof.deploy.export.aside import Silent, ask, one_process


def question(folder: Path, out: Path) -> dict[str, Any]:
    """The hidden states of three tokens."""
    about = {"folder": str(folder), "auto": "AutoModel", "base": None, "labels": 0, "threads": 1}
    states = {"input_ids": [1, 2, 3]}
    return {**about, "rows": [], "asked": [{"text": "great"}], "states": states, "reduce": False, "out": str(out)}


@pytest.fixture
def alone() -> Iterator[None]:
    """Nobody else's process: what other tests of this process hold is ended, and begun anew when they ask."""
    users, aside._ASIDE.users = aside._ASIDE.users, 0
    aside._ASIDE.end()
    yield
    aside._ASIDE.users = users


def process() -> subprocess.Popen[str]:
    assert aside._ASIDE.process is not None
    return aside._ASIDE.process.popen


@pytest.mark.usefixtures("alone")
def test_one_process_answers_until_nobody_counts_on_it(tiny_bert: Path, tmp_path: Path) -> None:
    with one_process():
        first = ask(question(tiny_bert, tmp_path / "first"))
        begun = process()
        with pytest.raises(Silent, match="nowhere"):
            ask(question(tmp_path / "nowhere", tmp_path / "none"))
        assert ask(question(tiny_bert, tmp_path / "second")) == first and process() is begun
        one, other = (load_file(tmp_path / name) for name in ("first", "second"))
        assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)

        begun.kill()
        begun.wait()
        with pytest.raises(Silent, match="no word about it"):
            ask(question(tiny_bert, tmp_path / "third"))
        assert ask(question(tiny_bert, tmp_path / "third")) == first and process() is not begun
        last = process()
    assert aside._ASIDE.process is None and last.poll() is not None
