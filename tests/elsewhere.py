"""A device that is none, so that what is right on a GPU can be tried without one.

    with elsewhere() as seen:
        model.to(ELSEWHERE)                  # tensors that say they lie elsewhere
        model(ids)                           # RuntimeError: ids lie here
    seen.read                                # what was read back, and by which operation

Its numbers are computed by torch's operations for the processor, one by one, after a look at where their arguments
lie: as on a GPU, a tensor without dimensions may come from here, and so may the numbers by which another is indexed.
"Read" is whatever makes this process wait for a GPU: a number for Python, a copy, a mask whose places have to be
counted. The name of the device is torch's own for tensors without numbers, since only known names have a dispatcher.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("meta")
aten = torch.ops.aten
COPIES = (aten._to_copy.default, aten.copy_.default)
INDEXES = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default)
COUNTS = (
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.is_nonzero.default,
    aten.equal.default,
)


@dataclass
class Seen:
    read: list[str] = field(default_factory=list)  # operation, and the line that asked for it

    def by(self, operation: Any) -> None:
        ours = [at for at in traceback.extract_stack() if "tuneproof" in at.filename and at.filename != __file__]
        self.read.append(f"{operation}, {ours[-1].name if ours else 'a test'}: {ours[-1].line if ours else ''}")


class There(Tensor):
    """A tensor elsewhere; ``held`` are its numbers."""

    seen: ClassVar[Seen] = Seen()
    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        made: There = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=ELSEWHERE,
        )
        return made

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self, **more: Any) -> str:
        return f"There({self.held})"

    def tolist(self) -> Any:
        self.seen.by("tolist")
        return self.held.tolist()

    def numpy(self, **more: Any) -> Any:
        raise TypeError("a tensor that lies elsewhere is no array; copy it first")

    def __getitem__(self, key: Any) -> Any:
        return super().__getitem__(_numbered(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_numbered(key), value)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _numbered(key: Any) -> Any:
    """An index with tensors in place of lists: of those torch makes tensors elsewhere, past every dispatcher."""
    if isinstance(key, tuple):
        return tuple(map(_numbered, key))
    return torch.tensor(key) if isinstance(key, list) else key


def _computed(func: Any, args: Any, given: dict[str, Any]) -> Any:
    leaves = tree_leaves((args, given))
    theirs = [one for one in leaves if isinstance(one, There)]
    ours = [one for one in leaves if isinstance(one, Tensor) and not isinstance(one, There)]
    if any(one.device.type == ELSEWHERE.type for one in ours):
        raise RuntimeError(f"{func}: torch made a tensor elsewhere past this file, which has no numbers")
    if theirs and any(one.ndim for one in ours) and func not in COPIES + INDEXES:
        raise RuntimeError(f"{func}: one tensor lies here and another elsewhere")
    masks = [one for one in tree_leaves(args[1]) if isinstance(one, Tensor)] if func in INDEXES else []
    to = torch.device(given["device"]) if given.get("device") is not None else None
    if theirs and (func in COUNTS or any(one.dtype == torch.bool for one in masks) or (to and to.type == "cpu")):
        There.seen.by(func)
    bare, named = tree_map(lambda one: one.held if isinstance(one, There) else one, (args, given))
    found = func(*bare, **({**named, "device": torch.device("cpu")} if to else named))
    if func is aten.copy_.default:
        if theirs and not isinstance(args[0], There):
            There.seen.by(func)
        return args[0]
    stays = to.type == ELSEWHERE.type if to else bool(theirs)
    known = {id(one.held): one for one in theirs}  # an operation in place gives back what it was given

    def there(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        return known[id(one)] if id(one) in known else There(one)

    return tree_map(there, found) if stays else found


class _Dispatched(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Made(TorchFunctionMode):
    """torch.tensor makes numbers here and copies them, which no dispatcher sees."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and str(given.get("device")) == ELSEWHERE.type:
            del given["device"]
            return func(*args, **given).to(ELSEWHERE)
        return func(*args, **given)


@contextmanager
def elsewhere() -> Iterator[Seen]:
    There.seen = Seen()
    autocast, inference = torch.is_autocast_enabled, torch.inference_mode

    def enabled(device: str | None = None) -> bool:  # autocast knows no such device
        return device != ELSEWHERE.type and (autocast(device) if device else autocast())

    torch.is_autocast_enabled, torch.inference_mode = enabled, torch.no_grad  # nor can inference wrap a tensor
    try:
        with _Dispatched(), _Made():
            yield There.seen
    finally:
        torch.is_autocast_enabled, torch.inference_mode = autocast, inference
