"""The JSON files of a model folder, held against tables of what they may say.

    check(Path("my-model/config.json"), ...)      # returns nothing, or raises ModelError

Transformers acts on what these files say: it imports the module that ``auto_map`` names and fetches the kernel that an
``_attn`` key names, in some versions even when told not to. So they are parsed here first, with limits on size,
depth and numbers. It deliberately does not know what each setting means to a model; wrong but harmless values pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from tuneproof.errors import ModelError
from tuneproof.sources.template import check_template
from tuneproof.sources.tensors import Refused, Tensor

# Architectures that transformers implements itself and that tuneproof has a use for.
MODEL_TYPES = frozenset({
    "albert", "bart", "bert", "bigbird_pegasus", "big_bird", "biogpt", "bloom", "camembert", "canine", "codegen",
    "cohere", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra", "ernie", "esm",
    "exaone4", "falcon", "flaubert", "fnet", "funnel", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n_text",
    "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "granite", "granitemoe", "helium",
    "ibert", "layoutlm", "led", "lfm2", "llama", "llama4_text", "longformer", "longt5", "luke", "m2m_100", "mamba",
    "mamba2", "marian", "mbart", "megatron-bert", "mistral", "mistral3", "ministral", "mixtral", "mobilebert",
    "modernbert", "modernbert-decoder", "mpnet", "mpt", "mt5", "mvp", "nemotron", "olmo", "olmo2",
    "olmo3", "opt", "pegasus", "phi", "phi3", "plbart", "prophetnet", "qwen2", "qwen2_moe", "qwen3",
    "qwen3_moe", "rembert", "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "seed_oss", "smollm3",
    "squeezebert", "stablelm", "starcoder2", "switch_transformers", "t5", "t5gemma", "umt5", "xglm", "xlm",
    "xlm-roberta", "xlm-roberta-xl", "xlnet", "xmod", "yoso", "vit", "deit", "beit", "swin", "swinv2", "convnext",
    "convnextv2", "resnet", "dinov2", "mobilenet_v2", "efficientnet", "siglip", "siglip_vision_model",
    "siglip_text_model", "clip", "clip_text_model", "clip_vision_model",
})  # fmt: skip
REFUSED_KEYS = {
    "auto_map": "names code to import",
    "trust_remote_code": "asks to run code from elsewhere",
    "custom_pipelines": "names code to import",
    "custom_generate": "names code to import",
    "auto_mapping": "names code to import",
    "quantization_config": "says that the weights are packed, which cannot be tuned here",
    "use_timm_backbone": "fetches another model",
    "use_pretrained_backbone": "fetches another model",
    "parent_library": "names code to import",
}
ATTENTION = re.compile(r"_?attn_implementation\w*|_attn\w*|_kernel\w*")
PLAIN_ATTENTION = (None, "eager", "sdpa")
PATH_KEYS = re.compile(r"(vocab|merges|tokenizer|spm|sp_model|source_spm|target_spm|chat_template)_file")
CLASS_KEYS = {"tokenizer_class", "processor_class", "image_processor_type", "feature_extractor_type"}
DTYPES = {"float32", "float16", "bfloat16", "float64", "auto"}
DTYPE_KEYS = {"dtype", "torch_dtype"}
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
MODULE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
NUMBERS: dict[str, tuple[int, int]] = {
    "num_hidden_layers": (1, 512), "num_layers": (1, 512), "n_layer": (1, 512), "n_layers": (1, 512),
    "encoder_layers": (0, 512), "decoder_layers": (0, 512), "num_decoder_layers": (0, 512),
    "hidden_size": (1, 65_536), "d_model": (1, 65_536), "n_embd": (1, 65_536), "dim": (1, 65_536),
    "embedding_size": (1, 65_536), "hidden_dim": (1, 1_048_576), "d_ff": (1, 1_048_576), "d_kv": (1, 8_192),
    "intermediate_size": (1, 1_048_576), "encoder_ffn_dim": (1, 1_048_576), "decoder_ffn_dim": (1, 1_048_576),
    "vocab_size": (1, 2_000_000), "type_vocab_size": (0, 1_024), "head_dim": (1, 8_192),
    "num_attention_heads": (1, 1_024), "num_key_value_heads": (1, 1_024), "num_heads": (1, 1_024),
    "n_head": (1, 1_024), "n_heads": (1, 1_024), "num_experts": (0, 1_024), "num_local_experts": (0, 1_024),
    "max_position_embeddings": (1, 10_485_760), "n_positions": (1, 10_485_760), "n_ctx": (1, 10_485_760),
    "num_labels": (1, 1_000_000), "num_return_sequences": (1, 1_024), "num_beams": (1, 1_024),
    "r": (1, 65_536),
}  # fmt: skip
PRODUCT_LIMIT = 2**33  # vocab_size x width; the largest embedding published so far has 2**31 numbers
DEPTH_LIMIT = 32
SIZE_LIMITS = {"config.json": 4 << 20, "generation_config.json": 1 << 20, "adapter_config.json": 1 << 20}
OTHER_SIZE_LIMIT = 128 << 20  # tokenizer.json of Gemma has 33 MB
HINT = "Use the original folder of the model's publisher; nothing in it may name code or other places."


def check(path: Path, weights: frozenset[str], headers: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Refuse a settings file that could run code, leave the folder or exhaust the machine; ModelError names it."""
    try:
        value = read(path)
        if path.name.endswith(".safetensors.index.json"):
            _index(value, weights, headers)
        elif path.name in ("tokenizer.json", "vocab.json"):
            pass  # data for the tokenizers library, which refuses what it does not know; no key in it names code
        else:
            _walk(value, path)
        if path.name == "config.json":
            _config(value)
        elif path.name == "adapter_config.json":
            _adapter(value)
    except Refused as reason:
        raise ModelError(f"{path} is refused: {reason}.", HINT) from reason


def read(path: Path) -> dict[str, Any]:
    """One JSON object with unique keys and finite numbers, no larger than the limit for its name."""
    limit = SIZE_LIMITS.get(path.name, OTHER_SIZE_LIMIT)
    size = path.stat().st_size
    if size > limit:
        raise Refused(f"it has {size:,} bytes, more than the limit of {limit:,}")
    unique = _unique if path.name in SIZE_LIMITS or path.name == "tokenizer_config.json" else None
    try:
        value = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=unique, parse_constant=_constant)
    except Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused("it is not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise Refused("it is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Refused("it names something twice")
    return table


def _constant(name: str) -> None:
    raise Refused(f"it has the number {name}")


def _walk(value: Any, path: Path, depth: int = 0) -> None:
    """Every key at every depth against the tables."""
    if depth > DEPTH_LIMIT:
        raise Refused(f"it is nested deeper than {DEPTH_LIMIT} levels")
    if isinstance(value, list):
        for item in value:
            _walk(item, path, depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _pair(key, item, path)
            _walk(item, path, depth + 1)
        _product(value)


def _pair(key: str, item: Any, path: Path) -> None:
    if key in REFUSED_KEYS and item not in (None, False, {}, []):
        raise Refused(f'its key "{key}" {REFUSED_KEYS[key]}')
    if key in ("auto_map", "trust_remote_code") and item is not None:
        raise Refused(f'its key "{key}" {REFUSED_KEYS[key]}')
    if ATTENTION.fullmatch(key) and not _plain_attention(key, item):
        raise Refused(f'its key "{key}" could fetch a program for the attention')
    if key == "backbone" and item is not None:
        raise Refused('its key "backbone" fetches another model')
    if key in NUMBERS and item is not None:
        _number(key, item)
    if key in DTYPE_KEYS and item is not None and str(item).removeprefix("torch.") not in DTYPES:
        raise Refused(f'its key "{key}" is not a floating point type')
    if key == "model_type" and (not isinstance(item, str) or item not in MODEL_TYPES):
        raise Refused(f"its model_type {json.dumps(item)[:80]} is not an architecture that is built in")
    if key in CLASS_KEYS and item is not None and not (isinstance(item, str) and IDENTIFIER.fullmatch(item)):
        raise Refused(f'its key "{key}" is not the name of a class')
    if PATH_KEYS.fullmatch(key) and item is not None:
        _plain_name(key, item)
    if key == "chat_template" and item is not None:
        _templates(item, path)


def _plain_attention(key: str, item: Any) -> bool:
    if key == "_attn_implementation_autoset":
        return item is None or isinstance(item, bool)
    if key.startswith("_"):
        return item is None
    return item in PLAIN_ATTENTION if not isinstance(item, dict) else all(v in PLAIN_ATTENTION for v in item.values())


def _number(key: str, item: Any) -> None:
    low, high = NUMBERS[key]
    for value in item if isinstance(item, list) else [item]:  # some architectures have one number per layer
        if type(value) is not int or not low <= value <= high:
            raise Refused(f'its key "{key}" is not a whole number from {low:,} to {high:,}')


def _product(table: dict[str, Any]) -> None:
    for key in ("hidden_size", "d_model", "n_embd", "dim"):
        vocabulary, width = table.get("vocab_size"), table.get(key)
        if type(vocabulary) is int and type(width) is int and vocabulary * width > PRODUCT_LIMIT:
            raise Refused(f"vocab_size times {key} is {vocabulary * width:,}, more than any published model has")


def _plain_name(key: str, item: Any) -> None:
    if not isinstance(item, str) or item != PurePosixPath(item).name or item != PureWindowsPath(item).name:
        raise Refused(f'its key "{key}" leads out of the folder')


def _templates(item: Any, path: Path) -> None:
    templates = item if isinstance(item, list) else [{"name": "default", "template": item}]
    for one in templates:
        if not isinstance(one, dict) or not isinstance(one.get("template"), str):
            raise Refused("its chat_template is neither text nor a list of named texts")
        check_template(one["template"], str(path))


def _config(value: dict[str, Any]) -> None:
    if "model_type" not in value:
        raise Refused("it has no model_type")
    architectures = value.get("architectures")
    if architectures is not None and not (
        isinstance(architectures, list)
        and all(isinstance(name, str) and IDENTIFIER.fullmatch(name) for name in architectures)
    ):
        raise Refused("its architectures are not a list of class names")
    for key in ("id2label", "label2id"):
        if value.get(key) is not None and not isinstance(value[key], dict):
            raise Refused(f'its key "{key}" is not a table')


def _adapter(value: dict[str, Any]) -> None:
    base = value.get("base_model_name_or_path")
    if base is not None and not isinstance(base, str):
        raise Refused("its base_model_name_or_path is not text")
    if base and (PurePosixPath(base).is_absolute() or PureWindowsPath(base).is_absolute() or ".." in base.split("/")):
        raise Refused("its base_model_name_or_path is a place on somebody's disk; a model's name is expected")
    modules = value.get("modules_to_save") or []
    if not isinstance(modules, list) or not all(isinstance(m, str) and MODULE.fullmatch(m) for m in modules):
        raise Refused("its modules_to_save are not names of modules")
    if "peft_type" not in value:
        raise Refused("it has no peft_type")


def _index(value: dict[str, Any], weights: frozenset[str], headers: Mapping[str, Mapping[str, Tensor]]) -> None:
    table = value.get("weight_map")
    if not isinstance(table, dict) or not table:
        raise Refused("it has no weight_map")
    for tensor, file in table.items():
        if not isinstance(file, str) or file not in weights:
            raise Refused(f'its weight "{tensor}" lies in a file that is not in the folder')
        if tensor not in headers[file]:
            raise Refused(f'its weight "{tensor}" is not in {file}')
