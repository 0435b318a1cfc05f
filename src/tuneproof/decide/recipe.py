"""Rules: what is undecided becomes a value with a reason; an option that would have no effect is refused.

    decided = decide(config, answer, facts, rows, machine(), bf16_gain=4.9)
    decided.settings["train.lr"]          # Setting(0.0002, "full tuning of a small encoder (width 384)", "rule")

The rules stand in the order in which they build on each other. Nothing is measured here: see cost.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tuneproof.config import Config
from tuneproof.device import BF16_PAYS, Machine
from tuneproof.errors import ConfigError, ModelError
from tuneproof.memory import estimate
from tuneproof.methods import METHODS, method, refusal
from tuneproof.place import GPU
from tuneproof.records import ModelFacts, Setting
from tuneproof.tasks import TASKS, Answer

SMALL = 50_000_000  # parameters below which full tuning and fp32 scoring cost little
VALIDATION_SHARE = 0.1  # of the time of training that validation may take
LONGEST_ANSWER = 512  # generated tokens, where nobody asks for more
SPEAKS_WELL = 1_000_000_000  # parameters from which greedy answers seldom run in circles
# Below that: with SmolLM2-135M on gsm8k 10 of 10 answers end with a penalty of 1.1, without it 7, with 1.2 only 6; on
# medquad 12 of 12 with both, 9 of 10 with the penalty alone, 5 of 10 with neither.
PENALTY, REPEATS = 1.1, 12
VALIDATIONS, LOOKED_AT = 8, 32  # in a run, and the fewest rows that each looks at
RETAINED = (60, 500)  # documents on which forgetting is measured: fewer tell little, more take longer than they tell
FORWARD = 1 / 3  # of a training step that a forward pass takes
# Times AdamW's learning rate. Lion: a step is a sign, 3 to 10 times as long (arXiv 2302.06675, section 5). Muon is
# scaled to AdamW's rates. Adafactor's rate is a share of a weight's own size, about .03 in a transformer. SGD's steps
# follow the gradient, whose norm is at most train.clip over all weights; its factor was found by trying.
OPTIMIZER_RATES = {"adamw": 1.0, "adafactor": 30.0, "lion": 0.2, "muon": 1.0, "sgd": 50.0, "adamw-8bit": 1.0}
# For a model whose weights are as they were drawn, by its kind: nothing is there that a high rate could destroy. The
# figures are T5's customary ones and were not yet confirmed by a whole run here (docs/log.md, 2026-11-25).
UNTRAINED: dict[str, dict[str, tuple[Any, str]]] = {
    "seq2seq": {
        "train.epochs": (20.0, "the model was never trained: all of it is learnt from this file"),
        "train.lr": (1e-3, "the model was never trained: a high rate can destroy nothing"),
    }
}
# A head of many labels needs steps, not passes (arXiv 2006.05987, 2006.04884): with the few of a small file it is cut
# off while it still learns. Where labels are few more passes do harm. Measured in docs/log.md, 2026-11-26.
STEPS_OF_A_LABEL, MOST_PASSES = 5, 20.0
GIB = 2**30
WINDOW, MIXED_PARTS = 50, 4  # batches sorted by length together; parts of a step whose rows are drawn from all
MICRO_TOKENS = 8192  # of one micro-batch: its activations stay within about 2 GiB for a model of SMALL size


@dataclass(frozen=True, slots=True)
class Decided:
    """A configuration without a None that matters, and for every option why it has its value."""

    config: Config
    settings: Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rules may look at."""

    answer: Answer
    facts: ModelFacts
    train_rows: int
    longest: int  # tokens of the longest training row
    learnt: int  # tokens that carry loss in a long training row (95th percentile)
    machine: Machine
    bf16_gain: float
    labels: int = 0  # among which it chooses; 0 where there is no set of them
    bf16_gain_gpu: float = 1.0  # of its GPU, where it has one


def decide(config: Config, situation: Situation, given: Mapping[str, Setting]) -> Decided:
    """Fills in what is None; ``given`` holds values of ``config`` that were decided before, with their reasons.

    ConfigError for an option that somebody set and nothing would read.
    """
    settings = {
        name: given.get(name, Setting(config.get(name), "you asked for it", "you")) for name in sorted(config.asked)
    }
    for rule in RULES:
        for name, (value, reason) in rule(config, situation).items():
            if config.get(name) is None and not _idle(name, config, situation.answer):
                settings[name] = Setting(value, reason, "rule")
                config = config.replace({name: value})
    check_effects(settings, config, situation.answer)
    for name, value in config.items():
        if name not in settings and value is not None and not _idle(name, config, situation.answer):
            settings[name] = Setting(value, "the default", "default")
    return Decided(config, settings)


def check_model(config: Config, facts: ModelFacts, answer: Answer) -> None:
    """ModelError for a model of the wrong kind, ConfigError for a limit beyond what it can read."""
    if facts.kind not in answer.kinds:
        raise ModelError(
            f'"{facts.name}" is a model of the kind {facts.kind}; this task needs {" or ".join(answer.kinds)}.',
            "See which models fit: tuneproof models list",
        )
    if config.method.name is not None:
        method(config.method.name)
        if reason := refusal(config.method.name, answer.auto):
            raise ConfigError(
                f"The method {config.method.name} cannot do this task: {reason}.", "See: tuneproof methods"
            )
    if config.model.max_length > facts.context:
        raise ConfigError(f"model.max_length={config.model.max_length}, but {facts.name} reads {facts.context} tokens.")


def length_limit(facts: ModelFacts, answer: Answer, room: int = 0) -> tuple[int, str]:
    """Tokens per row at most, with the reason; ``room`` are tokens that the method puts before each."""
    if room and facts.context - room < answer.length_limit:
        return facts.context - room, f"as many as {facts.name} can read, less {room} that the method puts before them"
    if facts.context <= answer.length_limit:
        return facts.context, f"as many as {facts.name} can read"
    return answer.length_limit, f"{facts.name} could read {facts.context:,}; longer rows cost more than they teach"


Values = dict[str, tuple[Any, str]]


def _method(config: Config, at: Situation) -> Values:
    size = f"{at.facts.parameters / 1e6:.0f}M parameters"
    if at.facts.parameters <= SMALL:
        found = ("full", f"{size} train quickly as a whole, and full tuning reaches furthest")
    else:
        found = ("lora", f"{size}: adapters need a fraction of the memory and forget less")
    chosen = config.method.name or found[0]
    return {"method.name": found, **method(chosen).settings(config, at.facts.layers)}


def _untrained(config: Config, at: Situation) -> Values:
    return {} if at.facts.trained else UNTRAINED.get(at.facts.kind, {})


def _device(config: Config, at: Situation) -> Values:
    if at.machine.gpu is None:
        return {"model.device": ("cpu", "torch sees no GPU here")}
    return {"model.device": (GPU, f"there is one: {at.machine.gpu}")}


def _precision(config: Config, at: Situation) -> Values:
    faster = at.bf16_gain if config.model.device != GPU else at.bf16_gain_gpu
    if faster < 0.5:
        gain = f"a bf16 matrix product takes {1 / max(faster, 1e-3):,.0f} times as long as an fp32 one here"
    else:
        gain = f"a bf16 matrix product is {faster:.1f} times as fast as an fp32 one here"
    training = "bf16" if faster >= BF16_PAYS else "fp32"
    if at.facts.parameters <= SMALL:
        scoring = ("fp32", f"{at.facts.parameters / 1e6:.0f}M parameters are scored quickly in full precision")
    else:
        scoring = (config.model.precision or training, "as in training: full precision would take most of the run")
    return {"model.precision": (training, gain), "evaluate.precision": scoring}


def _passes(config: Config, at: Situation) -> Values:
    """More passes over a file so small that the task's own would leave its many labels few steps."""
    if at.answer.auto != "AutoModelForSequenceClassification":
        return {}
    rows = config.train.batch_size or at.answer.recipe["train.batch_size"][0]
    per_epoch, usual = -(-at.train_rows // rows), at.answer.recipe["train.epochs"][0]
    wanted = min(MOST_PASSES, float(-(-STEPS_OF_A_LABEL * at.labels // per_epoch)))
    if wanted <= usual:
        return {}
    why = f"{usual:g} would be {usual * per_epoch:,.0f} steps, few for a new head of {at.labels:,} labels"
    return {"train.epochs": (wanted, why)}


def _training(config: Config, at: Situation) -> Values:
    rows = config.train.batch_size or at.answer.recipe["train.batch_size"][0]
    window = {"train.length_window": (WINDOW, "rows of similar length together: little padding"), **at.answer.recipe}
    mixed = (config.train.length_window or window["train.length_window"][0]) == 1
    return {
        **window,
        "train.accumulate": _parts(config, at, rows, mixed=mixed),
        "train.threads": (at.machine.cores, "all cores that this process may use"),
    }


def _parts(config: Config, at: Situation, rows: int, *, mixed: bool) -> tuple[int, str]:
    """Into how many micro-batches a step is cut: for its tokens, and further where memory is short.

    A step whose rows are ``mixed`` is cut in any case: the longest row would fill up all the others.
    """
    parts = -(-rows // max(1, MICRO_TOKENS // max(1, at.longest)))
    why = "one: a step fits" if parts == 1 else f"{parts}: the longest rows have {at.longest:,} tokens"
    if mixed and parts < min(MIXED_PARTS, rows):
        parts = min(MIXED_PARTS, rows)
        why = f"{parts}: the rows of a step differ in length, so that in one they would be mostly padding"
    _, free = memory_of(config, at.machine)
    fewest = parts
    while parts < rows and step_bytes(config, at.facts, -(-rows // parts), at.longest) > free:
        parts += 1
    if parts > fewest:
        whole = step_bytes(config, at.facts, -(-rows // fewest), at.longest) / GIB
        why = f"with {fewest} a step would need about {whole:.1f} GiB of memory; {free / GIB:.1f} are free"
        return parts, f"{parts}: {why}"
    return parts, f"micro-batches of at most {MICRO_TOKENS:,} tokens; {why}"


def memory_of(config: Config, machine: Machine) -> tuple[str, int]:
    """Whose memory a step takes, and the bytes that are free of it."""
    return ("GPU memory", machine.gpu_free) if config.model.device == GPU else ("memory", machine.free)


def step_bytes(config: Config, facts: ModelFacts, rows: int, longest: int) -> int:
    """Bytes of a step, by arithmetic, whose micro-batches have so many rows of so many tokens."""
    return estimate(
        parameters=facts.parameters,
        trained=round(METHODS[config.method.name].trained_share * facts.parameters),
        tokens=rows * longest,
        width=facts.width,
        layers=facts.layers,
        vocabulary=0 if facts.kind == "encoder" else facts.vocabulary,
        pairs=rows * longest**2 * facts.dropping_heads,
    )


def _rates(config: Config, at: Situation) -> Values:
    base, reason = at.answer.learning_rate(at.facts.width)
    factor = METHODS[config.method.name].lr_factor
    if factor != 1:
        reason = f"{factor:g} times the {base:g} for {reason}: fewer weights train"
    step = OPTIMIZER_RATES[config.train.optimizer]
    if step != 1:
        reason = f"{reason}; {config.train.optimizer} takes {step:g} times AdamW's rate"
    head = 10 / factor
    return {
        "train.lr": (base * factor * step, reason),
        "train.head_lr_factor": (head, "a new head starts from nothing; what was pretrained moves little"),
    }


def _pace(config: Config, at: Situation) -> Values:
    steps = total_steps(config, at.train_rows)
    affordable = int(VALIDATION_SHARE * steps * config.train.batch_size / FORWARD / LOOKED_AT)
    every = max(1, -(-steps // min(VALIDATIONS, max(2, affordable))))
    return {
        "train.validate_every": (every, f"{-(-steps // every)} times in {steps:,} steps"),
        "train.log_every": (max(1, min(10, steps // 40)), "often enough to draw the curve"),
    }


def _validation(config: Config, at: Situation) -> Values:
    steps = total_steps(config, at.train_rows)
    trained = steps * config.train.batch_size
    times = -(-steps // config.train.validate_every)
    rows = max(LOOKED_AT, int(VALIDATION_SHARE * trained / FORWARD / times))
    return {
        "evaluate.validation_rows": (rows, f"at most: {times} validations in a tenth of the time of training"),
    }


def _answers(config: Config, at: Situation) -> Values:
    longest = min(LONGEST_ANSWER, max(32, 3 * at.learnt // 2))
    size = f"{at.facts.parameters / 1e6:,.0f}M parameters"
    if at.facts.parameters < SPEAKS_WELL:
        why = f"greedy answers of a model of {size} run in circles without it"
        penalty, repeats = (PENALTY, why), (REPEATS, why)
    else:
        why = f"none: {size} end their answers by themselves"
        penalty, repeats = (1.0, why), (0, why)
    return {
        "evaluate.max_new_tokens": (longest, f"half as long again as long answers of the file ({at.learnt:,} tokens)"),
        "evaluate.repetition_penalty": penalty,
        "evaluate.no_repeat_ngram": repeats,
        "evaluate.length_penalty": (1.0, "a beam's log probability is divided by its length; one beam needs none"),
    }


def _retained(config: Config, at: Situation) -> Values:
    count = max(RETAINED[0], min(RETAINED[1], at.train_rows))
    most = f"as many as there are rows to train on, but {RETAINED[0]} to {RETAINED[1]}"
    return {"evaluate.retain_documents": (count, most)}


RULES: tuple[Callable[[Config, Situation], Values], ...] = (
    _method,
    _untrained,
    _device,
    _precision,
    _passes,
    _training,
    _rates,
    _pace,
    _validation,
    _answers,
    _retained,
)


def total_steps(config: Config, rows: int) -> int:
    """Updates of the weights in the whole run."""
    per_epoch = -(-rows // config.train.batch_size)
    return max(1, round(config.train.epochs * per_epoch))


def check_effects(settings: Mapping[str, Setting], config: Config, answer: Answer) -> None:
    """ConfigError for an option that somebody set and nothing would read."""
    penalty = settings.get("evaluate.length_penalty")
    if penalty is not None and penalty.by == "you" and config.evaluate.beams == 1:
        raise ConfigError("evaluate.length_penalty would have no effect: there is one beam.", "Set evaluate.beams=4.")
    for name, setting in settings.items():
        if setting.by == "you" and _idle(name, config, answer):
            reader = name.split(".")[0]
            what = f"the method is {config.method.name}" if reader in _sections() else "this task does not read it"
            raise ConfigError(f"{name} would have no effect: {what}.", "Leave it out.")


def _idle(name: str, config: Config, answer: Answer) -> bool:
    """Whether nothing reads the option: another method's section, or an option of other tasks."""
    section = name.split(".")[0]
    if section in _sections():
        return section != METHODS[config.method.name].section
    others = frozenset().union(*(task.answer.options for task in TASKS.values())) - answer.options
    return name in others


def _sections() -> set[str]:
    return {kind.section for kind in METHODS.values() if kind.section}
