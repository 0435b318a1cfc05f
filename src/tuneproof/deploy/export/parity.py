"""Is the export the model that was scored? The same stored inputs through both, and what differs, named.

    found = compare(subject, runtime, LIMITS["fp32"])       # Parity
    found.holds, found.reason                               # False, "row 812 of the test rows: ... layer 3 of 6"

Five questions, in this order: does it read a text as the same tokens, does it call the classes by the same names, are
its logits near enough, does its likeliest answer agree, and does every layer hand on the same states. A quantised
export may differ in its logits; it is asked instead whether it was shown to be worse on the test rows by less than a
point (Tango's score test, paired). So is half precision of a model that writes: rounding moves a logit of 40 further
than one of 4, whatever that does to the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tuneproof.deploy.export.runtimes import Runtime, Said, first_state, longest
from tuneproof.deploy.export.subject import Floats, Probe, Subject, score
from tuneproof.stats.paired import difference
from tuneproof.stats.verdicts import FEWEST, NonInferiority, non_inferior

MARGIN = 0.01  # one point, or a hundredth of a nat per answer token


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an export may be from the scored model."""

    distance: float | None  # of the largest logit difference; None: judged by the scores instead
    agreement: float | None = 1.0  # share of positions with the same likeliest answer
    exact: bool = False  # whether the weights are those that were scored, to the bit


LIMITS: dict[str, Limits] = {
    "fp32": Limits(1e-2, exact=True),
    "onnx fp32": Limits(1e-3, exact=True),
    "half": Limits(5e-2),  # bf16, fp16
    "quantised": Limits(None, None),
}


def limits(name: str, writes: bool) -> Limits:
    """Those of the row ``name`` of LIMITS; ``writes``: for a model whose answers are texts."""
    return LIMITS["quantised" if writes and name == "half" else name]


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found; ``reason`` is a sentence where it does not hold."""

    runtime: str
    rows: int
    positions: int
    agreement: float
    distance: float  # largest |difference| of a logit
    mean_distance: float
    reason: str = ""
    quality: NonInferiority | None = None
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.reason


def compare(subject: Subject, runtime: Runtime, limits: Limits) -> Parity:
    """All five questions; the first that fails is the reason."""
    probes, ours = subject.probes, subject.reference
    said = runtime.say(probes)
    reason, notes = reading(subject, said)
    theirs = said.logits
    if any(one.shape != other.shape for one, other in zip(ours, theirs, strict=True)):
        return Parity(runtime.name, len(probes), 0, 0.0, np.inf, np.inf, reason or "it has other classes or tokens")
    gaps = [np.abs(one - other) for one, other in zip(ours, theirs, strict=True)]
    agreed = [one.argmax(-1) == other.argmax(-1) for one, other in zip(ours, theirs, strict=True)]
    distance, share = max(float(gap.max()) for gap in gaps), float(np.concatenate(agreed).mean())
    quality = None
    if not np.isfinite(distance):
        reason = reason or f"{_row(_worst(probes, gaps))}: a logit is no number"
    elif limits.distance is not None:
        reason = reason or _too_far(subject, runtime, limits, gaps, agreed)
        reason = reason or (_within(subject, said) if limits.exact else "")
    elif not reason:
        quality = scored(subject, runtime)
        reason = _worse(quality, subject, runtime, gaps)
    return Parity(
        runtime.name,
        len(probes),
        sum(len(one) for one in agreed),
        share,
        distance,
        float(np.mean([gap.mean() for gap in gaps])),
        reason,
        quality,
        notes,
    )


def reading(subject: Subject, said: Said) -> tuple[str, tuple[str, ...]]:
    """Why the tokens or the labels are not those of training, or ""; and what could not be asked."""
    if list(said.labels) != list(subject.labels):
        wrong = next((f'"{a}" is "{b}"' for a, b in zip(subject.labels, said.labels, strict=False) if a != b), "")
        return f"the classes have other names or another order: {wrong or f'{len(said.labels)} classes'}", ()
    own = sum(probe.own_text for probe in subject.probes)
    notes = (f"{own} rows hold the text of a special token, which other programs read as that token",) if own else ()
    for probe, theirs in zip(subject.probes, said.ids, strict=True):
        ours = subject.asked_ids(probe)
        if ours is not None and not probe.own_text and list(theirs) != ours:
            return f"{_row(probe)}: {_first_token(subject, ours, list(theirs))}", notes
    return "", notes


def _first_token(subject: Subject, ours: list[int], theirs: list[int]) -> str:
    tokenizer = subject.predictor.encoder.tokenizer
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))

    def told(ids: list[int]) -> str:
        return repr(tokenizer.convert_ids_to_tokens(ids[at])) if at < len(ids) else "nothing"

    return (
        f"token {at + 1} is {told(theirs)}, and the scored model read {told(ours)}: the tokenizer or template differs"
    )


def _too_far(subject: Subject, runtime: Runtime, limits: Limits, gaps: Sequence[Floats], agreed: Sequence[Any]) -> str:
    probe = _worst(subject.probes, gaps)
    distance = max(float(gap.max()) for gap in gaps)
    assert limits.distance is not None
    if distance > limits.distance:
        where = runtime.astray(subject, probe, not limits.exact)
        return f"{_row(probe)}: a logit is off by {distance:.3g}, at most {limits.distance:g} is allowed; {where}"
    share = float(np.concatenate(agreed).mean())
    if limits.agreement is not None and share < limits.agreement:
        return f"the likeliest answer agrees in {share:.2%} of cases only"
    return ""


def _within(subject: Subject, said: Said) -> str:
    """Which layer says something else though the logits hardly show it, as where few texts need a weight."""
    probe = longest(subject.probes)
    where = first_state(subject.states(probe), said.states, rounded=False) if said.states else ""
    return f"{_row(probe)}: the logits agree, and {where}" if where else ""


def scored(subject: Subject, runtime: Runtime) -> NonInferiority:
    """Whether the export was shown to be worse on the test rows by less than ``MARGIN``."""
    probes = subject.scored
    theirs = runtime.items(probes)
    ours = [score(subject.through(subject.predictor.model, [probe])[0], probe) for probe in probes]
    groups = [probe.group for probe in probes]
    gap = difference(ours, theirs, groups if len(set(groups)) < len(groups) else None)
    return non_inferior(gap, MARGIN)


def _worse(quality: NonInferiority, subject: Subject, runtime: Runtime, gaps: Sequence[Floats]) -> str:
    if quality.holds:
        return ""
    if quality.n < FEWEST:
        return f"{quality.n} test rows are too few to show that it is not worse ({FEWEST} are needed)"
    bound = "no bound can be given" if quality.bound is None else f"the bound is {quality.bound:+.4f}"
    return (
        f"on {quality.n:,} test rows it was not shown to be worse by less than {MARGIN:g}: {bound}; "
        f"{runtime.astray(subject, _worst(subject.probes, gaps), rounded=True)}"
    )


def _worst(probes: Sequence[Probe], gaps: Sequence[Floats]) -> Probe:
    worst = max(range(len(gaps)), key=lambda index: float(np.nan_to_num(gaps[index], nan=np.inf).max()))
    return probes[worst]


def _row(probe: Probe) -> str:
    return f"test row of line {probe.line}"
