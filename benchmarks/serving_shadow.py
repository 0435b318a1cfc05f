"""Does a shadow delay anybody? The same load on a server with one and on a server without, in turn.

    python benchmarks/serving_shadow.py RUN RUN [--rounds 6] [--share 100]

The first run answers, the second is its shadow, which is asked a copy of so many percent of the requests. Both servers
stay up and are loaded one after the other, at 30% and at 60% of what the server can do, so that whatever else the
machine does meets both. Results go to ``benchmarks/results/serving_shadow.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from serving import CALLERS, PACED, Server, about, load
from serving_flip import NAME, registered

RESULTS = Path(__file__).parent / "results" / "serving_shadow.json"
LOADS = (0.3, 0.6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--share", type=int, default=100)
    asked = parser.parse_args()
    if len(asked.runs) != 2:
        print("Skipped: name two finished runs of classifiers on the same labels.")
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = home
        texts = sorted(next(iter(registered(asked.runs).values())))
        servers = {"alone": Server([NAME], Path(home))}
        try:
            servers["with a shadow"] = Server([NAME], Path(home), "--shadow", f"{NAME}@2={asked.share}%")
            found = measured(servers, texts, asked.rounds)
        finally:
            for server in servers.values():
                server.end()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"share": asked.share, **found, **about()}, indent=1) + "\n")
    print(json.dumps({name: one for name, one in found.items() if name != "rounds"}, indent=1))


def measured(servers: dict[str, Server], texts: list[str], rounds: int) -> dict[str, Any]:
    targets = {name: server.classifier(NAME) for name, server in servers.items()}
    full = load(targets["alone"], texts * 2, 32)["per_second"]
    kept: list[dict[str, Any]] = []
    for number in range(rounds):
        for part in LOADS:
            rate = part * full
            sent = (texts * 10)[: int(rate * PACED)]
            order = list(targets) if number % 2 == 0 else list(targets)[::-1]
            kept.append({"load": part, **{name: load(targets[name], sent, CALLERS, rate) for name in order}})
            print(kept[-1], flush=True)

    def middle(part: float, name: str) -> float:
        return statistics.median(one[name]["p95"] for one in kept if one["load"] == part)

    return {
        "per_second": full,
        "p95": {f"{100 * part:.0f}%": {name: middle(part, name) for name in targets} for part in LOADS},
        "later by": {f"{100 * p:.0f}%": middle(p, "with a shadow") / middle(p, "alone") - 1 for p in LOADS},
        "shadow": asked_copies(servers["with a shadow"]),
        "rounds": kept,
    }


def asked_copies(server: Server) -> dict[str, float]:
    """What came of the copies, as the server counts them."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/metrics")
    request.add_header("Authorization", f"Bearer {server.token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    counts = [line.rsplit(" ", 1) for line in lines if line.startswith("tuneproof_shadow_total{")]
    return {labels.split('outcome="')[1].split('"')[0]: float(count) for labels, count in counts}


if __name__ == "__main__":
    main()
