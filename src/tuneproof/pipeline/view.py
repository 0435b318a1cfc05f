"""Whoever looks at the stages while they work: the terminal, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tuneproof.records import Ledger, Progress, Schema


class View(Protocol):
    """Whoever looks at the run while it works."""

    def say(self, line: str) -> None: ...

    def looking(self, what: str, done: int, total: int) -> None: ...

    def prepared(self, schema: Schema, ledger: Ledger, tokens: Mapping[str, Any]) -> None: ...

    def checked(self, report: Mapping[str, Any]) -> None: ...

    def planned(self, plan: Mapping[str, Any]) -> None: ...

    def progress(self, progress: Progress) -> None: ...

    def scored(self, report: Mapping[str, Any]) -> None: ...


class Quiet:
    """Nobody looks."""

    def say(self, line: str) -> None:
        pass

    def looking(self, what: str, done: int, total: int) -> None:
        pass

    def prepared(self, schema: Schema, ledger: Ledger, tokens: Mapping[str, Any]) -> None:
        pass

    def checked(self, report: Mapping[str, Any]) -> None:
        pass

    def planned(self, plan: Mapping[str, Any]) -> None:
        pass

    def progress(self, progress: Progress) -> None:
        pass

    def scored(self, report: Mapping[str, Any]) -> None:
        pass
