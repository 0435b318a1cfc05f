"""Any adapter of peft by its own name: one class, and a row of data per method (adapters.py).

    method = Peft("vera", ADAPTERS["vera"])(config)      # options in config.peft.options: 'r = 64, d_initial = 0.2'
    model = method.apply(model)

Options are peft's own, written as TOML; one that peft does not know is refused with the nearest name. The saved folder
opens with ``PeftModel.from_pretrained``. Nothing of peft is changed here.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import PeftModel, PeftType, TaskType, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from torch.nn import Module
from transformers import PreTrainedModel

from tuneproof.config import Config
from tuneproof.errors import ConfigError, nearest
from tuneproof.methods.adapters import Adapter
from tuneproof.methods.lora import open_adapter, peft_quiet
from tuneproof.methods.parts import Pace, Parts

# Options of peft that say where the adapter sits and what it is: those follow from the model and the method.
OURS = {"peft_type", "task_type", "inference_mode", "base_model_name_or_path", "revision", "auto_mapping"} | {
    "peft_version", "target_modules", "exclude_modules", "modules_to_save", "feedforward_modules",
    "num_layers", "token_dim", "num_attention_heads", "num_transformer_submodules",
}  # fmt: skip
# transformers' class of a model ends so; a prompt needs to know where it reads.
READS = {"ForSequenceClassification": TaskType.SEQ_CLS, "ForCausalLM": TaskType.CAUSAL_LM}


@dataclass(frozen=True, slots=True)
class Peft:
    """A row of METHODS that is made from data."""

    name: str
    adapter: Adapter
    section: str = "peft"
    wrapped: bool = True

    @property
    def lr_factor(self) -> float:
        return self.adapter.lr

    @property
    def trained_share(self) -> float:
        return self.adapter.share

    @property
    def good_for(self) -> str:
        return self.adapter.good_for

    @property
    def merges(self) -> bool:
        return self.adapter.merges

    def __call__(self, config: Config) -> Adapted:
        return Adapted(self, config)

    def settings(self, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        chosen = {name: value for name, value in self.adapter.options.items() if name not in OURS}
        told = ", ".join(f"{name} = {value}" for name, value in chosen.items())
        sizes = ", ".join([*self.adapter.divides, *self.adapter.within])
        reason = f"{sizes} by the model's widths; all else as peft has it" if sizes else "all else as peft has it"
        return {"peft.options": (told, reason)}

    def options(self, config: Config) -> dict[str, Any]:
        """What somebody asked for, checked against peft's own declaration."""
        asked = parse(config.peft.options or "")
        known = {each.name for each in dataclasses.fields(self.kind)} - OURS
        for name in asked:
            if name not in known:
                why = "is decided by tuneproof" if name in OURS else "is unknown to peft"
                raise ConfigError(
                    f'peft.options: "{name}" {why} for the method {self.name}.',
                    nearest(name, sorted(known)) or f"It knows: {', '.join(sorted(known))}.",
                )
        return asked

    def room(self, config: Config) -> int:
        """Tokens before each row; 0 for what sits in the layers."""
        return int({**self.adapter.options, **self.options(config)}.get("num_virtual_tokens", 0))

    @property
    def kind(self) -> Any:
        return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType[self.adapter.type]]


def parse(text: str) -> dict[str, Any]:
    """'r = 8, init_weights = false' as a dictionary; ConfigError when it is no TOML."""
    try:
        found: dict[str, Any] = tomllib.loads(f"options = {{{text}}}")["options"]
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"peft.options={text!r} cannot be read: {error}.", 'For example: r = 8, init_weights = false, bias = "none"'
        ) from None
    return found


class Adapted:
    """The method of one run."""

    def __init__(self, row: Peft, config: Config) -> None:
        self.row = row
        self.config = config

    def apply(self, model: Module) -> Module:
        assert isinstance(model, PreTrainedModel)
        parts = Parts.of(model)
        values = {**self._sizes(parts), **self.row.adapter.options, **self.row.options(self.config)}
        declared = {each.name for each in dataclasses.fields(self.row.kind)}
        if "target_modules" in declared:
            values["target_modules"] = self._targets(model, parts)
        if "modules_to_save" in declared:
            values["modules_to_save"] = parts.new or None
        if self.row.adapter.where == "prompt":
            self._refuse_without_room(model, values["num_virtual_tokens"])
            values["task_type"] = next(kind for end, kind in READS.items() if type(model).__name__.endswith(end))
        try:
            with peft_quiet():
                wrapped: Module = get_peft_model(model, self.row.kind(**values))
        except (ValueError, TypeError) as error:
            first = str(error).split("\n")[0]
            raise ConfigError(f"peft refuses these options for the method {self.row.name}: {first}") from error
        return wrapped

    def _sizes(self, parts: Parts) -> dict[str, int]:
        widths = [n for linear in parts.linears.values() for n in (linear.in_features, linear.out_features)]
        common, least = math.gcd(*widths), min(widths)
        powers = {
            name: max(2**n for n in range(most.bit_length()) if common % 2**n == 0 and 2**n <= most)
            for name, most in self.row.adapter.divides.items()
        }
        return {**powers, **{name: max(1, min(most, least // 2)) for name, most in self.row.adapter.within.items()}}

    def _targets(self, model: Module, parts: Parts) -> list[str]:
        if self.row.adapter.where == "norm":
            return sorted(name for name, module in model.named_modules() if "norm" in type(module).__name__.lower())
        return sorted(parts.linears)

    def _refuse_without_room(self, model: PreTrainedModel, tokens: int) -> None:
        most, length = model.config.max_position_embeddings, self.config.model.max_length
        if length + tokens > most:
            raise ConfigError(
                f"{tokens} tokens before rows of up to {length} are more than the {most} that the model reads.",
                f"Try --set model.max_length={most - tokens}",
            )

    def pace(self, model: Module) -> Mapping[str, Pace]:
        return {}

    def save(self, model: Module, to: Path) -> None:
        assert isinstance(model, PeftModel)
        model.peft_config["default"].base_model_name_or_path = self.config.model.name  # a name that travels
        model.save_pretrained(to, save_embedding_layers=False)

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        return open_adapter(open_model(base), path)


def prompted(model: Module) -> bool:
    """Whether tokens of an adapter stand before the text: such a model has to be called as a whole."""
    return isinstance(model, PeftModel) and bool(model.active_peft_config.is_prompt_learning)


def merged(model: Any) -> Any:
    """An ordinary transformers model with the same answers, for a method that ``merges``; ``model`` is used up."""
    if not isinstance(model, PeftModel):
        return model
    with peft_quiet():
        return model.merge_and_unload()
