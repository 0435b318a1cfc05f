"""What stands before every route: request id, host, token, origin, size and time of the body, and the count of it all.

    app = Guard(routes, access, metrics, hosts=("127.0.0.1:8433", "localhost:8433"))

One middleware before routing, so that a route somebody adds is closed until SCOPES or the default says who may use it,
whatever its verb. Only ``/healthz`` answers without a token.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.records import Generation

OPEN = frozenset({"/healthz"})
SCOPES: Mapping[str, str] = {"/v1/feedback": "feedback", "/metrics": "metrics"}  # every other path: "infer"
BODY_BYTES, BODY_SECONDS = 1 << 20, 10.0
SEND_SECONDS = 30.0  # that a caller may take nothing of its answer
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Work:
    """What a model was asked and what it said, for another version that is asked the same."""

    rows: Sequence[Mapping[str, Any]]
    how: Generation
    values: Sequence[Any]
    seconds: float  # from the queue to the last answer
    written: bool = False  # token by token, as text that ends where it was asked to
    stops: Sequence[str] = ()


@dataclass(slots=True)
class Exchange:
    """What is known about one request while it is answered; routes fill in what they learn."""

    id: str
    began: float
    route: str = ""
    model: str = ""
    version: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    texts: list[str] = field(default_factory=list)  # what was asked and answered, for a log that somebody turned on
    status: int = 499  # nobody saw an answer
    broken: bool = False  # the model failed after the first part of its answer
    key: str = ""  # decides about canary and shadow; "" where the request has no part in one
    work: Work | None = None


class Unread(Exception):
    """A caller does not read the answer."""


Record = Callable[[Exchange, float], None]


@dataclass(slots=True)
class Guard:
    """ASGI middleware; ``record`` hears of every request when it is over."""

    app: ASGIApp
    access: Access
    metrics: Metrics
    hosts: frozenset[str]
    record: Record = lambda exchange, seconds: None
    draining: bool = False
    body_seconds: float = BODY_SECONDS
    send_seconds: float = SEND_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(secrets.token_hex(12), time.monotonic())
        scope.setdefault("state", {})["exchange"] = exchange
        told = _telling(exchange, send, self.send_seconds)
        self.metrics.count("inflight", 1)
        try:
            with suppress(Unread):  # the connection is closed, and the work for it has ended
                await self._answer(scope, receive, told)
        finally:
            self.metrics.count("inflight", -1)
            self._count(exchange)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self._admit(scope, headers)
            if scope["method"] not in SAFE:
                body = await self._body(headers, receive)
                receive = _again(body, receive)
            await self.app(scope, receive, send)
        except Refusal as refused:
            await refused.response(scope, receive, send)

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Refusal for a request that no route should see."""
        path = scope["path"]
        if headers.get("host", "").lower() not in self.hosts:
            raise Refusal(421, "This server does not answer to that host name.", code="host")
        if path in OPEN:
            return
        self._authenticate(scope, headers)
        if scope["method"] in SAFE:
            return
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() not in self.hosts:
            raise Refusal(403, "Pages of other sites may not ask this server.", code="origin")
        if self.draining:
            raise Refusal(503, "The server is shutting down.", code="draining", after=5)

    def _authenticate(self, scope: Scope, headers: Mapping[str, str]) -> None:
        peer = (scope.get("client") or ("", 0))[0]
        path = scope["path"]
        if self.access.blocked(peer):
            raise Refusal(429, "Too many failed tries; wait a minute.", code="blocked", after=60)
        given = headers.get("authorization", "")
        if not given and path == "/" and scope["method"] in SAFE:  # a browser's first visit
            given = "Bearer " + parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        self.access.refresh()
        scopes = self.access.scopes(given)
        if scopes is None:
            self.access.failed(peer)
            raise Refusal(401, "A valid token is needed: Authorization: Bearer TOKEN.", code="invalid_token")
        if SCOPES.get(path, "infer") not in scopes:
            raise Refusal(403, "This token does not allow that.", code="scope")

    async def _body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refusal(415, "The body must be application/json.", code="content_type")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > BODY_BYTES:
            raise Refusal(413, f"The body is larger than {BODY_BYTES:,} bytes.", code="body_size")
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(499, "The caller is gone.", code="gone")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > BODY_BYTES:
                        raise Refusal(413, f"The body is larger than {BODY_BYTES:,} bytes.", code="body_size")
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refusal(408, "The body did not arrive in time.", code="body_timeout") from None

    def _count(self, exchange: Exchange) -> None:
        seconds = time.monotonic() - exchange.began
        route, model, version = exchange.route, exchange.model, exchange.version
        code = str(exchange.status)
        self.metrics.count("requests_total", route=route, model=model, version=version, code=code)
        self.metrics.observe("latency_seconds", seconds, route=route, model=model, version=version)
        for direction, tokens in (("in", exchange.tokens_in), ("out", exchange.tokens_out)):
            if tokens:
                self.metrics.count("tokens_total", tokens, model=exchange.model, dir=direction)
        self.record(exchange, seconds)


def _telling(exchange: Exchange, send: Send, seconds: float) -> Send:
    """``send`` with the request's id, and the model that answers, in the headers."""

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            more = [(b"x-request-id", exchange.id.encode())]
            if exchange.model:
                label = exchange.model + (f"@{exchange.version}" if exchange.version else "")
                more.append((b"x-model", label.encode()))
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        try:
            async with asyncio.timeout(seconds):
                await send(message)
        except TimeoutError:
            exchange.status = 499
            raise Unread from None

    return told


def _again(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body once more, and after it whatever comes."""
    first = True

    async def told() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return told
