"""Continuous batching, on the processor: answers are the predictor's, whenever they begin, and each ends for itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from served_models import QUESTION, Served
from tiny import untrained
from transformers import ContinuousBatchingConfig, GenerationConfig

from tuneproof.deploy.server.batching import Item
from tuneproof.deploy.server.continuous import CONTINUED, Continuous
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.predict import Predictor, generation
from tuneproof.records import Generation, Prediction
from tuneproof.run import Run

PLAIN = {"evaluate.repetition_penalty": 1.0, "evaluate.no_repeat_ngram": 0}
THINGS = ("snow", "grass", "the sea", "a tomato", "coal")
ASKED = [f"{number}: what is the colour of {thing}" for number, thing in enumerate(THINGS)]


@pytest.fixture(scope="module")
def speaker(chat_run: Run) -> Predictor:
    """A predictor without penalties, as large models are scored; nobody else calls its model."""
    found = Predictor.open(chat_run)
    return replace(found, config=found.config.replace(PLAIN))


@pytest.fixture
def queue(chat_run: Run, speaker: Predictor) -> Iterator[Continuous]:
    """Over the same model, opened once more: within a step no other call of it says what it should."""
    found = Continuous("chats@1", replace(speaker, model=Predictor.open(chat_run).model), Metrics())
    yield found
    found.close()
    assert found.join(30)


@dataclass
class Heard:
    """What came of items, and when all of it is there."""

    said: dict[int, Prediction | Refusal]
    more: threading.Condition

    def item(self, number: int, text: str, how: Generation, **more: Any) -> Item:
        def done(what: Prediction | Refusal) -> None:
            with self.more:
                self.said[number] = what
                self.more.notify_all()

        row = {"messages": [{"role": "user", "content": text}]}
        return Item(row, 8, how, more.pop("deadline", time.monotonic() + 60), done, **more)

    def all(self, count: int) -> list[Prediction | Refusal]:
        with self.more:
            assert self.more.wait_for(lambda: len(self.said) == count, timeout=60), self.said
        return [self.said[number] for number in sorted(self.said)]


@pytest.fixture
def heard() -> Heard:
    return Heard({}, threading.Condition())


def as_predicted(speaker: Predictor, texts: Sequence[str], how: Generation) -> list[Any]:
    rows = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    return [(one.value, one.scores["stopped"], one.tokens_in, one.tokens_out) for one in map_alone(speaker, rows, how)]


def map_alone(speaker: Predictor, rows: Sequence[Any], how: Generation) -> list[Prediction]:
    return [speaker.respond([row], how)[0] for row in rows]


def plainly(said: Sequence[Prediction | Refusal]) -> list[Any]:
    found = []
    for one in said:
        assert isinstance(one, Prediction), one
        found.append((one.value, one.scores["stopped"], one.tokens_in, one.tokens_out))
    return found


def test_who_comes_later_joins_and_every_answer_is_the_predictors(queue, speaker: Predictor, heard: Heard) -> None:
    how = generation(speaker.config)
    queue.submit([heard.item(0, ASKED[0], how), heard.item(1, ASKED[1], how)])
    for number in (2, 3, 4):
        queue.submit([heard.item(number, ASKED[number], how)])
    assert plainly(heard.all(5)) == as_predicted(speaker, ASKED, how)
    wait(lambda: queue.idle and not queue.waiting)


def test_each_has_its_own_length_and_whoever_follows_may_end_it(queue, speaker: Predictor, heard: Heard) -> None:
    how = generation(speaker.config)
    seen: list[int] = []

    def two(ids: Sequence[int]) -> bool:
        seen.append(len(ids))
        return len(ids) >= 2

    queue.submit([heard.item(0, ASKED[0], replace(how, max_new_tokens=3)), heard.item(1, ASKED[0], how, watch=two)])
    short, followed = heard.all(2)
    assert isinstance(short, Prediction) and isinstance(followed, Prediction)
    assert plainly([short]) == as_predicted(speaker, ASKED[:1], replace(how, max_new_tokens=3))
    assert plainly([followed])[0][0] == as_predicted(speaker, ASKED[:1], replace(how, max_new_tokens=2))[0][0]
    assert seen == [1, 2]


def test_each_has_its_own_penalty_and_is_drawn_by_its_own_seed(queue, speaker: Predictor, heard: Heard) -> None:
    plain = generation(speaker.config)
    hows = [
        plain,
        replace(plain, repetition_penalty=1.3),
        replace(plain, no_repeat_ngram=2),
        replace(plain, repetition_penalty=1.1, temperature=1.0, top_p=0.9, seed=3),
        replace(plain, temperature=0.7, seed=4),
    ]
    queue.submit([heard.item(n, text, how) for n, (text, how) in enumerate(zip(ASKED, hows, strict=True))])
    alone = [as_predicted(speaker, [text], how)[0] for text, how in zip(ASKED, hows, strict=True)]
    assert plainly(heard.all(5)) == alone


def test_more_than_there_are_pages_for_wait_or_begin_anew_and_say_the_same(queue, speaker, heard: Heard) -> None:
    """There is room for 320 tokens: fifteen answers of 60 after prompts of 20 need four times as much."""
    how = replace(generation(speaker.config), max_new_tokens=60, repetition_penalty=1.2)
    queue.submit([heard.item(n, text, how) for n, text in enumerate(ASKED * 3)])
    assert plainly(heard.all(15)) == as_predicted(speaker, ASKED, how) * 3


@pytest.mark.parametrize("kind", CONTINUED)
def test_every_type_that_is_said_to_be_continued_says_what_it_says_alone(one_thread: None, kind: str) -> None:
    model = untrained(kind)
    model.set_attn_implementation("sdpa")
    prompts = [[3, 9, 4, 7, 8], [5, 6], [7, *range(10, 45), 8]]
    greedy = GenerationConfig(do_sample=False, max_new_tokens=9, eos_token_id=2, pad_token_id=0)
    with torch.no_grad():
        alone = [model.generate(torch.tensor([one]), greedy)[0, len(one) :].tolist() for one in prompts]
    manager = model.init_continuous_batching(
        greedy, ContinuousBatchingConfig(num_blocks=8, max_batch_tokens=16, auto_switch_to_flash=False)
    )
    manager.start()
    numbers = [manager.add_request(one, max_new_tokens=9, eos_token_id=2) for one in prompts]
    found: dict[str, list[int]] = {}
    while len(found) < len(prompts):
        result = manager.get_result(timeout=10)
        assert result is not None and result.error is None
        found[result.request_id] = result.generated_tokens
    manager.stop(block=True)
    assert [found[number] for number in numbers] == alone


def test_nobody_waits_for_who_has_gone_or_is_too_late(queue, speaker: Predictor, heard: Heard) -> None:
    how = replace(generation(speaker.config), max_new_tokens=200)
    gone = heard.item(0, ASKED[0], how, watch=lambda ids: False)
    gone.gone = True
    late = heard.item(1, ASKED[1], how, deadline=time.monotonic() - 1, watch=lambda ids: False)
    queue.submit([gone, late, heard.item(2, ASKED[2], generation(speaker.config))])
    with heard.more:
        assert heard.more.wait_for(lambda: {1, 2} <= heard.said.keys(), timeout=60)
    assert isinstance(heard.said[1], Refusal) and heard.said[1].status == 504
    assert isinstance(heard.said[2], Prediction)
    wait(lambda: queue.idle)


def test_a_closed_one_ends_what_is_under_way_and_takes_nothing_more(queue, speaker: Predictor, heard: Heard) -> None:
    how = generation(speaker.config)
    queue.submit([heard.item(0, ASKED[0], how)])
    queue.close()
    with pytest.raises(Refusal) as refused:
        queue.submit([heard.item(1, ASKED[1], how)])
    assert refused.value.status == 503
    assert plainly(heard.all(1)) == as_predicted(speaker, ASKED[:1], how)


def test_a_full_one_takes_all_of_a_request_or_nothing(queue, speaker: Predictor, heard: Heard, monkeypatch) -> None:
    monkeypatch.setattr("tuneproof.deploy.server.batching.QUEUE_ITEMS", 1)
    how = generation(speaker.config)
    with pytest.raises(Refusal) as refused:
        queue.submit([heard.item(0, ASKED[0], how), heard.item(1, ASKED[1], how)])
    assert refused.value.status == 429 and queue.idle and not heard.said


def test_a_manager_that_breaks_answers_503_and_says_so(speaker: Predictor, heard: Heard) -> None:
    failed: list[str] = []
    broken = Continuous("chats@1", replace(speaker, model=deepcopy(speaker.model)), Metrics(), failed.append)
    broken._manager._generation_step = None  # its thread ends with an error at the first step
    broken.submit([heard.item(0, ASKED[0], generation(speaker.config))])
    (said,) = heard.all(1)
    assert isinstance(said, Refusal) and said.status == 503
    broken.close()
    assert broken.join(30)


def test_the_server_answers_and_streams_through_it(served: Served, speaker: Predictor) -> None:
    hosted = served.models.get("chats")
    assert isinstance(hosted.batcher, Continuous)
    hosted.predictor = replace(hosted.predictor, config=speaker.config)
    asked = {"model": "chats", **QUESTION, "max_tokens": 8}
    wanted = speaker.respond([QUESTION], replace(generation(speaker.config), max_new_tokens=8))[0]
    whole = served.post("/v1/chat/completions", asked)
    assert whole.status == 200
    assert whole.json["choices"][0]["message"]["content"] == wanted.value
    streamed = served.post("/v1/chat/completions", {**asked, "stream": True})
    *pieces, end = streamed.events
    assert end == "[DONE]"
    assert "".join(piece["choices"][0]["delta"].get("content", "") for piece in pieces) == wanted.value


def wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
