"""The gate before any model folder is loaded: only weights, numbers and text pass; programs do not.

    sums = admit(Path("my-model"))        # {"config.json": "9f86d0…", "model.safetensors": "ab12…"}, or ModelError

Checked without importing torch or transformers: every file of the folder (programs and Python object files are
refused, by name and by content), the safetensors headers, config.json and the other settings, the chat template.
Files that are neither needed nor dangerous are left alone and not listed; a cache copies the listed ones only.
It deliberately does not scan object files for bad opcodes: such scanners are bypassed every month. It refuses them.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from tuneproof.errors import ModelError
from tuneproof.sources import settings, tensors
from tuneproof.sources.template import TEMPLATE_LIMIT, check_template

WANTED = re.compile(
    r"(config|generation_config|tokenizer[A-Za-z0-9_.-]*|special_tokens_map|added_tokens|vocab[A-Za-z0-9_.-]*"
    r"|adapter_config|preprocessor_config|[A-Za-z0-9_.-]+\.safetensors\.index)\.json"
    r"|vocab[A-Za-z0-9_.-]*\.txt|merges\.txt|[A-Za-z0-9_.-]+\.model|[A-Za-z0-9_.-]+\.safetensors"
    r"|chat_template\.jinja|README\.md|LICENSE(\.txt|\.md)?"
)
PROGRAMS = {".py", ".pyc", ".pyo", ".pyd", ".pyw", ".pyx", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".js"}
OBJECTS = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".hdf5", ".keras", ".joblib", ".npy", ".npz"}
OBJECTS |= {".dill", ".cloudpickle", ".mar", ".nemo", ".t7", ".pb", ".p"}
MAGIC = (
    (re.compile(rb"\x80[\x00-\x05]"), "holds Python objects"),
    (re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)"), "is a zip archive, as Python object files are"),
    (re.compile(rb"\x89HDF\r\n\x1a\n"), "is an HDF5 file"),
    (re.compile(rb"\x93NUMPY"), "is a numpy file"),
    (re.compile(rb"\x1f\x8b|BZh[1-9]|\xfd7zXZ\x00|7z\xbc\xaf|\x28\xb5\x2f\xfd"), "is a compressed archive"),
    (re.compile(rb"\x7fELF|MZ.\x00|\xcf\xfa\xed\xfe", re.DOTALL), "is a program"),
    (re.compile(rb"(?s:.{257})ustar"), "is a tar archive"),
    (re.compile(rb"\(?c(os|posix|nt|builtins|__builtin__|subprocess|sys)\n"), "holds Python objects"),
)
FILE_LIMIT = 5_000  # files of one folder
TEXT_LIMIT = 128 * 1024 * 1024  # bytes of one text or JSON file; the largest tokenizer.json known has 35 MB
IGNORED_FOLDERS = {".git"}  # never opened by a loader, full of object files by nature


def wanted(name: str) -> bool:
    """Whether a file of that name is part of a model and goes into the cache."""
    return WANTED.fullmatch(name) is not None


def admit(folder: Path) -> Mapping[str, str]:
    """The sha256 of every model file in ``folder`` once all checks hold; ModelError names the first file that fails."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder.", "Name the folder that holds config.json and *.safetensors.")
    if folder.is_symlink():
        folder = folder.resolve()  # the user named it; links inside are another matter
    names = [path.name for path in _walk(folder) if path.parent == folder and wanted(path.name)]
    _complete(folder, names)
    headers = {name: tensors.read_header(folder / name) for name in names if name.endswith(".safetensors")}
    for name in names:
        path = folder / name
        if name.endswith(".json"):
            settings.check(path, frozenset(headers), headers)
        elif name == "chat_template.jinja":
            check_template(_text(path, TEMPLATE_LIMIT), str(path))
        elif name.endswith((".txt", ".md", ".jinja")):
            _text(path, TEXT_LIMIT)
    return {name: digest(folder / name) for name in sorted(names)}


def digest(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path) -> list[Path]:
    """Every regular file below ``folder``, each past the name and content check."""
    files: list[Path] = []
    todo = [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = Path(entry.path)
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    raise ModelError(f"{path} is a link to another place.", "Copy the file itself into the folder.")
                if stat.S_ISDIR(mode):
                    if entry.name not in IGNORED_FOLDERS:
                        todo.append(path)
                    continue
                if not stat.S_ISREG(mode):
                    raise ModelError(f"{path} is not an ordinary file.", "Remove it from the folder.")
                _harmless(path)
                files.append(path)
                if len(files) > FILE_LIMIT:
                    raise ModelError(f"{folder} holds more than {FILE_LIMIT:,} files.", "Name the model's own folder.")
    return files


def _harmless(path: Path) -> None:
    """Refuse a program or an object file, whatever it is called."""
    suffixes = {suffix.lower() for suffix in path.suffixes}
    if suffixes & PROGRAMS:
        raise ModelError(
            f"{path} is a program, and a model folder with programs is never loaded.",
            "Use a model of an architecture that transformers has built in, or remove the file if nothing needs it.",
        )
    if suffixes & OBJECTS:
        raise ModelError(
            f"{path} is of a kind that can run code when it is opened.",
            "Use the safetensors files of the same model and remove this one.",
        )
    with path.open("rb") as file:
        head = file.read(512)
    if path.suffix == ".safetensors" and head[8:9] == b"{":
        return  # its first bytes are a length and may be anything; tensors.read_header decides
    for pattern, what in MAGIC:
        if pattern.match(head):
            raise ModelError(f"{path} {what}, whatever its name says.", "Remove it, or download the model again.")


def _complete(folder: Path, names: list[str]) -> None:
    if "adapter_config.json" in names:
        if "adapter_model.safetensors" not in names:
            raise ModelError(f"{folder} has no adapter_model.safetensors.", "Save the adapter again with safetensors.")
        return
    if "config.json" not in names:
        raise ModelError(f"{folder} has no config.json, so it is not a model.", "Name the folder that holds it.")
    if not any(name.endswith(".safetensors") for name in names):
        raise ModelError(
            f"{folder} has no *.safetensors file, and no other kind of weights is loaded.",
            "Choose a model that is published as safetensors.",
        )


def _text(path: Path, limit: int) -> str:
    size = path.stat().st_size
    if size > limit:
        raise ModelError(f"{path} has {size:,} bytes, more than the limit of {limit:,}.", "Use the original file.")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text (byte {error.start:,}).", "Use the original file.") from error
    if "\0" in text:
        raise ModelError(f"{path} has zero bytes in it, so it is not text.", "Use the original file.")
    return text
