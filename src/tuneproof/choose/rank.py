"""The model when nobody named one: the smallest of the catalogue that was made for the task.

    choose("text-classification", ("encoder",), machine)       # ("minilm-l6", "made for ...; 22.7M ...")

Without a GPU the smallest good model is the one that finishes; with one, the largest that trains in half its memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from tuneproof.device import Machine
from tuneproof.errors import ModelError
from tuneproof.sources import CATALOG, Entry

BYTES_PER_PARAMETER = 16  # full tuning in fp32: weight, gradient, two moments


def choose(task: str, kinds: Sequence[str], machine: Machine) -> tuple[str, str]:
    """Name of the catalogue and the reason for it. ModelError when nothing fits the machine."""
    fit = [entry for entry in CATALOG.values() if _suits(entry, task, kinds)]
    where, free = ("memory", machine.free) if machine.gpu is None else (f"memory of {machine.gpu}", machine.gpu_free)
    small = [entry for entry in fit if BYTES_PER_PARAMETER * entry.parameters <= free / 2]
    if not small:
        raise ModelError(
            f"No model of the catalogue for {task} trains in {free / 2**30:.1f} GiB of free {where}.",
            "Name one yourself with --model, or free some memory.",
        )
    if machine.gpu is None:
        chosen = min(small, key=lambda entry: entry.parameters)
        why = f"the smallest of {len(fit)} models known for {task}, as there is no GPU here"
    else:
        chosen = max(small, key=lambda entry: entry.parameters)
        why = f"the largest of {len(fit)} models known for {task} that trains in half of the free {where}"
    return chosen.name, f"{why}: {chosen.parameters / 1e6:.0f}M parameters, {chosen.licence}"


def _suits(entry: Entry, task: str, kinds: Sequence[str]) -> bool:
    """Made for the task; a language model must have been trained with a chat template."""
    return task in entry.good_for and entry.kind in kinds and (entry.kind != "decoder" or entry.chat)
