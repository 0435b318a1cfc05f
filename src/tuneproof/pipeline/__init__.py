"""The stages in order, and what is handed from one to the next; the only module that knows them all.

    run = tune("reviews.csv", Config(), runs=Path("runs"), view=Quiet())
    found = check("reviews.csv", Config(), runs=Path("runs"), view=Quiet())

``whole`` walks through all stages, ``doctor`` through prepare alone, ``judging`` scores finished runs again,
``promoting`` weighs registered versions; ``ready`` and ``planning`` are their steps.
"""

from tuneproof.pipeline.doctor import Found, check
from tuneproof.pipeline.judging import Again, keep_baseline, score_again
from tuneproof.pipeline.promoting import Weighed, Weighing, add, weigh, weighed_lines
from tuneproof.pipeline.view import Quiet, View
from tuneproof.pipeline.whole import plan, resume, tune

__all__ = [
    "Again",
    "Found",
    "Quiet",
    "View",
    "Weighed",
    "Weighing",
    "add",
    "check",
    "keep_baseline",
    "plan",
    "resume",
    "score_again",
    "tune",
    "weigh",
    "weighed_lines",
]
