"""Exports that are folders of transformers: merged weights, an adapter, and merged weights as vLLM reads them.

build_merged(subject, folder, "fp32")       # config.json, model.safetensors, tokenizer, template, generation settings

Merging adds an adapter's product to the weights it stands beside, in fp32. Nothing is written that was not scored.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn import Module
from transformers import PreTrainedModel

from tuneproof.deploy.export.runtimes import TransformersOutside
from tuneproof.deploy.export.subject import Subject
from tuneproof.errors import CheckError
from tuneproof.methods import METHODS

SAVED = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_merged(subject: Subject, folder: Path, precision: str) -> None:
    """One ordinary model, whatever method tuned it."""
    model = merged(subject.fresh()).to(SAVED[precision])
    model.save_pretrained(folder)
    accompany(subject, folder)


def merged(model: Module) -> PreTrainedModel:
    """``model`` with its adapter in its weights; an ordinary model stays as it is."""
    if isinstance(model, PeftModel):
        model = model.merge_and_unload()
    assert isinstance(model, PreTrainedModel)
    return model


def cannot_merge(subject: Subject) -> str:
    """Why the adapter cannot become part of the weights; "" where it can, or where there is none."""
    config = adapter(subject)
    if config.get("peft_type") in ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING"):
        return f"{config['peft_type'].lower().replace('_', ' ')} adds inputs to the model, which no weights can hold"
    name = subject.run.config.method.name
    return "" if METHODS[name].merges else f"what {name} learnt cannot be added to the pretrained weights exactly"


def adapter(subject: Subject) -> dict[str, Any]:
    """The adapter's settings; {} where there is no adapter."""
    file = subject.run.model / "adapter_config.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def accompany(subject: Subject, folder: Path) -> None:
    """Tokenizer, template, generation settings and temperature, as they were when the model was scored."""
    predictor = subject.predictor
    predictor.encoder.save(folder)
    if (folder / "chat_template.jinja").is_file():
        (folder / "chat_template.jinja").write_text(template(predictor.encoder), encoding="utf-8")
    predictor.answer.finish(folder, predictor.encoder, subject.generation)
    if (subject.run.model / "calibration.json").is_file():
        shutil.copyfile(subject.run.model / "calibration.json", folder / "calibration.json")


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer puts a begin-of-sequence token before any text."""
    return tokenizer.bos_token_id is not None and tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id


def template(encoder: Any) -> str:
    """The chat template; where the tokenizer wrote the BOS that training saw, the template does.

    Servers render a dialogue and then tokenise it without special tokens, so a BOS that is not in the template is lost.
    """
    own = encoder.tokenizer
    rendered = own.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    lost = adds_bos(own) and not rendered.startswith(own.bos_token)
    return f"{{{{ bos_token }}}}{own.chat_template}" if lost else str(own.chat_template)


def run_merged(subject: Subject, folder: Path) -> TransformersOutside:
    return TransformersOutside(folder, subject)


# -- the adapter alone


def no_adapter(subject: Subject) -> str:
    return "" if subject.wrapped else "every weight was tuned in place, so there is no adapter: export it merged"


def build_peft(subject: Subject, folder: Path, precision: str) -> None:
    """The adapter as it was saved, and the configuration of the whole: an adapter alone does not name its classes."""
    for file in subject.run.model.iterdir():
        if file.is_file() and file.name != "README.md":
            shutil.copyfile(file, folder / file.name)
    config: Any = subject.predictor.model.config
    config.save_pretrained(folder)


def run_peft(subject: Subject, folder: Path) -> TransformersOutside:
    return TransformersOutside(folder, subject, subject.base)


# -- for vLLM


def build_vllm(subject: Subject, folder: Path, precision: str) -> None:
    """Merged weights; greedy decoding written as vLLM understands it.

    vLLM takes its defaults from generation_config.json, but knows no ``do_sample``: without a temperature of 0 it would
    sample at temperature 1 from a model whose scored answers were greedy.
    """
    build_merged(subject, folder, precision)
    file = folder / "generation_config.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**told, "temperature": 0.0}, indent=2) + "\n", encoding="utf-8")


def check_generation(subject: Subject, folder: Path) -> None:
    """CheckError unless the folder stops and decodes as the scored model did."""
    file = folder / "generation_config.json"
    if not file.is_file():
        raise CheckError("The export has no generation_config.json: it would not know where to stop.")
    told, how = json.loads(file.read_text(encoding="utf-8")), subject.generation
    stops = told.get("eos_token_id")
    stops = stops if isinstance(stops, list) else [stops]
    encoder: Any = subject.predictor.encoder
    wanted = {
        "eos_token_id": (sorted(encoder.stops), sorted(id for id in stops if id is not None)),
        "repetition_penalty": (how.repetition_penalty, told.get("repetition_penalty") or 1.0),
        "no_repeat_ngram_size": (how.no_repeat_ngram, told.get("no_repeat_ngram_size") or 0),
        "do_sample": (False, told.get("do_sample") or False),
    }
    for name, (ours, theirs) in wanted.items():
        if ours != theirs:
            raise CheckError(f"The export's generation_config.json has {name} {theirs}; the scored model had {ours}.")


VLLM_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def check_vllm(subject: Subject, folder: Path) -> str:
    """The files that vLLM opens, an architecture it can find by name, a template, and greedy defaults."""
    missing = [name for name in VLLM_FILES if not (folder / name).is_file()]
    if missing or not list(folder.glob("*.safetensors")):
        raise CheckError(f"The export lacks {', '.join(missing) or 'its weights'}, which vLLM opens.")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if len(config.get("architectures") or []) != 1:
        raise CheckError("The export's config.json does not name one architecture, by which vLLM chooses its code.")
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if not (folder / "chat_template.jinja").is_file() and not tokenizer.get("chat_template"):
        raise CheckError("The export has no chat template, and vLLM refuses to chat without one.")
    check_generation(subject, folder)
    told = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    if told.get("temperature") != 0.0:
        raise CheckError("vLLM would sample at temperature 1 where the scored model was greedy.")
    return "its layout is vLLM's; vLLM itself was not run"
