"""What holds in one cell of TASKS x METHODS, as a function: the suite asserts it, benchmarks/cells.py prints it.

found = examine(work, method, folder)      # raises AssertionError with the sentence of what does not hold
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tuneproof.methods import METHODS, merged
from tuneproof.methods.parts import Parts
from tuneproof.predict import open_model, predict_examples
from tuneproof.tasks import TASKS
from tuneproof.tasks.embeddings import Vectors
from tuneproof.train import checkpoint
from tuneproof.train.fit import Work, assemble, job
from tuneproof.train.loop import State, fit, one_step
from tuneproof.train.optim import set_lr

STEPS = 16
CLOSE = 2e-4  # nats per row, or share: weights of PiSSA-like starts are added and taken away in fp32

# Times the rates that the plan would give a model of width 32 (decide/recipe.py): random weights, and few steps.
FASTER = 5
# Methods that another rate than that suits better at this width: times it, tried on sixteen reviews, a factor of three
# apart. What they learn of a real model at the plan's own rates stands in src/tuneproof/methods/measured.json.
TIMES = {"bitfit": 3, "p-tuning": 0.3, "prompt": 0.3, "supertuning": 10, "waveft": 0.3}
SLOWER = {("seq2seq", "fourierft"): 0.3, ("seq2seq", "tinylora"): 0.3}
BY_HEART = 0.01  # loss per row or token
# Methods with so few weights that width 32 leaves them too little to know sixteen rows by heart: half is asked for.
FALL = 0.5
# Nothing but vectors before frozen random layers, where no new head trains: with rates ten times apart both end at one
# loss (8.95 of 10.4 on instructed-classification), which is the model's limit.
PROMPTS = {"prompt": 0.1, "p-tuning": 0.1}
# Entities as lines are tokens of which most are the text's own: there both prompts end at 9.931 of 10.32, with 640 and
# with 25,504 weights, and fourierft's 112 weights at 5.1 to 5.8 of 7.8 with rates from .015 to .5.
# Of a small translator tinylora's 2,048 weights learn 44% at the best of five rates.
LIMITS = {
    ("instructed-extraction", "prompt"): 0.03,
    ("instructed-extraction", "p-tuning"): 0.03,
    ("instructed-extraction", "fourierft"): 0.3,
    ("seq2seq", "tinylora"): 0.4,
}
ENOUGH, MOST = 300, 1000  # steps after which half will do, and in which it has to be there


@dataclass(frozen=True, slots=True)
class Cell:
    """What was seen."""

    trained: int  # parameters
    share: float  # of all
    first: float  # loss of the batch, before and after STEPS steps
    last: float
    work: Work
    folder: Path
    predictions: list[list[float]]


def options(task: str, method: str) -> dict[str, object]:
    """Rates by the tool's own rule, the new head's as well; there is room for tokens before the rows."""
    factor = METHODS[method].lr_factor * TIMES.get(method, 1) * SLOWER.get((task, method), 1)
    rate = FASTER * TASKS[task].answer.learning_rate(32)[0]
    return {
        "train.lr": rate * factor,
        "train.head_lr_factor": 10 / factor,
        "train.weight_decay": 0.0,
        "model.max_length": 40,
    }


def examine(work: Work, method: str, folder: Path) -> Cell:
    """All that has to hold, but memorising: see ``memorised``."""
    state = assemble(work)
    trained = {name for name, p in state.model.named_parameters() if p.requires_grad}
    only_what_trains_moves(work, state, trained)
    new_heads_train(work, trained)
    first, last = falls(work)
    resumes(work, folder)
    predictions = reopens(work, state, method, folder / "saved")
    count = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    every = sum(p.numel() for p in state.model.parameters())
    return Cell(count, count / every, first, last, work, folder / "saved", predictions)


def only_what_trains_moves(work: Work, state: State, trained: set[str]) -> None:
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    held = sorted(id(p) for group in state.optimizer.param_groups for p in group["params"])
    assert held == sorted(id(p) for p in state.model.parameters() if p.requires_grad), "the optimizer holds others"
    for _ in fit(state, job(work, 4)):
        pass
    with_gradient = {name for name, p in state.model.named_parameters() if p.grad is not None}
    assert with_gradient == trained, f"no gradient: {sorted(trained - with_gradient)[:3]}"
    after = state.model.state_dict()
    known = dict(state.model.named_parameters())
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert {name for name in moved if name in known} <= trained, "what does not train has moved"
    still = [name for name in trained if name in after and name not in moved]
    # A bias of the key projection has no gradient but rounding: softmax does not change when all scores shift alike.
    assert len(moved) > 0 and len(still) < len(trained) / 2, f"trains, but does not move: {still[:3]}"


def new_heads_train(work: Work, trained: set[str]) -> None:
    for name in Parts.of(open_model(work.answer, work.schema, work.config, work.base, None)).new:
        assert any(name in other for other in trained), f"the new head {name} does not train"


def falls(work: Work) -> tuple[float, float]:
    """Loss of one batch before and after some steps on it, without dropout."""
    state, running = assemble(work), job(work, STEPS)
    state.model.eval()
    losses = []
    for _ in range(STEPS):
        set_lr(state.optimizer, 1.0)
        before = float(state.loss)
        one_step(state, running, [list(range(8))])
        losses.append(float(state.loss) - before)
    assert min(losses[1:]) < losses[0], f"the loss does not fall: {losses}"
    return losses[0], min(losses)


def resumes(work: Work, folder: Path) -> None:
    """Two steps, a checkpoint, a new process's model, two more: the same bits as four in a row."""
    whole = assemble(work)
    for _ in fit(whole, job(work, 4)):
        pass
    state = assemble(work)
    running = fit(state, job(work, 4))
    while state.step < 2:
        next(running)
    checkpoint.save(folder / "ckpt", state, {})
    again = assemble(work)
    assert checkpoint.restore(folder / "ckpt", again, print) is not None
    for _ in fit(again, job(work, 4)):
        pass
    one, other = checkpoint.trained(whole), checkpoint.trained(again)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one), "resumed otherwise than uninterrupted"


def reopens(work: Work, state: State, method: str, to: Path) -> list[list[float]]:
    to.mkdir()
    before = predictions(work, state.model)
    METHODS[method](work.config).save(state.model, to)
    work.encoder.save(to)
    assert not {path.suffix for path in to.iterdir()} & {".bin", ".pt", ".pkl", ".pth"}, "a pickle was saved"
    opened = predictions(work, open_model(work.answer, work.schema, work.config, work.base, to))
    worst = difference(before, opened)
    assert worst == 0, f"saved and opened, predictions differ by {worst:.1e}"
    return before


def merges(cell: Cell) -> None:
    """Merged into the pretrained weights, the answers stay."""
    work = cell.work
    model = open_model(work.answer, work.schema, work.config, work.base, cell.folder)
    worst = difference(cell.predictions, predictions(work, merged(model)))
    assert worst < CLOSE, f"merged, predictions differ by {worst:.1e}"


def fall(work: Work, method: str, task: str) -> float:
    """By which share the loss of sixteen rows has to fall where they are not learnt by heart."""
    usual = PROMPTS.get(method, FALL) if work.answer.auto == "AutoModelForCausalLM" else FALL
    return LIMITS.get((task, method), usual)


def memorised(work: Work, share: float) -> tuple[int, float, float]:
    """Steps until sixteen rows are known by heart, or by ``share`` and ENOUGH, or MOST; the loss before and after."""
    state, running = assemble(work), job(work, 10_000)
    losses: list[float] = []
    for progress in fit(state, running):
        if progress.loss is not None:
            losses.append(progress.loss)
        some = losses[-1] < (1 - share) * losses[0]
        if losses[-1] < BY_HEART or (some and progress.step >= ENOUGH) or progress.step >= MOST:
            break
    return state.step, losses[0], losses[-1]


def predictions(work: Work, model: torch.nn.Module) -> list[list[float]]:
    """Per row its loss and probabilities, or its vectors: figures rather than labels, as labels hide small errors."""
    said = predict_examples(model, work.answer, work.encoder, work.validation, "fp32")
    if isinstance(said[0].value, Vectors):
        return [[x for vector in p.value.of for x in vector] for p in said]
    return [[*p.scores.values(), *(p.probabilities[name] for name in sorted(p.probabilities))] for p in said]


def difference(left: list[list[float]], right: list[list[float]]) -> float:
    assert [len(row) for row in left] == [len(row) for row in right]
    pairs = [(a, b) for x, y in zip(left, right, strict=True) for a, b in zip(x, y, strict=True)]
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs if a == a or b == b)


__all__ = ["BY_HEART", "Cell", "examine", "fall", "memorised", "merges", "options"]
