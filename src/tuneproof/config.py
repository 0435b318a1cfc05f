"""Every option, declared once: its default, its range, its search range and its help.

    config = load("run.toml", {"train.lr": "1e-4"})      # file, then what the command line said
    config.train.lr                                       # 0.0001
    config.asked                                          # {"train.lr"}: what somebody set on purpose

A default of None means "decide for me": the decide stage replaces it by a value and writes the reason into
``plan.json``. Unknown names are refused with the nearest match. This module decides nothing itself.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tuneproof.errors import ConfigError, nearest


def decide(description: str, *, search: tuple[float, float] | None = None, **limits: Any) -> Any:
    """An option without a value of its own: the decide stage fills it in."""
    extra: dict[str, Any] | None = {"search": list(search)} if search else None
    return Field(default=None, description=description, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """Frozen, and closed: a name that is not declared is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False, protected_namespaces=())


class Data(Section):
    """What the file means and how it is divided."""

    task: str = decide("task; inferred from all rows of the file when not given")
    text: str = decide("column with the text")
    second: str = decide("column with the second text, where the rows are pairs of texts")
    label: str = decide("column with the label")
    instruction: str = decide(
        "what a chat model is asked about a row with a label or entities; {text}, {second} and {labels} are filled in"
    )
    group: str = decide("column whose rows stay together on one side of the split")
    time: str = decide("column with the time of each row: the newest rows are the test, those before them validation")
    weights: str = decide(
        "how often the train rows of each file count, in the order of the files, as in 2, 0.5; once when not given"
    )
    test: str = decide("file with test rows of its own, used as it is")
    sheet: str = decide("sheet of a workbook; needed where several sheets hold rows")
    header: Literal["auto", "yes", "no"] = Field(
        "auto", description="whether the first line names the columns; auto refuses a file that looks as if it did not"
    )
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="share of the rows held out for validation")
    test_share: float = Field(0.2, gt=0, lt=0.5, description="share held out for the test; unused with --test")
    folds: int = Field(0, ge=0, le=100, description="into this many even parts, one of them the test; 0 is off")
    fold: int = Field(0, ge=0, description="which of data.folds is the test of this run, from 0")
    salt: str = Field("tuneproof", description="part of the hash that assigns a row to its split")
    too_long: Literal["refuse", "cut", "drop"] = Field(
        "refuse", description="rows longer than model.max_length: refuse the run, cut their end, or drop them"
    )
    max_missing: float = Field(0.2, ge=0, le=1, description="share of rows without text or label that is accepted")


DIVERGENCE_ROWS = 64  # test rows on which is measured how far a language model moved
DOCUMENT_TOKENS = 96  # of a general document that are read to see what was forgotten: enough to know a text by
FEWEST_DOCUMENTS = 30  # below that no interval says anything
Policy = Literal["keep", "drop", "refuse"]


class Check(Section):
    """What the data doctor does about what it finds."""

    leakage: Policy = Field("drop", description="train rows that also stand, nearly, in validation or test")
    near_duplicates: Policy = Field("keep", description="train rows that nearly repeat an earlier train row")
    conflicts: Policy = Field("keep", description="train rows of one text with different labels")
    label_issues: Policy = Field("keep", description="train rows whose label looks wrong; drop needs drop_label_issues")
    drop_label_issues: int = Field(0, ge=0, description="how many of the most suspicious train rows leave")
    label_rows: int = Field(20_000, ge=100, description="rows (chosen by hash) whose labels and vectors are looked at")
    outliers: Policy = Field("keep", description="train rows far from all others")
    placeholders: Policy = Field("keep", description="train rows with a template's holes left open, such as {{name}}")
    personal_data: Literal["keep", "fix", "drop", "refuse"] = Field(
        "keep", description="rows with personal data or secrets; fix replaces them by placeholders (--redact)"
    )
    apply: str = decide("CSV of reviewed rows (from --review) whose decisions are carried out")
    effect: bool = Field(True, description="measure what each change to the train rows does to a cheap probe")


class Model(Section):
    """The pretrained model."""

    name: str = decide("model: catalogue name, hub id, folder, pypi:NAME==VERSION or .gguf file")
    max_length: int = decide("tokens per row at most", ge=8, le=131072)
    device: Literal["cpu", "cuda"] = decide("where the model computes: this machine's processor, or its GPU (cuda)")
    precision: Literal["fp32", "bf16"] = decide("arithmetic in training; measured on this machine when not given")


class Method(Section):
    """Which weights train."""

    name: str = decide("method; tuneproof methods lists them")


class Freeze(Section):
    """Options of the method freeze."""

    top_layers: int = decide("how many of the last layers train", ge=0, le=512)
    layers: str = decide('layers that train, as a range such as "4:6" (counted from 0, end excluded)')
    names: str = decide('weights that train, by name: patterns such as "*.attention.*", separated by commas')
    gradual: float = Field(
        0.0, ge=0, lt=1, description="share of the steps over which the layers begin one by one, the top one first"
    )
    embeddings: bool = Field(True, description="keep the embeddings frozen")
    keep: bool = Field(True, description="run the frozen layers once and keep their outputs on disk while training")


class Lora(Section):
    """Options of the methods lora and qlora."""

    rank: int = decide("rank of the adapters", ge=1, le=1024, search=(4, 64))
    alpha: int = decide("scale of the adapters; twice the rank when not given", ge=1, le=4096)
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    rslora: bool = Field(False, description="rsLoRA: alpha is divided by the root of the rank, not by the rank")
    dora: bool = Field(False, description="DoRA: direction and size of each column are learnt apart")
    init: Literal["zero", "pissa"] = Field(
        "zero", description="where adapters start: from nothing, or (PiSSA) from the largest singular vectors"
    )
    plus: float = Field(1.0, ge=1, le=100, description="LoRA+: B learns this many times faster than A; 16 is usual")


class Peft(Section):
    """Options of the other methods of peft."""

    options: str = decide("peft's own options of the method, as in: r = 8, init_weights = false")


class Train(Section):
    """How it trains."""

    lr: float = decide("peak learning rate", gt=0, lt=10, search=(1e-6, 1e-2))
    head_lr_factor: float = decide("a new head learns at so many times the rate of the rest", gt=0, le=1000)
    epochs: float = decide("passes over the training rows", gt=0, le=1000, search=(1, 10))
    minutes: float = decide(
        "a budget for the whole run; fewer steps, and fewer scored rows, where it does not suffice", gt=0
    )
    batch_size: int = decide("rows per update of the weights", ge=1, le=65536, search=(8, 64))
    accumulate: int = decide("micro-batches per update; more of them need less memory", ge=1, le=4096)
    length_window: int = decide(
        "batches sorted by length together, to spare padding; 1: the rows of a step are drawn from all",
        ge=1,
        le=100000,
    )
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    schedule: Literal["linear", "cosine", "constant", "inverse-sqrt", "wsd", "one-cycle"] = decide(
        "how the learning rate falls after warm-up"
    )
    optimizer: Literal["adamw", "adafactor", "lion", "muon", "sgd", "adamw-8bit"] = Field(
        "adamw", description="optimizer; its usual rate relative to AdamW's is part of the plan"
    )
    layer_lr_decay: float = Field(
        1.0, gt=0, le=1, description="a layer learns at this many times the rate of the layer above it"
    )
    class_weights: Literal["none", "root", "balanced", "focal"] = decide(
        "rows of rare labels count more in the loss: by the root of their rarity, in full, or while not learnt yet"
    )
    weight_decay: float = Field(
        0.01, ge=0, lt=1, description="decoupled weight decay on matrices, not on biases and norms"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    patience: int = Field(3, ge=1, description="validations without improvement after which training stops")
    validate_every: int = decide("steps between two validations", ge=1)
    log_every: int = decide("steps between two lines of metrics.jsonl", ge=1)
    save_seconds: float = Field(60.0, ge=0, description="seconds between two checkpoints, beside those at validations")
    seeds: int = Field(1, ge=1, le=20, description="trainings that differ in the seed alone, to measure training noise")
    seed: int = Field(0, ge=0, lt=2**31, description="seed of everything that is random")
    keep_memory: bool = Field(True, description="memory that is freed stays with the process and is used again")
    threads: int = decide("threads for arithmetic; results are bit-identical only for the same number", ge=1, le=1024)


class Evaluate(Section):
    """How it is scored."""

    test_rows: int = decide("how many test rows are scored at most (chosen by hash); all when not given", ge=1)
    validation_rows: int = decide("how many validation rows are scored at most during training", ge=1)
    precision: Literal["fp32", "bf16"] = decide("arithmetic in scoring")
    answers: int = Field(5, ge=0, le=1000, description="test rows for which generated answers are shown side by side")
    max_new_tokens: int = decide("tokens of a generated answer at most", ge=1, le=32768)
    slices: str = decide("columns, separated by commas, by whose values the scores are shown as well")
    protected: str = decide("column with groups of people that should be treated alike")
    favourable: str = decide("label that is good to get; every label is looked at when not given")
    prompted: str = decide("chat model that is asked the same questions, as one more baseline")
    learning_curve: bool = Field(
        False, description="train on 10, 25 and 50% of the rows as well: would more data help?"
    )
    price: float = decide("what an hour of this machine costs, for the page; in whatever money you count in", ge=0)
    retain: str = decide("file with a text column: your own texts that the model should not forget")
    retain_documents: int = decide("general documents on which forgetting is measured", ge=FEWEST_DOCUMENTS, le=500)
    repetition_penalty: float = decide("divides the logits of what was said already; 1 is none", ge=1, le=2)
    no_repeat_ngram: int = decide("so many tokens in a row may not come twice in an answer; 0: no limit", ge=0, le=100)
    beams: int = decide("beginnings of a text that are followed at once; 1 is greedy", ge=1, le=32)
    length_penalty: float = decide("with beams: above 0 favours long texts, below 0 short ones", ge=-10, le=10)


class Config(Section):
    """All sections. ``asked`` names the options that somebody set on purpose, as "section.option"."""

    data: Data = Data()
    check: Check = Check()
    model: Model = Model()
    method: Method = Method()
    freeze: Freeze = Freeze()
    lora: Lora = Lora()
    peft: Peft = Peft()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()

    @property
    def asked(self) -> frozenset[str]:
        return frozenset(
            f"{section}.{name}" for section in self.model_fields_set for name in getattr(self, section).model_fields_set
        )

    def get(self, name: str) -> Any:
        """The value of "section.option"."""
        section, option = name.split(".")
        return getattr(getattr(self, section), option)

    def items(self) -> Iterator[tuple[str, Any]]:
        for name in names():
            yield name, self.get(name)

    def replace(self, values: Mapping[str, Any]) -> Config:
        """A copy in which the options named "section.option" have these values; ``asked`` grows by their names."""
        nested = self.model_dump(exclude_unset=True)
        for name, value in values.items():
            section, option = name.split(".")
            nested.setdefault(section, {})[option] = value
        return build(nested)


def names() -> tuple[str, ...]:
    """Every option as "section.option", in the order of declaration."""
    return tuple(
        f"{section}.{option}"
        for section, field in Config.model_fields.items()
        for option in field.annotation.model_fields  # type: ignore[union-attr]
    )


def describe(name: str) -> str:
    """The help text of "section.option"."""
    section, option = name.split(".")
    field = Config.model_fields[section].annotation.model_fields[option]  # type: ignore[union-attr]
    return field.description or ""


def build(nested: Mapping[str, Any]) -> Config:
    """A Config from nested dictionaries; ConfigError for an unknown name or a value out of range."""
    try:
        return Config.model_validate(dict(nested))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][:2])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f'There is no option "{name}".', nearest(name, names())) from None
        raise ConfigError(
            f"Option {name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}.",
            f"It means: {describe(name)}." if name in names() else "See: tuneproof tune --help",
        ) from None


def load(file: str | Path | None = None, options: Mapping[str, Any] | None = None) -> Config:
    """File first, then single options by their full name; later ones win."""
    nested: dict[str, Any] = {}
    if file is not None:
        nested = _parse(Path(file))
    for name, value in (options or {}).items():
        if name not in names():
            raise ConfigError(f'There is no option "{name}".', nearest(name, names()))
        section, option = name.split(".")
        nested.setdefault(section, {})[option] = value
    return build(nested)


def parse_set(items: list[str]) -> dict[str, str]:
    """``["train.lr=1e-4"]`` -> ``{"train.lr": "1e-4"}``."""
    options: dict[str, str] = {}
    for item in items:
        name, sign, value = item.partition("=")
        if not sign:
            raise ConfigError(f'--set expects NAME=VALUE, got "{item}".', "For example: --set train.lr=1e-4")
        options[name.strip()] = value.strip()
    return options


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {file}.") from None
    except OSError as error:
        raise ConfigError(f"The configuration file {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}.") from None
