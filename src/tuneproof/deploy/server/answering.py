"""From a request to its answers: rows are checked, queued, and waited for as long as somebody waits.

    predictions = await answered(request, hosted, usable(hosted, rows))

A caller who goes away, or a deadline that passes, takes the inputs out of the queue or ends their writing at the next
token. The same ``Predictor`` turns rows into tokens here as in training and evaluation.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request

from tuneproof.deploy.server.batching import Item, too_late
from tuneproof.deploy.server.bodies import INPUTS, Body
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.guard import Exchange, Work
from tuneproof.deploy.server.hosted import Hosted, Models
from tuneproof.deploy.server.trial import key_of
from tuneproof.errors import DataError
from tuneproof.modalities import NotShown
from tuneproof.records import Generation, Prediction
from tuneproof.tasks.layouts import Unusable

TRUTHS = frozenset({"label", "labels", "tags", "entities", "answers", "target", "score"})  # parts that are answered
READ_SECONDS, WRITE_SECONDS = 30.0, 120.0  # until an answer has to be there


@dataclass(frozen=True, slots=True)
class Question:
    """A row that the model can read as a whole."""

    row: dict[str, Any]
    length: int  # tokens


def exchange_of(request: Request) -> Exchange:
    found: Exchange = request.scope["state"]["exchange"]
    return found


def chosen(request: Request, models: Models, body: Body, asked: Any) -> Hosted:
    """The version that answers this request, from now on and for all of its inputs; ``asked`` is what it is about."""
    exchange = exchange_of(request)
    key = key_of(body.user, asked) if body.model in models.trials() else ""
    hosted = models.get(body.model, key)
    exchange.key = key
    exchange.model, exchange.version = hosted.name, hosted.version
    return hosted


def wrong_task(hosted: Hosted) -> Refusal:
    """For a path that does not ask models of this kind."""
    message = f"{hosted.label} is a model for {hosted.predictor.schema.task}: ask it at {path_of(hosted)}."
    return Refusal(400, message, param="model", code="wrong_task")


def path_of(hosted: Hosted) -> str:
    """The path made for models of this kind; /v1/predict asks all of them."""
    shows = hosted.predictor.answer.shows
    if hosted.writes:
        return "/v1/chat/completions"
    if {"question", "context"} <= set(hosted.predictor.schema.fields):
        return "/v1/answer"
    paths = {"label": "/v1/classify", "entities": "/v1/token-classify", "vector": "/v1/embeddings"}
    return next((path for what, path in paths.items() if what in shows), "/v1/predict")


def asked_columns(hosted: Hosted) -> list[str]:
    """The columns of the model's file that a question is made of."""
    return [column for part, column in hosted.predictor.schema.fields.items() if part not in TRUTHS]


def usable(hosted: Hosted, given: Sequence[str | Mapping[str, Any]]) -> list[Question]:
    """Rows as the model is asked them; Refusal that names the input which cannot be used."""
    if not given:
        raise Refusal(400, "input: at least one text or row.", param="input", code="invalid_value")
    if len(given) > INPUTS:
        raise Refusal(413, f"input: at most {INPUTS} in one request.", param="input", code="too_many_inputs")
    return [_usable(hosted, row, f"input {index}: ") for index, row in enumerate(given)]


def shortened(hosted: Hosted, given: Sequence[str | Mapping[str, Any]]) -> tuple[list[str | Mapping[str, Any]], int]:
    """Texts that are too long without their end, and how many those were. Rows of several columns stay whole."""
    found = [_shortened(hosted, row) if isinstance(row, str) else row for row in given]
    return found, sum(short is not row for short, row in zip(found, given, strict=True))


def _shortened(hosted: Hosted, text: str) -> str:
    predictor = hosted.predictor

    def fits(characters: int) -> bool:
        row = predictor.answer.question(text[:characters])
        return predictor.answer.length(row, predictor.encoder) <= predictor.encoder.max_length

    if fits(len(text)):
        return text
    low, high = 0, len(text)  # the first fits, the second does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return text[:low]


def _usable(hosted: Hosted, given: str | Mapping[str, Any], where: str) -> Question:
    predictor = hosted.predictor
    if isinstance(given, str):
        if not given.strip():
            raise Refusal(400, f"{where}the text is empty.", param="input", code="empty_input")
        try:
            row = predictor.parts(given.strip(), 1)
        except DataError:
            columns = ", ".join(asked_columns(hosted))
            message = f"{where}one text is not enough; give a row with {columns}."
            raise Refusal(422, message, param="input", code="unusable_input") from None
    else:
        try:
            row = predictor.answer.ask(given, predictor.schema)
        except Unusable as error:
            missing = [column for column in asked_columns(hosted) if column not in given]
            reason = f"the row has no {missing[0]}" if missing else error.reason
            raise Refusal(422, f"{where}{reason}.", param="input", code="unusable_input") from None
    return fitting(hosted, row, where)


def fitting(hosted: Hosted, row: Mapping[str, Any], where: str, param: str = "input") -> Question:
    """``row``, if the model can read all of it; Refusal 422 otherwise: nothing is cut that nobody asked to cut.

    ``where`` begins the sentence, and ``param`` is the field that holds the row.
    """
    predictor = hosted.predictor
    try:
        length = predictor.answer.length(row, predictor.encoder)
    except NotShown as error:
        raise Refusal(422, f"{where}{error.message}", param=param, code="unusable_input") from None
    limit = predictor.encoder.max_length
    if length > limit:
        message = f"{where}{length:,} tokens; {hosted.label} reads {limit:,}."
        raise Refusal(422, message, param=param, code="context_length_exceeded")
    return Question(dict(row), length)


def items(
    hosted: Hosted,
    questions: Sequence[Question],
    how: Generation,
    done: Callable[[int, Prediction | Refusal], None],
    watch: Callable[[int], Callable[[Sequence[int]], bool]] | None = None,
) -> list[Item]:
    """What the queue takes; ``done`` hears the number of the question, in a thread of the model."""
    until = time.monotonic() + (WRITE_SECONDS if hosted.writes else READ_SECONDS)

    def hear(index: int) -> Callable[[Prediction | Refusal], None]:
        return lambda outcome: done(index, outcome)

    return [
        Item(one.row, one.length, drawn(how, index), until, hear(index), watch(index) if watch is not None else None)
        for index, one in enumerate(questions)
    ]


def drawn(how: Generation, index: int) -> Generation:
    """``how`` for the answer of that number: each of one request is drawn by itself, the first by the seed itself."""
    if not index or not how.temperature:
        return how
    seed = hashlib.sha256(f"{how.seed} {index}".encode()).digest()
    return replace(how, seed=int.from_bytes(seed[:4]))


async def answered(
    request: Request,
    hosted: Hosted,
    questions: Sequence[Question],
    how: Generation | None = None,
    watch: Callable[[int], Callable[[Sequence[int]], bool]] | None = None,
) -> list[Prediction]:
    """All predictions, in order. The first refusal is the answer to the whole request."""
    loop = asyncio.get_running_loop()
    outcomes: dict[int, Prediction | Refusal] = {}
    complete = loop.create_future()

    def tell() -> None:
        if not complete.done():
            complete.set_result(None)

    def done(index: int, outcome: Prediction | Refusal) -> None:
        outcomes[index] = outcome
        if len(outcomes) == len(questions) or isinstance(outcome, Refusal):
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(tell)

    queued = items(hosted, questions, how or hosted.how, done, watch)
    hosted.batcher.submit(queued)
    began = time.monotonic()
    try:
        await _waited(request, complete, queued[0].deadline - time.monotonic() + 1.0)
    finally:
        for item in queued:
            item.gone = True
    for outcome in outcomes.values():
        if isinstance(outcome, Refusal):
            raise outcome
    found = [outcomes[index] for index in range(len(questions))]
    exchange = exchange_of(request)
    predictions = [outcome for outcome in found if isinstance(outcome, Prediction)]
    exchange.tokens_in = sum(item.length for item in queued)
    exchange.tokens_out = sum(prediction.tokens_out for prediction in predictions)
    if exchange.key:
        values = [prediction.value for prediction in predictions]
        rows = [question.row for question in questions]
        exchange.work = Work(rows, how or hosted.how, values, time.monotonic() - began)
    return predictions


async def _waited(request: Request, complete: asyncio.Future[None], seconds: float) -> None:
    """Until all is answered, the caller is gone (Refusal 499), or the time is over (504)."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({complete, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not complete.done():
            raise Refusal(499, "The caller is gone.", code="gone") if gone.done() else too_late()
    finally:
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
