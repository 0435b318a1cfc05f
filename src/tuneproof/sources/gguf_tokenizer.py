"""The tokenizer inside a GGUF file, written as the tokenizer.json that the model was published with.

    built = build(header.settings, vocab_size=49152, context=8192)      # built.tokenizer is the JSON

A GGUF file names its way of cutting text before the merges only by a word (``tokenizer.ggml.pre``); the table PRE says
what that word means. The reader in transformers ignores it, and then "2024" becomes another token than the four digits
that SmolLM2 was trained with. It deliberately knows byte-level BPE only; SentencePiece vocabularies are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeGuard

from tuneproof.sources.template import check_template
from tuneproof.sources.tensors import Refused

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _split(pattern: str) -> list[dict[str, Any]]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [split, {**BYTES, "use_regex": False}]


DIGITS = [{"type": "Digits", "individual_digits": True}, BYTES]
PRE: dict[str, list[dict[str, Any]]] = {  # meaning of each word: llama.cpp, llama-vocab.cpp
    "gpt-2": [BYTES],
    "smollm": DIGITS,
    "starcoder": DIGITS,
    "refact": DIGITS,
    "command-r": DIGITS,
    "llama-bpe": _split(LLAMA3),
    "llama3": _split(LLAMA3),
    "qwen2": _split(QWEN2),
}
NORMALIZED = {"qwen2": {"type": "NFC"}}
MERGED_WHOLE = ("llama-bpe", "llama3")  # a piece that is in the vocabulary is taken without looking at merges
CONTROL, USER_DEFINED = 3, 4
ADDED = (CONTROL, USER_DEFINED)  # found in a text before anything else cuts it


@dataclass(frozen=True, slots=True)
class Built:
    """The three files of a tokenizer."""

    tokenizer: dict[str, Any]
    config: dict[str, Any]
    chat_template: str


def build(settings: dict[str, Any], vocab_size: int, context: int) -> Built:
    """tokenizer.json, tokenizer_config.json and the chat template from a GGUF file's settings; Refused says why not."""
    model, pre = settings.get("tokenizer.ggml.model"), settings.get("tokenizer.ggml.pre", "gpt-2")
    if model != "gpt2" or not isinstance(pre, str) or pre not in PRE:
        raise Refused(f"its tokenizer ({str(model)[:40]}, {str(pre)[:40]}) is not among {', '.join(PRE)}")
    pieces, kinds = _vocabulary(settings, vocab_size)
    template = settings.get("tokenizer.chat_template", "")
    if not isinstance(template, str):
        raise Refused("its chat template is not text")
    check_template(template, "the GGUF file")
    ids = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(ids[p], p, kind) for p, kind in zip(pieces, kinds, strict=True) if kind in ADDED],
        "normalizer": NORMALIZED.get(pre),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE[pre]},
        "post_processor": _prefix(settings, pieces),
        "decoder": {**BYTES, "add_prefix_space": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": pre in MERGED_WHOLE, "vocab": ids, "merges": _merges(settings, ids),
        },
    }  # fmt: skip
    return Built(tokenizer, _config(settings, pieces, context), template)


def _vocabulary(settings: dict[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    """The pieces of text by id, and what kind each is."""
    pieces = settings.get("tokenizer.ggml.tokens")
    if not _texts(pieces) or len(set(pieces)) != len(pieces) or len(pieces) > vocab_size:
        raise Refused("its vocabulary is missing, has a piece twice or is larger than its embedding")
    kinds = settings.get("tokenizer.ggml.token_type", [1] * len(pieces))
    if not isinstance(kinds, list) or len(kinds) != len(pieces):
        raise Refused("its token types do not fit its vocabulary")
    return pieces, kinds


def _merges(settings: dict[str, Any], ids: dict[str, int]) -> list[list[str]]:
    merges = settings.get("tokenizer.ggml.merges")
    if not _texts(merges):
        raise Refused("it has no merges")
    pairs = [merge.split(" ") for merge in merges]
    if not all(len(p) == 2 and p[0] in ids and p[1] in ids and p[0] + p[1] in ids for p in pairs):
        raise Refused("it has a merge of pieces that are not in its vocabulary")
    return pairs


def _texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _added(index: int, piece: str, kind: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": piece, **flags, "special": kind == CONTROL}


def _token(settings: dict[str, Any], name: str, pieces: list[str]) -> str | None:
    index = settings.get(f"tokenizer.ggml.{name}_token_id")
    if index is None:
        return None
    if type(index) is not int or not 0 <= index < len(pieces):
        raise Refused(f"its {name} token is not in its vocabulary")
    return pieces[index]


def _prefix(settings: dict[str, Any], pieces: list[str]) -> dict[str, Any] | None:
    """The step that puts a BOS before each text, for the models that were trained with one."""
    bos = _token(settings, "bos", pieces)
    if settings.get("tokenizer.ggml.add_bos_token") is not True or bos is None:
        return None
    first = {"SpecialToken": {"id": bos, "type_id": 0}}
    one, two = ({"Sequence": {"id": part, "type_id": 0}} for part in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [first, one],
        "pair": [first, one, first, two],
        "special_tokens": {bos: {"id": bos, "ids": [pieces.index(bos)], "tokens": [bos]}},
    }


def _config(settings: dict[str, Any], pieces: list[str], context: int) -> dict[str, Any]:
    names = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    tokens = {key: _token(settings, name, pieces) for key, name in names.items()}
    tokens["pad_token"] = tokens["pad_token"] or tokens["eos_token"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # any other class would rebuild the pre-tokenizer its own way
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        **{key: token for key, token in tokens.items() if token is not None},
    }
