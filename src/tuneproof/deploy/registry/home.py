"""The home folder of one user, and what may be a name in it.

    home()                          # $XDG_DATA_HOME/tuneproof, mode 0700
    Reference.of("reviews@7")       # Reference("reviews", "7")

A name becomes a folder, so it is checked before any path is made of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tuneproof.errors import ConfigError, ResourceError, nearest

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
ALIASES = (CHAMPION, CHALLENGER, PREVIOUS)


def home() -> Path:
    """``$XDG_DATA_HOME/tuneproof``, else ``~/.local/share/tuneproof``; it is not made here."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base).absolute() / "tuneproof"


def private(folder: Path) -> Path:
    """``folder``, made where it is missing, for its owner alone; ResourceError when it cannot be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"The folder {folder} cannot be made: {error.strerror}.", "Set XDG_DATA_HOME to a folder of yours."
        ) from None
    return folder


def checked(name: str) -> str:
    """``name``, if it may be one; ConfigError otherwise."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f'"{name}" cannot be the name of a model.',
            "Use 1 to 64 small letters, digits, dots, dashes and underscores, a letter or digit first.",
        )
    return name


@dataclass(frozen=True, slots=True)
class Reference:
    """A name, and which of its versions: a number, or an alias."""

    name: str
    which: str = CHAMPION

    @classmethod
    def of(cls, text: str) -> Reference:
        """``NAME``, ``NAME@7`` or ``NAME@champion``; ConfigError for anything else."""
        name, at, which = text.partition("@")
        checked(name)
        if not at:
            return cls(name)
        if which in ALIASES or re.fullmatch(r"[1-9][0-9]{0,5}", which):
            return cls(name, which)
        raise ConfigError(
            f'"{which}" is no version of {name}.',
            nearest(which, ALIASES) or f"Use a number, such as {name}@7, or {', '.join(ALIASES)}.",
        )

    @property
    def number(self) -> int | None:
        return int(self.which) if self.which.isdigit() else None
