"""Ask an ASGI application as a server would, without a socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1:8433"


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])

    @property
    def events(self) -> list[Any]:
        """The data of server-sent events, the closing [DONE] as text."""
        lines = [line.removeprefix("data: ") for line in self.body.decode().split("\n\n") if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines]


async def asked(
    app: Any,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str = "",
    headers: dict[str, str] | None = None,
    leave_after: float | None = None,
    host: str = HOST,
) -> Answered:
    """One request; ``leave_after`` seconds the caller hangs up. A body of bytes is sent as it is."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    given = {"host": host, **({"authorization": f"Bearer {token}"} if token else {})}
    if body is not None:
        given |= {"content-type": "application/json", "content-length": str(len(raw))}
    given |= headers or {}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 5555),
        "server": ("127.0.0.1", 8433),
    }
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": raw, "more_body": False}]
    over = asyncio.Event()

    async def receive() -> Any:
        if waiting:
            return waiting.pop()
        if leave_after is not None:
            await asyncio.sleep(leave_after)
        else:
            await over.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    over.set()
    start = next(message for message in sent if message["type"] == "http.response.start")
    parts = [message.get("body", b"") for message in sent if message["type"] == "http.response.body"]
    told = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answered(start["status"], told, b"".join(parts))


def ask(app: Any, method: str, path: str, body: Any = None, **more: Any) -> Answered:
    return asyncio.run(asked(app, method, path, body, **more))
