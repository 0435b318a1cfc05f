"""Adapters over one base: the base is kept once, each answers to the bit as if it were alone, also while others go."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import weakref
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from asking import HOST, asked
from safetensors.torch import load_file, save_file
from torch.nn import Module, Parameter
from tuned_runs import OPTIONS

from tuneproof.config import build
from tuneproof.deploy.registry import Registry
from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.guard import Guard
from tuneproof.deploy.server.hosted import Models
from tuneproof.deploy.server.loaded import Loaded
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.routes import State, routed
from tuneproof.deploy.server.sharing import share
from tuneproof.modalities import ChatEncoder
from tuneproof.pipeline import Quiet, tune
from tuneproof.predict import Predictor, generation
from tuneproof.run import Run

QUESTIONS = ("colour of snow", "sound of a cat", "number after two")
COUNT = 3


@pytest.fixture(scope="module")
def adapters(
    tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, dialogues: Path, one_thread: None
) -> list[Run]:
    """One that was tuned, and others of the same shape that say something else."""
    method = {"method": {"name": "lora"}, "lora": {"rank": 4}, "model": {**OPTIONS["model"], "name": str(tiny_llama)}}
    asked = {**OPTIONS, **method, "evaluate": {**OPTIONS["evaluate"], "max_new_tokens": 12}}
    folder = tmp_path_factory.mktemp("adapters")
    first = tune(str(dialogues), build(asked), runs=folder, view=Quiet())
    found = [first]
    for number in range(1, COUNT):
        copy = Run(Path(shutil.copytree(first.path, folder / f"other-{number}")))
        torch.manual_seed(number)
        file = copy.model / "adapter_model.safetensors"
        save_file({name: torch.randn_like(tensor) for name, tensor in load_file(file).items()}, file, {"format": "pt"})
        found.append(copy)
    return found


def asked_of(run: Run) -> list[dict[str, Any]]:
    """The same questions to each, every one of them once more by chance."""
    said = [{"messages": [{"role": "user", "content": f"1: what is the {q}"}]} for q in QUESTIONS]
    drawn = [{**body, "temperature": 1.5, "seed": seed} for seed, body in enumerate(said)]
    return [{"model": run.id, **body} for body in (*said, *drawn)]


def logits_of(predictor: Predictor, run: Run) -> list[bytes]:
    """What it says of each test row, as bytes."""
    test = run.splits.test
    rows = [test.row(index) for index in range(len(test))]
    found = []
    with torch.inference_mode():
        for row in rows:
            batch = predictor.encoder.collate([predictor.answer.example(row, predictor.encoder)])
            found.append(predictor.model(**batch.inputs).logits.numpy().tobytes())
    return found


class Server:
    """The application over what a command line would load."""

    def __init__(self, folder: Path, registry: Registry | None = None) -> None:
        metrics = Metrics()
        self.models = Models(metrics)
        self.said: list[str] = []
        self.loaded = Loaded(self.models, registry or Registry(folder / "home"))
        self.access = Access.of(folder / "token")
        state = State(self.models, metrics, Feedbacks(folder / "feedback"))
        self.app = Guard(routed(state), self.access, metrics, frozenset({HOST}), lambda exchange, seconds: None)

    def load(self, *references: str) -> None:
        for reference in references:
            self.loaded.load(reference, self.said.append)

    def answer(self, body: Any) -> tuple[str, str]:
        return asyncio.run(self.answered(body))

    async def answered(self, body: Any) -> tuple[str, str]:
        """The version that answered, and its text."""
        found = await asked(self.app, "POST", "/v1/chat/completions", body, token=self.access.first)
        assert found.status == 200, found.body
        return found.headers["x-model"], str(found.json["choices"][0]["message"]["content"])

    def model(self, label: str) -> Module:
        return self.models.get(label).predictor.model


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    assert found.models.close(10)


@pytest.fixture(scope="module")
def alone(adapters: Sequence[Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each says in a server of its own."""
    found = {}
    for run in adapters:
        server = Server(tmp_path_factory.mktemp("alone"))
        server.load(str(run.path))
        found[run.id] = [server.answer(body)[1] for body in asked_of(run)]
        assert server.models.close(10)
    assert len({json.dumps(said) for said in found.values()}) == COUNT, "the adapters have to differ"
    return found


def held(models: Sequence[Module]) -> int:
    """Bytes of all parameters, those at one place once."""
    places = {p.data_ptr(): p.nbytes for model in models for p in model.parameters()}
    return sum(places.values())


def test_adapters_keep_their_base_once(server: Server, adapters: Sequence[Run]) -> None:
    separate = [Predictor.open(run).model for run in adapters]
    base = sum(p.nbytes for name, p in separate[0].named_parameters() if "lora" not in name)
    adapter = held(separate[:1]) - base
    assert held(separate) == COUNT * (base + adapter)
    server.load(*(str(run.path) for run in adapters))
    assert held([server.model(run.id) for run in adapters]) == base + COUNT * adapter


def test_what_shares_answers_to_the_bit_as_if_it_were_alone(server: Server, adapters: Sequence[Run]) -> None:
    expected = [logits_of(Predictor.open(run), run) for run in adapters]
    server.load(*(str(run.path) for run in adapters))
    for run, said in zip(adapters, expected, strict=True):
        assert logits_of(server.models.get(run.id).predictor, run) == said


def at_once(*work: Coroutine[Any, Any, None]) -> None:
    """All of it on one event loop, as in a server; the first failure is raised."""

    async def gathered() -> None:
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)

    try:
        asyncio.run(gathered())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def test_requests_to_adapters_at_the_same_time_never_mix(
    server: Server, adapters: Sequence[Run], alone: dict[str, list[str]]
) -> None:
    server.load(*(str(run.path) for run in adapters))

    async def call(run: Run) -> None:
        for _ in range(2):
            for body, said in zip(asked_of(run), alone[run.id], strict=True):
                assert await server.answered(body) == (run.id, said)

    at_once(*(call(run) for run in adapters))


def test_a_version_that_goes_leaves_the_base_to_the_others(
    tmp_path: Path, adapters: Sequence[Run], alone: dict[str, list[str]]
) -> None:
    """The first one loaded is the one whose memory all share: it is replaced while all are asked."""
    registry = Registry(tmp_path / "home")
    first, second = (registry.register(run, "facts") for run in adapters[:2])
    move(registry, first.number)
    server = Server(tmp_path, registry)
    server.load("facts", str(adapters[2].path))
    gone = weakref.ref(server.model("facts@1"))
    bodies = asked_of(adapters[2])
    versions = {f"facts@{n}": alone[run.id] for n, run in enumerate(adapters[:2], start=1)}
    seen: list[str] = []
    over = False

    async def ask_the_name() -> None:
        while not over or "facts@2" not in seen:
            for place, body in enumerate(bodies):
                label, text = await server.answered({**body, "model": "facts"})
                assert versions[label][place] == text
                seen.append(label)

    async def ask_the_other() -> None:
        while not over:
            for body, said in zip(bodies, alone[adapters[2].id], strict=True):
                assert await server.answered(body) == (adapters[2].id, said)

    async def flip() -> None:
        nonlocal over
        while len(seen) < 6:
            await asyncio.sleep(0.01)
        move(registry, second.number)
        wanted = await asyncio.to_thread(server.loaded.wanted, "facts", server.said.append)
        server.loaded.point("facts", wanted, server.said.append)
        while seen.count("facts@2") < 6:
            await asyncio.sleep(0.01)
        over = True

    at_once(ask_the_name(), ask_the_other(), flip())
    assert set(seen) == {"facts@1", "facts@2"} and server.models.labels() == {"facts@2", adapters[2].id}
    assert server.models.close(10)
    gc.collect()
    assert gone() is None, "what was replaced is still in memory"
    both = [server.model(label) for label in ("facts@2", adapters[2].id)]
    assert held(both) < 1.5 * held(both[:1])


def move(registry: Registry, number: int) -> None:
    version = registry.resolve(f"facts@{number}")
    with registry.deciding("facts") as now:
        registry.decide("facts", "promoted", version, {**now, "champion": number}, expected=now, facts={})


def test_each_keeps_its_own_template(adapters: Sequence[Run], tmp_path: Path) -> None:
    """Weights in common are no reason to read a dialogue as the other model does."""
    first, other = (Predictor.open(run) for run in adapters[:2])
    folder = Path(shutil.copytree(adapters[1].model, tmp_path / "model"))
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("\n' + message", ": ' + message").replace("nt\n'", "nt: '"))
    changed = replace(other, encoder=ChatEncoder(folder, other.encoder.max_length))
    row = changed.canonical(QUESTIONS[0], 1)
    how = generation(changed.config)
    before = [predictor.respond([row], how) for predictor in (first, changed)]
    assert share(changed.model, [first.model]) > 0
    assert [predictor.respond([row], how) for predictor in (first, changed)] == before


def model_of(*tensors: torch.Tensor) -> Module:
    found = Module()
    for number, tensor in enumerate(tensors):
        found.register_parameter(f"weight{number}", Parameter(tensor, requires_grad=False))
    return found


def numbers(count: int = 256) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float32)


def test_equal_numbers_of_another_place_are_shared_and_the_first_owner_may_go() -> None:
    first, second, third = (model_of(numbers()) for _ in range(3))
    assert share(second, [first]) == numbers().nbytes
    del first
    gc.collect()
    assert share(third, [second]) == numbers().nbytes
    assert torch.equal(third.get_parameter("weight0"), numbers())


@pytest.mark.parametrize(
    "other",
    [
        numbers().to(torch.bfloat16),
        numbers().view(16, 16),
        torch.cat([-numbers(1), numbers()[1:]]),
        torch.cat([numbers(255), torch.tensor([255.5])]),
        torch.cat([numbers(1), numbers()])[1:],
    ],
    ids=["type", "shape", "minus-zero", "last-number", "alignment"],
)
def test_what_differs_in_anything_is_not_shared(other: torch.Tensor) -> None:
    assert share(model_of(other), [model_of(numbers())]) == 0


def test_weights_with_scales_of_their_own_are_not_shared() -> None:
    class Scaled(Parameter):
        pass

    first, second = model_of(numbers()), Module()
    second.register_parameter("weight0", Scaled(numbers(), requires_grad=False))
    assert share(second, [first]) == 0 and share(first, [second]) == 0
