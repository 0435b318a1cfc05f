"""Everything that can go wrong, as one tree; each leaf is also the builtin that a caller would expect.

    Error                      message + hint; ``str(error)`` is both, one sentence each
    ├── ConfigError            ValueError         an option is unknown, out of range or without effect
    ├── DataError              ValueError         a file, row or column cannot be used as it is
    ├── ModelError             ValueError         a model is unknown, unsafe to load or does not fit the task
    ├── ResourceError          RuntimeError       memory, disk or time does not suffice
    ├── DependencyError        ImportError        an optional package is missing
    ├── RunError               RuntimeError       a run directory is missing, incomplete or was changed
    ├── BusyError              RuntimeError       another process is doing the same thing: try again later
    └── CheckError             RuntimeError       a proof failed (wrong mask, two BOS, leak, ...): refused

The command line prints the message and the hint and exits with ``exit_code``: 2 for the user's input,
3 for a refusal by one of our checks, 75 where another process came first, 1 for what is our fault. There is no class
for "warning": refuse or count.
"""

from __future__ import annotations


class Error(Exception):
    """The root. ``message`` says what was expected and what was found; ``hint`` says what to do."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(Error, ValueError):
    """An option is unknown, out of its range, or would have no effect."""


class DataError(Error, ValueError):
    """A data file cannot be used as it is; the message names the file and, where there is one, the row."""


class ModelError(Error, ValueError):
    """A model is unknown, refused by admission, or does not fit the task."""


class ResourceError(Error, RuntimeError):
    """Memory, disk or time does not suffice; the message has both figures."""


class DependencyError(Error, ImportError):
    """An optional package is missing; the hint is the line that installs it."""


class RunError(Error, RuntimeError):
    """A run directory does not exist, is incomplete, or no longer fits its own record."""


class BusyError(Error, RuntimeError):
    """Another process is at it, or was faster; nothing was changed."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class CheckError(Error, RuntimeError):
    """One of the proofs failed, so the run is refused."""

    exit_code = 3


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """``' Did you mean "x"?'`` for the known name closest to ``name``, or an empty string."""
    from difflib import get_close_matches

    match = get_close_matches(name, known, n=1, cutoff=0.5)
    return f'Did you mean "{match[0]}"?' if match else ""
