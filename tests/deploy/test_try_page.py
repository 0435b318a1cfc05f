"""The page at ``/`` in a real browser, under its own policy: the bars of a classifier, a streamed answer, a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from test_server_process import Process

from tuneproof.run import Run

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, review_run: Run, chat_run: Run) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("home"), str(review_run.path), str(chat_run.path))
    yield process
    assert process.end() == 0


@pytest.fixture
def browser(tmp_path: Path, server: Process) -> Iterator[Browser]:
    with Browser(tmp_path) as found:
        found.open(f"{server.url}/?token={server.token}")
        found.wait("document.querySelector('#model')?.options.length == 2")
        yield found


def choose(browser: Browser, run: Run) -> None:
    """Another model, as a person chooses it."""
    browser.evaluate(
        f"(() => {{ const list = document.querySelector('#model'); list.value = {run.id!r};"
        " list.dispatchEvent(new Event('change')); })()"
    )


def ask(browser: Browser, text: str) -> None:
    browser.evaluate(
        f"(() => {{ document.querySelector('textarea').value = {text!r};"
        " document.querySelector('textarea').dispatchEvent(new Event('input', {bubbles: true}));"
        " document.querySelector('[type=submit]').click(); })()"
    )
    browser.wait("!document.querySelector('[type=submit]').disabled")


def test_a_classifier_shows_its_label_and_all_shares(browser: Browser, server: Process, review_run: Run) -> None:
    choose(browser, review_run)
    ask(browser, "the lamp is great")
    said = server.post("/v1/classify", {"model": review_run.id, "input": "the lamp is great"})["data"][0]
    assert browser.evaluate("document.querySelector('.result').textContent") == said["label"]
    shares = browser.evaluate("[...document.querySelectorAll('.share')].map((one) => one.textContent)")
    assert shares == [f"{100 * one['prob']:.1f}%" for one in said["probs"]]
    widths = browser.evaluate(
        "[...document.querySelectorAll('.bar i')].map((one) => one.getBoundingClientRect().width)"
    )
    assert widths == sorted(widths, reverse=True) and widths[0] > 0  # the policy lets the bars be drawn
    assert "the lamp is great" in browser.evaluate("document.querySelector('#curl').textContent")
    assert "token=" not in browser.evaluate("location.href") and browser.console == []


def test_a_chat_is_written_and_goes_on(browser: Browser, server: Process, chat_run: Run) -> None:
    choose(browser, chat_run)
    messages = [{"role": "user", "content": "1: what is the colour of snow"}]
    for turn in (2, 4):
        said = server.post("/v1/chat/completions", {"model": chat_run.id, "messages": messages})
        ask(browser, messages[-1]["content"])
        turns = browser.evaluate("[...document.querySelectorAll('#said li span')].map((one) => one.textContent)")
        assert len(turns) == turn and turns[-1] == said["choices"][0]["message"]["content"]
        messages += [{"role": "assistant", "content": turns[-1]}, {"role": "user", "content": "2: and of grass"}]
    assert browser.evaluate("document.querySelector('#fault').hidden") and browser.console == []


def test_a_refusal_is_one_sentence_in_red(browser: Browser, review_run: Run) -> None:
    choose(browser, review_run)
    ask(browser, "lamp " * 5000)
    assert "5,002 tokens" in browser.evaluate("document.querySelector('#fault').textContent")
    assert browser.evaluate("document.querySelector('#fault').hidden") is False


def test_a_page_without_its_token_says_so(tmp_path: Path, server: Process) -> None:
    with Browser(tmp_path) as found:
        found.open(f"{server.url}/")
        found.wait("document.body && document.body.innerText.length > 0")
        assert "token" in found.evaluate("document.body.innerText").lower()
