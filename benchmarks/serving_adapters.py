"""Several adapters over one base in one server: what each more of them costs in memory.

    python benchmarks/serving_adapters.py RUN RUN RUN

The runs are of a chat model, tuned with lora. A server of the first alone and one of all are started in turn; each
model answers one question, and then the memory of the process is read. Results go to
``benchmarks/results/serving_adapters.json``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from serving import Server, about

RESULTS = Path(__file__).parent / "results" / "serving_adapters.json"
QUESTION = [{"role": "user", "content": "Where is my order?"}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    runs: list[Path] = parser.parse_args().runs
    if len(runs) < 2:
        print("Skipped: name two or more finished runs of a chat model, tuned with lora.")
        return
    found = {"one": measured(runs[:1]), "all": measured(runs)}
    more = (found["all"]["MiB"] - found["one"]["MiB"]) / (len(runs) - 1)
    RESULTS.write_text(
        json.dumps({"runs": [run.name for run in runs], **found, "MiB each more": more, **about()}) + "\n"
    )
    print({**found, "MiB each more": round(more, 1)})


def measured(runs: list[Path]) -> dict[str, Any]:
    """Resident MiB of a server of these runs once each has answered, and the seconds until it was ready."""
    with tempfile.TemporaryDirectory() as home:
        began = time.monotonic()
        server = Server([str(run) for run in runs], Path(home))
        ready = time.monotonic() - began
        try:
            said = {run.name: answer(server, run.name) for run in runs}
            time.sleep(25)  # freed memory goes back to the system every 20 s
            return {"MiB": memory(server), "seconds until ready": round(ready, 1), "said": said}
        finally:
            server.end()


def answer(server: Server, model: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.token}"}
    body = {"model": model, "messages": QUESTION, "max_tokens": 24}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    found = json.loads(connection.getresponse().read())
    connection.close()
    return str(found["choices"][0]["message"]["content"])


def memory(server: Server) -> float:
    """Resident MiB of the process."""
    with Path(f"/proc/{server.process.pid}/status").open() as lines:
        return round(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024, 1)


if __name__ == "__main__":
    main()
