"""OpenAI's chat and completion routes over models that write, streaming included.

    POST /v1/chat/completions   {"model", "messages", "max_tokens", "temperature", "stop", "stream", ...}

Messages go through the one chat renderer that training used. Without a temperature an answer is greedy, with the
repetition settings of the run, as it was when the model was scored.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tuneproof.deploy.server import bodies
from tuneproof.deploy.server.answering import Question, answered, chosen, exchange_of, fitting, items, wrong_task
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.guard import Work
from tuneproof.deploy.server.hosted import Hosted, writing_of
from tuneproof.records import Generation, Prediction


@dataclass(frozen=True, slots=True)
class Shape:
    """How one of the two routes names things."""

    prefix: str
    whole: str  # "object" of a complete answer
    part: str  # "object" of a streamed piece

    def choice(self, index: int, text: str, reason: str) -> dict[str, Any]:
        if self.prefix == "cmpl":
            return {"index": index, "text": text, "finish_reason": reason, "logprobs": None}
        message = {"role": "assistant", "content": text}
        return {"index": index, "message": message, "finish_reason": reason, "logprobs": None}

    def piece(self, index: int, text: str, reason: str | None, first: bool = False) -> dict[str, Any]:
        if self.prefix == "cmpl":
            return {"index": index, "text": text, "finish_reason": reason, "logprobs": None}
        role = {"role": "assistant"} if first else {}
        delta = {**role, **({"content": text} if text or first else {})}
        return {"index": index, "delta": delta, "finish_reason": reason, "logprobs": None}


CHAT = Shape("chatcmpl", "chat.completion", "chat.completion.chunk")
COMPLETION = Shape("cmpl", "text_completion", "text_completion")


async def chat(request: Request) -> Response:
    asked = bodies.read(bodies.Chat, await request.body())
    messages = [message.plain for message in asked.messages]
    if messages[-1]["role"] == "assistant":
        raise Refusal(400, "messages: the last one is not the assistant's.", param="messages", code="invalid_value")
    if not any(message["content"].strip() for message in messages):
        raise Refusal(400, "messages: all of them are empty.", param="messages", code="empty_input")
    most = asked.max_completion_tokens or asked.max_tokens
    return await _written(request, asked, {"messages": messages}, most, CHAT)


async def completions(request: Request) -> Response:
    """A prompt as one message of the user: a chat model has never seen a text without turns."""
    asked = bodies.read(bodies.Completion, await request.body())
    row = {"messages": [{"role": "user", "content": asked.prompt}]}
    return await _written(request, asked, row, asked.max_tokens, COMPLETION)


async def _written(
    request: Request, asked: bodies.Writing, row: Mapping[str, Any], most: int | None, shape: Shape
) -> Response:
    state = request.app.state.tuneproof
    hosted = chosen(request, state.models, asked, row)
    if not hosted.writes:
        raise wrong_task(hosted)
    question = fitting(hosted, row, "", "messages" if shape is CHAT else "prompt")
    exchange = exchange_of(request)
    exchange.tokens_in = question.length
    how = _how(hosted, asked, most, exchange.tokens_in)
    state.remember(request, hosted)
    if asked.stream:
        return _streamed(request, hosted, asked, question, how, shape)
    writings = [writing_of(hosted, how, asked.stops) for _ in range(asked.n)]
    await answered(request, hosted, [question] * asked.n, how, lambda index: writings[index].feed)
    exchange.tokens_out = sum(writing.tokens for writing in writings)
    if exchange.work is not None:
        values = [writing.text for writing in writings]
        exchange.work = replace(exchange.work, values=values, written=True, stops=asked.stops)
    if state.log_requests != "off":
        exchange.texts = [str(message["content"]) for message in question.row["messages"]] + [
            each.text for each in writings
        ]
    choices = [shape.choice(index, each.text, each.reason or "length") for index, each in enumerate(writings)]
    return JSONResponse(
        {**_head(exchange.id, hosted, shape.prefix, shape.whole), "choices": choices, **_usage(exchange)}
    )


def _how(hosted: Hosted, asked: bodies.Writing, most: int | None, prompt: int) -> Generation:
    """As the model was scored, but for what the caller asks; Refusal when that is more than the model can hold."""
    room = hosted.predictor.encoder.max_length - prompt
    if room < 1:
        raise Refusal(
            422, "The messages leave no room for an answer.", param="messages", code="context_length_exceeded"
        )
    if most is not None and most > room:
        raise Refusal(
            400, f"max_tokens: {most:,} and {prompt:,} of the prompt are more than {hosted.label} holds.",
            param="max_tokens", code="context_length_exceeded",
        )  # fmt: skip
    how = replace(hosted.how, max_new_tokens=min(room, most or hosted.how.max_new_tokens))
    if asked.temperature:
        how = replace(how, temperature=asked.temperature, top_p=asked.top_p or 1.0)
        seed = asked.seed if asked.seed is not None else time.monotonic_ns() % 2**31
        return replace(how, seed=seed)
    return how


# -- streaming


def _streamed(
    request: Request, hosted: Hosted, asked: bodies.Writing, question: Question, how: Generation, shape: Shape
) -> Response:
    """Server-sent events. What is wrong before the first token is an ordinary error; after it, an event says so."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[tuple[int, str | Prediction | Refusal]] = asyncio.Queue()

    def put(index: int, what: str | Prediction | Refusal) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
            loop.call_soon_threadsafe(events.put_nowait, (index, what))

    writings = [writing_of(hosted, how, asked.stops, partial(put, index)) for index in range(asked.n)]
    queued = items(hosted, [question] * asked.n, how, put, lambda index: writings[index].feed)
    hosted.batcher.submit(queued)
    began = time.monotonic()

    async def told() -> AsyncIterator[str]:
        exchange = exchange_of(request)
        head = _head(exchange.id, hosted, shape.prefix, shape.part)
        try:
            for index in range(asked.n):
                yield _event({**head, "choices": [shape.piece(index, "", None, first=True)]})
            open_, first = set(range(asked.n)), True
            while open_:
                index, what = await events.get()
                if isinstance(what, str):
                    if first:
                        request.app.state.tuneproof.metrics.observe(
                            "ttft_seconds", time.monotonic() - exchange.began, model=hosted.label
                        )
                        first = False
                    yield _event({**head, "choices": [shape.piece(index, what, None)]})
                elif isinstance(what, Refusal):
                    exchange.broken = True
                    yield _event(what.body)
                    return
                else:
                    open_.discard(index)
                    reason = writings[index].reason or "length"
                    yield _event({**head, "choices": [shape.piece(index, "", reason)]})
            exchange.tokens_out = sum(writing.tokens for writing in writings)
            if exchange.key:
                values, seconds = [writing.text for writing in writings], time.monotonic() - began
                exchange.work = Work([question.row] * asked.n, how, values, seconds, True, asked.stops)
            if asked.stream_options is not None and asked.stream_options.include_usage:
                yield _event({**head, "choices": [], **_usage(exchange)})
            yield "data: [DONE]\n\n"
        finally:
            exchange.tokens_out = sum(writing.tokens for writing in writings)
            for item in queued:
                item.gone = True

    return StreamingResponse(told(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _event(body: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def _head(id: str, hosted: Hosted, prefix: str, kind: str) -> dict[str, Any]:
    return {"id": f"{prefix}-{id}", "object": kind, "created": int(time.time()), "model": hosted.label}


def _usage(exchange: Any) -> dict[str, Any]:
    told = {
        "prompt_tokens": exchange.tokens_in,
        "completion_tokens": exchange.tokens_out,
        "total_tokens": exchange.tokens_in + exchange.tokens_out,
    }
    return {"usage": told}
