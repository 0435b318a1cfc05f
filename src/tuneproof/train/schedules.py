"""How the learning rate moves: SCHEDULES is the one table. Every value is a pure function of the step.

    scale(step, steps, config.train)          # share of the peak, in (0, 1]

A run that resumes asks again for the same step, so nothing of a schedule is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tuneproof.config import Train

DECAY = 0.2  # of the steps, the last of which fall in "wsd" (Hu et al. 2024, arXiv 2404.06395, use a tenth to a fifth)
START = 1 / 25  # of the peak, where "one-cycle" begins (Smith & Topin 2018, arXiv 1708.07120)


def scale(step: int, steps: int, settings: Train) -> float:
    """The learning rate of step ``step`` (from 0) as a share of the peak: linear warm-up, then the schedule."""
    warm = max(1, round(settings.warmup * steps))
    if step < warm:
        risen = (step + 1) / warm
        return START + (1 - START) * risen if settings.schedule == "one-cycle" else risen
    return SCHEDULES[settings.schedule](step - warm, steps - warm, warm)


def linear(step: int, steps: int, warm: int) -> float:
    return 1.0 - step / steps


def cosine(step: int, steps: int, warm: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * step / steps))


def constant(step: int, steps: int, warm: int) -> float:
    return 1.0


def inverse_sqrt(step: int, steps: int, warm: int) -> float:
    """Vaswani et al. 2017: continuous with the warm-up, and slower the longer it trains."""
    return math.sqrt(warm / (warm + step))


def wsd(step: int, steps: int, warm: int) -> float:
    """Warm-up, stable, decay: constant, and in the last fifth a straight line down."""
    falls = max(1, round(DECAY * steps))
    return min(1.0, (steps - step) / falls)


# name -> (steps after the warm-up, how many there are, steps of the warm-up) -> share of the peak
SCHEDULES: dict[str, Callable[[int, int, int], float]] = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
    "inverse-sqrt": inverse_sqrt,
    "wsd": wsd,
    "one-cycle": cosine,  # its rise starts from START and is as long as train.warmup says
}
