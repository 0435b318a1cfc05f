"""An encoder as an ONNX graph: token ids and mask in; logits, and calibrated probabilities or numbers, out.

    build(subject, folder, "fp32")       # model.onnx, tokenizer, config.json

The temperature is part of the graph, so ``probabilities`` are those of the report; a predicted number comes out in the
unit of the file. Models that write are not carried:
without a cache of what was read, each token would cost a pass over all before it; GGUF and vLLM have that cache.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from tuneproof.deploy.export.folders import accompany, cannot_merge, merged
from tuneproof.deploy.export.runtimes import OnnxRuntime
from tuneproof.deploy.export.subject import Subject
from tuneproof.optional import need

ENCODERS = ("AutoModelForSequenceClassification", "AutoModelForTokenClassification")
SLOW = "a graph without a cache would read everything anew for each token"
REFUSED = {
    "AutoModelForCausalLM": f"{SLOW}: use gguf, ollama or vllm",
    "AutoModelForSeq2SeqLM": f"{SLOW}: export it to merged",
}


class _Graph(Module):
    """What the graph computes."""

    def __init__(self, model: Module, meaning: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.meaning = meaning

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        more = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits = self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits
        return logits, self.meaning(logits)


def _meaning(config: Any, temperature: float) -> tuple[str, Callable[[Tensor], Tensor]]:
    """What the logits stand for, by name, and how it is computed from them."""
    if config.problem_type == "regression":
        return "numbers", lambda logits: logits * config.target_scale + config.target_mean
    if config.problem_type == "multi_label_classification":
        return "probabilities", lambda logits: torch.sigmoid(logits / temperature)
    return "probabilities", lambda logits: torch.softmax(logits / temperature, -1)


def elsewhere(subject: Subject) -> str:
    """Where a model goes that is no GPT-type one."""
    return "export it to onnx or merged" if subject.auto in ENCODERS else "export it to merged"


def refuses(subject: Subject) -> str:
    if subject.auto not in ENCODERS:
        return REFUSED.get(subject.auto, "graphs are written for labels and numbers: export it to merged")
    return cannot_merge(subject)


def build(subject: Subject, folder: Path, precision: str) -> None:
    """fp32, or int8 weights (per channel, dynamic activations)."""
    need("onnx", extra="onnx")
    need("onnxscript", extra="onnx")
    model = merged(subject.fresh()).eval()
    name, meaning = _meaning(model.config, subject.run.temperature)
    # Two rows of unequal length: what is constant in an example becomes constant in the graph.
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, 0, 0]])
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    inputs = {"input_ids": ids, "attention_mask": mask}
    if any(probe.types is not None for probe in subject.probes):
        inputs["token_type_ids"] = torch.zeros_like(ids)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    file = folder / "model.onnx"
    with _quietly():
        torch.onnx.export(
            _Graph(model, meaning).eval(),
            tuple(inputs.values()),
            str(file),
            input_names=list(inputs),
            output_names=["logits", name],
            dynamic_shapes=tuple(free for _ in inputs),
            external_data=model.num_parameters() * 4 > 1 << 30,
            verbose=False,
        )
    if precision == "int8":
        _quantise(file)
    model.config.save_pretrained(folder)
    accompany(subject, folder)


def _quantise(file: Path) -> None:
    quantization: Any = need("onnxruntime.quantization", extra="onnx")
    whole = file.with_name("whole.onnx")
    file.rename(whole)
    with _quietly():
        quantization.quantize_dynamic(str(whole), str(file), per_channel=True)
    whole.unlink()


def run(subject: Subject, folder: Path) -> OnnxRuntime:
    return OnnxRuntime(folder, subject)


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter tells of packages that nothing here needs, and of its own deprecations."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
