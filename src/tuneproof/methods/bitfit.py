"""BitFit (Ben Zaken et al. 2022, arXiv 2106.10199): the biases and a new head train, nothing else.

method = BitFit(config)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch.nn import Module

from tuneproof.config import Config
from tuneproof.errors import ConfigError
from tuneproof.methods.folder import save_folder
from tuneproof.methods.parts import Pace, Parts


class BitFit:
    lr_factor: ClassVar[float] = 10.0
    section: ClassVar[str] = ""
    trained_share: ClassVar[float] = 0.002
    wrapped: ClassVar[bool] = False
    merges: ClassVar[bool] = True
    good_for: ClassVar[str] = "encoders with few rows: a thousandth of the weights"

    def __init__(self, config: Config) -> None:
        pass

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        return {}

    def apply(self, model: Module) -> Module:
        """ConfigError for a model whose layers have no biases, as those of the Llama type."""
        parts = Parts.of(model)
        found = 0
        for name, parameter in model.named_parameters():
            bias = name.endswith(".bias") and name not in parts.head
            found += bias
            parameter.requires_grad_(bias or name in parts.head)
        if not found:
            raise ConfigError(
                "The layers of this model have no biases, so bitfit would train nothing.", "Try --method ln or beft."
            )
        return model

    def pace(self, model: Module) -> Mapping[str, Pace]:
        return {}

    def save(self, model: Module, to: Path) -> None:
        save_folder(model, to)

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        return open_model(path)
