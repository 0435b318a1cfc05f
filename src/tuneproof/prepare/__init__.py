"""Prepare: what is in the file, what is wrong with it, what is dropped and why, how is it divided.

    from tuneproof.prepare import examine, prepare
    prepared = prepare(Path("reviews.csv"), config.data, answers)
    diagnosis = examine(prepared, answer, config.check, seed=0)

``read`` -> ``schema`` -> ``clean`` -> ``split`` -> ``ledger``, in ``stage``; then the data doctor, ``check`` (what it
looks for) and ``doctor`` (what is done about it); ``tokens`` counts what a model will see; ``report`` and ``page`` show
it, and ``review`` lets a person decide. Knows no task: the answers are handed in.
"""

from tuneproof.prepare.doctor import Diagnosis, Examinable, Examined, examine
from tuneproof.prepare.page import render_data
from tuneproof.prepare.report import data_report
from tuneproof.prepare.review import write_review
from tuneproof.prepare.stage import Prepared, prepare

__all__ = [
    "Diagnosis",
    "Examinable",
    "Examined",
    "Prepared",
    "data_report",
    "examine",
    "prepare",
    "render_data",
    "write_review",
]
