"""How a raw value becomes tensors: text, chat; images and tables find their place here. MODALITIES is the table.

    encoder = MODALITIES["text"](folder, max_length=256)
    batch = encoder.collate([encoder.encode("arrived broken")])

The encoder that training uses is the one that evaluation and serving use. Nothing here knows what an answer is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tuneproof.modalities.chat import ChatEncoder, NotShown
from tuneproof.modalities.encoding import IGNORED, Batch, Encoder, Example, Piece, padded
from tuneproof.modalities.text import TextEncoder

MODALITIES: dict[str, Callable[[Path, int], Encoder]] = {
    "text": TextEncoder,
    "chat": ChatEncoder,
}

__all__ = [
    "IGNORED",
    "MODALITIES",
    "Batch",
    "ChatEncoder",
    "Encoder",
    "Example",
    "NotShown",
    "Piece",
    "TextEncoder",
    "padded",
]
