"""Which method and settings, at what cost: rules first, then measured steps, each value with its reason.

decided = decide(config, situation, given={})
decided.config.train.lr, decided.settings["train.lr"].reason
"""

from tuneproof.decide.cost import Cost, Volume, fit_budget, measure, price, refuse_if_too_large
from tuneproof.decide.recipe import Decided, Situation, check_model, decide, length_limit

__all__ = [
    "Cost",
    "Decided",
    "Situation",
    "Volume",
    "check_model",
    "decide",
    "fit_budget",
    "length_limit",
    "measure",
    "price",
    "refuse_if_too_large",
]
