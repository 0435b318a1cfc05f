"""The report: what the page shows and what a program reads, made from records and artifacts of the run.

    report = build_report(run, config, schema, outcome, answer)        # plain JSON

The sentences of the headline are written here, the page only draws them.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from tuneproof.config import Config, describe
from tuneproof.device import machine
from tuneproof.evaluate import measure, prompted, repeated
from tuneproof.evaluate.calibrate import expected_error
from tuneproof.evaluate.card import usage
from tuneproof.evaluate.curves import curves
from tuneproof.evaluate.fairness import fairness
from tuneproof.evaluate.folds import folds
from tuneproof.evaluate.forgetting import told
from tuneproof.evaluate.headline import ahead, headline, strongest, with_noise
from tuneproof.evaluate.measures import MEASURES
from tuneproof.evaluate.outcome import Outcome, System
from tuneproof.evaluate.overfitting import learnt_by_heart
from tuneproof.evaluate.slices import report_slices
from tuneproof.evaluate.written import leads, written
from tuneproof.page.words import METRICS
from tuneproof.records import Prediction, Schema
from tuneproof.run import Run
from tuneproof.stats.power import power_line, power_line_mean
from tuneproof.tasks import Answer, kept, rules, task_of


def build_report(run: Run, config: Config, schema: Schema, outcome: Outcome, answer: Answer) -> dict[str, Any]:
    """JSON as docs/evaluate.md describes it."""
    plan, asked, ledger = run.plan, run.asked, run.ledger
    tokens = run.read_json("data/tokens.json")
    scores = _scores(outcome, answer)
    said, word = headline(outcome, answer, plan["model"]["name"])
    if outcome.prompted is not None and (more := prompted.headline(outcome.prompted)):
        said = f"{said} {more}"
    repeats = _repeats(run, outcome, answer)
    said, word = with_noise(said, word, repeats["seeds"])
    if outcome.overfitting is not None and outcome.overfitting["verdict"] == "overfitted":
        said = f"{said} {learnt_by_heart(outcome.overfitting)}"
    if outcome.about.get("leaked"):
        said = f"NOT FAIR, {outcome.about['leaked']:,} of these rows were trained on. {said}"
    return {
        "headline": said,
        "verdict": word,
        "evaluation": dict(outcome.about),
        "run": {
            "id": run.id,
            "created": asked["created"],
            "task": schema.task,
            "model": plan["model"]["name"],
            "model_licence": plan["model"]["licence"],
            "method": config.method.name,
            "seed": config.train.seed,
            "command": asked["command"],
            "tuneproof": version("tuneproof"),
            "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
            "machine": machine().describe(),
        },
        "data": {
            "file": asked["file"],
            "test_file": asked["config"].get("data", {}).get("test"),
            "rows_in": dict(ledger.rows_in),
            "reasons": list(schema.reasons),
            "fields": dict(schema.fields),
            "group": schema.group,
            "labels": _label_counts(run, schema),
            "data_id": run.manifest["data_id"],
        },
        "ledger": run.read_json("data/ledger.json"),
        "doctor": _doctor(run),
        "tokens": tokens["splits"],
        "training_view": run.read_json("data/report.json")["training_view"],
        "plan": [{"name": name, **setting, "help": describe(name)} for name, setting in plan["settings"].items()],
        "curves": curves(run.metrics(), answer, plan["cost"]["steps"]),
        "scores": scores,
        "classes": _classes(outcome.systems[0].predictions, answer),
        "confusions": _confusions(outcome.systems[0].predictions) if schema.labels else [],
        "rows": _rows(outcome, answer),
        "slices": _slices(outcome, answer, schema.labels),
        "protected": _protected(outcome, config),
        "overfitting": outcome.overfitting,
        **repeats,
        "folds": folds(run, scores) if outcome.about.get("id") == "test" else None,
        "calibration": _calibration(outcome),
        "forgetting": outcome.forgetting,
        "prompted": outcome.prompted,
        "answers": list(outcome.answers),
        "written": _written(outcome, schema.layout),
        "cost": _cost(run, outcome, plan, config),
        "use": [*_instead(run, outcome, answer, word), *_use(run, schema, plan, config)],
        "limits": _limits(outcome, ledger.used["test"], repeats, plan),
    }


def _scores(outcome: Outcome, answer: Answer) -> dict[str, Any]:
    tuned = outcome.systems[0]
    gap = strongest(outcome.systems[1:]).difference
    assert gap is not None
    how = MEASURES[tuned.scores.primary]
    if answer.proportion:
        power = power_line(gap.n, gap.disagreement)
    else:
        scale, unit = (100, "points") if how.share else (1, how.unit)
        power = power_line_mean(gap.n, scale * (gap.error or 0.0) * gap.n**0.5, unit)
    return {
        "primary": tuned.scores.primary,
        "higher_is_better": how.higher_is_better,
        "n": tuned.scores.n,
        "percent": how.share,
        "systems": [_system(system) for system in outcome.systems],
        "metric_help": {name: METRICS[name].meaning for name in tuned.scores.values if name in METRICS},
        "power": power,
        "notes": [*tuned.scores.notes, *_decided(outcome)],
    }


def _decided(outcome: Outcome) -> list[str]:
    """How labels are decided, where not the likeliest one is given."""
    rule = (outcome.calibration or {}).get("rule") or {}
    if not rule:
        return []
    return [f"Decided by a threshold: {rules.told(rule) or 'none'} ({rule['reason']})."]


def _system(system: System) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": system.name,
        "what": system.what,
        "kind": system.kind,
        "values": dict(system.scores.values),
        "interval": [system.interval.low, system.interval.high],
    }
    if system.difference is not None:
        found["difference"] = measure.as_json(system.difference)
    return found


def _label_counts(run: Run, schema: Schema) -> dict[str, dict[str, int]]:
    if not schema.labels:
        return {}
    counts = {name: Counter(table.columns["label"]) for name, table in run.splits.items()}
    return {label: {name: counts[name][label] for name in counts} for label in schema.labels}


def _written(outcome: Outcome, layout: str) -> dict[str, Any] | None:
    """ROUGE of the answers that are shown, where scoring wrote none."""
    if any(prediction.value is not None for prediction in outcome.systems[0].predictions):
        return None
    group = outcome.table.columns.get("group")
    group = None if group is None else group[: len(outcome.answers)]
    return written(outcome.answers, group, leads(outcome.answers, layout))


def _classes(predictions: Sequence[Prediction], answer: Answer) -> list[dict[str, Any]]:
    return [
        {"label": c.label, "n": c.support, "precision": c.precision, "recall": c.recall, "f1": c.f1}
        for c in answer.classes(predictions)
    ]


def _confusions(predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """The 50 most frequent mistakes."""
    pairs = Counter((p.truth, p.value) for p in predictions if p.truth != p.value)
    return [{"truth": truth, "predicted": value, "n": n} for (truth, value), n in pairs.most_common(50)]


def _loss(prediction: Prediction) -> float | None:
    """Nats per unit, or how far a number was off; None where a row has neither, or no unit that was taught."""
    scores = prediction.scores
    if "nll" not in scores:
        return scores.get("absolute_error")
    units = scores.get("tokens", 1.0)
    return scores["nll"] / units if units else None


def _rows(outcome: Outcome, answer: Answer, count: int = 10) -> dict[str, list[dict[str, Any]]]:
    """The rows with the smallest and the largest loss."""
    tuned, last = outcome.systems[0], outcome.systems[-1]
    need = MEASURES[tuned.scores.primary].needs[0]
    losses = [_loss(p) for p in tuned.predictions]
    worth = [  # what was not taught is the furthest off
        loss if loss is not None else math.inf if "nll" in p.scores else -p.scores[need]
        for p, loss in zip(tuned.predictions, losses, strict=True)
    ]
    order = sorted(range(len(losses)), key=lambda index: worth[index])

    def shown(index: int) -> dict[str, Any]:
        p = tuned.predictions[index]
        row = outcome.table.row(index)
        asked, truth = answer.texts(row)
        found = {
            "line": outcome.table.lines[index],
            "source": outcome.table.source,
            "loss": losses[index],
            "text": asked,
            "truth": truth,
        }
        if p.value is None:  # nothing was generated: the reference answer was scored
            return {**found, "base_loss": _loss(last.predictions[index])}
        return {**found, "predicted": answer.said(row, p), "confidence": p.confidence}

    worst = [index for index in reversed(order) if index not in order[:count]][:count]
    return {"best": [shown(index) for index in order[:count]], "worst": [shown(index) for index in worst]}


def _cost(run: Run, outcome: Outcome, plan: Mapping[str, Any], config: Config) -> dict[str, Any]:
    records = run.metrics()
    last = records[-1] if records else {}
    seconds = dict(run.asked.get("seconds", {}))
    trained = seconds.get("train") or last.get("seconds") or 0.0
    steps = plan["cost"]["steps"]
    stopped = last.get("step", steps) < steps
    seconds = {**seconds, "evaluate": round(outcome.seconds, 1)}
    used = [*run.asked.get("joules", {}).values(), *([] if outcome.joules is None else [outcome.joules])]
    price = config.evaluate.price
    return {
        "seconds": seconds,
        "energy_wh": round(sum(used) / 3600, 2) if used else None,
        "price_per_hour": price,
        "money": None if price is None else price * sum(seconds.values()) / 3600,
        "peak_memory_mib": round(max(outcome.peak_bytes, run.asked.get("peak_bytes", 0)) / 2**20),
        "trained_parameters": plan["cost"]["trained_parameters"],
        "all_parameters": plan["cost"]["all_parameters"],
        "rows_per_second": round(last.get("rows", 0) / trained, 1) if trained else None,
        "tokens_per_second": round(last.get("tokens", 0) / trained) if trained else None,
        "early_stop": f"stopped at step {last['step']:,} of {steps:,}: no better for a while" if stopped else "",
    }


def _use(run: Run, schema: Schema, plan: Mapping[str, Any], config: Config) -> list[dict[str, str]]:
    where = shlex.quote(str(run.path))
    lines = [{"title": "On the command line", "code": f"tuneproof predict {where} --input rows.csv"}]
    if "answer" in task_of(schema).answer.shows and config.evaluate.max_new_tokens is not None:
        lines = [{"title": "Talk to it", "code": f"tuneproof chat {where}"}, *lines]
    lines.append(
        {"title": "In Python", "code": f'import tuneproof as tp\nrun = tp.open("{run.path}")\nrun.predict(["..."])'}
    )
    code = usage(run, config, task_of(schema).answer, schema.outputs, plan["model"]["path"])
    lines.append({"title": "Without tuneproof", "code": code})
    return lines


def _repeats(run: Run, outcome: Outcome, answer: Answer) -> dict[str, Any]:
    """What trainings with other seeds and on fewer rows say; None where nobody asked for them."""
    tuned, best = outcome.systems[0].predictions, strongest(outcome.systems[1:])
    ids, groups = outcome.table.columns["id"], outcome.table.columns.get("group")
    found = repeated.seeds(run, ids, tuned, (best.name, best.predictions), answer, groups)
    noise = None if found is None else found["spread"]
    curve = repeated.learning_curve(run, ids, tuned, answer, groups, noise)
    return {"seeds": found, "learning_curve": curve}


def _limits(outcome: Outcome, test_rows: int, repeats: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    scored, seeds = len(outcome.table), repeats["seeds"]
    limits = ["Training noise was not measured: this is one seed."] if seeds is None else [seeds["sentence"]]
    if outcome.overfitting is not None and outcome.overfitting["verdict"] in ("overfitted", "cannot tell"):
        limits.append(outcome.overfitting["sentence"])
    if not plan["model"].get("trained", True):
        limits.append(f"{plan['model']['name']} was never trained before this file: it knows nothing else.")
    limits += told(outcome.forgetting) if outcome.forgetting is not None else []
    if scored < test_rows:
        limits.append(
            f"{scored:,} of {test_rows:,} test rows were scored, chosen by hash, to keep within the time given."
        )
    if outcome.about.get("uses"):
        limits.append(f"{outcome.about['uses'][:1].upper()}{outcome.about['uses'][1:]}.")
    if outcome.about.get("leaked"):
        limits.append(f"{outcome.about['leaked']:,} of these rows were trained on: the scores are too good.")
    return limits


def _doctor(run: Run, most: int = 5) -> list[dict[str, Any]]:
    """What each check of the data found, with ``most`` findings each; all of them are on the data page."""
    checks = run.read_json("data/report.json")["checks"]
    return [{**check, "findings": check["findings"][:most]} for check in checks]


def _slices(outcome: Outcome, answer: Answer, labels: tuple[str, ...]) -> dict[str, Any]:
    """Every part of the rows, the tuned model there, and its difference to the strongest baseline."""
    best = strongest(outcome.systems[1:])
    found = report_slices(
        outcome.slices,
        outcome.systems[0].predictions,
        best.predictions,
        outcome.table.columns.get("group"),
        MEASURES[best.scores.primary],
        labels,
    )
    return {"baseline": best.name, **found}


def _protected(outcome: Outcome, config: Config) -> dict[str, Any] | None:
    """Rates by the groups of the protected column, where one was declared."""
    column = config.evaluate.protected
    if column is None:
        return None
    groups = outcome.table.columns[kept.PREFIX + column]
    favourable, seed = config.evaluate.favourable, config.train.seed
    return {"column": column, **fairness(groups, outcome.systems[0].predictions, favourable, seed)}


def _calibration(outcome: Outcome) -> dict[str, Any] | None:
    """The temperature as it was fitted, and the confidences on the test rows with it and without."""
    tuned = outcome.systems[0]
    if outcome.calibration is None or tuned.calibration is None:
        return None
    changed = any("raw_confidence" in p.scores for p in tuned.predictions)
    return {
        "temperature": outcome.calibration,
        "test": tuned.calibration,
        "before": expected_error(tuned.predictions, raw=True) if changed else None,
        "nll_before": sum(p.scores["raw_nll"] for p in tuned.predictions) / len(tuned.predictions) if changed else None,
    }


def _instead(run: Run, outcome: Outcome, answer: Answer, word: str) -> list[dict[str, str]]:
    """The command that keeps the baseline, where tuning did not beat it and it can be kept."""
    best = strongest(outcome.systems[1:])
    if word == "better" or not best.save or not any(one is best for one in ahead(outcome.systems)):
        return []
    code = best.save.replace("RUN", shlex.quote(str(run.path))).replace("FOLDER", "tfidf")
    return [{"title": f"Instead of the tuned model: {best.name}", "code": code}]
