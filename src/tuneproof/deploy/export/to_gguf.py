"""Merged weights of a llama- or qwen2-type model as one GGUF file for llama.cpp, and what that file says, read back.

    build(subject, folder, "f16")       # model.gguf
    run(subject, folder)                # converted back as any GGUF is, and opened by transformers

The tables are those of the reader (``sources.gguf_folder``): one place knows how the two formats name things. Query and
key rows of llama models are stored in pairs for llama.cpp's form of the rotary embedding. The tokenizer has to be a
byte-level BPE whose way of cutting text llama.cpp has a word for; any other is refused, not approximated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tuneproof.deploy.export import llama_cpp
from tuneproof.deploy.export.folders import adds_bos, cannot_merge, merged, template
from tuneproof.deploy.export.runtimes import TransformersOutside
from tuneproof.deploy.export.subject import Floats, Subject
from tuneproof.deploy.export.to_onnx import elsewhere
from tuneproof.errors import CheckError, ModelError
from tuneproof.optional import need
from tuneproof.sources.gguf_folder import ARCHITECTURES, LAYER_NAMES, NAMES, convert
from tuneproof.sources.gguf_header import read_header
from tuneproof.sources.gguf_tokenizer import CONTROL, PRE, USER_DEFINED

FILE = "model.gguf"
NORMAL, UNUSED = 1, 5  # token types of llama.cpp, beside CONTROL and USER_DEFINED
TYPES = {"f32": ("F32", 0), "f16": ("F16", 1), "q8_0": ("Q8_0", 7)}  # ours -> (tensor type, general.file_type)
WRITERS = "AutoModelForCausalLM"
NAMES_BACK = {new: old for old, new in NAMES.items()}
LAYERS_BACK = {new: old for old, new in LAYER_NAMES.items()}


def refuses(subject: Subject) -> str:
    if subject.auto != WRITERS:
        return f"llama.cpp runs GPT-type models, and this is none: {elsewhere(subject)}"
    config = json.loads((_shape(subject) / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in ARCHITECTURES:
        return f"its architecture is {config.get('model_type')}, and {' and '.join(ARCHITECTURES)} are written"
    if _word(_tokenizer(subject)) is None:
        return "its tokenizer cuts text in a way that llama.cpp has no word for"
    return cannot_merge(subject)


def _shape(subject: Subject) -> Path:
    """The folder whose config.json describes the model."""
    return subject.base if subject.wrapped else subject.run.model


def build(subject: Subject, folder: Path, precision: str) -> None:
    """``model.gguf``: settings, tokenizer with its template, weights."""
    gguf = need("gguf", extra="gguf")
    model = merged(subject.fresh())
    config = model.config.to_dict()
    kind, file_type = config["model_type"], TYPES[precision]
    writer = gguf.GGUFWriter(str(folder / FILE), kind)
    _settings(writer, subject, config)
    writer.add_file_type(file_type[1])
    _vocabulary(writer, subject, config["vocab_size"])
    for name, array in _tensors(model.state_dict(), config):
        wide = array.ndim > 1 and precision != "f32"
        packed = _packed(gguf, array, file_type[0]) if wide else (array, gguf.GGMLQuantizationType.F32)
        writer.add_tensor(name, packed[0], raw_dtype=packed[1])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _packed(gguf: Any, array: Floats, kind: str) -> tuple[Any, Any]:
    """Rows whose length is no multiple of the block's stay F16, as llama.cpp itself does it."""
    wanted = gguf.GGMLQuantizationType[kind]
    block = gguf.constants.GGML_QUANT_SIZES[wanted][0]
    if array.shape[-1] % block:
        wanted = gguf.GGMLQuantizationType.F16
    return gguf.quants.quantize(array, wanted), wanted


def _settings(writer: Any, subject: Subject, config: Mapping[str, Any]) -> None:
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    if rope.get("rope_type", "default") != "default":
        raise ModelError("This model stretches its rotary embedding, which the GGUF export does not write.")
    writer.add_name(subject.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(config["vocab_size"])
    if head_dim * heads != config["hidden_size"]:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)


def _tokenizer(subject: Subject) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((subject.run.model / "tokenizer.json").read_text(encoding="utf-8"))
    return found


def _word(tokenizer: Mapping[str, Any]) -> str | None:
    """llama.cpp's word for the way this tokenizer cuts text before its merges."""
    before = tokenizer.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    if tokenizer.get("model", {}).get("type") != "BPE":
        return None
    return next((word for word, known in PRE.items() if _plain(known) == _plain(steps)), None)


def _plain(steps: Any) -> Any:
    """Steps without what only matters for offsets."""
    return [{key: value for key, value in step.items() if key != "trim_offsets"} for step in steps]


def _vocabulary(writer: Any, subject: Subject, size: int) -> None:
    tokenizer, encoder = _tokenizer(subject), subject.predictor.encoder
    pieces = {index: piece for piece, index in tokenizer["model"]["vocab"].items()}
    kinds = dict.fromkeys(pieces, NORMAL)
    for added in tokenizer["added_tokens"]:
        pieces[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_word(tokenizer))
    writer.add_token_list([pieces.get(index, f"[UNUSED{index}]") for index in range(size)])
    writer.add_token_types([kinds.get(index, UNUSED) for index in range(size)])
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    writer.add_token_merges(merges)
    own: Any = encoder.tokenizer
    for id, add in (
        (own.bos_token_id, writer.add_bos_token_id),
        (own.eos_token_id, writer.add_eos_token_id),
        (own.pad_token_id, writer.add_pad_token_id),
        (_end_of_turn(subject), writer.add_eot_token_id),
    ):
        if id is not None:
            add(id)
    writer.add_add_bos_token(adds_bos(own))
    writer.add_chat_template(template(encoder))


def _end_of_turn(subject: Subject) -> int:
    """The token that closes an answer: what is learnt last, where that is not the end of a text anyway."""
    encoder: Any = subject.predictor.encoder
    stops = [id for id in encoder.stops if id != encoder.tokenizer.eos_token_id]
    return int((stops or encoder.stops)[0])


def _tensors(weights: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, Floats]]:
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, weight in weights.items():
        if name == "lm_head.weight" and config["tie_word_embeddings"]:
            continue
        array: Floats = weight.float().numpy()
        if name in NAMES_BACK:
            yield NAMES_BACK[name], array
            continue
        _, _, layer, inner = name.split(".", 3)  # model.layers.3.self_attn.q_proj.weight
        if inner not in LAYERS_BACK:
            raise ModelError(f"The GGUF export has no name for the weight {name}.")
        part = inner.split(".")[-2]
        if config["model_type"] == "llama" and part in heads:
            array = in_pairs(array, heads[part])
        yield f"blk.{layer}.{LAYERS_BACK[inner]}", array


def in_pairs(rows: Floats, heads: int) -> Floats:
    """llama.cpp's order of query and key rows: rows (i, i + half) of a head side by side."""
    half = rows.shape[0] // heads // 2
    order: Floats = rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
    return np.ascontiguousarray(order)


def run(subject: Subject, folder: Path) -> TransformersOutside:
    """The file read back by the reader that any GGUF goes through, into ``read-back`` beside it."""
    back = folder / ".read-back"
    back.mkdir(exist_ok=True)
    convert(folder / FILE, back)
    return TransformersOutside(back, subject, name="transformers, from the GGUF read back")


def check(subject: Subject, folder: Path) -> str:
    """CheckError unless the file stops where the scored model did, carries its template, and llama.cpp agrees."""
    settings = read_header(folder / FILE).settings
    encoder: Any = subject.predictor.encoder
    known = {settings.get("tokenizer.ggml.eos_token_id"), settings.get("tokenizer.ggml.eot_token_id")}
    if not set(encoder.stops) <= known:
        told = [str(encoder.tokenizer.convert_ids_to_tokens(id)) for id in encoder.stops if id not in known]
        raise CheckError(f"The GGUF file does not stop at {', '.join(told)}, where the scored model did.")
    if settings.get("tokenizer.chat_template") != template(encoder):
        raise CheckError("The GGUF file's chat template is not the one that the model was tuned with.")
    return llama_cpp.asked(subject, folder / FILE)
