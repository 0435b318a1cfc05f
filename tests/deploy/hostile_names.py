"""What somebody may put where a model, an alias or a path is named, and an ear for files and connections."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TARGETS = (
    "etc/passwd",
    "etc/shadow",
    "proc/self/environ",
    "root/.ssh/id_rsa",
    "tuneproof/run/token",
    "reviews/ledger.jsonl",
)
UPWARDS = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "..%252f",
    "..\\",
    "....//",
    "..;/",
    "..%c0%af",
    "\uff0e\uff0e/",
    "\u2024\u2024/",
)
URLS = (
    "http://169.254.169.254/latest/meta-data/",
    "http://127.0.0.1:22/",
    "http://[::1]:80/",
    "http://0/",
    "http://2130706433/",
    "http://localhost.evil.example/",
    "https://evil.example/model.safetensors",
    "//evil.example/x",
    "file:///etc/passwd",
    "ftp://evil.example/x",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stat",
    "ldap://evil.example/a",
    "jar:http://evil.example!/x",
    "data:text/plain,hello",
    "hf://evil/model",
    "hub:evil/model#x.parquet",
    "s3://bucket/key",
    "\\\\evil.example\\share",
)
ODD = (
    "",
    ".",
    "..",
    "/",
    "~",
    "~root",
    "$HOME",
    "$(id)",
    "`id`",
    "${jndi:ldap://evil.example/a}",
    "{{7*7}}",
    "%s%s%n",
    "'; DROP TABLE models; --",
    "<script>alert(1)</script>",
    "reviews\u0000",
    "reviews\n",
    "reviews\r\nx-model: chats",
    " reviews",
    "reviews ",
    "REVIEWS",
    "r\u0435views",
    "reviews/",
    "reviews/../chats",
    "reviews@",
    "reviews@@1",
    "reviews@1@1",
    "reviews@01",
    "reviews@-1",
    "reviews@1.0",
    "reviews@\u0661",
    "reviews@999999999999",
    "reviews@../1",
    "reviews@1/../../chats",
    "reviews@champion/..",
    "reviews@CHAMPION",
    "reviews@__class__",
    "@1",
    "@champion",
    "con",
    "nul",
    "aux.txt",
    ".lock",
    ".deciding",
    "-rf",
    "--help",
    "a" * 65,
    "a" * 10_000,
    "\U0001f4a9",
    "None",
    "null",
    "true",
    "__proto__",
    "constructor",
)
NAMES = sorted(
    {*ODD, *URLS, *(up * 3 + target for up in UPWARDS for target in TARGETS), *(f"/{each}" for each in TARGETS)}
)
PATHS = (
    "/v1/../etc/passwd",
    "/../../../etc/passwd",
    "/..%2f..%2fetc%2fpasswd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "//etc/passwd",
    "/v1/models/../../run/token",
    "/v1/models/reviews/7",
    "/v1/models/..",
    "/static/../../etc/passwd",
    "/v1//classify",
    "/v1/classify/",
    "/V1/CLASSIFY",
    "/v1/classify\x00",
    "/v1/classify;x=1",
    "http://evil.example/v1/models",
    "/metrics/..",
    "/healthz/../metrics",
    "/templates/try.html",
    "/try.js",
    "/favicon.ico",
    "/.git/config",
    "/.env",
)
HOSTS = (
    "",
    "evil.example",
    "127.0.0.1",
    "127.0.0.1:80",
    "127.0.0.1:8433.evil.example",
    "127.0.0.1:8433@evil.example",
    "evil.example@127.0.0.1:8433",
    "127.0.0.1:8433/",
    "127.0.0.1:8433#",
    "127.0.0.1:8433 ",
    "127.1:8433",
    "2130706433:8433",
    "0x7f000001:8433",
    "0.0.0.0:8433",
    "[::]:8433",
    "[::ffff:127.0.0.1]:8433",
    "localhost.evil.example:8433",
    "xlocalhost:8433",
    "http://127.0.0.1:8433",
)
ORIGINS = (
    "null",
    "",
    "http://evil.example",
    "https://127.0.0.1:8433.evil.example",
    "http://127.0.0.1:8433@evil.example",
    "http://127.0.0.1",
    "http://127.0.0.1:8434",
    "http://127.0.0.1:8433/",
    "http://localhost:3000",
    "file://",
    "file:///etc/passwd",
    "chrome-extension://abc",
    "127.0.0.1:8433",
    "http:127.0.0.1:8433",
    "://evil.example",
    "http://[::1]:1",
)

_installed = False
_heard: list[tuple[str, str]] | None = None  # while somebody listens: what was opened or asked for
_FILES = ("open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.link", "os.symlink")
_OUT = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "socket.sendto",
    "subprocess.Popen",
    "os.system",
    "os.exec",
)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _heard is not None and event in (*_FILES, *_OUT):
        _heard.append((event, str(arguments[1] if event == "socket.connect" else arguments[0] if arguments else "")))


@contextmanager
def listening(*allowed: Path) -> Iterator[list[tuple[str, str]]]:
    """Files opened outside ``allowed`` and Python itself, and whatever would leave this process; complete at its end.

    An audit hook hears what Python opens, however it is asked; it cannot be taken out again, so it falls silent.
    """
    global _heard, _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    found: list[tuple[str, str]] = []
    _heard = []
    try:
        yield found
    finally:
        heard, _heard = _heard, None
    inside = (*map(str, allowed), sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "/dev/null")
    found += [
        (event, what) for event, what in heard if event in _OUT or not (what.startswith(inside) or what.isdigit())
    ]
