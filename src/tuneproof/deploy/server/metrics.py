"""Counters, gauges and histograms in Prometheus' text format; the version is a label, a request's text never is.

metrics = Metrics()
metrics.count("requests_total", route="/v1/classify", model="reviews", version="7", code="200")
metrics.text()
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

PREFIX = "tuneproof_"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

# name -> (kind, help, bounds of the buckets)
METRICS: Mapping[str, tuple[str, str, Sequence[float]]] = {
    "requests_total": ("counter", "Answered requests.", ()),
    "latency_seconds": ("histogram", "From the first byte of a request to the last of its answer.", SECONDS),
    "queue_seconds": ("histogram", "Time that an input waited for the model.", SECONDS),
    "batch_size": ("histogram", "Inputs that went through the model together.", SIZES),
    "tokens_total": ("counter", "Tokens read and written.", ()),
    "ttft_seconds": ("histogram", "From a request to the first written token.", SECONDS),
    "inflight": ("gauge", "Requests that are being answered.", ()),
    "feedback_total": ("counter", "Labels and marks that callers sent back.", ()),
    "canary_share": ("gauge", "Share of requests that a canary answers; 0 once it was stopped.", ()),
    "canary_log_e": ("gauge", "Evidence that a canary does harm, its logarithm; log 20 stops it.", ()),
    "shadow_total": ("counter", "Inputs that a shadow was asked, or was to be asked, by what came of it.", ()),
    "shadow_seconds": ("histogram", "From the queue to the answer, of the champion and of its shadow.", SECONDS),
}

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Histogram:
    counts: list[int]
    total: float = 0.0


@dataclass(slots=True)
class Metrics:
    """Safe for the threads of the models."""

    _values: dict[tuple[str, Labels], float] = field(default_factory=dict)
    _histograms: dict[tuple[str, Labels], _Histogram] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        """Add to a counter or a gauge."""
        assert METRICS[name][0] != "histogram"
        key = (name, tuple(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + by

    def set(self, name: str, value: float, **labels: str) -> None:
        """What a gauge shows from now on."""
        assert METRICS[name][0] == "gauge"
        with self._lock:
            self._values[name, tuple(labels.items())] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one observation to a histogram."""
        bounds = METRICS[name][2]
        key = (name, tuple(labels.items()))
        with self._lock:
            found = self._histograms.setdefault(key, _Histogram([0] * (len(bounds) + 1)))
            found.counts[bisect_left(bounds, value)] += 1
            found.total += value

    def value(self, name: str, **labels: str) -> float:
        return self._values.get((name, tuple(labels.items())), 0.0)

    def text(self) -> str:
        lines = []
        with self._lock:
            for name, (kind, what, bounds) in METRICS.items():
                lines += [f"# HELP {PREFIX}{name} {what}", f"# TYPE {PREFIX}{name} {kind}"]
                for (known, labels), value in self._values.items():
                    if known == name:
                        lines.append(f"{PREFIX}{name}{_labels(labels)} {value:g}")
                for (known, labels), found in self._histograms.items():
                    if known == name:
                        lines += _buckets(name, labels, found, bounds)
        return "\n".join(lines) + "\n"


def _buckets(name: str, labels: Labels, found: _Histogram, bounds: Sequence[float]) -> list[str]:
    lines, below = [], 0
    for bound, count in zip([*(f"{bound:g}" for bound in bounds), "+Inf"], found.counts, strict=True):
        below += count
        lines.append(f"{PREFIX}{name}_bucket{_labels((*labels, ('le', bound)))} {below}")
    return [
        *lines,
        f"{PREFIX}{name}_sum{_labels(labels)} {found.total:g}",
        f"{PREFIX}{name}_count{_labels(labels)} {below}",
    ]


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{told}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
