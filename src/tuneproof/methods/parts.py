"""Which parts a transformers model has: its embeddings, its stack of layers, and the head on top.

    parts = Parts.of(model)
    len(parts.layers)                 # 6 for MiniLM
    parts.head                        # {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight", ...}

Found from structure, not from names of architectures: the backbone is the model's base model, its layers are the
longest list of modules in it, the head is every parameter after them. A language model's output layer counts as
embeddings, tied or not: it was pretrained, it is no new head. An encoder with a decoder has the layers of both, those
of the decoder on top.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.nn import Embedding, Linear, Module, ModuleList
from transformers import PreTrainedModel

from tuneproof.errors import ModelError


@dataclass(frozen=True, slots=True)
class Pace:
    """How a parameter trains."""

    factor: float = 1.0  # times the learning rate
    begins: float = 0.0  # share of the steps after which it begins to move


def plain(name: str) -> str:
    """The name of a parameter as it was before peft wrapped the model around it."""
    inner = name.removeprefix("base_model.model.").removeprefix("base_model.")
    return inner.replace("modules_to_save.default.", "").replace("base_layer.", "")


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
        outer = [
            (name, stack) for name, stack in stacks if not any(name.startswith(f"{other}.") for other, _ in stacks)
        ]
        both = isinstance(model, PreTrainedModel) and model.config.is_encoder_decoder
        chosen = outer if both else [max(outer, key=lambda item: len(item[1]))]
        layers = tuple((f"{name}.{index}", layer) for name, stack in chosen for index, layer in enumerate(stack))
        names = [parameter for parameter, _ in model.named_parameters()]
        inside = {parameter for parameter in names if parameter.startswith(tuple(f"{name}." for name, _ in chosen))}
        first = min(names.index(parameter) for parameter in inside)
        output = model.get_output_embeddings() if isinstance(model, PreTrainedModel) else None
        vocabulary = {id(parameter) for parameter in output.parameters()} if output is not None else set()
        if both:  # the decoder's embeddings stand after the encoder's layers
            vocabulary |= {
                id(one) for module in model.modules() if isinstance(module, Embedding) for one in module.parameters()
            }
        embeddings = frozenset(
            parameter
            for index, (parameter, tensor) in enumerate(model.named_parameters())
            if parameter not in inside and (index < first or id(tensor) in vocabulary)
        )
        return cls(layers, embeddings, frozenset(names) - inside - embeddings)

    @property
    def linears(self) -> dict[str, Linear]:
        """Every linear layer of the stack, by name."""
        return {
            f"{prefix}.{name}": module
            for prefix, layer in self.layers
            for name, module in layer.named_modules()
            if isinstance(module, Linear)
        }

    @property
    def new(self) -> list[str]:
        """Modules of the head that start from nothing; a norm above the layers was pretrained."""
        return sorted({name.rsplit(".", 1)[0] for name in self.head if "norm" not in name.lower()})
