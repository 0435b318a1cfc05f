"""Columns of a file that are kept beside the parts of the task, so that scores can be looked at by their values.

    table = attach(table, raw, ("country",))       # adds the column "slice:country", matched by file and line
    asked(config)                                  # what slices and protected name

They are no part of a row's content: they change no id, and no model reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tuneproof.config import Config
from tuneproof.errors import ConfigError, DataError, nearest
from tuneproof.records import Table

PREFIX = "slice:"


def asked(config: Config) -> tuple[str, ...]:
    """The columns that ``evaluate.slices`` and ``evaluate.protected`` name, each once."""
    if config.evaluate.favourable and not config.evaluate.protected:
        raise ConfigError(
            "evaluate.favourable would have no effect: no column is protected.", "Name one: --set evaluate.protected=X"
        )
    named = [name.strip() for name in (config.evaluate.slices or "").split(",")]
    return tuple(dict.fromkeys(name for name in (*named, config.evaluate.protected) if name))


def is_kept(name: str) -> bool:
    """Whether a column of a canonical table is one of these."""
    return name.startswith(PREFIX)


def attach(table: Table, raw: Table, names: Sequence[str]) -> Table:
    """``table`` with the columns ``names`` of ``raw``, the file that it was made from; DataError for one not there."""
    if not names:
        return table
    for name in names:
        if name not in raw.columns:
            known = ", ".join(f'"{column}"' for column in raw.columns)
            raise DataError(
                f'{raw.source}: there is no column "{name}" for slices; the file has {known}.',
                nearest(name, list(raw.columns)),
            )
    at = {(raw.file(index), line): index for index, line in enumerate(raw.lines)}
    where = [at[table.file(index), line] for index, line in enumerate(table.lines)]
    found = {PREFIX + name: [_written(raw.columns[name][index]) for index in where] for name in names}
    return dataclasses.replace(table, columns={**table.columns, **found})


def _written(value: object) -> str:
    text = "" if value is None else str(value).strip()
    return text or "(empty)"
