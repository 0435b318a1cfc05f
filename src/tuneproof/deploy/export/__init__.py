"""A copy of a tuned model for other programs, published only if it is the model that was scored. EXPORTS is the table.

    done = export(run, "reviews@7", "onnx", folder)         # CheckError: nothing was published, and why
    done.parity.distance                                    # 3.1e-06

An export is built in a folder aside, opened by the program that will run it, compared (see ``parity``), described, and
renamed into place. Adding a target is one file and one row. Nothing here serves a model.
"""

from __future__ import annotations

import dataclasses
import fcntl
import glob
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tuneproof.deploy.export import cards, folders, to_gguf, to_ollama, to_onnx
from tuneproof.deploy.export.aside import one_process
from tuneproof.deploy.export.parity import LIMITS, Parity, compare, limits
from tuneproof.deploy.export.runtimes import Runtime
from tuneproof.deploy.export.subject import Say, Subject
from tuneproof.errors import CheckError, ConfigError, nearest
from tuneproof.run import Run, disk_errors, sync_folder


def _nothing(subject: Subject, folder: Path) -> str:
    """No check beside parity."""
    return ""


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the table."""

    name: str
    what: str
    precisions: dict[str, str]  # precision -> key of LIMITS; the first is the default
    usage: str  # how to start it, with {folder} and {name}
    refuses: Callable[[Subject], str]  # why it cannot carry this model, or ""
    build: Callable[[Subject, Path, str], None]
    run: Callable[[Subject, Path], Runtime]  # what will run it
    check: Callable[[Subject, Path], str] = _nothing  # CheckError for what logits do not show; what else is to be told


def _no_writer(subject: Subject) -> str:
    if subject.auto != to_gguf.WRITERS:
        return f"vLLM is for GPT-type models, and this is none: {to_onnx.elsewhere(subject)}"
    return folders.cannot_merge(subject)


def _check_merged(subject: Subject, folder: Path) -> str:
    if subject.auto == to_gguf.WRITERS:
        folders.check_generation(subject, folder)
    return ""


EXPORTS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "merged",
            "an ordinary transformers folder, an adapter added to its weights",
            {"fp32": "fp32", "bf16": "half", "fp16": "half"},
            "python -c \"from transformers import pipeline; print(pipeline(model='{folder}')('a text'))\"",
            folders.cannot_merge,
            folders.build_merged,
            folders.run_merged,
            _check_merged,
        ),
        Target(
            "peft",
            "the adapter alone, for peft over the pretrained model",
            {"fp32": "fp32"},
            "python your_program.py  # as under Use above, the base model opened with the config.json of {folder}",
            folders.no_adapter,
            folders.build_peft,
            folders.run_peft,
            _check_merged,
        ),
        Target(
            "onnx",
            "a graph for onnxruntime, probabilities calibrated in it",
            {"fp32": "onnx fp32", "int8": "quantised"},
            "python -c \"import onnxruntime; onnxruntime.InferenceSession('{folder}/model.onnx')\"",
            to_onnx.refuses,
            to_onnx.build,
            to_onnx.run,
        ),
        Target(
            "gguf",
            "one file for llama.cpp",
            {"f16": "quantised", "q8_0": "quantised", "f32": "fp32"},
            "llama-server -m {folder}/model.gguf --jinja --temp 0",
            to_gguf.refuses,
            to_gguf.build,
            to_gguf.run,
            to_gguf.check,
        ),
        Target(
            "ollama",
            "the same file with a Modelfile",
            {"f16": "quantised", "q8_0": "quantised", "f32": "fp32"},
            "ollama create {name} -f {folder}/Modelfile",
            to_gguf.refuses,
            to_ollama.build,
            to_gguf.run,
            to_ollama.check,
        ),
        Target(
            "vllm",
            "merged weights with greedy defaults as vLLM reads them",
            {"fp32": "fp32", "bf16": "half", "fp16": "half"},
            "vllm serve {folder} --served-model-name {name}",
            _no_writer,
            folders.build_vllm,
            folders.run_merged,
            folders.check_vllm,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Exported:
    folder: Path
    parity: Parity


def target(name: str) -> Target:
    """The row called ``name``; ConfigError with the nearest name otherwise."""
    if name not in EXPORTS:
        hint = nearest(name, list(EXPORTS)) or f"Known: {', '.join(EXPORTS)}."
        raise ConfigError(f'There is no export to "{name}".', hint)
    return EXPORTS[name]


def default_place(source: Path, name: str, to: str, precision: str | None) -> Path:
    """Where an export goes that nobody gave a place: into its run, or, for a version, into the current folder."""
    told = f"{to}-{precision or next(iter(target(to).precisions))}"
    return Path(f"{name.replace('@', '-')}-{told}") if "@" in name else source / "export" / told


def export(
    run: Run, name: str, to: str | Target, folder: Path, precision: str | None = None, say: Say = print
) -> Exported:
    """``folder`` with the export, its card and export.json; CheckError, and no folder, where it is another model."""
    row = target(to) if isinstance(to, str) else to
    chosen = precision or next(iter(row.precisions))
    if chosen not in row.precisions:
        raise ConfigError(f'{row.name} has no precision "{chosen}".', f"It has: {', '.join(row.precisions)}.")
    if folder.exists():
        raise ConfigError(f"{folder} exists already.", "Remove it, or name another place: --output DIR")
    subject = Subject.open(run, name)
    why = row.refuses(subject)
    if why:
        raise ConfigError(f"{name} cannot be exported to {row.name}: {why}.")
    with disk_errors(folder), one_process(), _draft(folder) as draft:
        parity = _made(subject, row, chosen, draft, folder, say)
        draft.rename(folder)
        sync_folder(folder.parent)
    return Exported(folder, parity)


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """The system frees the lock of a dead process."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(handle)


@contextmanager
def _draft(folder: Path) -> Iterator[Path]:
    """An empty folder beside ``folder``, to be renamed; what killed writers left of the same export is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        with _locked(folder.parent):  # nobody meets a draft that has no lock yet
            for left in folder.parent.glob(f".{glob.escape(folder.name)}-*.tmp"):
                with suppress(BlockingIOError), _locked(left, fcntl.LOCK_NB):  # or somebody is writing it
                    shutil.rmtree(left)
            draft = folder.parent / f".{folder.name}-{secrets.token_hex(4)}.tmp"
            draft.mkdir()
            held.enter_context(_locked(draft))
        held.callback(shutil.rmtree, draft, ignore_errors=True)
        yield draft


def _whole(row: Target, precision: str) -> str:
    """Which precision of this target rounds nothing, where another one was asked for, and which rounds less."""
    whole = next(name for name, kind in row.precisions.items() if LIMITS[kind].exact)
    less = "; rounded less: --precision fp16" if precision == "bf16" else ""
    return "" if precision == whole else f" Without rounding its weights: --precision {whole}{less}"


def _same_tokenizer(subject: Subject, draft: Path) -> None:
    """Where no row is a plain text that the export can be asked to read, its tokenizer has to be the same file."""
    if any(subject.asked_ids(probe) is not None for probe in subject.probes):
        return
    ours, theirs = (folder / "tokenizer.json" for folder in (subject.run.model, draft))
    if not theirs.is_file() or ours.read_bytes() != theirs.read_bytes():
        raise CheckError("The export's tokenizer.json is not the one that the model was scored with.")


def _made(subject: Subject, row: Target, precision: str, draft: Path, folder: Path, say: Say) -> Parity:
    """Built, compared and described; CheckError with the reason where it is not the model that was scored."""
    say(f"Writing {subject.name} as {row.name} ({precision}).")
    row.build(subject, draft, precision)
    say(f"Comparing it with the model that was scored, on {len(subject.probes)} stored test rows.")
    _same_tokenizer(subject, draft)
    parity = compare(subject, row.run(subject, draft), limits(row.precisions[precision], subject.writes))
    shutil.rmtree(draft / ".read-back", ignore_errors=True)
    if not parity.holds:
        raise CheckError(
            f"{subject.name} as {row.name} ({precision}) is not the model that was scored: {parity.reason}.",
            f"Nothing was published.{_whole(row, precision)}",
        )
    also = row.check(subject, draft)
    parity = dataclasses.replace(parity, notes=(*filter(None, [also]), *parity.notes))
    told = cards.about(subject, row.name, precision, parity, draft)
    usage = row.usage.format(folder=folder, name=subject.name.replace("@", "-"))
    (draft / "README.md").write_text(cards.card(subject, told, usage), encoding="utf-8")
    told["files"] = cards.about(subject, row.name, precision, parity, draft)["files"]
    (draft / "export.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return parity
