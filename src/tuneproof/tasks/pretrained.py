"""Pretrained weights from an admitted folder, in fp32, from files alone.

model = load_pretrained("AutoModelForCausalLM", folder, seed=0)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn import Module
from transformers.utils import logging

from tuneproof.errors import ModelError

# Its bars and its report on a new head would stand in the middle of ours; what fails still raises.
logging.set_verbosity_error()
logging.disable_progress_bar()


def load_pretrained(auto: str, folder: Path, *, seed: int, **options: Any) -> Module:
    """The model that ``transformers.<auto>`` makes of ``folder``; a new head is drawn from ``seed``.

    ModelError when the folder's architecture cannot do this.
    """
    torch.manual_seed(seed)
    try:
        model: Module = getattr(transformers, auto).from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, use_safetensors=True, **options
        )
    except (OSError, ValueError) as error:
        first = str(error).split("\n")[0]
        raise ModelError(
            f"{folder} cannot be opened as {auto.removeprefix('AutoModelFor')}: {first}",
            "See which models fit the task: tuneproof models list",
        ) from error
    return model
