"""The routes: what may be asked, and how an answer looks. ROUTES is the one table.

POST /v1/classify         {"model", "input": text | row | [...], "top_k"}
POST /v1/token-classify   the same, answered with entities
POST /v1/answer           {"model", "question", "context"}
POST /v1/predict          any model: rows with the columns of its file
POST /v1/embeddings       as OpenAI's
POST /v1/chat/completions, /v1/completions   as OpenAI's (chat.py)
POST /v1/feedback         {"request_id", "label" | "text" | "score"}
GET  /v1/models, /v1/models/{model}, /readyz, /metrics, /healthz, /
"""

from __future__ import annotations

import base64
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tuneproof.deploy.server import bodies, chat
from tuneproof.deploy.server.answering import (
    answered,
    asked_columns,
    chosen,
    exchange_of,
    shortened,
    usable,
    wrong_task,
)
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.hosted import Hosted, Models
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.page import try_out
from tuneproof.records import Prediction
from tuneproof.tasks import rules

REMEMBERED = 10_000  # answered requests whose feedback can still be matched


@dataclass(slots=True)
class State:
    """What the routes share."""

    models: Models
    metrics: Metrics
    feedbacks: Feedbacks
    log_requests: str = "off"
    ready: bool = True
    answered: OrderedDict[str, str] = field(default_factory=OrderedDict)  # request id -> version that answered

    def remember(self, request: Request, hosted: Hosted) -> None:
        self.answered[exchange_of(request).id] = hosted.label
        if len(self.answered) > REMEMBERED:
            self.answered.popitem(last=False)


def state_of(request: Request) -> State:
    found: State = request.app.state.tuneproof
    return found


# -- reading models


async def classify(request: Request) -> Response:
    asked = bodies.read(bodies.Classify, await request.body())
    return await _read(request, asked, "label", lambda shown: _top(shown, asked.top_k))


async def token_classify(request: Request) -> Response:
    return await _read(request, bodies.read(bodies.Inputs, await request.body()), "entities", dict)


async def predict(request: Request) -> Response:
    return await _read(request, bodies.read(bodies.Inputs, await request.body()), "", dict)


async def answer(request: Request) -> Response:
    """A question about a text, in the columns that the model's file had for the two."""
    asked = bodies.read(bodies.Answer, await request.body())
    hosted = chosen(request, state_of(request).models, asked, [asked.question, asked.context])
    fields = hosted.predictor.schema.fields
    if not {"question", "context"} <= set(fields):
        raise wrong_task(hosted)
    row = {fields["question"]: asked.question, fields["context"]: asked.context}
    (said,) = await answered(request, hosted, usable(hosted, [row]))
    state_of(request).remember(request, hosted)
    return JSONResponse({**hosted.predictor.answer.show(said), "model": hosted.label})


async def _read(
    request: Request, asked: bodies.Inputs, shows: str, shaped: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Response:
    """Rows through a model whose answers have the key ``shows``; one entry per input."""
    state = state_of(request)
    hosted = chosen(request, state.models, asked, asked.rows)
    if shows and shows not in hosted.predictor.answer.shows:
        raise wrong_task(hosted)
    given, cut = shortened(hosted, asked.rows) if asked.truncate else (asked.rows, 0)
    said = await answered(request, hosted, usable(hosted, given))
    state.remember(request, hosted)
    _keep_texts(request, given, said)
    show = hosted.predictor.answer.show
    data = [{"index": index, **shaped(show(prediction))} for index, prediction in enumerate(said)]
    headers = {"x-truncated": str(cut)} if cut else {}
    return JSONResponse({"data": data, "model": hosted.label}, headers=headers)


def _top(shown: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    """The label with its probabilities, the likeliest first, as pairs that keep their order."""
    ranked = sorted(shown["probabilities"].items(), key=lambda pair: -pair[1])
    kept = ranked if count is None else ranked[:count]
    probs = [{"label": label, "prob": share} for label, share in kept]
    return {**{key: value for key, value in shown.items() if key != "probabilities"}, "probs": probs}


async def embeddings(request: Request) -> Response:
    asked = bodies.read(bodies.Embed, await request.body())
    hosted = chosen(request, state_of(request).models, asked, asked.rows)
    if "vector" not in hosted.predictor.answer.shows:
        raise wrong_task(hosted)
    said = await answered(request, hosted, usable(hosted, asked.rows))
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(hosted, prediction, asked.encoding_format)}
        for index, prediction in enumerate(said)
    ]
    tokens = exchange_of(request).tokens_in
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"object": "list", "data": data, "model": hosted.label, "usage": usage})


def _vector(hosted: Hosted, prediction: Prediction, kind: str) -> Any:
    vector = hosted.predictor.answer.show(prediction)["vector"]
    return vector if kind == "float" else base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def _keep_texts(request: Request, rows: Sequence[Any], said: Sequence[Prediction]) -> None:
    """For a request log that keeps texts; the log redacts them."""
    if state_of(request).log_requests != "off":
        told = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        exchange_of(request).texts = [*told, *(str(prediction.value) for prediction in said)]


# -- about the server


async def feedback(request: Request) -> Response:
    state = state_of(request)
    asked = bodies.read(bodies.Feedback, await request.body())
    given = {name: value for name in ("label", "text", "score") if (value := getattr(asked, name)) is not None}
    if len(given) != 1:
        raise Refusal(400, "Give one of label, text and score.", code="invalid_value")
    label = state.answered.get(asked.request_id)
    if label is None:
        raise Refusal(
            404, "No answered request has that id, or it was long ago.", param="request_id", code="unknown_id"
        )
    state.feedbacks.keep(label, asked.request_id, asked.index, given)
    trial = state.models.trials().get(label.partition("@")[0])
    if trial is not None:
        trial.judged(asked.request_id, asked.index, given)
    state.metrics.count("feedback_total", model=label)
    return JSONResponse({"kept": True, "model": label})


async def models(request: Request) -> Response:
    state = state_of(request)
    return JSONResponse({"object": "list", "data": _listed(state), "log_requests": state.log_requests})


async def model(request: Request) -> Response:
    """One of them, by whatever it may be called in a request."""
    state = state_of(request)
    asked = request.path_params["model"]
    label = state.models.get(asked).label
    known = {each["id"]: each for each in _listed(state)}
    return JSONResponse({**known[label], "id": asked})


def _listed(state: State) -> list[dict[str, Any]]:
    hosted = {each.label: each for each in state.models.all()}
    listed = [_model(label, each, label) for label, each in hosted.items()]
    for name, aliases in state.models.names().items():
        for alias, label in aliases.items():
            id = name if alias == "champion" else f"{name}@{alias}"
            if label in hosted and id not in hosted:
                listed.append(_model(id, hosted[label], label))
    return listed


def _model(id: str, hosted: Hosted, label: str) -> dict[str, Any]:
    return {
        "id": id,
        "object": "model",
        "created": hosted.since,
        "owned_by": "tuneproof",
        "version": label,
        "task": hosted.predictor.schema.task,
        "labels": list(hosted.predictor.schema.labels),
        "decides": rules.told(hosted.predictor.rule),
        "max_tokens": hosted.predictor.encoder.max_length,
        "writes": hosted.writes,
        "asks": _asks(hosted),
        "route": "/v1/classify" if "label" in hosted.predictor.answer.shows else "/v1/predict",
    }


def _asks(hosted: Hosted) -> list[str]:
    """What a person fills in to ask this model: one text, or the columns of a row without its truth."""
    if hosted.writes:
        return ["message"]
    columns = asked_columns(hosted)
    return ["input"] if len(columns) == 1 else columns


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def readiness(request: Request) -> Response:
    state = state_of(request)
    if not state.ready:
        raise Refusal(503, "Not ready.", code="not_ready", after=1)
    return JSONResponse({"status": "ready", "models": sorted(state.models.labels())})


async def metrics(request: Request) -> Response:
    return PlainTextResponse(state_of(request).metrics.text(), media_type="text/plain; version=0.0.4")


async def page(request: Request) -> Response:
    html, headers = try_out()
    return HTMLResponse(html, headers=headers)


Handler = Callable[[Request], Awaitable[Response]]
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/v1/classify", classify),
    ("POST", "/v1/token-classify", token_classify),
    ("POST", "/v1/answer", answer),
    ("POST", "/v1/predict", predict),
    ("POST", "/v1/embeddings", embeddings),
    ("POST", "/v1/chat/completions", chat.chat),
    ("POST", "/v1/completions", chat.completions),
    ("POST", "/v1/feedback", feedback),
    ("GET", "/v1/models", models),
    ("GET", "/v1/models/{model}", model),
    ("GET", "/healthz", health),
    ("GET", "/readyz", readiness),
    ("GET", "/metrics", metrics),
    ("GET", "/", page),
)


def routed(state: State) -> Starlette:
    """The application without its guard."""
    app = Starlette(
        routes=[Route(path, _named(handler, path), methods=[verb]) for verb, path, handler in ROUTES],
        exception_handlers={Refusal: _refused, HTTPException: _not_routed},
    )
    app.router.redirect_slashes = False  # a path that is nearly right is no path
    app.state.tuneproof = state
    return app


def _named(handler: Handler, path: str) -> Handler:
    async def named(request: Request) -> Response:
        exchange_of(request).route = path
        return await handler(request)

    return named


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return Refusal(405, "This path does not answer to that method.", code="method").response
    return Refusal(404, "There is no such path.", code="unknown_path").response
