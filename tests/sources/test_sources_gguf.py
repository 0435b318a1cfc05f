"""A GGUF file becomes an ordinary folder whose tensors and tokens are those of the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from tuneproof import sources
from tuneproof.errors import ModelError
from tuneproof.sources.gguf_header import BLOCKS, read_header
from tuneproof.sources.gguf_tokenizer import build

Kind = gguf.GGMLQuantizationType
HEADS, KV_HEADS = 4, 2


def published_order(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter did to the rows, undone by index: row (h, i, pair) goes to (h, pair, i)."""
    size = rows.shape[0] // heads
    order = [head * size + 2 * i + pair for head in range(heads) for pair in range(2) for i in range(size // 2)]
    return rows[order]


@pytest.mark.parametrize("kind", [Kind.Q4_1, Kind.Q8_0, Kind.Q4_0, Kind.Q5_1, Kind.BF16, Kind.F16, Kind.F32])
def test_tensors_are_those_of_the_file(
    kind: Kind, make_gguf: Callable[..., Path], weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    made = sources.model(str(make_gguf(tmp_path / "a.gguf", weights, kind)), cache=tmp_path / "cache")
    found = load_file(made.path / "model.safetensors")
    dtype = {Kind.F32: torch.float32, Kind.F16: torch.float16}.get(kind, torch.bfloat16)
    names = {
        "token_embd.weight": ("model.embed_tokens.weight", 0),
        "blk.1.attn_q.weight": ("model.layers.1.self_attn.q_proj.weight", HEADS),
        "blk.1.attn_k.weight": ("model.layers.1.self_attn.k_proj.weight", KV_HEADS),
        "blk.0.attn_v.weight": ("model.layers.0.self_attn.v_proj.weight", 0),
        "blk.0.ffn_down.weight": ("model.layers.0.mlp.down_proj.weight", 0),
    }
    for old, (new, heads) in names.items():
        exact = gguf.dequantize(gguf.quantize(weights[old], kind), kind)
        exact = published_order(exact, heads) if heads else exact
        assert torch.equal(found[new], torch.from_numpy(exact.copy()).to(dtype)), new
    assert len(found) == len(weights)


def test_transformers_opens_it_and_agrees_with_its_own_reader(tiny_gguf: Path, tmp_path: Path) -> None:
    made = sources.model(str(tiny_gguf), cache=tmp_path)
    ours = AutoModelForCausalLM.from_pretrained(made.path, dtype=torch.float32)
    theirs = load_file(made.path / "model.safetensors")
    assert ours.config.tie_word_embeddings and ours.config.rms_norm_eps == 1e-5
    for name, value in ours.state_dict().items():
        if name != "lm_head.weight":
            assert torch.equal(value, theirs[name].float()), name
    assert ours.generation_config.eos_token_id == 2


def test_qwen2_has_biases_and_no_permutation(
    make_gguf: Callable[..., Path], weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    biases = {
        f"blk.{layer}.attn_{part}.bias": np.full(weights[f"blk.0.attn_{part}.weight"].shape[0], 0.5, np.float32)
        for layer in range(2)
        for part in "qkv"
    }
    path = make_gguf(tmp_path / "a.gguf", {**weights, **biases}, Kind.F32, architecture="qwen2", pre="qwen2")
    made = sources.model(str(path), cache=tmp_path / "cache")
    model = AutoModelForCausalLM.from_pretrained(made.path, dtype=torch.float32)
    layer = model.model.layers[1].self_attn
    assert model.config.model_type == "qwen2" and float(layer.q_proj.bias.detach().mean()) == 0.5
    assert torch.equal(layer.q_proj.weight.detach(), torch.from_numpy(weights["blk.1.attn_q.weight"]))


def test_tokenizer_cuts_digits_adds_nothing_and_goes_round(tiny_gguf: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(sources.model(str(tiny_gguf), cache=tmp_path).path)
    assert tokenizer.tokenize("the 12") == ["the", "Ġ", "1", "2"]  # "12" is a piece, but digits stand alone
    assert tokenizer("the").input_ids == tokenizer.convert_tokens_to_ids(["the"])
    for text in ("In 2024 it cost 12,345.67\n\n  x =  3;", "héllo 世界 🙂 it's", "tabs\tand  spaces ", "<|end|>"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer("<|start|>x<|end|>").input_ids[0] == 1 and tokenizer("x<|end|>").input_ids[-1] == 2
    marks = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token)
    assert marks == ("<|start|>", "<|end|>", "<|none|>", "<|end|>")
    assert tokenizer.model_max_length == 128
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert chat == "user: hi<|end|>"


def test_other_words_for_the_cut(
    make_gguf: Callable[..., Path], weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    for pre, pieces in (
        ("gpt-2", ["the", "Ġ", "12"]),
        ("llama-bpe", ["the", "Ġ", "12"]),
        ("qwen2", ["the", "Ġ", "1", "2"]),
    ):
        path = make_gguf(tmp_path / f"{pre}.gguf", weights, pre=pre)
        tokenizer = AutoTokenizer.from_pretrained(sources.model(str(path), cache=tmp_path / "cache").path)
        assert tokenizer.tokenize("the 12") == pieces, pre
        assert tokenizer.decode(tokenizer("It's 2024 —\n ok").input_ids) == "It's 2024 —\n ok"


def test_a_bos_is_added_where_the_file_asks_for_one() -> None:
    pieces = ["<s>", "a", "b", "ab"]
    settings = {"model": "gpt2", "pre": "gpt-2", "tokens": pieces, "merges": ["a b"], "token_type": [3, 1, 1, 1]}
    settings |= {"bos_token_id": 0, "eos_token_id": 0, "add_bos_token": True}
    built = build({f"tokenizer.ggml.{name}": value for name, value in settings.items()}, 4, 8)
    tokenizer = Tokenizer.from_str(json.dumps(built.tokenizer))
    assert tokenizer.encode("ab").ids == [0, 3] and tokenizer.encode("ab", add_special_tokens=False).ids == [3]


def test_the_folder_passes_admission_and_has_the_usual_files(tiny_gguf: Path, tmp_path: Path) -> None:
    made = sources.model(str(tiny_gguf), cache=tmp_path)
    assert set(made.sha256) == {
        "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
    }  # fmt: skip
    assert sources.admit(made.path) == made.sha256
    assert "quantization_config" not in json.loads((made.path / "config.json").read_text("utf-8"))


def test_block_sizes_are_those_of_the_gguf_package() -> None:
    for kind, sizes in BLOCKS.items():
        assert gguf.GGML_QUANT_SIZES[Kind(kind)] == sizes


def test_a_file_cut_off_anywhere_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    raw = tiny_gguf.read_bytes()
    path = tmp_path / "cut.gguf"
    for size in [*range(0, 2_000, 37), *range(2_000, len(raw), len(raw) // 40), len(raw) - 1]:
        path.write_bytes(raw[:size])
        with pytest.raises(ModelError, match=r"cut\.gguf"):
            read_header(path)


def test_a_file_with_damaged_bytes_never_ends_in_a_traceback(tiny_gguf: Path, tmp_path: Path) -> None:
    raw = tiny_gguf.read_bytes()
    random = np.random.default_rng(1)
    path = tmp_path / "damaged.gguf"
    refused = 0
    for _ in range(150):
        damaged = bytearray(raw)
        for at in random.integers(0, 9_000, 4):
            damaged[at] = int(random.integers(0, 256))
        path.write_bytes(damaged)
        try:
            sources.model(str(path), cache=tmp_path / "cache")
        except ModelError as error:
            refused += 1
            assert error.hint
    assert refused > 100


def test_what_is_not_supported_is_said(
    make_gguf: Callable[..., Path], weights: dict[str, np.ndarray], tmp_path: Path
) -> None:
    cases = {
        "falcon": {"architecture": "falcon"},
        "no-such-cut": {"pre": "no-such-cut"},
        "private attribute": {"template": "{{ ''.__class__ }}"},
    }
    for word, options in cases.items():
        path = make_gguf(tmp_path / f"{len(word)}.gguf", weights, **options)
        with pytest.raises(ModelError, match=word):
            sources.model(str(path), cache=tmp_path / "cache")
    path = make_gguf(tmp_path / "less.gguf", {k: v for k, v in weights.items() if k != "blk.1.ffn_up.weight"})
    with pytest.raises(ModelError, match=r"blk\.1\.ffn_up\.weight.*missing"):
        sources.model(str(path), cache=tmp_path / "cache")
    path.write_bytes(b"garbage" * 100)
    with pytest.raises(ModelError, match="letters GGUF"):
        sources.model(str(path), cache=tmp_path / "cache")
