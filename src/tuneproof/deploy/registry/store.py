"""Files kept once, by content: ``store/sha256/<hh>/<hash>``, read-only.

    store = Store(home / "store")
    kept = store.keep(Path("model.safetensors"))       # Kept(sha256, size), the file copied, synced and renamed
    store.link(kept.sha256, folder / "model.safetensors")

A version's folder holds hard links into the store, so equal files of a thousand versions lie on the disk once.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tuneproof.errors import RunError
from tuneproof.run import disk_errors, sync_folder

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    sha256: str
    size: int


class Store:
    """One folder of files whose names are their sha256."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep(self, source: Path) -> Kept:
        """The content of ``source``, copied unless it is there already; links are refused."""
        with disk_errors(self.root):
            try:
                handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
            except OSError as error:
                raise RunError(f"{source} cannot be read: {error.strerror}.") from None
            return self._copied(handle)

    def _copied(self, handle: int) -> Kept:
        work = self.root / "work"
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = work / secrets.token_hex(8)
        try:
            with os.fdopen(handle, "rb") as source, draft.open("xb") as out:
                digest, size = hashlib.sha256(), 0
                while piece := source.read(PIECE):
                    digest.update(piece)
                    out.write(piece)
                    size += len(piece)
                out.flush()
                os.fsync(out.fileno())
            kept = Kept(digest.hexdigest(), size)
            place = self.path(kept.sha256)
            if not place.exists():
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                draft.chmod(0o444)
                draft.replace(place)
                sync_folder(place.parent)
            return kept
        finally:
            draft.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path:
        assert re.fullmatch(r"[0-9a-f]{64}", sha256)
        return self.root / "sha256" / sha256[:2] / sha256

    def link(self, sha256: str, place: Path) -> None:
        with disk_errors(place):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.link(self.path(sha256), place)

    def sweep(self) -> None:
        """Remove drafts that a killed process left an hour ago or earlier."""
        for draft in (self.root / "work").glob("*"):
            with suppress(FileNotFoundError):  # its process just finished
                if draft.stat().st_mtime < time.time() - 3600:
                    draft.unlink()

    def files(self) -> list[Path]:
        return sorted(self.root.glob("sha256/*/*"))


class Sums:
    """sha256 of files, each content read once: known again by device, inode, size and both times.

    It lives as long as the process; a file changed in between has another time of change (ctime), which nobody can set.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int, int], str] = {}

    def of(self, file: Path) -> str:
        """FileNotFoundError where there is none; a link counts as none."""
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
            about = os.fstat(source.fileno())
            key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
            if key not in self._known:
                self._known[key] = hashlib.file_digest(source, "sha256").hexdigest()
            return self._known[key]
