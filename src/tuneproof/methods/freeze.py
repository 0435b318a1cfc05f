"""Layer freezing: the top layers and the head train, the rest stays as it was pretrained.

    Freeze(config).apply(model)          # config.freeze.top_layers = 2, or config.freeze.layers = "4:6"

Frozen layers run without dropout: their output is a constant of the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from torch.nn import Module

from tuneproof.config import Config
from tuneproof.errors import ConfigError
from tuneproof.methods.folder import save_folder
from tuneproof.methods.parts import Parts


class Freeze:
    lr_factor: ClassVar[float] = 2.5
    section: ClassVar[str] = "freeze"
    trained_share: ClassVar[float] = 0.35
    wrapped: ClassVar[bool] = False
    good_for: ClassVar[str] = "few rows, little time; the lower layers forget nothing"

    def __init__(self, config: Config) -> None:
        self.options = config.freeze

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        if config.freeze.layers is not None:
            if config.freeze.top_layers is not None:
                raise ConfigError("freeze.top_layers and freeze.layers say the same thing twice.", "Give one of them.")
            return {}
        top = max(2, layers // 3)
        return {"freeze.top_layers": (top, f"a third of the model's {layers} layers, at least two")}

    def apply(self, model: Module) -> Module:
        parts = Parts.of(model)
        chosen = self._chosen(len(parts.layers))
        prefixes = tuple(f"{parts.layers[index][0]}." for index in chosen)
        for name, parameter in model.named_parameters():
            trains = name in parts.head or name.startswith(prefixes)
            parameter.requires_grad_(trains or (name in parts.embeddings and not self.options.embeddings))
        return model

    def _chosen(self, layers: int) -> range:
        if self.options.layers is None:
            if self.options.top_layers > layers:
                raise ConfigError(f"freeze.top_layers={self.options.top_layers}, but the model has {layers} layers.")
            return range(layers - self.options.top_layers, layers)
        match = re.fullmatch(r"(\d+):(\d+)", self.options.layers)
        if not match or not 0 <= int(match[1]) < int(match[2]) <= layers:
            raise ConfigError(
                f'freeze.layers="{self.options.layers}" is no range of the model\'s {layers} layers.',
                f'The top two are "{layers - 2}:{layers}".',
            )
        return range(int(match[1]), int(match[2]))

    def save(self, model: Module, to: Path) -> None:
        save_folder(model, to)

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        return open_model(path)
