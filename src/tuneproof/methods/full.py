"""Full tuning: every weight trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch.nn import Module

from tuneproof.config import Config
from tuneproof.methods.folder import save_folder
from tuneproof.methods.parts import Pace


class Full:
    lr_factor: ClassVar[float] = 1.0
    section: ClassVar[str] = ""
    trained_share: ClassVar[float] = 1.0
    wrapped: ClassVar[bool] = False
    merges: ClassVar[bool] = True
    good_for: ClassVar[str] = "small models and enough rows; forgets most"

    def __init__(self, config: Config) -> None:
        pass

    @classmethod
    def settings(cls, config: Config, layers: int) -> dict[str, tuple[Any, str]]:
        return {}

    def apply(self, model: Module) -> Module:
        return model.requires_grad_(True)

    def pace(self, model: Module) -> Mapping[str, Pace]:
        return {}

    def save(self, model: Module, to: Path) -> None:
        save_folder(model, to)

    def load(self, open_model: Callable[[Path], Module], base: Path, path: Path) -> Module:
        return open_model(path)
