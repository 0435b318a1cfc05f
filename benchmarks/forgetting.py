"""What measuring forgetting finds: damage done on purpose to real models, and tunings at rising rates.

    python benchmarks/forgetting.py --noise                  # SmolLM2-135M and MiniLM-L6 with noise on their weights
    python benchmarks/forgetting.py --sweep [--data DIR]     # 160 dialogues of taskmaster4_chat, one tuning per rate
    python benchmarks/forgetting.py --table                  # only write docs/forgetting.md and its chart

Noise of 1% adds to each weight a normal number whose spread is 1% of the spread of its tensor's weights, or with
``--each`` 1% of the weight itself (norms, whose weights are alike, then have as much as the rest). A draw is flagged
when tuneproof's own measure finds it measurably worse, or more than 1% of the tokens that were named rightly lost.
Results go to ``benchmarks/results/forgetting.json`` with their commit.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "forgetting.json"
SHARES = (0.0, 0.01, 0.02, 0.05)
RATES = (1e-5, 1e-4, 3e-4, 1e-3)  # of full tuning; the rule of the plan takes 5e-5 for this width
ROWS = 160
PAGE, CHART = HERE.parent / "docs" / "forgetting.md", HERE.parent / "docs" / "forgetting.svg"
WRITER, ENCODER = "smollm2-135m-instruct", "minilm-l6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--models", nargs="*", default=[WRITER, ENCODER])
    parser.add_argument("--shares", nargs="*", type=float, default=list(SHARES))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    parser.add_argument("--each", action="store_true", help="noise of a share of each weight, not of their spread")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--rates", nargs="*", type=float, default=list(RATES))
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--runs", type=Path, default=Path("runs/sweep"))
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.noise:
        for model in asked.models:
            noise(model, asked.shares, range(asked.first, asked.first + asked.draws), each=asked.each)
    if asked.sweep:
        if not asked.data.is_dir():
            print(f"Skipped: there is no folder {asked.data}; name one with --data.")
            return
        for rate in asked.rates:
            sweep(rate, asked.data / "taskmaster4_chat" / "train.jsonl", asked.runs)
    if RESULTS.is_file():
        found = json.loads(RESULTS.read_text())
        PAGE.write_text(page(found), encoding="utf-8")
        if "sweep" in found:
            CHART.write_text(chart(found["sweep"]), encoding="utf-8")


def sweep(rate: float, file: Path, runs: Path) -> None:
    """One whole run of SmolLM2-135M, tuned in full at this rate; what it learnt and what it forgot."""
    import tuneproof as tp

    runs.mkdir(parents=True, exist_ok=True)
    part = runs / "dialogues.jsonl"
    part.write_text("\n".join(file.read_text(encoding="utf-8").split("\n")[:ROWS]), encoding="utf-8")
    options: dict[str, Any] = {"model_name": WRITER, "method_name": "full", "train_epochs": 1, "train_batch_size": 8}
    options |= {"evaluate_answers": 0, "evaluate_retain_documents": 100, "check_effect": False, "train_lr": rate}
    run = tp.tune(part, runs=runs, **options).run
    report = json.loads((run.evaluations / "test" / "report.json").read_text())
    (lost,) = report["forgetting"]["sets"]
    tuned, base = (system["values"]["loss_per_token"] for system in report["scores"]["systems"])
    told = {"task_before": base, "task_after": tuned, **lost["lost"], "verdict": lost["verdict"], "n": lost["n"]}
    kl = report["forgetting"]["kl"]
    keep("sweep", f"{rate:g}", {**told, "kl": kl and kl["value"], "steps": report["curves"]["last_step"]})
    print(f"rate {rate:g}: {told}", flush=True)


def noise(name: str, shares: list[float], draws: range, *, each: bool) -> None:
    """Each draw as soon as it is measured, so that a stopped run leaves what it found."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from tuneproof.device import settle

    settle(2)
    base, about = opened(name)
    measure = measurer(base, about)
    for share in shares:
        for draw in draws if share else draws[:1]:
            began = time.monotonic()
            one = measure(noisy(base.model, share, draw, each=each))
            kind = f"noise {name} {share:g}{' each' if each else ''}"
            keep(kind, str(draw), {**one, "seconds": round(time.monotonic() - began, 1)})
            print(f"{kind}, draw {draw}: {one}", flush=True)


def opened(name: str) -> tuple[Any, dict[str, Any]]:
    """The untouched model as a Predictor, and its facts."""
    import dataclasses

    from tuneproof import sources
    from tuneproof.choose import facts
    from tuneproof.config import build
    from tuneproof.device import bf16_gain
    from tuneproof.modalities import MODALITIES
    from tuneproof.predict import Predictor
    from tuneproof.records import Schema
    from tuneproof.tasks import task

    found = facts(sources.model(name, say=print))
    this = task("instruction" if found.kind == "decoder" else "text-classification")
    labels = () if found.kind == "decoder" else ("a", "b")
    schema = Schema(this.name, "", {}, labels, None, ())
    folder = Path(found.path)
    model = this.answer.model(folder, schema, seed=0).eval()
    config = build({}).replace({"evaluate.precision": "bf16" if bf16_gain() > 1.5 else "fp32"})
    encoder = MODALITIES[this.modality](folder, 256)
    return Predictor(model, this.answer, encoder, schema, config), dataclasses.asdict(found)


def noisy(model: Any, share: float, draw: int, *, each: bool = False) -> Any:
    """A copy with normal numbers added: of so large a share of the spread of a tensor, or of ``each`` weight itself."""
    import torch

    found = copy.deepcopy(model)
    numbers = torch.Generator().manual_seed(draw)
    with torch.no_grad():
        for parameter in found.parameters():
            size = parameter.abs() if each else parameter.std().nan_to_num(0.0)
            parameter += share * size * torch.randn(parameter.shape, generator=numbers)
    return found


def measurer(base: Any, about: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """The measure of evaluate.forgetting with the untouched model read once; what a draw lost, in short."""
    import dataclasses

    from tuneproof.evaluate import forgetting as of
    from tuneproof.evaluate.readings import WRITERS, readings
    from tuneproof.evaluate.retain import by_subject, documents

    if about["kind"] in WRITERS:
        texts = documents(500)
        before = readings(base, texts)

        def found(model: Any) -> dict[str, Any]:
            after = readings(dataclasses.replace(base, model=model), texts)
            return of._of_readings("texts", before, after, "nats per token")
    else:
        texts = by_subject(500)

        def found(model: Any) -> dict[str, Any]:
            return of.probe("texts", texts, (base.model, model), base)

    def short(model: Any) -> dict[str, Any]:
        one = found(model)
        kept = ("known", "measurable", "flagged", "verdict")
        return {**one["lost"], **{key: one[key] for key in kept if one.get(key) is not None}}

    return short


# -- the page


def page(found: dict[str, Any]) -> str:
    """The results as docs/forgetting.md."""
    text = (
        "# What measuring forgetting finds\n\n"
        "Made by `python benchmarks/forgetting.py --noise --sweep --data DIR`; each figure's commit and draws stand in "
        "`benchmarks/results/forgetting.json`.\n\n"
        "## Damage done on purpose\n\n"
        "Noise adds to each weight a normal number whose spread is a share of that of its tensor's weights, or of the "
        "weight itself\n(then the weights of norms, which are alike, have as much as the rest). 500 documents. Worse: "
        "the mean loss is measurably\nhigher (p at most .05). Flagged: that, or more than 1% of the tokens that were "
        "named rightly are not any more. Lost is the\nmean over the draws, and the least and the most of them, in nats "
        "per token (a model that writes) or in points (a probe on\nan encoder's vectors).\n\n"
        "| model | noise | draws | flagged | worse | lost | least | most | tokens lost of those known |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    for key in sorted(
        (key for key in found if key.startswith("noise ")), key=lambda key: (key.split()[1], _share(key))
    ):
        draws = list(found[key].values())
        lost = [one["value"] for one in draws]
        scale, digits = (100, 1) if draws[0]["method"].startswith("Agresti") else (1, 4)
        shown = " | ".join(f"{scale * x:+.{digits}f}" for x in (sum(lost) / len(lost), min(lost), max(lost)))
        worse = sum(one["measurable"] for one in draws)
        flagged = sum(one.get("flagged", one["measurable"]) for one in draws)
        shares = [100 * one["known"]["share"] for one in draws if one.get("known")]
        tokens = f"{min(shares):.1f} to {max(shares):.1f}%" if shares else "not asked"
        kind = f"{_share(key):.0%} of {'each weight' if key.endswith(' each') else 'the spread'}"
        text += f"| {key.split()[1]} | {kind} | {len(draws)} | {flagged} | {worse} | {shown} | {tokens} |\n"
    if "sweep" in found:
        text += (
            "\n## The learning rate\n\n"
            f"SmolLM2-135M-Instruct, full tuning, one epoch of {ROWS} dialogues of taskmaster4_chat less those held "
            "out, seed 0; loss on 100 general\ndocuments, tuned minus untouched.\n\n![Loss on general text by learning "
            "rate](forgetting.svg)\n\n"
            "| rate | loss on the task, before and after | lost on general text (95% interval) | KL on the task "
            "| word |\n"
            "|---|---|---|---|---|\n"
        )
        for rate, one in sorted(found["sweep"].items(), key=lambda pair: float(pair[0])):
            text += (
                f"| {rate} | {one['task_before']:.3f}, {one['task_after']:.3f} | {one['value']:+.3f} "
                f"({one['low']:+.3f} to {one['high']:+.3f}) | {one['kl']:.3f} | {one['verdict']} |\n"
            )
    return text


def _share(key: str) -> float:
    return float(key.split()[2])


def chart(sweep: dict[str, Any]) -> str:
    """Lost nats per token against the rate, on a logarithmic axis, as a small SVG."""
    points = sorted((math.log10(float(rate)), one["value"], one["low"], one["high"]) for rate, one in sweep.items())
    left, right, top = points[0][0] - 0.2, points[-1][0] + 0.2, max(p[3] for p in points) * 1.1
    bottom = min(0.0, *(p[2] for p in points)) * 1.2

    def x(value: float) -> float:
        return 70 + 500 * (value - left) / (right - left)

    def y(value: float) -> float:
        return 20 + 240 * (top - value) / (top - bottom)

    line = " ".join(f"{x(p[0]):.1f},{y(p[1]):.1f}" for p in points)
    parts = [f'<line x1="70" x2="570" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#999"/>' for v in (0.0, top / 1.1)]
    parts += [f'<text x="62" y="{y(v) + 4:.1f}" text-anchor="end">{v:.2f}</text>' for v in (0.0, top / 1.1)]
    parts.append(f'<polyline points="{line}" fill="none" stroke="#2563a8" stroke-width="2"/>')
    for at, value, low, high in points:
        parts.append(f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}" stroke="#2563a8"/>')
        parts.append(f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="4" fill="#2563a8"/>')
        parts.append(f'<text x="{x(at):.1f}" y="285" text-anchor="middle">{10**at:.0e}</text>')
    parts.append('<text x="320" y="308" text-anchor="middle">learning rate; up: nats per token lost</text>')
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 320" font-family="sans-serif" font-size="13"'
    return f'{head} fill="#333"><rect width="600" height="320" fill="#fff"/>{"".join(parts)}</svg>\n'


def keep(part: str, key: str, value: dict[str, Any]) -> None:
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    found.setdefault(part, {})[key] = {**value, "commit": commit()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


def commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
