"""A real browser for the tests of pages: opens a page, runs a script in it, and says what came of it."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--enable-logging=stderr",
]


def browse(page: str, folder: Path, *flags: str) -> tuple[str, str]:
    """The document after its script has run, and what the browser wrote on its console."""
    file, profile = folder / "page.html", folder / "profile"
    file.write_text(page, encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", file.as_uri()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    finally:
        shutil.rmtree(profile, ignore_errors=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def driven(page: str, script: str, folder: Path, *flags: str) -> dict[str, Any]:
    """What ``script`` wrote into ``data-said``; the policy of the page is lifted for it."""
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    document, console = browse(free.replace("</body>", f"<script>{script}</script></body>"), folder, *flags)
    assert console == ""
    found = re.search(r'data-said="([^"]*)"', document)
    assert found, "the script did not come to its end"
    said: dict[str, Any] = json.loads(found.group(1).replace("&quot;", '"').replace("&gt;", ">").replace("&amp;", "&"))
    return said


def width_on_a_phone(page: str, folder: Path) -> int:
    """How wide the page is in a frame of 390 px: 390, unless an element is wider and does not scroll by itself."""
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (folder / "inner.html").write_text(free, encoding="utf-8")
    frame = '<iframe src="inner.html" style="width:390px;height:900px"></iframe>'
    script = """onload = () => { const inner = document.querySelector("iframe").contentDocument.documentElement;
    document.body.dataset.said = JSON.stringify({ width: inner.scrollWidth, ready: inner.dataset.ready }); };"""
    said = driven(f"<!DOCTYPE html><body>{frame}</body>", script, folder, "--allow-file-access-from-files")
    assert said["ready"] == "yes"
    return int(said["width"])


class Browser:
    """A page of a server in a browser that stays open, driven over a pair of pipes as DevTools drives it.

    with Browser(folder) as browser:
        browser.open("http://127.0.0.1:8433/?token=...")
        browser.wait("document.querySelector('#model').options.length > 0")
        browser.picture(folder / "page.png")
    """

    def __init__(self, folder: Path, width: int = 900, height: int = 800) -> None:
        self.profile = folder / "profile"
        self.count = 0
        self.session = ""
        self.console: list[str] = []
        theirs_in, self.out = os.pipe()
        self.back, theirs_out = os.pipe()

        def wire() -> None:
            for fd, place in ((os.dup(theirs_in), 3), (os.dup(theirs_out), 4)):
                os.dup2(fd, place)

        command = [str(CHROMIUM), *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self.profile}"]
        command.append(f"--window-size={width},{height}")
        self.process = subprocess.Popen(
            command, preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.read = os.fdopen(self.back, "rb")
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.out)
        self.read.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and what it returned."""
        self.count += 1
        told = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            told["sessionId"] = self.session
        os.write(self.out, json.dumps(told).encode() + b"\0")
        while True:
            heard = self._heard()
            if heard.get("id") == self.count:
                assert "error" not in heard, heard
                found: dict[str, Any] = heard["result"]
                return found
            if heard.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
                self.console.append(json.dumps(heard["params"]))

    def _heard(self) -> dict[str, Any]:
        raw = bytearray()
        while not raw.endswith(b"\0"):
            byte = self.read.read(1)
            assert byte, "the browser is gone"
            raw += byte
        found: dict[str, Any] = json.loads(raw[:-1])
        return found

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < until, (condition, self.evaluate("document.body.innerText"), self.console)
            time.sleep(0.05)

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
