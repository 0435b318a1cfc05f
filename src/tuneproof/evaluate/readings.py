"""Documents under a model: the loss of each, and which of its tokens the model names rightly.

    readings(predictor, documents(500))[0].loss          # nats per token
    masked_models(tuned, folder)                         # an encoder with the head that it was pretrained with

A model that continues texts is asked for every token, an encoder with a decoder as ``gapped`` says, an encoder for
masked tokens. Two models are always asked the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module, functional

from tuneproof.compute import cast_once
from tuneproof.config import DIVERGENCE_ROWS, DOCUMENT_TOKENS
from tuneproof.evaluate.gapped import gapped
from tuneproof.evaluate.retain import Document
from tuneproof.modalities import IGNORED, Batch, Example, TextEncoder
from tuneproof.place import device_of, put
from tuneproof.predict import Predictor, by_length
from tuneproof.stats.paired import difference
from tuneproof.tasks import task
from tuneproof.tasks.instruction import each_token

CHUNK_TOKENS = 1024  # of a batch here, where every token has logits: over 50,000 words those are 200 MB
MASKED = 0.15  # share of tokens that are masked (Devlin et al. 2019)
# Kinds of models whose knowledge shows in the loss of a text, and the task that says how likely a text is.
WRITERS = {"decoder": task("instruction").answer, "seq2seq": task("seq2seq").answer}

Bools = np.ndarray[Any, np.dtype[np.bool_]]


class Reading(NamedTuple):
    """A document under a model."""

    loss: float  # nats per token
    right: Bools  # (tokens,): whether the likeliest token is the one that stands there


def readings(predictor: Predictor, texts: Sequence[Document]) -> list[Reading]:
    """What a language model makes of each document."""
    examples = [_asked(predictor, one.text, number) for number, one in enumerate(texts)]
    found: dict[int, Reading] = {}
    with cast_once(predictor.model, predictor.config.evaluate.precision), torch.inference_mode():
        for indices in by_length([len(example) for example in examples], CHUNK_TOKENS):
            batch = predictor.encoder.collate([examples[index] for index in indices]).beside(predictor.model)
            nll, hit = (each.cpu() for each in _each_token(predictor, batch))
            counts = _learnt(batch)
            for index, losses, hits in zip(indices, torch.split(nll, counts), torch.split(hit, counts), strict=True):
                found[index] = Reading(float(losses.mean()), hits.bool().numpy())
    return [found[index] for index in range(len(examples))]


def _asked(predictor: Predictor, text: str, number: int) -> Example:
    if predictor.answer.auto == WRITERS["decoder"].auto:
        return whole(predictor, text)
    assert isinstance(predictor.encoder, TextEncoder)
    return gapped(predictor.encoder, text, number)


def _each_token(predictor: Predictor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the learnt tokens, row after row: the loss of each, and 1 where it is the likeliest."""
    if batch.target is None:
        return each_token(predictor.model, batch)
    logits = predictor.answer.logits(predictor.model, batch)
    assert batch.here.target is not None
    truth = batch.target.flatten()[batch.places(batch.here.target != IGNORED)]
    return functional.cross_entropy(logits, truth, reduction="none"), logits.argmax(-1) == truth


def _learnt(batch: Batch) -> list[int]:
    """How many tokens of each row are learnt."""
    batch = batch.here
    where = batch.targets if batch.target is None else batch.target != IGNORED
    counts: list[int] = where.sum(-1).tolist()
    return counts


def whole(predictor: Predictor, text: str) -> Example:
    """A document as tokens that all carry loss, without any template."""
    most = min(DOCUMENT_TOKENS, predictor.encoder.max_length)
    ids = predictor.encoder.tokenizer(text, verbose=False)["input_ids"][:most]
    return Example(ids, loss=[True] * len(ids))


def divergence(tuned: Predictor, base: Predictor, rows: Sequence[Example]) -> dict[str, Any] | None:
    """KL(base || tuned) in nats per answer token on at most 64 test rows, with a t-interval over rows."""
    chosen = list(rows[:DIVERGENCE_ROWS])
    per_row = np.zeros(len(chosen))
    precision = tuned.config.evaluate.precision
    with cast_once(base.model, precision), cast_once(tuned.model, precision), torch.inference_mode():
        for indices in by_length([len(example) for example in chosen], CHUNK_TOKENS):
            batch = tuned.encoder.collate([chosen[index] for index in indices]).beside(tuned.model)
            logs = [functional.log_softmax(p.answer.logits(p.model, batch), -1) for p in (base, tuned)]  # (N, vocab)
            each = (logs[0].exp() * (logs[0] - logs[1])).sum(-1).cpu()
            for index, part in zip(indices, torch.split(each, _learnt(batch)), strict=True):
                per_row[index] = float(part.mean()) if len(part) else 0.0
    if len(chosen) < 2:
        return None
    zero = difference(np.zeros(len(chosen)), per_row)
    return {"value": zero.value, "low": max(0.0, zero.low or 0.0), "high": zero.high, "n": len(chosen)}


# -- encoders with their masked-language-model head


def masked_models(tuned: Any, folder: Path) -> list[Module] | None:
    """The pretrained head on both bodies, [base, tuned]; None where the pretrained folder holds no such head."""
    from transformers import AutoModelForMaskedLM

    options = {"local_files_only": True, "dtype": torch.float32, "use_safetensors": True}
    try:
        first, loaded = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, ValueError):  # an architecture for which there is no such head
        return None
    if loaded["missing_keys"]:
        return None
    second = AutoModelForMaskedLM.from_pretrained(folder, **options)
    second.base_model.load_state_dict(tuned.base_model.state_dict(), strict=False)  # one side may have no pooler
    return [head.eval().to(device_of(tuned)) for head in (first, second)]


def masked_readings(head: Module, base: Predictor, texts: Sequence[Document]) -> list[Reading]:
    """The masked tokens of each document; the same ones are masked for both models."""
    tokenizer = base.encoder.tokenizer
    examples = [whole(base, one.text) for one in texts]
    draw = torch.Generator().manual_seed(0)
    hidden = [torch.rand(len(example), generator=draw) < MASKED for example in examples]
    found: dict[int, Reading] = {}
    with cast_once(head, base.config.evaluate.precision), torch.inference_mode():
        for indices in by_length([len(example) for example in examples], CHUNK_TOKENS):
            batch = base.encoder.collate([examples[index] for index in indices])
            masked = _padded([hidden[index] for index in indices], batch.ids.shape[1]) & (batch.mask > 0)
            masked[:, 1] |= ~masked.any(-1)  # a short text still has one
            ids = batch.ids.masked_fill(masked, tokenizer.mask_token_id)
            device = device_of(head)
            logits = head(input_ids=put(ids, device), attention_mask=put(batch.mask, device)).logits.float().cpu()
            for row, index in enumerate(indices):
                where = masked[row]
                own, truth = logits[row][where], batch.ids[row][where]
                found[index] = Reading(float(functional.cross_entropy(own, truth)), (own.argmax(-1) == truth).numpy())
    return [found[index] for index in range(len(examples))]


def _padded(rows: Sequence[Tensor], width: int) -> Tensor:
    found = torch.zeros((len(rows), width), dtype=torch.bool)
    for index, row in enumerate(rows):
        found[index, : len(row)] = row
    return found
