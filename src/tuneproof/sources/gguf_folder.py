"""A GGUF file made into an ordinary folder that transformers opens without knowing where it came from.

    convert(Path("model.gguf"), Path("folder"))       # config.json, model.safetensors, tokenizer.json, ...

Every packed tensor is dequantised, the query and key rows go back into the order of the published weights (GGUF files
of llama models hold them permuted for another form of the rotary embedding), and one tensor at a time is in memory.
Packed weights become bfloat16: a step of four bits is a fifteenth of its block's range, the rounding at most 0.4% of a
weight, and bfloat16 has the range of float32, which float16 has not. F16 and BF16 files keep their type and F32 files
stay float32, so nothing else is rounded. It deliberately knows two architectures only, and never needs torch.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneproof.errors import ModelError
from tuneproof.sources import gguf_tokenizer, tensors
from tuneproof.sources.gguf_header import Block, Header, read_header
from tuneproof.sources.tensors import Refused

if TYPE_CHECKING:
    from tuneproof.sources.tensors import Array

VERSION = 1  # of this conversion; a change of it makes cached folders be made anew
F32, F16, BF16 = 0, 1, 30
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False, "mlp_bias": False},
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
}
NAMES = {  # GGUF -> transformers
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
LAYER_NAMES = {
    "attn_norm.weight": "input_layernorm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
    "attn_q.bias": "self_attn.q_proj.bias",
    "attn_k.bias": "self_attn.k_proj.bias",
    "attn_v.bias": "self_attn.v_proj.bias",
}
OPTIONAL = ("attn_q.bias", "attn_k.bias", "attn_v.bias")


def convert(source: Path, folder: Path) -> None:
    """Fill the existing ``folder`` with an ordinary model; ModelError says what of ``source`` is not supported."""
    header = read_header(source)
    try:
        config = _config(header)
        names = _names(header, config)
        tokenizer = gguf_tokenizer.build(header.settings, config["vocab_size"], config["max_position_embeddings"])
    except Refused as reason:
        raise ModelError(
            f"{source} cannot be made into an ordinary model folder: {reason}.",
            "Use the folder of safetensors files that the model's publisher offers.",
        ) from reason
    _weights(source, header, names, config, folder / "model.safetensors")
    config["dtype"] = _storage(header)[1]
    special = {
        key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if config.get(key) is not None
    }
    _dump(folder / "config.json", config)
    _dump(folder / "generation_config.json", {"_from_model_config": True, **special})
    _dump(folder / "tokenizer.json", tokenizer.tokenizer)
    _dump(folder / "tokenizer_config.json", tokenizer.config)
    if tokenizer.chat_template:
        (folder / "chat_template.jinja").write_text(tokenizer.chat_template, "utf-8")


def _dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=None if path.name == "tokenizer.json" else 2), "utf-8")


def _config(header: Header) -> dict[str, Any]:
    import numpy as np

    settings = header.settings
    kind = settings.get("general.architecture")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise Refused(f"its architecture is {str(kind)[:40]!r}, and only {' and '.join(ARCHITECTURES)} are supported")

    def number(name: str, of: type[int] | type[float] = int) -> Any:
        value = settings.get(f"{kind}.{name}")
        if type(value) is not of or not 0 < value < 2**31:
            raise Refused(f'its setting "{kind}.{name}" is missing or not a number')
        return value

    if settings.get(f"{kind}.rope.scaling.type", "none") != "none" or "rope_freqs.weight" in header.tensors:
        raise Refused("it stretches its rotary embedding, which is not supported")
    if settings.get(f"{kind}.expert_count"):
        raise Refused("it is a mixture of experts, which is not supported")
    heads, width = number("attention.head_count"), number("embedding_length")
    embedding = header.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2 or embedding.shape[1] != width:
        raise Refused("its token embedding is missing or of another width than it says")
    head_dim = settings.get(f"{kind}.attention.key_length", width // heads)
    theta = settings.get(f"{kind}.rope.freq_base", 10_000.0)
    if type(theta) is not float or not 0 < theta < 1e12:
        raise Refused("the base of its rotary embedding is not a number")
    return {
        **ARCHITECTURES[kind],
        "hidden_size": width,
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": settings.get(f"{kind}.attention.head_count_kv", heads),
        **({"head_dim": head_dim} if kind == "llama" else {}),
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        # the file holds a float32; repr of its shortest decimal gives back the 1e-05 that was meant
        "rms_norm_eps": float(
            np.format_float_scientific(np.float32(number("attention.layer_norm_rms_epsilon", float)))
        ),
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "hidden_act": "silu",
        "vocab_size": embedding.shape[0],
        "tie_word_embeddings": "output.weight" not in header.tensors,
        **_special(settings),
        "use_cache": True,
    }


def _special(settings: dict[str, Any]) -> dict[str, int]:
    keys = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    found = {key: settings.get(f"tokenizer.ggml.{name}_token_id") for key, name in keys.items()}
    if found["pad_token_id"] is None:
        found["pad_token_id"] = found["eos_token_id"]
    return {key: value for key, value in found.items() if type(value) is int}


def _names(header: Header, config: dict[str, Any]) -> dict[str, str]:
    """GGUF name -> transformers name for all tensors that the architecture has, none missing and none left over."""
    names = {old: new for old, new in NAMES.items() if old != "output.weight" or old in header.tensors}
    for layer in range(min(config["num_hidden_layers"], 512)):
        for old, new in LAYER_NAMES.items():
            if old not in OPTIONAL or f"blk.{layer}.{old}" in header.tensors:
                names[f"blk.{layer}.{old}"] = f"model.layers.{layer}.{new}"
    missing, left = names.keys() - header.tensors.keys(), header.tensors.keys() - names.keys()
    if missing or left:
        raise Refused(f'the tensor "{min(missing or left)[:80]}" is {"missing" if missing else "not known"}')
    width, heads, kv_heads = (config[key] for key in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    head_dim = config.get("head_dim", width // heads)
    if not all(type(n) is int and 0 < n <= 65_536 for n in (kv_heads, head_dim)) or head_dim % 2:
        raise Refused("the numbers of its attention heads do not fit together")
    inner = config["intermediate_size"]
    shapes = {
        "token_embd.weight": (config["vocab_size"], width), "output.weight": (config["vocab_size"], width),
        "output_norm.weight": (width,), "attn_norm.weight": (width,), "ffn_norm.weight": (width,),
        "attn_q.weight": (heads * head_dim, width), "attn_q.bias": (heads * head_dim,),
        "attn_k.weight": (kv_heads * head_dim, width), "attn_k.bias": (kv_heads * head_dim,),
        "attn_v.weight": (kv_heads * head_dim, width), "attn_v.bias": (kv_heads * head_dim,),
        "attn_output.weight": (width, heads * head_dim), "ffn_down.weight": (width, inner),
        "ffn_gate.weight": (inner, width), "ffn_up.weight": (inner, width),
    }  # fmt: skip
    for name in names:
        shape = shapes[name.split(".", 2)[2] if name.startswith("blk.") else name]
        if header.tensors[name].shape != shape:
            raise Refused(f'the tensor "{name}" has the shape {header.tensors[name].shape}, and {shape} is expected')
    return names


def _storage(header: Header) -> tuple[str, str]:
    """(safetensors dtype, torch dtype) for all weights, from what the matrices of the file are."""
    kinds = {block.kind for block in header.tensors.values() if len(block.shape) > 1}
    if kinds == {F32}:
        return "F32", "float32"
    return ("F16", "float16") if kinds == {F16} else ("BF16", "bfloat16")


def _weights(source: Path, header: Header, names: dict[str, str], config: dict[str, Any], target: Path) -> None:
    import numpy as np

    dtype, _ = _storage(header)
    cast: dict[str, Callable[[Array], Array]] = {
        "F32": lambda array: array,
        "F16": lambda array: array.astype(np.float16),
        "BF16": tensors.to_bfloat16,
    }
    order = sorted(names, key=lambda name: header.tensors[name].offset)
    shapes = {names[name]: (dtype, header.tensors[name].shape) for name in order}
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}

    def arrays(data: mmap.mmap) -> Iterator[Array]:
        for name in order:
            part = name.split(".")[2] if name.startswith("blk.") else ""
            unpermute = heads.get(part, 0) if config["model_type"] == "llama" else 0
            for rows in _rows(data, header.tensors[name], whole=bool(unpermute)):
                yield cast[dtype](_natural_order(rows, unpermute) if unpermute else rows)

    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tensors.write(target, shapes, arrays(data))


def _rows(data: mmap.mmap, block: Block, whole: bool) -> Iterator[Array]:
    """The float32 values of a tensor, some rows at a time so that a large embedding never lies unpacked in memory."""
    import numpy as np

    from tuneproof.optional import need

    quants = need("gguf.quants", extra="gguf")
    constants = need("gguf.constants", extra="gguf")
    kind = constants.GGMLQuantizationType(block.kind)
    count = block.shape[0] if len(block.shape) > 1 else 1
    row_bytes = block.size // count
    step = count if whole else max(1, (4 << 20) // row_bytes)
    for start in range(0, count, step):
        rows = min(step, count - start)
        raw = np.frombuffer(
            data[block.offset + start * row_bytes : block.offset + (start + rows) * row_bytes], np.uint8
        )
        values: Array = quants.dequantize(raw.reshape(rows, row_bytes), kind)
        yield values if len(block.shape) > 1 else values.reshape(-1)


def _natural_order(rows: Array, heads: int) -> Array:
    """Undo llama.cpp's permutation of query and key rows: pairs (i, i + half) of a head lie interleaved in the file."""
    half = rows.shape[0] // heads // 2
    order: Array = rows.reshape(heads, half, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
    return order
