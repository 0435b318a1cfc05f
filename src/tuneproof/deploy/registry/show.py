"""The registry as lines a person can read.

table(Registry(), "reviews")       # version, alias, score with interval, size, run; then the decisions and the trials
"""

from __future__ import annotations

from tuneproof.deploy.registry import trials
from tuneproof.deploy.registry.books import Registry
from tuneproof.deploy.registry.trials import aligned
from tuneproof.deploy.registry.versions import Version

DECISIONS = 20  # the newest that are shown


def overview(books: Registry) -> list[str]:
    """One line per name."""
    rows = [("name", "versions", "champion", "last decision")]
    for name in books.names():
        lines = books.ledger(name)
        champion = lines[-1].aliases.get("champion")
        rows.append(
            (
                name,
                str(sum(line.what == "registered" for line in lines)),
                f"@{champion}" if champion else "none",
                f"{lines[-1].what} @{lines[-1].version}, {lines[-1].at[:16]}",
            )
        )
    return aligned(rows) if len(rows) > 1 else ["Nothing is registered. Begin: tuneproof registry add RUN --name NAME"]


def table(books: Registry, name: str) -> list[str]:
    """The versions of ``name``, what was decided about them, and what servers tried, the newest last."""
    lines = books.ledger(name)
    roles: dict[int, list[str]] = {}
    for alias, number in sorted(lines[-1].aliases.items()):
        roles.setdefault(number, []).append(alias)
    rows: list[tuple[str, ...]] = [("version", "alias", "score", "95% interval", "model", "size", "run")]
    rows += [_row(version, ", ".join(roles.get(version.number, []))) for version in books.versions(name)]
    decisions = [
        (line.at[:16].replace("T", " "), line.what, f"@{line.version}", str(line.facts.get("told", "")))
        for line in lines[-DECISIONS:]
    ]
    tried = [line for trial in trials.told(books.folder(name)) for line in ("", *trial)]
    return [*aligned(rows), "", *aligned(decisions), *tried]


def _row(version: Version, roles: str) -> tuple[str, ...]:
    told = version.manifest
    scores = told["eval"] or {"primary": "", "values": {}, "interval": (None, None)}
    value = scores["values"].get(scores["primary"])
    low, high = scores["interval"]
    return (
        f"@{version.number}",
        roles,
        "-" if value is None else f"{scores['primary']} {value:.4f}",
        "-" if low is None or high is None else f"{low:.4f} to {high:.4f}",
        f"{told['base']['name']}, {told['method']}",
        f"{told['size'] / 1e6:,.1f} MB",
        told["run"],
    )
