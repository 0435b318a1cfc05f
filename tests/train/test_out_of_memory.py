"""Memory that runs out is answered by smaller micro-batches: the same losses, and a run that continues keeps them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tuneproof.train import checkpoint
from tuneproof.train.fit import assemble, job
from tuneproof.train.loop import fit

# A process that may take so many bytes more than it has when training begins. The system refuses them: no mock does.
LIMITED = """
import json, resource, sys
from pathlib import Path
import torch
from transformers import AutoModelForCausalLM
from tuneproof.config import build
from tuneproof.device import settle
from tuneproof.errors import ResourceError
from tuneproof.modalities import ChatEncoder, Example
from tuneproof.tasks import TASKS
from tuneproof.train.loop import Job, State, one_step

folder, more = Path(sys.argv[1]), int(sys.argv[2])
settle(1)
model = AutoModelForCausalLM.from_pretrained(folder)
rows = [Example([3 + (7 * at + row) % 300 for at in range(250)], loss=[True] * 250) for row in range(64)]
said = []
settings = build({}).train
answer, encoder = TASKS["instruction"].answer, ChatEncoder(folder, 256)
run = Job(answer, encoder, rows, settings, 1, "fp32", lambda _: None, say=said.append)
state = State(model, torch.optim.SGD(model.parameters(), lr=0.0))
one_step(state, run, [[0]])
state.loss.zero_(), setattr(state, "units", 0), setattr(state, "step", 0)
size = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + more, resource.RLIM_INFINITY))
try:
    one_step(state, run, [list(range(64))])
    print(json.dumps([state.parts, float(state.loss) / state.units, state.rows, said]))
except ResourceError as error:
    print(json.dumps([state.parts, str(error), state.step, said]))
"""


def limited(folder: Path, more: int) -> list:
    command = [sys.executable, "-c", LIMITED, str(folder), str(more)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_step_that_does_not_fit_is_cut(tiny_llama: Path) -> None:
    parts, loss, rows, said = limited(tiny_llama, 2**34)
    assert (parts, rows, said) == (1, 65, []), "there was room for all of it"
    cut, found, again, said = limited(tiny_llama, 60 * 2**20)
    assert cut > 1 and again == 65, "no row is counted twice"
    assert found == pytest.approx(loss, rel=1e-5)
    assert said[-1] == f"Memory ran out at step 1: micro-batches are cut into {cut} from here on."


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_one_row_that_does_not_fit_ends_the_run(tiny_llama: Path) -> None:
    parts, said, step, _ = limited(tiny_llama, 0)
    assert parts == 64 and step == 0
    assert said.startswith("Memory does not suffice for one row at step 1")


def test_what_is_cut_stays_cut_when_a_run_continues(make_work, tmp_path: Path) -> None:
    work = make_work("instruction", "lora", {"train.validate_every": 100}, rows=20)
    begun = assemble(work)
    list(fit(begun, job(work, 2)))
    begun.parts = 4
    checkpoint.save(tmp_path, begun, {})
    again = assemble(work)
    checkpoint.restore(tmp_path, again, print)
    assert again.parts == 4
    whole = [progress.loss for progress in fit(begun, job(work, 5))]
    assert [progress.loss for progress in fit(again, job(work, 5))] == whole
    plain = assemble(work)
    expected = [progress.loss for progress in fit(plain, job(work, 5))][2:]
    assert whole == pytest.approx(expected, rel=1e-5), "in smaller ones, the same mean over all rows"


def test_another_error_is_no_lack_of_memory(make_work) -> None:
    def broken(module: object, args: object) -> None:
        raise RuntimeError("mat1 and mat2 must have the same dtype")

    work = make_work("instruction", "full", rows=8)
    state = assemble(work)
    state.model.model.layers[0].register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match="same dtype"):
        list(fit(state, job(work, 1)))
    assert state.parts == 1
