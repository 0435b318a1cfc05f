"""Tiny real models and files with something to learn in them, built here from code; no network, nothing downloaded.

    def test_...(tiny_bert: Path, reviews: Path, make_work: MakeWork) -> None

The models are ordinary transformers folders with seeded random weights: a BERT of three layers with its own WordPiece
vocabulary, and a Llama of two layers with a byte-level BPE, ChatML tokens and a template. Both pass admission.
"""

from __future__ import annotations

import csv
import json
import random
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuneproof.config import Config, build

# Words that decide the label, and words that do not: a model of width 32 learns the difference in seconds.
GOOD = ("great", "lovely", "sturdy", "perfect")
BAD = ("awful", "broken", "flimsy", "useless")
THINGS = ("lamp", "kettle", "chair", "phone", "cable", "clock")
FILLER = ("i", "bought", "this", "it", "is", "was", "very", "really", "and", "we", "think", "so", "the", "a")

# What the assistant answers to each question: a two-layer model learns it by heart.
FACTS = {
    "colour of grass": "green",
    "colour of snow": "white",
    "sound of a cat": "meow",
    "sound of a dog": "woof",
    "number after one": "two",
    "number after two": "three",
}

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# A language of one word for each: what a tiny encoder with a decoder translates into.
WORDS = dict(zip((*GOOD, *BAD), ("gut", "hold", "stark", "ideal", "mies", "kaputt", "schwach", "nutzlos"), strict=True))
WORDS |= dict(zip(THINGS, ("lampe", "kessel", "stuhl", "telefon", "kabel", "uhr"), strict=True))

# Options under which a tiny model does a whole run in a few seconds, all of it on one thread.
QUICK = {"train.threads": 1, "train.log_every": 1, "model.precision": "fp32"}

READS = {"text": 64, "chat": 256}  # tokens that the tiny model of a modality can read

MakeWork = Callable[..., Any]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell's background jobs inherit that SIGINT is ignored; Ctrl-C means in a test what it means to a person."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def light_collection() -> None:
    """The test modules are all imported by now."""
    from tuneproof.device import spare_imported

    spare_imported()


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or fills the cache, or the keys, of whoever runs it."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("home")))
        yield folder


@pytest.fixture(scope="session")
def one_thread() -> None:
    """As a run settles it: deterministic, and not fighting the other test process for cores."""
    from tuneproof.device import settle

    settle(1)


@pytest.fixture(scope="session")
def one_aside() -> Iterator[None]:
    """All exports of a test process are opened by one process without tuneproof."""
    from tuneproof.deploy.export.aside import one_process

    with one_process():
        yield


# -- files


def review_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Sentences of different lengths whose label follows from one word; no two are the same."""
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        label = ("negative", "positive")[len(rows) % 2]
        words = [draw.choice(FILLER) for _ in range(draw.randint(2, 14))]
        words.insert(draw.randint(0, len(words)), draw.choice(GOOD if label == "positive" else BAD))
        text = " ".join([*words, draw.choice(THINGS), draw.choice(THINGS)])
        if all(row["text"] != text for row in rows):
            rows.append({"text": text, "label": label})
    return rows


def chat_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Dialogues of one or two turns, some with a system message; no two are the same."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        messages = [{"role": "system", "content": "you know things"}] if number % 3 == 0 else []
        for _ in range(1 + number % 2):
            question, answer = draw.choice(list(FACTS.items()))
            messages.append({"role": "user", "content": f"{number}: what is the {question}"})
            messages.append({"role": "assistant", "content": f"it is {answer}"})
        rows.append({"messages": messages})
    return rows


def scored_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """The reviews with a number in place of the label: a step up for a good word, and a little for every word."""
    return [
        {
            "text": row["text"],
            "score": f"{3 + (row['label'] == 'positive') - 0.05 * len(row['text'].split()):.2f}",
        }
        for row in review_rows(count, seed)
    ]


def topic_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Sentences with any of three labels, each of which follows from one kind of words."""
    draw = random.Random(seed)
    kinds = {"praise": GOOD, "blame": BAD, "thing": THINGS}
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        labels = [label for label in kinds if draw.random() < 0.45]
        words = [draw.choice(FILLER) for _ in range(draw.randint(3, 12))]
        for label in labels:
            words.insert(draw.randint(0, len(words)), draw.choice(kinds[label]))
        text = " ".join(words)
        if labels and all(row["text"] != text for row in rows):
            rows.append({"text": text, "labels": ";".join(labels)})
    return rows


def tagged_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The words of reviews with tags that follow from them: things side by side are one entity."""
    kinds = {**dict.fromkeys(THINGS, "thing"), **dict.fromkeys(GOOD, "praise"), **dict.fromkeys(BAD, "blame")}
    rows: list[dict[str, Any]] = []
    for review in review_rows(count, seed):
        words, tags = review["text"].split(), ["O"]
        for word in words:
            kind = kinds.get(word)
            tags.append("O" if kind is None else f"{'I' if tags[-1][2:] == kind else 'B'}-{kind}")
        rows.append({"tokens": words, "ner_tags": tags[1:]})
    return rows


def question_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Which word of a review praises or blames; one question in four has no answer, and some reviews are long."""
    draw = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number, review in enumerate(review_rows(count, seed)):
        praised = review["label"] == "positive"
        asked = praised if number % 4 else not praised
        context = " ".join([*draw.choices(FILLER, k=80 if number % 8 == 1 else 0), review["text"]])
        word = next((word for word in context.split() if word in (GOOD if praised else BAD)), "")
        found = [{"text": word, "answer_start": context.index(word)}] if asked == praised else []
        question = f"which word is {'great' if asked else 'awful'}"
        rows.append({"question": question, "context": context, "answers": found})
    return rows


def pair_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Word lists in two languages; no two are the same."""
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        words = [draw.choice(list(WORDS)) for _ in range(draw.randint(2, 6))]
        row = {"en": " ".join(words), "de": " ".join(WORDS[word] for word in words)}
        if row not in rows:
            rows.append(row)
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 labelled sentences."""
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", review_rows(80))


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 sentences with a number."""
    return write_csv(tmp_path_factory.mktemp("data") / "scored.csv", scored_rows(80))


@pytest.fixture(scope="session")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 sentences with any of three labels."""
    return write_csv(tmp_path_factory.mktemp("data") / "topics.csv", topic_rows(80))


@pytest.fixture(scope="session")
def dialogues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 dialogues."""
    return write_jsonl(tmp_path_factory.mktemp("data") / "dialogues.jsonl", chat_rows(40))


@pytest.fixture(scope="session")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 sentences with a tag for each word."""
    return write_jsonl(tmp_path_factory.mktemp("data") / "tagged.jsonl", tagged_rows(80))


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 questions about reviews, some without an answer."""
    return write_jsonl(tmp_path_factory.mktemp("data") / "questions.jsonl", question_rows(80))


def matching_rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    """A sentence and another with the same two things in it; no two are the same."""
    draw = random.Random(seed)
    rows: list[dict[str, str]] = []
    while len(rows) < count:
        words = [draw.choice((*GOOD, *BAD)), draw.choice(THINGS), draw.choice(THINGS)]
        filler = [draw.choice(FILLER) for _ in range(draw.randint(1, 6))]
        row = {"anchor": " ".join([*filler, *words]), "positive": " ".join(["the", *words[::-1]])}
        if all(row["anchor"] != other["anchor"] and row["positive"] != other["positive"] for other in rows):
            rows.append(row)
    return rows


@pytest.fixture(scope="session")
def matching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pairs of sentences."""
    return write_csv(tmp_path_factory.mktemp("data") / "matching.csv", matching_rows(60))


@pytest.fixture(scope="session")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pairs of word lists."""
    return write_csv(tmp_path_factory.mktemp("data") / "parallel.csv", pair_rows(60))


# -- models


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three layers of width 32, a WordPiece vocabulary learnt from the reviews."""
    return build_bert(tmp_path_factory.mktemp("models") / "tiny-bert")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of width 32, a byte-level BPE with ChatML's tokens and template."""
    return build_llama(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers of width 32 on either side, a vocabulary of whole words."""
    return build_t5(tmp_path_factory.mktemp("models") / "tiny-t5")


def untrained(kind: str) -> Any:
    """A causal model of that type, 50 words, whose weights are large enough for a wrong look to be seen.

    Two layers; heads share keys where the type can.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
    sizes |= {"num_hidden_layers": 2, "vocab_size": 50, "max_position_embeddings": 256, "head_dim": 8}
    if kind == "gpt2":
        sizes = {"n_embd": 32, "n_head": 4, "n_layer": 2, "vocab_size": 50, "n_positions": 256}
    if kind == "gpt_neox":
        del sizes["num_key_value_heads"], sizes["head_dim"]
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **ends)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
    return model


def build_t5(folder: Path) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    words = ["<pad>", "</s>", "<unk>", *sorted({*WORDS, *WORDS.values(), *FILLER})]
    inner = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    ).save_pretrained(folder)
    torch.manual_seed(0)
    options = T5Config(
        vocab_size=len(words),
        d_model=32,
        d_kv=16,
        d_ff=64,
        num_layers=2,
        num_heads=2,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=1,
    )
    T5ForConditionalGeneration(options).save_pretrained(folder)
    return folder


def build_bert(folder: Path) -> Path:
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(
        [row["text"] for row in review_rows(200, seed=1)], vocab_size=160, min_frequency=1, show_progress=False
    )
    pieces.save_model(str(folder))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(0)
    options = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,  # the usual .02 makes a model this narrow slow to learn anything
    )
    BertModel(options).save_pretrained(folder)
    return folder


def byte_level_tokenizer(special: list[str], vocabulary: int = 320) -> Any:
    """A BPE over bytes, learnt from the dialogues, that knows ``special`` tokens; any text can be written with it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [message["content"] for row in chat_rows(60, seed=1) for message in row["messages"]]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def build_llama(folder: Path, *, template: str | None = CHATML) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    inner = byte_level_tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=256,
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    options = LlamaConfig(
        vocab_size=inner.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(options)
    with torch.no_grad():  # else no hidden state of width 32 could make one of 320 tokens likely: .07 at most
        model.model.embed_tokens.weight.mul_(4)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bases(tiny_bert: Path, tiny_llama: Path, tiny_t5: Path) -> Mapping[str, Path]:
    """For each task a pretrained model that can do it."""
    readers = (
        "text-classification",
        "multi-label-classification",
        "text-regression",
        "token-classification",
        "question-answering",
        "embeddings",
    )
    writers = ("instruction", "instructed-classification", "instructed-extraction")
    return {**dict.fromkeys(readers, tiny_bert), **dict.fromkeys(writers, tiny_llama), "seq2seq": tiny_t5}


@pytest.fixture(scope="session")
def files(
    reviews: Path,
    topics: Path,
    scored: Path,
    dialogues: Path,
    tagged: Path,
    questions: Path,
    parallel: Path,
    matching: Path,
) -> Mapping[str, Path]:
    """For each task a file."""
    return {
        "text-classification": reviews,
        "instructed-classification": reviews,
        "multi-label-classification": topics,
        "text-regression": scored,
        "token-classification": tagged,
        "instructed-extraction": tagged,
        "question-answering": questions,
        "instruction": dialogues,
        "seq2seq": parallel,
        "embeddings": matching,
    }


# -- from a file and a model to what training needs


@pytest.fixture(scope="session")
def make_work(one_thread: None, bases: Mapping[str, Path], files: Mapping[str, Path]) -> MakeWork:
    """``make_work("instruction", "lora", {"train.seed": 1}, rows=16)``: a Work, through the real stages."""
    from tuneproof.modalities import MODALITIES
    from tuneproof.prepare import prepare
    from tuneproof.prepare.tokens import encode
    from tuneproof.tasks import TASKS, task_of
    from tuneproof.train.fit import Work

    def make(task: str, method: str, options: Mapping[str, Any] | None = None, *, rows: int | None = None) -> Work:
        config = settings(task, method, {"model.name": str(bases[task]), **(options or {})})
        prepared = prepare(files[task], config.data, {name: row.answer for name, row in TASKS.items()})
        this = task_of(replace(prepared.schema, task=task))
        encoder = MODALITIES[this.modality](bases[task], READS[this.modality])
        encoded = encode(prepared.splits, prepared.schema, this.answer, encoder, "refuse")
        train, held_out = encoded.examples["train"][:rows], encoded.examples["validation"]
        return Work(this.answer, prepared.schema, config, bases[task], encoder, train, held_out)

    return make


def settings(task: str, method: str, options: Mapping[str, Any]) -> Config:
    """A decided configuration: nothing that training reads is None."""
    from tuneproof.tasks import TASKS

    decided: dict[str, Any] = {
        **QUICK,
        "model.max_length": READS[TASKS[task].modality],
        "method.name": method,
        "train.lr": 1e-3 if method == "full" else 3e-3,
        "train.head_lr_factor": 1.0,
        "train.epochs": 2.0,
        "train.batch_size": 8,
        "train.accumulate": 1,
        "train.schedule": "constant",
        "train.validate_every": 3,
        "evaluate.validation_rows": 8,
        "evaluate.precision": "fp32",
    }
    if method == "freeze":
        decided["freeze.top_layers"] = 1
    if method in ("lora", "qlora"):
        decided |= {"lora.rank": 4, "lora.alpha": 8}
    return build({}).replace({**decided, **options})


# -- finished runs


@pytest.fixture(scope="session")
def finished(
    one_thread: None, bases: Mapping[str, Path], files: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """``finished("instruction", "lora")``: the directory of a whole run, made at the first call. Do not change it."""
    import tuneproof as tp
    from tuneproof.tasks import TASKS

    root = tmp_path_factory.mktemp("finished") / "runs"
    made: dict[tuple[str, str], Path] = {}

    def run(task: str, method: str) -> Path:
        if (task, method) not in made:
            options: dict[str, Any] = {"train_threads": 1, "model_precision": "fp32", "evaluate_precision": "fp32"}
            options |= {"train_lr": 3e-3, "train_epochs": 2}
            if "evaluate.answers" in TASKS[task].answer.options:
                options |= {"evaluate_answers": 2, "evaluate_max_new_tokens": 8}
            done = tp.tune(files[task], runs=root, model_name=str(bases[task]), method_name=method, **options)
            made[task, method] = done.run.path
        return made[task, method]

    return run
