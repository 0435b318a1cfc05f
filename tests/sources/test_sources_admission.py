"""Admission lets an ordinary folder pass and refuses hostile ones before transformers is imported."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneproof import sources
from tuneproof.errors import ModelError
from tuneproof.sources.settings import MODEL_TYPES
from tuneproof.sources.tensors import HEADER_LIMIT, read_header

Spoil = Callable[[Path], object]


def edit_json(path: Path, **changes: object) -> None:
    """Add or replace keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def config(**changes: object) -> Spoil:
    return lambda folder: edit_json(folder / "config.json", **changes)


def tokenizer(**changes: object) -> Spoil:
    return lambda folder: edit_json(folder / "tokenizer_config.json", **changes)


def file(name: str, content: bytes | str) -> Spoil:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def header(change: Callable[[dict[str, dict[str, object]]], object]) -> Spoil:
    """Rewrite the header of model.safetensors, keeping the numbers."""

    def write(folder: Path) -> None:
        raw = (folder / "model.safetensors").read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        table = json.loads(raw[8 : 8 + size])
        table.pop("__metadata__", None)
        change(table)
        new = json.dumps(table).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + size :])

    return write


def raw_header(make: Callable[[bytes], bytes]) -> Spoil:
    return lambda folder: (folder / "model.safetensors").write_bytes(make((folder / "model.safetensors").read_bytes()))


def shift(table: dict[str, dict[str, object]], begin: int, end: int) -> None:
    names = sorted(table, key=lambda name: table[name]["data_offsets"])  # type: ignore[arg-type,return-value]
    first, last = table[names[1]]["data_offsets"]  # type: ignore[misc]
    table[names[1]]["data_offsets"] = [first + begin, last + end]


def first(table: dict[str, dict[str, object]], **changes: object) -> None:
    table[min(table)].update(changes)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    return buffer.getvalue()


def template(text: str) -> Spoil:
    return file("chat_template.jinja", text)


def index(table: object) -> Spoil:
    return file("model.safetensors.index.json", json.dumps({"weight_map": table}))


def adapter(**changes: object) -> Spoil:
    def write(folder: Path) -> None:
        shutil.copy(folder / "model.safetensors", folder / "adapter_model.safetensors")
        content = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "minilm-l6", **changes}
        (folder / "adapter_config.json").write_text(json.dumps(content), "utf-8")

    return write


HOSTILE: dict[str, Spoil] = {
    "auto_map": config(auto_map={"AutoModel": "modeling_evil.Evil"}),
    "auto_map empty": config(auto_map={}),
    "auto_map nested": config(text_config={"auto_map": {"AutoConfig": "evil/repo--x.Y"}}),
    "auto_map in a list": config(parts=[{"inner": [{"auto_map": {"AutoModel": "x.Y"}}]}]),
    "auto_map of the tokenizer": tokenizer(auto_map={"AutoTokenizer": ["x.Y", None]}),
    "attention kernel": config(_attn_implementation_internal="evil/kernel"),
    "attention kernel, public key": config(attn_implementation="evil/kernel"),
    "attention kernel per part": config(attn_implementation={"text_config": "evil/kernel"}),
    "attention implementation": config(_attn_implementation="flash"),
    "nested attention": config(text_config={"_attn_implementation": "x/y"}),
    "trust flag": config(trust_remote_code=True),
    "nested trust flag": config(backbone_config={"trust_remote_code": True}),
    "custom pipelines": config(custom_pipelines={"x": {"impl": "evil.Pipe"}}),
    "custom generate": file("generation_config.json", '{"custom_generate": "evil/repo"}'),
    "backbone": config(backbone="evil/repo"),
    "packed weights": config(quantization_config={"quant_method": "evil"}),
    "unknown architecture": config(model_type="evil"),
    "nested unknown architecture": config(text_config={"model_type": "evil"}),
    "no architecture": config(model_type=None),
    "too many layers": config(num_hidden_layers=100_000),
    "layers as text": config(num_hidden_layers="2"),
    "layers as truth": config(num_hidden_layers=True),
    "negative width": config(hidden_size=-1),
    "broken width": config(hidden_size=16.5),
    "huge vocabulary": config(vocab_size=10**12),
    "huge product": config(vocab_size=2_000_000, hidden_size=65_536),
    "strange dtype": config(dtype="load"),
    "architectures with a path": config(architectures=["evil/repo--Model"]),
    "tokenizer class with a path": tokenizer(tokenizer_class="evil/repo--Tok"),
    "vocabulary elsewhere": tokenizer(vocab_file="/etc/passwd"),
    "tokenizer elsewhere": tokenizer(tokenizer_file="../../secret.json"),
    "not a number": file("config.json", '{"model_type": "bert", "x": NaN}'),
    "config names a key twice": file("config.json", '{"model_type": "evil", "model_type": "bert"}'),
    "config is a list": file("config.json", "[]"),
    "config is nested deeply": file("config.json", '{"a":' * 5_000 + "1" + "}" * 5_000),
    "config is nested": file("config.json", '{"model_type": "bert", "a":' + '{"a":' * 40 + "1" + "}" * 41),
    "config is huge": file("config.json", '{"model_type": "bert", "a": "' + "x" * (5 << 20) + '"}'),
    "config is not UTF-8": file("config.json", b'{"model_type": "b\xff"}'),
    "program": file("modeling_evil.py", "import os"),
    "program in a subfolder": file("sub/modeling_evil.py", "import os"),
    "compiled program": file("x.pyc", b"\xa7\r\r\n"),
    "shared library": file("x.so", b"\x7fELF"),
    "program by content": file("notes.dat", b"\x7fELF\x02\x01"),
    "torch weights": file("pytorch_model.bin", b"anything"),
    "old torch weights in a subfolder": file("checkpoint-5/optimizer.pt", b"anything"),
    "training arguments": file("training_args.bin", b"x"),
    "keras": file("tf_model.h5", b"\x89HDF\r\n\x1a\n"),
    "joblib": file("x.joblib", b""),
    "numpy": file("x.npy", b"\x93NUMPY"),
    "numpy renamed": file("notes.dat", b"\x93NUMPY\x01\x00"),
    "objects renamed to safetensors": file("model.safetensors", pickle.dumps({"a": os.getcwd})),
    "objects renamed to text": file("vocab.txt", pickle.dumps([1, 2])),
    "objects of protocol 0": file("notes.dat", b"cos\nsystem\n(S'true'\ntR."),
    "objects under a name of their own": file("weights", pickle.dumps(print)),
    "zip renamed to safetensors": file("model.safetensors", zipped()),
    "zip renamed to a sentencepiece model": file("spiece.model", zipped()),
    "tar renamed": file("notes.dat", tarred()),
    "compressed": file("notes.dat", b"\x1f\x8b\x08"),
    "link to a file": lambda folder: (folder / "LICENSE").symlink_to("/etc/passwd"),
    "link to a folder": lambda folder: (folder / "sub").symlink_to("/etc"),
    "pipe": lambda folder: os.mkfifo(folder / "queue"),
    "header of 2 GB": raw_header(lambda raw: struct.pack("<Q", 2 << 30) + raw[8:]),
    "header just above the limit": raw_header(lambda raw: struct.pack("<Q", HEADER_LIMIT + 1) + raw[8:]),
    "header longer than the file": raw_header(lambda raw: struct.pack("<Q", len(raw)) + raw[8:]),
    "empty weights": file("model.safetensors", b""),
    "header is not JSON": file("model.safetensors", struct.pack("<Q", 3) + b"{x}"),
    "header is a list": file("model.safetensors", struct.pack("<Q", 2) + b"[]"),
    "header is nested deeply": file("model.safetensors", struct.pack("<Q", 400_000) + b'{"a":' * 80_000),
    "header names a tensor twice": file(
        "model.safetensors",
        struct.pack("<Q", 111) + (b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' * 2)[:-1].ljust(110) + b"}x",
    ),
    "overlapping tensors": header(lambda table: shift(table, -4, -4)),
    "gap between tensors": header(lambda table: shift(table, 4, 4)),
    "tensor beyond the end": header(lambda table: first(table, data_offsets=[0, 10**12])),
    "negative offset": header(lambda table: first(table, data_offsets=[-4, 0])),
    "offsets as text": header(lambda table: first(table, data_offsets=["0", "4"])),
    "unknown dtype": header(lambda table: first(table, dtype="PY")),
    "shape that does not fit": header(lambda table: first(table, shape=[1, 1])),
    "huge shape": header(lambda table: first(table, shape=[2**40, 2**40])),
    "negative shape": header(lambda table: first(table, shape=[-1, -64])),
    "extra key of a tensor": header(lambda table: first(table, code="x")),
    "tensor missing": header(lambda table: table.pop(max(table, key=lambda name: table[name]["data_offsets"]))),  # type: ignore[arg-type,return-value]
    "bytes after the last tensor": raw_header(lambda raw: raw + b"\x80\x02."),
    "weights cut off": raw_header(lambda raw: raw[:-10]),
    "index to another place": index({"x": "../../model.safetensors"}),
    "index to a missing file": index({"x": "other.safetensors"}),
    "index to a missing tensor": index({"x": "model.safetensors"}),
    "index without a table": index([]),
    "template reads private attributes": template("{{ ''.__class__.__mro__ }}"),
    "template reads private items": template("{{ x['__globals__'] }}"),
    "template filter attr": template("{{ x|attr('_x') }}"),
    "template includes": template("{% include '/etc/passwd' %}"),
    "template imports": template("{% import 'x' as y %}"),
    "template power": template("{{ 9**9**9 }}"),
    "template repeats": template("{{ 'a' * 100000000000 }}"),
    "template is broken": template("{% for x in %}"),
    "template is long": template("a" * 70_000),
    "template of the tokenizer": tokenizer(chat_template="{{ ().__class__ }}"),
    "template list of the tokenizer": tokenizer(chat_template=[{"name": "tool", "template": "{{ x.__init__ }}"}]),
    "template is a number": tokenizer(chat_template=[1]),
    "adapter with code": adapter(auto_mapping={"parent_library": "evil"}),
    "adapter of an absolute place": adapter(base_model_name_or_path="/home/evil/model"),
    "adapter of a relative place": adapter(base_model_name_or_path="../../model"),
    "adapter of a number": adapter(base_model_name_or_path=3),
    "adapter that saves a path": adapter(modules_to_save=["../x"]),
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "text with zero bytes": file("merges.txt", b"a b\0c"),
}


@pytest.fixture
def folder(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "model"))


@pytest.mark.parametrize("spoil", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_folders_are_refused(folder: Path, spoil: Spoil) -> None:
    spoil(folder)
    with pytest.raises(ModelError) as caught:
        sources.admit(folder)
    assert str(folder) in caught.value.message or "adapter" in caught.value.message
    assert caught.value.message.count("\n") == 0 and caught.value.hint


def test_an_ordinary_folder_passes(folder: Path) -> None:
    sums = sources.admit(folder)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= sums.keys()
    assert all(len(value) == 64 for value in sums.values())


HARMLESS: dict[str, Spoil] = {
    "sentence-transformers": file("1_Pooling/config.json", "{}"),
    "modules": file("modules.json", "[]"),
    "git": file(".git/objects/pack/x.bin", b"\x80\x02."),
    "no attention key": config(
        _attn_implementation=None, attn_implementation="sdpa", _attn_implementation_autoset=True
    ),
    "null template": tokenizer(chat_template=None, vocab_file=None),
    "onnx is left alone": file("onnx/model.onnx", b"\x08\x06"),
    "adapter": adapter(),
    "template": template(
        "{%- if not messages is defined %}{{ raise_exception('no') }}{% endif %}{% for m in messages %}"
        "{% if loop.last %}{% continue %}{% endif %}{% generation %}{{ m.content | trim | tojson }}{% endgeneration %}"
        "{% endfor %}{{ strftime_now('%d') }}"
    ),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS.keys())
def test_harmless_files_do_not_matter(folder: Path, change: Spoil) -> None:
    change(folder)
    listed = sources.admit(folder)
    assert not any("/" in name or name.endswith(".onnx") or name == "modules.json" for name in listed)


def test_a_header_length_that_looks_like_objects_is_no_reason(folder: Path) -> None:
    """The first bytes of a safetensors file are a length: 0x0280 reads like the start of an object file."""
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'.ljust(0x0280)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"x")
    assert sources.admit(folder)


def test_shards_and_their_index(folder: Path) -> None:
    names = list(read_header(folder / "model.safetensors"))
    index(dict.fromkeys(names, "model.safetensors"))(folder)
    assert "model.safetensors.index.json" in sources.admit(folder)


def test_admission_is_light(folder: Path) -> None:
    """Neither torch nor transformers nor numpy is imported, and a sparse 1 GB file costs no memory."""
    size = 1 << 30
    head = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with (folder / "model.safetensors").open("wb") as sparse:
        sparse.write(struct.pack("<Q", len(head)) + head)
        sparse.truncate(8 + len(head) + size)
    code = (
        "import sys; from pathlib import Path; from tuneproof import sources\n"
        "sources.admit(Path(sys.argv[1]))\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
        "peak = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))\n"
        "assert int(peak.split()[1]) < 200_000, peak"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, timeout=120)


ADMITS_ALL = """
import resource, sys
from pathlib import Path
from tuneproof import sources
from tuneproof.errors import ModelError

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))  # nothing stays open either
passed = []
for folder in sorted(Path(sys.argv[1]).iterdir()):
    try:
        sources.admit(folder)
        passed.append(folder.name)
    except ModelError:
        pass
assert not passed, passed
assert not {"torch", "transformers", "numpy"} & set(sys.modules)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(peak.split()[1])
"""


def test_hostile_folders_are_refused_before_anything_heavy_is_imported(tiny_bert: Path, tmp_path: Path) -> None:
    """One process refuses all of them, without torch or transformers, in less than 200 MB."""
    assert len(HOSTILE) >= 60
    for number, spoil in enumerate(HOSTILE.values()):
        spoil(Path(shutil.copytree(tiny_bert, tmp_path / f"{number:03}")))
    said = subprocess.run(
        [sys.executable, "-c", ADMITS_ALL, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert said.returncode == 0, said.stderr
    assert int(said.stdout) < 200_000


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"):
        sources.admit(tmp_path / "nowhere")


def test_every_admitted_architecture_is_built_in() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert set(CONFIG_MAPPING_NAMES) >= MODEL_TYPES
