"""The first sentence of the page: what the tuned model reaches, what it is compared with, and what to use.

said, word = headline(outcome, answer, "minilm-l6")      # "better", "inconclusive" or "worse"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tuneproof.evaluate.measures import MEASURES, Measure
from tuneproof.evaluate.outcome import Outcome, System
from tuneproof.stats.paired import Difference
from tuneproof.stats.verdicts import ALPHA, FEWEST, holm, verdict
from tuneproof.tasks import Answer


def headline(outcome: Outcome, answer: Answer, model: str) -> tuple[str, str]:
    """One sentence, and "better", "inconclusive" or "worse" against the strongest baseline."""
    tuned, *baselines = outcome.systems
    best = strongest(baselines)
    assert best.difference is not None
    if tuned.scores.main is None or best.scores.main is None:
        name = tuned.scores.primary
        why = next((note for note in tuned.scores.notes if note.startswith(name)), name)
        return f"Nothing can be said of the tuned {model}: {why}.", "inconclusive"
    n, how = f"{tuned.scores.n:,} test rows", MEASURES[tuned.scores.primary]
    word = verdict(best.difference, higher_is_better=how.higher_is_better)
    lucky = _lucky(baselines, best) if word == "worse" else None
    if answer.proportion:
        said = f"The tuned {model} answers {tuned.scores.main:.1%} of {n} rightly; {best.name} {best.scores.main:.1%}"
        gap = _points(best.difference.value, best.difference.low, best.difference.high)
    elif how.called:
        said = (
            f"On {n} the tuned {model} has {how.called} of {how.written(tuned.scores.main)}, "
            f"{best.name} {how.written(best.scores.main)}"
        )
        gap = _gap(how, best.difference)
    else:
        fall = 1 - tuned.scores.main / best.scores.main
        said = (
            f"On {n} the tuned {model} has a loss of {tuned.scores.main:.3f} per answer token, "
            f"{best.name} {best.scores.main:.3f} ({abs(fall):.0%} {'less' if fall > 0 else 'more'})"
        )
        gap = _nats(best.difference.value, best.difference.low, best.difference.high)
    end = {
        "better": f"a gain of {gap}.",
        "worse": f"that is worse, by {gap}: not worth deploying.",
        "inconclusive": f"a difference of {gap} that this test set cannot tell from chance: not worth deploying yet.",
    }[word]
    if best.difference.n < FEWEST:
        end = f"a difference of {gap}; no verdict is given on fewer than {FEWEST} test rows: not worth deploying yet."
    if lucky is not None:
        word = "inconclusive"
        often = f"that the best of {len(baselines)} equal baselines has too often (p = {lucky:.2f}, Holm)"
        end = f"a difference of {gap} {often}: not worth deploying yet."
    if word == "better" or tuned.scores.n < FEWEST:
        return f"{said}: {end}", word
    return f"{said}: {end} {_better_use(outcome.systems, best)}", word


def _lucky(baselines: Sequence[System], best: System) -> float | None:
    """The p of the best baseline being ahead, where that is above .05 because it is the best of several.

    Nothing of the kind is needed for a gain: who beats the best of them beats them all.
    """
    differences = [one.difference for one in baselines if one.difference is not None and one.difference.p is not None]
    adjusted = holm([gap.p for gap in differences if gap.p is not None])
    return next((p for gap, p in zip(differences, adjusted, strict=True) if gap is best.difference and p > ALPHA), None)


def _better_use(systems: Sequence[System], best: System) -> str:
    """What to use in place of the tuned model; nothing where no system is shown to be better than a blind one."""
    if not ahead(systems):
        blind = max((one for one in systems if one.blind), key=_rank)
        return f"Nothing, tuned or simple, is shown to do better here than {blind.name}."
    return f"Use {best.name}."


def ahead(systems: Sequence[System]) -> list[System]:
    """Those shown to do better than what says the same of every row (Holm over them); all, without such a thing."""
    looking = [(one, one.beyond) for one in systems if one.beyond is not None]
    if not looking:
        return list(systems)
    how = MEASURES[systems[0].scores.primary]
    known = [(one, gap, gap.p) for one, gap in looking if gap.p is not None]
    adjusted = holm([p for _, _, p in known])
    return [
        one
        for (one, gap, _), p in zip(known, adjusted, strict=True)
        if verdict(replace(gap, p=p), higher_is_better=how.higher_is_better) == "better"
    ]


def _rank(system: System) -> float:
    return (1 if MEASURES[system.scores.primary].higher_is_better else -1) * (system.scores.main or 0.0)


def strongest(baselines: Sequence[System]) -> System:
    """The baseline with the best score: the one that the verdict and the power line are about."""
    return max(baselines, key=_rank)


def _gap(how: Measure, gap: Difference) -> str:
    """The size of a difference, whichever of the two is better."""
    if how.share:
        return _points(gap.value, gap.low, gap.high)
    if gap.value is None or gap.low is None or gap.high is None:
        return "an unknown size"
    value, low, high = gap.value, gap.low, gap.high
    if value < 0:
        value, low, high = -value, -high, -low
    return f"{value:.3g} {how.unit}".rstrip() + f" (95% interval {low:.3g} to {high:.3g})"


def _points(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "an unknown size"
    if value < 0:
        value, low, high = -value, -high, -low
    return f"{100 * value:z.1f} points (95% interval {100 * low:z.1f} to {100 * high:z.1f})"


def _nats(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "an unknown size"
    value, low, high = -value, -high, -low
    if value < 0:
        value, low, high = -value, -high, -low
    return f"{value:.2f} nats (95% interval {low:.2f} to {high:.2f})"


def with_noise(said: str, word: str, seeds: Mapping[str, Any] | None) -> tuple[str, str]:
    """A gain of one training that the noise between seeds explains is no gain."""
    if seeds is None or word != "better" or seeds["verdict"] in ("better", None):
        return said, word
    return f"{said} With the noise of training in it that is not shown: not worth deploying yet.", "inconclusive"
