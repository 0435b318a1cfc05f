"""The application over two tiny models, a classifier and one that writes, with the token for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asking import HOST, Answered, ask

from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.guard import Exchange, Guard
from tuneproof.deploy.server.hosted import Models
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.routes import State, routed
from tuneproof.predict import Predictor
from tuneproof.run import Run

QUESTION = {"messages": [{"role": "user", "content": "1: what is the colour of snow"}]}


class Served:
    """An application with both models, and the token for it."""

    def __init__(self, folder: Path, reviews: Predictor, chats: Predictor) -> None:
        self.metrics = Metrics()
        self.models = Models(self.metrics)
        self.models.add("reviews@1", reviews)
        self.models.add("chats@1", chats)
        self.models.point("reviews", {"champion": "reviews@1"})
        self.models.point("chats", {"champion": "chats@1"})
        self.access = Access.of(folder / "token")
        self.state = State(self.models, self.metrics, Feedbacks(folder / "feedback"))
        self.heard: list[Exchange] = []
        self.app = Guard(
            routed(self.state),
            self.access,
            self.metrics,
            frozenset({HOST}),
            self.over,
        )

    def over(self, exchange: Exchange, seconds: float) -> None:
        self.heard.append(exchange)
        self.models.heard(exchange, seconds)

    def post(self, path: str, body: Any, **more: Any) -> Answered:
        return ask(self.app, "POST", path, body, token=self.access.first, **more)

    def get(self, path: str, **more: Any) -> Answered:
        return ask(self.app, "GET", path, token=self.access.first, **more)


@pytest.fixture(scope="module")
def reviewer(review_run: Run) -> Predictor:
    return Predictor.open(review_run)


@pytest.fixture(scope="module")
def chatter(chat_run: Run) -> Predictor:
    return Predictor.open(chat_run)


@pytest.fixture
def served(tmp_path: Path, reviewer: Predictor, chatter: Predictor) -> Iterator[Served]:
    found = Served(tmp_path, reviewer, chatter)
    yield found
    assert found.models.close(10)
