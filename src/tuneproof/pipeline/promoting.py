"""A registered version weighed against the one that is served: the evidence for ``deploy.gate``, and what follows.

    add("runs/reviews-7f3a", "reviews", view=Quiet())                      # reviews@9, with vectors to know it by
    weigh("reviews@9", Weighing(policy=Policy()), view=Quiet()).verdict    # "promoted", "rejected" or "held"

Both versions answer the champion's test rows here and now, opened as the server opens them; what was written down
before counts for nothing. A row that both answer alike adds nothing to their difference, so only others need a label.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tuneproof.deploy import gate
from tuneproof.deploy.export.subject import Subject
from tuneproof.deploy.gate import Policy, Rule
from tuneproof.deploy.registry import Registry, Version, canaries
from tuneproof.deploy.registry.books import promoted
from tuneproof.deploy.registry.canaries import shares
from tuneproof.deploy.registry.home import CHALLENGER, CHAMPION, Reference, checked
from tuneproof.deploy.vectors import FILE, LIMIT, distance, vectors
from tuneproof.device import machine, settle
from tuneproof.errors import CheckError, ConfigError, DataError, Error
from tuneproof.evaluate.calibrate import expected_error
from tuneproof.evaluate.leaks import Leaks, question_key
from tuneproof.evaluate.measures import MEASURES, Item, Measure, Pairs
from tuneproof.evaluate.score import scored_rows
from tuneproof.evaluate.slices import gate as gate_slices
from tuneproof.evaluate.slices import slice_names
from tuneproof.pipeline.view import View
from tuneproof.predict import Predictor, predict_examples
from tuneproof.prepare.read import read
from tuneproof.records import Prediction, Row, Table
from tuneproof.run import Run, write_atomically
from tuneproof.sources import admit
from tuneproof.stats.paired import difference
from tuneproof.tasks.layouts import Unusable

TIMED = 50  # requests one by one; the 95th percentile of them is compared
ROUNDS = 3  # a slower challenger is timed again: a neighbour on the machine does not decide


@dataclass(frozen=True, slots=True)
class Weighing:
    """How to weigh: against which alias or version, by which policy, with which files."""

    against: str = CHAMPION
    policy: Policy = field(default_factory=Policy)
    dry_run: bool = False
    labels: Path | None = None  # rows from after the champion's data, labelled where the two disagree
    pool: Path | None = None  # rows nobody has labelled, from which a hold chooses
    to_label: Path | None = None  # where a hold writes the rows, those to label first
    canary: Sequence[float] = ()  # shares of the requests by which it becomes the champion, instead of at once


@dataclass(frozen=True, slots=True)
class Weighed:
    """What came of it."""

    version: Version
    against: Version | None
    verdict: str  # "promoted", "rejected" or "held"
    rules: Sequence[Rule]
    need: dict[str, int]
    to_label: int = 0  # rows that were written to be labelled


def add(path: str | Path, name: str, *, view: View) -> Version:
    """The run as the next version of ``name``, with the answers by which it is known again."""
    run = Run.open(path)
    checked(name)
    view.say("Keeping what it answers to 64 test rows.")
    kept = json.dumps(vectors(Subject.open(run, name)), separators=(",", ":")).encode()
    return Registry().register(run, name, {FILE: kept})


def weigh(reference: str, asked: Weighing, *, view: View, registry: Registry | None = None) -> Weighed:
    """Weighs, and unless it is a dry run writes the decision down and moves the aliases.

    ConfigError for a version that is served already, CheckError for one that was changed or that was trained on the
    rows it is asked about, BusyError when another process is deciding about the same name.
    """
    books = registry or Registry()
    name = Reference.of(reference).name
    with books.deciding(name) as now:
        version = books.resolve(reference)
        against = _against(books, version, now, asked.against)
        if asked.canary:
            _may_be_tried(books, version, asked.against, now)
        settle(machine().cores)
        rules, to_label = _rules(version, against, asked, view)
        word = gate.verdict(rules)
        need = {rows: total for rule in rules for rows, total in rule.need.items()}
        found = Weighed(version, against, word, rules, need, to_label)
        if not asked.dry_run:
            _write_down(books, found, now, asked.canary)
    return found


def _against(books: Registry, version: Version, now: dict[str, int], which: str) -> Version | None:
    if which == CHAMPION and CHAMPION not in now:
        return None
    against = books.resolve(f"{version.name}@{which.rpartition('@')[2]}")
    if against.number == version.number:
        raise ConfigError(f"{version.label} is {which} already.", "Name the version that is to replace it.")
    return against


def _may_be_tried(books: Registry, version: Version, against: str, now: dict[str, int]) -> None:
    """ConfigError where a canary of this version could not begin."""
    lines = books.ledger(version.name)
    going, before = canaries.under_way(lines), canaries.stopped(lines, version.number)
    if CHAMPION not in now or against != CHAMPION:
        raise ConfigError("A canary shares the requests with the champion.", "Leave out --canary, or --against.")
    if going is not None:
        raise ConfigError(
            f"A canary of {version.name}@{going.version} is under way.", f"End it: tuneproof rollback {version.name}"
        )
    if before:
        raise ConfigError(f"A canary of {version.label} was stopped: {before}.", "Register another version.")


def _write_down(books: Registry, found: Weighed, now: dict[str, int], steps: Sequence[float]) -> None:
    version = found.version
    aliases = dict(now)
    if found.verdict == "promoted":
        aliases = {**now, CHALLENGER: version.number} if steps else promoted(now, version.number)
    elif found.verdict == "rejected" and now.get(CHALLENGER) == version.number:
        del aliases[CHALLENGER]
    elif found.verdict == "held":
        aliases[CHALLENGER] = version.number
    what = found.verdict
    facts: dict[str, Any] = {"told": "; ".join(f"{rule.id} {rule.word}" for rule in found.rules)}
    if steps and found.verdict == "promoted":
        what = canaries.PASSED
        facts = {"told": f"{facts['told']}; canary of {shares(steps)}", "steps": list(steps)}
    evidence = {
        "version": version.label,
        "manifest": version.sha256,
        "against": found.against.label if found.against else None,
        "verdict": found.verdict,
        "rules": [dataclasses.asdict(rule) for rule in found.rules],
        "need": found.need,
    }
    books.decide(version.name, what, version, aliases, expected=now, facts=facts, gate=evidence)


def weighed_lines(found: Weighed, asked: Weighing) -> list[str]:
    """The verdict as a person reads it: each rule, and what would decide those that are open."""
    against = f" against {found.against.label}" if found.against else ", the first of its name"
    dry = " (dry run: nothing was changed)" if asked.dry_run else ""
    lines = [f"{found.version.label}{against}: {found.verdict}{dry}"]
    if asked.canary and found.verdict == "promoted":
        lines[0] = f"{found.version.label}{against}: passed{dry}"
    lines += [f"  {rule.id}  {rule.word:4}  {rule.what}: {rule.told}." for rule in found.rules]
    lines += [f"  It would take {total:,} rows of the {rows} to tell." for rows, total in found.need.items()]
    if asked.canary and found.verdict == "promoted" and not asked.dry_run:
        name = found.version.name
        lines.append(f"  Servers of {name} give it {shares(asked.canary)} of the requests, and promote it at the end.")
        lines.append(f"  How far it is: tuneproof registry show {name}. To end it: tuneproof rollback {name}")
    if found.to_label:
        lines.append(
            f"  {found.to_label:,} rows to label, the first ones of {asked.to_label}; the others need no label."
        )
        lines.append(f"  Then: tuneproof promote {found.version.label} --labels {asked.to_label}")
    return lines


# -- the rules


def _rules(version: Version, against: Version | None, asked: Weighing, view: View) -> tuple[list[Rule], int]:
    rules = [_integrity(version, view)]
    if against is None or rules[0].word == "fail":
        return rules, 0
    rules.append(_contract(version, against))
    if rules[1].word == "fail":
        return rules, 0
    _refuse_leaks(version, against)
    old, new = Predictor.open(against.run), Predictor.open(version.run)
    measure = MEASURES[new.answer.primary]
    table = against.run.splits.test
    table = table.take(scored_rows(table, old.config.evaluate.test_rows))
    view.say(f"Both answer the {len(table):,} test rows of {against.label}.")
    said = [_answers(predictor, table) for predictor in (old, new)]
    pairs = _pairs(table, said, new)
    gap = measure.difference(pairs)
    values = [measure.value(side, new.schema.labels) for side in (pairs.b, pairs.a)]
    told = ", champion ".join("-" if value is None else measure.written(value) for value in values)
    rules.append(
        gate.primary(
            "G2",
            "frozen test",
            gap,
            asked.policy,
            higher_is_better=measure.higher_is_better,
            told=f"{new.answer.primary} {told} on {len(table):,} rows, {_gap(gap, measure)}",
        )
    )
    rules += _fresh(version, against, (old, new), asked, measure)
    texts = [new.answer.texts(row)[0] for row in table.rows()]
    named = slice_names(table, said[0], texts, bool(new.schema.labels))
    parts = [{column: values[index] for column, values in named.items()} for index in range(len(table))]
    rules.append(gate.slices(gate_slices(pairs, parts, measure)))
    rules.append(gate.forgetting(_forgot(against), _forgot(version), asked.policy))
    rules.append(gate.calibration(expected_error(said[0]), expected_error(said[1]), asked.policy))
    rules.append(gate.cost(_seconds((old, new), table, asked.policy), _bytes(against, version), asked.policy))
    return rules, _write_rows(rules, (old, new), asked)


def _gap(gap: Any, measure: Measure) -> str:
    return "no difference can be given" if gap.value is None else f"a difference of {measure.gap(gap)}"


def _integrity(version: Version, view: View) -> Rule:
    """Files were matched with the manifest when it was resolved; here they are admitted and answer as registered."""
    view.say(f"Asking {version.label} what it was asked when it was registered.")
    try:
        admit(version.path / "model")
    except Error as error:
        return Rule("G0", "integrity", "fail", error.message.rstrip("."))
    if not (version.path / FILE).is_file():
        return Rule("G0", "integrity", "fail", "it was registered without answers to know it by: register it again")
    kept = json.loads((version.path / FILE).read_text(encoding="utf-8"))
    gap = distance(Subject.open(version.run, version.label), kept)
    word: gate.Word = "pass" if gap <= LIMIT else "fail"
    told = f"files as registered, safetensors only, its answers off by {gap:.1g} at most"
    return Rule("G0", "integrity", word, told, {"distance": gap})


def _contract(version: Version, against: Version) -> Rule:
    """Whoever asks the champion can ask the challenger, and gets answers of the same kind."""
    ours, theirs = version.manifest, against.manifest
    missing = sorted(set(theirs["labels"]) - set(ours["labels"]))
    parts = [set(each.run.schema.fields) for each in (version, against)]
    fault = ""
    if ours["task"] != theirs["task"]:
        fault = f"it is for {ours['task']}, the champion for {theirs['task']}"
    elif missing:
        fault = f"it does not know {len(missing)} of the champion's labels: {', '.join(missing[:5])}"
    elif ours["template"] != theirs["template"]:
        fault = "it reads a question through another template or tokenizer, so a loss of one is not that of the other"
    elif parts[0] != parts[1]:
        fault = f"its rows have the parts {', '.join(sorted(parts[0]))}, the champion's {', '.join(sorted(parts[1]))}"
    return Rule("G1", "contract", "fail" if fault else "pass", fault or "same task, labels and parts of a row")


def _refuse_leaks(version: Version, against: Version) -> None:
    """The champion's test rows are frozen: whoever was trained on one of them is not weighed by them."""
    splits, frozen = version.run.splits, against.run.splits.test
    known = {str(id) for side in (splits.train, splits.validation) for id in side.columns["id"]}
    ids = [id for id in frozen.columns["id"] if str(id) in known]
    asked = Leaks().of(version.run, [question_key(row) for row in frozen.rows()])
    if ids or asked:
        raise CheckError(
            f"{version.label} was trained on {max(len(ids), len(asked)):,} of the {len(frozen):,} frozen test rows of "
            f"{against.label}.",
            "Tune it without them, for example with the champion's test rows as --test.",
        )


def _answers(predictor: Predictor, table: Table) -> list[Prediction]:
    answer, encoder = predictor.answer, predictor.encoder
    labelled = answer.labelled([*table.rows()], predictor.schema)
    examples = [encoder.cut(answer.example(row, encoder)) for row in labelled]
    return predict_examples(predictor.model, answer, encoder, examples, "fp32")


def _pairs(table: Table, said: Sequence[Sequence[Prediction]], new: Predictor) -> Pairs:
    a, b = ([Item(p.truth, p.value, dict(p.scores)) for p in side] for side in said)
    groups = [str(group) for group in table.columns.get("group", table.columns["id"])]
    return Pairs(a, b, groups if len(set(groups)) < len(groups) else None, new.schema.labels)


def _forgot(version: Version) -> dict[str, Any]:
    file = version.path / "eval" / "forgetting.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def _bytes(against: Version, version: Version) -> tuple[int, int]:
    return against.manifest["size"], version.manifest["size"]


def _seconds(both: tuple[Predictor, Predictor], table: Table, policy: Policy) -> tuple[float, float]:
    """95th percentiles of single requests, the two taking turns; again while the second seems too slow."""
    rows = table.take(range(min(TIMED, len(table))))
    examples = []
    for predictor in both:
        labelled = predictor.answer.labelled([*rows.rows()], predictor.schema)
        encoder = predictor.encoder
        examples.append([encoder.cut(predictor.answer.example(row, encoder)) for row in labelled])
    for _ in range(ROUNDS):
        times: tuple[list[float], list[float]] = ([], [])
        for index in range(len(rows)):
            for side, predictor in enumerate(both):
                began = time.perf_counter()
                one = [examples[side][index]]
                predict_examples(predictor.model, predictor.answer, predictor.encoder, one, "fp32")
                times[side].append(time.perf_counter() - began)
        old, new = (float(np.quantile(side, 0.95)) for side in times)
        if new <= policy.latency * old:
            break
    return old, new


# -- fresh labels, and what to label


def _fresh(
    version: Version, against: Version, both: tuple[Predictor, Predictor], asked: Weighing, measure: Measure
) -> list[Rule]:
    """G3 on labelled rows from elsewhere; a row that both answer alike needs no label."""
    policy = asked.policy
    if asked.labels is None:
        if not policy.fresh:
            return []
        need = {"fresh test": policy.fresh_rows}
        return [Rule("G3", "primary metric, fresh test", "hold", "the policy asks for fresh labels", need=need)]
    if "label" not in both[1].schema.fields:
        raise ConfigError(f"Fresh labels are for tasks with labels; this is {version.manifest['task']}.")
    questions, labels, lines = _rows_of(asked.labels, both[1])
    known, leaks = [question_key(row) for row in questions], Leaks()
    for each in (version, against):
        leaked = leaks.of(each.run, known)
        if leaked:
            line = lines[known.index(leaked[0])]
            raise CheckError(
                f"{asked.labels}, line {line}: {len(leaked):,} rows were in the training rows of {each.label}.",
                "Take them out: fresh labels are of rows that neither was trained on.",
            )
    said = [[p.value for p in predictor(questions)] for predictor in both]
    taken = _labelled(questions, said, labels, [f"{asked.labels}, line {line}" for line in lines])
    right = [[float(side[row] == (labels[row] or side[row])) for row in taken] for side in said]
    gap = difference(*right)
    told = f"{len(taken):,} fresh rows, {gap.discordant}, {_gap(gap, MEASURES['accuracy'])}"
    rule = gate.primary("G3", "fresh test", gap, policy, higher_is_better=True, told=told)
    if len(taken) < policy.fresh_rows and rule.word != "hold":
        short = f"{told}: fewer than the {policy.fresh_rows} that decide"
        rule = dataclasses.replace(rule, word="hold", told=short, need={"fresh test": policy.fresh_rows})
    return [rule]


def _labelled(
    questions: Sequence[Row], said: Sequence[Sequence[Any]], labels: Sequence[str | None], places: Sequence[str]
) -> list[int]:
    """The rows that count: where only the first of those answered differently are labelled, as large a share of others.

    The first in the order of the draw are a sample of all. All of the others beside a few of them would show a smaller
    difference than there is, and "not worse" would be found where it is not.
    """
    order = sorted(range(len(questions)), key=lambda row: _drawn(questions[row]))
    differ = [row for row in order if said[0][row] != said[1][row]]
    alike = [row for row in order if said[0][row] == said[1][row]]
    done = next((place for place, row in enumerate(differ) if labels[row] is None), len(differ))
    if done < len(differ) and (done == 0 or any(labels[row] is not None for row in differ[done:])):
        raise DataError(
            f"{places[differ[done]]}: the two answer differently here, and the row has no label.",
            "Label the rows from the first one; those behind the last label may stay empty.",
        )
    return differ[:done] + alike[: round(len(alike) * done / len(differ)) if differ else len(alike)]


def _rows_of(file: Path, predictor: Predictor) -> tuple[list[dict[str, Any]], list[str | None], list[int]]:
    """Questions, labels (None where empty) and lines of a file with the columns of the run's own."""
    table, schema = read(file, own=False), predictor.schema
    questions, labels = [], []
    for row, line in zip(table.rows(), table.lines, strict=True):
        try:
            questions.append(predictor.answer.ask(row, schema))
        except (Unusable, KeyError) as error:
            raise DataError(f"{file}, line {line}: {error}.", "It needs the columns that the model asks for.") from None
        told = row.get(schema.fields.get("label", ""), None)
        label = None if told is None or not str(told).strip() else str(told).strip()
        if label is not None and label not in schema.labels:
            raise DataError(f'{file}, line {line}: the label "{label}" is not among the {len(schema.labels)} known.')
        labels.append(label)
    return questions, labels, list(table.lines)


def _write_rows(rules: Sequence[Rule], both: tuple[Predictor, Predictor], asked: Weighing) -> int:
    """After a hold: as many rows of the pool as would decide, those to label first, each kind as drawn; how many."""
    if gate.verdict(rules) != "held" or asked.pool is None or asked.to_label is None:
        return 0
    questions, _, _ = _rows_of(asked.pool, both[1])
    needs = [total for rule in rules for total in rule.need.values()]
    chosen = sorted(questions, key=_drawn)[: max(needs, default=len(questions))]
    said = [predictor(chosen) for predictor in both]
    found = []
    for question, old, new in zip(chosen, *said, strict=True):
        found.append((old.value != new.value, question, old.value, new.value))
    found.sort(key=lambda row: not row[0])
    write_atomically(asked.to_label, _sheet(found, both[1]).encode("utf-8"))
    return sum(useful for useful, *_ in found)


def _drawn(question: Row) -> bytes:
    return hashlib.sha256(f"to label {json.dumps(question, sort_keys=True)}".encode()).digest()


def _sheet(found: Sequence[tuple[bool, dict[str, Any], Any, Any]], predictor: Predictor) -> str:
    """A CSV under the run's own column names; where the two agree, nothing needs to be filled in."""
    fields = predictor.schema.fields
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = list(found[0][1]) if found else ["text"]
    writer.writerow(
        [*(fields.get(part, part) for part in parts), fields["label"], "champion", "challenger", "label it"]
    )
    for useful, question, old, new in found:
        writer.writerow([*(question[part] for part in parts), "", old, new, "yes" if useful else "no"])
    return out.getvalue()
