"""The model card and the lines that open the model without tuneproof.

write_card(run, report)          # model/README.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tuneproof.config import Config
from tuneproof.methods import METHODS
from tuneproof.run import Run
from tuneproof.tasks import Answer, task
from tuneproof.tasks.entities import types
from tuneproof.tasks.rules import told

POOLED = (
    'batch = tokenizer(["a text"], padding=True, return_tensors="pt")\n'
    "states, mask = model(**batch).last_hidden_state, batch.attention_mask[..., None]\n"
    "vectors = (states * mask).sum(1) / mask.sum(1)  # the mean state, then of length 1\n"
    "vectors = vectors / vectors.norm(dim=-1, keepdim=True)\n"
)


LABELLED = "# the logit of a label: the log probabilities of its tokens as the answer, end of turn included, added\n"
LINES = "# the answer has a line for each entity, TYPE: words, in the order of the text; or none\n"


def usage(run: Run, config: Config, answer: Answer, outputs: int, base: str) -> str:
    """Python that opens ``model/`` with transformers (and peft) alone."""
    pooled = POOLED if "vector" in answer.shows else ""
    return _opening(run, config, answer, outputs, base) + pooled + _asked(run) + _confidence(run) + _number(run)


def _asked(run: Run) -> str:
    """What a chat model has to be asked for its label, or for entities."""
    asked = run.schema.instruction
    if not asked:
        return ""
    labels = ", ".join(run.schema.labels or types([run.schema.tags]))
    reading = LABELLED if run.schema.labels else LINES
    return (
        f"asked = {asked!r}  # filled in: {{labels}} is {labels!r}\n"
        'messages = [{"role": "user", "content": asked}]\n'
        f"{reading}"
    )


def _confidence(run: Run) -> str:
    found = told(run.rule)
    rule = f"# labels as in the report: {found}\n" if found else ""
    if run.temperature == 1:
        return rule
    function = "sigmoid" if run.schema.several else "softmax"
    return f"# probabilities as in the report: {function}(logits / {run.temperature:.6g})\n{rule}"


def _number(run: Run) -> str:
    """How the plain model's output becomes the number, in the unit of the file."""
    if run.schema.scale is None:
        return ""
    mean, scale = run.schema.scale
    return f"# the number: model(**inputs).logits * {scale!r} + {mean!r}\n"


def _opening(run: Run, config: Config, answer: Answer, outputs: int, base: str) -> str:
    folder = str(run.model)
    size = f", num_labels={outputs}" if outputs else ""
    if not METHODS[config.method.name].wrapped:
        return (
            f"from transformers import AutoTokenizer, {answer.auto}\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")\n'
            f'model = {answer.auto}.from_pretrained("{folder}")\n'
        )
    writes = "stopped" in answer.shows
    also = ", GenerationConfig" if writes else ""
    how = f'model.generation_config = GenerationConfig.from_pretrained("{folder}")\n' if writes else ""
    return (
        "from peft import PeftModel\n"
        f"from transformers import AutoTokenizer, {answer.auto}{also}\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")\n'
        f'base = {answer.auto}.from_pretrained("{base}"{size}, dtype="float32")\n'
        f'model = PeftModel.from_pretrained(base, "{folder}")\n{how}'
    )


def write_card(run: Run, report: dict[str, Any]) -> Path:
    """Data, method, scores with intervals, limits and licences, as Markdown with the hub's front matter."""
    about, plan = report["run"], run.plan
    this = task(about["task"])
    systems = "\n".join(_row(system, report["scores"]["primary"]) for system in report["scores"]["systems"])
    dropped = sum(drop["rows"] for drop in report["ledger"]["dropped"])
    rows = ", ".join(f"{n:,} {name}" for name, n in report["ledger"]["used"].items())
    code = usage(run, run.config, this.answer, run.schema.outputs, plan["model"]["path"])
    settings = "\n".join(f"| {s['name']} | {s['value']} | {s['reason']} |" for s in report["plan"])
    text = f"""---
library_name: {"peft" if METHODS[about["method"]].wrapped else "transformers"}
base_model: {about["model"]}
license: {about["model_licence"]}
tags: [tuneproof, {about["task"]}]
---
# {run.id}

{report["headline"]}

Tuned from `{about["model"]}` (revision {plan["model"]["revision"]}, {about["model_licence"]}) by {about["method"]}
tuning for {about["task"]}, with seed {about["seed"]}.

## Use

```python
{code}```

## Scores on {report["scores"]["n"]:,} test rows

| | {report["scores"]["primary"]} | 95% interval |
|---|---|---|
{systems}

{report["scores"]["power"]}.

## Data

`{report["data"]["file"]}`, version `{report["data"]["data_id"][:16]}`: {rows} rows used,
{dropped:,} dropped by named reason.

## Settings

| option | value | reason |
|---|---|---|
{settings}

## Limits

{chr(10).join("- " + limit for limit in report["limits"])}
"""
    run.write_text("model/README.md", text)
    return run.model / "README.md"


def _row(system: dict[str, Any], primary: str) -> str:
    low, high = system["interval"]
    value = system["values"][primary]
    shown = "-" if value is None else f"{value:.4f}"
    bounds = "-" if low is None or high is None else f"{low:.4f} to {high:.4f}"
    return f"| {system['name']} | {shown} | {bounds} |"
