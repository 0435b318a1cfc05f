"""Bodies, names, hosts and callers that mean harm or are merely broken: a reason, never a 5xx, never a file."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from asking import HOST, Answered, ask, asked
from hostile_names import HOSTS, NAMES, ORIGINS, PATHS, URLS, listening
from made_models import made_run
from served_models import QUESTION, Served

from tuneproof.deploy.registry import Registry
from tuneproof.deploy.registry.rollback import roll_back
from tuneproof.deploy.server.connection import Connection
from tuneproof.deploy.server.loaded import Tried
from tuneproof.errors import Error

BODIES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/classify", {"model": "reviews", "input": ["great", "bad"], "top_k": 2, "user": "jo"}),
    ("/v1/token-classify", {"model": "reviews", "input": "great", "truncate": False}),
    ("/v1/answer", {"model": "reviews", "question": "what", "context": "that"}),
    ("/v1/predict", {"model": "reviews", "input": {"text": "great"}, "truncate": True}),
    ("/v1/embeddings", {"model": "reviews", "input": "great", "encoding_format": "float"}),
    ("/v1/chat/completions", {"model": "chats", "max_tokens": 2, "n": 1, "stream": False, **QUESTION}),
    (
        "/v1/completions",
        {"model": "chats", "prompt": "a", "max_tokens": 1, "stop": ["b"], "seed": 1, "temperature": 0.5},
    ),
    ("/v1/feedback", {"request_id": "0" * 24, "index": 0, "score": 0.5}),
)


def answers_well(answer: Answered) -> bool:
    """A 2xx or 4xx, and no word of how the program looks inside; errors in OpenAI's form."""
    inside = any(word in answer.body for word in (b"Traceback", b'File "', b".py", b"site-packages"))
    if answer.status >= 400 and set(answer.json["error"]) != {"message", "type", "param", "code"}:
        return False
    return answer.status < 500 and not inside


# -- bodies


HOSTILE: tuple[Callable[[], Any], ...] = (
    lambda: None,
    lambda: True,
    lambda: -1,
    lambda: 0,
    lambda: 2**63,
    lambda: 10**400,
    lambda: 1e308,
    lambda: "",
    lambda: " ",
    lambda: "\x00",
    lambda: "\ufeff\u202e\U0001f4a9",
    lambda: "a" * 5000,
    lambda: [],
    lambda: {},
    lambda: [[]],
    lambda: [None],
    lambda: {"": None},
    lambda: {"role": "user", "content": [{"type": "image_url", "image_url": {"url": URLS[0]}}]},
    lambda: [{"role": "system", "content": "a"}] * 3,
    lambda: nested(60),
    lambda: "../../../etc/passwd",
    lambda: URLS[0],
)


def nested(depth: int) -> Any:
    found: Any = "a"
    for _ in range(depth):
        found = [found]
    return found


def bent(body: Any, draw: random.Random) -> Any:
    """A value somewhere in ``body`` is another one, or is gone, or there is one more."""
    body = json.loads(json.dumps(body))
    place: Any = body
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return body
        key = draw.choice(keys)
        if isinstance(place[key], dict | list) and draw.random() < 0.6:
            place = place[key]
            continue
        what = draw.random()
        if what < 0.15:
            del place[key]
        elif what < 0.3 and isinstance(place, dict):
            place[draw.choice(["model", "input", "tools", "x" * 300, "n", "stop", "__class__"])] = draw.choice(
                HOSTILE
            )()
        else:
            place[key] = draw.choice(HOSTILE)()
        return body


def torn(raw: bytes, draw: random.Random) -> bytes:
    """Bytes taken out of ``raw``, and others in their place."""
    for _ in range(draw.randint(1, 4)):
        at, size = draw.randrange(len(raw) + 1), draw.randint(0, 6)
        pieces = [b"", b"\x00", b'"', b"{", b"[", b"-1", b"1e999", b"null", b"\\ud800", b"\xff", b"NaN", raw[:size] * 3]
        raw = raw[:at] + draw.choice(pieces) + raw[at + size :]
    return raw


def fuzzed(served: Served, count: int, seed: int) -> Counter[int]:
    draw = random.Random(seed)
    found: Counter[int] = Counter()
    for number in range(count):
        path, body = draw.choice(BODIES)
        raw = json.dumps(bent(body, draw)).encode() if number % 2 else torn(json.dumps(body).encode(), draw)
        answer = served.post(path, raw)
        assert answers_well(answer), (path, raw[:300], answer.status, answer.body[:300])
        found[answer.status] += 1
    return found


def test_two_thousand_bodies_end_in_2xx_or_4xx(served: Served) -> None:
    found = fuzzed(served, 2000, seed=1)
    assert set(found) <= {200, 400, 404, 413, 422} and found[200] > 50 and found[400] > 500, found


@pytest.mark.proof
def test_ten_thousand_bodies_leave_the_memory_as_it_was(served: Served) -> None:
    """ACCEPTANCE 18: only 2xx and 4xx, and resident memory grows by 5% at most."""
    fuzzed(served, 2000, seed=2)
    before = resident()
    assert set(fuzzed(served, 10_000, seed=3)) <= {200, 400, 404, 413, 422}
    assert resident() <= 1.05 * before


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


# -- names, addresses, hosts


def test_the_ear_hears(tmp_path: Path) -> None:
    with listening(tmp_path) as outside:
        (tmp_path / "own").write_text("a")
        Path("/etc/passwd").read_bytes()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.connect(("127.0.0.1", 9))
    assert outside == [("open", "/etc/passwd"), ("socket.connect", "('127.0.0.1', 9)")]


def test_a_hostile_name_is_a_model_that_is_not_there(served: Served, tmp_path: Path) -> None:
    """Every route that takes a name; no file outside the home is opened, nothing is asked of another machine."""
    assert len(NAMES) * len(BODIES) > 500
    seen: Counter[int] = Counter()
    with listening(tmp_path) as outside:
        for path, body in BODIES:
            field = "request_id" if path == "/v1/feedback" else "model"
            for name in NAMES:
                answer = served.post(path, {**body, field: name})
                assert answers_well(answer) and answer.status in (400, 404), (path, name, answer.status)
                hinted = any(label.startswith(name) for label in ("reviews@1", "chats@1"))
                assert hinted or len(name) < 8 or name.encode() not in answer.body
                seen[answer.status] += 1
    assert outside == [] and seen[404] > 100, (outside[:5], seen)


def test_an_address_in_a_text_is_text(served: Served, tmp_path: Path) -> None:
    with listening(tmp_path) as outside:
        for url in URLS:
            assert served.post("/v1/classify", {"model": "reviews", "input": url, "user": url}).status == 200
            messages = [{"role": "user", "content": f"read {url}"}]
            assert (
                served.post("/v1/chat/completions", {"model": "chats", "max_tokens": 1, "messages": messages}).status
                == 200
            )
            content = [{"type": "image_url", "image_url": {"url": url}}]
            body = {"model": "chats", "messages": [{"role": "user", "content": content}]}
            assert served.post("/v1/chat/completions", body).status == 400
    assert outside == []


def test_a_hostile_path_is_no_path(served: Served, tmp_path: Path) -> None:
    with listening(tmp_path) as outside:
        for path in PATHS:
            for verb in ("GET", "POST"):
                answer = ask(served.app, verb, path, None if verb == "GET" else {}, token=served.access.first)
                assert answers_well(answer) and answer.status in (404, 405), (verb, path, answer.status)
    assert outside == []


def test_other_hosts_and_pages_of_other_sites_get_nothing(served: Served) -> None:
    body = {"model": "reviews", "input": "a"}
    for host in HOSTS:
        assert served.post("/v1/classify", body, host=host).status == 421, host
    for origin in ORIGINS:
        assert served.post("/v1/classify", body, headers={"origin": origin}).status == 403, origin


def test_a_hostile_name_is_refused_before_a_path_is_made_of_it(tmp_path: Path) -> None:
    """The registry and what the command line hands to it."""
    registry = Registry(tmp_path / "home")
    run = made_run(tmp_path / "runs", "reviews-1")
    version = registry.register(run, "reviews")
    with registry.deciding("reviews") as now:
        registry.decide("reviews", "promoted", version, {"champion": 1}, expected=now, facts={})
    before = sorted(registry.root.rglob("*"))
    asks: tuple[Callable[[str], Any], ...] = (
        registry.resolve,
        registry.verify,
        lambda name: registry.register(run, name),
        lambda name: roll_back(name, books=registry),
        lambda name: roll_back("reviews", name, books=registry),
        lambda name: Tried.of("canary", f"{name}=5%"),
        lambda name: Tried.of("shadow", f"reviews@{name}=5%"),
    )
    fair = {"con", "nul", "aux.txt", "constructor", "true", "null", ""}  # names as any other; "" verifies all
    with listening(tmp_path) as outside:
        for name in NAMES:
            for asked_for in asks:
                if name not in fair:
                    with pytest.raises(Error):
                        asked_for(name)
    assert outside == [] and sorted(registry.root.rglob("*")) == before


# -- callers who are slow


def scope_of(served: Served, path: str) -> dict[str, Any]:
    headers = {"host": HOST, "authorization": f"Bearer {served.access.first}", "content-type": "application/json"}
    return {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 8433), "client": ("127.0.0.1", 1),
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip


def test_a_body_that_comes_byte_by_byte_has_ten_seconds_in_all(served: Served) -> None:
    """Here a tenth of one; each byte is no new start."""
    served.app.body_seconds = 0.1
    raw = json.dumps({"model": "reviews", "input": "great"}).encode()

    async def trickled(pause: float) -> int:
        sent: list[Any] = []
        rest = list(raw)

        async def receive() -> Any:
            await asyncio.sleep(pause)
            if rest:
                return {"type": "http.request", "body": bytes([rest.pop(0)]), "more_body": bool(rest)}
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await served.app(scope_of(served, "/v1/classify"), receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(trickled(0.02)) == 408
    assert asyncio.run(trickled(0.0)) == 200


def test_who_never_reads_an_answer_holds_nobody_up_and_ends(served: Served) -> None:
    served.app.send_seconds = 0.3
    body = {"model": "chats", "temperature": 2.0, "seed": 1, "max_tokens": 100, "stream": True, **QUESTION}
    given = [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]

    async def never_read() -> int:
        taken = 0

        async def receive() -> Any:
            if given:
                return given.pop()
            await asyncio.sleep(60)

        async def send(message: Any) -> None:
            nonlocal taken
            taken += 1
            if taken > 2:
                await asyncio.sleep(60)

        await served.app(scope_of(served, "/v1/chat/completions"), receive, send)
        return taken

    async def both() -> tuple[int, Answered]:
        slow = asyncio.create_task(never_read())
        quick = await asked(
            served.app, "POST", "/v1/classify", {"model": "reviews", "input": "a"}, token=served.access.first
        )
        assert not slow.done()
        return await asyncio.wait_for(slow, 20), quick

    taken, quick = asyncio.run(both())
    assert taken == 3 and quick.status == 200 and served.heard[-1].status == 499
    assert served.metrics.value("inflight") == 0


class Hasty(Connection):
    head_seconds = 0.2


def test_a_head_that_comes_byte_by_byte_is_not_waited_for(served: Served) -> None:
    """Over a real socket: the first head of a connection, and a second one after an answer."""
    head = f"GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()

    async def trickled(port: int, before: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before)
        heard = await reader.readuntil(b"}") if before else b""
        for byte in head:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
            if reader.at_eof():
                break
        heard += await asyncio.wait_for(reader.read(), 10)
        writer.close()
        return heard

    async def both() -> tuple[bytes, bytes]:
        config = uvicorn.Config(served.app, port=0, http=Hasty, log_level="critical", ws="none", lifespan="off")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            return await trickled(port, b""), await trickled(port, head)
        finally:
            server.should_exit = True
            await serving

    first, second = asyncio.run(both())
    assert first == b"" and second.count(b"HTTP/1.1 200") == 1
