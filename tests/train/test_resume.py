"""A run that was interrupted ends as the uninterrupted one, to the bit; what goes wrong on the disk costs no result.

Everything here is in one process and deterministic; killing at random moments is in tests/proof/test_resume_proof.py.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file

from tuneproof import pipeline
from tuneproof.config import load
from tuneproof.errors import ResourceError, RunError
from tuneproof.records import Progress, Scores
from tuneproof.run import Run
from tuneproof.tasks import TASKS
from tuneproof.train import checkpoint, drive
from tuneproof.train.drive import Paused, keep
from tuneproof.train.fit import Work, assemble, train

STEPS = 8


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a save takes over a second, as on a machine that is busy, the next is put off: not what is asked here."""
    monkeypatch.setattr(drive, "SLOW", math.inf)


def new_run(folder: Path, name: str) -> Run:
    return Run.create(folder, name, {"file": "x", "path": "x", "config": {}, "seconds": {}})


def go(run: Run, work: Work, stop_at: int | None = None, number: int = signal.SIGINT, steps: int = STEPS) -> list[str]:
    """Trains or continues; a real signal comes when step ``stop_at`` was reported. What was said is returned."""
    said: list[str] = []
    for progress in train(run, work, steps, said.append):
        if progress.step == stop_at and not progress.paused:
            signal.raise_signal(number)
    return said


def outcome(run: Run, *, last: bool = True) -> dict[str, Any]:
    """All that must be equal: weights, optimizer and figures; not the clock's."""
    files = {
        str(file.relative_to(run.path)): file.read_bytes()
        for folder in (run.model, run.checkpoints / "best", *([max(run.checkpoints.glob("step-*"))] if last else []))
        for file in sorted(folder.glob("*.safetensors"))
    }
    metrics = [{key: value for key, value in line.items() if key != "seconds"} for line in run.metrics()]
    return {"metrics": metrics, **files}


CASES = [
    ("text-classification", "full", 1),
    ("text-classification", "lora", 3),
    ("token-classification", "full", 2),
    ("question-answering", "lora", 1),
    ("question-answering", "full", 2),
    ("instruction", "freeze", 1),
    ("instruction", "full", 4),
    ("instruction", "lora", 1),
]


@pytest.mark.parametrize(("task", "method", "parts"), CASES)
def test_stopped_and_resumed_equals_uninterrupted(
    make_work, tmp_path: Path, task: str, method: str, parts: int
) -> None:
    """Dropout is on in both models' configuration, so random states are part of what is compared."""
    options = {"train.accumulate": parts, "train.log_every": 2, "train.validate_every": 3}
    work = make_work(task, method, options, rows=20)
    whole = new_run(tmp_path, "whole")
    go(whole, work)
    broken = new_run(tmp_path, "broken")
    for stop_at in (2, 3, 6):  # between validations, at one, and twice in one run
        with pytest.raises(Paused) as paused:
            go(broken, work, stop_at)
        assert str(paused.value) == str(broken.path)
        assert paused.value.exit_code == 130
    said = go(broken, work)
    assert said[0] == "Continuing at step 6 of 8."
    assert outcome(broken) == outcome(whole)


# A method or an optimizer with something of its own to keep or to find again.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("freeze", {"freeze.top_layers": 3, "freeze.gradual": 0.6}),
    ("full", {"train.layer_lr_decay": 0.7, "train.schedule": "wsd"}),
    ("lora", {"lora.init": "pissa", "lora.plus": 4.0}),
    ("lora", {"lora.dora": True, "lora.rslora": True, "lora.dropout": 0.1}),
    ("full", {"train.optimizer": "adafactor", "train.lr": 3e-2}),
    ("full", {"train.optimizer": "lion", "train.lr": 2e-4}),
    ("full", {"train.optimizer": "muon", "train.schedule": "one-cycle"}),
    ("lora", {"train.optimizer": "muon"}),
    ("full", {"train.optimizer": "sgd", "train.lr": 0.1}),
    ("full", {"train.optimizer": "adamw-8bit"}),
]


@pytest.mark.parametrize(("method", "options"), VARIANTS, ids=lambda value: str(value))
def test_resume_is_exact_for_every_optimizer_and_variant(make_work, tmp_path: Path, method: str, options) -> None:
    if options.get("train.optimizer") == "adamw-8bit":
        pytest.importorskip("bitsandbytes", reason="8-bit needs it")
    work = make_work("text-classification", method, {**options, "train.validate_every": 4}, rows=20)
    whole = new_run(tmp_path, "whole")
    go(whole, work)
    broken = new_run(tmp_path, "broken")
    for stop_at in (2, 5):
        with pytest.raises(Paused):
            go(broken, work, stop_at)
    go(broken, work)
    assert outcome(broken) == outcome(whole)


def test_sigterm_saves_too(make_work, tmp_path: Path) -> None:
    with pytest.raises(Paused) as paused:
        go(new_run(tmp_path, "run"), make_work("text-classification", "full", rows=20), 3, signal.SIGTERM)
    assert paused.value.exit_code == 143


def test_a_second_signal_ends_at_once(make_work, tmp_path: Path) -> None:
    run, work = new_run(tmp_path, "run"), make_work("text-classification", "full", rows=20)
    before = signal.getsignal(signal.SIGINT)  # ignored, where a shell runs the tests in the background
    with pytest.raises(KeyboardInterrupt):
        for progress in train(run, work, STEPS, lambda line: None):
            if progress.step == 3:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before, "the handlers are put back"


def test_a_checkpoint_that_would_not_fit_is_not_begun(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    huge = torch.empty(free, dtype=torch.float32, device="meta")  # four times the space that is left
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.write(tmp_path / "ckpt", "best", {"model.safetensors": {"w": huge}}, {"step": 1})
    assert caught.value.errno == errno.ENOSPC and list((tmp_path / "ckpt").iterdir()) == []


# -- early stopping


def test_early_stopping_goes_on_counting_after_resume(make_work, tmp_path: Path) -> None:
    """A rate of nearly nothing: validation never improves on its first, so patience decides the end."""
    options = {"train.lr": 1e-12, "train.patience": 3, "train.validate_every": 1}
    work = make_work("text-classification", "full", options, rows=20)
    whole = new_run(tmp_path, "whole")
    go(whole, work)
    assert [line["step"] for line in whole.metrics()] == [1, 2, 3, 4], (
        "the first is the best, three more do not improve"
    )
    for stop_at in (1, 2, 3):
        broken = new_run(tmp_path, f"broken{stop_at}")
        with pytest.raises(Paused):
            go(broken, work, stop_at)
        go(broken, work)
        assert outcome(broken) == outcome(whole)


def test_stopped_by_patience_but_killed_before_the_model_was_saved(make_work, tmp_path: Path) -> None:
    options = {"train.lr": 1e-12, "train.patience": 2, "train.validate_every": 1}
    run, work = new_run(tmp_path, "run"), make_work("text-classification", "full", options, rows=20)
    go(run, work)
    before = outcome(run)
    shutil.rmtree(run.model)
    go(run, work)
    assert outcome(run) == before


# -- damaged checkpoints


@pytest.fixture(scope="module")
def checkpoints(make_work, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Work, dict[str, Any]]:
    """A run stopped at step 6 with checkpoints at 3 and 6, and what it should end as."""
    work = make_work("text-classification", "full", {"train.log_every": 1}, rows=20)
    folder = tmp_path_factory.mktemp("damaged")
    whole = new_run(folder, "whole")
    go(whole, work)
    run = new_run(folder, "run")
    with pytest.raises(Paused):
        go(run, work, 6)
    assert [path.name for path in sorted(run.checkpoints.glob("step-*"))] == ["step-00000003", "step-00000006"]
    return run, work, outcome(whole)


def copied(run: Run, to: Path) -> Run:
    shutil.copytree(run.path, to)
    return Run.open(to)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {"truncated": truncate, "a bit flipped": flip, "gone": Path.unlink}


@pytest.mark.parametrize("damage", list(DAMAGE))
@pytest.mark.parametrize("file", ["model.safetensors", "optim.safetensors", "state.json", "MANIFEST.json"])
def test_a_damaged_checkpoint_costs_its_interval_and_nothing_else(
    checkpoints, tmp_path, file: str, damage: str
) -> None:
    run, work, expected = checkpoints
    broken = copied(run, tmp_path / "run")
    DAMAGE[damage](broken.checkpoints / "step-00000006" / file)
    said = go(broken, work)
    assert "step-00000006 is damaged" in said[0] and "Going back to the checkpoint before it" in said[0]
    assert said[1].startswith("Continuing at step 3 of 8")
    assert outcome(broken) == expected


def test_two_swapped_checkpoints_are_both_refused(checkpoints, tmp_path: Path) -> None:
    """Whole files in the wrong folder: the manifests do not fit, so the run begins anew and ends the same."""
    run, work, expected = checkpoints
    broken = copied(run, tmp_path / "run")
    first, second = (broken.checkpoints / name / "optim.safetensors" for name in ("step-00000003", "step-00000006"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    said = go(broken, work)
    assert "Going back to the beginning" in said[1]
    assert outcome(broken) == expected


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bit_flip_is_taken_for_a_checkpoint(checkpoints, tmp_path_factory, data) -> None:
    """Any one bit of any of its files, the manifest among them."""
    run, _, _ = checkpoints
    source = run.checkpoints / "step-00000006"
    copy = tmp_path_factory.mktemp("bits") / source.name
    shutil.copytree(source, copy)
    file = copy / data.draw(st.sampled_from(sorted(path.name for path in copy.iterdir())))
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    file.write_bytes(content)
    with pytest.raises(RunError, match="is damaged"):
        checkpoint.verify(copy)


def test_what_a_killed_process_left_is_removed(checkpoints, tmp_path: Path) -> None:
    run, work, expected = checkpoints
    broken = copied(run, tmp_path / "run")
    shutil.copytree(broken.checkpoints / "step-00000006", broken.checkpoints / ".tmp-0123")
    (broken.checkpoints / ".old-4567").mkdir()
    go(broken, work)
    assert not list(broken.checkpoints.glob(".*"))
    assert outcome(broken) == expected


def test_a_torn_last_line_of_metrics_is_written_anew(checkpoints, tmp_path: Path) -> None:
    run, work, expected = checkpoints
    broken = copied(run, tmp_path / "run")
    with (broken.path / "metrics.jsonl").open("a") as out:
        out.write('{"stage": "train", "step": 7, "lo')
    go(broken, work)
    assert outcome(broken) == expected


# -- a full disk


class Disk:
    """Counts the calls by which a checkpoint is written, and lets some of them fail as a full disk does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.calls = 0
        self.fails: Callable[[int], bool] = lambda call: False
        self.folder = str(folder)
        for holder, name in ((Path, "mkdir"), (Path, "write_text"), (Path, "rename"), (checkpoint, "save_file")):
            monkeypatch.setattr(holder, name, self._counted(getattr(holder, name)))

        def fsync(handle: int) -> None:
            """Counted, not done: no test cuts the power, and a thousand of them take longer than all the rest."""

        monkeypatch.setattr(os, "fsync", self._counted(fsync))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            where = os.readlink(f"/proc/self/fd/{args[0]}") if real.__name__ == "fsync" else " ".join(map(str, args))
            if self.folder in where:
                self.calls += 1
                if self.fails(self.calls):
                    if real.__name__ == "save_file":  # what the library raises, which is no OSError
                        raise SafetensorError(
                            "Error while serializing: I/O error: No space left on device (os error 28)"
                        )
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call


@pytest.fixture
def small(make_work) -> Work:
    """Four validations, each with a better score than the one before, so that best/ is replaced as well."""
    options = {"train.validate_every": 2, "train.batch_size": 4, "train.lr": 1e-3, "evaluate.validation_rows": 2}
    return make_work("instruction", "lora", options, rows=4)


@pytest.fixture
def expected(small: Work, tmp_path: Path) -> dict[str, Any]:
    run = new_run(tmp_path, "expected")
    go(run, small)
    scores = [line["validation"]["loss_per_token"] for line in run.metrics() if "validation" in line]
    assert scores == sorted(scores, reverse=True), "each improves, or less is tested than is said"
    return outcome(run)


def test_one_failing_call_anywhere_in_saving_costs_nothing(small, tmp_path, monkeypatch) -> None:
    """For every k, the k-th call fails: training goes on, what was saved before is whole, the result is the same.

    Four steps with two validations: the second replaces the best weights of the first.
    """
    steps, every = 4, small.config.train.validate_every
    whole = new_run(tmp_path, "whole")
    with monkeypatch.context() as patch:
        disk = Disk(patch, whole.checkpoints)
        go(whole, small, steps=steps)
    assert disk.calls > 30
    for k in range(1, disk.calls + 1):
        run = new_run(tmp_path, f"k{k}")
        said: list[str] = []
        with monkeypatch.context() as patch:
            Disk(patch, run.checkpoints).fails = lambda call, k=k: call == k
            for progress in train(run, small, steps, said.append):
                found = sorted(run.checkpoints.glob("step-*"))
                for path in found:
                    checkpoint.verify(path)
                newest = int(found[-1].name.removeprefix("step-")) if found else 0
                assert newest > progress.step - 2 * every, "one interval is lost, not two"
        assert len(said) == 1 and "training goes on" in said[0] and "No space left" in said[0], (k, said)
        assert not list(run.checkpoints.glob(".*")), "nothing is left lying about"
        assert outcome(run, last=False) == outcome(whole, last=False), k


def test_best_weights_wait_in_memory_while_the_disk_is_full(small, tmp_path, monkeypatch) -> None:
    """As they were at their validation: training goes on meanwhile, and none of the later ones is better."""
    run, state = new_run(tmp_path, "run"), assemble(small)
    at_best = {name: weight.detach().clone() for name, weight in checkpoint.trained(state).items()}
    said: list[str] = []
    with monkeypatch.context() as patch:
        disk = Disk(patch, run.checkpoints)

        def steps() -> Iterator[Progress]:
            for step, loss in enumerate((1.0, 2.0, 3.0, 4.0), start=1):
                disk.fails = lambda call, full=step < 3: full
                state.step = step
                scores = Scores("loss_per_token", {"loss_per_token": loss}, 1, higher_is_better=False)
                yield Progress("train", step, 4, validation=scores)
                with torch.no_grad():
                    for weight in checkpoint.trained(state).values():
                        weight.add_(1.0)
                assert (step < 3) == (not list(run.checkpoints.glob("[!.]*"))), "no checkpoint before the best weights"

        answer = TASKS["instruction"].answer
        for _ in keep(steps(), run, state, every=1e9, answer=answer, say=said.append):
            pass
    assert len(said) == 2
    kept = load_file(run.checkpoints / "best" / "model.safetensors")
    assert kept.keys() == at_best.keys() and all(torch.equal(kept[name], at_best[name]) for name in kept)
    assert checkpoint.verify(run.checkpoints / "best")["step"] == 1


def test_a_disk_that_stays_full_for_a_while(small, expected, tmp_path, monkeypatch) -> None:
    run = new_run(tmp_path / "run", "run")
    with monkeypatch.context() as patch:
        disk = Disk(patch, run.checkpoints)
        full = False
        disk.fails = lambda call: full
        said: list[str] = []
        for progress in train(run, small, STEPS, said.append):
            full = 3 <= progress.step < 7
    assert said and outcome(run) == expected


def test_a_disk_that_stays_full_says_what_to_do_and_resume_ends_the_same(
    small, expected, tmp_path, monkeypatch
) -> None:
    run = new_run(tmp_path / "run", "run")
    with monkeypatch.context() as patch:
        disk = Disk(patch, run.checkpoints)
        full = False
        disk.fails = lambda call: full
        with pytest.raises(ResourceError, match="best weights, those of step 8") as raised:
            for progress in train(run, small, STEPS, lambda line: None):
                full = progress.step >= 3
    assert f"tuneproof resume {run.path}" in raised.value.hint
    go(run, small)
    assert outcome(run) == expected


def test_the_model_folder_is_whole_or_absent(small, expected, tmp_path, monkeypatch) -> None:
    from tuneproof.methods.lora import Lora

    run = new_run(tmp_path / "run", "run")
    with monkeypatch.context() as patch:

        def full(self: Lora, model: Any, to: Path) -> None:
            (to / "adapter_model.safetensors").write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")

        patch.setattr(Lora, "save", full)
        with pytest.raises(ResourceError, match="No space left"):
            go(run, small)
    assert not run.model.exists()
    go(run, small)
    assert outcome(run) == expected


# -- through the pipeline


class Stopping(pipeline.Quiet):
    """Presses Ctrl-C when a step was reported; keeps what was said."""

    def __init__(self, step: int | None = None) -> None:
        self.step = step
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def progress(self, progress: Any) -> None:
        if progress.step == self.step and not progress.paused:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def stopped(one_thread: None, reviews: Path, tiny_bert: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A data file of its own, and a run on it that was stopped in the middle."""
    file = Path(shutil.copy(reviews, tmp_path / "mine.csv"))
    config = load(None, {"model.name": str(tiny_bert), "train.threads": 1, "train.log_every": 1})
    with pytest.raises(Paused) as paused:
        pipeline.tune(str(file), config, runs=tmp_path / "runs", view=Stopping(2))
    yield file, Path(str(paused.value))


def test_resume_with_a_changed_data_file_is_refused(stopped) -> None:
    file, run = stopped
    content = file.read_bytes()
    file.write_bytes(content + b"one more,positive\r\n")
    with pytest.raises(RunError, match=r"mine\.csv was changed since") as raised:
        pipeline.resume(run, view=pipeline.Quiet())
    assert raised.value.exit_code == 2 and "Put the old file back" in raised.value.hint
    file.write_bytes(content)
    assert pipeline.resume(run, view=pipeline.Quiet()).asked["state"] == "scored"


def test_resume_needs_the_data_file_no_more_once_it_is_prepared(stopped) -> None:
    file, run = stopped
    file.unlink()
    assert pipeline.resume(run, view=pipeline.Quiet()).asked["state"] == "scored"


def test_resume_of_a_finished_run_says_so_and_changes_nothing(stopped) -> None:
    _, run = stopped
    pipeline.resume(run, view=pipeline.Quiet())
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    view = Stopping()
    pipeline.resume(run, view=view)
    assert len(view.said) == 1 and "is finished" in view.said[0] and "report.html" in view.said[0]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_resume_with_another_model_under_the_same_name_is_refused(stopped, tmp_path: Path) -> None:
    _, run = stopped
    kept = json.loads((run / "data" / "tokens.json").read_text())
    kept["model"]["revision"] = "0" * 64
    (run / "data" / "tokens.json").write_text(json.dumps(kept))
    with pytest.raises(RunError, match="is not the one that"):
        pipeline.resume(run, view=pipeline.Quiet())


def test_two_processes_do_not_work_on_one_run(stopped) -> None:
    _, run = stopped
    with Run.open(run).locked(), pytest.raises(RunError, match="Another process"):
        pipeline.resume(run, view=pipeline.Quiet())
