"""The hub path with huggingface_hub itself, against a server on this machine that plays one repository."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

COMMIT = "c" * 40
NOWHERE = "http://127.0.0.1:9"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's interface as huggingface_hub asks for: org/x, at one commit."""

    files: ClassVar[dict[str, bytes]] = {}
    size_error: ClassVar[int] = 0

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("/api/models/org/x", "/api/models/org/x/revision/main"):
            siblings = [{"rfilename": n, "size": len(b) + self.size_error} for n, b in self.files.items()]
            body = {"id": "org/x", "sha": COMMIT, "siblings": siblings, "cardData": {"license": "mit"}, "tags": []}
            return self.answer(json.dumps(body).encode())
        name = path.removeprefix(f"/org/x/resolve/{COMMIT}/")
        return self.answer(self.files[name]) if name in self.files else self.answer(b"", 404)

    do_HEAD = do_GET

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint(tiny_bert: Path) -> Iterator[str]:
    Hub.files = {path.name: path.read_bytes() for path in tiny_bert.iterdir()}
    Hub.files |= {"pytorch_model.bin": b"\x80\x02.", "modeling.py": b"import os", "onnx/model.onnx": b"x"}
    Hub.size_error = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


ASK_MODEL = (
    "import sys; from pathlib import Path; from tuneproof.sources import model\n"
    "found = model(sys.argv[1], cache=Path(sys.argv[2]), say=print); print(found.revision, sorted(found.sha256))"
)


def ask(name: str, endpoint: str, cache: Path, code: str = ASK_MODEL) -> str:
    """All that a process prints that asks for ``name``; huggingface_hub reads the endpoint once per process."""
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(cache / "hf")}
    env |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-c", code, name, str(cache)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def test_only_the_wanted_files_come_and_only_once(endpoint: str, tiny_bert: Path, tmp_path: Path) -> None:
    told = ask("org/x", endpoint, tmp_path)
    files = sorted(path.name for path in tiny_bert.iterdir())
    assert told.splitlines()[-1] == f"{COMMIT} {files}", told
    assert told.startswith("Looking up org/x on the model hub\nFetching org/x (") and len(told.splitlines()) == 3
    assert ask("org/x", NOWHERE, tmp_path) == ask(f"org/x@{COMMIT}", NOWHERE, tmp_path) == f"{COMMIT} {files}\n"
    assert not list((tmp_path / "work").iterdir())


def test_what_the_hub_does_not_have(endpoint: str, tmp_path: Path) -> None:
    assert "ModelError: The hub has no model org/y." in ask("org/y", endpoint, tmp_path)
    del Hub.files["model.safetensors"]
    assert "ModelError: org/x has no safetensors weights" in ask("org/x@main", endpoint, tmp_path)


def test_a_repository_with_code_or_of_another_size_is_not_kept(endpoint: str, tmp_path: Path) -> None:
    Hub.size_error = 1
    assert "did not arrive as the hub lists it" in ask("org/x", endpoint, tmp_path)
    Hub.size_error = 0
    Hub.files["config.json"] = b'{"model_type": "bert", "auto_map": {"AutoModel": "modeling.Evil"}}'
    assert 'its key "auto_map" names code to import' in ask("org/x", endpoint, tmp_path)
    assert not (tmp_path / "index").exists() and not (tmp_path / "store").exists()


def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    told = ask("org/x", NOWHERE, tmp_path)
    assert "ModelError: The model hub cannot be reached for org/x. Check the network" in told


# -- data sets

DATA = {"README.md": b"# x", "data/train.csv": b"text,label\n" + b"good,yes\nbad,no\n" * 20, "data/odd.bin": b"\0"}


class DataHub(Hub):
    """The same for data sets: org/t, at one commit."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("/api/datasets/org/t", "/api/datasets/org/t/revision/main"):
            siblings = [{"rfilename": n, "size": len(b) + self.size_error} for n, b in self.files.items()]
            body = {"id": "org/t", "sha": COMMIT, "siblings": siblings, "cardData": {"license": "mit"}, "tags": []}
            return self.answer(json.dumps(body).encode())
        name = path.removeprefix(f"/datasets/org/t/resolve/{COMMIT}/")
        return self.answer(self.files[name]) if name in self.files else self.answer(b"", 404)

    do_HEAD = do_GET


@pytest.fixture
def data_endpoint() -> Iterator[str]:
    DataHub.files = dict(DATA)
    DataHub.size_error = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), DataHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


ASK_DATA = (
    "import sys; from pathlib import Path; from tuneproof.sources import data\n"
    "found = data(sys.argv[1], cache=Path(sys.argv[2]), say=print)\n"
    "print(found.revision, found.path.name, len(found.path.read_bytes()), found.licence)"
)


def test_the_one_table_of_a_data_set_comes_once_and_by_its_commit(data_endpoint: str, tmp_path: Path) -> None:
    told = ask("hub:org/t", data_endpoint, tmp_path, ASK_DATA).splitlines()
    expected = f"{COMMIT} train.csv {len(DATA['data/train.csv'])} mit"
    assert told == ["Looking up org/t on the hub", "Fetching data/train.csv of org/t (0.0 MB)", expected]
    assert ask("hub:org/t", NOWHERE, tmp_path, ASK_DATA) == f"{expected}\n"
    assert ask(f"hub:org/t@{COMMIT}#data/train.csv", NOWHERE, tmp_path, ASK_DATA) == f"{expected}\n"
    assert ask("hub:org/t@main#data/train.csv", data_endpoint, tmp_path, ASK_DATA).splitlines()[-1] == expected


def test_which_file_of_several_has_to_be_said(data_endpoint: str, tmp_path: Path) -> None:
    DataHub.files["data/test.parquet"] = b"PAR1"
    told = ask("hub:org/t", data_endpoint, tmp_path, ASK_DATA)
    assert "it holds data/test.parquet, data/train.csv. Write" in told and "#path/to/file" in told
    assert 'org/t has no file "data/tain.csv"' in ask("hub:org/t#data/tain.csv", data_endpoint, tmp_path, ASK_DATA)
    assert '"odd.bin" is no table' in ask("hub:org/t#odd.bin", data_endpoint, tmp_path, ASK_DATA)
    for bad in ("hub:org", "hub:org/t#../x.csv", "hub:org/t#/etc/x.csv", "hub:org/t@a b"):
        assert "does not name a data set of the hub" in ask(bad, data_endpoint, tmp_path, ASK_DATA)


def test_a_data_set_that_is_not_there_or_arrives_otherwise(data_endpoint: str, tmp_path: Path) -> None:
    assert "DataError: The hub has no data set org/y." in ask("hub:org/y", data_endpoint, tmp_path, ASK_DATA)
    DataHub.size_error = 1
    assert "did not arrive as the hub lists it" in ask("hub:org/t", data_endpoint, tmp_path, ASK_DATA)
    assert "DataError: The hub cannot be reached for org/t." in ask("hub:org/t", NOWHERE, tmp_path, ASK_DATA)
    assert not (tmp_path / "index").exists() and not (tmp_path / "store").exists()
