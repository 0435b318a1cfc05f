"""Runs the command line in processes of their own that start in milliseconds, so that many can be killed.

One JSON line in per process: {"argv": [...], "cwd": ..., "log": ..., "after": seconds or null, "die_at": k or null}.
Two lines out: its pid, then how it ended ({"signal": 9} or {"code": 0}) with its seconds. Everything heavy is imported
once, then forked. With ``after`` a process is sent SIGKILL when it has run so long; with ``die_at`` it sends that to
itself just before the k-th time that it opens, makes, renames or removes a file of the run: between two system calls
of the path that saves.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback

import jinja2  # noqa: F401
import peft  # noqa: F401
import polars  # noqa: F401
import sklearn.linear_model  # noqa: F401
import torch
import transformers  # noqa: F401
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer  # noqa: F401

from tuneproof import cli, pipeline, terminal  # noqa: F401

CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
PARTS = ("/ckpt", "/metrics.jsonl", "/.metrics.jsonl", "/.model.tmp", "/model", "/run.json", "/.run.json")


def die_at(k: int) -> None:
    seen = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in CHANGES and "/runs/" in f"/{arguments[0]}" and any(part in str(arguments[0]) for part in PARTS):
            seen += 1
            if seen == k:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def child(order: dict) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(order["cwd"])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    sys.argv = ["tuneproof", *order["argv"]]
    code = 1
    try:
        if order["die_at"]:
            die_at(order["die_at"])
        cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def ended_within(pid: int, seconds: float | None) -> int:
    """The status of a child that ended by itself, or was killed after so many seconds."""
    if seconds is not None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return status
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still this child's
    return os.waitpid(pid, 0)[1]


def main() -> None:
    torch.set_num_threads(1)
    print(json.dumps({"ready": True}), flush=True)
    while line := sys.stdin.readline():
        began = time.monotonic()
        pid = os.fork()
        order = json.loads(line)
        if pid == 0:
            child(order)
        print(json.dumps({"pid": pid}), flush=True)
        status = ended_within(pid, order["after"])
        ended = {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else {"code": os.WEXITSTATUS(status)}
        print(json.dumps({**ended, "seconds": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main()
