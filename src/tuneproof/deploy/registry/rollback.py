"""Back to the version that was served before.

roll_back("reviews")          # (reviews@6, reviews@7): the champion now, and the one it was
"""

from __future__ import annotations

from tuneproof.deploy.registry.books import Registry
from tuneproof.deploy.registry.home import CHALLENGER, CHAMPION, PREVIOUS
from tuneproof.deploy.registry.versions import Version
from tuneproof.errors import ConfigError


def roll_back(name: str, to: str | None = None, books: Registry | None = None) -> tuple[Version, Version]:
    """The champion that was, again: (new champion, old champion). Only aliases move, no model is opened."""
    books = books or Registry()
    with books.deciding(name) as now:
        if CHAMPION not in now:
            raise ConfigError(f"{name} has no champion to roll back from.")
        if to is None and PREVIOUS not in now:
            raise ConfigError(f"{name} has had one champion only.", "Name a version: --to 6")
        version = books.listed(f"{name}@{to or PREVIOUS}")
        if version.number == now[CHAMPION]:
            raise ConfigError(f"{version.label} is the champion already.")
        old = books.listed(f"{name}@{CHAMPION}")
        aliases = {**now, CHAMPION: version.number, PREVIOUS: old.number}
        if now.get(CHALLENGER) == version.number:
            del aliases[CHALLENGER]
        books.decide(name, "rolled back", version, aliases, expected=now, facts={"told": f"from @{old.number}"})
    return version, old
