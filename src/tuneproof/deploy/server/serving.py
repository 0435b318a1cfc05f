"""The server as a process: what it listens on, what it loads, how it ends.

    serve(["reviews", "runs/support-19c2"], Serving(port=8433), say=print)

SIGTERM and Ctrl-C drain: no new request is taken, those that were are answered within 30 seconds.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from tuneproof.deploy.registry import Registry, Version, found
from tuneproof.deploy.registry.home import CHAMPION, home, private
from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.guard import Guard
from tuneproof.deploy.server.hosted import Models, prove
from tuneproof.deploy.server.log import KEPT_DAYS, Log
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.routes import State, routed
from tuneproof.errors import ConfigError, Error, ResourceError
from tuneproof.predict import Predictor
from tuneproof.run import Run

PORT = 8433
DRAIN_SECONDS = 30.0
LOOK_SECONDS = 0.5  # between two looks at where the aliases point
Say = Callable[[str], None]


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
    canary: str | None = None  # NAME@7=5%: a version, and the share of its name's callers that it answers

    def check(self) -> None:
        """ConfigError for a server that would be open to others without anything that protects it."""
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
        self.trial()

    def trial(self) -> tuple[str, float] | None:
        """The version of ``canary`` and its share; ConfigError for anything that is not NAME@7=5%."""
        if self.canary is None:
            return None
        version, _, share = self.canary.partition("=")
        if "@" not in version or not re.fullmatch(r"\d{1,2}(\.\d+)?%", share):
            raise ConfigError(
                f'--canary "{self.canary}" is no version with a share.', "For example: --canary reviews@8=5%"
            )
        return version, float(share[:-1]) / 100

    def names(self, port: int) -> frozenset[str]:
        """Values of the Host header that are answered."""
        own = {self.host, "localhost", "127.0.0.1", "[::1]"} if is_loopback(self.host) else {self.host}
        named = {name.lower() for name in (*own, *self.hosts)}
        return frozenset({f"{name}:{port}" for name in named} | (named if port in (80, 443) else set(self.hosts)))

    def url(self, port: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class Loaded:
    """What is loaded from where: names of the registry are followed, runs and single versions stay as they are."""

    models: Models
    registry: Registry = field(default_factory=Registry)
    followed: dict[str, dict[str, int]] = field(default_factory=dict)  # name -> alias -> version, as it is served

    def load(self, reference: str, say: Say) -> None:
        """The model of a run, of ``NAME@7``, or of a name with all its aliases."""
        what = found(reference, self.registry)
        if isinstance(what, Run):
            self.add(what.id, what, say)
        elif "@" in reference and not reference.endswith("@champion"):
            self.add(what.label, what.run, say)
        else:
            self.follow(what.name, say)

    def add(self, label: str, run: Run, say: Say) -> None:
        if label in self.models.labels():
            return
        say(f"Loading {label}")
        predictor = Predictor.open(run)
        prove(run, predictor)
        self.models.add(label, predictor)

    def follow(self, name: str, say: Say) -> None:
        """Load the champion of ``name`` and point there."""
        self.point(name, self.wanted(name, say))

    def wanted(self, name: str, say: Say) -> dict[str, int]:
        """Where the aliases of ``name`` point now, those versions loaded; what is served stays as it is."""
        aliases = {alias: number for alias, number in self.registry.aliases(name).items() if alias == CHAMPION}
        if aliases != self.followed.get(name):
            for number in aliases.values():
                version: Version = self.registry.resolve(f"{name}@{number}")
                self.add(version.label, version.run, say)
        return aliases

    def point(self, name: str, aliases: Mapping[str, int]) -> bool:
        """Serve these versions from now on; whether anything moved.

        Called where requests are answered, so that none has chosen a version and not yet queued its inputs.
        """
        if aliases == self.followed.get(name):
            return False
        self.models.point(name, {alias: f"{name}@{number}" for alias, number in aliases.items()})
        self.followed[name] = dict(aliases)
        return True


def serve(references: Sequence[str], how: Serving, say: Say = print) -> None:
    """Serve until a signal says to end; errors of what cannot be loaded or bound come before the first request."""
    how.check()
    root = private(home())
    metrics = Metrics()
    broken: list[str] = []
    log = Log.of(root / "logs", how.log_requests)
    access = Access.of(root / "run" / "token") if how.auth else Access(None)
    with _bound(how) as socket_:
        port: int = socket_.getsockname()[1]
        loaded = Loaded(Models(metrics, broken.append))
        for reference in references:
            loaded.load(reference, say)
        trial = how.trial()
        if trial is not None:
            loaded.load(trial[0], say)
            loaded.models.canary(trial[0].partition("@")[0], *trial)
        state = State(loaded.models, metrics, Feedbacks(root / "feedback"), how.log_requests)
        guard = Guard(routed(state), access, metrics, how.names(port), log.write)
        _tell(loaded.models, how, how.url(port), access, say)
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


def _tell(models: Models, how: Serving, url: str, access: Access, say: Say) -> None:
    say(f"Serving {', '.join(sorted(models.labels()))} at {url}")
    say(f"Try it by hand: {url}/{f'?token={access.first}' if access.file else ''}")
    if access.file:
        say(f"Programs send the token, which lies in {access.file}, as: Authorization: Bearer TOKEN")
    if how.log_requests != "off":
        say(f"Texts of requests are kept ({how.log_requests}), personal data replaced, for {KEPT_DAYS} days.")


class _Server(uvicorn.Server):
    """uvicorn, ended by our own handling of signals."""

    @contextmanager
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
    looking = asyncio.create_task(_look(loaded, broken, end, say))
    try:
        await server.serve(sockets=[socket_])
    finally:
        looking.cancel()
        await asyncio.to_thread(loaded.models.close, DRAIN_SECONDS)


async def _look(loaded: Loaded, broken: Sequence[str], end: Callable[[], None], say: Say) -> None:
    """Follow promotions and rollbacks; what cannot be loaded is told once, and the old version goes on."""
    told: dict[str, str] = {}
    while not broken:
        await asyncio.sleep(LOOK_SECONDS)
        for name in list(loaded.followed):
            try:
                wanted = await asyncio.to_thread(loaded.wanted, name, say)
                if loaded.point(name, wanted):
                    say(f"{name} is now {', '.join(f'{name}@{number}' for number in loaded.followed[name].values())}")
            except Error as error:
                if told.get(name) != str(error):
                    say(f"{name} stays as it is: {error}")
                told[name] = str(error)
    end()
