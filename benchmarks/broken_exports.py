"""Are broken exports refused? Ten each of a wrong template, a wrong scaling and a transposed weight, of real runs.

    python benchmarks/broken_exports.py RUN... [--draws 10]

A run of a chat model gets wrong templates, one with an adapter wrong scalings, any other transposed weights: the export
is built as ``tuneproof export`` does it, damaged before it is compared, and has to be refused with nothing left on the
disk. Each draw goes to benchmarks/results/broken_exports.json as soon as it is there, with its commit, and is not made
again: the same command goes on where it stopped. ``tests/proof/test_export_proof.py`` does the same to tiny models.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from parity_table import commit, told
from safetensors.torch import load_file, save_file

from tuneproof.deploy.export import EXPORTS, export
from tuneproof.deploy.export.subject import Subject
from tuneproof.device import settle
from tuneproof.errors import CheckError
from tuneproof.run import Run, write_atomically

RESULTS = Path(__file__).parent / "results" / "broken_exports.json"
FACTORS = (0.25, 0.5, 0.8, 1.25, 2.0, 4.0, -1.0)  # of the scale of an adapter
EDITS = (  # of a template as SmolLM2's
    ("<|im_end|>' + '\n'", "<|im_end|>'"),
    ("<|im_end|>", ""),
    ("<|im_start|>", "<|im_end|>"),
    ("<|im_start|>assistant\n", "<|im_start|>assistant"),
    ("<|im_start|>assistant\n", "assistant\n"),
    ("message['role']", "message['role'] | upper"),
    ("message['content']", "message['content'] + ' '"),
    ("message['content']", "' ' + message['content']"),
    ("for message in messages", "for message in messages[1:]"),
    ("{% for message", "{{ 'Answer:\n' }}{% for message"),
)
Damage = Callable[[Path, int], None]


def template(folder: Path, seed: int) -> None:
    old, new = EDITS[seed % len(EDITS)]
    file = folder / "chat_template.jinja"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def scaling(folder: Path, seed: int) -> None:
    file = folder / "adapter_config.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    told["lora_alpha"] *= random.Random(seed).choice(FACTORS)
    file.write_text(json.dumps(told), encoding="utf-8")


def transposed(folder: Path, seed: int) -> None:
    """One square weight of a layer, in the file that holds it."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    square = sorted(name for name, one in weights.items() if one.ndim == 2 and one.shape[0] == one.shape[1] > 8)
    name = square[int(np.random.default_rng(seed).integers(len(square)))]
    save_file({**weights, name: weights[name].T.contiguous()}, file, metadata={"format": "pt"})


KINDS: dict[str, tuple[str, Damage]] = {
    "a wrong template": ("merged", template),
    "a wrong scaling": ("peft", scaling),
    "a transposed weight": ("merged", transposed),
}


def kinds_for(run: Run) -> list[str]:
    """What of this can be done to an export of this run."""
    able = {
        "a wrong template": run.schema.task == "instruction",
        "a wrong scaling": run.plan["config"]["method"]["name"] == "lora",
        "a transposed weight": run.plan["config"]["method"]["name"] != "lora",
    }
    return [kind for kind, may in able.items() if may]


def refused(run: Run, kind: str, seed: int) -> str:
    """Why this broken export was refused; "" where it was published."""
    to, damage = KINDS[kind]
    whole = EXPORTS[to]

    def build(subject: Subject, folder: Path, precision: str) -> None:
        whole.build(subject, folder, precision)
        damage(folder, seed)

    with tempfile.TemporaryDirectory() as work:
        try:
            export(run, run.id, dataclasses.replace(whole, build=build), Path(work) / "out", "fp32", lambda line: None)
        except CheckError as error:
            assert not list(Path(work).iterdir()), "something of it was left"
            return error.message
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    asked = parser.parse_args()
    if not asked.runs:
        print("Skipped: name finished runs.")
        return
    settle(1)
    found: dict[str, list[dict[str, str]]] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for path in asked.runs:
        run = Run.open(path)
        for kind in kinds_for(run):
            key = f"{told(run)}: {kind}"
            draws = found.setdefault(key, [])
            while len(draws) < asked.draws:
                draws.append({"refused": refused(run, kind, len(draws)), "commit": commit()})
                print(f"{key}, draw {len(draws)}: {draws[-1]['refused'] or 'PUBLISHED'}", flush=True)
                write_atomically(RESULTS, (json.dumps(found, indent=1) + "\n").encode())
            print(f"{key}: {sum(bool(draw['refused']) for draw in draws)} of {len(draws)} refused", flush=True)


if __name__ == "__main__":
    main()
