"""What peft 0.21 has beside LoRA, as data: a row is a method of that name; and what of it is not offered, and why.

    ADAPTERS["vera"].good_for
    NOT_OFFERED["adalora"]

``options`` are those that differ from peft's own defaults; ``fits`` are sizes that follow from the model's widths.
``lr`` is times the learning rate of full tuning. Sources of the methods: the papers that peft's documentation names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Adapter:
    """A row of the table."""

    type: str  # peft's own name of it
    good_for: str
    lr: float
    share: float  # of the parameters that train, roughly: for the estimate before anything is loaded
    where: str = "linear"  # what it sits on: "linear" layers, "norm"s, or "prompt" for tokens before the text
    options: Mapping[str, Any] = field(default_factory=dict)
    divides: Mapping[str, int] = field(default_factory=dict)  # option -> largest power of two that divides all widths
    within: Mapping[str, int] = field(default_factory=dict)  # option -> largest value, at most half the smallest width
    merges: bool = True  # whether what was learnt can be added to the pretrained weights


ADAPTERS: dict[str, Adapter] = {
    # -- low-rank and kin
    "loha": Adapter("LOHA", "products of two low-rank matrices: high rank from few weights", 10, 0.05),
    "lokr": Adapter("LOKR", "Kronecker products: few weights, high rank", 20, 0.002),
    "hira": Adapter("HIRA", "low-rank factors times the weights themselves: high rank", 20, 0.05, within={"r": 32}),
    # peft's bound of 15 lets the first step move weights by their own size: nothing is learnt (docs/log.md, 2026-11-26)
    "delora": Adapter("DELORA", "a bound on how far weights may move", 10, 0.03, options={"delora_lambda": 1.0}),
    "gralora": Adapter("GRALORA", "LoRA in blocks: more freedom at the same size", 5, 0.05, divides={"r": 16}),
    "glora": Adapter("GLORA", "scale, shift and low rank together", 10, 0.08, within={"r": 8}),
    "miss": Adapter("MISS", "one matrix in place of LoRA's two", 5, 0.05, divides={"r": 32}),
    "deft": Adapter("DEFT", "takes directions out of the weights before it adds new ones", 10, 0.05),
    "peanut": Adapter("PEANUT", "a small network over the weights, not linear in them", 5, 0.05, within={"r": 16}),
    # -- fixed random projections, few weights
    "vera": Adapter(
        "VERA", "very few weights: only scales of a shared random projection", 50, 0.002, within={"r": 256}
    ),
    "pvera": Adapter("PVERA", "VeRA with a distribution in its middle", 50, 0.002, within={"r": 64}),
    # its changes are times 20 (alpha 640, rank 32): at LoRA's rate the loss leaps (docs/log.md, 2026-11-26)
    "randlora": Adapter("RANDLORA", "full rank from scales of random bases", 2, 0.01, within={"r": 32}),
    "vblora": Adapter(
        "VBLORA",
        "one bank of vectors shared by all layers",
        50,
        0.004,
        divides={"vector_length": 128},
        options={"num_vectors": 64},
    ),
    "unilora": Adapter("UNILORA", "one vector for the whole model", 50, 0.001),
    "tinylora": Adapter("TINYLORA", "a handful of weights per layer", 20, 0.001),
    # -- other bases
    "fourierft": Adapter("FOURIERFT", "a few frequencies of the change", 100, 0.002, within={"n_frequency": 1000}),
    "waveft": Adapter("WAVEFT", "a few wavelet coefficients of the change", 50, 0.001, within={"n_frequency": 2592}),
    "c3a": Adapter("C3A", "circular convolutions: high rank from few weights", 20, 0.005, divides={"block_size": 128}),
    "shira": Adapter("SHIRA", "a sparse set of the weights themselves", 5, 0.03, within={"r": 32}),
    "supertuning": Adapter("SUPERTUNING", "the largest weights themselves", 5, 0.005),
    "adamss": Adapter("ADAMSS", "subspaces of the weights' singular vectors", 20, 0.002, within={"r": 100}),
    # -- rotations
    "oft": Adapter(
        "OFT", "rotations of the weights: keeps what the model knows", 5, 0.03, divides={"oft_block_size": 32}
    ),
    "boft": Adapter("BOFT", "rotations by butterfly blocks; slow", 5, 0.005, divides={"boft_block_size": 4}),
    "hra": Adapter("HRA", "reflections of the weights", 5, 0.008, within={"r": 8}),
    "psoft": Adapter("PSOFT", "rotations within the main subspace", 5, 0.001, within={"r": 32}),
    "road": Adapter(
        "ROAD", "rotations of pairs of outputs; many adapters in one batch", 20, 0.002, divides={"group_size": 64}
    ),
    # -- scales and biases
    "ia3": Adapter("IA3", "very few weights: one scale per output", 50, 0.002, options={"feedforward_modules": []}),
    # peft adds it to a bias where there is one; layers of the Llama type have none to add it to
    "beft": Adapter("BEFT", "very few weights: one bias per output", 20, 0.002, merges=False),
    "ln": Adapter("LN_TUNING", "norms alone: the fewest weights that reach every layer", 20, 0.001, where="norm"),
    # -- tokens before the text
    "prompt": Adapter(
        "PROMPT_TUNING",
        "large models and many tasks over one base; weak on small models",
        100,
        0.0005,
        "prompt",
        options={"num_virtual_tokens": 20},
        merges=False,
    ),
    "p-tuning": Adapter(
        "P_TUNING",
        "as prompt, but a small network writes the tokens",
        10,
        0.02,
        "prompt",
        options={"num_virtual_tokens": 20, "encoder_hidden_size": 128},
        merges=False,
    ),
    "prefix": Adapter(
        "PREFIX_TUNING",
        "as prompt, but in every layer; weak on small models",
        50,
        0.005,
        "prompt",
        options={"num_virtual_tokens": 20},
        merges=False,
    ),
}

# What peft has and tuneproof does not offer.
NOT_OFFERED: dict[str, str] = {
    "lily": "answers otherwise, by up to 1e-4, when peft opens its folder",
    "adalora": "moves its budget between layers by figures that no checkpoint keeps, so that resume would differ",
    "adaption-prompt": "works on Llama-type models alone, and needs layers and length to be chosen by hand",
    "cartridge": "needs a key-value cache distilled from documents, which is no tuning on rows",
    "cpt": "needs the tokens of a context given by hand",
    "frod": "decomposes all layers jointly at start, which takes minutes on two cores, and nothing is gained over vera",
    "multitask-prompt": "needs several tasks at once and a prompt trained before",
    "osf": "trains half of all singular directions: as large as full tuning, and for a sequence of tasks",
    "poly": "needs several tasks at once",
    "shadow": "returns from a layer what BERT- and Llama-type models do not accept (peft 0.21.2)",
    "trainable-tokens": "needs tokens chosen by hand; freeze.names with the embeddings does the same",
    "xlora": "mixes adapters that were trained before",
}
