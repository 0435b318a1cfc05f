"""What is odd in conversations: who begins and ends, answers that say nothing or the same again, special tokens' text.

    dialogues(subject).figures["with a system prompt"]        # 33

Where a tenth of the rows or more are alike in something, that is how this data is: it is counted, and no row is named
for it. Lengths, near copies and open placeholders have checks of their own; what a model's template makes of a row is
in the training view.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tuneproof.prepare.check.subject import KEPT, Checked, Subject, shown
from tuneproof.records import Finding
from tuneproof.tasks.columns import normal
from tuneproof.tasks.rows import assistant_begins, last_answer, others_end, question, spoken

NAME = "dialogues"
ODD = 0.1  # share of the rows up to which what they have in common is odd
REPEATED = 0.01  # share of the answers from which one that is given again and again is told
FEWEST = 5  # rows with one answer, below which nobody would call it repeated
FIXED = 20  # different answers at most: then they are labels
SHORT = 4  # characters of an answer, below which it may be a slip
# Special tokens of the usual templates, as people copy them into a message.
SPECIAL = re.compile(
    r"<\|[A-Za-z][A-Za-z0-9_]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
)
# A whole dialogue, or a filled-in prompt of another tool, written into one message.
WRITTEN = re.compile(r"^(?:### (?:Instruction|Response|Input)|USER|ASSISTANT|Human|Assistant):", re.MULTILINE)
NOTHING = frozenset(("", "n/a", "na", "nan", "none", "null", "todo", "tbd"))

Messages = Sequence[Mapping[str, Any]]
Place = tuple[str, int]  # side and row number

# What can be the matter with one conversation: name in the figures, severity, sentence, the text that shows it.
Oddity = tuple[str, str, str, Callable[[Messages], str | None]]


def dialogues(subject: Subject) -> Checked:
    """Conversations of every side; rows are named for what is rare among them, the worst kind first."""
    if "messages" not in subject.splits.train.columns:
        return Checked(0, 0, note="Rows of this task are no conversations.")
    rows = {
        (side, index): messages
        for side, table in subject.splits.items()
        for index, messages in enumerate(table.columns["messages"])
    }
    counts: dict[str, int] = {}
    places: set[Place] = set()
    findings: list[Finding] = []
    for kind, severity, sentence, look in ODDITIES:
        found = [(place, text) for place, messages in rows.items() if (text := look(messages)) is not None]
        counts[kind] = len(found)
        if severity == "info" and len(found) > ODD * len(rows):
            continue
        places |= {place for place, _ in found}
        room = max(0, KEPT - len(findings))
        findings += [
            subject.finding(NAME, *place, severity, f"{sentence}.", evidence=text) for place, text in found[:room]
        ]
    again, labels = _repeated(rows)
    shares: dict[str, int] = {}
    for count, alike in again:
        text = _answer(rows[alike[0]])
        message = f"{count:,} different questions have this one answer; the first is here."
        findings.append(
            subject.finding(NAME, *alike[0], "warn", message, evidence=text, score=round(count / len(rows), 4))
        )
        places |= set(alike)
        shares[shown(text, 80)] = count
    findings.sort(key=lambda one: one.severity != "warn")
    note = (
        f"The answers are {labels} fixed texts; as labels of a classification they could be scored." if labels else ""
    )
    figures = {**_figures(rows), **counts, "shares": shares}
    return Checked(len(rows), len(places), findings[:KEPT], figures=figures, note=note)


def _answer(messages: Messages) -> str:
    return spoken(messages[last_answer(messages)])


def _repeated(rows: Mapping[Place, Messages]) -> tuple[list[tuple[int, list[Place]]], int]:
    """For each answer that many different questions have, how many and which rows, the commonest first. The second
    value is the number of different answers, where each row has one of so few that they are labels."""
    alike: defaultdict[str, list[Place]] = defaultdict(list)
    for place, messages in rows.items():
        alike[normal(_answer(messages))].append(place)
    one_each = all(last_answer(messages) <= 2 for messages in rows.values())  # a system prompt, a question, an answer
    if one_each and len(alike) <= FIXED and len(rows) >= FEWEST * FIXED:
        return [], len(alike)
    least = max(FEWEST, REPEATED * len(rows))
    often = []
    for places in alike.values():
        if len(places) >= least:
            asked = len({normal(question({"messages": rows[place]})) for place in places})
            if asked >= least:
                often.append((asked, places))
    return sorted(often, key=lambda one: -one[0]), 0


def _figures(rows: Mapping[Place, Messages]) -> dict[str, Any]:
    turns = Counter(sum(message["role"] in ("user", "assistant") for message in messages) for messages in rows.values())
    systems = Counter(messages[0]["content"] for messages in rows.values() if messages[0]["role"] == "system")
    lengths = sorted(len(_answer(messages)) for messages in rows.values())
    return {
        "turns": [[number, number + 1, turns[number]] for number in sorted(turns)],
        "with a system prompt": sum(systems.values()),
        "different system prompts": len(systems),
        "with tool calls": sum(any("tool_calls" in message for message in messages) for messages in rows.values()),
        "with answers of weight 0": sum(any(m.get("weight") == 0 for m in messages) for messages in rows.values()),
        "with other weights": sum(
            any(m.get("weight", 1) not in (0, 1) for m in messages) for messages in rows.values()
        ),
        "median characters of the last answer": lengths[len(lengths) // 2],
    }


# -- one conversation


def _texts(messages: Messages) -> Iterator[str]:
    return (spoken(message) for message in messages)


def _special(messages: Messages) -> str | None:
    return next((_around(text, found) for text in _texts(messages) if (found := SPECIAL.search(text))), None)


def _written_out(messages: Messages) -> str | None:
    """Two headings of turns in one message: one alone may be a quotation."""
    found = ((text, list(WRITTEN.finditer(text))) for text in _texts(messages))
    return next((_around(text, headings[0]) for text, headings in found if len(headings) > 1), None)


def _says_nothing(messages: Messages) -> str | None:
    answers = (spoken(message) for message in messages if message["role"] == "assistant")
    bare = (text for text in answers if text.strip().lower() in NOTHING or not any(map(str.isalnum, text)))
    return next(bare, None)


def _short(messages: Messages) -> str | None:
    """Letters only: a number is as short as it is."""
    text = _answer(messages)
    return text if len(text.strip()) < SHORT and text.strip().isalpha() else None


def _echo(messages: Messages) -> str | None:
    """The answer is what was asked, word for word."""
    at = last_answer(messages)
    before = normal(spoken(messages[at - 1])) if at else ""
    return spoken(messages[at]) if before and before == normal(spoken(messages[at])) else None


def _begins(messages: Messages) -> str | None:
    return spoken(messages[0]) if assistant_begins(messages) else None


def _ends(messages: Messages) -> str | None:
    return spoken(messages[-1]) if others_end(messages) else None


def _around(text: str, found: re.Match[str], before: int = 60) -> str:
    start = max(0, found.start() - before)
    return ("…" if start else "") + text[start:]


ODDITIES: tuple[Oddity, ...] = (
    ("special tokens in a message", "warn", "The text of a special token stands in a message; it is read as letters",
     _special),
    ("turns written into one message", "warn", "Several turns, or a filled-in prompt, stand in one message",
     _written_out),
    ("answers that say nothing", "warn", "An answer has no words", _says_nothing),
    ("answers that repeat the question", "warn", "The answer is the question over again", _echo),
    ("very short answers", "info", f"The answer has fewer than {SHORT} characters", _short),
    ("the assistant begins", "info", "The assistant begins; that turn is trained as an opening", _begins),
    ("the user has the last word", "info", "The assistant has not the last word; the turn that has carries no loss",
     _ends),
)  # fmt: skip
