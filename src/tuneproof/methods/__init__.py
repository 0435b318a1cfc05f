"""Which weights train and how they are saved. METHODS is the one table.

    method = METHODS["lora"](config)
    model = method.apply(model)

Adding a method is one file and one row here, or one row in adapters.py where peft has it. Nothing outside this folder
asks which method it is. What does not go together is declared in cells.py, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch.nn import Module

from tuneproof.config import Config
from tuneproof.errors import ConfigError, nearest
from tuneproof.methods.adapters import ADAPTERS, NOT_OFFERED
from tuneproof.methods.bitfit import BitFit
from tuneproof.methods.cells import refusal
from tuneproof.methods.freeze import Freeze
from tuneproof.methods.full import Full
from tuneproof.methods.lora import Lora
from tuneproof.methods.parts import Pace
from tuneproof.methods.peft import Peft, merged, prompted
from tuneproof.methods.qlora import QLora


class Method(Protocol):
    """What trains, and how it is kept, in one run."""

    def apply(self, model: Module) -> Module:
        """Mark or wrap what trains; nothing else keeps a gradient."""
        ...

    def pace(self, model: Module) -> Mapping[str, Pace]:
        """Parameters of the applied model that train at another rate, or begin later, than the rest."""
        ...

    def save(self, model: Module, to: Path) -> None:
        """An ordinary transformers or peft folder, safetensors only."""
        ...

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        """The tuned model from ``path``; ``open_model`` makes a model with the task's head from an ordinary folder."""
        ...


class Kind(Protocol):
    """A row of the table: a class of Method, or data that makes one."""

    @property
    def lr_factor(self) -> float:
        """Times the learning rate of full tuning."""
        ...

    @property
    def section(self) -> str:
        """Section of the configuration that only methods like this one read, or ""."""
        ...

    @property
    def good_for(self) -> str: ...

    @property
    def trained_share(self) -> float:
        """Of the parameters, roughly: for the estimate before anything is loaded."""
        ...

    @property
    def wrapped(self) -> bool:
        """Whether the saved folder is an adapter over the pretrained model."""
        ...

    @property
    def merges(self) -> bool:
        """Whether what was learnt can stand in ordinary weights without an adapter."""
        ...

    def settings(self, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        """Values and reasons of the method's undecided options, for a model of so many layers."""
        ...

    def __call__(self, config: Config) -> Method: ...


METHODS: dict[str, Kind] = {
    "full": Full,
    "freeze": Freeze,
    "bitfit": BitFit,
    "lora": Lora,
    "qlora": QLora,
    **{name: Peft(name, adapter) for name, adapter in ADAPTERS.items()},
}


def method(name: str) -> Kind:
    """The row called ``name``; ConfigError with the nearest name, or with the reason why it is not offered."""
    if name in NOT_OFFERED:
        raise ConfigError(
            f'The method "{name}" of peft is not offered: it {NOT_OFFERED[name]}.', "See: tuneproof methods"
        )
    if name not in METHODS:
        raise ConfigError(
            f'There is no method "{name}".', nearest(name, list(METHODS)) or f"Known: {', '.join(METHODS)}."
        )
    return METHODS[name]


def room(config: Config) -> int:
    """Tokens that the method puts before each row."""
    row = METHODS.get(config.method.name)
    return row.room(config) if isinstance(row, Peft) else 0


__all__ = [
    "ADAPTERS",
    "METHODS",
    "NOT_OFFERED",
    "Kind",
    "Method",
    "Pace",
    "merged",
    "method",
    "prompted",
    "refusal",
    "room",
]
