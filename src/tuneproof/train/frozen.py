"""The frozen part of a model runs once: its outputs are kept on disk, and later passes begin where training begins.

    part = frozen_part(state)                       # None where nothing below the first trained layer could be kept
    kept = keep_outputs(part, rows, pass_, folder)  # runs it over all rows; ResourceError where the disk lacks room
    with kept.recalled(rows, batch):
        loss = answer.loss(model, batch)            # the frozen layers hand on what is kept

What is kept of a row is what the frozen layers make of it in the batches of a pass: for training the micro-batches of
the first epoch, for validation those of every validation. There it equals, to the bit, what would be computed anew; in
a later epoch a row stands in other company, and the last bits of a product depend on how many rows it has. All of it
follows from the rows and the seed: it is computed before training, and alike when a run continues. The file has no
name once it is open, so a killed process leaves nothing behind. Only a stack whose layers hand on one tensor of states
is known here.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleList

from tuneproof.compute.layout import Layout
from tuneproof.device import arithmetic
from tuneproof.errors import ResourceError
from tuneproof.methods.parts import Parts
from tuneproof.modalities import Batch, Encoder, Example
from tuneproof.place import device_of, put
from tuneproof.tasks import Answer


@dataclass(frozen=True, slots=True)
class Part:
    """The first ``depth`` layers of ``stack``, of which nothing ever trains, nor of what comes before them."""

    model: Module
    stack: ModuleList
    depth: int


def frozen_part(model: Module, optimizer: torch.optim.Optimizer) -> Part | None:
    """The part below everything that the optimizer holds; None where the lowest layer, or what feeds it, trains."""
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    trained = [name for name, parameter in model.named_parameters() if id(parameter) in held]
    layers = Parts.of(model).layers
    above = [index for index, (name, _) in enumerate(layers) if any(one.startswith(f"{name}.") for one in trained)]
    depth = min(above, default=len(layers))
    names = [name for name, _ in model.named_parameters()]
    first = next(index for index, name in enumerate(names) if name.startswith(f"{layers[0][0]}."))
    if depth == 0 or set(names[:first]) & set(trained):
        return None
    stack = model.get_submodule(layers[0][0].rpartition(".")[0])
    assert isinstance(stack, ModuleList)
    return Part(model, stack, depth)


@dataclass(frozen=True, slots=True)
class Kept:
    """States (all tokens of all rows, width) that the frozen part hands on."""

    part: Part
    states: Tensor
    starts: Sequence[Sequence[int]]  # of each row's sequences, in ``states``

    @contextmanager
    def recalled(self, rows: Sequence[int], batch: Batch) -> Iterator[None]:
        """Within it the model's frozen layers hand on what is kept of ``rows``, of which ``batch`` was made."""
        kept = self.states.new_zeros(*batch.ids.shape, self.states.shape[-1])  # padding is never attended to
        lengths = batch.lengths
        for at, start in enumerate(start for row in rows for start in self.starts[row]):
            kept[at, : lengths[at]] = self.states[start : start + lengths[at]]
        found = put(kept, batch.ids.device)
        layers = [self.part.stack[index] for index in range(self.part.depth)]
        for index, layer in enumerate(layers):
            self.part.stack[index] = _HandsOn(layer, found if index == 0 else None)
        try:
            yield
        finally:
            for index, layer in enumerate(layers):
                self.part.stack[index] = layer


@dataclass(frozen=True, slots=True)
class Pass:
    """How rows come to the model, each once."""

    answer: Answer
    encoder: Encoder
    precision: str
    batches: Iterable[Sequence[int]]
    around: Callable[
        [Module, Batch], AbstractContextManager[None]
    ]  # what each batch is computed in: a step, or a pass without gradients


def keep_outputs(part: Part, examples: Sequence[Example], pass_: Pass, folder: Path) -> Kept | None:
    """Runs the frozen part over ``examples``, as the model is now; None where its outputs cannot be kept.

    ResourceError where the disk of ``folder`` lacks the room.
    """
    sizes = [pass_.encoder.collate([example]).lengths for example in examples]
    ends = torch.tensor([size for row in sizes for size in row]).cumsum(0).tolist()
    starts, at = [], 0
    for row in sizes:
        starts.append([0 if index == 0 else ends[index - 1] for index in range(at, at + len(row))])
        at += len(row)
    kept: Kept | None = None
    for indices in pass_.batches:
        batch = pass_.encoder.collate([examples[index] for index in indices]).beside(part.model)
        found = _handed_on(part, pass_, batch)
        if kept is None:
            if not _constant(part, pass_, batch, found):
                return None
            assert found is not None
            kept = Kept(part, _on_disk((ends[-1], found.shape[-1]), found.dtype, folder), starts)
        assert found is not None
        lengths = batch.lengths
        for sequence, start in enumerate(start for index in indices for start in starts[index]):
            kept.states[start : start + lengths[sequence]] = found[sequence, : lengths[sequence]]
    return kept


def _constant(part: Part, pass_: Pass, batch: Batch, first: Tensor | None) -> bool:
    """Whether the part hands on one tensor of states per token, and the same one whatever is drawn at random."""
    if first is None or first.shape[:-1] != batch.ids.shape:
        return False
    torch.manual_seed(1)
    again = _handed_on(part, pass_, batch)
    return again is not None and torch.equal(first, again)


class _Reached(Exception):
    """The frozen part has been run; what lies above it is not needed."""

    def __init__(self, states: Any) -> None:
        super().__init__()
        self.states = states


def _handed_on(part: Part, pass_: Pass, batch: Batch) -> Tensor | None:
    """(S, T, width): what the frozen part makes of a batch; None where it is more than one tensor.

    Nothing of it trains, so nothing is recorded for a backward pass; yet attention may go by whether one could follow.
    """

    def stop(layer: Module, args: Any, given: Any, states: Any) -> None:
        laid = given.get("side_by_side")
        raise _Reached(states if laid is None else laid.as_batch(states))

    hook = part.stack[part.depth - 1].register_forward_hook(stop, with_kwargs=True)
    try:
        with arithmetic(pass_.precision, device_of(part.model).type), pass_.around(part.model, batch):
            pass_.answer.loss(part.model, batch)
    except _Reached as reached:
        return reached.states.cpu() if isinstance(reached.states, Tensor) else None
    finally:
        hook.remove()
    return None


def _on_disk(shape: tuple[int, int], dtype: torch.dtype, folder: Path) -> Tensor:
    """A tensor in a file without a name, its room reserved."""
    needed = prod(shape) * dtype.itemsize
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="frozen-") as file:
        try:
            _reserve(file.fileno(), needed)
        except OSError as error:
            raise ResourceError(
                f"The outputs of the frozen layers need {needed / 2**30:.1f} GiB in {folder}: {error.strerror}.",
                "Free some space on that disk, or run them anew for every row: --set freeze.keep=false",
            ) from error
        return torch.from_file(file.name, shared=True, size=prod(shape), dtype=dtype).view(shape)


def _reserve(file: int, size: int) -> None:
    """Real blocks: a file with holes would end the process when the disk fills up."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(file, 0, size)
        return
    for start in range(0, size, 2**24):
        os.write(file, bytes(min(2**24, size - start)))


class _HandsOn(Module):
    """Stands where a frozen layer stands: gives ``states``, or what it is given."""

    def __init__(self, layer: Module, states: Tensor | None) -> None:
        super().__init__()
        self.__dict__["layer"] = layer  # not as a submodule: its weights are not needed here
        self.states = states

    def forward(self, hidden: Tensor, *args: Any, side_by_side: Layout | None = None, **kwargs: Any) -> Tensor:
        if self.states is None:
            return hidden
        return self.states if side_by_side is None else side_by_side.of_batch(self.states)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["layer"], name)  # what a model asks of its layer: the kind of its attention, say
