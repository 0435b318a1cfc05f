"""Which weights train and how they are saved. METHODS is the one table.

    method = METHODS["lora"](config)
    model = method.apply(model)

Adding a method is one file and one row here. Nothing outside this folder asks which method it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch.nn import Module

from tuneproof.config import Config
from tuneproof.errors import ConfigError, nearest
from tuneproof.methods.freeze import Freeze
from tuneproof.methods.full import Full
from tuneproof.methods.lora import Lora
from tuneproof.methods.parts import Pace


class Method(Protocol):
    """What trains, and how it is kept."""

    lr_factor: ClassVar[float]  # times the learning rate of full tuning
    section: ClassVar[str]  # section of the configuration that only this method reads, or ""
    good_for: ClassVar[str]
    trained_share: ClassVar[float]  # of the parameters, roughly: for the estimate before anything is loaded
    wrapped: ClassVar[bool]  # whether the saved folder is an adapter over the pretrained model

    def __init__(self, config: Config) -> None: ...

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        """Values and reasons of the method's undecided options, for a model of so many layers."""
        ...

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


METHODS: dict[str, type[Method]] = {"full": Full, "freeze": Freeze, "lora": Lora}


def method(name: str) -> type[Method]:
    """The row called ``name``; ConfigError with the nearest name otherwise."""
    if name not in METHODS:
        raise ConfigError(
            f'There is no method "{name}".', nearest(name, list(METHODS)) or f"Known: {', '.join(METHODS)}."
        )
    return METHODS[name]
