"""The registry: what is registered under each name, which version its aliases name, and how that came to be.

    registry = Registry()
    version = registry.register(run, "reviews")                       # reviews@1, alias challenger
    with registry.deciding("reviews") as now:                         # BusyError for a second process
        registry.decide("reviews", "promoted", version, {"champion": 1}, expected=now, facts={"gate": "..."})
    registry.resolve("reviews").label                                 # "reviews@1", every file of it re-hashed

Under ``models/<name>/``: ``versions/000007.json`` and ``versions/000007/``, ``ledger.jsonl``, ``aliases.json``,
``gates/<id>.json``, ``trials/``. The ledger's last line is the truth; ``aliases.json`` is its copy for people and other
programs. A copy that is neither that nor one decision behind was changed by hand, and nothing is served from there.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tuneproof.deploy.registry import versions
from tuneproof.deploy.registry.home import CHALLENGER, CHAMPION, NAME, PREVIOUS, Reference, checked, home, private
from tuneproof.deploy.registry.ledger import Ledger, Line, canonical
from tuneproof.deploy.registry.store import Store, Sums
from tuneproof.deploy.registry.versions import Version
from tuneproof.errors import BusyError, CheckError, RunError, nearest
from tuneproof.run import Run, disk_errors, sync_folder, write_atomically


class Registry:
    """One user's registry; safe for several processes at once, and after any of them was killed."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or home()
        self.store = Store(self.root / "store")
        self.sums = Sums()

    # -- reading

    def names(self) -> list[str]:
        return sorted(path.parent.name for path in (self.root / "models").glob("*/ledger.jsonl"))

    def ledger(self, name: str) -> list[Line]:
        """Every decision about ``name``, the chain and the copy of the aliases checked."""
        lines = self._agreed(name)
        if not lines:
            hint = nearest(name, self.names()) or "Register a run: tuneproof registry add RUN --name NAME"
            raise RunError(f'Nothing is registered under the name "{name}".', hint)
        return lines

    def aliases(self, name: str) -> dict[str, int]:
        return dict(self.ledger(name)[-1].aliases)

    def versions(self, name: str) -> list[Version]:
        """All versions, the oldest first; their manifests are checked, their files are not."""
        return [self._read(name, line) for line in self.ledger(name) if line.what == "registered"]

    def resolve(self, reference: str) -> Version:
        """``NAME``, ``NAME@7`` or ``NAME@alias``: the version, after every file of it was matched with its manifest."""
        version = self.listed(reference)
        version.check(self.sums)
        return version

    def listed(self, reference: str) -> Version:
        """The same with its manifest matched only: whoever opens the version matches its files."""
        asked = Reference.of(reference)
        lines = self.ledger(asked.name)
        number = asked.number or lines[-1].aliases.get(asked.which)
        if number is None:
            last = max(line.version for line in lines)
            raise RunError(
                f"{asked.name} has no {asked.which} yet.", f"Promote a version: tuneproof promote {asked.name}@{last}"
            )
        return self._numbered(asked.name, lines, number)

    def _numbered(self, name: str, lines: list[Line], number: int) -> Version:
        for line in lines:
            if line.what == "registered" and line.version == number:
                return self._read(name, line)
        last = max(line.version for line in lines)
        raise RunError(f"{name} has no version {number}.", f"Its versions go from 1 to {last}.")

    def _read(self, name: str, line: Line) -> Version:
        return versions.read(self.folder(name), name, line.version, line.manifest)

    def folder(self, name: str) -> Path:
        """Where all of ``name`` lies."""
        return self.root / "models" / checked(name)

    # -- writing

    def register(self, run: Run, name: str, more: Mapping[str, bytes] | None = None) -> Version:
        """The next version of ``name``: a copy of the run with ``more`` files beside it; it becomes the challenger."""
        source = versions.parts(run)
        folder = self.folder(name)
        for path in (self.root, self.root / "store", folder.parent, folder):
            private(path)
        with self._locked(name):
            self._settle(name)
            files = {file: self.store.keep(path) for file, path in source.items()}
            for file, content in (more or {}).items():
                files[file] = self._kept(content)
            before = Ledger(folder / "ledger.jsonl").lines()
            number = 1 + max((line.version for line in before), default=0)
            aliases = dict(before[-1].aliases) if before else {}
            parent = aliases.get(CHAMPION)
            raw = canonical(versions.describe(run, name, number, parent, files))
            sha256 = hashlib.sha256(raw).hexdigest()
            self._lay_out(folder, number, {file: kept.sha256 for file, kept in files.items()}, raw)
            aliases[CHALLENGER] = number
            self._write(name, "registered", number, sha256, aliases, {"run": run.id})
        return versions.read(folder, name, number, sha256)

    def _kept(self, content: bytes) -> Any:
        work = self.root / "store" / "work"
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = work / secrets.token_hex(8)
        try:
            write_atomically(draft, content)
            return self.store.keep(draft)
        finally:
            draft.unlink(missing_ok=True)

    def _lay_out(self, folder: Path, number: int, files: Mapping[str, str], manifest: bytes) -> None:
        """The folder of links, built aside and renamed, then the manifest."""
        told, path = versions.place(folder, number)
        private(path.parent)
        draft = path.parent / f".new-{secrets.token_hex(4)}"
        with disk_errors(draft):
            draft.mkdir(mode=0o700)
            for file, sha256 in files.items():
                self.store.link(sha256, draft / file)
            for below in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
                sync_folder(below)
            draft.rename(path)
            write_atomically(told, manifest)
            told.chmod(0o444)

    @contextmanager
    def deciding(self, name: str) -> Iterator[dict[str, int]]:
        """Only one process weighs versions of ``name``: the aliases as they are, or BusyError at once."""
        self.ledger(name)
        with (self.folder(name) / ".deciding").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(
                    f"Another process is deciding about {name}; nothing was changed.", "Wait for it, then look again."
                ) from None
            yield self.aliases(name)

    def decide(
        self,
        name: str,
        what: str,
        version: Version,
        aliases: Mapping[str, int],
        *,
        expected: Mapping[str, int],
        facts: Mapping[str, Any],
        gate: Mapping[str, Any] | None = None,
    ) -> Line:
        """One decision: its evidence (``gate``) first, then its line, then the copy of the aliases.

        BusyError when the aliases are no longer the ``expected`` ones that the decision was made for.
        """
        with self._locked(name):
            self._settle(name)
            if self.aliases(name) != dict(expected):
                raise BusyError(
                    f"The aliases of {name} moved while this was decided; nothing was changed.", "Look again."
                )
            if gate is not None:
                facts = {**facts, "gate": self._keep_gate(name, gate)}
            return self._write(name, what, version.number, version.sha256, dict(aliases), dict(facts))

    def _keep_gate(self, name: str, gate: Mapping[str, Any]) -> str:
        raw = canonical(gate)
        sha256 = hashlib.sha256(raw).hexdigest()
        file = private(self.folder(name) / "gates") / f"{sha256[:16]}.json"
        write_atomically(file, raw)
        file.chmod(0o444)
        return sha256

    def _write(
        self, name: str, what: str, version: int, manifest: str, aliases: dict[str, int], facts: Mapping[str, Any]
    ) -> Line:
        folder = self.folder(name)
        line = Ledger(folder / "ledger.jsonl").append(
            what, version=version, manifest=manifest, aliases=aliases, facts=facts
        )
        write_atomically(folder / "aliases.json", _copy_of(line))
        return line

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """One writer at a time; the system frees the lock of a dead one."""
        with (self.folder(name) / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _settle(self, name: str) -> None:
        """Finish or undo what a killed process left: the copy of the aliases, versions that no line knows."""
        folder = self.folder(name)
        self.store.sweep()
        lines = self._agreed(name)
        if lines:
            write_atomically(folder / "aliases.json", _copy_of(lines[-1]))
        known = {line.version for line in lines if line.what == "registered"}
        for path in (folder / "versions").glob("*"):
            number = re.fullmatch(r"(\d{6})(\.json)?", path.name)
            if number and int(number[1]) in known:
                continue
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _agreed(self, name: str) -> list[Line]:
        """The ledger, once ``aliases.json`` says what its last line does, or, after a crash, what the one before does.

        A reader takes no lock: where a decision falls between its two looks, it looks again.
        """
        ledger, file = Ledger(self.folder(name) / "ledger.jsonl"), self.folder(name) / "aliases.json"
        seen: object = None
        while True:
            copy = file.read_bytes() if file.exists() else None
            lines = ledger.lines()
            if copy is None or copy in map(_copy_of, lines[-2:]):
                return lines
            if seen == (copy, len(lines)):
                raise CheckError(
                    f"{file} was changed by hand: it does not say what the ledger says.",
                    "Remove the file; the next decision writes it anew.",
                )
            seen = copy, len(lines)

    # -- verifying

    def verify(self, name: str | None = None) -> list[str]:
        """Everything recomputed, nothing taken from memory: what is wrong, one sentence each; empty when all holds."""
        sums = Sums()
        found: list[str] = []
        for each in [checked(name)] if name else self.names():
            found += self._verified(each, sums)
        for file in self.store.files():
            if sums.of(file) != file.name:
                found.append(f"{file} was changed")
        return list(dict.fromkeys(found))

    def _verified(self, name: str, sums: Sums) -> list[str]:
        try:
            lines = self.ledger(name)
        except CheckError as error:
            return [error.message.rstrip(".")]
        found: list[str] = []
        for line in lines:
            if line.what == "registered":
                found += self._verified_version(name, line, sums)
            if "gate" in line.facts:
                found += self._verified_gate(name, line.facts["gate"])
        return found

    def _verified_version(self, name: str, line: Line, sums: Sums) -> list[str]:
        try:
            return list(self._read(name, line).faults(sums))
        except CheckError as error:
            return [error.message.rstrip(".")]

    def _verified_gate(self, name: str, sha256: str) -> list[str]:
        file = self.folder(name) / "gates" / f"{sha256[:16]}.json"
        try:
            same = hashlib.sha256(file.read_bytes()).hexdigest() == sha256
        except OSError:
            return [f"{file} is missing"]
        return [] if same else [f"{file} was changed"]


def promoted(now: Mapping[str, int], number: int) -> dict[str, int]:
    """The aliases once this version is the champion."""
    aliases = {CHAMPION: number}
    if now.get(CHAMPION) not in (None, number):
        aliases[PREVIOUS] = now[CHAMPION]
    if now.get(CHALLENGER) not in (None, number):
        aliases[CHALLENGER] = now[CHALLENGER]
    return aliases


def _copy_of(line: Line) -> bytes:
    """What ``aliases.json`` holds after this decision."""
    return canonical({**line.aliases, "seq": line.seq}) + b"\n"


def found(text: str, registry: Registry | None = None) -> Version | Run:
    """What a user named: a run directory, or a version of a name. RunError with the nearest name when it is neither."""
    if (Path(text) / "run.json").is_file() or "/" in text:
        return Run.open(text)
    books = registry or Registry()
    name = text.partition("@")[0]
    if NAME.fullmatch(name) and name in books.names():
        return books.resolve(text)
    hint = nearest(name, books.names()) or "Runs are listed by tuneproof runs, names by tuneproof registry show."
    raise RunError(f'There is no run directory and no registered name "{text}".', hint)
