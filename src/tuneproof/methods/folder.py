"""An ordinary transformers folder: weights as safetensors, configuration beside them."""

from __future__ import annotations

import json
from pathlib import Path

from torch.nn import Module
from transformers import PreTrainedModel


def save_folder(model: Module, to: Path) -> None:
    """``to`` then opens with ``AutoModel...from_pretrained`` and nothing of tuneproof."""
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(to)


def impersonal(folder: Path) -> None:
    """Take out of an adapter's settings the class and module that peft notes, and the place of its base on this disk.

    Nothing here opens by them, and admission refuses settings that name code to import or somebody's folder.
    """
    file = folder / "adapter_config.json"
    if file.is_file():
        told = json.loads(file.read_text(encoding="utf-8"))
        base = str(told.get("base_model_name_or_path") or "")
        told |= {"auto_mapping": None, "base_model_name_or_path": Path(base).name if Path(base).is_dir() else base}
        file.write_text(json.dumps(told, indent=2, sort_keys=True) + "\n", encoding="utf-8")
