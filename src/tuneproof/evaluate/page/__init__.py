"""The page of a run: its report (``report.json``) as one HTML file that opens without a network.

    (folder / "report.html").write_text(render(report), encoding="utf-8")

The shell, the charts and the sections about the data are those of ``tuneproof.page``; here stand the sections about
the tuned model, each a row in SECTIONS, a view and a template.
"""

from __future__ import annotations

from pathlib import Path

from tuneproof.evaluate.page import compared, confused, parts, trained, trust, views
from tuneproof.page import Page, Section, View, prepared
from tuneproof.page import render as render_page

SECTIONS = (
    Section("scores", "Did it help?", compared.scores),
    Section("prompted", "Asked instead of tuned", trust.prompted),
    Section("answers", "Answers side by side", views.answers),
    Section("classes", "Class by class", views.classes),
    Section("confusions", "What is taken for what", confused.confusions),
    Section("rows", "Best and worst rows", views.rows),
    Section("slices", "Part by part", parts.slices),
    Section("protected", "Groups of people", parts.protected),
    Section("overfitting", "Did it learn by heart?", trained.overfitting),
    Section("folds", "Fold by fold", trained.folds),
    Section("seeds", "The noise of training", trained.seeds),
    Section("learning_curve", "Would more data help?", trained.learning_curve),
    Section("calibration", "Can its confidence be believed?", trust.calibration),
    Section("forgetting", "What it forgot", trust.forgetting),
    Section("data", "What was in the file", views.data),
    Section("checks", "What the doctor found", views.doctor),
    Section("ledger", "Every row accounted for", prepared.ledger),
    Section("tokens", "How long the rows are", prepared.tokens),
    Section("training_view", "What the model learns from a row", prepared.training_view),
    Section("plan", "What was decided, and why", views.plan),
    Section("curves", "How training went", views.curves),
    Section("cost", "What it cost", views.cost),
    Section("limits", "What this page cannot tell", views.limits),
    Section("use", "How to use the model", views.use),
    Section("run", "How it was made", views.run),
)
PAGE = Page(Path(__file__).parent / "templates", "report.json", views.head, views.verdict, SECTIONS)


def render(report: View) -> str:
    """The whole page; raises nothing for missing, empty or odd parts of the report."""
    return render_page(PAGE, report)
