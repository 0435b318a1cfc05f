"""What runs an exported model: transformers in a process without tuneproof, or onnxruntime.

    runtime = TransformersOutside(folder, subject)
    runtime.say(subject.probes).logits

Each answers in arrays; comparing them is ``parity``'s business.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from tuneproof.deploy.export.aside import Silent, ask
from tuneproof.deploy.export.subject import Floats, Probe, Subject, score
from tuneproof.errors import CheckError
from tuneproof.optional import need


@dataclass(frozen=True, slots=True)
class Said:
    """What an export says about the probes."""

    logits: Sequence[Floats]  # (positions, classes or vocabulary) of each
    ids: Sequence[Sequence[int]]  # their texts through the tokenizer and template of the export
    labels: Sequence[str]  # what it calls its classes
    states: Sequence[Floats] = ()  # hidden states of the longest probe, where the program tells them


class Runtime(Protocol):
    """An exported model at work."""

    name: str

    def say(self, probes: Sequence[Probe]) -> Said: ...

    def items(self, probes: Sequence[Probe]) -> list[float]:
        """The score of each row that decides, more is better."""
        ...

    def astray(self, subject: Subject, probe: Probe, rounded: bool) -> str:
        """The first part of the model whose output differs on ``probe``, by more than rounding does if ``rounded``."""
        ...


class TransformersOutside:
    """A folder opened by transformers (and peft, over ``base``) where tuneproof cannot be imported."""

    def __init__(self, folder: Path, subject: Subject, base: Path | None = None, name: str = "transformers") -> None:
        self.name = name if base is None else f"{name} and peft"
        self._about = {
            "folder": str(folder),
            "auto": subject.auto,
            "base": None if base is None else str(base),
            "labels": len(subject.labels),
            "threads": torch.get_num_threads(),
        }

    def say(self, probes: Sequence[Probe]) -> Said:
        arrays, told = self._ask(rows=probes, asked=[probe.asked for probe in probes], states=longest(probes).inputs)
        logits = [arrays[str(index)] for index in range(len(probes))]
        return Said(logits, told["ids"], told["labels"], _states(arrays))

    def items(self, probes: Sequence[Probe]) -> list[float]:
        arrays, _ = self._ask(rows=probes, reduce=True)
        columns = [arrays[str(index)] for index in range(len(probes))]
        return [
            -float(column[:, 0].mean(dtype=np.float64)) if probe.writes else float(column[:, 1].mean())
            for probe, column in zip(probes, columns, strict=True)
        ]

    def astray(self, subject: Subject, probe: Probe, rounded: bool) -> str:
        arrays, _ = self._ask(states=probe.inputs)
        where = first_state(subject.states(probe), _states(arrays), rounded)
        return where or (
            "the layers agree to what rounding does" if rounded else "the layers agree, so the head differs"
        )

    def _ask(
        self,
        rows: Sequence[Probe] = (),
        asked: Sequence[Mapping[str, Any]] = (),
        states: Mapping[str, Sequence[int]] | None = None,
        reduce: bool = False,
    ) -> tuple[dict[str, Floats], Any]:
        from safetensors.numpy import load_file

        told = [
            {"inputs": p.inputs, "where": p.where, "targets": p.targets, "numbers": p.numbers, "measured": p.measured}
            for p in rows
        ]
        with tempfile.TemporaryDirectory() as work:
            out = str(Path(work) / "figures.safetensors")
            request = {"rows": told, "asked": list(asked), "states": states, "reduce": reduce, "out": out}
            try:
                answer = ask({**self._about, **request})
            except Silent as silent:
                raise CheckError(
                    f"The export does not open in {self.name}: {silent}.", "Nothing was published."
                ) from None
            return load_file(out), answer


def longest(probes: Sequence[Probe]) -> Probe:
    """The one whose hidden states are compared."""
    return max(probes, key=lambda probe: len(probe.ids))


def _states(arrays: Mapping[str, Floats]) -> list[Floats]:
    return [arrays[f"state {index}"] for index in range(sum(name.startswith("state ") for name in arrays))]


def first_state(ours: Sequence[Floats], theirs: Sequence[Floats], rounded: bool) -> str:
    """Which layer is the first whose output differs; "" where all agree.

    A difference is one of more than a thousandth of the output's own spread; of weights that were ``rounded``, a mean
    one of more than a tenth.
    """
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        spread = float(one.std()) + 1e-12
        if one.shape != other.shape or _apart(one, other, rounded) > (0.1 if rounded else 1e-3) * spread:
            where = "the embeddings" if index == 0 else f"layer {index} of {len(ours) - 1}"
            return f"the first part that differs is {where}"
    return ""


def _apart(one: Floats, other: Floats, rounded: bool) -> float:
    gaps = np.abs(one - other)
    return float(gaps.mean() if rounded else gaps.max())


def _weights(tensors: Iterable[Any], array: Callable[[Any], Any]) -> Iterator[tuple[Floats, float]]:
    """Each weight of a graph, and how far rounding may have put it: half a step of onnxruntime's own integers."""
    found = {tensor.name: array(tensor) for tensor in tensors}
    for name, values in found.items():
        scale, zero = (found.get(name.replace("_quantized", end)) for end in ("_scale", "_zero_point"))
        if name.endswith("_quantized") and scale is not None and zero is not None:
            yield (values.astype(np.float32) - zero.astype(np.float32)) * scale, 0.51 * float(scale.max())
        else:
            yield values, 0.0


def _holds(kept: tuple[Floats, float], weight: Floats) -> bool:
    values, apart = kept
    return values.shape == weight.shape and float(np.abs(values - weight).max(initial=0.0)) <= apart


class OnnxRuntime:
    """An ONNX graph of an encoder with its tokenizer beside it."""

    name = "onnxruntime"

    def __init__(self, folder: Path, subject: Subject) -> None:
        runtime = need("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        self.file = folder / "model.onnx"
        self._session = runtime.InferenceSession(str(self.file), options, providers=["CPUExecutionProvider"])
        self._folder = folder
        self._named = bool(subject.labels)

    def say(self, probes: Sequence[Probe]) -> Said:
        """The tokenizer lies beside the graph, the labels stand in its config.json."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("id2label", {}) if self._named else {}
        ids = [tokenizer(p.asked["text"])["input_ids"] if set(p.asked) == {"text"} else [] for p in probes]
        return Said([self._one(probe) for probe in probes], ids, [names[str(index)] for index in range(len(names))])

    def _one(self, probe: Probe) -> Floats:
        inputs = {name: np.array([ids], dtype=np.int64) for name, ids in probe.inputs.items()}
        inputs["attention_mask"] = np.ones_like(inputs["input_ids"])
        logits: Floats = self._session.run(["logits"], inputs)[0]
        return logits if probe.where is None else logits[0][list(probe.where)]

    def items(self, probes: Sequence[Probe]) -> list[float]:
        return [score(self._one(probe), probe) for probe in probes]

    def astray(self, subject: Subject, probe: Probe, rounded: bool) -> str:
        """The first weight of the model, in its own order, that the graph does not hold, as it is or transposed."""
        onnx = need("onnx", extra="onnx")
        kept = [*_weights(onnx.load(str(self.file)).graph.initializer, onnx.numpy_helper.to_array)]
        for name, weight in subject.fresh().named_parameters():
            array = weight.detach().numpy()
            if array.ndim == 2 and not any(_holds(one, array) or _holds(one, array.T) for one in kept):
                return f"the first part that differs is the weight {name}"
        return "the weights agree to what rounding does" if rounded else "the weights agree, so the graph differs"
