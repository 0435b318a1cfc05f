"""Every method beside full, freeze and lora (see test_tasks_methods.py) on an encoder and on a decoder.

All other cells of TASKS x METHODS are run by benchmarks/cells.py, which writes docs/cells.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cells import Cell, difference, examine, merges, options
from test_tasks_methods import plain

from tuneproof.config import build
from tuneproof.decide import check_model
from tuneproof.errors import ConfigError
from tuneproof.methods import ADAPTERS, METHODS, NOT_OFFERED, refusal
from tuneproof.methods import method as row
from tuneproof.records import ModelFacts
from tuneproof.tasks import TASKS
from tuneproof.train.fit import assemble, job
from tuneproof.train.loop import one_step

BLOCKED = Path(__file__).parent / "without_tuneproof.py"
# adamss clusters the singular vectors of every layer at each start, a fifth of this suite's time: benchmarks/cells.py.
OTHERS = [name for name in METHODS if name not in ("full", "freeze", "lora", "adamss")]
ENCODER, DECODER = "text-classification", "instruction"
# On the decoder only what works there in another way than on an encoder; the rest is the same code.
CELLS = [(ENCODER, name) for name in OTHERS] + [
    (DECODER, name) for name in ("qlora", "vera", "oft", "ia3", "beft", "ln", "prompt", "p-tuning", "prefix")
]
CELLS += [("seq2seq", "qlora")]  # T5 reads the type of some weights, which are bytes in 4 bits


@pytest.fixture(scope="module")
def seen(make_work, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Cell]:
    found: dict[tuple[str, str], Cell] = {}

    def cell(task: str, method: str) -> Cell:
        if (task, method) not in found:
            work = make_work(task, method, options(task, method), rows=16)
            found[task, method] = examine(work, method, tmp_path_factory.mktemp("cell"))
        return found[task, method]

    return cell


@pytest.mark.parametrize(("task", "method"), CELLS)
def test_a_cell_holds(seen, task: str, method: str) -> None:
    """Only the right weights move, the head trains, the loss falls, resume is exact, reopened it predicts the same."""
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="4-bit weights need it")
    cell = seen(task, method)
    assert cell.trained and cell.last < cell.first


@pytest.mark.parametrize("method", [name for name, adapter in ADAPTERS.items() if adapter.merges and name in OTHERS])
def test_what_is_said_to_merge_merges(seen, method: str) -> None:
    merges(seen(ENCODER, method))


@pytest.mark.parametrize("method", OTHERS)
def test_a_step_in_bf16_has_finite_gradients(make_work, method: str) -> None:
    """Frozen weights are then bf16 and what trains is fp32: not every adapter of peft expects the two together."""
    if method == "qlora":
        pytest.importorskip("bitsandbytes", reason="4-bit weights need it")
    work = make_work(ENCODER, method, {**options(ENCODER, method), "model.precision": "bf16"}, rows=8)
    state = assemble(work)
    one_step(state, job(work, 4), [list(range(8))])
    trained = [p for group in state.optimizer.param_groups for p in group["params"]]
    assert all(p.dtype == torch.float32 and p.grad is not None and bool(p.grad.isfinite().all()) for p in trained)


def test_peft_alone_reproduces_the_predictions(seen) -> None:
    """All adapters at once, in a process that cannot import tuneproof; over the 4-bit base qlora has no equal there."""
    cells = {f"{task} {method}": seen(task, method) for task, method in CELLS if method != "qlora"}
    requests = []
    for name, cell in cells.items():
        work, method = cell.work, name.split(" ")[1]
        rows = [{**plain(example), "scale": work.schema.scale} for example in work.validation]
        base = str(work.base) if METHODS[method].wrapped else None
        about = {"name": name, "auto": work.answer.auto, "folder": str(cell.folder), "base": base, "rows": rows}
        requests.append({**about, "labels": work.schema.outputs, "seed": work.config.train.seed})
    done = subprocess.run(
        [sys.executable, str(BLOCKED)], input=json.dumps(requests), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    for name, cell in cells.items():
        ours = [[row[0], *row[1:][2:]] if cell.work.schema.labels else row[:1] for row in cell.predictions]
        assert difference(ours, said[name]) < 1e-5, name


# -- what is refused

FACTS = ModelFacts("m", "/m", "r", "apache-2.0", "encoder", 22_700_000, 384, 6, 30_522, 512)


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("method", list(METHODS))
def test_a_declared_cell_is_planned_or_refused_with_its_reason(task: str, method: str) -> None:
    answer = TASKS[task].answer
    facts = ModelFacts("m", "/m", "r", "apache-2.0", answer.kinds[0], 22_700_000, 384, 6, 30_522, 512)
    config = build({"model": {"max_length": 100}, "method": {"name": method}})
    reason = refusal(method, answer.auto)
    if reason is None:
        check_model(config, facts, answer)
    else:
        with pytest.raises(ConfigError) as error:
            check_model(config, facts, answer)
        assert reason in error.value.message


def test_prompts_are_refused_where_answers_are_read_at_a_place() -> None:
    for name in ("prompt", "p-tuning", "prefix"):
        assert refusal(name, "AutoModelForTokenClassification") and not refusal(name, "AutoModelForCausalLM")


def test_what_peft_has_is_offered_or_refused_with_the_reason() -> None:
    from peft import PeftType

    offered = {adapter.type for adapter in ADAPTERS.values()} | {"LORA"}
    named = {
        "adalora": "ADALORA", "adaption-prompt": "ADAPTION_PROMPT", "cartridge": "CARTRIDGE", "cpt": "CPT",
        "frod": "FROD", "lily": "LILY", "multitask-prompt": "MULTITASK_PROMPT_TUNING", "osf": "OSF", "poly": "POLY",
        "shadow": "SHADOW", "trainable-tokens": "TRAINABLE_TOKENS", "xlora": "XLORA",
    }  # fmt: skip
    assert named.keys() == NOT_OFFERED.keys()
    assert {kind.value for kind in PeftType} == offered | set(named.values())
    with pytest.raises(ConfigError, match=r"adalora.*not offered.*resume") as error:
        row("adalora")
    assert "tuneproof methods" in error.value.hint
