"""Classification by asking a chat model: what it is asked, how its labels are scored, and that rows stay what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import MakeWork, build_llama, pair_rows, review_rows, write_csv
from torch.nn import Module
from transformers import AutoConfig, AutoModelForCausalLM

import tuneproof as tp
from tuneproof.errors import ConfigError, ModelError
from tuneproof.modalities import ChatEncoder
from tuneproof.records import Schema
from tuneproof.run import Run
from tuneproof.tasks import TASKS, suited, task_of
from tuneproof.tasks.instructed import InstructedOpen, InstructedOrdinal, InstructedRare
from tuneproof.tasks.instruction import logits_at
from tuneproof.tasks.label_tree import BRANCHING, label_logs, tree
from tuneproof.tasks.wording import NAMED, WITH_LABELS, WITHOUT, asked, wording

NAME = "instructed-classification"
LABELS = [[5, 6, 2], [5, 7, 2], [5, 7, 8, 2], [9, 2], [11, 12, 13, 14, 2]]
QUESTIONS = [[1, 40, 41, 42], [1, 43], [1, 44, 45, 46, 47, 48, 49], [1, 40, 41, 42]]


def schema(labels: tuple[str, ...], **more: Any) -> Schema:
    return Schema(NAME, "text+label", {"text": "text", "label": "label"}, labels, None, (), **more)


def tiny(kind: str, attention: str = "sdpa") -> Module:
    """A causal model of an architecture, two layers wide enough to tell places apart."""
    names = {"n_embd": 32, "n_layer": 2, "n_head": 2} if kind == "gpt2" else {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    }  # fmt: skip
    if kind not in ("gpt2", "gpt_neox", "opt"):
        names |= {"num_key_value_heads": 2}
    if kind == "qwen3":
        names |= {"head_dim": 16}
    config = AutoConfig.for_model(kind, vocab_size=60, pad_token_id=0, bos_token_id=1, eos_token_id=2, **names)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # far from uniform, so that a wrong place would show
            parameter.mul_(4 if parameter.ndim == 2 else 1)
    return model


def by_brute_force(model: Module) -> torch.Tensor:
    """Each question with each label, one by one: the log probabilities of the label's tokens, added."""
    found = torch.empty(len(QUESTIONS), len(LABELS))
    for row, question in enumerate(QUESTIONS):
        for column, label in enumerate(LABELS):
            ids = [*question, *label]
            logs = model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
            found[row, column] = sum(float(logs[at - 1, ids[at]]) for at in range(len(question), len(ids)))
    return found


# -- scores of labels


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("kind", [*BRANCHING, "opt"])  # the last is read label by label
def test_labels_are_as_likely_as_each_alone(kind: str, attention: str) -> None:
    model = tiny(kind, attention)
    with torch.inference_mode():
        ours, theirs = label_logs(model, QUESTIONS, tree(LABELS), logits_at), by_brute_force(model)
    assert torch.allclose(ours, theirs, atol=1e-4), float((ours - theirs).abs().max())
    assert theirs.softmax(-1).max() > 0.5 and theirs.std(0).min() > 0.1, "too even to show a mistake"


def test_labels_share_their_beginnings() -> None:
    found = tree(LABELS)
    assert len(found.ids) == 14 and len(found.inner) == 9
    assert [[found.ids[node] for node in path] for path in found.paths] == LABELS
    assert found.deepest == 5


def test_many_questions_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    with torch.inference_mode():
        whole = label_logs(model, QUESTIONS, tree(LABELS), logits_at)
        monkeypatch.setattr("tuneproof.tasks.label_tree.READ", 1)
        assert torch.allclose(label_logs(model, QUESTIONS, tree(LABELS), logits_at), whole, atol=1e-5)


@pytest.mark.parametrize("method", ["full", "lora", "prompt"])
def test_probabilities_are_those_of_brute_force(make_work: MakeWork, method: str) -> None:
    """With a real template; a method whose tokens stand before the text included."""
    from tuneproof.predict import predict_examples
    from tuneproof.train.fit import assemble

    work = make_work(NAME, method, {"model.max_length": 200}, rows=4)
    model = assemble(work).model.eval()
    said = predict_examples(model, work.answer, work.encoder, work.train, "fp32")
    assert isinstance(work.encoder, ChatEncoder)
    for example, one in zip(work.train, said, strict=True):
        question = list(example.ids[: list(example.loss or []).index(True)])
        logs = []
        for label in work.schema.labels:
            turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": label}]
            alone = work.encoder.example(turns)
            ids = [id for id, learnt in zip(alone.ids, alone.loss or [], strict=True) if learnt]
            with torch.inference_mode():
                told = model(input_ids=torch.tensor([[*question, *ids]])).logits[0].float()  # type: ignore[operator]
            before = told[-len(ids) - 1 : -1].log_softmax(-1)
            logs.append(float(before[range(len(ids)), ids].sum()))
        shares = torch.tensor(logs).softmax(0)
        for label, share in zip(work.schema.labels, shares.tolist(), strict=True):
            assert one.probabilities[label] == pytest.approx(share, abs=1e-4)
        assert one.value == work.schema.labels[int(shares.argmax())]


def test_labels_that_are_written_alike_are_refused(tiny_llama: Path) -> None:
    answer = TASKS[NAME].answer.fitted(schema(("good", "good ")))
    with pytest.raises(ModelError, match="alike"):
        answer.example({"text": "a"}, ChatEncoder(build_trimming(tiny_llama), 256))


def build_trimming(folder: Path) -> Path:
    return folder
