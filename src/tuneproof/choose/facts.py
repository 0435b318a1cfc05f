"""What a model folder is, from its config.json and the headers of its weight files."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from tuneproof.errors import ModelError
from tuneproof.records import ModelFacts
from tuneproof.sources import ModelSource

# model_type of config.json -> kind, for folders that are not in the catalogue.
DECODERS = ("llama", "mistral", "qwen", "gemma", "phi", "gpt", "opt", "smollm", "olmo", "falcon", "bloom", "granite")
SEQ2SEQ = ("t5", "bart", "pegasus", "marian", "prophetnet", "longt5", "umt5")

# The same quantity under the names that architectures give it.
WIDTH = ("hidden_size", "d_model", "n_embd", "dim")
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx")


def facts(source: ModelSource) -> ModelFacts:
    """ModelError when config.json lacks what every transformer has."""
    config: dict[str, Any] = json.loads((source.path / "config.json").read_text(encoding="utf-8"))
    config = {**config, **config.get("text_config", {})}
    return ModelFacts(
        name=source.name,
        path=str(source.path),
        revision=source.revision,
        licence=source.licence,
        kind=source.entry.kind if source.entry else _kind(config),
        parameters=_parameters(source.path),
        width=_first(config, WIDTH, source.path),
        layers=_first(config, LAYERS, source.path),
        vocabulary=int(config.get("vocab_size", 0)),
        context=min(_first(config, CONTEXT, source.path, 512), _tokenizer_limit(source.path)),
    )


def _first(config: dict[str, Any], names: tuple[str, ...], path: Path, otherwise: int | None = None) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    if otherwise is None:
        raise ModelError(f"{path}/config.json says nothing of {names[0]}.", "Is it a transformers model?")
    return otherwise


def _kind(config: dict[str, Any]) -> str:
    model_type = str(config.get("model_type", ""))
    if config.get("is_encoder_decoder") or model_type.startswith(SEQ2SEQ):
        return "seq2seq"
    if model_type.startswith(DECODERS):
        return "decoder"
    return "encoder"


def _tokenizer_limit(path: Path) -> int:
    """``model_max_length`` where it is a real limit: tokenizers without one carry a huge number."""
    file = path / "tokenizer_config.json"
    limit = json.loads(file.read_text(encoding="utf-8")).get("model_max_length") if file.is_file() else None
    return int(limit) if isinstance(limit, int | float) and 0 < limit < 10**7 else 10**7


def _parameters(path: Path) -> int:
    """Numbers in all weight files, from their headers (safetensors: 8 bytes of length, then JSON)."""
    total = 0
    for file in path.glob("*.safetensors"):
        with file.open("rb") as content:
            header = json.loads(content.read(struct.unpack("<Q", content.read(8))[0]))
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return total
