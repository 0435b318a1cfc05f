"""What measuring forgetting finds: damage done on purpose to real models, and tunings at rising learning rates.

    python benchmarks/forgetting.py --noise                  # SmolLM2-135M and MiniLM-L6 with noise on their weights
    python benchmarks/forgetting.py --sweep [--data DIR]     # taskmaster4_chat with SmolLM2-135M, one run per rate
    python benchmarks/forgetting.py --table                  # only write docs/forgetting.md and its chart

Noise of 1% adds to each weight a normal number whose spread is 1% of the spread of its tensor's weights. A draw is
flagged when tuneproof's own measure calls it measurably worse. Results go to ``benchmarks/results/forgetting.json``
with commit and machine.
"""

from __future__ import annotations

import argparse
import copy
import json
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
WRITER, ENCODER = "smollm2-135m-instruct", "minilm-l6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", action="store_true")
    parser.add_argument("--models", nargs="*", default=[WRITER, ENCODER])
    parser.add_argument("--shares", nargs="*", type=float, default=list(SHARES))
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw")
    asked = parser.parse_args()
    if asked.noise:
        for model in asked.models:
            noise(model, asked.shares, range(asked.first, asked.first + asked.draws))


def noise(name: str, shares: list[float], draws: range) -> None:
    """Each draw as soon as it is measured, so that a stopped run leaves what it found."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from tuneproof.device import settle

    settle(2)
    base, about = opened(name)
    measure = measurer(base, about)
    for share in shares:
        for draw in draws if share else draws[:1]:
            began = time.monotonic()
            one = measure(noisy(base.model, share, draw))
            keep(f"noise {name} {share:g}", str(draw), {**one, "seconds": round(time.monotonic() - began, 1)})
            print(f"{name} noise {share:.0%} draw {draw}: {one}", flush=True)


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


def noisy(model: Any, share: float, draw: int) -> Any:
    import torch

    found = copy.deepcopy(model)
    numbers = torch.Generator().manual_seed(draw)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += share * parameter.std().nan_to_num(0.0) * torch.randn(parameter.shape, generator=numbers)
    return found


def measurer(base: Any, about: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """The measure of evaluate.forgetting with the untouched model read once; what a draw lost, in short."""
    import dataclasses

    from tuneproof.evaluate import forgetting as of
    from tuneproof.evaluate.retain import by_subject, documents

    if about["kind"] == of.WRITER:
        texts = documents(500)
        before = of._losses(base, texts)

        def found(model: Any) -> dict[str, Any]:
            after = of._losses(dataclasses.replace(base, model=model), texts)
            return of._of_losses("texts", before, after, "nats per token")
    else:
        texts = by_subject(500)

        def found(model: Any) -> dict[str, Any]:
            return of.probe("texts", texts, (base.model, model), base)

    def short(model: Any) -> dict[str, Any]:
        one = found(model)
        return {**one["lost"], "measurable": one["measurable"], "verdict": one["verdict"]}

    return short


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
