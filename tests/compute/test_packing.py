"""Rows side by side say what each says alone, and teach what the padded batch teaches; the loop stays the plain one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tiny import untrained
from torch import Tensor
from transformers import PreTrainedModel

from tuneproof.compute import attention_by_length, side_by_side
from tuneproof.compute.layout import SAVES, Layout, layout
from tuneproof.compute.packing import PACKED, laid, packs
from tuneproof.train import checkpoint
from tuneproof.train.batches import spared
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import fit
from tuneproof.train.plain import plain

WORDS = 50
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=7)


def tiny(kind: str) -> PreTrainedModel:
    model = untrained(kind)
    attention_by_length(model)
    return model


@pytest.fixture(scope="module")
def llama(one_thread: None) -> PreTrainedModel:
    return tiny("llama")


def batch_of(prefix: int, rests: list[int]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Ids and mask of a padded batch whose rows begin with the same tokens, and the rows."""
    torch.manual_seed(prefix + sum(rests))
    first = torch.randint(3, WORDS, (prefix,))
    rows = [torch.cat([first, torch.randint(3, WORDS, (rest,))]) for rest in rests]
    ids = torch.zeros(len(rows), prefix + max(rests), dtype=torch.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long(), rows


def logits(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> Tensor:
    """As tasks ask for them: states from the stack of layers, logits from its output layer."""
    states = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    found: Tensor = model.get_output_embeddings()(states)
    return found


@contextmanager
def read(model: PreTrainedModel) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of what the model embeds."""
    shapes: list[tuple[int, ...]] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _, args, out: shapes.append(tuple(args[0].shape)))
    yield shapes
    hook.remove()


def check_alone(model: PreTrainedModel, prefix: int, rests: list[int]) -> None:
    ids, mask, rows = batch_of(prefix, rests)
    body = packs(model)
    assert body is not None
    with laid(body, ids, Layout(prefix, tuple(rests))), read(model) as shapes:
        found = logits(model, ids, mask)
    assert shapes == [(1, prefix + sum(rests))], "side by side, and what is shared once"
    for at, row in enumerate(rows):
        alone = logits(model, row[None], torch.ones_like(row)[None])[0]
        torch.testing.assert_close(found[at, : len(row)], alone, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 30), LENGTHS)
def test_a_row_says_what_it_says_alone(llama: PreTrainedModel, prefix: int, rests: list[int]) -> None:
    """With gradients, so that short rows are plain products, as in training."""
    check_alone(llama, prefix, rests)


@pytest.mark.parametrize(("prefix", "rests"), [(0, [200, 140, 30, 131]), (140, [60, 9, 61])])
@pytest.mark.parametrize("gradients", [True, False])
def test_long_rows_through_the_fused_kernel(llama: PreTrainedModel, prefix, rests, gradients: bool) -> None:
    with torch.set_grad_enabled(gradients):
        check_alone(llama, prefix, rests)


@pytest.mark.parametrize("kind", PACKED)
def test_every_type_that_is_said_to_hand_on_what_is_seen(one_thread: None, kind: str) -> None:
    check_alone(tiny(kind), 11, [5, 30, 1, 6])


def gradients(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Of the loss of every token but the first of each row."""
    model.zero_grad()
    logs = logits(model, ids, mask)[:, :-1].log_softmax(-1)
    told = logs.gather(-1, ids[:, 1:, None])[..., 0][mask[:, 1:].bool()]
    (-told.sum() / mask.sum()).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


@hypothesis_settings(max_examples=30)
@given(st.integers(0, 30), LENGTHS.filter(lambda rests: sum(rests) > len(rests)))
def test_the_gradient_is_that_of_the_padded_batch(llama: PreTrainedModel, prefix: int, rests: list[int]) -> None:
    """Losses lie on the shared tokens too, which every row learns."""
    ids, mask, _ = batch_of(prefix, rests)
    expected = gradients(llama, ids, mask)
    body = packs(llama)
    assert body is not None
    with laid(body, ids, Layout(prefix, tuple(rests))):
        found = gradients(llama, ids, mask)
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-4, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}"
        )


@given(st.integers(0, 40), LENGTHS)
def test_what_is_laid_out(prefix: int, rests: list[int]) -> None:
    """Every token once, a saving of what was asked for at least, and groups that hold all rows in their order."""
    ids, _, rows = batch_of(prefix, rests)
    found = layout([row.tolist() for row in rows])
    padded = ids.numel()
    if found is None:
        least = prefix + sum(rests)  # shared at most a little more, by chance
        assert padded - least < SAVES * padded + len(rests) * SAVES * padded
        return
    assert padded - found.tokens >= SAVES * padded
    row, place = found.sources
    side = ids[row, place]
    assert len(side) == found.tokens
    assert [side[found.padded[at, : len(one)]].tolist() for at, one in enumerate(rows)] == [r.tolist() for r in rows]
    assert [n for group in found.groups[bool(found.prefix) :] for n in group.lengths] == list(found.rests)


def test_it_is_chosen_where_it_saves_and_never_elsewhere(llama: PreTrainedModel, tiny_bert) -> None:
    from transformers import AutoModel

    same = [[5, 6, 7, 8]] * 2
    assert layout([[1, 2, 3], [4, 5, 6]]) is None, "nothing is shared, and there is no padding"
    assert layout(same) == Layout(3, (1, 1)), "a row keeps a token of its own"
    assert layout([[1] * 100]) is None
    assert layout([[1, *range(2, 100)], [1, *range(200, 298)]]) is None, "one token of 99 is too little"
    encoder = AutoModel.from_pretrained(tiny_bert)
    attention_by_length(encoder)
    assert packs(encoder) is None, "an encoder looks at what comes behind"
    ids, mask, _ = batch_of(20, [2, 4])
    with read(llama) as shapes:
        with side_by_side(llama, ids, ids, mask.sum(-1).tolist()):
            logits(llama, ids, mask)
            logits(llama, ids.clone(), mask)
        logits(llama, ids, mask)
    assert shapes == [(1, 26), (2, 24), (2, 24)], "this batch, here, and nothing else"


def prefaced(make_work, method: str, precision: str) -> Work:
    """Rows that begin with the same forty tokens, on which there is no loss."""
    work = make_work("instruction", method, {"model.precision": precision, "train.validate_every": 100}, rows=20)
    first = [7 + at % 90 for at in range(40)]
    return replace(work, train=[replace(e, ids=[*first, *e.ids], loss=[*[False] * 40, *e.loss]) for e in work.train])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_loop_learns_what_the_plain_one_does(make_work, method: str, precision: str) -> None:
    work = prefaced(make_work, method, precision)
    rows = work.train
    assert all(layout([r.ids for r in rows[at : at + 8]]) is not None for at in (0, 8))
    found = [progress.loss for progress in fit(assemble(work), job(work, 7))]
    assert found == pytest.approx(list(plain(work, 7)), rel=1e-5 if precision == "fp32" else 0.02)


def test_a_run_that_continues_has_the_same_losses(make_work, tmp_path) -> None:
    work = prefaced(make_work, "lora", "fp32")
    whole = [progress.loss for progress in fit(assemble(work), job(work, 6))]
    state = assemble(work)
    begun = [progress.loss for progress in fit(state, job(work, 3))]
    checkpoint.save(tmp_path, state, {})
    again = assemble(work)
    assert checkpoint.restore(tmp_path, again, print) is not None
    assert begun + [progress.loss for progress in fit(again, job(work, 6))] == whole


def test_the_plan_knows_what_is_spared(make_work) -> None:
    work = prefaced(make_work, "lora", "fp32")
    model = assemble(work).model
    steps = [[[0, 1, 2], [3]], [[4, 5]]]
    assert spared(model, work.train, steps) > 0.2
    assert spared(model, work.train, [[[0], [1]]]) == 0
    plain_rows = make_work("text-classification", "full", rows=20)
    assert spared(assemble(plain_rows).model, plain_rows.train, steps) == 0
