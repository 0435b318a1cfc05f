"""Instruction tuning: a dialogue goes in, the assistant's turns are learnt. The model is a causal language model.

    Instruction().score(predictions).main        # loss per answer token, nats

Training and scoring compute logits only where a token is learnt.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Identity, Module
from transformers import GenerationConfig, PreTrainedModel

from tuneproof.compute import loss_and_hit, summed_loss
from tuneproof.config import Data
from tuneproof.methods import prompted
from tuneproof.modalities import Batch, ChatEncoder, Encoder, Example, NotShown, Piece
from tuneproof.place import device_of, put
from tuneproof.records import Column, Generation, Guess, Prediction, Row, Schema, Scores, Table
from tuneproof.tasks import layouts
from tuneproof.tasks.drawing import Watch, Watched, drawing
from tuneproof.tasks.metrics import ClassScore
from tuneproof.tasks.pretrained import load_pretrained
from tuneproof.tasks.rules import Likeliest
from tuneproof.tasks.tables import Canonical, canonical_rows

# Keys of a configuration whose models change their logits after the output layer; for those the model computes
# all logits itself.
RESCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")

Allowed = Callable[[int, Sequence[int]], list[int]]  # row, and the ids written for it -> those that may come next


def logits_at(model: Module, inputs: Mapping[str, Tensor], at: Tensor) -> Tensor:
    """(N, vocabulary), fp32: what a causal model says at the places ``at``, (N,) of B x T, and nowhere else."""
    states, head = states_at(model, inputs, at)
    found: Tensor = head(states).float()
    return found


def states_at(model: Module, inputs: Mapping[str, Tensor], at: Tensor) -> tuple[Tensor, Module]:
    """What ``logits_at`` is made of: states at the N places, and the layer that makes logits of them.

    Where logits are more than a layer's product they are the states, and the layer hands them on.
    """
    causal = model if isinstance(model, PreTrainedModel) else model.get_base_model()  # type: ignore[operator]
    config: Mapping[str, Any] = causal.config.to_dict()
    if prompted(model):  # the tokens before the text have logits too
        logits, length = model(**inputs).logits, inputs["input_ids"].shape[1]
        return logits[at // length, at % length + logits.shape[1] - length], Identity()
    if any(config.get(key) for key in RESCALED):
        return causal(**inputs, use_cache=False).logits.flatten(0, 1)[at], Identity()
    states = causal.base_model(**inputs, use_cache=False)
    return states.last_hidden_state.flatten(0, 1)[at], causal.get_output_embeddings()


def each_token(model: Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of the learnt tokens, row after row: the loss of each, and 1 where it is the likeliest; no gradient."""
    at = _learnt(batch)
    return loss_and_hit(*states_at(model, batch.inputs, at - 1), batch.ids.flatten()[at])


class Instruction(Likeliest):
    primary: ClassVar[str] = "loss_per_token"
    higher_is_better: ClassVar[bool] = False
    proportion: ClassVar[bool] = False
    auto: ClassVar[str] = "AutoModelForCausalLM"
    length_limit: ClassVar[int] = 2048
    unit: ClassVar[str] = "answer token"
    kinds: ClassVar[tuple[str, ...]] = ("decoder",)
    options: ClassVar[frozenset[str]] = frozenset(
        {
            "evaluate.answers",
            "evaluate.max_new_tokens",
            "evaluate.repetition_penalty",
            "evaluate.no_repeat_ngram",
        }
    )
    shows: ClassVar[frozenset[str]] = frozenset({"answer", "stopped"})
    baselines: ClassVar[tuple[str, ...]] = ("untuned",)
    recipe: ClassVar[dict[str, tuple[Any, str]]] = {
        "train.epochs": (2.0, "more passes over answers mostly teach them by heart"),
        "train.batch_size": (8, "usual for dialogues"),
        "train.schedule": ("cosine", "usual for language models"),
    }

    def recognise(self, columns: Sequence[Column], asked: Data) -> Guess | None:
        return layouts.chat(columns, asked)

    def canonical(self, row: Row, schema: Schema) -> dict[str, Any]:
        return layouts.canonical_messages(row, schema)

    def canonical_columns(self, table: Table, schema: Schema) -> Canonical:
        return canonical_rows(table, schema, self.canonical)

    def check(self, table: Table, schema: Schema) -> None:
        pass

    def learning_rate(self, hidden: int) -> tuple[float, str]:
        """Of full tuning, for a model of this width."""
        if hidden <= 1024:
            return 1e-4, f"full tuning of a small language model (width {hidden})"
        return 2e-5, f"full tuning of a language model of width {hidden}"

    def labelled(self, rows: Sequence[Row], schema: Schema) -> list[dict[str, Any]]:
        return [dict(row) for row in rows]

    def example(self, row: Row, encoder: Encoder) -> Example:
        assert isinstance(encoder, ChatEncoder)
        try:
            return encoder.example(row["messages"], row.get("tools"))
        except NotShown as error:
            raise layouts.Unusable("tool calls that the model's chat template does not show") from error

    def model(self, folder: Path, schema: Schema, *, seed: int) -> Module:
        return load_pretrained(self.auto, folder, seed=seed)

    def loss(self, model: Module, batch: Batch) -> Tensor:
        at = _learnt(batch)
        weights = None if batch.weights is None else batch.weights.flatten()[at]
        return summed_loss(*states_at(model, batch.inputs, at - 1), batch.ids.flatten()[at], weights)

    def logits(self, model: Module, batch: Batch) -> Tensor:
        """Of the learnt tokens, row after row."""
        return logits_at(model, batch.inputs, _learnt(batch) - 1)

    def at_temperature(self, temperature: float) -> Instruction:
        assert temperature == 1, "a temperature is fitted for a fixed set of classes"
        return self

    def template(self, encoder: Encoder) -> str:
        """Rendered turns of a fixed dialogue and their ids: losses per token of other tokens cannot be compared."""
        assert isinstance(encoder, ChatEncoder)
        rendered = encoder.render([{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c d"}])
        return json.dumps([[text for text, _ in rendered.pieces], rendered.ids])

    def predict(self, model: Module, batch: Batch) -> list[Prediction]:
        """Loss per learnt token of each row under the model, the reference answer given (no generation)."""
        (nll, hit), batch = (found.cpu() for found in each_token(model, batch)), batch.here
        counts = batch.targets.sum(-1).tolist()
        lengths = batch.lengths
        predictions = []
        for n, tokens, losses, hits in zip(
            counts, lengths, torch.split(nll, counts), torch.split(hit, counts), strict=True
        ):
            scores = {"nll": float(losses.sum()), "tokens": float(n), "hits": float(hits.sum())}
            predictions.append(Prediction(None, scores=scores, tokens_in=tokens))
        return predictions

    def view(self, row: Row, encoder: Encoder) -> list[Piece]:
        assert isinstance(encoder, ChatEncoder)
        return encoder.view(row["messages"], row.get("tools"))

    def texts(self, row: Row) -> tuple[str, str]:
        """The first thing a user says, and the last thing that the assistant is taught to say."""
        messages = row["messages"]
        asked = next((str(message["content"]) for message in messages if message["role"] == "user"), "")
        return asked, layouts.spoken(messages[layouts.last_answer(messages)])

    def without_truth(self, row: Row) -> dict[str, Any]:
        """Everything before the last answer that is taught."""
        tools = {"tools": row["tools"]} if "tools" in row else {}
        return {"messages": row["messages"][: layouts.last_answer(row["messages"])], **tools}

    def ask(self, row: Row, schema: Schema) -> dict[str, Any]:
        return layouts.prompt_messages(row, schema)

    def question(self, text: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}]}

    def length(self, row: Row, encoder: Encoder) -> int:
        assert isinstance(encoder, ChatEncoder)
        return len(encoder.prompt(row["messages"], row.get("tools")).ids)

    def respond(self, model: Module, encoder: Encoder, rows: Sequence[Row], how: Generation) -> list[Prediction]:
        """The model's own answers, greedy; ``scores["stopped"]`` is 1 when it ended by itself."""
        return self.write(model, encoder, rows, how)

    def write(
        self,
        model: Module,
        encoder: Encoder,
        rows: Sequence[Row],
        how: Generation,
        watch: Watch | None = None,
        seeds: Sequence[int] = (),
    ) -> list[Prediction]:
        """``respond``, followed token by token: ``watch`` hears what is written so far and says which rows may end.

        ``seeds`` are those of the rows, where tokens are drawn; without them all have that of ``how``.
        """
        assert isinstance(encoder, ChatEncoder)
        prompts = [encoder.prompt(row["messages"], row.get("tools")).ids for row in rows]
        written = continued(model, encoder, prompts, how, watch, seeds=seeds)
        return [self.told(encoder, ids, len(p)) for ids, p in zip(written, prompts, strict=True)]

    def finish(self, folder: Path, encoder: Encoder, how: Generation) -> None:
        """``generation_config.json``: how the answers of the report were made."""
        assert isinstance(encoder, ChatEncoder)
        GenerationConfig(
            do_sample=False,
            max_new_tokens=how.max_new_tokens or None,  # undecided outside of a planned run
            repetition_penalty=how.repetition_penalty,
            no_repeat_ngram_size=how.no_repeat_ngram,
            eos_token_id=encoder.stops,
            pad_token_id=encoder.tokenizer.pad_token_id,
            bos_token_id=encoder.tokenizer.bos_token_id,
        ).save_pretrained(folder)

    def told(self, encoder: Encoder, ids: Sequence[int], tokens_in: int) -> Prediction:
        """The answer that was written as ``ids``, to a prompt of so many tokens."""
        assert isinstance(encoder, ChatEncoder)
        end = stops_at(ids, encoder.stops)
        text = encoder.tokenizer.decode(ids[:end], skip_special_tokens=True).strip()
        stopped = {"stopped": float(end is not None)}
        return Prediction(text, scores=stopped, tokens_in=tokens_in, tokens_out=len(ids[:end]))

    def score(self, predictions: Sequence[Prediction]) -> Scores:
        tokens = sum(prediction.scores["tokens"] for prediction in predictions)
        if not tokens:
            return Scores(self.primary, {self.primary: None}, 0, False, ("no answer token to score",))
        loss = sum(prediction.scores["nll"] for prediction in predictions) / tokens
        values = {
            "loss_per_token": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "next_token_accuracy": sum(prediction.scores["hits"] for prediction in predictions) / tokens,
        }
        return Scores(self.primary, values, len(predictions), higher_is_better=False)

    def classes(self, predictions: Sequence[Prediction]) -> list[ClassScore]:
        return []

    def said(self, row: Row, prediction: Prediction) -> str:
        return str(prediction.value or "")

    def show(self, prediction: Prediction) -> dict[str, Any]:
        return {"answer": prediction.value, "stopped": bool(prediction.scores.get("stopped"))}


def continued(
    model: Module,
    encoder: ChatEncoder,
    prompts: Sequence[Sequence[int]],
    how: Generation,
    watch: Watch | None = None,
    allowed: Allowed | None = None,
    seeds: Sequence[int] = (),
) -> list[list[int]]:
    """What the model writes after each prompt, end and padding included; only ids that ``allowed`` gives, if any."""
    longest = max(len(prompt) for prompt in prompts)
    pad, stops = encoder.tokenizer.pad_token_id, encoder.stops
    device = device_of(model)
    ids = torch.tensor([[pad] * (longest - len(prompt)) + [*prompt] for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def next_ids(row: int, so_far: Tensor) -> list[int]:
        assert allowed is not None
        written = so_far[longest:].tolist()
        return [pad] if stops_at(written, stops) is not None else allowed(row, written)

    with torch.no_grad():
        out = model.generate(  # type: ignore[operator]
            input_ids=put(ids, device),
            attention_mask=put(mask, device),
            max_new_tokens=how.max_new_tokens,
            repetition_penalty=how.repetition_penalty,
            no_repeat_ngram_size=how.no_repeat_ngram,
            eos_token_id=stops,
            pad_token_id=pad,
            stopping_criteria=[Watched(longest, watch)] if watch is not None else None,
            prefix_allowed_tokens_fn=next_ids if allowed is not None else None,
            **drawing(how, seeds or [how.seed] * len(prompts)),
        )
    written: list[list[int]] = out[:, longest:].tolist()
    return written


def stops_at(ids: Sequence[int], stops: Sequence[int]) -> int | None:
    """Where an answer ends; None where it does not."""
    return next((index for index, id in enumerate(ids) if id in stops), None)


def _learnt(batch: Batch) -> Tensor:
    """The places of the N learnt tokens, row after row; none begins a row, so each is asked for at the place before."""
    return batch.places(batch.here.targets)
