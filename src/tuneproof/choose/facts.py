"""What a model folder is, from its config.json, the headers of its weight files, and the weights of its norms.

A norm begins as nothing but ones, and no training leaves all of them so: that tells an untrained model.
"""

from __future__ import annotations

import json
import math
import re
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
HEADS = ("num_attention_heads", "encoder_attention_heads", "num_heads", "n_head", "n_heads")
# The same for dropout on attention weights; the last is that of architectures with one rate for all.
DROPPED = ("attention_probs_dropout_prob", "attention_dropout", "attn_pdrop", "dropout_rate")
NORM = re.compile(r"(norm|ln_|layernorm)[a-z0-9_]*\.weight$", re.IGNORECASE)
ONE = {"F32": b"\0\0\x80\x3f", "F16": b"\0\x3c", "BF16": b"\x80\x3f"}  # the number 1, little-endian
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
        trained=_trained(source.path),
        dropping_heads=_first(config, HEADS, source.path, 0) if any(config.get(name) for name in DROPPED) else 0,
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
    """Numbers in all weight files."""
    return sum(
        math.prod(tensor["shape"]) for file in path.glob("*.safetensors") for tensor in _header(file)[0].values()
    )


def _trained(path: Path) -> bool:
    """False where every norm is nothing but ones; a model without norms by these names passes as trained."""
    found = False
    for file in sorted(path.glob("*.safetensors")):
        tensors, start = _header(file)
        with file.open("rb") as content:
            for name, tensor in tensors.items():
                if not NORM.search(name) or tensor["dtype"] not in ONE:
                    continue
                begin, end = tensor["data_offsets"]
                content.seek(start + begin)
                if content.read(end - begin) != ONE[tensor["dtype"]] * math.prod(tensor["shape"]):
                    return True
                found = True
    return not found


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The tensors of a safetensors file (8 bytes of length, then JSON), and where their numbers begin."""
    with file.open("rb") as content:
        length = struct.unpack("<Q", content.read(8))[0]
        header: dict[str, Any] = json.loads(content.read(length))
    return {name: tensor for name, tensor in header.items() if name != "__metadata__"}, 8 + length
