"""The rules: values with reasons, and refusals for options that nothing would read."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneproof.config import Config, build, load, names
from tuneproof.decide import (
    Cost,
    Decided,
    Situation,
    Volume,
    check_model,
    decide,
    fit_budget,
    length_limit,
    measure,
    price,
    refuse_if_too_large,
)
from tuneproof.decide.recipe import step_bytes, total_steps
from tuneproof.device import Machine
from tuneproof.errors import ConfigError, ModelError, ResourceError
from tuneproof.memory import estimate
from tuneproof.methods import METHODS
from tuneproof.records import ModelFacts
from tuneproof.tasks import TASKS

LAPTOP = Machine(cores=2, memory=16 * 2**30, free=8 * 2**30, gpu=None)
KINDS = {name: task.answer.kinds[0] for name, task in TASKS.items()}


def model(kind: str = "encoder", parameters: int = 22_700_000, width: int = 384, layers: int = 6) -> ModelFacts:
    return ModelFacts("m", "/m", "r", "apache-2.0", kind, parameters, width, layers, 30_522, 512)


def situation(
    task: str, facts: ModelFacts | None = None, rows: int = 1000, longest: int = 60, gain: float = 1.0
) -> Situation:
    return Situation(TASKS[task].answer, facts or model(KINDS[task]), rows, longest, 60, LAPTOP, gain)


def decided(options: dict[str, Any] | None = None, task: str = "text-classification", **at: Any) -> Any:
    return decide(load(None, options or {}), situation(task, **at), {})


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("method", list(METHODS))
def test_nothing_that_is_read_is_left_undecided(task: str, method: str) -> None:
    found = decided({"method.name": method}, task)
    section = METHODS[method].section
    optional = {name for name in names() if name.startswith(("data.", "check."))} | {"train.minutes"}
    optional |= {f"evaluate.{name}" for name in ("slices", "protected", "favourable", "prompted", "retain", "price")}
    optional |= {"evaluate.test_rows", "model.name", "model.max_length", "freeze.layers", "freeze.names"}
    optional |= frozenset().union(*(row.answer.options for row in TASKS.values())) - TASKS[task].answer.options
    for name, value in found.config.items():
        if name.split(".")[0] not in {"freeze", "lora", "peft"} - {section} and name not in optional:
            assert value is not None, name
    for name, setting in found.settings.items():
        assert setting.reason and found.config.get(name) == setting.value


def test_what_you_ask_for_is_kept_and_said() -> None:
    found = decided({"train.lr": 0.0123, "train.batch_size": 7})
    assert found.config.train.lr == 0.0123 and found.settings["train.lr"].by == "you"
    assert found.config.train.batch_size == 7


def test_a_gpu_is_used_where_there_is_one_and_its_own_arithmetic_counts() -> None:
    gpu = dataclasses.replace(LAPTOP, gpu="some GPU", gpu_memory=80 * 2**30, gpu_free=70 * 2**30)
    there = dataclasses.replace(situation("text-classification"), machine=gpu, bf16_gain_gpu=9.0)
    found = decide(load(None, {}), there, {})
    assert found.config.model.device == "cuda" and "some GPU" in found.settings["model.device"].reason
    assert found.config.model.precision == "bf16" and "9.0 times" in found.settings["model.precision"].reason
    asked = decide(load(None, {"model.device": "cpu"}), there, {})
    assert asked.config.model.precision == "fp32" and asked.settings["model.device"].by == "you"
    assert decided().config.model.device == "cpu"


def test_what_a_gpu_cannot_hold_is_refused_by_its_own_memory() -> None:
    small = dataclasses.replace(LAPTOP, gpu="some GPU", gpu_memory=2**30, gpu_free=2**28)
    config = decide(load(None, {}), dataclasses.replace(situation("text-classification"), machine=small), {}).config
    with pytest.raises(ResourceError, match=r"GiB of GPU memory; 0\.2 GiB are free"):
        refuse_if_too_large(model(), config, 60, small)


@pytest.mark.parametrize("task", list(TASKS))
def test_adapters_learn_ten_times_as_fast(task: str) -> None:
    rates = {name: decided({"method.name": name}, task).config.train.lr for name in METHODS}
    assert rates["lora"] == pytest.approx(10 * rates["full"])


def test_alpha_is_twice_the_rank() -> None:
    assert decided({"method.name": "lora", "lora.rank": 5}).config.lora.alpha == 10
    assert decided({"method.name": "lora", "lora.alpha": 3}).config.lora.alpha == 3


def test_small_models_are_tuned_in_full_and_large_ones_by_adapters() -> None:
    assert decided(facts=model(parameters=22_700_000)).config.method.name == "full"
    assert decided(facts=model(parameters=134_000_000, width=768, layers=12)).config.method.name == "lora"


def test_bf16_only_where_it_was_measured_to_pay() -> None:
    assert decided(gain=1.1).config.model.precision == "fp32"
    assert decided(gain=4.9).config.model.precision == "bf16"
    assert "4.9" in decided(gain=4.9).settings["model.precision"].reason


def test_small_models_are_kept_from_running_in_circles() -> None:
    small = decided(task="instruction", facts=model("decoder", parameters=135_000_000)).config
    large = decided(task="instruction", facts=model("decoder", parameters=7 * 10**9)).config
    assert (small.evaluate.repetition_penalty, large.evaluate.repetition_penalty) == (1.1, 1.0)
    assert (small.evaluate.no_repeat_ngram, large.evaluate.no_repeat_ngram) == (12, 0)


@given(rows=st.integers(1, 10**6), batch=st.integers(1, 512), epochs=st.floats(0.01, 20))
def test_validation_and_log_points_lie_within_the_run(rows: int, batch: int, epochs: float) -> None:
    config = decided({"train.batch_size": batch, "train.epochs": epochs}, rows=rows).config
    steps = total_steps(config, rows)
    assert steps >= 1 and 1 <= config.train.validate_every <= steps and 1 <= config.train.log_every <= steps


def test_steps_of_tags_are_drawn_from_all_rows_and_cut_by_length() -> None:
    """A step of long sentences alone is nearly without entities: an encoder of width 768 then learnt none."""
    tags = decided({}, "token-classification").config.train
    assert (tags.length_window, tags.accumulate) == (1, 4)
    labels = decided({}, "text-classification").config.train
    assert (labels.length_window, labels.accumulate) == (50, 1)
    asked = decided({"train.length_window": 1, "train.batch_size": 3}, "text-classification")
    assert asked.config.train.accumulate == 3
    assert "padding" in asked.settings["train.accumulate"].reason


@given(longest=st.integers(1, 131_072), batch=st.integers(1, 512))
def test_micro_batches_bound_the_tokens_of_a_pass(longest: int, batch: int) -> None:
    config = decided({"train.batch_size": batch}, longest=longest).config
    rows = -(-batch // config.train.accumulate)
    assert rows == 1 or rows * longest <= 8192
    assert config.train.accumulate <= batch


@pytest.mark.parametrize(
    ("options", "task"),
    [
        ({"method.name": "full", "lora.rank": 4}, "text-classification"),
        ({"method.name": "lora", "freeze.top_layers": 1}, "instruction"),
        ({"lora.dropout": 0.1}, "text-classification"),
        ({"evaluate.answers": 3}, "text-classification"),
        ({"evaluate.max_new_tokens": 30}, "text-classification"),
        ({"evaluate.repetition_penalty": 1.1}, "text-classification"),
        ({"data.label": "x"}, "instruction"),
        *(({"train.class_weights": "focal"}, name) for name in TASKS if name != "text-classification"),
    ],
)
def test_an_option_without_effect_is_refused(options: dict[str, Any], task: str) -> None:
    with pytest.raises(ConfigError, match="no effect") as error:
        decided(options, task)
    assert next(name for name in options if name != "method.name") in error.value.message


def test_a_model_of_the_wrong_kind_and_a_limit_beyond_it() -> None:
    answer = TASKS["text-classification"].answer
    config = build({"model": {"max_length": 512}})
    check_model(config, model(), answer)
    with pytest.raises(ModelError, match="decoder"):
        check_model(config, model("decoder"), answer)
    with pytest.raises(ConfigError, match="513"):
        check_model(build({"model": {"max_length": 513}}), model(), answer)
    assert length_limit(model(), answer)[0] == 512
    assert length_limit(model(), answer, room=20)[0] == 492


# -- memory and budget


def test_arithmetic_of_a_step_of_minilm() -> None:
    """22.7M parameters: weights, gradients and two moments are 16 bytes each, 363 MB; the rest are activations."""
    fixed = estimate(parameters=22_700_000, trained=22_700_000, tokens=0, width=384, layers=6)
    assert fixed == 16 * 22_700_000
    whole = estimate(parameters=22_700_000, trained=22_700_000, tokens=32 * 64, width=384, layers=6)
    assert whole - fixed == 4 * 34 * 2048 * 384 * 6
    pairs = 12 * 32 * 64 * 64
    kept = estimate(parameters=22_700_000, trained=22_700_000, tokens=32 * 64, width=384, layers=6, pairs=pairs)
    assert kept - whole == 9 * 6 * pairs


def test_attention_that_drops_weights_counts_pairs_of_tokens() -> None:
    """Of the 15.4 GiB that all-mpnet-base-v2 with lora took for 16 rows of 476 tokens, pairs are a third."""
    mpnet = model(parameters=109_500_000, width=768, layers=12)
    config = decided({"method.name": "lora", "train.batch_size": 16, "train.accumulate": 1}, facts=mpnet).config
    linear = step_bytes(config, mpnet, 16, 476)
    dropping = step_bytes(config, dataclasses.replace(mpnet, dropping_heads=12), 16, 476)
    assert linear / 2**30 == pytest.approx(9.4, abs=0.2) and dropping / 2**30 == pytest.approx(13.8, abs=0.3)


def test_too_large_a_step_is_refused_with_both_figures() -> None:
    large = model(parameters=10**9, width=2048, layers=24)
    config = decided({"method.name": "full", "model.name": "m"}, facts=large).config
    with pytest.raises(ResourceError, match=r"needs about 15\.\d GiB .* 8\.0 GiB are free") as error:
        refuse_if_too_large(large, config, 60, LAPTOP)
    assert "--method lora" in error.value.hint and error.value.exit_code == 2
    assert refuse_if_too_large(model(), decided().config, 60, LAPTOP) < 2**30


def test_a_step_is_cut_further_where_memory_is_short_and_no_further_than_rows() -> None:
    chat = model("decoder", parameters=135_000_000, width=576, layers=30)

    def on(gib: float) -> tuple[Decided, Machine]:
        this = dataclasses.replace(LAPTOP, free=int(gib * 2**30))
        where = dataclasses.replace(situation("instruction", facts=chat, longest=1000), machine=this)
        return decide(load(None, {"method.name": "lora"}), where, {}), this

    for gib, parts in ((64, 1), (16, 2), (7.5, 4), (0.1, 8)):
        found, this = on(gib)
        assert (found.config.train.batch_size, found.config.train.accumulate) == (8, parts), gib
        reason = found.settings["train.accumulate"].reason
        if parts == 1:
            assert "a step fits" in reason
        else:
            assert re.search(rf"with 1 a step would need about 2\d\.\d GiB of memory; {gib:.1f} are free", reason)
        if parts < 8:
            assert refuse_if_too_large(chat, found.config, 1000, this) <= this.free
    with pytest.raises(ResourceError) as error:
        refuse_if_too_large(chat, found.config, 1000, this)
    assert "accumulate" not in error.value.hint and "--method lora" not in error.value.hint


COST = Cost(row_seconds=0.5 / 32, token_seconds=1e-4, forward_seconds=4e-5, peak_bytes=2**30, estimated_bytes=2**29)


@given(minutes=st.floats(0.05, 500), rows=st.integers(50, 100_000), test=st.integers(30, 20_000))
def test_a_budget_is_kept_or_nothing_is_changed(minutes: float, rows: int, test: int) -> None:
    config = decided({"train.minutes": minutes}, rows=rows).config
    volume = Volume(rows=rows, test_rows=test, test_tokens=30.0, passes=3)
    changes = fit_budget(config, COST, volume)
    after: Config = config.replace({name: setting.value for name, setting in changes.items()})
    cost = price(after, COST, volume)
    assert cost["train_minutes"] <= max(0.6 * minutes, 1.1 * 0.5 / 60 + 1e-9)
    assert set(changes) <= {"train.epochs", "evaluate.test_rows", "evaluate.retain_documents"}
    for setting in changes.values():
        assert setting.by == "measured" and "minutes allow" in setting.reason


def test_no_budget_changes_nothing() -> None:
    assert fit_budget(decided().config, COST, Volume(10**6, 10**5, 30.0, 3)) == {}


@given(minutes=st.floats(2, 500), each=st.floats(0, 1), longest=st.integers(32, 512))
def test_written_answers_come_out_of_the_budget_first(minutes: float, each: float, longest: int) -> None:
    asked = {"train.minutes": minutes, "evaluate.max_new_tokens": longest}
    config = decided(asked, "instruction", rows=50_000).config
    cost = dataclasses.replace(COST, update_seconds=0.5, write_seconds=each)
    volume = Volume(rows=50_000, test_rows=20_000, test_tokens=300.0, passes=2)
    answers = 2 * longest * each / 60
    changes = fit_budget(config, cost, volume)
    after = config.replace({name: setting.value for name, setting in changes.items()})
    planned = price(after, cost, volume)
    rest = max(0.4 * minutes, minutes - answers)
    one_step, least_rows = 1.1 * cost.step(8) / 60, 30 * 2 * 300 * 4e-5 / 60
    whole = price(config, cost, volume)["train_minutes"]
    least = min(0.53 * rest - one_step, 0.99 * whole)
    assert least <= planned["train_minutes"] <= max(0.57 * rest, one_step + 1e-9)
    assert answers <= planned["evaluate_minutes"] <= answers + max(0.17 * rest, least_rows) + 1e-9


def test_what_is_spent_already_is_no_part_of_the_budget() -> None:
    config = decided({"train.minutes": 8.0}, rows=10**6).config
    whole, late = (
        fit_budget(config, COST, Volume(10**6, 10**5, 30.0, 3, spent=spent))["train.epochs"].value
        for spent in (0.0, 120.0)
    )
    assert late == pytest.approx(0.75 * whole, rel=0.01)


def test_where_each_row_is_answered_in_writing_fewer_are_scored() -> None:
    config = decided({"train.minutes": 10.0, "evaluate.max_new_tokens": 100}, "seq2seq").config
    cost = dataclasses.replace(COST, write_seconds=0.05)
    read, written = (
        fit_budget(config, cost, Volume(1000, 20_000, 300.0, 2, written=written)) for written in (False, True)
    )
    assert read["evaluate.test_rows"].value > 10 * written["evaluate.test_rows"].value


def test_a_token_of_an_answer_costs_what_the_later_ones_cost() -> None:
    def write(tokens: int) -> int:
        time.sleep(0.2 + 0.02 * min(tokens, 6))  # reading the prompts first; all answers end after six tokens
        return min(tokens, 6)

    order = [[[0, 1]], [[2, 3]]]
    cost = measure(lambda step: None, lambda rows: None, order, [5, 6, 7, 8], 0, write=write)
    assert 0.015 < cost.write_seconds < 0.06


def test_memory_is_that_of_the_largest_micro_batch_and_not_of_the_longest_row() -> None:
    lengths, seen = [50, 10, 11, 12, 13, 20, 21, 22, 23], list[Any]()
    order = [[[0]], [[1, 2], [3, 4]], [[5, 6], [7, 8]]]  # the longest row is what was left over
    measure(seen.append, lambda rows: None, order, lengths, 0)
    assert seen[0] == [[0]]
    order[0] = [[1]]
    seen.clear()
    measure(seen.append, lambda rows: None, order, lengths, 0)
    assert seen[0] == [[5, 6], [7, 8]]
    order = [[[0]], [[5, 6, 7, 8]]]
    seen.clear()
    measure(seen.append, lambda rows: None, order, lengths, 0)
    assert seen[0] == [[5, 6, 7, 8]]


@pytest.mark.parametrize(("minutes", "batch"), [(0.25, 2), (0.5, 4), (1, 8), (60, 8)])
def test_a_short_budget_makes_more_steps_of_fewer_rows(minutes: float, batch: int) -> None:
    config = decided({"train.minutes": minutes}, "instruction", rows=5_000).config
    volume = Volume(rows=5_000, test_rows=100, test_tokens=300.0, passes=2, least_batch=2)
    changes = fit_budget(config, COST, volume)
    after = config.replace({name: setting.value for name, setting in changes.items()})
    assert after.train.batch_size == batch
    trained = total_steps(after, 5_000) * batch
    most = min(10_000, 0.55 * 60 * minutes / (1.1 * COST.row_seconds))
    assert 0.98 * most - batch <= trained <= most + batch
    assert "train.batch_size" not in fit_budget(config, COST, volume, frozenset({"train.batch_size"}))
    assert "train.batch_size" not in fit_budget(config, COST, dataclasses.replace(volume, least_batch=0))


def test_what_a_step_costs_whatever_its_rows_is_told_apart() -> None:
    lengths = [10, 20, 30, 40] * 4

    def step(micros: Sequence[Sequence[int]]) -> None:
        time.sleep(0.1 + 0.002 * sum(lengths[row] for micro in micros for row in micro))

    order = [[list(range(at, at + 8))] for at in (0, 8)]
    cost = measure(step, lambda rows: None, order, lengths, 0, least=2)
    assert cost.update_seconds == pytest.approx(0.1, rel=0.3)
    assert cost.row_seconds == pytest.approx(0.05, rel=0.3)
    assert cost.step(8) == pytest.approx(0.1 + 8 * 0.05, rel=0.15)
    assert measure(step, lambda rows: None, order, lengths, 0).step(8) == pytest.approx(0.5, rel=0.15)


def test_validation_takes_a_tenth_of_the_time_also_where_there_are_few_steps() -> None:
    """Each look is at 32 rows at least, a third of whose cost in training is one forward pass."""
    for rows in (60, 200, 400, 1000, 10_000):
        config = decided({"train.epochs": 1.0}, "instruction", rows=rows).config
        looks = -(-total_steps(config, rows) // config.train.validate_every)
        looked = looks * config.evaluate.validation_rows
        assert looks <= 8 and looked / 3 <= max(0.13 * rows, 3 * 32 / 3)


def test_reading_rows_once_more_to_see_how_far_it_moved_comes_out_of_the_budget() -> None:
    config = decided({"train.minutes": 5.0}, "instruction", rows=50_000).config
    still = Volume(rows=50_000, test_rows=20_000, test_tokens=300.0, passes=2)
    moved = dataclasses.replace(still, moved=True)
    more = price(config, COST, moved)["evaluate_minutes"] - price(config, COST, still)["evaluate_minutes"]
    assert more == pytest.approx(2 * 64 * 300 * 4e-5 / 60)
    fewer = [fit_budget(config, COST, volume)["evaluate.test_rows"].value for volume in (still, moved)]
    assert fewer[1] < fewer[0]


def test_a_head_of_many_labels_gets_more_passes_over_a_small_file() -> None:
    recipe = TASKS["text-classification"].answer.recipe
    usual, batch = recipe["train.epochs"][0], recipe["train.batch_size"][0]

    def plan(rows: int, labels: int) -> Any:
        return decide(
            load(None, {}), dataclasses.replace(situation("text-classification", rows=rows), labels=labels), {}
        )

    few = plan(27 * batch, 77)  # 11 rows of each of banking77's intents
    assert few.config.train.epochs == 15 and "77 labels" in few.settings["train.epochs"].reason
    assert f"{usual * 27:,.0f} steps" in few.settings["train.epochs"].reason
    assert plan(1000 * batch, 77).config.train.epochs == usual, "a large file has steps enough"
    assert plan(10 * batch, 3).config.train.epochs == usual, "where labels are few more passes do harm"
    assert plan(batch, 77).config.train.epochs == 20


def test_a_chat_model_does_not_go_over_a_small_file_more_often() -> None:
    for task in ("instruction", "instructed-classification"):
        assert decided(task=task, rows=100).config.train.epochs == TASKS[task].answer.recipe["train.epochs"][0]


def test_passes_that_were_asked_for_stay() -> None:
    assert decided({"train.epochs": 1.0}, rows=100).config.train.epochs == 1
