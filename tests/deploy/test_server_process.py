"""The server as a process: OpenAI's own client asks it, a promotion moves it, signals and kills end it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from tuneproof.deploy.registry import Registry
from tuneproof.deploy.registry.show import table
from tuneproof.run import Run


class Process:
    """``tuneproof serve`` with a home of its own, on a free port."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self.home = home
        self.last_id = ""  # of the newest answer
        command = [sys.executable, "-m", "tuneproof.cli", "serve", *arguments, "--port", "0"]
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "XDG_DATA_HOME": str(home), "OMP_NUM_THREADS": "1"},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.url = self.wait_for("Serving ").split()[-1]
        self.wait_for("Authorization")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, start: str) -> str:
        until = time.monotonic() + 120
        while time.monotonic() < until and (self.process.poll() is None or self.reader.is_alive()):
            for line in self.lines:
                if start in line:
                    return line
            time.sleep(0.02)
        raise AssertionError("\n".join(self.lines))

    @property
    def token(self) -> str:
        return (self.home / "tuneproof" / "run" / "token").read_text().split()[1]

    def post(self, path: str, body: Any) -> dict[str, Any]:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST")
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.last_id = str(answer.headers["x-request-id"])
            found: dict[str, Any] = json.load(answer)
            return found

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(60)
        self.reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, review_run: Run, chat_run: Run) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("home"), str(review_run.path), str(chat_run.path))
    yield process
    assert process.end() == 0


def test_openais_client_works_as_it_is(server: Process, chat_run: Run, review_run: Run) -> None:
    with OpenAI(base_url=f"{server.url}/v1", api_key=server.token, max_retries=0) as client:
        assert {model.id for model in client.models.list()} == {chat_run.id, review_run.id}
        messages: Any = [{"role": "user", "content": "1: what is the colour of snow"}]
        whole = client.chat.completions.create(model=chat_run.id, messages=messages, max_completion_tokens=8)
        text = whole.choices[0].message.content
        pieces = client.chat.completions.create(
            model=chat_run.id, messages=messages, max_completion_tokens=8, stream=True
        )
        assert text and "".join(piece.choices[0].delta.content or "" for piece in pieces) == text
        completion = client.completions.create(model=chat_run.id, prompt="1: what is the colour of snow", max_tokens=8)
        assert completion.choices[0].text == text
        assert client.models.retrieve(chat_run.id).id == chat_run.id
        with pytest.raises(APIStatusError) as refused:
            client.chat.completions.create(model="nobody", messages=messages)
        assert refused.value.status_code == 404 and refused.value.code == "model_not_found"


def test_a_wrong_token_is_refused_over_the_wire(server: Process) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{server.url}/v1/models", timeout=10)
    assert refused.value.code == 401
    refused.value.close()


class Crowd:
    """Slow clients: they send their body a byte at a time, or ask for a stream and never read it."""

    def __init__(self, server: Process, model: str, writer: str, trickling: int, silent: int, pause: float) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self.address, self.token, self.pause = (host, int(port)), server.token, pause
        self.sockets: list[socket.socket] = []
        message = {"role": "user", "content": "1: what is the colour of snow"}
        stream = {"model": writer, "messages": [message], "stream": True, "n": 8, "max_tokens": 16}
        for _ in range(silent):
            raw = self.request("/v1/chat/completions", stream)
            self.connect(4096).sendall(raw)
        head = self.request("/v1/classify", {"model": model, "input": "great " * 20})
        self.slow = [self.connect() for _ in range(trickling)]
        at = head.index(b"\r\n\r\n") + 4
        for one in self.slow:
            one.sendall(head[:at])
        self.rest = head[at:]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._trickle, daemon=True)
        self.thread.start()

    def connect(self, buffer: int | None = None) -> socket.socket:
        made = socket.socket()
        if buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        made.connect(self.address)
        self.sockets.append(made)
        return made

    def request(self, path: str, body: Any) -> bytes:
        raw = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.address[0]}:{self.address[1]}\r\n"
            f"Authorization: Bearer {self.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw

    def _trickle(self) -> None:
        """A byte each within ``pause`` seconds, one client after another."""
        for byte in self.rest:
            for one in self.slow:
                with contextlib.suppress(OSError):  # the server waited long enough
                    one.sendall(bytes([byte]))
                if self.over.wait(self.pause / len(self.slow)):
                    return

    def end(self) -> None:
        self.over.set()
        self.thread.join(30)
        for one in self.sockets:
            one.close()


def times(server: Process, model: str, count: int) -> list[float]:
    """Seconds of so many requests, one after another, the shortest first."""
    found = []
    for _ in range(count):
        began = time.monotonic()
        server.post("/v1/classify", {"model": model, "input": "great"})
        found.append(time.monotonic() - began)
    return sorted(found)


def test_slow_clients_do_not_hold_up_others(server: Process, review_run: Run, chat_run: Run) -> None:
    """Time depends on the neighbours of this machine too, so the bound is wide; make proof has the narrow one."""
    alone = times(server, review_run.id, 20)
    crowd = Crowd(server, review_run.id, chat_run.id, trickling=40, silent=4, pause=0.1)
    try:
        beside = times(server, review_run.id, 20)
        message: Any = {"role": "user", "content": "2: what is the colour of grass"}
        assert server.post("/v1/chat/completions", {"model": chat_run.id, "messages": [message], "max_tokens": 4})
    finally:
        crowd.end()
    assert beside[10] <= 5 * alone[10] + 0.1, (alone, beside)
    assert server.process.poll() is None


@pytest.mark.proof
def test_a_thousand_slow_clients_do_not_hold_up_others(server: Process, review_run: Run, chat_run: Run) -> None:
    """ACCEPTANCE 18: they raise the 95th percentile of others by a fifth at most (and 2 ms, which is the clock's)."""
    times(server, review_run.id, 100)
    alone = times(server, review_run.id, 400)
    crowd = Crowd(server, review_run.id, chat_run.id, trickling=1000, silent=0, pause=1.0)
    try:
        beside = times(server, review_run.id, 400)
    finally:
        crowd.end()
    assert beside[380] <= 1.2 * alone[380] + 0.002, (alone[380], beside[380])


def test_a_promotion_moves_a_running_server_and_a_rollback_moves_it_back(
    tmp_path: Path,
    review_run: Run,
) -> None:
    registry = Registry(tmp_path / "tuneproof")
    first, second = (registry.register(review_run, "reviews") for _ in range(2))
    promote(registry, first.number)
    process = Process(tmp_path, "reviews")
    seen: list[str] = []
    failed: list[BaseException] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                seen.append(process.post("/v1/classify", {"model": "reviews", "input": ["great", "bad"] * 4})["model"])
            except (OSError, ValueError) as error:
                failed.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in (second.number, first.number):
        promote(registry, number)
        process.wait_for(f"reviews is now reviews@{number}")
        time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert process.end() == 0
    assert not failed and set(seen) == {"reviews@1", "reviews@2"} and seen[-1] == "reviews@1"


def test_a_ledger_that_cannot_be_read_for_a_while_is_followed_again(tmp_path: Path, review_run: Run) -> None:
    """Told once and no reason to end: callers may hold every descriptor. A promotion after it still arrives."""
    registry = Registry(tmp_path / "tuneproof")
    for _ in range(2):
        registry.register(review_run, "reviews")
    promote(registry, 1)
    process = Process(tmp_path, "reviews")
    ledger = registry.folder("reviews") / "ledger.jsonl"
    ledger.rename(ledger.with_suffix(".kept"))
    ledger.mkdir()
    process.wait_for("reviews stays as it is")
    assert process.post("/v1/classify", {"model": "reviews", "input": "great"})["model"] == "reviews@1"
    ledger.rmdir()
    ledger.with_suffix(".kept").rename(ledger)
    promote(registry, 2)
    process.wait_for("reviews is now reviews@2")
    assert process.end() == 0


def promote(registry: Registry, number: int) -> None:
    version = registry.resolve(f"reviews@{number}")
    with registry.deciding("reviews") as now:
        aliases = {**now, "champion": number}
        registry.decide("reviews", "promoted", version, aliases, expected=now, facts={})


@pytest.mark.proof
def test_a_shadow_does_not_delay_its_champion(tmp_path: Path, review_run: Run) -> None:
    """ACCEPTANCE 19: the 95th percentile grows by a twentieth at most (and 2 ms, which is the clock's).

    Two servers, one with a shadow of everything, are asked in turns, with pauses in which the shadow may work.
    """
    registry = Registry(tmp_path / "tuneproof")
    for _ in range(2):
        registry.register(review_run, "reviews")
    promote(registry, 1)
    plain, shadowed = Process(tmp_path, "reviews"), Process(tmp_path, "reviews", "--shadow", "reviews@2=100%")
    draw = random.Random(1)
    found: dict[Process, list[float]] = {plain: [], shadowed: []}
    for number in range(1000):
        for process, seconds in found.items():
            began = time.monotonic()
            process.post("/v1/classify", {"model": "reviews", "input": f"the lamp number {number} is great"})
            if number >= 100:  # before that both warm up
                seconds.append(time.monotonic() - began)
            time.sleep(draw.expovariate(1 / 0.03))
    codes = [process.end() for process in found]
    before, after = (sorted(seconds)[855] for seconds in found.values())
    shown = "\n".join(table(registry, "reviews"))
    assert codes == [0, 0] and after <= 1.05 * before + 0.002, (before, after, shown)
    asked = int(re.search(r"^@2 +([\d,]+) +0 ", shown.split("shadow of @2")[1], re.MULTILINE)[1].replace(",", ""))  # type: ignore[index]
    assert asked > 500, shown


def test_ctrl_c_answers_what_it_has_begun(tmp_path: Path, chat_run: Run) -> None:
    process = Process(tmp_path, str(chat_run.path))
    messages: Any = [{"role": "user", "content": "1: what is the colour of snow"}]
    with OpenAI(base_url=f"{process.url}/v1", api_key=process.token, max_retries=0) as client:
        stream = client.chat.completions.create(
            model=chat_run.id, messages=messages, temperature=2.0, seed=1, max_tokens=150, stream=True
        )
        pieces = iter(stream)
        next(pieces)
        process.process.send_signal(signal.SIGINT)
        reasons = [piece.choices[0].finish_reason for piece in pieces]
    assert reasons[-1] in ("stop", "length")
    assert process.end(signal.SIGINT) == 0


def test_a_harmful_canary_is_stopped_and_a_killed_server_comes_back_without_it(tmp_path: Path, review_run: Run) -> None:
    registry = Registry(tmp_path / "tuneproof")
    for _ in range(2):
        registry.register(review_run, "reviews")
    promote(registry, 1)
    process = Process(tmp_path, "reviews", "--canary", "reviews@2=50%")
    answered: list[str] = []
    while registry.ledger("reviews")[-1].what != "canary stopped" and len(answered) < 400:
        body = {"model": "reviews", "input": f"the lamp number {len(answered)} is great"}
        answered.append(process.post("/v1/classify", body)["model"])
        score = 1.0 if answered[-1] == "reviews@1" else 0.0  # what its callers say
        process.post("/v1/feedback", {"request_id": process.last_id, "score": score})
    assert set(answered) == {"reviews@1", "reviews@2"}
    assert "were wrong" in registry.ledger("reviews")[-1].facts["told"]
    assert process.end(signal.SIGKILL) == -signal.SIGKILL
    assert registry.verify() == [] and registry.aliases("reviews")["champion"] == 1
    process = Process(tmp_path, "reviews", "--canary", "reviews@2=50%")
    process.wait_for("reviews@2 answers nobody: a canary of it was stopped")
    after = {process.post("/v1/classify", {"model": "reviews", "input": f"clock {n}"})["model"] for n in range(20)}
    assert after == {"reviews@1"} and process.end(signal.SIGKILL) == -signal.SIGKILL


def test_a_port_that_is_taken_is_one_sentence(server: Process, tmp_path: Path, review_run: Run) -> None:
    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "tuneproof.cli", "serve", str(review_run.path), "--port", port]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "XDG_DATA_HOME": str(tmp_path)}, check=False
    )
    assert done.returncode == 2 and "Choose another --port" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
