"""Prepare: what is in the file, what is wrong with it, what is dropped and why, how is it divided.

    from tuneproof.prepare import prepare
    prepared = prepare(Path("reviews.csv"), config.data, answers)

``read`` -> ``schema`` -> ``clean`` -> ``split`` -> ``ledger``, in ``stage``; ``tokens`` counts what a model will see.
Knows no task: the answers are handed in.
"""

from tuneproof.prepare.stage import Prepared, prepare

__all__ = ["Prepared", "prepare"]
