"""Two real data sets, small enough to try everything on, made from artifacts that the package index keeps.

    build = DEMOS["demo:reviews"].build        # (archive, folder) -> folder/reviews.csv

demo:reviews   3,708 sentences of 300 Amazon product reviews (Hutto and Gilbert, ICWSM 2014), each rated by 20 people
               from -4 to 4. Three classes by the mean rating: positive from .5, negative to -.5, neutral between. The
               standard error of such a mean is .15 (median) and below .23 for nine sentences of ten, so that at .5 the
               sign of the mean is known and between the raters do not agree on one. That gives 1,750 positive, 1,235
               negative and 723 neutral. The review number is the group: its sentences belong on one side of a split.
demo:support   1,810 questions with an answer from the ChatterBot corpus: 1,050 of technical support, of which only 10
               differ, 184 of programming help, of which 98 do, and 576 of ten topics of small talk and knowledge. The
               repetitions are kept: counting them is the work of prepare. Three questions have a second answer in the
               corpus; the first is taken.

It deliberately drops no row: the numbers above are the numbers of the files.
"""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tuneproof.errors import DataError
from tuneproof.sources.catalog import PINS, Pin
from tuneproof.sources.packages import extract

THRESHOLD = 0.5  # mean rating from which a sentence counts as positive, or with a minus as negative
REVIEWS = "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt"
SUPPORT = (
    "tech_support",
    "coding",
    "ai",
    "trivia",
    "psychology",
    "science",
    "money",
    "history",
    "food",
    "movies",
    "politics",
    "greetings",
)
ROLES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Demo:
    """How a demonstration data set is made, and what its columns mean."""

    pin: Pin
    file: str
    hints: Mapping[str, str]
    note: str
    build: Callable[[Path, Path], None]  # (archive, empty folder)
    version: int = 1  # a change of it makes cached files be made anew


def _reviews(archive: Path, folder: Path) -> None:
    inner = extract(archive, DEMOS["demo:reviews"].pin.member, folder, lambda _: True)[0]
    source = extract(inner, REVIEWS, folder, lambda _: True)[0]
    raw = source.read_bytes().decode("utf-8-sig")
    with (folder / "reviews.csv").open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label", "rating", "review"])
        for number, line in enumerate(filter(None, raw.split("\r\n")), 1):
            parts = line.split("\t")
            if len(parts) != 3 or not re.fullmatch(r"\d+_\d+", parts[0]):
                raise DataError(f"{source.name}, line {number}, is not id, rating, text.", "Fetch it again.")
            # some were escaped twice: "at &amp;#38; t"
            writer.writerow(
                [html.unescape(html.unescape(parts[2])), label(float(parts[1])), parts[1], parts[0].split("_")[0]]
            )
    inner.unlink()
    source.unlink()


def label(rating: float) -> str:
    """The class of a mean rating between -4 and 4."""
    return "positive" if rating >= THRESHOLD else "negative" if rating <= -THRESHOLD else "neutral"


def _support(archive: Path, folder: Path) -> None:
    from tuneproof.optional import need

    yaml = need("yaml", extra="gguf")
    with (folder / "support.jsonl").open("x", encoding="utf-8") as file:
        for topic in SUPPORT:
            source = extract(archive, f"{DEMOS['demo:support'].pin.member}{topic}.yml", folder, lambda _: True)[0]
            content = yaml.safe_load(source.read_bytes().decode("utf-8"))
            for turns in content["conversations"]:
                if len(turns) < 2:
                    raise DataError(f"{source.name} has a dialogue of {len(turns)} turns.", "Fetch it again.")
                messages = [
                    {"role": role, "content": str(turn).strip()} for role, turn in zip(ROLES, turns[:2], strict=True)
                ]
                file.write(json.dumps({"messages": messages, "topic": topic}, ensure_ascii=False) + "\n")
            source.unlink()


DEMOS: dict[str, Demo] = {
    "demo:reviews": Demo(
        pin=PINS["vadersentiment", "3.3.2"],
        file="reviews.csv",
        hints={"task": "text-classification", "text": "text", "label": "label", "group": "review"},
        note="sentences of product reviews, rated by 20 people each (Hutto and Gilbert, ICWSM 2014)",
        build=_reviews,
    ),
    "demo:support": Demo(
        pin=PINS["chatterbot-corpus", "1.3.3"],
        file="support.jsonl",
        hints={"task": "instruction"},
        note="questions and answers of technical support, programming and small talk (ChatterBot corpus)",
        build=_support,
        version=2,
    ),
}
