"""LoRA (Hu et al. 2021, arXiv 2106.09685): low-rank adapters on every linear layer, and a new head in full.

    model = Lora(config).apply(model)        # a peft model; save() writes an ordinary adapter folder

Four variants are options: rsLoRA (arXiv 2312.03732), DoRA (2402.09353), PiSSA (2404.02948) and LoRA+ (2402.12354).
PiSSA takes the largest singular vectors out of the pretrained weights; what is saved is the difference, an ordinary
LoRA of twice the rank, so that the folder opens over the untouched base.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch.nn import Module
from transformers import PreTrainedModel

from tuneproof.compute import adapted_at_once
from tuneproof.config import Config
from tuneproof.methods.parts import Pace, Parts


class Lora:
    lr_factor: ClassVar[float] = 10.0
    section: ClassVar[str] = "lora"
    trained_share: ClassVar[float] = 0.05
    wrapped: ClassVar[bool] = True
    merges: ClassVar[bool] = True
    good_for: ClassVar[str] = "larger models, several tasks over one base; forgets less than full tuning"

    def __init__(self, config: Config) -> None:
        self.options = config.lora
        self.base = config.model.name

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        rank = config.lora.rank or 16
        alpha = (8, "divided by the root of the rank") if config.lora.rslora else (2 * rank, "twice the rank")
        return {
            "lora.rank": (16, "enough for tasks of this kind; 8 to 64 differ little"),
            "lora.alpha": alpha,
        }

    def apply(self, model: Module) -> Module:
        assert isinstance(model, PreTrainedModel)
        parts = Parts.of(model)
        options = LoraConfig(
            r=self.options.rank,
            lora_alpha=self.options.alpha,
            lora_dropout=self.options.dropout,
            use_rslora=self.options.rslora,
            use_dora=self.options.dora,
            init_lora_weights=True if self.options.init == "zero" else self.options.init,
            target_modules=sorted(parts.linears),
            modules_to_save=parts.new or None,
        )
        adapted_at_once(options, model)
        with peft_quiet():
            wrapped: Module = get_peft_model(model, options)
        if self.options.init != "zero":
            for layer in _adapted(wrapped):
                for name, adapter in (("first_A", layer.lora_A), ("first_B", layer.lora_B)):
                    layer.register_buffer(name, adapter["default"].weight.detach().clone(), persistent=False)
        return wrapped

    def pace(self, model: Module) -> Mapping[str, Pace]:
        if self.options.plus == 1:
            return {}
        return {name: Pace(factor=self.options.plus) for name, _ in model.named_parameters() if ".lora_B." in name}

    def save(self, model: Module, to: Path) -> None:
        assert isinstance(model, PeftModel)
        model.peft_config["default"].base_model_name_or_path = self.base  # a name that travels, not a path of this disk
        if self.options.init == "zero":
            model.save_pretrained(to, save_embedding_layers=False)
        else:
            _save_difference(model, to)

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        return open_adapter(open_model(base), path)


def open_adapter(model: Module, path: Path) -> Module:
    """``model`` with the adapter of a saved folder."""
    assert isinstance(model, PreTrainedModel)
    with peft_quiet():
        options = PeftConfig.from_pretrained(path)
        if isinstance(options, LoraConfig):
            adapted_at_once(options, model)
        wrapped: Module = PeftModel.from_pretrained(model, path, config=options)
    return wrapped


def _adapted(model: Module) -> Iterator[Any]:
    return (module for module in model.modules() if isinstance(module, LoraLayer))


def _save_difference(model: Any, to: Path) -> None:
    """What training added, B A - B0 A0 = [B, -B0] [A; A0], as an adapter of twice the rank over the untouched base."""
    state = model.state_dict()
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            first, second = (f"{name}.lora_{side}.default.weight" for side in "AB")
            state[first] = torch.cat([state[first], layer.first_A])
            state[second] = torch.cat([state[second], -layer.first_B], dim=1)
    config = copy.deepcopy(model.peft_config["default"])
    scale = 2**0.5 if config.use_rslora else 2  # so that the factor before B A stays as it was
    config.r, config.lora_alpha = 2 * config.r, config.lora_alpha * scale
    config.init_lora_weights, config.inference_mode = True, True
    kept = get_peft_model_state_dict(model, state_dict=state, save_embedding_layers=False)
    save_file(
        {key: value.contiguous() for key, value in kept.items()}, to / "adapter_model.safetensors", {"format": "pt"}
    )
    config.save_pretrained(to)


# What peft 0.21 would tell its user, who is not the one to change it: a property of transformers 5 under its old name;
# that BOFT's CUDA kernel is not there (it then computes the same in torch, with a factor of 1); that a norm is no
# linear layer; that BEFT cannot be merged where layers have no bias, which nobody here asks of it.
UNSAID: tuple[tuple[str, type[Warning]], ...] = (
    (".*is_gradient_checkpointing", FutureWarning),
    ("Failed to load the CUDA extension", UserWarning),
    ("Setting boft_n_butterfly_factor", UserWarning),
    ("Unsupported layer type .*[Nn]orm", UserWarning),
    ("Detected that the base layer has no bias term", UserWarning),
)


@contextmanager
def peft_quiet() -> Iterator[None]:
    # torch's default, said aloud: SHiRA's sparse indices are peft's own, and torch would warn that it trusts them.
    torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        for message, category in UNSAID:
            warnings.filterwarnings("ignore", message=message, category=category)
        yield
