"""Answers written on a GPU: whoever asks joins those that are under way, and nobody waits for another's end.

    queue = Continuous("support@7", predictor, metrics, others, failed)
    queue.submit(items)                 # as a Batcher's; what it cannot do goes to ``others``, which is one

transformers' own continuous batching: each step reads the weights once for all answers that are under way, whenever
they began, and keys and values stand in pages of one memory. It knows greedy answers without penalties; what asks for
more (tokens drawn by a seed of the request, penalties for what was said) is written as before, in batches. So a model
that was scored with a penalty, as small ones are, is hosted without this.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, cast

from transformers import ContinuousBatchingConfig, GenerationConfig

from tuneproof.deploy.server.batching import QUEUE_ITEMS, Batcher, Item, enough, too_late
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.methods import prompted
from tuneproof.modalities import ChatEncoder
from tuneproof.predict import Predictor, generation
from tuneproof.records import Generation
from tuneproof.tasks import Writer

MEMORY = 0.4  # of a GPU's free memory for keys and values: another version may have to be loaded beside this one
TICK = 0.1  # seconds after which deadlines are looked at where no token came


def plain(how: Generation) -> bool:
    """Whether such an answer is the likeliest token after the likeliest, whatever was said before."""
    return how.temperature == 0 and how.repetition_penalty == 1 and how.no_repeat_ngram == 0


def continues(predictor: Predictor) -> bool:
    """Whether answers of this model can be written so; an adapter's tokens before the text cannot stand in pages."""
    return plain(generation(predictor.config)) and not prompted(predictor.model)


class Continuous:
    """The answers of one model that are under way, and the thread that hears of each token."""

    def __init__(
        self,
        label: str,
        predictor: Predictor,
        metrics: Metrics,
        others: Batcher,
        failed: Callable[[str], None] = lambda label: None,
        pages: int | None = None,
    ) -> None:
        """``pages`` of keys and values; as many as the memory has room for where it is None."""
        assert isinstance(predictor.encoder, ChatEncoder), "models that write dialogues read them with a chat encoder"
        self.label = label
        self._encoder = predictor.encoder
        self._writer = cast(Writer, predictor.answer)
        self._metrics, self._others, self._failed = metrics, others, failed
        self._items: dict[str, Item] = {}
        self._prompts: dict[str, int] = {}  # tokens of each
        self._begun: set[str] = set()
        self._numbers = count()
        self._changed = threading.Lock()
        self._closed = False
        greedy = GenerationConfig(
            do_sample=False, eos_token_id=self._encoder.stops, pad_token_id=self._encoder.tokenizer.pad_token_id
        )
        model: Any = predictor.model
        # Other kernels than those of the scored model would be faster, and would say other things.
        how = ContinuousBatchingConfig(max_memory_percent=MEMORY, num_blocks=pages, auto_switch_to_flash=False)
        self._manager: Any = model.init_continuous_batching(greedy, how)
        self._manager.start()
        self._thread = threading.Thread(target=self._listen, name=f"model {label}, continuous", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked on."""
        return not self._items and self._others.idle

    @property
    def waiting(self) -> bool:
        """Whether somebody has not been given a first token."""
        return len(self._begun) < len(self._items) or self._others.waiting

    def submit(self, items: Sequence[Item]) -> None:
        """All of them or none; Refusal 429 when too many wait, 503 when it is closed."""
        ours = [item for item in items if plain(item.how)]
        with self._changed:
            if self._closed:
                raise Refusal(503, "The server is shutting down.", code="draining", after=5)
            if len(self._items) + len(ours) > QUEUE_ITEMS:
                raise Refusal(429, "Too many inputs are waiting for this model.", code="queue_full", after=1)
            if len(ours) < len(items):
                self._others.submit([item for item in items if not plain(item.how)])
            for item in ours:
                self._begin(item)

    def _begin(self, item: Item) -> None:
        item.born = time.monotonic()
        prompt = self._encoder.prompt(item.row["messages"], item.row.get("tools")).ids
        number = str(next(self._numbers))
        self._items[number], self._prompts[number] = item, len(prompt)
        self._manager.add_request(
            prompt,
            request_id=number,
            max_new_tokens=item.how.max_new_tokens,
            streaming=True,
            eos_token_id=self._encoder.stops,
        )

    def close(self) -> None:
        """Answer what is under way, then end the thread; returns at once."""
        self._closed = True
        self._others.close()

    def join(self, seconds: float) -> bool:
        """Whether all has ended within so many seconds."""
        until = time.monotonic() + seconds
        self._thread.join(seconds)
        return self._others.join(max(0.0, until - time.monotonic())) and not self._thread.is_alive()

    def _listen(self) -> None:
        while self._items or not self._closed:
            result = self._manager.get_result(timeout=TICK)
            if result is not None:
                self._heard(result)
            elif not self._manager.is_running():
                self._broke()
                return
            else:
                self._tidy()
        self._manager.stop(block=True, hard_stop=True)

    def _heard(self, result: Any) -> None:
        """A token more of an answer, or its end."""
        number = result.request_id
        item = self._items.get(number)
        if item is None:  # it was cancelled
            return
        if number not in self._begun:
            self._begun.add(number)
            self._metrics.observe("queue_seconds", time.monotonic() - item.born, model=self.label)
            self._metrics.observe("batch_size", len(self._begun), model=self.label)
        if result.error is not None:
            item.answer(Refusal(503, "The model failed on this answer.", code="model_failed", after=1))
        self._end(number, list(result.generated_tokens), result.is_finished())

    def _tidy(self) -> None:
        """Forgets whom nobody waits for, and answers those whose time is over."""
        now = time.monotonic()
        for number, item in list(self._items.items()):
            if item.gone or now > item.deadline:
                item.answer(too_late())
                self._end(number, [], False)

    def _end(self, number: str, ids: list[int], finished: bool) -> None:
        """Answers and forgets what is finished, too late, or long enough for whoever follows it."""
        item = self._items[number]
        if not enough(item, ids, time.monotonic()) and not finished:
            return
        if not finished:
            self._manager.cancel_request(number)
        if not item.gone:
            item.answer(self._writer.told(self._encoder, ids, self._prompts[number]))
        with self._changed:
            del self._items[number], self._prompts[number]
            self._begun.discard(number)

    def _broke(self) -> None:
        """The manager's thread is gone, and nobody else does its work."""
        with self._changed:
            self._closed = True
            for item in self._items.values():
                item.answer(Refusal(503, "The model failed on this answer.", code="model_failed", after=1))
            self._items.clear()
        self._failed(self.label)
