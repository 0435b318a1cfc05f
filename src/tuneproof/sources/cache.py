"""Things from elsewhere, kept once, by content: ``store/sha256/<hh>/<hash>/`` and a small index by name.

    cache = Cache()                                        # $XDG_CACHE_HOME/tuneproof
    kept = cache.find("pypi:x==1") or cache.keep("pypi:x==1", build, need_bytes=10**8, facts={"licence": "MIT"})
    kept.path                                              # a read-only folder

A folder is built under ``work/``, gets its manifest last, and is renamed into place in one step; of two processes
that build the same thing at once, the second finds the first one's and drops its own. The index line is written to a
temporary file, synced and renamed. It deliberately has no network and no clean-up: remove the folder to empty it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tuneproof.errors import ResourceError
from tuneproof.sources.admission import digest

MANIFEST = "manifest.json"
SPARE_BYTES = 64 << 20  # left free for the rest of the machine


@dataclass(frozen=True, slots=True)
class Kept:
    """A complete folder of the store."""

    path: Path
    sha256: Mapping[str, str]  # file -> sha256
    facts: Mapping[str, str]  # what the builder said: revision, licence, ...


class Cache:
    """The cache folder of one user; safe for several processes at once."""

    def __init__(self, root: Path | None = None) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        self.root = (root or Path(base) / "tuneproof").absolute()

    def find(self, name: str) -> Kept | None:
        """What the index knows under ``name``, if every file is still there with its size; else None."""
        try:
            line = json.loads(self._index(name).read_text("utf-8"))
            folder = self._folder(str(line["hash"]))
            manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
            files: dict[str, dict[str, str | int]] = manifest["files"]
            if line["name"] != name or any((folder / "files" / f).stat().st_size != files[f]["size"] for f in files):
                return None
            sums = {file: str(entry["sha256"]) for file, entry in files.items()}
            return Kept(folder / "files", sums, {str(key): str(value) for key, value in line["facts"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # absent or damaged is the same to the caller: it is built again

    def keep(
        self, name: str, build: Callable[[Path], Mapping[str, str] | None], need_bytes: int, facts: Mapping[str, str]
    ) -> Kept:
        """Let ``build`` fill an empty folder, then keep that under ``name``; what it returns is added to ``facts``."""
        self.need(need_bytes)
        with self.work() as work:
            files = work / "files"
            files.mkdir()
            with disk_errors(self.root, need_bytes):
                more = build(files)
                return self._publish(name, work, {**facts, **(more or {})})

    def _publish(self, name: str, work: Path, facts: Mapping[str, str]) -> Kept:
        files = sorted(path for path in (work / "files").rglob("*") if path.is_file())
        table = {
            path.relative_to(work / "files").as_posix(): {"sha256": digest(path), "size": path.stat().st_size}
            for path in files
        }
        raw = json.dumps({"files": table}, sort_keys=True, indent=1).encode()
        key = hashlib.sha256(raw).hexdigest()
        for path in files:
            path.chmod(0o444)
            _sync(path)
        (work / MANIFEST).write_bytes(raw)
        _sync(work / MANIFEST)
        folder = self._folder(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._place(work, folder)
        kept = Kept(folder / "files", {file: str(entry["sha256"]) for file, entry in table.items()}, dict(facts))
        self.point(name, kept)
        return kept

    def point(self, name: str, kept: Kept) -> None:
        """Make the index know ``kept`` under ``name`` too."""
        line = {"name": name, "hash": kept.path.parent.name, "facts": dict(kept.facts)}
        _write(self._index(name), json.dumps(line, sort_keys=True, indent=1).encode())

    def _place(self, work: Path, folder: Path) -> None:
        """Rename ``work`` to ``folder``; a complete one already there stays, a damaged one is set aside first."""
        if folder.exists() and not _whole(folder):
            aside = Path(tempfile.mkdtemp(dir=self._work_root()))
            with suppress(FileNotFoundError):  # another process was faster
                folder.rename(aside / "damaged")
            shutil.rmtree(aside, ignore_errors=True)
        try:
            work.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            work.mkdir()  # so that the clean-up of the work folder finds what it expects

    @contextmanager
    def work(self) -> Iterator[Path]:
        """An empty folder on the same disk as the store, gone at the end whatever happens."""
        with disk_errors(self.root, 0):
            folder = Path(tempfile.mkdtemp(dir=self._work_root()))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def need(self, need_bytes: int) -> None:
        """ResourceError with both figures unless ``need_bytes`` fit on the disk of the cache."""
        with disk_errors(self.root, need_bytes):
            free = shutil.disk_usage(self._work_root()).free
        if free < need_bytes + SPARE_BYTES:
            raise _no_space(self.root, need_bytes + SPARE_BYTES, free)

    def _work_root(self) -> Path:
        folder = self.root / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _folder(self, key: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", key):
            raise ValueError("not a sha256")
        return self.root / "store" / "sha256" / key[:2] / key

    def _index(self, name: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9.=-]+", "_", name)[:80].strip("._")
        return self.root / "index" / f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"


def _whole(folder: Path) -> bool:
    try:
        files = json.loads((folder / MANIFEST).read_text("utf-8"))["files"]
        return all(
            (folder / "files" / name).stat().st_size == entry["size"]
            and digest(folder / "files" / name) == entry["sha256"]
            for name, entry in files.items()
        )
    except (OSError, ValueError, KeyError):
        return False


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)


@contextmanager
def disk_errors(root: Path, need_bytes: int) -> Iterator[None]:
    """Turn a full disk, or one that may not be written to, into a ResourceError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_space(root, need_bytes, shutil.disk_usage(root).free) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise ResourceError(
                f"The cache folder {root} cannot be written to ({error.strerror}).",
                "Set XDG_CACHE_HOME to a folder of yours.",
            ) from error
        raise


def _no_space(root: Path, need_bytes: int, free: int) -> ResourceError:
    return ResourceError(
        f"{need_bytes / 1e6:,.0f} MB are needed in {root}, and {free / 1e6:,.0f} MB are free there.",
        "Free some space, or set XDG_CACHE_HOME to a folder on a larger disk.",
    )
