"""Did it help: the tuned model against the untouched one and cheap baselines, on the same test rows.

report = evaluate(run, subject, say)          # writes predictions.jsonl, report.json, report.html
"""

from tuneproof.evaluate.score import Subject, evaluate

__all__ = ["Subject", "evaluate"]
