"""Checkpoints that exist whole or not at all, and from which training continues bit for bit.

    save(run.checkpoints, state, progress)        # ckpt/step-00000120/
    restore(run.checkpoints, state)               # the newest that verifies, or the one before

A checkpoint is a folder: ``model.safetensors`` (what trains), ``optim.safetensors``, ``state.json`` and, written
last, ``MANIFEST.json`` with size and sha256 of each. The folder is made under a temporary name, synced and renamed.
No pickle. Random states need no keeping: they are drawn from (seed, step, micro-batch).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tuneproof.errors import RunError
from tuneproof.run import as_os_error, sync_folder
from tuneproof.train.loop import State

SPARE = 2**16  # bytes for headers, state and manifest
WHOLE = "#"  # at the end of a name: a whole number, not a tensor
KEEP = 2  # verified checkpoints, beside the best


def trained(state: State) -> dict[str, Tensor]:
    """The parameters that train, by name; those among them whose time has not come yet."""
    held = {id(parameter) for group in state.optimizer.param_groups for parameter in group["params"]}
    return {name: parameter for name, parameter in state.model.named_parameters() if id(parameter) in held}


def save(folder: Path, state: State, facts: Mapping[str, Any]) -> Path:
    """Writes ``folder/step-<step>`` and forgets all but the newest two. OSError when the disk is full."""
    optimizer: dict[str, Tensor] = {}
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        for key, value in state.optimizer.state[parameter].items():
            if isinstance(value, Tensor):
                optimizer[f"{index}.{key}"] = value
            else:
                optimizer[f"{index}.{key}{WHOLE}"] = torch.tensor(value, dtype=torch.int64)
    record = {
        **facts,
        "step": state.step,
        "loss": float(state.loss).hex(),
        "units": state.units,
        "rows": state.rows,
        "tokens": state.tokens,
        "parts": state.parts,
    }
    tensors = {"model.safetensors": trained(state), "optim.safetensors": optimizer}
    path = write(folder, f"step-{state.step:08d}", tensors, record)
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    return path


def restore(folder: Path, state: State, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Puts the newest checkpoint that verifies into ``state``; its ``state.json``, or None when there is none.

    What a killed process left half written, and what does not verify, is removed.
    """
    for left in (*folder.glob(".tmp-*"), *folder.glob(".old-*")):
        shutil.rmtree(left)
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            record = verify(path)
        except RunError as error:
            older = any(other.name < path.name for other in folder.glob("step-*"))
            say(f"{error} Going back to {'the checkpoint before it' if older else 'the beginning'}.")
            shutil.rmtree(path)
            continue
        put(state, load_file(path / "model.safetensors"))
        stored = load_file(path / "optim.safetensors")
        held = [(one, group.get("fused")) for group in state.optimizer.param_groups for one in group["params"]]
        for index, (parameter, fused) in enumerate(held):
            prefix = f"{index}."
            state.optimizer.state[parameter] = {
                key.removeprefix(prefix).removesuffix(WHOLE): _as_held(parameter, key, value, bool(fused))
                for key, value in stored.items()
                if key.startswith(prefix)
            }
        state.step, state.units = record["step"], record["units"]
        state.rows, state.tokens, state.parts = record["rows"], record["tokens"], record.get("parts", 1)
        state.loss = torch.tensor(float.fromhex(record["loss"]), dtype=torch.float64)
        return record
    return None


def _as_held(parameter: Tensor, key: str, value: Tensor, fused: bool) -> Tensor | int:
    """What the optimizer had there: a number of Python's, or a tensor beside its parameter.

    A count of steps is no such tensor (torch keeps it where Python can read it) unless the update is fused.
    """
    if key.endswith(WHOLE):
        return int(value)
    return value if value.ndim == 0 and not fused else value.to(parameter.device)


def put(state: State, weights: Mapping[str, Tensor]) -> None:
    """``weights`` into the parameters that train; RunError when they are not the same ones."""
    own = trained(state)
    if own.keys() != weights.keys():
        raise RunError("The checkpoint holds other weights than this run trains; its plan.json was changed.")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(weights[name])


def write(folder: Path, name: str, tensors: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]) -> Path:
    """A folder ``name`` with these files, complete or absent; OSError when it cannot be written.

    An older one of that name is replaced, and stays when the new one cannot be put in its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, tensors)
    final, id = folder / name, uuid.uuid4().hex
    temporary, old = folder / f".tmp-{id}", folder / f".old-{id}"
    temporary.mkdir()
    try:
        for file, content in tensors.items():
            _save_tensors(content, temporary / file)
        (temporary / "state.json").write_text(json.dumps(record), encoding="utf-8")
        manifest = {
            file.name: {"bytes": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(temporary.iterdir())
        }
        (temporary / "MANIFEST.json").write_text(json.dumps(manifest), encoding="utf-8")
        for written in temporary.iterdir():
            _sync_file(written)
        sync_folder(temporary)
        if final.exists():
            final.rename(old)
        try:
            temporary.rename(final)
        except OSError:
            if old.exists():
                old.rename(final)
            raise
        sync_folder(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
    return final


def _check_space(folder: Path, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
    """OSError before anything is written when it would not fit: half a checkpoint helps nobody."""
    needed = sum(value.numel() * value.element_size() for content in tensors.values() for value in content.values())
    if shutil.disk_usage(folder).free < needed + SPARE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _save_tensors(content: Mapping[str, Tensor], file: Path) -> None:
    try:
        save_file(apart(content), file)
    except SafetensorError as error:
        raise as_os_error(error) or error from error


def apart(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, none sharing memory with another: the format has no word for that."""
    found: dict[str, Tensor] = {}
    places: set[int] = set()
    for key, value in content.items():
        tensor = value.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        found[key] = tensor.clone() if place in places else tensor
        places.add(place)
    return found


def verify(path: Path) -> dict[str, Any]:
    """The ``state.json`` of a whole and unchanged checkpoint; RunError otherwise."""
    try:
        manifest = json.loads((path / "MANIFEST.json").read_text(encoding="utf-8"))
        for name, entry in manifest.items():
            file = path / name
            if file.stat().st_size != entry["bytes"] or _sha256(file) != entry["sha256"]:
                raise RunError(f"The checkpoint {path.name} is damaged: {name} is not what was written.")
        record: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"The checkpoint {path.name} is damaged: {error}.") from error
    return record


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sync_file(file: Path) -> None:
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
