"""What each task's route answers is what the predictor says; OpenAI's own client gets the vectors."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from asking import HOST, ask
from openai import OpenAI

from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.guard import Guard
from tuneproof.deploy.server.hosted import Models, alike
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.routes import State, routed
from tuneproof.predict import Predictor
from tuneproof.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")
Finished = Callable[[str, str], Path]


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


class One:
    """An application over the model of one task."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.predictor = Predictor.open(run)
        metrics = Metrics()
        self.models = Models(metrics)
        self.models.add("one@1", self.predictor)
        self.models.point("one", {"champion": "one@1"})
        self.access = Access.of(folder / "token")
        state = State(self.models, metrics, Feedbacks(folder / "feedback"))
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.app = Guard(routed(state), self.access, metrics, frozenset({HOST, self.host}))
        test = run.splits.test
        self.rows = [self.predictor.answer.without_truth(test.row(index)) for index in range(3)]

    def post(self, path: str, body: Any) -> Any:
        said = ask(self.app, "POST", path, {"model": "one", **body}, token=self.access.first)
        assert said.status == 200, said.body
        assert said.json["model"] == said.headers["x-model"] == "one@1"
        return said.json


@pytest.fixture
def one(tmp_path: Path, finished: Finished, request: pytest.FixtureRequest) -> Iterator[One]:
    found = One(tmp_path, Run.open(finished(request.param, "full")))
    yield found
    found.socket.close()
    assert found.models.close(10)


@pytest.mark.parametrize("one", ["token-classification"], indirect=True)
def test_entities_have_their_places_in_the_text(one: One) -> None:
    text = "Ann Lee went to Berlin"
    (said,) = one.post("/v1/token-classify", {"input": text})["data"]
    assert said["entities"] == one.predictor.answer.show(one.predictor([text])[0])["entities"]
    assert all(0 <= entity["start"] < entity["end"] <= len(text) for entity in said["entities"])


@pytest.mark.parametrize("one", ["question-answering"], indirect=True)
def test_a_question_is_answered_from_its_text(one: One) -> None:
    asked = {"question": "where did Ann go", "context": "Ann went to Berlin and Bob to Rome"}
    said = one.post("/v1/answer", asked)
    schema = one.predictor.schema
    row = one.predictor.answer.ask({schema.fields[part]: text for part, text in asked.items()}, schema)
    ours = {**one.predictor.answer.show(one.predictor([row])[0]), "model": "one@1"}
    assert alike(said, as_json(ours))


@pytest.mark.parametrize("one", ["text-regression", "seq2seq", "multi-label-classification"], indirect=True)
def test_rows_of_any_task_are_predicted(one: One) -> None:
    fields = one.predictor.schema.fields
    asked = [{fields.get(part, part): value for part, value in row.items() if part in fields} for row in one.rows]
    said = one.post("/v1/predict", {"input": asked})["data"]
    ours = [one.predictor.answer.show(prediction) for prediction in one.predictor(one.rows)]
    assert alike([{key: value for key, value in row.items() if key != "index"} for row in said], as_json(ours))


@pytest.mark.parametrize("one", ["embeddings"], indirect=True)
def test_openais_client_gets_the_vectors(one: One) -> None:
    """Packed as base64, which is what it asks for, and read by it."""
    texts = ["the lamp is great", "the clock is broken"]

    server = uvicorn.Server(uvicorn.Config(one.app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([one.socket],))
    thread.start()
    try:
        with OpenAI(base_url=f"http://{one.host}/v1", api_key=one.access.first, max_retries=0) as client:
            found = client.embeddings.create(model="one", input=texts)
    finally:
        server.should_exit = True
        thread.join(30)
    assert found.model == "one@1" and found.usage.total_tokens > 0
    ours = [one.predictor.answer.show(prediction)["vector"] for prediction in one.predictor(texts)]
    for mine, theirs in zip(ours, found.data, strict=True):
        assert theirs.embedding == pytest.approx(mine, abs=1e-5)
