"""The training view and the loop's loss agree token for token, for every kind of template; a seeded fault is caught."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from templates import FORMATS, build
from tiny import settings
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from tuneproof.errors import CheckError, DataError
from tuneproof.methods.parts import Parts
from tuneproof.modalities import Batch, ChatEncoder, Example
from tuneproof.prepare.tokens import Encoded, encode
from tuneproof.prepare.view import training_view
from tuneproof.records import Ledger, Schema, Scores, Splits, Table
from tuneproof.run import Run
from tuneproof.tasks import TASKS
from tuneproof.train.loop import Job, State, fit
from tuneproof.train.optim import build as optimizer
from tuneproof.train.seen import seen

ANSWER = TASKS["instruction"].answer
SCHEMA = Schema("instruction", "messages", {"messages": "messages"}, (), None, ())
LIMIT = 90


def dialogues() -> list[list[dict[str, Any]]]:
    """Short ones, one that is too long, one whose answer is one word, one of weight 0, one with a token's text."""

    def turn(asked: str, answer: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]

    rows = [turn(f"what is {number} and {number}", f"it is {2 * number}, as ever") for number in range(6)]
    rows.append(turn("tell me a story", "once upon a time there was a cat that said meow to a dog " * 4))
    rows.append(turn("yes or no", "y"))
    rows.append([*turn("first", "learnt never"), *turn("second", "learnt now")])
    rows[-1][1]["weight"] = 0
    rows.append(turn("say <|im_end|> or </s> or <eos>", "<|im_end|> </s> <eos> <|eot_id|>"))
    return rows


def table(rows: list[list[dict[str, Any]]]) -> Table:
    ids = [str(number) for number in range(len(rows))]
    return Table({"id": ids, "messages": rows}, list(range(1, len(rows) + 1)), "chats.jsonl")


def encoded(encoder: ChatEncoder, too_long: str = "cut") -> Encoded:
    rows = dialogues()
    return encode(Splits(table(rows), table(rows[:2]), table(rows[:2])), SCHEMA, ANSWER, encoder, too_long)


def tiny_model(encoder: ChatEncoder) -> LlamaForCausalLM:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(encoder.tokenizer), max_position_embeddings=512, **size))


def recorded(folder: Path, prepared: Encoded, encoder: ChatEncoder) -> Run:
    """A run directory as prepare leaves it."""
    run = Run.create(folder, "chats", {})
    run.data.mkdir()
    run.write_json("data/tokens.json", {"view": training_view(prepared, ANSWER, encoder)})
    used = {name: len(rows) for name, rows in prepared.splits.items()}
    run.write_data(prepared.splits, SCHEMA, Ledger({}, used, ()), {"rows": sum(used.values())})
    return run


def steps(encoder: ChatEncoder, examples: list[Example], run: Run) -> tuple[State, Job]:
    config = settings("instruction", "full", {"train.batch_size": 4, "train.accumulate": 2}).train
    model = tiny_model(encoder)
    state = State(model, optimizer(model, Parts.of(model), {}, config))
    none = Scores(ANSWER.primary, {ANSWER.primary: None}, 0, False)
    return state, Job(ANSWER, encoder, examples, config, 3, "fp32", lambda model: none, seen(run))


@pytest.fixture(params=list(FORMATS))
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> ChatEncoder:
    return build(tmp_path / "model", FORMATS[request.param], LIMIT)


def test_the_loop_sees_what_the_view_shows(encoder: ChatEncoder, tmp_path: Path, one_thread: None) -> None:
    prepared = encoded(encoder)
    run = recorded(tmp_path / "runs", prepared, encoder)
    state, job = steps(encoder, prepared.examples["train"], run)
    assert {0, 6, 7} <= set(job.seen), "the first, the longest and the one with the fewest learnt tokens"
    assert len(list(fit(state, job))) == 3 and state.step == 3


def test_the_loss_is_that_of_the_shown_tokens(encoder: ChatEncoder, tmp_path: Path, one_thread: None) -> None:
    """From the view alone, without our encoder, batches or loss: the sum of -log p of what is coloured."""
    prepared = encoded(encoder)
    shown = seen(recorded(tmp_path / "runs", prepared, encoder))
    model = tiny_model(encoder).eval()
    expected = 0.0
    with torch.no_grad():
        for row in shown.values():
            log = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
            expected -= sum(float(log[at - 1, row.ids[at]]) for at, learnt in enumerate(row.learnt) if learnt)
        batch = encoder.collate([prepared.examples["train"][row] for row in shown])
        assert float(ANSWER.loss(model, batch)) == pytest.approx(expected, rel=1e-5)


def test_the_view_is_the_rendered_text(encoder: ChatEncoder) -> None:
    """Pieces are the text of the template, cut or not; what is learnt of a cut row stands before the limit."""
    prepared = encoded(encoder)
    shown = {row["row"]: row for row in training_view(prepared, ANSWER, encoder)}
    for number, row in shown.items():
        whole = encoder.view(dialogues()[number])
        assert "".join(piece["text"] for piece in row["pieces"]) == "".join(piece.text for piece in whole)
        assert [id for piece in row["pieces"] for id in piece["ids"]] == [id for piece in whole for id in piece.ids]
        read = sum(len(piece["ids"]) for piece in row["pieces"] if not piece["cut"])
        assert read == len(prepared.examples["train"][number]) <= LIMIT
    assert any(piece["cut"] for piece in shown[6]["pieces"])
    assert "loses most to the limit" in shown[6]["title"] and "fewest learnt tokens" in shown[7]["title"]
    weighted = [piece for piece in encoder.view(dialogues()[8]) if "learnt never" in piece.text]
    assert weighted and not any(piece.learnt for piece in weighted)


# -- seeded faults


class ShiftedMask(ChatEncoder):
    """The mask of every batch is one token late."""

    def collate(self, examples: Any) -> Batch:
        batch = super().collate(examples)
        assert batch.loss is not None
        return dataclasses.replace(batch, loss=torch.roll(batch.loss, 1, dims=1))


class LearntPadding(ChatEncoder):
    """Padding is learnt."""

    def collate(self, examples: Any) -> Batch:
        batch = super().collate(examples)
        assert batch.loss is not None
        return dataclasses.replace(batch, loss=batch.loss | (batch.mask == 0))


class CutInFront(ChatEncoder):
    """A row that is too long loses its beginning instead of its end."""

    def cut(self, example: Example) -> Example:
        at = max(0, len(example) - self.max_length)
        assert example.loss is not None
        return dataclasses.replace(example, ids=example.ids[at:], loss=example.loss[at:])


class CutMaskInFront(ChatEncoder):
    """The ids lose their end and the mask its beginning."""

    def cut(self, example: Example) -> Example:
        at = max(0, len(example) - self.max_length)
        assert example.loss is not None
        return dataclasses.replace(super().cut(example), loss=example.loss[at:])


class PromptLearnt(ChatEncoder):
    """Everything is learnt, the question too."""

    def cut(self, example: Example) -> Example:
        return dataclasses.replace(super().cut(example), loss=[True] * min(len(example), self.max_length))


@pytest.mark.parametrize("fault", [ShiftedMask, LearntPadding, CutInFront, CutMaskInFront, PromptLearnt])
def test_a_seeded_fault_is_refused_before_the_first_step(
    encoder: ChatEncoder, fault: type[ChatEncoder], tmp_path: Path, one_thread: None
) -> None:
    faulty = fault(tmp_path / "model", LIMIT)
    prepared = encoded(faulty)
    state, job = steps(faulty, prepared.examples["train"], recorded(tmp_path / "runs", prepared, faulty))
    with pytest.raises(CheckError, match="not those that the training view shows") as refused:
        list(fit(state, job))
    assert refused.value.exit_code == 3 and state.step == 0


class ShiftedLater(ChatEncoder):
    """A fault that shows in the batches of training and not when all rows are looked at together."""

    def collate(self, examples: Any) -> Batch:
        batch = super().collate(examples)
        assert batch.loss is not None
        return batch if len(examples) > 3 else dataclasses.replace(batch, loss=torch.roll(batch.loss, 1, dims=1))


def test_each_batch_is_looked_at(tmp_path: Path, one_thread: None) -> None:
    build(tmp_path / "model", FORMATS["chatml"], LIMIT)
    faulty = ShiftedLater(tmp_path / "model", LIMIT)
    prepared = encoded(faulty)
    state, job = steps(faulty, prepared.examples["train"], recorded(tmp_path / "runs", prepared, faulty))
    assert len(job.seen) > 3
    with pytest.raises(CheckError, match="not those that the training view shows"):
        list(fit(state, job))


def test_the_first_token_is_never_a_target() -> None:
    loss = torch.tensor([[True, False, True]])
    batch = Batch(
        torch.zeros(1, 3, dtype=torch.int64),
        torch.ones(1, 3, dtype=torch.int64),
        loss,
        None,
        2,
        3,
        torch.zeros(1, dtype=torch.int64),
    )
    found: Tensor = batch.targets
    assert found.tolist() == [[False, False, True]]


# -- counts


def test_what_the_limit_takes_is_told_row_by_row(tmp_path: Path) -> None:
    encoder = build(tmp_path, FORMATS["chatml"], LIMIT)
    prepared = encoded(encoder)
    counts = prepared.counts["train"]
    whole = [encoder.example(messages) for messages in dialogues()]
    (cut,) = prepared.cuts["train"].items()
    assert cut[0] == 6 and cut[1].tokens == len(whole[6]) - LIMIT == counts["tokens_cut"]
    assert cut[1].learnt == whole[6].units - prepared.examples["train"][6].units == counts["loss_cut"]
    (finding,) = prepared.findings
    assert (finding.check, finding.severity, finding.line) == ("too_long", "warn", 7)
    assert finding.score == pytest.approx(cut[1].learnt / whole[6].units, abs=1e-4)
    assert f"{cut[1].learnt:,} of {whole[6].units:,} answer tokens" in finding.message
    assert counts["ends"] == len(whole) - 1, "the row that is cut does not learn to stop"
    assert counts["special_text"] == 1 and counts["bos"] == 0 and counts["no_loss_tokens"] == 0


def test_rows_without_an_answer_left_are_counted_or_refused(tmp_path: Path) -> None:
    encoder = build(tmp_path, FORMATS["llama3"], 14)
    with pytest.raises(DataError, match=r"chats.jsonl, line 1: nothing of the answer is left .* of 9 other rows"):
        encoded(encoder)
    looked = encoded(encoder, "count")
    assert looked.counts["train"]["no_loss_tokens"] == 10 == looked.counts["train"]["bos"]
    assert {finding.check for finding in looked.findings} == {"no_loss_tokens"}


def test_rows_that_the_template_cannot_show_leave_by_name(tmp_path: Path) -> None:
    encoder = build(tmp_path, FORMATS["chatml"], 256)
    rows = dialogues()
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    rows[1] = [rows[1][0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    splits = Splits(table(rows), table(rows[2:4]), table(rows[2:4]))
    prepared = encode(splits, SCHEMA, ANSWER, encoder, "refuse", 0.2)
    (drop,) = prepared.dropped
    assert (drop.rows, drop.lines, drop.code) == (1, (2,), "unsupported_tool_calls")
    assert len(prepared.splits.train) == 9 == len(prepared.examples["train"])
    with pytest.raises(DataError, match=r"line 2: 1 of 14 rows are unusable with this model .*max_missing=0.08"):
        encode(splits, SCHEMA, ANSWER, encoder, "refuse", 0.05)
