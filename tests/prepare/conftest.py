"""What the tests of prepare share: the real answers, files written in one line, and the shared data sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tuneproof.prepare.schema import Recogniser
from tuneproof.tasks import TASKS

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

Write = Callable[[str, "str | bytes | Iterable[Mapping[str, Any]]"], Path]


@pytest.fixture(scope="session")
def answers() -> dict[str, Recogniser]:
    return {name: task.answer for name, task in TASKS.items()}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write("a.csv", "text,label\\n...")``, bytes, or rows for a JSONL file."""

    def write(name: str, content: str | bytes | Iterable[Mapping[str, Any]]) -> Path:
        path = tmp_path / name
        if isinstance(content, str):
            path.write_bytes(content.encode("utf-8"))
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def shared() -> Path:
    """The folder of real data sets beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared data sets are not at {SHARED}")
    return SHARED


@pytest.fixture
def reviews_csv(write: Write) -> Path:
    """60 rows of two classes."""
    lines = [f"this is the review number {i} of a product,{'good' if i % 2 else 'bad'}" for i in range(60)]
    return write("reviews.csv", "text,label\n" + "\n".join(lines) + "\n")
