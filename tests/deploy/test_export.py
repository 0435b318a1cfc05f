"""Exports: each target is the model that was scored; a broken one is refused, and nothing of it stays on the disk."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny import chat_rows, write_jsonl

import tuneproof as tp
from tuneproof.deploy.export import EXPORTS, export
from tuneproof.deploy.export.subject import Subject
from tuneproof.deploy.export.to_gguf import in_pairs
from tuneproof.deploy.export.to_ollama import evaluated, go_template, parts_of
from tuneproof.errors import CheckError, ConfigError
from tuneproof.run import Run
from tuneproof.sources.gguf_folder import _natural_order
from tuneproof.sources.gguf_header import read_header

pytestmark = pytest.mark.usefixtures("one_thread", "one_aside")
Finished = Callable[[str, str], Path]
CLASSES, CHAT = "text-classification", "instruction"


def quietly(line: str) -> None:
    pass


def exported(run: Path, to: Any, folder: Path, precision: str | None = None) -> Any:
    return export(Run.open(run), run.name, to, folder, precision, quietly)


GOOD = [
    (CLASSES, "lora", "merged", "fp32", 1e-2),
    (CLASSES, "lora", "peft", "fp32", 1e-2),
    (CLASSES, "lora", "onnx", "fp32", 1e-3),
    (CLASSES, "full", "merged", "fp16", 1e-2),
    ("multi-label-classification", "full", "onnx", "fp32", 1e-3),
    ("text-regression", "lora", "onnx", "fp32", 1e-3),
    ("token-classification", "full", "merged", "fp32", 1e-2),
    ("token-classification", "lora", "onnx", "fp32", 1e-3),
    ("question-answering", "lora", "merged", "fp32", 1e-2),
    ("seq2seq", "lora", "merged", "fp32", 1e-2),
    ("embeddings", "full", "merged", "fp32", 1e-2),
    (CHAT, "lora", "ollama", "f32", 1e-2),
    (CHAT, "full", "vllm", "fp32", 1e-2),
]


@pytest.mark.parametrize(("task", "method", "to", "precision", "limit"), GOOD)
def test_an_export_is_the_model_that_was_scored(
    finished: Finished, tmp_path: Path, task: str, method: str, to: str, precision: str, limit: float
) -> None:
    """ACCEPTANCE 20, in the program that runs it, in a process without tuneproof."""
    run = finished(task, method)
    done = exported(run, to, tmp_path / "out", precision)
    assert done.parity.agreement == 1.0 and done.parity.distance <= limit
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    told = json.loads((done.folder / "export.json").read_text())
    assert told["name"] == run.name and told["parity"]["rows"] == done.parity.rows > 0
    for name, digest in told["files"].items():
        assert hashlib.sha256((done.folder / name).read_bytes()).hexdigest() == digest, name
    card = (done.folder / "README.md").read_text()
    assert "95% interval" in card and "Limits" in card and "Licence chain" in card and "agrees in 100.00%" in card


def test_temperature_and_generation_travel_along(finished: Finished, tmp_path: Path) -> None:
    run = Run.open(finished(CLASSES, "lora"))
    done = exported(run.path, "merged", tmp_path / "classes")
    assert json.loads((done.folder / "calibration.json").read_text()) == run.calibration
    assert json.loads((done.folder / "export.json").read_text())["temperature"] == run.temperature
    subject = Subject.open(run, "x")
    assert json.loads((done.folder / "config.json").read_text())["id2label"]["0"] == subject.labels[0]


@pytest.mark.parametrize("task", [CLASSES, "multi-label-classification", "text-regression"])
def test_a_graph_says_what_the_model_says(finished: Finished, tmp_path: Path, task: str) -> None:
    """Probabilities at the temperature of the report, or the number in the unit of the file."""
    import onnxruntime

    done = exported(finished(task, "full"), "onnx", tmp_path / "out")
    subject = Subject.open(Run.open(finished(task, "full")), "x")
    session = onnxruntime.InferenceSession(str(done.folder / "model.onnx"))
    for probe in subject.probes[:8]:
        ids = np.array([probe.ids], dtype=np.int64)
        _, found = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        said = subject.predictor([dict(probe.asked)])[0]
        if task == "text-regression":
            assert float(found[0, 0]) == pytest.approx(said.value, rel=1e-4, abs=1e-4)
        else:
            shares = dict(zip(subject.labels, found[0].tolist(), strict=True))
            assert {name: shares[name] for name in said.probabilities} == pytest.approx(said.probabilities, abs=1e-5)


# -- broken ones


def transposed(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = next(n for n, w in weights.items() if w.ndim == 2 and w.shape[0] == w.shape[1])
    save_file({**weights, name: np.ascontiguousarray(weights[name].T)}, file, metadata={"format": "pt"})


def edit(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(change(json.loads(file.read_text()))))

    return damage


def swapped(one: str, other: str) -> Callable[[Any], Any]:
    def change(told: Any) -> Any:
        known = told["model"]["vocab"]
        return {**told, "model": {**told["model"], "vocab": {**known, one: known[other], other: known[one]}}}

    return change


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return damage


def other_rope(folder: Path) -> None:
    file = folder / "model.gguf"
    raw = file.read_bytes()
    at = raw.index(b"rope.freq_base") + len(b"rope.freq_base") + 4
    assert struct.unpack_from("<f", raw, at) == (10000.0,)
    file.write_bytes(raw[:at] + struct.pack("<f", 500.0) + raw[at + 4 :])


def rows_in_natural_order(folder: Path) -> None:
    """As if query rows were stored as transformers has them."""
    file = folder / "model.gguf"
    block = read_header(file).tensors["blk.0.attn_q.weight"]
    raw = bytearray(file.read_bytes())
    rows = np.frombuffer(bytes(raw[block.offset : block.offset + block.size]), np.float32).reshape(block.shape)
    raw[block.offset : block.offset + block.size] = np.ascontiguousarray(_natural_order(rows, 2)).tobytes()
    file.write_bytes(raw)


def transposed_graph(folder: Path) -> None:
    import onnx

    file = str(folder / "model.onnx")
    graph = onnx.load(file)
    for tensor in graph.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim == 2 and array.shape[0] == array.shape[1] > 8:
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array.T), tensor.name))
            break
    else:
        raise AssertionError("no square weight")
    onnx.save(graph, file)


BROKEN: dict[str, tuple[str, str, str, str, Callable[[Path], None], str]] = {
    "a transposed weight": (CLASSES, "full", "merged", "fp32", transposed, r"first part that differs is layer 1 of 3"),
    "a transposed weight in the graph": (CLASSES, "lora", "onnx", "fp32", transposed_graph, r"the weight .*layer\.0"),
    "labels in another order": (
        CLASSES,
        "full",
        "merged",
        "fp32",
        edit("config.json", lambda c: {**c, "id2label": {"0": "positive", "1": "negative"}}),
        r'classes have other names or another order: "negative" is "positive"',
    ),
    "another tokenizer": (
        CLASSES,
        "full",
        "merged",
        "fp32",
        edit("tokenizer.json", swapped("the", "it")),
        r"token \d+ is '(it|the)', and the scored model read '(it|the)'",
    ),
    "wrong scaling": (
        CLASSES,
        "lora",
        "peft",
        "fp32",
        edit("adapter_config.json", lambda c: {**c, "lora_alpha": 2 * c["lora_alpha"]}),
        r"a logit is off by .*layer 1 of 3",
    ),
    "wrong scaling of a chat": (
        CHAT,
        "lora",
        "peft",
        "fp32",
        edit("adapter_config.json", lambda c: {**c, "lora_alpha": c["lora_alpha"] / 4}),
        r"a logit is off by .*layer 1 of 2",
    ),
    "a wrong template": (
        CHAT,
        "full",
        "merged",
        "fp32",
        replaced("chat_template.jinja", "<|im_end|>' + '\n'", "<|im_end|>'"),
        r"token \d+ is .*the tokenizer or template differs",
    ),
    "a wrong stop": (
        CHAT,
        "full",
        "merged",
        "fp32",
        edit("generation_config.json", lambda g: {**g, "eos_token_id": [0]}),
        r"eos_token_id \[0\]",
    ),
    "sampling in vLLM": (
        CHAT,
        "full",
        "vllm",
        "fp32",
        edit("generation_config.json", lambda g: {k: v for k, v in g.items() if k != "temperature"}),
        r"vLLM would sample",
    ),
    "another base of the rotary embedding": (CHAT, "full", "gguf", "f32", other_rope, r"layer 1 of 2"),
    "query rows in another order": (CHAT, "lora", "gguf", "f32", rows_in_natural_order, r"layer 1 of 2"),
    "a wrong Modelfile": (
        CHAT,
        "lora",
        "ollama",
        "f32",
        replaced("Modelfile", "<|im_start|>user\\n", "<|im_start|>user "),
        r"Ollama would render the test row of line \d+ otherwise",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_export_is_refused_and_leaves_nothing(finished: Finished, tmp_path: Path, case: str) -> None:
    task, method, to, precision, damage, said = BROKEN[case]
    whole = EXPORTS[to]

    def build(subject: Subject, folder: Path, chosen: str) -> None:
        whole.build(subject, folder, chosen)
        damage(folder)

    with pytest.raises(CheckError, match=said) as refused:
        exported(finished(task, method), dataclasses.replace(whole, build=build), tmp_path / "out", precision)
    assert refused.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("task", "method", "to", "said"),
    [
        (CLASSES, "full", "peft", "there is no adapter"),
        (CLASSES, "full", "gguf", "llama.cpp runs GPT-type models, and this is none: export it to onnx or merged"),
        (CLASSES, "full", "ollama", "llama.cpp runs GPT-type models, and this is none: export it to onnx or merged"),
        (CLASSES, "full", "vllm", "vLLM is for GPT-type models"),
        (CHAT, "full", "onnx", "without a cache .*: use gguf"),
        ("seq2seq", "lora", "onnx", "without a cache .*: export it to merged"),
        ("seq2seq", "lora", "gguf", "this is none: export it to merged"),
        ("question-answering", "lora", "onnx", "for labels and numbers: export it to merged"),
        (CHAT, "full", "onxn", 'no export to "onxn"'),
    ],
)
def test_what_a_target_cannot_carry_is_one_sentence(
    finished: Finished, tmp_path: Path, task: str, method: str, to: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        exported(finished(task, method), to, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_not_overwritten(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        exported(finished(CLASSES, "full"), "merged", tmp_path)


WRITES_FOR_EVER = """
import dataclasses, sys, time
from pathlib import Path
from tuneproof.deploy.export import EXPORTS, export
from tuneproof.run import Run
run, folder = map(Path, sys.argv[1:])
slow = dataclasses.replace(EXPORTS["merged"], build=lambda *_: (print("writing", flush=True), time.sleep(600)))
export(Run.open(run), run.name, slow, folder, None, lambda line: None)
"""


def test_what_a_killed_export_left_is_removed_by_the_next(finished: Finished, tmp_path: Path) -> None:
    """And what another process is writing is left alone."""
    run, out = finished(CLASSES, "full"), tmp_path / "out"
    writers = []
    for _ in range(2):
        command = [sys.executable, "-c", WRITES_FOR_EVER, str(run), str(out)]
        writers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    try:
        for writer in writers:
            while "writing" not in (writer.stdout.readline() if writer.stdout else "writing"):
                assert writer.poll() is None
        drafts = set(tmp_path.iterdir())
        assert len(drafts) == 2
        writers[0].kill()
        writers[0].wait()
        exported(run, "merged", out)
        assert out in tmp_path.iterdir() and len(drafts & set(tmp_path.iterdir())) == 1
        writers[1].kill()
        writers[1].wait()
        shutil.rmtree(out)
        exported(run, "merged", out)
        assert list(tmp_path.iterdir()) == [out]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_a_quantised_export_is_judged_by_its_answers(tmp_path: Path, tiny_llama: Path) -> None:
    """f16 and bf16 pass on 30 rows or more; broken it is worse; on fewer rows nothing can be shown."""
    file = write_jsonl(tmp_path / "chat.jsonl", chat_rows(240))
    options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "train_epochs": 1, "train_lr": 3e-3}
    options |= {"evaluate_answers": 1, "evaluate_max_new_tokens": 4, "evaluate_precision": "fp32"}
    run = tp.tune(file, runs=tmp_path / "runs", model_name=str(tiny_llama), method_name="full", **options).run
    done = exported(run.path, "gguf", tmp_path / "out")
    quality = done.parity.quality
    assert quality is not None and quality.holds and quality.n >= 30 and -0.01 < quality.bound < 0.01

    def build(subject: Subject, folder: Path, precision: str) -> None:
        EXPORTS["gguf"].build(subject, folder, precision)
        other_rope(folder)

    with pytest.raises(CheckError, match=r"not shown to be worse by less than 0\.01.*--precision f32"):
        exported(run.path, dataclasses.replace(EXPORTS["gguf"], build=build), tmp_path / "worse")
    rounded = exported(run.path, "merged", tmp_path / "rounded", "bf16").parity
    assert rounded.quality is not None and rounded.quality.holds and rounded.quality.n >= 30
    splits = shutil.copytree(run.path, tmp_path / "short")
    short = Run.open(splits)
    few = dataclasses.replace(short.splits, test=short.splits.test.take(range(10)))
    short.write_data(few, short.schema, short.ledger, short.manifest)
    with pytest.raises(CheckError, match="10 test rows are too few"):
        exported(splits, "gguf", tmp_path / "few")


def test_what_rounding_does_is_no_difference(finished: Finished, tmp_path: Path) -> None:
    """Weights of an int8 graph are found though they were rounded, and one that is another is named."""
    import onnx

    subject = Subject.open(Run.open(finished(CLASSES, "full")), "x")
    EXPORTS["onnx"].build(subject, tmp_path, "int8")
    graph = EXPORTS["onnx"].run(subject, tmp_path)
    assert graph.astray(subject, subject.probes[0], rounded=True) == "the weights agree to what rounding does"
    loaded = onnx.load(str(tmp_path / "model.onnx"))
    tensor = next(t for t in loaded.graph.initializer if t.name.endswith("_quantized"))
    tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(loaded, str(tmp_path / "model.onnx"))
    assert "the first part that differs is the weight" in graph.astray(subject, subject.probes[0], rounded=True)


# -- parts


def test_query_rows_in_pairs_and_back() -> None:
    rows = np.arange(48, dtype=np.float32).reshape(12, 4)
    assert (_natural_order(in_pairs(rows, 2), 2) == rows).all() and (in_pairs(rows, 2) != rows).any()


# As SmolLM2's: a system prompt of its own where none is given.
DEFAULT_SYSTEM = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\nBe brief<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHATS = [
    [("user", "a b")],
    [("system", "s"), ("user", "a\n{{b}}")],
    [("user", "a"), ("assistant", 'c "q"'), ("user", "d")],
    [("system", "s"), ("user", "a"), ("assistant", "c"), ("user", "d"), ("assistant", "e"), ("user", "f")],
]


def test_ollamas_template_says_what_the_models_own_says(tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    for template in (tokenizer.chat_template, DEFAULT_SYSTEM):
        tokenizer.chat_template = template
        parts = parts_of(tokenizer)
        for chat in CHATS:
            messages = [{"role": role, "content": content} for role, content in chat]
            told = messages
            if parts.default and messages[0]["role"] != "system":
                told = [{"role": "system", "content": parts.default}, *messages]
            ours = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            assert evaluated(go_template(parts), told) == ours


def test_a_template_that_is_not_made_of_parts_is_refused(tiny_llama: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
    with pytest.raises(CheckError, match="cannot be written as Ollama's"):
        parts_of(tokenizer)
    with pytest.raises(CheckError, match="not written by this export"):
        evaluated("{{ range .Messages }}{{ .Content }}{{ end }} more", [])
