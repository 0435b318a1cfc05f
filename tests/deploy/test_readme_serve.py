"""The README's way from a run to an answer over HTTP, typed as it stands there."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tuneproof.run import Run

README = Path(__file__).parents[2] / "README.md"
NAME = "reviews-7f3a"  # of the run in the README


def commands() -> list[str]:
    """What a person types, line after line."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if "/v1/classify" in block]
    return str(block).replace("\\\n", " ").splitlines()


def test_four_commands_are_enough() -> None:
    first, second, third, fourth = commands()
    assert first == ". .venv/bin/activate" and second.startswith(f"tuneproof serve runs/{NAME} ")
    assert third.startswith("TOKEN=") and fourth.startswith("curl ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not there")
def test_they_end_with_an_answer(tmp_path: Path, review_run: Run) -> None:
    """But for the name of the run and the port, which may be taken."""
    (tmp_path / "runs").mkdir()
    shutil.copytree(review_run.path, tmp_path / "runs" / review_run.id)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    env = {name: value for name, value in os.environ.items() if name != "XDG_DATA_HOME"} | {"HOME": str(tmp_path)}
    activate, serve, *ask = (command.replace(NAME, review_run.id) for command in commands())
    typed = f"{activate}\nexec {serve.partition('#')[0]} --port 0"
    server = subprocess.Popen(["bash", "-c", typed], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    lines = []
    for line in server.stdout:
        lines.append(line)
        if "Authorization" in line:
            break
    try:
        url = next(line.split()[-1] for line in lines if line.startswith("Serving "))
        typed = "\n".join(ask).replace("http://127.0.0.1:8433", url)
        done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        server.stdout.close()
    answer = json.loads(done.stdout)
    assert answer["model"] == review_run.id and answer["data"][0]["label"] in ("positive", "negative")
