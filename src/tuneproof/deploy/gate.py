"""May this version replace that one? Rules over evidence, each passed, failed or undecided; nothing is measured here.

    rules = [primary("G2", "frozen test", gap, Policy(), higher_is_better=True), ...]
    verdict(rules)                    # "promoted", "rejected" or "held"

One failed rule rejects, one undecided rule holds. "Undecided" is an answer: with these rows it cannot be told, and
``rows_to_label`` says how many would tell. A higher number alone promotes a model that is worse by a point in one case
of eight; these rules in less than one of a hundred (docs/deploy.md).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneproof.errors import ConfigError, nearest
from tuneproof.stats.paired import Difference
from tuneproof.stats.power import rows_needed
from tuneproof.stats.verdicts import verdict as weighed

Word = Literal["pass", "fail", "hold"]
POWER = (1.959964 + 0.841621) ** 2  # of a two-sided test at .05 that finds a gain in 80% of cases


class Policy(BaseModel):
    """What a new version has to show; ``gate.toml`` may say otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["better", "not_worse"] = Field("better", description="what the primary metric has to show")
    margin: float = Field(0.01, gt=0, lt=1, description="how much worse counts as not worse: .01 is one point")
    fresh: bool = Field(False, description="whether labels from after the champion's data are required")
    fresh_rows: int = Field(100, ge=30, description="rows of fresh labels below which they decide nothing")
    forgetting: float = Field(0.05, gt=0, description="what may be forgotten beyond what the champion forgot")
    calibration: float = Field(0.02, gt=0, description="how much the calibration error may grow")
    latency: float = Field(1.2, ge=1, description="times the champion's 95th percentile of seconds per request")
    size: float = Field(1.2, ge=1, description="times the champion's bytes of weights")


def read_policy(file: Path | None) -> Policy:
    """The policy in ``file``; ConfigError with the nearest name for one that is unknown."""
    if file is None:
        return Policy()
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no file {file}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML file: {error}.") from None
    try:
        return Policy(**told)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        hint = nearest(name, list(Policy.model_fields)) or f"Known: {', '.join(Policy.model_fields)}."
        raise ConfigError(f"{file}: {name}: {first['msg']}.", hint) from None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and what came of it."""

    id: str  # G0 ... G7
    what: str
    word: Word
    told: str  # one sentence
    figures: Mapping[str, Any] = field(default_factory=dict)
    need: Mapping[str, int] = field(default_factory=dict)  # what would decide it: {"fresh test": 1236} rows


def verdict(rules: Sequence[Rule]) -> Literal["promoted", "rejected", "held"]:
    """One failure rejects, one rule that cannot be decided holds, else it is promoted."""
    words = {rule.word for rule in rules}
    return "rejected" if "fail" in words else "held" if "hold" in words else "promoted"


def primary(id: str, rows: str, gap: Difference, policy: Policy, *, higher_is_better: bool, told: str) -> Rule:
    """G2 and G3: the challenger minus the champion on the same rows; ``told`` has the figures in words."""
    margin = policy.margin if policy.mode == "not_worse" else None
    word: Word = {"better": "pass", "worse": "fail", "inconclusive": "hold"}[  # type: ignore[assignment]
        weighed(gap, margin, higher_is_better=higher_is_better)
    ]
    wanted = "better" if policy.mode == "better" else f"not worse by {policy.margin:g}"
    end = {"pass": f"it is {wanted}", "fail": "it is worse", "hold": f"whether it is {wanted} cannot be told"}[word]
    total = rows_to_label(gap, policy, higher_is_better=higher_is_better) if word == "hold" else None
    need = {} if total is None else {rows: total}
    figures = {"value": gap.value, "low": gap.low, "high": gap.high, "p": gap.p, "n": gap.n, "method": gap.method}
    return Rule(id, f"primary metric, {rows}", word, f"{told}: {end}", figures, need)


def rows_to_label(gap: Difference, policy: Policy, *, higher_is_better: bool = True) -> int | None:
    """Rows in all that would decide with 80% power if the models differ as they do here; None where none would."""
    if gap.error is None or gap.value is None or gap.n < 2:
        return None
    gain = gap.value if higher_is_better else -gap.value
    variance = gap.disagreement if gap.discordant is not None and gap.disagreement else gap.error**2 * gap.n
    if policy.mode == "not_worse":
        return max(gap.n + 1, rows_needed(policy.margin, variance))
    return max(gap.n + 1, math.ceil(POWER * variance / gain**2)) if gain > 0 else None


def slices(parts: Sequence[Mapping[str, Any]]) -> Rule:
    """G4: no part of the rows is worse by five points; parts with fewer than 100 rows say nothing."""
    failed = [part for part in parts if part["fails"]]
    open_ = [part for part in parts if not part["fails"] and not part["holds"]]
    named = [f"{part['column']} = {part['value']}: {part['sentence']}" for part in (failed or open_)[:3]]
    if failed:
        return Rule("G4", "slices", "fail", f"{len(failed)} of {len(parts)} parts are worse; {'; '.join(named)}")
    if open_:
        told = f"{len(open_)} of {len(parts)} parts may be worse by 5 points or not; {'; '.join(named)}"
        return Rule("G4", "slices", "hold", told, {"parts": len(parts)})
    return Rule("G4", "slices", "pass", f"none of {len(parts)} parts with 100 rows or more is worse by 5 points")


def forgetting(champion: Mapping[str, Any], challenger: Mapping[str, Any], policy: Policy) -> Rule:
    """G5: what the challenger forgot of its base, beyond what the champion forgot, within the limit."""
    before = {one["name"]: one["lost"]["value"] for one in champion.get("sets", []) if "lost" in one}
    words: list[Word] = []
    told = []
    for one in challenger.get("sets", []):
        if "lost" not in one or one["lost"]["high"] is None:
            continue
        limit = policy.forgetting + max(0.0, before.get(one["name"], 0.0))
        low, high = one["lost"]["low"], one["lost"]["high"]
        words.append("pass" if high <= limit else "fail" if low > limit else "hold")
        told.append(f"{one['name']}: lost {one['lost']['value']:.3f} ({low:.3f} to {high:.3f}), at most {limit:.3f}")
    if not words:
        return Rule("G5", "forgetting", "pass", "it was not measured for this model")
    word: Word = "fail" if "fail" in words else "hold" if "hold" in words else "pass"
    return Rule("G5", "forgetting", word, "; ".join(told))


def calibration(champion: Mapping[str, Any] | None, challenger: Mapping[str, Any] | None, policy: Policy) -> Rule:
    """G6: the challenger's calibration error is shown to be near the champion's, or shown not to be."""
    if champion is None or challenger is None:
        return Rule("G6", "calibration", "pass", "this task has no confidences")
    limit = champion["ece"] + policy.calibration
    low, high = (challenger["ece"] if challenger[end] is None else challenger[end] for end in ("low", "high"))
    word: Word = "pass" if high <= limit else "fail" if low > limit else "hold"
    told = f"calibration error {challenger['ece']:.3f} ({low:.3f} to {high:.3f}), champion {champion['ece']:.3f}"
    return Rule("G6", "calibration", word, f"{told}, limit {limit:.3f}")


def cost(seconds: tuple[float, float], bytes: tuple[int, int], policy: Policy) -> Rule:
    """G7: the 95th percentile of seconds per request, and the bytes of weights, champion first."""
    slower, larger = seconds[1] / max(seconds[0], 1e-9), bytes[1] / max(bytes[0], 1)
    word: Word = "pass" if slower <= policy.latency and larger <= policy.size else "fail"
    told = (
        f"p95 {1000 * seconds[1]:.1f} ms, {slower:.2f} times the champion's; "
        f"{bytes[1] / 1e6:,.1f} MB, {larger:.2f} times the champion's"
    )
    return Rule("G7", "cost", word, told, {"latency": slower, "size": larger})
