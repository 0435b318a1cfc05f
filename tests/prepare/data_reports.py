"""Reports as ``data/report.json`` holds them: a clean one, one to look at, a bad one, a hostile one."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

EVIL = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'
TITLES = {
    "exact_duplicates": ("Exact duplicates", "Rows that stand in the file more than once; the first stays."),
    "leakage": ("Train rows that also stand in the test", "Train texts that nearly repeat a test row."),
    "conflicts": ("One text, different labels", "The same text with another label elsewhere: one of them is wrong."),
    "near_duplicates": ("Near duplicates", "Train rows that nearly repeat an earlier one. Score: overlap, 1 is equal."),
    "label_issues": ("Labels that look wrong", "Rows that look like another label. The lowest score is the worst."),
    "class_health": ("Rows per label", "Labels with too few rows to learn from, and pairs that nobody can tell apart."),
    "outliers": ("Rows unlike all others", "The distance to the nearest rows; a high score is far away."),
    "language": ("Languages and scripts", "Rows in another language than the rest."),
    "placeholders": ("Templates with open holes", "Rows that still hold a template's hole, such as {{name}}."),
    "personal_data": ("Personal data and secrets", "E-mail addresses, phone numbers, cards, keys; shown masked."),
    "boilerplate": ("Shared beginnings", "The same first words in many rows teach nothing."),
    "too_long": ("Rows that would be cut", "Rows longer than the model reads."),
}  # fmt: skip
WORDS = """
card transfer money account fee exchange top-up pending declined refund cash machine abroad app verify
identity payment statement charged twice weekend delivery arrived lost stolen blocked limit rate
""".split()  # noqa: SIM905


def text(draw: random.Random, words: int = 14) -> str:
    return " ".join(draw.choices(WORDS, k=words)).capitalize() + "?"


def finding(check: str, draw: random.Random, index: int, severity: str = "warn", **more: Any) -> dict[str, Any]:
    line = 3 + 17 * index
    return {
        "check": check,
        "severity": severity,
        "side": draw.choice(("train", "train", "train", "test")),
        "id": f"{index:064x}",
        "file": "/data/bank/train.csv",
        "line": line,
        "message": "Nearly the same text stands in another row.",
        "evidence": text(draw),
        "score": round(draw.random(), 4),
        "suggest": None,
        "partner": "",
        **more,
    }


def check(name: str, looked_at: int, findings: Sequence[dict[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """One entry of ``checks``: without findings it is clean."""
    title, what = TITLES[name]
    order = ("error", "warn", "info")
    worst = min((one["severity"] for one in findings), key=order.index) if findings else ""
    return {
        "name": name,
        "title": title,
        "what": what,
        "policy": name,
        "looked_at": looked_at,
        "found": len(findings),
        "action": "kept" if findings else "told",
        "changed": 0,
        "severity": worst,
        "seconds": 0.4,
        "note": "",
        "figures": {},
        "effect": "",
        "findings": list(findings),
        **more,
    }


def tokens(rows: int, median: int, most: int) -> dict[str, Any]:
    width = math.ceil(most / 12)
    bins = [[i * width, (i + 1) * width, int(rows * 0.4 * math.exp(-abs(i - 2) / 1.4))] for i in range(12)]
    shape = {"total": rows * median, "mean": median * 1.1, "median": median, "p95": median * 2, "max": most}
    return {"rows": rows, "tokens": shape, "loss": shape, "rows_cut": 0, "tokens_cut": 0, "histogram": bins}


def classes(count: int, draw: random.Random) -> dict[str, dict[str, int]]:
    """Rows per label, from many to very few."""
    names = [f"{draw.choice(WORDS)}_{draw.choice(WORDS)}_{i}" for i in range(count)]
    return {n: {"train": 3 + 4000 // (12 + 3 * i), "validation": 12, "test": 40} for i, n in enumerate(names)}


def books(file: str, rows: int, dropped: Sequence[tuple[str, int]] = (), test: int = 0) -> dict[str, Any]:
    left = sum(n for _, n in dropped)
    held = (rows - left) // 10
    return {
        "rows_in": {file: rows} | ({"/data/bank/test.csv": test} if test else {}),
        "used": {"train": rows - left - held, "validation": held, "test": test},
        "dropped": [{"reason": why, "rows": n, "lines": [4, 9, 23], "source": file} for why, n in dropped],
        "notes": [],
    }


def report(file: str, checks: Sequence[dict[str, Any]], ledger: dict[str, Any], **more: Any) -> dict[str, Any]:
    severities = {one["severity"] for one in checks}
    verdict = "errors" if "error" in severities else "warnings" if "warn" in severities else "clean"
    return {
        "file": file,
        "created": "2026-05-11T14:22:03+0000",
        "files": ledger["rows_in"],
        "notes": [],
        "task": "text-classification",
        "layout": "text+label",
        "fields": {"text": "text", "label": "label"},
        "reasons": ['column "text": 59 characters on average, nearly all different', 'column "label": 77 values'],
        "splits": ledger["used"],
        "ledger": ledger,
        "data_id": "9f2c" * 16,
        "tokens": {"train": tokens(ledger["used"]["train"], 13, 91)},
        "training_view": None,
        "checks": list(checks),
        "verdict": verdict,
        "version": "0.1.0",
        **more,
    }


def clean() -> dict[str, Any]:
    """Three labels, nothing found; the label check had no encoder to look with."""
    counts = {
        n: {"train": k, "validation": k // 9, "test": k // 4} for n, k in (("good", 610), ("bad", 240), ("so", 94))
    }
    found = [check(name, 1180) for name in TITLES]
    found[5]["figures"] = {"labels": 3, "imbalance": 6.5, "classes": counts}
    found[4] |= {"looked_at": 0, "note": "No encoder is at hand, so labels and outliers were not looked at."}
    return report("reviews.csv", found, books("reviews.csv", 1180, [("no label", 15)]))


def banking() -> dict[str, Any]:
    """77 labels; leaked rows were left out and the effect measured; some labels and near duplicates to look at."""
    draw, train = random.Random(3), "/data/bank/train.csv"
    leaked = [
        finding("leakage", draw, i, side="train", score=round(0.99 - i * 0.001, 3),
                partner=f"/data/bank/test.csv, line {i + 9}", message="Stands, nearly, in the test file as well.")
        for i in range(133)
    ]  # fmt: skip
    wrong = [
        finding("label_issues", draw, i, suggest="card_arrival", score=round(0.02 + i * 0.003, 4),
                message='Labelled "card_delivery_estimate"; rows like it are "card_arrival".')
        for i in range(60)
    ]  # fmt: skip
    near = [finding("near_duplicates", draw, i, "info", partner=f"{train}, line {i + 2}") for i in range(412)]
    counts = classes(77, draw)
    effect = "Leaving them out changes the measured accuracy of the probe by -0.9 points (-1.6 to -0.3)."
    checks = [
        check("exact_duplicates", 13083),
        check("leakage", 13083, leaked, action="dropped", changed=133, effect=effect,
              figures={"test rows with a copy": 131, "share": 0.0425,
                       "overlap": {"histogram": [[0.8, 0.85, 61], [0.85, 0.9, 34], [0.9, 0.95, 20], [0.95, 1, 18]]}}),
        check("conflicts", 10003),
        check("near_duplicates", 9000, near),
        check("label_issues", 9000, wrong, note="Looked at by a frozen MiniLM and five folds."),
        check("class_health", 10003, figures={"labels": 77, "imbalance": 5.3, "classes": counts, "alike": [
            {"label": "card_arrival", "other": "card_delivery_estimate", "likeness": 0.93},
            {"label": "top_up_failed", "other": "pending_top_up", "likeness": 0.91},
        ]}),
        check("outliers", 9000, [finding("outliers", draw, i, "info", message="Far away.") for i in range(9)]),
        check("language", 13083, figures={"shares": {"English": 13061, "Spanish": 14, "no letters": 8}}),
        check("personal_data", 13083),
    ]  # fmt: skip
    ledger = books(train, 10003, [("exact duplicate", 4), ("also in the test file", 133)], test=3080)
    return report(train, checks, ledger, notes=["train.csv: 2 blank lines were passed over."])


def bad() -> dict[str, Any]:
    """Twelve checks with a thousand findings each, 150 labels, an unreadably long label, personal data."""
    draw = random.Random(5)
    counts = classes(150, draw) | {"a_label_that_is_much_too_long_" * 6: {"train": 1, "validation": 0, "test": 0}}
    checks = [
        check(name, 60_000, [
            finding(name, draw, i, draw.choice(("error", "warn")), evidence=text(draw, 30)[:200],
                    suggest=draw.choice((None, "card_arrival")), partner="/data/bank/test.csv, line 12")
            for i in range(1000)
        ], found=4711 + 13 * index)
        for index, name in enumerate(TITLES)
    ]  # fmt: skip
    checks[5]["figures"] = {"classes": counts, "labels": len(counts)}
    checks[9] |= {
        "action": "fixed",
        "changed": 4828,
        "figures": {"shares": {"e-mail": 3000, "phone": 900, "card": 720, "key": 208}},
    }
    checks[2]["action"] = "refused"
    dropped = [("empty text", 900), ("no label", 1200), ("exact duplicate", 300)]
    return report("/data/bank/train.csv", checks, books("/data/bank/train.csv", 60_000, dropped))


def chat() -> dict[str, Any]:
    """Conversations with the coloured training view, one of them with an empty mask."""
    draw = random.Random(9)
    asked = "<|im_start|>user\nWhat helps with Legg-Calvé-Perthes disease?<|im_end|>\n<|im_start|>assistant\n"
    said = "Rest and physical therapy help most children; ask your doctor about braces."
    view = [
        {"title": f"{which} training row (chat.jsonl, line {line})", "pieces": [
            {"text": asked, "loss": False},
            {"text": said + "<|im_end|>", "loss": True},
            {"text": "\n", "loss": False},
        ]}
        for which, line in (("first", 1), ("longest", 77), ("most suspicious", 9))
    ]  # fmt: skip
    found = [check(name, 800) for name in ("exact_duplicates", "near_duplicates", "language", "too_long")]
    holes = [finding("placeholders", draw, i, evidence="Dear {{name}}, thank you for your question.") for i in range(3)]
    found.append(check("placeholders", 800, holes))
    more = {"task": "instruction", "layout": "messages", "fields": {"messages": "messages"}, "training_view": view}
    return report("chat.jsonl", found, books("chat.jsonl", 800), **more)


def hostile() -> dict[str, Any]:
    """Markup in every text of the user, odd directions, control characters, no spaces."""
    draw = random.Random(1)
    found = [
        finding(
            "label_issues", draw, i, "error", evidence=odd, message=odd, suggest=odd, partner=f"{odd}, line 2", file=odd
        )
        for i, odd in enumerate([EVIL, "x" * 200, "שלום <b>" * 12, "\x00\x07\ud800", "{{ 7*7 }}", "🎉" * 200])
    ]
    figures = {
        EVIL: 3,
        "classes": {EVIL: {"train": 1}},
        "shares": {EVIL: 2.5},
        "table": [{EVIL: EVIL}],
        "odd": [1, "a"],
    }
    ledger = books(EVIL, 100, [(EVIL, 3)])
    whole = report(EVIL, [check("label_issues", 90, found, note=EVIL, effect=EVIL, figures=figures)], ledger)
    return whole | {"notes": [EVIL], "reasons": [EVIL], "fields": {EVIL: EVIL}, "task": EVIL}


REPORTS = {"clean": clean, "banking": banking, "bad": bad, "chat": chat, "hostile": hostile}
