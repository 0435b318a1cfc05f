"""The peer's side: trl's SFTTrainer or transformers' Trainer on rows that come as ids, in its own environment.

    .venv-peers/bin/python benchmarks/speed/theirs.py JOB.json

JOB says the model, the rows, the updates and how the peer is configured. The trainer's own loop runs; it waits for the
driver before the first update and after each round of updates, so that both sides work in turn.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from channel import Channel, peak
from datasets import Dataset
from judge import judge
from transformers import Trainer, TrainerCallback, TrainingArguments


class Rounds(TrainerCallback):
    """Tells the seconds of every ``steps`` updates, fetching their batches included, and waits in between."""

    def __init__(self, channel: Channel, steps: int) -> None:
        self.channel, self.steps = channel, steps

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.channel.tell(ready=True)
        self.channel.wait()
        self.began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.steps == 0:
            self.channel.tell(seconds=time.perf_counter() - self.began, step=state.global_step)
            self.channel.wait()
            self.began = time.perf_counter()


def main() -> None:
    channel = Channel()
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    trainer = (chat if job["kind"] == "chat" else classes)(job, Rounds(channel, job["steps_of_round"]))
    trainer.train()
    high = peak()
    found = judge(trainer.model.eval().float(), job["judged"])
    channel.tell(**found, peak=high, versions=versions())


def chat(job: dict[str, Any], rounds: Rounds) -> Trainer:
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = [{"input_ids": row["ids"], "completion_mask": [int(on) for on in row["loss"]]} for row in job["rows"]]
    options = SFTConfig(**common(job), completion_only_loss=True, max_length=None, **job["peer"])
    adapter = LoraConfig(
        r=job["rank"], lora_alpha=job["alpha"], lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return SFTTrainer(
        model=job["model"], args=options, train_dataset=Dataset.from_list(rows), peft_config=adapter, callbacks=[rounds]
    )


def classes(job: dict[str, Any], rounds: Rounds) -> Trainer:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=job["labels"])
    return Trainer(
        model=model,
        args=TrainingArguments(**common(job), **job["peer"]),
        train_dataset=Dataset.from_list([{"input_ids": row["ids"], "labels": row["label"]} for row in job["rows"]]),
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[rounds],
    )


def common(job: dict[str, Any]) -> dict[str, Any]:
    """What both sides have to do alike for their work to be equal, and no files."""
    return {
        "output_dir": job["scratch"],
        "per_device_train_batch_size": job["batch"],
        "num_train_epochs": 1,
        "learning_rate": job["lr"],
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1000,
        "disable_tqdm": True,
        "seed": 0,
    }


def versions() -> dict[str, str]:
    import peft
    import transformers
    import trl

    return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__} | {
        "trl": trl.__version__
    }


if __name__ == "__main__":
    main()
