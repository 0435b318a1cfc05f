"""Models that read, computed by onnxruntime: the same answers, one graph for a model, and refusals."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tuneproof.deploy.registry import Registry
from tuneproof.deploy.server.graph import WRITERS, Graph, by_graph, end_writers, sum_of
from tuneproof.deploy.server.hosted import Models
from tuneproof.deploy.server.loaded import Loaded
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.errors import CheckError
from tuneproof.predict import Predictor
from tuneproof.records import Prediction
from tuneproof.run import Run

TEXTS = ("bad", "a good film, and then some more of it", "good", "the worst of all that I have seen in years")


def close(ours: list[Prediction], theirs: list[Prediction]) -> None:
    assert [one.value for one in ours] == [one.value for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5) and one.probabilities
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


@pytest.fixture(scope="module")
def graphed(review_run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Predictor, Path, list[str]]:
    """The classifier over its graph, the folder of the graph, and what was said while it was made."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("graphs")
        patch.setenv("XDG_DATA_HOME", str(home))
        found, why = by_graph(Predictor.open(review_run), review_run, "reviews@1", 1, said.append)
    assert not why and isinstance(found.model, Graph)
    (folder,) = (home / "tuneproof" / "graphs").iterdir()
    return found, folder, said


def test_it_answers_as_the_model_that_was_scored(
    graphed: tuple[Predictor, Path, list[str]], reviewer: Predictor
) -> None:
    found, folder, said = graphed
    assert (folder / "model.onnx").is_file() and said == ["Writing the graph of reviews@1 for onnxruntime, once"]
    close(found(TEXTS), reviewer(TEXTS))
    for text in TEXTS:
        close(found([text]), reviewer([text]))


def test_several_threads_ask_one_graph(graphed: tuple[Predictor, Path, list[str]]) -> None:
    found, wrong = graphed[0], list[str]()
    alone = {text: found([text])[0].probabilities for text in TEXTS}

    def ask(text: str) -> None:
        for _ in range(50):
            if found([text])[0].probabilities != alone[text]:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(text,)) for text in TEXTS]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


def test_a_server_finds_the_graph_and_keeps_writers_with_torch(
    graphed: tuple[Predictor, Path, list[str]],
    review_run: Run,
    chat_run: Run,
    reviewer: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(graphed[1].parents[2]))
    said: list[str] = []
    loaded = Loaded(Models(Metrics()), Registry(tmp_path), graphs=True)
    for run in (review_run, chat_run):
        loaded.load(str(run.path), said.append)
    assert not [line for line in said if line.startswith("Writing")], "it was made before"
    assert f"{review_run.id} is computed by onnxruntime" in said
    assert any(line.startswith(f"{chat_run.id} is computed by torch: ") and "gguf" in line for line in said)
    hosted = {one.label: one.predictor for one in loaded.models.all()}
    close(hosted[review_run.id](TEXTS), reviewer(TEXTS))
    assert not isinstance(hosted[chat_run.id].model, Graph)
    assert loaded.models.close(10) and not loaded.sooner


def test_a_server_by_torch_knows_what_would_be_answered_sooner(review_run: Run, chat_run: Run, tmp_path: Path) -> None:
    loaded = Loaded(Models(Metrics()), Registry(tmp_path))
    for run in (review_run, chat_run):
        loaded.load(str(run.path), lambda line: None)
    assert loaded.sooner == [review_run.id], "a model that writes has no graph"
    assert loaded.models.close(10)


def test_a_graph_that_was_changed_is_refused_and_another_model_needs_another(
    graphed: tuple[Predictor, Path, list[str]], review_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    kept = Path(shutil.copytree(graphed[1], tmp_path / "tuneproof" / "graphs" / graphed[1].name))

    def opened() -> None:
        by_graph(Predictor.open(review_run), review_run, "reviews@1", 1, print)

    opened()
    graph = kept / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(CheckError, match="is not what was written") as error:
        opened()
    assert str(kept) in error.value.hint
    (kept / "export.json").unlink()
    with pytest.raises(CheckError, match="is not what was written"):
        opened()
    other = Path(shutil.copytree(review_run.model, tmp_path / "other"))
    base = review_run.plan["model"]["revision"]
    assert sum_of(other, base) == sum_of(review_run.model, base) == kept.name
    assert sum_of(other, "another revision") != kept.name, "an adapter is half of a model"
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert sum_of(other, base) != kept.name


def test_a_server_that_ends_does_not_wait_for_a_graph(
    review_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    timer = threading.Timer(1.0, end_writers)
    timer.start()
    with pytest.raises(CheckError, match=r"The graph of reviews@1 was not written\."):
        by_graph(Predictor.open(review_run), review_run, "reviews@1", 1, print)
    timer.join()
    assert not [*(tmp_path / "tuneproof" / "graphs").glob("[!.]*")] and not WRITERS


def test_an_input_that_the_graph_does_not_have_is_an_error_and_no_other_answer(
    graphed: tuple[Predictor, Path, list[str]],
) -> None:
    model, ids = graphed[0].model, torch.tensor([[1, 2, 3]])
    whole: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert torch.equal(model(input_ids=ids).logits, whole)
    with pytest.raises(ValueError, match="no input position_ids"):
        model(input_ids=ids, position_ids=ids)
