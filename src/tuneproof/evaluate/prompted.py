"""What a chat model does with a classification task when it is only asked: zero-shot, and with examples shown.

    found = prompted(chat_model(facts, seed=0, device=device), asking, tuned_predictions, say)

Three wordings are tried on validation rows and the best one is kept, for each way by itself: a prompt that nobody
worked on is no fair opponent. An answer is a label when it says one; what says none is wrong and keeps its row. Asking
takes a second per row on two cores, so 200 test rows are asked, chosen by hash, and compared with the tuned model on
those alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from tuneproof.evaluate import measure
from tuneproof.modalities import ChatEncoder
from tuneproof.place import batch_tokens
from tuneproof.predict import by_length
from tuneproof.records import Generation, ModelFacts, Prediction, Schema
from tuneproof.stats.verdicts import verdict
from tuneproof.tasks import columns, task

ROWS = 200  # test rows that are asked
TRIED = 40  # validation rows on which a wording is tried
SHOTS = 8  # examples shown at most, of as many labels as possible
SHOWN = 400  # characters of an example
MOST = 2000  # characters of a text that is asked about; how many texts were cut is counted
WRITER = "instruction"  # the task whose model answers

WORDINGS = (
    "Classify the text. The label is one of: {labels}.\nText: {text}\nAnswer with the label only.",
    "{text}\n\nWhich of these describes the text above best: {labels}? Reply with exactly one of them.",
    "Labels: {labels}\n\nText: {text}\n\nLabel:",
)

Example = tuple[str, str]  # text, label
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A pretrained chat model that is to be asked."""

    name: str
    model: Module
    encoder: ChatEncoder


@dataclass(frozen=True, slots=True)
class Asking:
    """The rows: examples come from train, the wording from validation, the figures from test."""

    labels: tuple[str, ...]
    train: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example]
    ids: Sequence[str]  # of the test rows


def chat_model(facts: ModelFacts, seed: int, device: torch.device) -> ChatModel:
    """The model in fp32 on ``device``, as the task of chat models opens it."""
    answer, folder = task(WRITER).answer, Path(facts.path)
    model = answer.model(folder, Schema(WRITER, "", {}, (), None, ()), seed=seed).eval().to(device)
    return ChatModel(facts.name, model, ChatEncoder(folder, min(facts.context, answer.length_limit)))


def prompted(chat: ChatModel, asking: Asking, tuned: Sequence[Prediction], say: Say) -> dict[str, Any]:
    """Plain JSON: for both ways the wording kept, the share answered rightly, and the tuned model minus it, paired."""
    order = sorted(range(len(asking.ids)), key=lambda i: hashlib.sha256(f"asked {asking.ids[i]}".encode()).digest())
    chosen = sorted(order[:ROWS])
    rows, ours = [asking.test[i] for i in chosen], [tuned[i].scores["correct"] for i in chosen]
    found = []
    for name, shots in (("without examples", []), ("with examples", examples(asking))):
        say(f"Asking {chat.name} {name}: three wordings on validation rows, then {len(rows):,} test rows.")
        fitting = [w for w in WORDINGS if _fits(chat, w, asking.labels, shots, [*rows, *asking.validation[:TRIED]])]
        if not fitting:
            found.append({"name": name, "n": 0, "note": "the prompts are longer than the model can read"})
            continue
        tried = {w: _share(ask(chat, w, asking.labels, shots, asking.validation[:TRIED])) for w in fitting}
        best = max(fitting, key=lambda w: tried[w])
        said = ask(chat, best, asking.labels, shots, rows)
        found.append(_told(name, best, list(tried.values()), said, ours))
    cut = sum(len(text) > MOST for text, _ in rows)
    return {"model": chat.name, "rows": len(rows), "of": len(asking.test), "cut": cut, "ways": found}


def examples(asking: Asking) -> list[Example]:
    """Up to eight training rows, one label after the other, chosen by hash."""
    ranked = sorted(asking.train, key=lambda row: hashlib.sha256(f"shown {row[0]}".encode()).digest())
    found: list[Example] = []
    while len(found) < min(SHOTS, len(ranked)):
        counts = {label: sum(shown == label for _, shown in found) for label in asking.labels}
        left = [row for row in ranked if row not in found]
        found.append(min(left, key=lambda row: counts[row[1]]))
    return [(text[:SHOWN], label) for text, label in found]


def ask(
    chat: ChatModel, wording: str, labels: Sequence[str], shots: Sequence[Example], rows: Sequence[Example]
) -> list[Prediction]:
    """One prediction per row, in order; greedy. ``error`` says what was answered where that is no label."""
    answer = task(WRITER).answer
    longest = max(len(chat.encoder.tokenizer(label)["input_ids"]) for label in labels)
    prompts = [{"messages": _messages(wording, labels, shots, text)} for text, _ in rows]
    lengths = [answer.length(prompt, chat.encoder) for prompt in prompts]
    said: dict[int, Prediction] = {}
    with torch.inference_mode():
        for indices in by_length(lengths, batch_tokens(chat.model)):
            part = [prompts[i] for i in indices]
            written = answer.respond(chat.model, chat.encoder, part, Generation(longest + 8))
            said.update(zip(indices, written, strict=True))
    return [_judged(str(said[i].value), truth, labels) for i, (_, truth) in enumerate(rows)]


def read_label(answer: str, labels: Sequence[str]) -> str | None:
    """The label that an answer says: the whole of it, or the one that it names first (of two, the longer)."""
    plain = _plain(answer)
    names = {_plain(label): label for label in labels}
    if plain in names:
        return names[plain]
    found = [(at.start(), -len(name), label) for name, label in names.items() if (at := _word(name).search(plain))]
    return min(found)[2] if found else None


def _judged(answer: str, truth: str, labels: Sequence[str]) -> Prediction:
    label = read_label(answer, labels)
    error = None if label is not None else f"no label in the answer: {answer[:80]}"
    return Prediction(label, truth, scores={"correct": float(label == truth)}, error=error)


def _messages(wording: str, labels: Sequence[str], shots: Sequence[Example], text: str) -> list[dict[str, str]]:
    names = ", ".join(labels)
    found = []
    for shown, label in shots:
        found.append({"role": "user", "content": wording.format(labels=names, text=shown)})
        found.append({"role": "assistant", "content": label})
    return [*found, {"role": "user", "content": wording.format(labels=names, text=text[:MOST])}]


def _fits(
    chat: ChatModel, wording: str, labels: Sequence[str], shots: Sequence[Example], rows: Sequence[Example]
) -> bool:
    """Whether the longest text still fits into a prompt."""
    longest = max((text for text, _ in rows), key=len)
    messages = {"messages": _messages(wording, labels, shots, longest)}
    return task(WRITER).answer.length(messages, chat.encoder) <= chat.encoder.max_length


def _told(
    name: str, wording: str, tried: Sequence[float], said: Sequence[Prediction], ours: Sequence[float]
) -> dict[str, Any]:
    theirs = [p.scores["correct"] for p in said]
    gap = measure.paired(theirs, ours, [1] * len(ours), None, 0)
    share = measure.interval(theirs, [1] * len(theirs), None)
    return {
        "name": name,
        "n": len(said),
        "wording": wording,
        "tried": list(tried),
        "score": share.value,
        "interval": [share.low, share.high],
        "unanswered": sum(p.error is not None for p in said),
        "difference": measure.as_json(gap),
        "verdict": verdict(gap),
    }


def _share(said: Sequence[Prediction]) -> float:
    return sum(p.scores["correct"] for p in said) / max(1, len(said))


def _plain(text: str) -> str:
    """Folded, with underscores and punctuation as blanks: "Card_arrival." is "card arrival"."""
    return columns.fold(re.sub(r"[\W_]+", " ", text))


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")


def headline(found: Mapping[str, Any]) -> str:
    """A sentence when asking does better than tuning, else ""."""
    better = [way for way in found["ways"] if way.get("verdict") == "worse"]
    if not better:
        return ""
    best = max(better, key=lambda way: way["score"])
    return f"Asking {found['model']} {best['name']} does better: {best['score']:.1%} of {best['n']:,} rows."
