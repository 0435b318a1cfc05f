"""Which parts a transformers model has: its embeddings, its stack of layers, and the head on top.

    parts = Parts.of(model)
    len(parts.layers)                 # 6 for MiniLM
    parts.head                        # {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight", ...}

Found from structure, not from names of architectures: the backbone is the model's base model, its layers are the
longest list of modules in it, the head is every parameter after them. A language model's output layer counts as
embeddings, tied or not: it was pretrained, it is no new head.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import Module, ModuleList
from transformers import PreTrainedModel

from tuneproof.errors import ModelError


@dataclass(frozen=True, slots=True)
class Parts:
    """Names are those of ``model.named_parameters()``."""

    layers: tuple[tuple[str, Module], ...]  # (name, layer), bottom to top
    embeddings: frozenset[str]
    head: frozenset[str]

    @classmethod
    def of(cls, model: Module) -> Parts:
        stacks = [(name, module) for name, module in model.named_modules() if isinstance(module, ModuleList)]
        if not stacks:
            raise ModelError(f"{type(model).__name__} has no stack of layers, so its parts cannot be told apart.")
        name, stack = max(stacks, key=lambda item: len(item[1]))
        layers = tuple((f"{name}.{index}", layer) for index, layer in enumerate(stack))
        names = [parameter for parameter, _ in model.named_parameters()]
        inside = {parameter for parameter in names if parameter.startswith(f"{name}.")}
        first = min(names.index(parameter) for parameter in inside)
        output = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
        vocabulary = {id(parameter) for parameter in output.parameters()} if output is not None else set()
        embeddings = frozenset(
            parameter
            for index, (parameter, tensor) in enumerate(model.named_parameters())
            if parameter not in inside and (index < first or id(tensor) in vocabulary)
        )
        return cls(layers, embeddings, frozenset(names) - inside - embeddings)
