"""What a report holds at a place, as the type that belongs there; anything else counts as empty.

mapping(report.get("scores"))     # {} when it is missing, null or a list
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def listing(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in listing(value) if isinstance(item, Mapping)]
