"""While a model is tuned, asked, exported and promoted, no object is unpickled and no code comes from a file given.

An audit hook hears it, whoever does it: ``pickle.find_class`` is what an unpickler asks before it can call anything.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import review_rows, write_csv

HOOK = """
import os, sys

given, heard = sys.argv[1], []


def hook(event, arguments):
    if event == "pickle.find_class":
        heard.append(f"pickle: {arguments[0]}.{arguments[1]}")
    elif event == "import" and (
        str(arguments[0]).startswith("transformers_modules") or str(arguments[1] or "").startswith(given)
    ):
        heard.append(f"import: {arguments[0]}")
    elif event == "exec" and getattr(arguments[0], "co_filename", "").startswith(given):
        heard.append(f"exec: {arguments[0].co_filename}")
    elif event == "os.system":
        heard.append(f"shell: {arguments[0]}")
    elif event == "subprocess.Popen" and os.path.basename(str(arguments[0])) in ("sh", "bash", "dash"):
        heard.append(f"shell: {arguments[1]}")
    elif event == "shutil.unpack_archive":
        heard.append(f"unpacked: {arguments[0]}")


sys.addaudithook(hook)
"""
JOURNEY = """
from tuneproof.cli import main

runs = given + "/runs"
def asked(*arguments):
    sys.argv = ["tuneproof", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code or arguments[0] == "promote", (arguments, ended.code)  # so small a model may be rejected

asked("tune", given + "/reviews.csv", "--model", given + "/model", "--method", "lora", "--epochs", "2", "--runs", runs)
run = next(place.path for place in os.scandir(runs) if place.is_dir())
asked("predict", run, "--input", given + "/reviews.csv", "--output", given + "/said.jsonl")
asked("eval", run)
asked("export", run, "--to", "merged", "--output", given + "/merged")
asked("export", run, "--to", "onnx", "--output", given + "/onnx")
asked("registry", "add", run, "--name", "reviews")
asked("promote", "reviews@1")
print("HEARD", heard)
"""
LISTENS = {
    "an object": "import pickle; pickle.loads(pickle.dumps(os.getcwd))",
    "torch.load": "import torch; x = given + '/x.pt'; torch.save([os.getcwd], x); torch.load(x, weights_only=False)",
    "a module": "sys.path.insert(0, given); import evil",
    "code of a model": "from importlib.util import spec_from_file_location as of, module_from_spec as made\n"
    "there = of('x', given + '/evil.py'); there.loader.exec_module(made(there))",
    "a shell": "import subprocess; subprocess.run('true', shell=True)",
    "another shell": "os.system('true')",
}


def heard(program: str, folder: Path) -> list[str]:
    said = subprocess.run(
        [sys.executable, "-c", HOOK + program, str(folder)], capture_output=True, text=True, check=False, timeout=500
    )
    assert said.returncode == 0, said.stderr[-2000:]
    last = said.stdout.splitlines()[-1]
    assert last.startswith("HEARD ")
    return [] if last == "HEARD []" else [last]


@pytest.mark.parametrize("program", LISTENS.values(), ids=LISTENS.keys())
def test_the_hook_hears(program: str, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("x = 1")
    assert heard(f"{program}\nprint('HEARD', heard)", tmp_path)


def test_nothing_is_unpickled_and_no_code_comes_from_a_file(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ACCEPTANCE 37, at run time; tests/test_architecture.py has the part about what is written."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    write_csv(tmp_path / "reviews.csv", review_rows(240))
    (tmp_path / "model").symlink_to(tiny_bert)
    assert heard(JOURNEY, tmp_path) == []
