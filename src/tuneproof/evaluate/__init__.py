"""Did it help: the tuned model against the untouched one and cheap baselines, on the same test rows.

    report = evaluate(run, subject, say)          # writes predictions.jsonl, report.json, report.html
    compare(["runs/old-1a2b", "runs/new-3c4d"])    # reads two of those and says which is better

``score`` is the way through; beside the scores it measures ``slices``, ``fairness``, confidence (``calibrate``) and
what was lost (``forgetting``, on the texts of ``retain``).
"""

from tuneproof.evaluate.calibrate import calibration_rows, divided
from tuneproof.evaluate.compare import EXIT_CODES, compare, table
from tuneproof.evaluate.retain import Document, own
from tuneproof.evaluate.score import Subject, evaluate

__all__ = ["EXIT_CODES", "Document", "Subject", "calibration_rows", "compare", "divided", "evaluate", "own", "table"]
