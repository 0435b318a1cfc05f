"""The data doctor: CHECKS is the table of what it looks for.

    for name, check in CHECKS.items():
        found = check.look(subject)

A check is a function from a Subject to what it found, and one row here: its title, the question it answers, how bad
it is, the policies it can carry out and the one it has unless told (``config.Check``). Adding one is a file and a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tuneproof.prepare.check.beginnings import beginnings
from tuneproof.prepare.check.classes import class_health
from tuneproof.prepare.check.conflicts import conflicts
from tuneproof.prepare.check.dialogues import dialogues
from tuneproof.prepare.check.labels import label_issues
from tuneproof.prepare.check.languages import languages
from tuneproof.prepare.check.leakage import leakage
from tuneproof.prepare.check.lengths import lengths
from tuneproof.prepare.check.near import near_duplicates
from tuneproof.prepare.check.outliers import outliers
from tuneproof.prepare.check.personal import personal_data
from tuneproof.prepare.check.placeholders import placeholders
from tuneproof.prepare.check.subject import Checked, Subject

__all__ = ["CHECKS", "Check", "Checked", "Subject"]


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the table."""

    title: str  # "Train rows that also stand in the test"
    what: str  # one sentence for a newcomer: what is looked for, how, and which score is worse
    look: Callable[[Subject], Checked]
    policy: str = ""  # the option of config.Check that says what happens; "" when rows are only told of
    leaves: str = ""  # why its rows leave, as the ledger says it
    falls: str = ""  # what it means when the measured score falls without them


CHECKS: dict[str, Check] = {
    "leakage": Check(
        title="Rows that also stand, nearly, on a side that measures them",
        what="Train rows that are nearly a test or validation row, and validation rows that are nearly a test row, "
        "make every score look better than it is. The score is the Jaccard index of five-character pieces; 1 is worst.",
        look=leakage,
        policy="leakage",
        leaves="nearly the same as a row that measures it",
        falls="A model is no worse for it: such rows flatter the score, and the lower one is to be believed.",
    ),
    "near_duplicates": Check(
        title="Train rows that nearly repeat another one",
        what="Rows said several times teach nothing new and weigh more than they should. The score is the Jaccard "
        "index of five-character pieces with the row that is repeated; 1 is worst.",
        look=near_duplicates,
        policy="near_duplicates",
        leaves="nearly repeats another train row",
    ),
    "conflicts": Check(
        title="One text with different labels",
        what="Two labels on one text cannot both be right. The score is the Jaccard index of five-character pieces of "
        "the two texts; 1 is worst.",
        look=conflicts,
        policy="conflicts",
        leaves="one text with different labels",
    ),
    "label_issues": Check(
        title="Train rows whose label looks wrong",
        what="A classifier that has not seen the row is sure of another class (confident learning). The score says how "
        "well the label fits, 0 to 1; 0 is worst. Look at them from the top; no label is changed here.",
        look=label_issues,
        policy="label_issues",
        leaves="label looks wrong",
    ),
    "class_health": Check(
        title="Classes that can hardly be taught or measured",
        what="Classes with too few rows, out of balance, absent from a side, differing in their spelling only, or so "
        "alike that a classifier takes the rows of each for the other's.",
        look=class_health,
    ),
    "outliers": Check(
        title="Train rows that are like no other",
        what="Rows far from their nearest neighbours in the encoder's vectors: another topic, a broken cell, noise. "
        "The score is the mean cosine distance to the five nearest; large is worse.",
        look=outliers,
        policy="outliers",
        leaves="far from all other rows",
    ),
    "lengths": Check(
        title="Texts of unusual length",
        what="Texts far shorter or far longer than the others. The score counts robust standard deviations of the "
        "logarithm of the characters; large is worse.",
        look=lengths,
    ),
    "languages": Check(
        title="Languages",
        what="The language of each text, by script and commonest words, and the rows in another language than nearly "
        "all others.",
        look=languages,
    ),
    "beginnings": Check(
        title="Texts that begin alike",
        what="A beginning that a tenth of the rows or more share is learnt before anything else. The score is the "
        "share; large is worse.",
        look=beginnings,
    ),
    "dialogues": Check(
        title="Conversations that are odd",
        what="Special tokens or whole turns written into a message, answers without words, answers that repeat the "
        "question, one answer to many questions, and who begins and ends where that is rare. The score of a repeated "
        "answer is its share of the rows; large is worse.",
        look=dialogues,
    ),
    "placeholders": Check(
        title="Holes of a template left open",
        what="Texts such as {{name}} or [INSERT DATE], which a model would learn to say. The score counts the holes of "
        "the row; large is worse.",
        look=placeholders,
        policy="placeholders",
        leaves="a hole of a template left open",
    ),
    "personal_data": Check(
        title="Personal data and secrets",
        what="E-mail addresses, card, account, telephone and identity numbers, addresses, keys and passwords, found by "
        "their form and check digits in every part of a row, on every side. Names of persons are not looked for.",
        look=personal_data,
        policy="personal_data",
        leaves="personal data or secrets",
        falls="Rows of the test are among those that leave, so the score is measured on other rows than before.",
    ),
}
