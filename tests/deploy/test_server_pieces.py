"""The parts of the server on their own: tokens, the queue, an answer that grows, bodies, metrics, the log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tuneproof.deploy.server import bodies
from tuneproof.deploy.server.access import FAILURES, Access
from tuneproof.deploy.server.batching import CRASHES, QUEUE_ITEMS, Batcher, Item
from tuneproof.deploy.server.failures import Refusal
from tuneproof.deploy.server.feedback import Feedbacks
from tuneproof.deploy.server.guard import Exchange
from tuneproof.deploy.server.hosted import alike
from tuneproof.deploy.server.log import Log, purge
from tuneproof.deploy.server.metrics import Metrics
from tuneproof.deploy.server.page import try_out
from tuneproof.deploy.server.serving import Serving
from tuneproof.deploy.server.writing import Writing
from tuneproof.errors import ConfigError, DataError
from tuneproof.records import Generation, Prediction

# -- who may ask


def test_a_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "run" / "token"
    access = Access.of(file)
    assert file.stat().st_mode & 0o777 == 0o600 and len(access.first) == 64
    assert access.scopes(f"Bearer {access.first}") == {"infer", "feedback", "metrics", "admin"}
    assert Access.of(file).first == access.first
    for wrong in ("", "Bearer ", f"Basic {access.first}", f"Bearer {access.first[:-1]}", f"Bearer {access.first}0"):
        assert access.scopes(wrong) is None


def test_two_tokens_live_at_once_and_the_old_one_goes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    access = Access.of(file)
    old, new = access.first, "n" * 40
    file.write_text(f"infer {old}\ninfer,feedback {new}\n")
    access.refresh()
    assert access.scopes(f"Bearer {old}") == {"infer"} and access.scopes(f"Bearer {new}") == {"infer", "feedback"}
    file.write_text(f"infer {new}\n")
    access.refresh()
    assert access.scopes(f"Bearer {old}") is None


@pytest.mark.parametrize("line", ["infer short", "owner " + "x" * 40, "infer"])
def test_a_wrong_line_of_the_token_file_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "token").write_text(f"{line}\n")
    (tmp_path / "token").chmod(0o600)
    with pytest.raises(ConfigError, match="line 1"):
        Access.of(tmp_path / "token")


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("infer " + "x" * 40 + "\n")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ConfigError, match="may read"):
        Access.of(tmp_path / "token")


def test_who_fails_often_waits_and_others_do_not() -> None:
    access = Access(None)
    for _ in range(FAILURES):
        assert not access.blocked("10.0.0.1")
        access.failed("10.0.0.1")
    assert access.blocked("10.0.0.1") and not access.blocked("10.0.0.2")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Serving(host="0.0.0.0"), "not this machine alone"),
        (Serving(host="192.168.1.5", auth=False), "anybody could ask"),
        (Serving(certificate=Path("a.pem")), "belong together"),
        (Serving(certificate=Path("a.pem"), key=Path("a.key")), "no file a.pem"),
        (Serving(certificate=Path(__file__), key=Path(__file__)), "no certificate and its key"),
        (Serving(port=99999), "from 0 to 65535"),
        (Serving(port=-1), "from 0 to 65535"),
    ],
)
def test_a_server_open_to_others_is_refused(how: Serving, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        how.check()


def test_loopback_needs_nothing_and_a_proxy_may_encrypt() -> None:
    Serving().check()
    Serving(host="0.0.0.0", behind_proxy=True).check()
    assert Serving().names(8433) == {"127.0.0.1:8433", "localhost:8433", "[::1]:8433"}


# -- the queue


def item(length: int = 4, done: Any = None, **more: Any) -> Item:
    heard: list[Any] = []
    how = more.pop("how", Generation(4))
    found = Item({"n": length}, length, how, more.pop("deadline", time.monotonic() + 30), done or heard.append, **more)
    return found


def wait(condition: Any) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


class Gate:
    """Work that waits until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[Item]) -> list[Prediction]:
        self.batches.append([one.length for one in items])
        self.open.wait(10)
        return [Prediction(one.length) for one in items]


def test_an_idle_model_starts_at_once_and_what_came_meanwhile_goes_together() -> None:
    gate, heard = Gate(), list[Any]()
    batcher = Batcher("m", gate, Metrics())
    batcher.submit([item(4, heard.append)])
    wait(lambda: gate.batches)
    batcher.submit([item(length, heard.append) for length in (10, 11, 100, 10, 105)])
    gate.open.set()
    wait(lambda: len(heard) == 6)
    assert gate.batches == [[4], [10, 11, 10], [100, 105]]
    assert sorted(one.value for one in heard) == [4, 10, 10, 11, 100, 105]


def test_two_threads_share_what_waits() -> None:
    gate, heard, begun = Gate(), list[Any](), list[int]()
    batcher = Batcher("m", gate, Metrics(), threads=2, begin=lambda: begun.append(threading.get_ident()))
    batcher.submit([item(4, heard.append), item(4, heard.append)])
    wait(lambda: len(gate.batches) == 2)
    assert len(set(begun)) == 2 and not batcher.idle
    batcher.submit([item(10, heard.append) for _ in range(5)])
    gate.open.set()
    wait(lambda: len(heard) == 7 and batcher.idle)
    assert gate.batches[:3] == [[4], [4], [10, 10, 10]]
    batcher.close()
    assert batcher.join(10)


def test_inputs_that_want_other_answers_do_not_share_a_batch() -> None:
    gate = Gate()
    batcher = Batcher("m", gate, Metrics())
    batcher.submit([item(9)])
    wait(lambda: gate.batches)
    batcher.submit([item(5), item(5, how=Generation(4, temperature=1.0)), item(5, how=Generation(99))])
    gate.open.set()
    wait(lambda: len(gate.batches) == 3)
    assert gate.batches == [[9], [5, 5], [5]]  # how long an answer may be does not matter


def test_a_full_queue_takes_all_of_a_request_or_nothing() -> None:
    gate = Gate()
    batcher = Batcher("m", gate, Metrics())
    batcher.submit([item()])
    wait(lambda: gate.batches)
    batcher.submit([item() for _ in range(QUEUE_ITEMS - 1)])
    with pytest.raises(Refusal) as refused:
        batcher.submit([item(), item()])
    assert (refused.value.status, refused.value.after) == (429, 1)
    batcher.submit([item()])
    gate.open.set()


def test_who_has_gone_or_is_too_late_costs_nothing() -> None:
    gate, heard = Gate(), list[Any]()
    batcher = Batcher("m", gate, Metrics())
    batcher.submit([item(9)])
    wait(lambda: gate.batches)
    gone, late = item(5, heard.append), item(5, heard.append, deadline=time.monotonic() - 1)
    gone.gone = True
    batcher.submit([gone, late, item(6, heard.append)])
    gate.open.set()
    wait(lambda: len(heard) == 2)
    assert gate.batches == [[9], [6]]
    assert heard[0].status == 504 and heard[1].value == 6


def test_one_bad_input_does_not_spoil_the_others() -> None:
    def work(items: Sequence[Item]) -> list[Prediction]:
        if any(one.length == 13 for one in items):
            raise DataError("thirteen")
        return [Prediction(one.length) for one in items]

    heard: list[Any] = []
    batcher = Batcher("m", work, Metrics())
    batcher.submit([item(12, heard.append), item(13, heard.append), item(12, heard.append)])
    wait(lambda: len(heard) == 3)
    assert sorted(getattr(one, "status", one.value if isinstance(one, Prediction) else 0) for one in heard) == [
        12,
        12,
        422,
    ]


def test_a_model_that_breaks_answers_503_and_ends_the_server_the_third_time() -> None:
    def work(items: Sequence[Item]) -> list[Prediction]:
        raise ZeroDivisionError

    heard, failed = list[Any](), list[str]()
    batcher = Batcher("m", work, Metrics(), failed=failed.append)
    for count in range(1, CRASHES + 1):
        batcher.submit([item(3, heard.append)])
        wait(lambda count=count: len(heard) == count)
    wait(lambda: failed)
    assert {one.status for one in heard} == {503} and failed == ["m"]


def test_a_closed_queue_answers_what_it_has() -> None:
    heard: list[Any] = []
    batcher = Batcher("m", lambda items: [Prediction(1) for _ in items], Metrics())
    batcher.submit([item(3, heard.append) for _ in range(20)])
    batcher.close()
    assert batcher.join(10) and len(heard) == 20
    with pytest.raises(Refusal) as refused:
        batcher.submit([item()])
    assert refused.value.status == 503


# -- an answer that grows


def spelled(ids: Sequence[int]) -> str:
    """A tokenizer of one byte a token."""
    return bytes(ids).decode("utf-8", errors="replace")


def grown(text: str, until: Sequence[str] = (), limit: int = 10_000) -> tuple[Writing, list[str]]:
    heard: list[str] = []
    writing = Writing(spelled, stops=(0,), limit=limit, until=until, emit=heard.append)
    ids = [*text.encode(), 0]
    for count in range(1, len(ids) + 1):
        if writing.feed(ids[:count]):
            break
    return writing, heard


@given(some.text(some.characters(blacklist_characters="\x00\ufffd", blacklist_categories=("Cs",)), max_size=30))
def test_the_pieces_are_the_text(text: str) -> None:
    writing, heard = grown(text)
    assert "".join(heard) == writing.text == text.lstrip().rstrip() and writing.reason == "stop"


@given(some.text("ab\n ", max_size=20), some.sampled_from(["\n\n", "ab", "b a", "a"]))
def test_nothing_of_a_stop_text_is_ever_sent(text: str, stop: str) -> None:
    writing, heard = grown(text, [stop])
    expected = text.lstrip().split(stop)[0].rstrip() if stop in text.lstrip() else text.strip()
    assert "".join(heard) == writing.text == expected


def test_half_a_character_waits_for_its_other_half() -> None:
    _, heard = grown("é é")
    assert heard == ["é", " é"]


def test_a_limit_ends_an_answer_and_says_so() -> None:
    writing, _ = grown("abcdef", limit=3)
    assert (writing.text, writing.reason, writing.tokens) == ("abc", "length", 3)


# -- bodies


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model": "m", "input": "a", "topk": 3}', "topk"),
        (b'{"model": "m", "input": "a", "top_k": 0}', "top_k"),
        (b'{"model": "m", "input": "a", "top_k": "3"}', "top_k"),
        (b'{"model": 7, "input": "a"}', "model"),
        (b'{"model": "m"}', "input"),
        (b'{"model": "m", "input": null}', "input"),
        (b"[]", None),
        (b'{"model": "m", "input": NaN}', None),
        (b'{"model": "m", "input": "\\ud800"}', None),
        (b'{"model": "m", "input": "\xff"}', None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_a_wrong_body_is_refused_with_the_field_and_without_its_text(body: bytes, param: str | None) -> None:
    with pytest.raises(Refusal) as refused:
        bodies.read(bodies.Classify, body)
    assert refused.value.status == 400 and refused.value.param == param


def test_what_a_body_holds_is_not_told_back() -> None:
    with pytest.raises(Refusal) as refused:
        bodies.read(bodies.Classify, b'{"model": "m", "input": "a", "top_k": "canary-4711"}')
    assert "canary" not in json.dumps(refused.value.body)


@pytest.mark.parametrize(
    ("now", "then", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        (2.5, 2.5004, True),
        (2.5, 2.6, False),
        ([{"start": 1, "label": "PER"}], [{"start": 1, "label": "PER"}], True),
        ([{"start": 1, "label": "PER"}], [{"start": 1, "label": "LOC"}], False),
        (["a"], ["a", "b"], False),
        ({"a": 1}, {"b": 1}, False),
        ([0.1, 0.2], [0.1, 0.2001], True),
        (None, "a", False),
    ],
)
def test_stored_answers_are_compared_as_what_they_are(now: Any, then: Any, same: bool) -> None:
    assert alike(now, then) is same


# -- what is counted and kept


def test_metrics_read_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.count("requests_total", route='a"b\\', code="200")
    metrics.count("inflight", 1)
    metrics.count("inflight", -1)
    for value in (0.004, 0.004, 99.0):
        metrics.observe("latency_seconds", value, route="r")
    text = metrics.text()
    assert 'tuneproof_requests_total{route="a\\"b\\\\",code="200"} 1\n' in text and "tuneproof_inflight 0\n" in text
    assert 'tuneproof_latency_seconds_bucket{route="r",le="0.0025"} 0\n' in text
    assert 'tuneproof_latency_seconds_bucket{route="r",le="0.005"} 2\n' in text
    assert 'tuneproof_latency_seconds_bucket{route="r",le="+Inf"} 3\n' in text
    assert 'tuneproof_latency_seconds_count{route="r"} 3\n' in text


def exchange() -> Exchange:
    return Exchange("a" * 24, 0.0, "/v1/classify", "m", "1", 3, 0, ["write to jo@example.org", "spam"], 200)


def test_the_log_keeps_no_text_unless_asked_and_then_no_address(tmp_path: Path) -> None:
    Log.of(tmp_path / "off", "off").write(exchange(), 0.01)
    Log.of(tmp_path / "full", "full").write(exchange(), 0.01)
    (off,), (full,) = (list((tmp_path / mode).glob("*.jsonl")) for mode in ("off", "full"))
    assert off.stat().st_mode & 0o777 == 0o600
    assert "texts" not in json.loads(off.read_text())
    kept = json.loads(full.read_text())["texts"]
    assert "example.org" not in kept[0] and kept[0].startswith("write to [EMAIL-") and kept[1] == "spam"


@pytest.mark.parametrize("mode", ["on", "sample", "sample:2", "sample:x", "full:1", ""])
def test_an_unknown_mode_of_the_log_is_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ConfigError, match="none of the modes"):
        Log.of(tmp_path, mode)


def test_old_days_of_the_log_can_be_removed(tmp_path: Path) -> None:
    for day in ("2026-01-01", "2026-02-01"):
        (tmp_path / f"requests-{day}.jsonl").write_text("{}\n")
    assert purge(tmp_path, "2026-01-15") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["requests-2026-02-01.jsonl"]


def test_feedback_is_kept_by_model(tmp_path: Path) -> None:
    kept = Feedbacks(tmp_path / "feedback")
    kept.keep("reviews@7", "a" * 24, 0, {"label": "good"})
    kept.keep("reviews@8", "b" * 24, 1, {"score": 0.5})
    lines = [json.loads(line) for line in (tmp_path / "feedback" / "reviews.jsonl").read_text().splitlines()]
    assert [(line["version"], line["index"]) for line in lines] == [("7", 0), ("8", 1)] and lines[0]["label"] == "good"


def test_the_page_may_do_nothing_but_ask_this_server() -> None:
    html, headers = try_out()
    assert "default-src 'none'" in headers["content-security-policy"] and "http://" not in html.replace(
        "http://www.w3", ""
    )
    assert "{{" not in html
