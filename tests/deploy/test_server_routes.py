"""The routes over real (tiny) models: answers are the predictor's, errors are OpenAI's, nothing is open."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from asking import HOST, Answered, ask, asked
from served_models import QUESTION, Served

from tuneproof.deploy.server.access import Access
from tuneproof.deploy.server.bodies import INPUTS
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.guard import BODY_BYTES, OPEN, SCOPES, Guard
from tuneproof.deploy.server.hosted import Models, host, prove
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.routes import ROUTES, State, routed
from tuneproof.errors import CheckError
from tuneproof.predict import Predictor
from tuneproof.run import Run

# -- answers


def test_labels_are_those_of_the_predictor(served: Served, reviewer: Predictor) -> None:
    texts = ["the lamp is broken", "a lovely clock", "great", "it was awful and flimsy i think"]
    answer = served.post("/v1/classify", {"model": "reviews", "input": texts})
    assert answer.status == 200 and answer.json["model"] == "reviews@1" and answer.headers["x-model"] == "reviews@1"
    for index, (one, said) in enumerate(zip(answer.json["data"], reviewer(texts), strict=True)):
        assert one["index"] == index and one["label"] == said.value
        assert abs(one["confidence"] - said.confidence) < 1e-6
        assert {each["label"]: each["prob"] for each in one["probs"]} == pytest.approx(said.probabilities, abs=1e-6)
        assert [each["prob"] for each in one["probs"]] == sorted((each["prob"] for each in one["probs"]), reverse=True)


def test_top_k_and_single_texts_and_rows(served: Served) -> None:
    one = served.post("/v1/classify", {"model": "reviews@1", "input": "great", "top_k": 1}).json["data"]
    assert len(one) == 1 and len(one[0]["probs"]) == 1
    row = served.post("/v1/predict", {"model": "reviews", "input": {"text": "great"}}).json["data"]
    assert row[0]["label"] == one[0]["label"]


def test_a_chat_answers_as_the_predictor_does(served: Served, chatter: Predictor) -> None:
    answer = served.post("/v1/chat/completions", {"model": "chats", **QUESTION})
    (said,) = chatter([QUESTION])
    assert answer.json["choices"][0]["message"] == {"role": "assistant", "content": said.value}
    assert answer.json["usage"]["completion_tokens"] == said.tokens_out
    assert answer.json["usage"]["prompt_tokens"] == said.tokens_in
    assert answer.json["choices"][0]["finish_reason"] == ("stop" if said.scores["stopped"] else "length")


def test_a_streamed_answer_is_the_same_answer(served: Served) -> None:
    whole = served.post("/v1/chat/completions", {"model": "chats", **QUESTION}).json["choices"][0]
    body = {"model": "chats", "stream": True, "stream_options": {"include_usage": True}, **QUESTION}
    answer = served.post("/v1/chat/completions", body)
    *events, usage, done = answer.events
    assert done == "[DONE]" and answer.headers["content-type"].startswith("text/event-stream")
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert text == whole["message"]["content"]
    assert events[-1]["choices"][0]["finish_reason"] == whole["finish_reason"]
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"]
    assert {event["object"] for event in events} == {"chat.completion.chunk"}


def test_many_at_once_say_what_each_would_say_alone(served: Served, chatter: Predictor) -> None:
    questions = [
        f"{number}: what is the {fact}" for number, fact in enumerate(["sound of a cat", "colour of grass"] * 6)
    ]
    bodies = [{"model": "chats", "messages": [{"role": "user", "content": text}]} for text in questions]

    async def all_of_them() -> list[Answered]:
        return await asyncio.gather(
            *(asked(served.app, "POST", "/v1/chat/completions", body, token=served.access.first) for body in bodies)
        )

    alone = [chatter([{"messages": body["messages"]}])[0].value for body in bodies]
    together = [answer.json["choices"][0]["message"]["content"] for answer in asyncio.run(all_of_them())]
    assert together == alone
    assert (
        served.metrics.value("requests_total", route="/v1/chat/completions", model="chats", version="1", code="200")
        == 12
    )


def test_many_texts_at_once_go_through_all_threads_of_a_model(served: Served, reviewer: Predictor) -> None:
    texts = [f"the lamp number {number} is {word}" for number in range(40) for word in ("great", "broken and awful")]

    async def all_of_them() -> list[Answered]:
        bodies = [{"model": "reviews", "input": text} for text in texts]
        return await asyncio.gather(
            *(asked(served.app, "POST", "/v1/classify", body, token=served.access.first) for body in bodies)
        )

    for answer, alone in zip(asyncio.run(all_of_them()), reviewer(texts), strict=True):
        (one,) = answer.json["data"]
        assert one["label"] == alone.value and abs(one["confidence"] - alone.confidence) < 1e-5
    hosted = host("reviews@2", reviewer, served.metrics, lambda label: None, 3)
    names = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("model reviews@2") for name in names) == 3
    hosted.batcher.close()
    assert hosted.batcher.join(10)


def test_an_answer_ends_where_it_was_asked_to(served: Served) -> None:
    whole = served.post("/v1/completions", {"model": "chats", "prompt": "1: what is the colour of snow"}).json
    text = whole["choices"][0]["text"]
    assert len(text) > 4
    body = {"model": "chats", "prompt": "1: what is the colour of snow", "stop": text[3:5]}
    stopped = served.post("/v1/completions", body).json["choices"][0]
    assert stopped["text"] == text.split(text[3:5])[0].rstrip() and stopped["finish_reason"] == "stop"
    short = served.post("/v1/completions", {**body, "stop": None, "max_tokens": 1}).json
    assert short["choices"][0]["finish_reason"] == "length" and short["usage"]["completion_tokens"] == 1


def test_draws_repeat_with_their_seed(served: Served) -> None:
    body = {"model": "chats", "temperature": 1.5, "seed": 3, "n": 2, **QUESTION}
    first, second = (served.post("/v1/chat/completions", body).json["choices"] for _ in range(2))
    other = served.post("/v1/chat/completions", {**body, "seed": 4}).json["choices"]
    assert first == second and first != other
    assert first[0]["message"] != first[1]["message"]
    alone = served.post("/v1/chat/completions", {**body, "n": 1}).json["choices"]
    assert alone == first[:1], "what stands beside it in a batch changes nothing"


def test_what_is_too_long_is_refused_or_cut_as_asked(served: Served) -> None:
    long = "great " * 500
    refused = served.post("/v1/classify", {"model": "reviews", "input": ["great", long]})
    assert (refused.status, refused.code) == (422, "context_length_exceeded") and "input 1" in refused.json["error"][
        "message"
    ]
    cut = served.post("/v1/classify", {"model": "reviews", "input": ["great", long], "truncate": True})
    assert cut.status == 200 and cut.headers["x-truncated"] == "1"


def test_feedback_finds_its_answer(served: Served, tmp_path: Path) -> None:
    id = served.post("/v1/classify", {"model": "reviews", "input": "great"}).headers["x-request-id"]
    assert served.post("/v1/feedback", {"request_id": id, "label": "positive"}).json["model"] == "reviews@1"
    kept = json.loads((tmp_path / "feedback" / "reviews.jsonl").read_text())
    assert kept["request_id"] == id and kept["version"] == "1"
    assert served.post("/v1/feedback", {"request_id": "0" * 24, "label": "positive"}).status == 404
    assert served.post("/v1/feedback", {"request_id": id}).status == 400


def test_models_are_listed_and_the_server_is_ready(served: Served) -> None:
    listed = served.get("/v1/models").json["data"]
    assert {model["id"] for model in listed} == {"reviews", "reviews@1", "chats", "chats@1"}
    assert {model["decides"] for model in listed} == {""}, "nothing but the likeliest label is given"
    assert served.get("/readyz").json["models"] == ["chats@1", "reviews@1"]
    assert "tuneproof_requests_total" in served.get("/metrics").body.decode()


# -- what is refused


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/classify", {"model": "nobody", "input": "a"}, 404, "model_not_found"),
        ("/v1/classify", {"model": "reviews@9", "input": "a"}, 404, "model_not_found"),
        ("/v1/classify", {"model": "chats", "input": "a"}, 400, "wrong_task"),
        ("/v1/chat/completions", {"model": "reviews", **QUESTION}, 400, "wrong_task"),
        ("/v1/token-classify", {"model": "reviews", "input": "a"}, 400, "wrong_task"),
        ("/v1/embeddings", {"model": "reviews", "input": "a"}, 400, "wrong_task"),
        ("/v1/answer", {"model": "reviews", "question": "a", "context": "b"}, 400, "wrong_task"),
        ("/v1/classify", {"model": "reviews", "input": " "}, 400, "empty_input"),
        ("/v1/classify", {"model": "reviews", "input": []}, 400, "invalid_value"),
        ("/v1/classify", {"model": "reviews", "input": {"other": "a"}}, 422, "unusable_input"),
        ("/v1/classify", {"model": "reviews", "input": ["a"] * (INPUTS + 1)}, 413, "too_many_inputs"),
        ("/v1/chat/completions", {"model": "chats", "messages": []}, 400, "invalid_value"),
        ("/v1/chat/completions", {"model": "chats", **QUESTION, "n": 9}, 400, "invalid_value"),
        ("/v1/chat/completions", {"model": "chats", **QUESTION, "stop": ["a"] * 9}, 400, "invalid_value"),
        ("/v1/chat/completions", {"model": "chats", **QUESTION, "tools": []}, 400, "unknown_field"),
        ("/v1/chat/completions", {"model": "chats", **QUESTION, "max_tokens": 9999}, 400, "context_length_exceeded"),
        (
            "/v1/chat/completions",
            {"model": "chats", "messages": [{"role": "user", "content": "a b " * 999}]},
            422,
            "context_length_exceeded",
        ),
        ("/v1/nothing", {}, 404, "unknown_path"),
        ("/v1/models", {}, 405, "method"),
        ("/v1/classify", b"{", 400, "invalid_json"),
        ("/v1/classify", b" " * (BODY_BYTES + 1), 413, "body_size"),
    ],
)
def test_what_cannot_be_answered_says_why(served: Served, path: str, body: Any, status: int, code: str) -> None:
    answer = served.post(path, body)
    assert (answer.status, answer.code) == (status, code)
    assert set(answer.json["error"]) == {"message", "type", "param", "code"} and answer.headers["x-request-id"]


def test_a_text_never_comes_back_in_an_error(served: Served) -> None:
    canary = "canary-4711"
    for path, body in [
        ("/v1/classify", {"model": canary, "input": "a"}),
        ("/v1/classify", {"model": "reviews", "input": {canary: "a"}}),
        ("/v1/classify", {"model": "reviews", "input": canary * 500}),
        ("/v1/chat/completions", {"model": "chats", "messages": [{"role": canary, "content": "a"}]}),
        ("/v1/chat/completions", {"model": "chats", "messages": [{"role": "user", "content": canary * 900}]}),
    ]:
        answer = served.post(path, body)
        assert answer.status >= 400 and canary.encode() not in answer.body


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"content-type": "text/plain"}, 415, "content_type"),
        ({"origin": "http://evil.example"}, 403, "origin"),
        ({"origin": "null"}, 403, "origin"),
        ({"content-length": str(BODY_BYTES + 1)}, 413, "body_size"),
    ],
)
def test_headers_that_are_refused(served: Served, headers: dict[str, str], status: int, code: str) -> None:
    answer = served.post("/v1/classify", {"model": "reviews", "input": "a"}, headers=headers)
    assert (answer.status, answer.code) == (status, code)


def test_a_page_of_this_server_may_ask(served: Served) -> None:
    body = {"model": "reviews", "input": "a"}
    assert served.post("/v1/classify", body, headers={"origin": f"http://{HOST}"}).status == 200


def test_another_host_name_gets_nothing_not_even_health(served: Served) -> None:
    for path in ("/healthz", "/v1/models", "/"):
        assert served.get(path, host="evil.example").status == 421


VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@pytest.mark.parametrize(
    "path", sorted({path for _, path, _ in ROUTES} | {"/v1", "/admin", "/healthz/", "/v1//models"})
)
def test_every_route_and_verb_needs_a_token_with_the_right_scope(tmp_path: Path, path: str) -> None:
    """The application's own table is what is walked: a route that somebody adds is in it."""
    file = tmp_path / "token"
    access = Access.of(file)
    others = sorted({"infer", "feedback", "metrics", "admin"} - {SCOPES.get(path, "infer")})
    file.write_text(f"{','.join(others)} {'w' * 64}\n")
    metrics = Metrics()
    state = State(Models(metrics), metrics, Feedbacks(tmp_path))
    for verb in VERBS:
        guard = Guard(routed(state), access, metrics, frozenset({HOST}))  # no failure is remembered
        access._failed.clear()
        body = None if verb in ("GET", "HEAD", "OPTIONS") else {}
        if path in OPEN and verb in ("GET", "HEAD"):
            assert ask(guard, verb, path).status == 200
            continue
        if path in OPEN:
            continue
        assert ask(guard, verb, path, body).status == 401
        assert ask(guard, verb, path, body, token="x" * 64).status == 401
        assert ask(guard, verb, path, body, token="w" * 64).status == 403


def test_guessing_is_slowed_down(served: Served) -> None:
    for _ in range(10):
        assert ask(served.app, "GET", "/v1/models", token="x" * 64).status == 401
    answer = ask(served.app, "GET", "/v1/models", token=served.access.first)
    assert answer.status == 429 and answer.headers["retry-after"] == "60"


def test_a_server_that_ends_takes_no_more(served: Served) -> None:
    served.app.draining = True
    answer = served.post("/v1/classify", {"model": "reviews", "input": "a"})
    assert (answer.status, answer.code) == (503, "draining") and served.get("/healthz").status == 200


def test_the_first_visit_of_a_browser_carries_the_token_in_its_address(served: Served) -> None:
    page = ask(served.app, "GET", f"/?token={served.access.first}")
    assert page.status == 200 and page.headers["referrer-policy"] == "no-referrer"
    assert ask(served.app, "GET", "/?token=wrong").status == 401
    assert ask(served.app, "GET", f"/v1/models?token={served.access.first}").status == 401


def test_a_caller_who_hangs_up_stops_costing(served: Served) -> None:
    body = {"model": "chats", "temperature": 2.0, "seed": 1, "max_tokens": 200, **QUESTION}
    asyncio.run(asked(served.app, "POST", "/v1/chat/completions", body, token=served.access.first, leave_after=0.0))
    assert served.heard[-1].status == 499
    hosted = served.models.get("chats")
    for _ in range(400):
        if hosted.batcher.idle:
            break
        asyncio.run(asyncio.sleep(0.01))
    assert hosted.batcher.idle


def test_a_body_that_does_not_come_is_not_waited_for(served: Served) -> None:
    served.app.body_seconds = 0.05

    async def silent() -> int:
        sent: list[Any] = []

        async def receive() -> Any:
            await asyncio.sleep(5)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = {"host": HOST, "authorization": f"Bearer {served.access.first}", "content-type": "application/json"}
        scope = {
            "type": "http", "method": "POST", "path": "/v1/classify", "query_string": b"", "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        await served.app(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(silent()) == 408


# -- what is served


def test_a_loaded_model_answers_as_when_it_was_scored(review_run: Run, reviewer: Predictor) -> None:
    prove(review_run, reviewer)
    head = next(module for name, module in reviewer.model.named_modules() if name == "classifier")
    kept = head.weight.detach().clone()
    try:
        head.weight.data = -head.weight.data
        with pytest.raises(CheckError, match="when it was scored"):
            prove(review_run, reviewer)
    finally:
        head.weight.data = kept


def test_a_name_moves_in_one_step_and_the_old_version_goes(served: Served, reviewer: Predictor) -> None:
    old = served.models.get("reviews")
    served.models.add("reviews@2", reviewer)
    assert served.models.get("reviews") is old
    began = time.monotonic()
    served.models.point("reviews", {"champion": "reviews@2"})
    assert (
        served.models.get("reviews").label == "reviews@2" and served.models.get("reviews@champion").label == "reviews@2"
    )
    assert time.monotonic() - began <= 1  # ACCEPTANCE 16, and the loading before it is no part of it
    assert served.post("/v1/classify", {"model": "reviews@1", "input": "a"}).status == 404
    assert old.batcher.join(10)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/v1/classify", {"model": "chats", "input": "a"}, "ask it at /v1/chat/completions"),
        ("/v1/chat/completions", {"model": "reviews", **QUESTION}, "ask it at /v1/classify"),
        ("/v1/classify", {"model": "reviews", "input": {"other": "a"}}, "input 0: the row has no text"),
        ("/v1/classify", {"model": "reviews", "input": 5}, "input: give a text, a row as an object, or a list"),
        ("/v1/classify", {"model": "reviews", "input": ["a", None]}, "input: give a text"),
        ("/v1/classify", {"model": "reviews"}, "input: field required"),
        ("/v1/classify", {"model": "reviews", "input": "a", "x" * 500: 1}, "x" * 80 + ": there is no such field"),
        ("/v1/chat/completions", {"model": "chats", "messages": [{"role": "user"}]}, "messages.0.content: field"),
        (
            "/v1/chat/completions",
            {"model": "chats", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages.0.content: give a text, or a list of parts",
        ),
        (
            "/v1/chat/completions",
            {"model": "chats", "messages": [{"role": "user", "content": "a", "tool": 1}]},
            "messages.0.tool: there is no such field",
        ),
    ],
)
def test_an_error_names_the_field_and_what_to_do(served: Served, path: str, body: Any, said: str) -> None:
    error = served.post(path, body).json["error"]
    assert said in error["message"], error


def test_a_dialogue_that_is_too_long_is_a_fault_of_its_messages(served: Served) -> None:
    long = "a b " * 999
    body = {"model": "chats", "messages": [{"role": "user", "content": long}]}
    assert served.post("/v1/chat/completions", body).json["error"]["param"] == "messages"
    assert served.post("/v1/completions", {"model": "chats", "prompt": long}).json["error"]["param"] == "prompt"


def test_one_model_is_told_by_any_of_its_names(served: Served) -> None:
    told = served.get("/v1/models/reviews").json
    assert (told["id"], told["version"], told["object"]) == ("reviews", "reviews@1", "model")
    assert served.get("/v1/models/reviews@1").json["task"] == told["task"]
    nobody = served.get("/v1/models/nobody")
    assert (nobody.status, nobody.code) == (404, "model_not_found")
