"""Every task on real data: ``tuneproof tune`` with default settings and seed 0, against its baselines.

    python benchmarks/tasks_real.py [--data DIR] [--only clinc150 ...] [--table] [--cut 60]

``DIR`` holds one folder per data set. SETS is the literal table: a row is the files of a run, or a function that writes
them from the files of the set; a translator is made untrained from the train rows. Each run is a process of its own.
Results go to ``benchmarks/results/tasks_real.json`` with commit, versions and hardware, and from there to
``docs/tasks_real.md``; with ``--cut`` about so many rows of each file are run, and what came of it is only printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTHING = "T5 from nothing"  # in place of the folder where it was made
RESULTS = HERE / "results" / "tasks_real.json"
PAGE = HERE.parent / "docs" / "tasks_real.md"
HEAD = (
    "data",
    "model, method",
    "metric",
    "tuned (95% interval)",
    "beside it",
    "baselines",
    "rows",
    "verdict",
    "minutes",
    "commit",
)
ACTS = frozenset(
    ("contentonly", "confirmation", "thankyou", "openinggreeting", "rejection", "closinggreeting", "outofdomain")
)  # of multidogo: what a turn does, and not what a customer wants

UNKNOWN = "openaccount"  # of multidogo: an intent of one test row and of no train row, which the tool refuses, rightly


@dataclass(frozen=True, slots=True)
class Set:
    """A row of the table."""

    task: str
    train: tuple[str, ...]  # files of the set, one run
    test: str
    beside: tuple[str, ...] = ()  # metrics that are shown beside the one that decides
    options: tuple[str, ...] = ()
    derive: Callable[[Path], Iterator[dict[str, Any]]] | None = None  # rows from a file of the set
    note: str = field(default="")
    untrained: tuple[str, str] | None = None  # columns of the two languages for which a model is made from nothing


def intents(file: Path) -> Iterator[dict[str, Any]]:
    """Each customer turn that has one intent, which is known; the conversation stays together."""
    for line in file.read_text(encoding="utf-8").strip("\n").split("\n"):
        turn = json.loads(line)
        if "<div>" in turn["intent"] or turn["intent"] == UNKNOWN:
            continue
        yield {"text": " ".join(turn["tokens"]), "label": turn["intent"], "conversation": turn["conversation"]}


def wishes(file: Path) -> Iterator[dict[str, Any]]:
    """Each conversation's customer turns as one text, with all that the customer wants."""
    texts: dict[str, list[str]] = {}
    wanted: dict[str, set[str]] = {}
    for line in file.read_text(encoding="utf-8").strip("\n").split("\n"):
        turn = json.loads(line)
        texts.setdefault(turn["conversation"], []).append(" ".join(turn["tokens"]))
        wanted.setdefault(turn["conversation"], set()).update(set(turn["intent"].split("<div>")) - ACTS)
    for name, turns in texts.items():
        yield {"text": "\n".join(turns), "labels": sorted(wanted[name])}


def reading(file: Path) -> Iterator[dict[str, Any]]:
    """The reading level of a text as a number: 1 elementary, 2 intermediate, 3 advanced, a step between articles."""
    levels = {"elementary": 1, "intermediate": 2, "advanced": 3}
    for line in file.read_text(encoding="utf-8").strip("\n").split("\n"):
        row = json.loads(line)
        yield {"text": row["text"], "score": levels[row["label"]], "article": row["article"]}


def summed_up(said: str) -> Callable[[Path], Iterator[dict[str, Any]]]:
    """A document with its summary, and what is asked of a chat model as the system message."""

    def rows(file: Path) -> Iterator[dict[str, Any]]:
        for line in file.read_text(encoding="utf-8").strip("\n").split("\n"):
            row = json.loads(line)
            yield {"system": said, "document": row["document"], "summary": row["summary"]}

    return rows


def products(file: Path) -> Iterator[dict[str, Any]]:
    """Offers with the product that they are of, where the file has two of it: one alone is like nothing."""
    with file.open(encoding="utf-8", newline="") as lines:
        offers = list(csv.DictReader(lines))
    count = Counter(row["cluster_id"] for row in offers)
    for row in sorted(offers, key=lambda row: row["cluster_id"]):
        if count[row["cluster_id"]] > 1:
            yield {"text": row["title"], "label": f"product {row['cluster_id']}"}


# Answers to so many test rows are written by both models; all are scored by the loss of the file's answer. By default,
# two passes over the rows, each of the two sets would take three hours of one core without bf16.
MINUTES = 75
SUMMARIES = (
    *("--model", "smollm2-135m-instruct", "--set", "evaluate.answers=100", "--set", "train.accumulate=8"),
    *("--minutes", str(MINUTES)),
)
FIRST = (
    f"ROUGE-L of answers written to the first 100 test rows, against one reference each; not by default, but within "
    f"{MINUTES} minutes of one core without bf16, which is less than one pass over the train rows"
)

SETS: dict[str, Set] = {
    "amazon_google_matching": Set(
        "text-classification", ("train.csv", "valid.csv"), "test.csv", ("rare_precision", "rare_recall", "accuracy")
    ),
    "clinc150": Set(
        "text-classification",
        ("train.jsonl", "val.jsonl"),
        "test.jsonl",
        ("in_scope_accuracy", "out_of_scope_recall", "macro_f1"),
    ),
    "multidogo_finance intents": Set(
        "text-classification",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("macro_f1", "in_scope_accuracy", "out_of_scope_recall"),
        ("--group", "conversation"),
        intents,
        "turns with one intent: 6 of 8,336 and 2 of 2,242 test rows have two; one test row's is no train row's",
    ),
    "multidogo_finance wishes": Set(
        "multi-label-classification",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("macro_f1", "subset_accuracy"),
        ("--too-long", "cut"),
        wishes,
        "whole conversations; labels are the intents of all turns that are no mere acts of talk",
    ),
    "ncbi_disease": Set(
        "token-classification",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("entity_precision", "entity_recall"),
    ),
    "sec_filings_ner": Set(
        "token-classification",
        ("train.jsonl",),
        "test.jsonl",
        ("entity_precision", "entity_recall"),
        ("--too-long", "cut"),
        note="one of 303 test rows is cut at 512 tokens, and its entities behind the cut count as missed",
    ),
    "sec_filings_ner by instruction": Set(
        "instructed-extraction",
        ("train.jsonl",),
        "test.jsonl",
        ("entity_precision", "entity_recall", "answers_failed"),
        ("--model", "smollm2-135m-instruct", "--too-long", "cut"),
        note="the same rows turned into instructions by the task's template",
    ),
    "wnut17": Set(
        "token-classification",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("entity_precision", "entity_recall"),
    ),
    "fashion_brands_ner": Set(
        "token-classification",
        ("train.jsonl",),
        "test.jsonl",
        ("entity_precision", "entity_recall"),
        ("--too-long", "cut"),
    ),
    "multidogo_finance slots": Set(
        "token-classification",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("entity_precision", "entity_recall"),
        ("--group", "conversation"),
    ),
    "cuad_qa_short": Set(
        "question-answering",
        ("train.jsonl",),
        "test.jsonl",
        ("exact_match", "answerable_f1", "no_answer_f1"),
    ),
    "xquad_en": Set("question-answering", ("train.jsonl",), "test.jsonl", ("exact_match",)),
    "covid_qa": Set("question-answering", ("train.jsonl",), "test.jsonl", ("exact_match",)),
    "onestop_english levels": Set(
        "text-regression",
        ("train.jsonl",),
        "test.jsonl",
        ("rmse", "r2", "spearman"),
        ("--too-long", "cut", "--group", "article", "--task", "text-regression"),
        reading,
        "reading levels as the numbers 1 to 3",
    ),
    "scitldr_a": Set(
        "instruction",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("perplexity",),
        SUMMARIES,
        summed_up("Sum up this abstract of a paper in one sentence."),
        FIRST,
    ),
    "mts_dialog": Set(
        "instruction",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("perplexity",),
        (*SUMMARIES, "--too-long", "drop"),
        summed_up("Write the section of the clinical note that this conversation is about."),
        FIRST,
    ),
    "bcontrast_chat_ende": Set(
        "seq2seq",
        ("train.jsonl", "validation.jsonl"),
        "test.jsonl",
        ("bleu", "chrf", "rouge1"),
        ("--task", "seq2seq", "--text", "en", "--label", "de", "--group", "conversation"),
        note="English to German, by a T5 of 6 million weights that knows nothing but these rows",
        untrained=("en", "de"),
    ),
    "diabla_enfr": Set(
        "seq2seq",
        ("train.jsonl",),
        "test.jsonl",
        ("bleu", "chrf", "rouge1"),
        ("--task", "seq2seq", "--text", "en", "--label", "fr", "--group", "dialogue"),
        note="English to French, by a T5 of 6 million weights that knows nothing but these rows",
        untrained=("en", "fr"),
    ),
    "banking77 vectors": Set(
        "embeddings",
        ("train.csv",),
        "test.csv",
        ("recall_at_5", "ndcg_at_10"),
        ("--task", "embeddings", "--text", "text", "--label", "label"),
        note="texts are alike that have one intent; the untuned model is what there was before",
    ),
    "pricerunner_products vectors": Set(
        "embeddings",
        ("train.csv",),
        "test.csv",
        ("recall_at_5", "ndcg_at_10"),
        ("--task", "embeddings", "--text", "text", "--label", "label"),
        products,
        "offers are alike that are of one product; those alone of theirs are left out; no test product was trained on",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--table", action="store_true", help="only write the page from the results")
    parser.add_argument("--cut", type=int, help="only so many rows of each file; printed, and kept nowhere")
    asked = parser.parse_args()
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if not asked.table and not asked.data.is_dir():
        print(f"Skipped: there is no folder {asked.data}; name one with --data.")
        return
    for name, row in SETS.items():
        if asked.table or (asked.only is not None and name not in asked.only):
            continue
        one = run(row, asked.data / name.split()[0], asked.runs / name.replace(" ", "-"), asked.cut)
        print(f"{name}: {one['headline']}", flush=True)
        if asked.cut:
            print(_line(name, one, row.beside), flush=True)
            continue
        found[name] = one
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not asked.cut:
        PAGE.write_text(page(found), encoding="utf-8")


def run(row: Set, folder: Path, runs: Path, cut: int | None = None) -> dict[str, Any]:
    """One tuning in a process of its own; its report in short."""
    began = time.monotonic()
    files = [derived(row, folder / file, runs, cut) for file in (*row.train, row.test)]
    options = ["--test", str(files[-1]), "--runs", str(runs), *row.options, *untrained(row, files[0].parent, runs)]
    started([sys.executable, "-m", "tuneproof.cli", "tune", *map(str, files[:-1]), *options])
    made = max(
        (path for path in runs.iterdir() if (path / "run.json").is_file()), key=lambda path: path.stat().st_mtime
    )
    found = summary(made, time.monotonic() - began)
    if row.untrained is None:
        return found
    return found | {"model": NOTHING, "headline": found["headline"].replace(found["model"], NOTHING)}


def started(command: list[str]) -> None:
    """To its end; what it said ends this program where it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def derived(row: Set, file: Path, runs: Path, cut: int | None) -> Path:
    """The file itself, or the rows that are made of it, or about ``cut`` of either."""
    if row.derive is None and not cut:
        return file
    made = runs / "data" / (f"{file.stem}.jsonl" if row.derive else file.name)
    made.parent.mkdir(parents=True, exist_ok=True)
    if row.derive is None:
        head, *lines = (line + "\n" for line in file.read_text(encoding="utf-8").strip("\n").split("\n"))
        lines = [head, *lines[:: max(1, len(lines) // cut)]]  # rows of a label may stand together
    else:
        lines = [json.dumps(one) + "\n" for one in row.derive(file)]
    made.write_text("".join(lines[: cut and cut + 1]), encoding="utf-8")
    return made


def untrained(row: Set, folder: Path, runs: Path) -> list[str]:
    """The option that names a translator made from nothing but the train rows, where the row asks for one."""
    if row.untrained is None:
        return []
    text, label = row.untrained
    made = runs / "untrained"
    script = [sys.executable, str(HERE / "translate_from_scratch.py"), str(folder)]
    started([*script, "--text", text, "--label", label, "--out", str(made)])
    return ["--model", str(made)]


def summary(run: Path, wall: float) -> dict[str, Any]:
    """What is kept of a run."""
    report = json.loads((run / "eval/test/report.json").read_text(encoding="utf-8"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=True
    )
    return {
        "headline": report["headline"],
        "verdict": report["verdict"],
        "model": report["run"]["model"],
        "method": report["run"]["method"],
        "primary": report["scores"]["primary"],
        "rows": report["scores"]["n"],
        "written": report["written"],
        "systems": {s["name"]: {**s["values"], "interval": s["interval"]} for s in report["scores"]["systems"]},
        "notes": [note for note in report["scores"]["notes"] if note.startswith("Decided")],
        "minutes": round(wall / 60, 1),
        "commit": commit.stdout.strip(),
        "versions": report["run"]["versions"],
        "machine": report["run"]["machine"],
    }


def page(found: dict[str, Any]) -> str:
    """The results as docs/tasks_real.md."""
    lines = [
        "# Every task on real data",
        "",
        "`tuneproof tune` with default settings and seed 0, one run each, on the official test rows. Made by",
        "`python benchmarks/tasks_real.py --data DIR`. Training noise is not in the intervals.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{'---|' * len(HEAD)}",
    ]
    for name, one in found.items():
        lines.append(_line(name, one, SETS[name].beside if name in SETS else ()))
    notes = [f"* {name}: {row.note}." for name, row in SETS.items() if row.note and name in found]
    notes += [f"* {name}: {note}" for name, one in found.items() for note in one["notes"]]
    if found:
        machines = {
            one["machine"]: [name for name, other in found.items() if other["machine"] == one["machine"]]
            for one in found.values()
        }
        usual = max(machines, key=lambda machine: len(machines[machine]))
        others = [f"{', '.join(names)}: {machine}" for machine, names in machines.items() if machine != usual]
        first = next(iter(found.values()))
        versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
        told = "; ".join([usual, *others])
        notes.append(f"* Machine: {told}; shared with other work, so minutes are an upper bound. {versions}.")
    return "\n".join([*lines, "", *notes]) + "\n"


def _line(name: str, one: dict[str, Any], beside: Sequence[str]) -> str:
    (_, tuned), *others = one["systems"].items()
    low, high = tuned["interval"]
    more = "; ".join(_beside(metric, tuned[metric], others) for metric in beside if tuned.get(metric) is not None)
    more += _written(one.get("written"))
    against = "; ".join(f"{title} {values[one['primary']]:.3f}" for title, values in others)
    return (
        f"| {name} | {one['model']}, {one['method']} | {one['primary']} | {tuned[one['primary']]:.3f} "
        f"({low:.3f} to {high:.3f}) | {more} | {against} | {one['rows']:,} | {one['verdict']} | {one['minutes']} | "
        f"{one['commit']} |"
    )


def _beside(metric: str, value: float, others: Sequence[tuple[str, Any]]) -> str:
    """A metric of the tuned model; for BLEU, which has no floor that one knows, those of the others as well."""
    theirs = ", ".join(f"{title} {values[metric]:.3f}" for title, values in others if metric == "bleu")
    return f"{metric} {value:.3f}" + (f" ({theirs})" if theirs else "")


def _written(found: Mapping[str, Any] | None) -> str:
    """ROUGE-L of written answers: the tuned model, the untouched one, and the first sentences of the document."""
    if not found:
        return ""
    leads = [f"{lead['name']} {lead['rougeL']:.3f}" for lead in found["beside"]]
    told = [f"ROUGE-L {found['tuned']['rougeL']:.3f}", f"the untuned model {found['base']['rougeL']:.3f}", *leads]
    return f"; of {found['n']} written: {', '.join(told)}"


if __name__ == "__main__":
    main()
