"""Answers that are written side by side: whoever asks joins those under way, and nobody waits for another's end.

    queue = Continuous("support@7", predictor, metrics, failed)
    queue.submit(items)                 # as a Batcher's

transformers' own continuous batching: each step reads the weights once for all answers that are under way, whenever
they began, and keys and values stand in pages of one memory. What it knows of a request is its tokens; penalties for
what was said, and tokens drawn by the request's own seed, are done here, row by row, as where the model was scored.
Nobody else may call the model: within a step transformers has its configuration say that it is not causal.
benchmarks/serving_chat.py measures it against batches.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)

from tuneproof.deploy.server.batching import (
    CRASH_WINDOW,
    CRASHES,
    Item,
    admit,
    enough,
    too_late,
)
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.methods import prompted
from tuneproof.modalities import ChatEncoder
from tuneproof.place import GPU, device_of
from tuneproof.predict import Predictor
from tuneproof.records import Generation
from tuneproof.tasks import Writer
from tuneproof.tasks.drawing import Drawn

# Types of causal models whose answers a test holds to be those of ``generate``.
CONTINUED = ("llama", "qwen2", "qwen3", "granite", "olmo2", "gpt_neox", "gpt2")
TOGETHER = {"cpu": 16, GPU: 256}  # answers under way; others wait
HELD = {"cpu": 0, GPU: 65_536}  # tokens that have room at least, beside those of one answer as long as may be
PAGE = 64  # tokens whose keys and values stand together
READ = 1024  # tokens that one step reads at most: longer prompts take several
TICK = 0.1  # seconds after which deadlines are looked at where no token came


def continues(predictor: Predictor) -> bool:
    """Whether answers of this model can be written so; an adapter's tokens before the text cannot stand in pages."""
    model: Any = predictor.model
    config = model.config
    return (
        isinstance(predictor.encoder, ChatEncoder)
        and config.model_type in CONTINUED
        and config._attn_implementation == "sdpa"
        and not prompted(model)
    )


class Continuous:
    """The answers of one model that are under way, and the thread that hears of each token."""

    def __init__(
        self,
        label: str,
        predictor: Predictor,
        metrics: Metrics,
        failed: Callable[[str], None] = lambda label: None,
    ) -> None:
        assert isinstance(predictor.encoder, ChatEncoder), "models that write dialogues read them with a chat encoder"
        self.label = label
        self._encoder = predictor.encoder
        self._writer = cast(Writer, predictor.answer)
        self._metrics, self._failed = metrics, failed
        self._items: dict[str, Item] = {}
        self._prompts: dict[str, int] = {}  # tokens of each
        self._begun: set[str] = set()
        self._tokens = 0  # of all items
        self._numbers = count()
        self._crashes: deque[float] = deque(maxlen=CRASHES)
        self._changed = threading.Lock()
        self._closed = False
        self._each = _EachItsOwn()
        self._manager = _started(predictor, self._each, label)
        self._thread = threading.Thread(target=self._listen, name=f"model {label}, continuous", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked on."""
        return not self._items

    @property
    def waiting(self) -> bool:
        """Whether somebody has not been given a first token."""
        return len(self._begun) < len(self._items)

    def submit(self, items: Sequence[Item]) -> None:
        """All of them or none; Refusal 429 when too many wait, 503 when it is closed."""
        prompts = [self._encoder.prompt(item.row["messages"], item.row.get("tools")).ids for item in items]
        tokens = sum(item.length for item in items)
        with self._changed:
            admit(self._closed, len(self._items) + len(items), self._tokens + tokens)
            self._tokens += tokens
            for item, prompt in zip(items, prompts, strict=True):
                self._begin(item, prompt)

    def _begin(self, item: Item, prompt: Sequence[int]) -> None:
        item.born = time.monotonic()
        number = str(next(self._numbers))
        self._items[number], self._prompts[number] = item, len(prompt)
        self._each.knows(number, item.how)
        self._manager.add_request(
            list(prompt),
            request_id=number,
            max_new_tokens=item.how.max_new_tokens,
            streaming=True,
            eos_token_id=self._encoder.stops,
        )

    def close(self) -> None:
        """Answer what is under way, then end the threads; returns at once."""
        with self._changed:
            self._closed = True

    def join(self, seconds: float) -> bool:
        """Whether all has ended within so many seconds."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

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
            item.answer(_failure())
            self._crashes.append(time.monotonic())
            if len(self._crashes) == CRASHES and self._crashes[0] > time.monotonic() - CRASH_WINDOW:
                self._failed(self.label)
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
            self._tokens -= item.length
            del self._items[number], self._prompts[number]
            self._begun.discard(number)
            self._each.forgets(number)

    def _broke(self) -> None:
        """The manager's thread is gone, and nobody else does its work."""
        with self._changed:
            self._closed = True
            for item in self._items.values():
                item.answer(_failure())
            self._items.clear()
        self._failed(self.label)


def _failure() -> Refusal:
    return Refusal(503, "The model failed on this batch.", code="model_failed", after=1)


def _started(predictor: Predictor, each: _EachItsOwn, label: str) -> Any:
    """transformers' manager of the model: pages for so many tokens as one answer can have at least.

    Its memory is there when this returns. Its thread ends with the process, as ours do; its own would keep it alive.
    """
    encoder, model = cast(ChatEncoder, predictor.encoder), cast(Any, predictor.model)
    greedy = GenerationConfig(do_sample=False, eos_token_id=encoder.stops, pad_token_id=encoder.tokenizer.pad_token_id)
    how = ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=math.ceil(max(HELD[device_of(model).type], encoder.max_length) / PAGE) + 1,
        max_batch_tokens=READ,
        max_requests_per_batch=TOGETHER[device_of(model).type],
        auto_switch_to_flash=False,  # other kernels than those of the scored model would say other things
        use_async_batching=False,  # what comes next depends on what was said: it is known one step at a time
        use_cuda_graph=False,
    )
    manager = model.init_continuous_batching(greedy, how)
    processors = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([each]))
    processors.tensors_required = 1
    manager.logit_processor = processors
    manager.warmup()
    loop = threading.Thread(target=manager._run_generation_loop, name=f"model {label}, steps", daemon=True)
    manager._generation_thread = loop
    loop.start()
    return manager


class _EachItsOwn(ContinuousBatchingLogitsProcessor):  # type: ignore[misc]
    """What each request wants of its next token, in the order in which ``generate`` does it."""

    supported_kwargs: ClassVar[dict[str, type]] = {}
    ignored_kwargs: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._wants: dict[str, list[LogitsProcessor]] = {}
        self._rows: list[tuple[list[int], list[LogitsProcessor]]] = []  # of the step that is being made

    def knows(self, number: str, how: Generation) -> None:
        found: list[LogitsProcessor] = []
        if how.repetition_penalty != 1:
            found.append(RepetitionPenaltyLogitsProcessor(how.repetition_penalty))
        if how.no_repeat_ngram:
            found.append(NoRepeatNGramLogitsProcessor(how.no_repeat_ngram))
        if how.temperature:
            found.append(Drawn(how, [how.seed]))
        self._wants[number] = found

    def forgets(self, number: str) -> None:
        del self._wants[number]

    def fill_defaults(self, int32_tensor: Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> Tensor:
        states = [request.state for request in requests_with_new_token]
        self._rows = [
            ([*state.initial_tokens, *state.generated_tokens], self._wants.get(state.request_id, []))
            for state in states
        ]
        return torch.zeros(len(states), dtype=torch.int32)

    def __call__(self, scores: Tensor, tensor_arg: Tensor) -> Tensor:
        """(rows, vocabulary)."""
        for at, (ids, wants) in enumerate(self._rows):
            if wants:
                so_far, row = torch.tensor([ids], device=scores.device), scores[at : at + 1]
                for want in wants:
                    row = want(so_far, row)
                scores[at] = row[0]
        return scores
