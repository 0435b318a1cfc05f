"""Predicts labels with the TF-IDF model in this folder: python predict.py "a text" "another text".

It needs numpy and safetensors, nothing else. Words not seen in training count for nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file


def words(text: str) -> list[str]:
    """Words and signs, and each pair that stands together."""
    single = re.findall(r"\w+|[^\w\s]", text)
    return [*single, *(f"{first} {second}" for first, second in pairwise(single))]


def pieces(text: str) -> list[str]:
    """Two to four letters that stand together in a word, the spaces around it included."""
    found = []
    for word in (f" {word} " for word in text.split()):
        for count in range(2, 5):
            found += [word[at : at + count] for at in range(max(1, len(word) - count + 1))]
            if len(word) <= count:  # a short word counts once
                break
    return found


PARTS = (("words", words), ("pieces", pieces))


def predict(texts: Sequence[str], folder: Path) -> list[str]:
    """The label of each text by the model in ``folder``; equal to what scikit-learn's pipeline says."""
    parts = [(name, of) for name, of in PARTS if (folder / f"{name}.json").is_file()]
    read = {name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name, _ in parts}
    labels: list[str] = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    rule: dict[str, Any] = json.loads((folder / "rule.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "weights.safetensors")
    found = []
    for text in texts:
        margins, first = weights["intercepts"], 0
        for name, of in parts:
            numbers, idf = read[name], weights[f"idf.{name}"]
            counts = {numbers[part]: n for part, n in Counter(of(text.lower())).items() if part in numbers}
            where = np.array(list(counts), dtype=np.int64)
            values = (1 + np.log(np.array(list(counts.values()), dtype=np.float64))) * idf[where]
            length = float(np.sqrt(values @ values))
            margins = margins + weights["coefficients"][:, first + where] @ (values / length if length else values)
            first += len(idf)
        scores = np.array([-margins[0], margins[0]]) / 2 if len(margins) == 1 else margins
        found.append(decided([labels[number] for number in weights["classes"]], scores, rule))
    return found


def decided(labels: Sequence[str], margins: np.ndarray, rule: dict[str, Any]) -> str:
    """The likeliest label; a rare one, or the one for "none of these", by the threshold that was fitted."""
    likeliest = labels[int(margins.argmax())]
    if rule.get("label") not in labels:
        return likeliest
    shares = np.exp((margins - margins.max()) / rule["temperature"])
    shares /= shares.sum()
    at = labels.index(rule["label"])
    others = shares.copy()
    others[at] = -1.0
    other = int(others.argmax())
    if rule["kind"] == "rare":
        return rule["label"] if shares[at] >= rule["threshold"] else labels[other]
    return rule["label"] if shares[other] < rule["threshold"] else likeliest


if __name__ == "__main__":
    for label in predict(sys.argv[1:], Path(__file__).resolve().parent):
        print(label)
