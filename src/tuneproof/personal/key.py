"""The key under which placeholders are made: one per user, made once, never shown.

    key = redaction_key()                 # 32 bytes from $XDG_DATA_HOME/tuneproof/redaction.key

The same key gives the same placeholders in every data set of that user; without it a placeholder cannot be tested
against a guessed value. Removing the file makes all later placeholders different. It is no part of a run directory.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from tuneproof.errors import ResourceError

NAME, BYTES = "redaction.key", 32


def redaction_key(home: Path | None = None) -> bytes:
    """The user's key; made on first use in a folder of mode 0700 as a file of mode 0600.

    ``home`` is ``$XDG_DATA_HOME/tuneproof``, else ``~/.local/share/tuneproof``. ResourceError when it cannot be kept
    there, when others may read it, or when it is not 32 bytes.
    """
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    folder = home or Path(base) / "tuneproof"
    file = folder / NAME
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not file.exists():
            _make(file)
        mode, key = stat.S_IMODE(file.stat().st_mode), file.read_bytes()
    except OSError as error:
        raise ResourceError(
            f"The key for placeholders cannot be kept at {file}: {error.strerror}.",
            "Set XDG_DATA_HOME to a folder of yours.",
        ) from None
    if mode & 0o077:
        raise ResourceError(
            f"Others may read the key for placeholders {file} (mode {mode:03o}).", f"Run: chmod 600 {file}"
        )
    if len(key) != BYTES:
        raise ResourceError(
            f"The key for placeholders {file} has {len(key)} bytes, expected {BYTES}.", "Remove it; a new one is made."
        )
    return key


def _make(file: Path) -> None:
    """Written whole under another name and then linked: of two processes the second keeps the first one's key."""
    draft = file.with_name(f"{NAME}-{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(secrets.token_bytes(BYTES))
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            return
    finally:
        draft.unlink()
