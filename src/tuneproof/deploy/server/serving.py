"""The server as a process: what it listens on, what it loads, how it ends.

    serve(["reviews", "runs/support-19c2"], Serving(port=8433), say=print)

SIGTERM and Ctrl-C drain: no new request is taken, those that were are answered within 30 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from tuneproof.deploy.registry.home import CHAMPION, home, private
from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.connection import Connection
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.graph import end_writers
from tuneproof.deploy.server.guard import Exchange, Guard
from tuneproof.deploy.server.hosted import Models
from tuneproof.deploy.server.loaded import Loaded, Say, Tried
from tuneproof.deploy.server.log import KEPT_DAYS, Log
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.routes import State, routed
from tuneproof.device import give_back, return_memory, spare_imported
from tuneproof.errors import ConfigError, Error, ResourceError
from tuneproof.optional import need

PORT = 8433
DRAIN_SECONDS = 30.0
LOOK_SECONDS = 0.5  # between two looks at where the aliases point
KEEP_SECONDS = 5.0  # between two records of a trial
TIDY_SECONDS = 20.0  # between two times that freed memory goes back to the system


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve."""

    host: str = "127.0.0.1"
    port: int = PORT
    auth: bool = True
    certificate: Path | None = None
    key: Path | None = None
    behind_proxy: bool = False
    hosts: tuple[str, ...] = ()  # more host names to answer to
    log_requests: str = "off"
    canary: str | None = None  # NAME@7=5%: a version, and the share of its name's requests that it answers
    shadow: str | None = None  # the same: a version, and the share of requests that it is asked as well
    onnx: bool = False  # models that read are computed by onnxruntime

    def check(self) -> None:
        """ConfigError for a server that would be open to others without anything that protects it."""
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port}: ports go from 0 to 65535, and 0 takes a free one.")
        near = is_loopback(self.host)
        if not self.auth and not near:
            raise ConfigError(f"--no-auth on {self.host}: anybody could ask.", "Leave it out, or bind to 127.0.0.1.")
        if not near and self.certificate is None and not self.behind_proxy:
            raise ConfigError(
                f"{self.host} is not this machine alone, and the token would travel in the clear.",
                "Give --tls-cert and --tls-key, or --behind-proxy when a proxy encrypts.",
            )
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("--tls-cert and --tls-key belong together.")
        if self.certificate is not None and self.key is not None:
            _check_certificate(self.certificate, self.key)
        self.tried()

    def tried(self) -> dict[str, Tried]:
        """What ``canary`` and ``shadow`` ask for, by name; ConfigError for what cannot be."""
        asked = [Tried.of(kind, text) for kind, text in (("canary", self.canary), ("shadow", self.shadow)) if text]
        found = {each.name: each for each in asked}
        if len(found) < len(asked):
            raise ConfigError(
                f"A canary and a shadow of {asked[0].name} at once: the shadow would wait for the canary's callers.",
                "Begin with the shadow.",
            )
        return found

    def names(self, port: int) -> frozenset[str]:
        """Values of the Host header that are answered."""
        own = {self.host, "localhost", "127.0.0.1", "[::1]"} if is_loopback(self.host) else {self.host}
        named = {name.lower() for name in (*own, *self.hosts)}
        return frozenset({f"{name}:{port}" for name in named} | (named if port in (80, 443) else set(self.hosts)))

    def url(self, port: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"


def _check_certificate(certificate: Path, key: Path) -> None:
    """ConfigError for a pair with which nothing can be encrypted, before anything is loaded."""
    for file in (certificate, key):
        if not file.is_file():
            raise ConfigError(f"There is no file {file}.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError:  # of ssl as well; its words name neither file nor reason
        raise ConfigError(
            f"{certificate} and {key} are no certificate and its key.",
            "Both have to be PEM files and belong together; a key that asks for a password cannot be used.",
        ) from None


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(references: Sequence[str], how: Serving, say: Say = print) -> None:
    """Serve until a signal says to end; errors of what cannot be loaded or bound come before the first request."""
    how.check()
    if how.onnx:
        for package in ("onnx", "onnxruntime", "onnxscript"):
            need(package, extra="onnx")
    return_memory()
    spare_imported()
    root = private(home())
    metrics = Metrics()
    broken: list[str] = []
    log = Log.of(root / "logs", how.log_requests)
    access = Access.of(root / "run" / "token") if how.auth else Access(None)
    with _bound(how) as socket_:
        port: int = socket_.getsockname()[1]
        loaded = Loaded(Models(metrics, broken.append), tried=how.tried(), graphs=how.onnx)
        loaded.check(references)
        for reference in references:
            loaded.load(reference, say)
        state = State(loaded.models, metrics, Feedbacks(root / "feedback"), how.log_requests)

        def over(exchange: Exchange, seconds: float) -> None:
            log.write(exchange, seconds)
            loaded.models.heard(exchange, seconds)

        guard = Guard(routed(state), access, metrics, how.names(port), over)
        _tell(loaded, how, how.url(port), access, say)
        asyncio.run(_run(guard, socket_, how, loaded, broken, say))
    if broken:
        raise ResourceError(f"The model {broken[0]} failed again and again; the server has ended.")


def _bound(how: Serving) -> socket.socket:
    family = socket.AF_INET6 if ":" in how.host else socket.AF_INET
    try:
        return socket.create_server((how.host, how.port), family=family, backlog=2048)
    except OSError as error:
        raise ResourceError(
            f"Nothing can be served at {how.url(how.port)}: {error.strerror}.", "Choose another --port."
        ) from None


def _tell(loaded: Loaded, how: Serving, url: str, access: Access, say: Say) -> None:
    say(f"Serving {', '.join(sorted(loaded.models.labels()))} at {url}")
    if loaded.sooner:
        say(f"Few texts at a time are answered sooner with --onnx: {', '.join(sorted(loaded.sooner))}")
    say(f"Try it by hand: {url}/{f'?token={access.first}' if access.file else ''}")
    if access.file:
        say(f"Programs send the token, which lies in {access.file}, as: Authorization: Bearer TOKEN")
    if how.log_requests != "off":
        say(f"Texts of requests are kept ({how.log_requests}), personal data replaced, for {KEPT_DAYS} days.")


class _Server(uvicorn.Server):
    """uvicorn, ended by our own handling of signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    guard: Guard, socket_: socket.socket, how: Serving, loaded: Loaded, broken: Sequence[str], say: Say
) -> None:
    config = uvicorn.Config(
        guard,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=Connection,
        ws="none",
        lifespan="off",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(DRAIN_SECONDS),
        ssl_certfile=how.certificate,
        ssl_keyfile=how.key,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def end() -> None:
        guard.draining = True
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    looking = asyncio.create_task(_look(loaded, broken, say))
    looking.add_done_callback(lambda task: end())  # a server that follows nothing any more does not go on
    try:
        await server.serve(sockets=[socket_])
    finally:
        looking.cancel()
        end_writers()
        for name in loaded.tried:
            loaded.end(name, "the server ended")
        await asyncio.to_thread(loaded.models.close, DRAIN_SECONDS)
        loaded.keep()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def _look(loaded: Loaded, broken: Sequence[str], say: Say) -> None:
    """Follow promotions and rollbacks, and write down trials, until a model is broken.

    What cannot be done is told once, and all goes on: a registry that is damaged, or a file that cannot be read while
    callers hold every descriptor. Any other fault ends the server.
    """
    told: dict[str, str] = {}
    kept = tidied = time.monotonic()

    def fault(what: str, error: Error | OSError) -> None:
        if told.get(what) != str(error):
            say(f"{what}: {error}")
        told[what] = str(error)

    while not broken:
        await asyncio.sleep(LOOK_SECONDS)
        for name in list(loaded.followed):
            try:
                wanted = await asyncio.to_thread(loaded.wanted, name, say)
                if loaded.point(name, wanted, say):
                    say(f"{name} is now {loaded.models.get(f'{name}@{CHAMPION}').label}")
            except (Error, OSError) as error:
                fault(f"{name} stays as it is", error)
        if loaded.unwritten or time.monotonic() > kept + KEEP_SECONDS:
            try:
                await asyncio.to_thread(loaded.keep)
                loaded.go_on()
                kept = time.monotonic()
            except (Error, OSError) as error:
                fault("What was tried is not written down yet", error)
        if time.monotonic() > tidied + TIDY_SECONDS:
            await asyncio.to_thread(give_back)
            tidied = time.monotonic()
