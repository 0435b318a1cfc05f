"""What a finished run is asked later: to be scored again, on other rows or by other columns, or to give up a baseline.

    score_again("runs/reviews-7f3a", Again(data=Path("new.csv"), slices=("country",)), view=Quiet())
    keep_baseline("runs/reviews-7f3a", Path("tfidf"))

Scoring goes the way that ``tune`` goes at its end: same code, same baselines, same page. Comparing runs reads what this
leaves behind and opens no model: ``tuneproof.evaluate.compare``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneproof.config import Config, Data
from tuneproof.device import machine, settle
from tuneproof.errors import CheckError, ConfigError, DataError, RunError
from tuneproof.evaluate import Subject, calibration_rows, evaluate, tfidf
from tuneproof.evaluate.deciding import deciding
from tuneproof.evaluate.leaks import repeated
from tuneproof.modalities import MODALITIES, Encoder, Example
from tuneproof.pipeline.ready import opponent
from tuneproof.pipeline.view import View
from tuneproof.prepare.check.compared import Compared
from tuneproof.prepare.check.leakage import LEAST
from tuneproof.prepare.clean import clean
from tuneproof.prepare.ledger import changed, file_record
from tuneproof.prepare.mixed import once
from tuneproof.prepare.read import read
from tuneproof.prepare.schema import infer
from tuneproof.prepare.tokens import Encoded, encode
from tuneproof.records import ModelFacts, Schema, Splits, Table
from tuneproof.run import Run
from tuneproof.tasks import Task, kept, rows, several, task_of


@dataclass(frozen=True, slots=True)
class Again:
    """How to score a run once more; without ``data`` its own test rows are meant."""

    data: Path | None = None
    slices: Sequence[str] = ()
    protected: str | None = None
    favourable: str | None = None
    allow_leak: bool = False


def score_again(path: str | Path, asked: Again, *, view: View) -> dict[str, Any]:
    """The report, written to ``eval/test`` or to a folder named after the file and its content.

    RunError for a run that has no model yet, DataError for rows of another task or with other labels, CheckError for
    rows that the model was trained on.
    """
    run = Run.open(path)
    if not run.model.is_dir():
        state = run.asked["state"]
        raise RunError(f"{run.path} has no model yet: it is {state}.", f"Finish it: tuneproof resume {run.path}")
    with run.locked():
        config = _config(run, asked)
        settle(config.train.threads or machine().cores)
        table, leaked = (run.splits.test, 0) if asked.data is None else _other(run, config, asked)
        table = _with_columns(run, table, kept.asked(config), asked.data)
        report = evaluate(run, _subject(run, config, table, leaked, asked.data, opponent(config, view)), view.say)
    view.scored(report)
    return report


def keep_baseline(path: str | Path, to: Path) -> Path:
    """The TF-IDF baseline of a run, trained on its training rows, in a folder of its own that needs no tuneproof."""
    run = Run.open(path)
    schema, config, this = run.schema, run.config, task_of(run.schema)
    if "tfidf-linear" not in this.answer.baselines:
        raise ConfigError(f"{run.path} is for {this.name}, which has no TF-IDF baseline.", "It is one of classifiers.")
    train = run.splits.train
    train = train.take(once(train.columns["id"]))
    if "second" in train.columns:
        raise ConfigError(f"{run.path} is about pairs of texts; the baseline of single texts alone can be kept.")
    number = {label: index for index, label in enumerate(schema.labels)}
    texts = [this.answer.texts(row)[0] for row in train.rows()]
    fitted = tfidf.fit(texts, [number[label] for label in train.columns["label"]], config.train.seed)
    about = (
        f"# TF-IDF baseline of {run.id}\n\nWords, pairs of words and, where they help, pieces of words, weighted by "
        f"TF-IDF, with a linear classifier, trained on {len(train):,} rows.\n\n"
        '    python predict.py "a text"\n\nIt needs numpy and safetensors.\n'
    )
    spared = _spared(run)
    asked = [this.answer.texts(row)[0] for row in spared.rows()]
    examples = [Example([], label=number[label]) for label in spared.columns["label"]]
    decide = deciding(schema, this.answer, examples, lambda: tfidf.logits(fitted, asked, len(number)))
    tfidf.save(fitted, schema.labels, to, about, decide)
    return to


def _config(run: Run, asked: Again) -> Config:
    """The run's own, with the columns that are asked for now; all rows of another file are scored."""
    columns = {
        "evaluate.slices": ",".join(asked.slices) or None,
        "evaluate.protected": asked.protected,
        "evaluate.favourable": asked.favourable,
    }
    named = {name: value for name, value in columns.items() if value is not None}
    config = run.config.replace(named)
    if asked.data is None:
        return config
    return config.model_copy(update={"evaluate": config.evaluate.model_copy(update={"test_rows": None})})


def _other(run: Run, config: Config, asked: Again) -> tuple[Table, int]:
    """Canonical rows of another file, and how many of them were trained on."""
    assert asked.data is not None
    raw, schema, this = read(asked.data, **_how(run.config.data), own=False), run.schema, task_of(run.schema)
    schema = _schema(raw, schema, this)
    table, _ = clean(raw, this.answer, schema, 0.0, duplicates=True)
    _known_labels(table, schema)
    leaked = trained_on(table, run.splits)
    if leaked and not asked.allow_leak:
        first = table.lines[leaked[0]]
        raise CheckError(
            f"{asked.data}, line {first}: {rows.counted(len(leaked), 'row')} of {len(table):,} also "
            f"{'stands' if len(leaked) == 1 else 'stand'}, exactly or nearly, in rows that {run.path} was tuned with.",
            "Remove them, or score them all the same, stamped in the report: --allow-leak",
        )
    return table, len(leaked)


def trained_on(table: Table, splits: Splits) -> list[int]:
    """Numbers of the rows whose question stands in train or validation: exactly, or with a Jaccard index of .8."""
    compared = Compared.of(Splits(splits.train, splits.validation, table))
    near = {
        int(row)
        for side in ("train", "validation")
        for pairs in compared.pairs(side, "test", LEAST)
        for row in pairs.right
    }
    return sorted(near.union(repeated(table, splits.train, splits.validation)))


def _schema(raw: Table, schema: Schema, this: Task) -> Schema:
    """The run's schema, or the file's own columns for the same task; DataError for a file of another task."""
    if set(schema.fields.values()) <= set(raw.columns):
        return schema
    try:
        found = infer(raw, {this.name: this.answer}, Data(task=this.name))
    except DataError as error:
        raise DataError(
            f"{error.message.rstrip('.')}; the run is for {this.name}.",
            f"Its columns were {rows.quoted(list(schema.fields.values()))}.",
        ) from None
    return dataclasses.replace(
        found,
        labels=schema.labels,
        several=schema.several,
        scale=schema.scale,
        rare=schema.rare,
        outside=schema.outside,
        ordinal=schema.ordinal,
    )


def _known_labels(table: Table, schema: Schema) -> None:
    """Every label that is measured must have been taught."""
    several.check_known(table, schema.several)
    for label, line in zip(table.columns.get("label", ()), table.lines, strict=False):
        if label not in schema.labels:
            raise DataError(
                f'{table.source}, line {line}: the label "{label}" is not among the {len(schema.labels)} of the run.',
                "Correct or remove the rows with it, or tune a model that knows it.",
            )


def _with_columns(run: Run, table: Table, names: Sequence[str], data: Path | None) -> Table:
    """The rows with the columns for slices: from the file asked for, or from the run's own files read once more."""
    missing = [name for name in names if kept.PREFIX + name not in table.columns]
    if not missing:
        return table
    if data is not None:
        return kept.attach(table, read(data, **_how(run.config.data), own=False), missing)
    gone = changed(run.manifest)
    if gone:
        raise RunError(
            f"{gone[0]} is gone or was changed since {run.path} began, so its columns cannot be looked up.",
            "Name the columns when tuning: --set evaluate.slices=COLUMN",
        )
    asked, own = run.asked, run.config.data
    files = [Path(path) for path in asked["paths"]]
    raw = read(Path(own.test), **_how(own), own=False) if own.test else read(files, asked["files"], **_how(own))
    return kept.attach(table, raw, missing)


def _how(asked: Data) -> dict[str, Any]:
    """The options by which the run's own files were read."""
    return {"sheet": asked.sheet, "header": asked.header}


def _subject(
    run: Run, config: Config, table: Table, leaked: int, data: Path | None, asks: ModelFacts | None
) -> Subject:
    schema, this, train = run.schema, task_of(run.schema), run.splits.train
    train = train.take(once(train.columns["id"]))
    encoder = MODALITIES[this.modality](run.model, config.model.max_length)
    spared = _spared(run)
    examples: Mapping[str, Any] = _encoded(train, spared, table, schema, this, encoder, config).examples
    return Subject(
        config,
        schema,
        train,
        table,
        {name: examples[name] for name in ("train", "test")},
        examples["validation"],
        spared,
        validation=run.splits.validation,
        opponent=asks,
        id="test" if data is None else evaluation_id(data),
        leaked=leaked,
    )


def _spared(run: Run) -> Table:
    """The validation rows on which temperature and rules were fitted, and on which the baselines fit theirs."""
    held = run.splits.validation
    return held.take(calibration_rows(held.columns["id"]) if run.schema.choices else [])


def _encoded(
    train: Table, spared: Table, test: Table, schema: Schema, this: Task, encoder: Encoder, config: Config
) -> Encoded:
    """Token ids; a row too long is refused or cut as it was in tuning, and never dropped."""
    policy = "cut" if config.data.too_long == "cut" else "refuse"
    splits = encode(Splits(train, spared, train.take([])), schema, this.answer, encoder, "cut")
    own = encode(Splits(test.take([]), test.take([]), test), schema, this.answer, encoder, policy)
    return dataclasses.replace(own, examples={**splits.examples, "test": own.examples["test"]})


def evaluation_id(data: Path) -> str:
    """Names a file and its content, so that the same name stands for the same rows."""
    stem = re.sub(r"[^a-z0-9._-]+", "-", data.stem.lower()).strip("-._")[:40] or "data"
    return f"{stem}-{file_record(data)['sha256'][:8]}"
