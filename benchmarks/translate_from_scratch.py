"""A translator from nothing: an untrained T5 with a vocabulary learnt from the train rows, then ``tuneproof tune``.

    python benchmarks/translate_from_scratch.py DATA/bcontrast_chat_ende --text en --label de --out t5-scratch
    tuneproof tune DATA/bcontrast_chat_ende/train.jsonl --test DATA/bcontrast_chat_ende/test.jsonl \
        --task seq2seq --text en --label de --model t5-scratch

The first line is this program: it writes an ordinary transformers folder and prints the second. The tokenizer is a BPE
over bytes of both languages' train rows, shared by encoder and decoder; nothing of the test is read. The model has
about 6 million parameters, every weight as transformers draws it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

SPECIAL = ["<pad>", "</s>", "<unk>"]


def tokenizer(texts: list[str], vocabulary: int, limit: int) -> PreTrainedTokenizerFast:
    """A BPE over bytes: any text can be read and written."""
    inner = Tokenizer(models.BPE())
    inner.normalizer = normalizers.NFC()
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=limit
    )


def untrained(vocabulary: int, width: int, layers: int, seed: int) -> T5ForConditionalGeneration:
    torch.manual_seed(seed)
    options = T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=width // 4,
        num_heads=4,
        d_ff=4 * width,
        num_layers=layers,
        dropout_rate=0.1,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return T5ForConditionalGeneration(options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--text", required=True, help="column with the source")
    parser.add_argument("--label", required=True, help="column with the target")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rows = [
        json.loads(line) for line in (asked.data / "train.jsonl").read_text(encoding="utf-8").strip("\n").split("\n")
    ]
    words = tokenizer([row[name] for row in rows for name in (asked.text, asked.label)], asked.vocabulary, 256)
    words.save_pretrained(asked.out)
    model = untrained(len(words), asked.width, asked.layers, asked.seed)
    model.save_pretrained(asked.out)
    print(f"{model.num_parameters():,} parameters, {len(words):,} tokens, untrained: {asked.out}")
    print(
        f"tuneproof tune {asked.data}/train.jsonl --test {asked.data}/test.jsonl --task seq2seq "
        f"--text {asked.text} --label {asked.label} --model {asked.out}"
    )


if __name__ == "__main__":
    main()
