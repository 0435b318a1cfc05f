"""Layer freezing: the top layers and the head train, the rest stays as it was pretrained.

    Freeze(config).apply(model)    # freeze.top_layers = 2, or freeze.layers = "4:6", or freeze.names = "*.attention.*"

With ``freeze.gradual`` the layers begin one by one, the top one first (Howard & Ruder 2018, arXiv 1801.06146): which
weights train is then a function of the step. Frozen layers run without dropout: their output is a constant of the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

from torch.nn import Module

from tuneproof.config import Config
from tuneproof.errors import ConfigError, nearest
from tuneproof.methods.folder import save_folder
from tuneproof.methods.parts import Pace, Parts


class Freeze:
    lr_factor: ClassVar[float] = 2.5
    section: ClassVar[str] = "freeze"
    trained_share: ClassVar[float] = 0.35
    wrapped: ClassVar[bool] = False
    merges: ClassVar[bool] = True
    good_for: ClassVar[str] = "few rows, little time; the lower layers forget nothing"

    def __init__(self, config: Config) -> None:
        self.options = config.freeze

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        ways = [way for way in ("top_layers", "layers", "names") if config.get(f"freeze.{way}") is not None]
        if len(ways) > 1:
            raise ConfigError(f"freeze.{ways[0]} and freeze.{ways[1]} say the same thing twice.", "Give one of them.")
        if ways and ways != ["top_layers"]:
            return {}
        top = max(2, layers // 3)
        return {"freeze.top_layers": (top, f"a third of the model's {layers} layers, at least two")}

    def apply(self, model: Module) -> Module:
        parts = Parts.of(model)
        trains = self._named(model) if self.options.names is not None else self._layers(model, parts)
        opened = parts.embeddings if not self.options.embeddings else frozenset()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in parts.head or name in trains or name in opened)
        return model

    def pace(self, model: Module) -> Mapping[str, Pace]:
        """The head and the top layer begin at once; below them one layer after the other, the embeddings last."""
        if not self.options.gradual:
            return {}
        parts = Parts.of(model)
        open = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        blocks = [{name for name in open if name.startswith(f"{layer}.")} for layer, _ in reversed(parts.layers)]
        waiting = [block for block in (*blocks, open & parts.embeddings) if block]
        if len(waiting) < 2:
            raise ConfigError("freeze.gradual would have no effect: only one layer trains.", "Leave it out.")
        share = self.options.gradual / (len(waiting) - 1)
        return {name: Pace(begins=share * index) for index, block in enumerate(waiting) for name in block}

    def _named(self, model: Module) -> set[str]:
        names = [name for name, _ in model.named_parameters()]
        found: set[str] = set()
        for pattern in (part.strip() for part in str(self.options.names).split(",")):
            hits = {name for name in names if fnmatchcase(name, pattern)}
            if not hits:
                raise ConfigError(
                    f'freeze.names="{pattern}" fits no weight of the model.',
                    nearest(pattern.strip("*."), names) or f'One of its weights is "{names[0]}".',
                )
            found |= hits
        return found

    def _layers(self, model: Module, parts: Parts) -> set[str]:
        prefixes = tuple(f"{parts.layers[index][0]}." for index in self._chosen(len(parts.layers)))
        return {name for name, _ in model.named_parameters() if name.startswith(prefixes)}

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
