"""LoRA (Hu et al. 2021, arXiv 2106.09685): low-rank adapters on every linear layer, and a new head in full.

model = Lora(config).apply(model)        # a peft model; save() writes an ordinary adapter folder
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import Linear, Module
from transformers import PreTrainedModel

from tuneproof.config import Config
from tuneproof.methods.parts import Parts


class Lora:
    lr_factor: ClassVar[float] = 10.0
    section: ClassVar[str] = "lora"
    trained_share: ClassVar[float] = 0.05
    wrapped: ClassVar[bool] = True
    good_for: ClassVar[str] = "larger models, several tasks over one base; forgets less than full tuning"

    def __init__(self, config: Config) -> None:
        self.options = config.lora
        self.base = config.model.name

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        rank = config.lora.rank or 16
        return {
            "lora.rank": (16, "enough for tasks of this kind; 8 to 64 differ little"),
            "lora.alpha": (2 * rank, "twice the rank"),
        }

    def apply(self, model: Module) -> Module:
        assert isinstance(model, PreTrainedModel)
        parts = Parts.of(model)
        targets = sorted(
            {
                name
                for prefix, layer in parts.layers
                for name in (f"{prefix}.{inner}" for inner, m in layer.named_modules() if isinstance(m, Linear))
            }
        )
        heads = sorted({name.rsplit(".", 1)[0] for name in parts.head if "norm" not in name.lower()})
        options = LoraConfig(
            r=self.options.rank,
            lora_alpha=self.options.alpha,
            lora_dropout=self.options.dropout,
            target_modules=targets,
            modules_to_save=heads or None,
        )
        with _between_versions():
            wrapped: Module = get_peft_model(model, options)
        return wrapped

    def save(self, model: Module, to: Path) -> None:
        assert isinstance(model, PeftModel)
        model.peft_config["default"].base_model_name_or_path = self.base  # a name that travels, not a path of this disk
        model.save_pretrained(to, save_embedding_layers=False)

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        model = open_model(base)
        assert isinstance(model, PreTrainedModel)
        with _between_versions():
            wrapped: Module = PeftModel.from_pretrained(model, path)
        return wrapped


@contextmanager
def _between_versions() -> Iterator[None]:
    """peft 0.21 reads a property of transformers 5 under its old name, and its user would be told to change that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        yield
