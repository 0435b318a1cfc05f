"""The table that ``tuneproof methods`` prints: METHODS with the figures of benchmarks/methods_table.py.

    for line in told(): print(line)

Figures are those of one small encoder on one machine, named below the table; elsewhere they are other ones.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from tuneproof.methods import METHODS, NOT_OFFERED
from tuneproof.methods.cells import REFUSED


def measured() -> dict[str, Any]:
    """{"about": {...}, "methods": {name: {"trained", "parameters", "mib", "seconds"}}}"""
    file = resources.files("tuneproof.methods").joinpath("measured.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"methods": {}}
    return found


def told() -> list[str]:
    """A line per method, then what is refused and what is not offered, with reasons."""
    known = measured()
    lines = [f"{'method':12} {'trains':>18} {'memory':>9} {'step':>7}  good for"]
    for name, row in METHODS.items():
        lines.append(f"{name:12} {_figures(known['methods'].get(name))}  {row.good_for}")
    lines += ["", _where(known.get("about")), ""]
    for refused in REFUSED:
        only = ", ".join(sorted(auto.removeprefix("AutoModelFor") for auto in refused.only))
        lines.append(f"{', '.join(sorted(refused.methods))}: with models for {only} alone; it {refused.reason}.")
    lines += [f"Not offered: {name}; it {reason}." for name, reason in NOT_OFFERED.items()]
    return lines


def _where(about: dict[str, Any] | None) -> str:
    if about is None:
        return "Nothing was measured yet: python benchmarks/methods_table.py"
    return (
        f"Measured on {about['model']} ({about['rows']}) at commit {about['commit']}, {about['date']}, "
        f"{about['hardware']}; {about['versions']}. trains: weights that move, and their share; memory: of a step, "
        "the model itself included; step: seconds of one core."
    )


def _figures(row: dict[str, Any] | None) -> str:
    if row is None or "refused" in row:
        return f"{'not measured':>18} {'':>9} {'':>7}"
    share = f"{row['trained']:,} {100 * row['trained'] / row['parameters']:5.2f}%"
    return f"{share:>18} {row['mib']:>5,} MiB {row['seconds']:>6.2f}s"
