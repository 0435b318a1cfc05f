"""An ordinary transformers folder: weights as safetensors, configuration beside them."""

from __future__ import annotations

from pathlib import Path

from torch.nn import Module
from transformers import PreTrainedModel


def save_folder(model: Module, to: Path) -> None:
    """``to`` then opens with ``AutoModel...from_pretrained`` and nothing of tuneproof."""
    assert isinstance(model, PreTrainedModel)
    model.save_pretrained(to)
