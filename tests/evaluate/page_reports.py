"""Reports as ``evaluate.report`` writes them: three real-looking ones and a hostile one."""

from __future__ import annotations

import math
import random
from typing import Any

BANKING = """
Refund_not_showing_up activate_my_card age_limit apple_pay_or_google_pay atm_support automatic_top_up
balance_not_updated_after_bank_transfer balance_not_updated_after_cheque_or_cash_deposit
beneficiary_not_allowed cancel_transfer card_about_to_expire card_acceptance card_arrival
card_delivery_estimate card_linking card_not_working card_payment_fee_charged card_payment_not_recognised
card_payment_wrong_exchange_rate card_swallowed cash_withdrawal_charge cash_withdrawal_not_recognised
change_pin compromised_card contactless_not_working country_support declined_card_payment
declined_cash_withdrawal declined_transfer direct_debit_payment_not_recognised disposable_card_limits
edit_personal_details exchange_charge exchange_rate exchange_via_app extra_charge_on_statement failed_transfer
fiat_currency_support get_disposable_virtual_card get_physical_card getting_spare_card getting_virtual_card
lost_or_stolen_card lost_or_stolen_phone order_physical_card passcode_forgotten pending_card_payment
pending_cash_withdrawal pending_top_up pending_transfer pin_blocked receiving_money request_refund
reverted_card_payment? supported_cards_and_currencies terminate_account top_up_by_bank_transfer_charge
top_up_by_card_charge top_up_by_cash_or_cheque top_up_failed top_up_limits top_up_reverted topping_up_by_card
transaction_charged_twice transfer_fee_charged transfer_into_account transfer_not_received_by_recipient
transfer_timing unable_to_verify_identity verify_my_identity verify_source_of_funds verify_top_up
virtual_card_not_working visa_or_mastercard why_verify_identity wrong_amount_of_cash_received
wrong_exchange_rate_for_cash_withdrawal
"""
LABELS = [name for line in BANKING.splitlines() for name in line.split()]

METRIC_HELP = {"accuracy": "Share of rows answered rightly.", "nll": "How little probability the truth was given."}
VERSIONS = {"torch": "2.13.0", "transformers": "5.4.0"}


def part(rows: int, median: int, most: int, *, loss: int = 0, cut: int = 0) -> dict[str, Any]:
    """Tokens per row of one part, with a histogram of ten bins."""
    shape = {"total": rows * median, "mean": median * 1.13, "median": median, "p95": int(median * 2.4), "max": most}
    width = math.ceil(most / 10)
    bins = [[i * width, (i + 1) * width, int(rows * 0.4 * math.exp(-abs(i - 2) / 1.3))] for i in range(10)]
    counted = {"loss": {key: value * loss / median for key, value in shape.items()}} if loss else {}
    return {"rows": rows, "tokens": shape, "rows_cut": cut, "tokens_cut": cut * 31, "histogram": bins, **counted}


def setting(name: str, value: Any, by: str, reason: str, help_: str) -> dict[str, Any]:
    return {"name": name, "value": value, "by": by, "reason": reason, "help": help_}


PLAN = [
    setting(
        "model", "minilm-l6", "rule", "small, licence Apache-2.0, good at short texts; fits 2 cores", "pretrained model"
    ),
    setting(
        "method", "full", "rule", "22.7 million parameters: all of them train in minutes here", "which weights train"
    ),
    setting(
        "train.lr",
        "2e-4",
        "rule",
        "encoders under 50 million parameters; ten times that on the head",
        "peak learning rate",
    ),
    setting("train.epochs", 4, "you", "asked for with --epochs", "passes over the training rows"),
    setting("train.batch", 32, "measured", "the largest that fits in 2.1 GiB, one step measured", "rows per step"),
    setting(
        "train.max_tokens", 96, "measured", "the longest row has 91 tokens, so nothing is cut", "tokens per row at most"
    ),
    *[
        setting(f"train.{name}", value, "default", "", help_)
        for name, value, help_ in (
            ("weight_decay", 0.01, "pull towards zero"),
            ("clip", 1.0, "largest gradient norm"),
            ("schedule", "linear", "how the learning rate falls"),
            ("warmup", 0.06, "share of steps before the peak"),
        )
    ],
]


def gap(value: float, width: float, n: int) -> dict[str, Any]:
    p = math.exp(-3 * abs(value) / width) if width else 1.0
    return {"value": value, "low": value - width, "high": value + width, "p": p, "n": n, "method": "paired"}


def slice_of(column: str, value: str, n: int, score: float, lead: float) -> dict[str, Any]:
    """A part as ``evaluate.slices`` judges it: under 100 rows it cannot tell."""
    width = 1.96 * math.sqrt(max(score * (1 - score), 0.01) / n)
    found = gap(lead, 0.7 * width, n)
    sure = n >= 100 and abs(lead) > 0.7 * width
    word = ("better" if lead > 0 else "worse") if sure else "inconclusive" if n >= 100 else "cannot tell"
    return {
        "column": column,
        "value": value,
        "n": n,
        "score": score,
        "interval": [score - width, min(1.0, score + width / 2)],
        "difference": found,
        "p_holm": found["p"] if n >= 100 else None,
        "verdict": word,
    }


def slices() -> dict[str, Any]:
    draw = random.Random(3)
    lengths = (("short (up to 9 tokens)", 0.961, 0.004), ("medium (10 to 14 tokens)", 0.948, 0.012))
    parts = [slice_of("length", name, 1030, score, lead) for name, score, lead in lengths]
    parts.append(slice_of("length", "long (over 14 tokens)", 1020, 0.896, 0.055))
    parts += [
        slice_of("channel", name, n, s, d) for name, n, s, d in (("app", 2210, 0.947, 0.02), ("web", 870, 0.9, -0.05))
    ]
    parts += [slice_of("label", name, 40, 1 - draw.random() ** 3 * 0.4, draw.gauss(0.01, 0.04)) for name in LABELS]
    return {"baseline": "linear head on the frozen model", "parts": parts, "suppressed": 3, "fewest": 30, "told": 100}


def protected(labels: tuple[str, ...] = ("card_arrival", "exchange_rate"), groups: int = 3) -> dict[str, Any]:
    """Rates of each label by group of age."""
    names = [f"{18 + 10 * i} to {27 + 10 * i}" for i in range(groups)]

    def rate(value: float, n: int) -> dict[str, Any]:
        width = 1.96 * math.sqrt(value * (1 - value) / n)
        return {"value": value, "low": max(0.0, value - width), "high": min(1.0, value + width), "n": n}

    def label(name: str) -> dict[str, Any]:
        rates = [
            {
                "group": group,
                "n": 900 - i,
                "selection_rate": rate(0.14 - 0.1 * i / groups, 900),
                "true_positive_rate": rate(0.95 - 0.1 * i / groups, 60),
                "false_positive_rate": None if i == 1 else rate(0.01, 800),
            }
            for i, group in enumerate(names)
        ]
        far = {"value": 0.067, "low": 0.031, "high": 0.101, "note": ""}
        ratio = {"value": 0.52, "low": 0.3, "high": 0.8, "note": ""}
        sure = {"difference": far, "ratio": ratio, "chance": 0.021, "p": 0.001}
        unsure = {"difference": {**far, "low": 0.0}, "ratio": ratio, "chance": 0.06, "p": 0.31}
        none = {
            "difference": {"value": None, "low": None, "high": None},
            "ratio": {"value": None},
            "chance": None,
            "p": None,
        }
        between = {"selection_rate": sure, "true_positive_rate": unsure, "false_positive_rate": none}
        return {"label": name, "groups": rates, "between": between}

    return {
        "column": "age",
        "groups": {name: 900 - i for i, name in enumerate(names)},
        "suppressed": 2,
        "labels": [label(name) for name in labels],
        "note": "",
    }


def calibration() -> dict[str, Any]:
    """Fifteen bins of equal mass, too sure before the temperature."""
    sure = [1 - 0.75 * (1 - (i + 0.5) / 15) ** 3 for i in range(15)]
    before = [[c, c - 0.08 * (1 - c) - 0.035 * (1 - (i / 15) ** 2), 205] for i, c in enumerate(sure)]
    after = [[c - 0.02, c - 0.02 + 0.012 * math.sin(3 * i), 205] for i, c in enumerate(sure)]
    return {
        "temperature": {
            "temperature": 1.31,
            "accepted": True,
            "nll_before": 0.3101,
            "nll_after": 0.2874,
            "n": 503,
            "reason": "NLL fell from 0.3101 to 0.2874 nats",
        },
        "before": {"ece": 0.0342, "low": 0.026, "high": 0.042, "chance": 0.009, "n": 3080, "bins": before},
        "test": {"ece": 0.0112, "low": 0.0, "high": 0.0161, "chance": 0.0098, "n": 3080, "bins": after},
        "nll_before": 0.288,
    }


def overfitting(word: str = "some") -> dict[str, Any]:
    """Training rows beside test rows: an ordinary run, or one that learnt by heart."""
    heart = word == "overfitted"
    train, test = (1.0, 0.61) if heart else (0.994, 0.935)
    gap_ = {"value": train - test, "low": train - test - 0.03, "high": train - test + 0.03, "method": "Newcombe"}
    return {
        "train": {"value": train, "low": train - 0.01, "high": min(1.0, train + 0.006), "n": 500},
        "test": {"value": test, "low": test - 0.009, "high": test + 0.008, "n": 3080},
        "gap": gap_,
        "limit": 0.15,
        "percent": True,
        "verdict": word,
        "sentence": f"On 500 training rows {train:.1%}, on test rows {test:.1%}: "
        + ("it is overfitted." if heart else "by no more than is usual."),
    }


def folds() -> dict[str, Any]:
    values = (0.91, 0.935, 0.92)
    return {
        "runs": [
            {"fold": i, "run": f"banking77-{i}", "value": v, "low": v - 0.02, "high": v + 0.015, "n": 1000}
            for i, v in enumerate(values)
        ],
        "of": 5,
        "mean": 0.9217,
        "spread": 0.0126,
        "percent": True,
        "sentence": "3 of 5 folds: 92.2% on average. Not run yet: fold 3, 4 (--set data.fold=3).",
    }


def seeds() -> dict[str, Any]:
    values = (0.935, 0.931, 0.937)
    return {
        "runs": [{"seed": i, "value": v, "low": v - 0.009, "high": v + 0.008, "n": 3080} for i, v in enumerate(values)],
        "spread": 0.0031,
        "difference": gap(0.01, 0.007, 3080),
        "baseline": "linear head on the untouched model",
        "verdict": "better",
        "percent": True,
        "sentence": "3 trainings that differ in the seed alone: 93.5%, 93.1%, 93.7%; standard deviation 0.31 points.",
    }


def learning_curve() -> dict[str, Any]:
    rows = (1000, 2500, 5000, 10003)

    def score(n: float) -> float:
        return 1 - 0.03 - 0.035 * (n / 10003) ** -0.6

    return {
        "points": [
            {"rows": n, "steps": 100 + n // 8, "value": score(n), "low": score(n) - 0.01, "high": score(n) + 0.009}
            for n in rows
        ],
        "fitted": [[n, score(n)] for n in range(1000, 20_007, 500)],
        "metric": "accuracy",
        "percent": True,
        "verdict": "would help",
        "sentence": "With twice as many rows (20,006) the fitted curve expects 94.7%: more rows would help.",
    }


def forgetting(measure: str = "loss") -> dict[str, Any]:
    """A language model that forgot, or the probe of an encoder that did not."""
    probed = measure == "linear probe"
    lost = (
        {"value": 0.004, "low": -0.011, "high": 0.019, "p": 0.6}
        if probed
        else {"value": 0.071, "low": 0.058, "high": 0.084, "p": 1e-9}
    )
    sentence = (
        "Forgetting on 500 documents of general text: 84.2% of 9 subjects told apart before, 83.8% after, a loss of "
        "0.4 points (95% interval -1.1 to 1.9); limit 5 points: no forgetting beyond the limit."
        if probed
        else "Forgetting on 500 documents of general text: 3.212 nats per token before, 3.283 after, a loss of 0.071 "
        "nats per token (95% interval 0.058 to 0.084); limit 0.05 nats per token: it forgot more than the limit allows."
    )
    one = {
        "name": "general text",
        "measure": measure,
        "unit": "of 9 subjects told apart" if probed else "nats per token",
        "n": 500,
        "base": 0.842 if probed else 3.212,
        "tuned": 0.838 if probed else 3.283,
        "lost": {**lost, "method": "paired"},
        "measurable": not probed,
        "within_limit": probed,
        "verdict": "kept" if probed else "forgot",
        "sentence": sentence,
    }
    return {"limit": 0.05, "sets": [one], "kl": None if probed else {"value": 0.41, "low": 0.36, "high": 0.46, "n": 64}}


def prompted() -> dict[str, Any]:
    """A small chat model that was asked."""
    wording = "Labels: {labels}\n\nText: {text}\n\nLabel:"
    asked = {
        "n": 200,
        "wording": wording,
        "tried": [0.1, 0.125, 0.175],
        "score": 0.16,
        "interval": [0.116, 0.217],
        "unanswered": 31,
        "difference": gap(0.775, 0.06, 200),
        "verdict": "better",
    }
    ways = [
        {"name": "without examples", **asked},
        {"name": "with examples", "n": 0, "note": "the prompts are longer than the model can read"},
    ]
    return {"model": "smollm2-135m-instruct", "rows": 200, "of": 3080, "cut": 2, "ways": ways}


def banking() -> dict[str, Any]:
    """77 classes, the tuned model is better."""
    draw = random.Random(7)
    train = [[step, 4.34 * math.exp(-step / 190) + 0.08 + 0.12 * draw.random()] for step in range(0, 1125, 5)]
    held = [[step, 0.935 - 0.9 * math.exp(-step / 150) - (0.004 if step > 1000 else 0)] for step in range(75, 1126, 75)]
    classes = [
        {
            "label": name,
            "n": 40,
            "precision": 1 - draw.random() ** 3 * 0.4,
            "recall": 1 - draw.random() ** 3 * 0.45,
            "f1": 1 - draw.random() ** 3 * 0.4,
        }
        for name in LABELS
    ]
    mistakes = [{"truth": LABELS[i], "predicted": LABELS[i + 1], "n": 9 - i // 3} for i in range(20)]
    for one, mistake in zip(classes, mistakes, strict=False):
        one["recall"] = 1 - (mistake["n"] + 1) / 40
    texts = [
        "I still have not received my new card, I ordered over a week ago.",
        "Why does it say my top up is pending? I did it yesterday and the money has left my bank account already, "
        "please look into it as soon as you can.",
        "my pin does not work",
    ]
    rows = [
        {
            "line": 17 + 31 * i,
            "source": "test.csv",
            "text": texts[i % 3],
            "truth": LABELS[11 + i],
            "predicted": LABELS[12 + i % 3 + i],
            "confidence": 0.97 - 0.02 * i,
            "loss": 5.3 - 0.2 * i,
        }
        for i in range(10)
    ]
    best = [{**row, "predicted": row["truth"], "confidence": 0.9991, "loss": 0.0007} for row in rows]
    how = {"method": "paired over the same rows: Agresti-Min interval, McNemar mid-p", "n": 3080}
    return {
        "headline": "Tuned MiniLM answers 93.5% of 3,080 test rows rightly; "
        "a linear head on the untouched model 92.4%: a gain of 1.1 points (0.3 to 1.9).",
        "verdict": "better",
        "run": {
            "id": "20260511-142203-banking77",
            "created": "2026-05-11 14:22",
            "task": "text-classification",
            "model": "sentence-transformers/all-MiniLM-L6-v2",
            "model_licence": "Apache-2.0",
            "method": "full",
            "seed": 20260511,
            "command": "tuneproof tune train.csv --test test.csv --epochs 4",
            "tuneproof": "0.1.0",
            "versions": VERSIONS,
            "machine": "2 cores, 23 GiB, no GPU",
        },
        "data": {
            "file": "train.csv",
            "test_file": "test.csv",
            "rows_in": {"train.csv": 10003, "test.csv": 3080},
            "group": None,
            "reasons": [
                'column "text": 59 characters on average, nearly all different',
                'column "label": 77 different values, each in 35 rows or more',
            ],
            "fields": {"text": "text", "label": "label"},
            "data_id": "9f2c" * 16,
            "labels": {name: {"train": int(30 + 150 * draw.random()), "validation": 13, "test": 40} for name in LABELS},
        },
        "ledger": {
            "rows_in": {"train.csv": 10003, "test.csv": 3080},
            "used": {"train": 8995, "validation": 999, "test": 3080},
            "dropped": [
                {"reason": "exact duplicate", "rows": 4, "lines": [12, 99, 4031, 8800], "source": "train.csv"},
                {"reason": "also in the test file", "rows": 5, "lines": [77, 400], "source": "train.csv"},
            ],
            "notes": ["The split follows a hash of each row: the same file is always split in the same way."],
        },
        "tokens": {"train": part(8995, 13, 91), "validation": part(999, 13, 80), "test": part(3080, 12, 87)},
        "plan": PLAN,
        "curves": {
            "loss_name": "loss per row",
            "train": train,
            "validation_name": "accuracy",
            "validation": held,
            "validation_loss": [[s, 0.28 + 4 * math.exp(-s / 170)] for s, _ in held],
            "best_step": 975,
            "steps": 1125,
        },
        "scores": {
            "primary": "accuracy",
            "higher_is_better": True,
            "n": 3080,
            "percent": True,
            "metric_help": METRIC_HELP,
            "systems": [
                {
                    "name": "tuned model",
                    "what": "MiniLM, all weights trained",
                    "kind": "tuned",
                    "values": {
                        "accuracy": 0.9351,
                        "macro_f1": 0.9349,
                        "weighted_f1": 0.935,
                        "mcc": 0.934,
                        "nll": 0.271,
                        "brier": 0.101,
                        "ece": 0.0112,
                    },
                    "interval": [0.9258, 0.9432],
                },
                {
                    "name": "always the most frequent label",
                    "kind": "baseline",
                    "values": {"accuracy": 0.013, "macro_f1": 0.0003, "nll": 4.34},
                    "interval": [0.0095, 0.0177],
                    "difference": {"value": 0.9221, "low": 0.9119, "high": 0.931, "p": 0.0, **how},
                },
                {
                    "name": "linear head on the frozen model",
                    "what": "the untouched MiniLM with logistic regression",
                    "kind": "baseline",
                    "values": {"accuracy": 0.9241, "macro_f1": 0.9238, "nll": 0.302},
                    "interval": [0.9142, 0.9329],
                    "difference": {"value": 0.011, "low": 0.003, "high": 0.019, "p": 0.004, **how},
                },
                {
                    "name": "word counts with a linear model",
                    "what": "TF-IDF, no pretrained model",
                    "kind": "baseline",
                    "values": {"accuracy": 0.871, "macro_f1": 0.8694, "nll": 0.61},
                    "interval": [0.8587, 0.8824],
                    "difference": {"value": 0.0641, "low": 0.053, "high": 0.0752, "p": 1e-27, **how},
                },
            ],
            "power": "n=3080, disagreement 4.1%: the smallest gain this test set can show is 1.0 points.",
            "notes": [],
        },
        "classes": classes,
        "confusions": mistakes,
        "rows": {"best": best, "worst": rows},
        "slices": slices(),
        "protected": protected(),
        "calibration": calibration(),
        "forgetting": forgetting("linear probe"),
        "overfitting": overfitting(),
        "folds": folds(),
        "seeds": seeds(),
        "learning_curve": learning_curve(),
        "prompted": prompted(),
        "evaluation": {"id": "test", "file": "test.csv", "rows": 3080, "scored": 3080, "leaked": 0, "uses": ""},
        "cost": {
            "seconds": {"prepare": 1.9, "plan": 4.2, "train": 231.0, "evaluate": 21.4},
            "peak_memory_mib": 1490,
            "trained_parameters": 22_742_861,
            "all_parameters": 22_742_861,
            "rows_per_second": 155.0,
            "tokens_per_second": 2170,
            "early_stop": "no: all 1,125 steps were made; step 975 was best",
        },
        "use": [
            {
                "title": "In Python, without tuneproof",
                "code": "from transformers import pipeline\n\n"
                'classify = pipeline("text-classification", "runs/20260511-142203-banking77/model")\n'
                'classify("my card has not arrived")',
            },
            {
                "title": "On the command line",
                "code": "tuneproof predict runs/20260511-142203-banking77 --input new.csv",
            },
        ],
        "limits": [
            "Training noise was not measured: one seed.",
            "What the model forgot of its general abilities was not measured.",
            "The test rows are like the training rows; other customers may write differently.",
        ],
    }


def reviews() -> dict[str, Any]:
    """Three classes and 118 test rows: nothing can be told apart."""
    gap = {
        "value": 0.017,
        "low": -0.041,
        "high": 0.075,
        "p": 0.62,
        "n": 118,
        "method": "paired: Agresti-Min, McNemar mid-p",
    }
    return {
        "headline": "With 118 test rows one cannot tell whether tuning helped: "
        "88.1% of the answers are right, 86.4% with word counts and a linear model.",
        "verdict": "inconclusive",
        "run": {
            "id": "20260512-090100-reviews",
            "created": "2026-05-12 09:01",
            "model": "minilm-l6",
            "method": "lora",
            "seed": 1,
            "task": "text-classification",
        },
        "data": {
            "file": "reviews.csv",
            "test_file": None,
            "rows_in": {"reviews.csv": 1180},
            "fields": {"text": "review", "label": "stars"},
            "group": "customer",
            "labels": {
                "good": {"train": 610, "validation": 66, "test": 75},
                "bad": {"train": 240, "validation": 27, "test": 31},
                "so-so": {"train": 94, "validation": 10, "test": 12},
            },
        },
        "ledger": {
            "rows_in": {"reviews.csv": 1180},
            "used": {"train": 944, "validation": 103, "test": 118},
            "dropped": [{"reason": "no label", "rows": 15, "lines": [4], "source": "reviews.csv"}],
        },
        "tokens": {"train": part(944, 48, 512, cut=3), "test": part(118, 44, 400)},
        "plan": PLAN,
        "curves": {
            "loss_name": "loss per row",
            "train": [[i * 10, 1.1 - i * 0.03] for i in range(30)],
            "validation_name": "accuracy",
            "validation": [[60, 0.8], [120, 0.864], [180, 0.874], [240, 0.86]],
            "best_step": 180,
            "steps": 300,
        },
        "scores": {
            "primary": "accuracy",
            "n": 118,
            "percent": True,
            "systems": [
                {
                    "name": "tuned model",
                    "kind": "tuned",
                    "values": {"accuracy": 0.881, "macro_f1": None},
                    "interval": [0.810, 0.928],
                },
                {
                    "name": "word counts with a linear model",
                    "kind": "baseline",
                    "values": {"accuracy": 0.864, "macro_f1": 0.71},
                    "interval": [0.791, 0.915],
                    "difference": gap,
                },
                {
                    "name": "always the most frequent label",
                    "kind": "baseline",
                    "values": {"accuracy": 0.636},
                    "interval": [0.546, 0.717],
                    "difference": {**gap, "value": 0.245, "low": 0.153, "high": 0.33, "p": 0.00001},
                },
            ],
            "power": "n=118, disagreement 9%: the smallest gain this test set can show is 7.7 points.",
            "notes": ["macro F1 of the tuned model is undefined: no test row of the class so-so was predicted."],
        },
        "classes": [
            {"label": "good", "n": 75, "precision": 0.92, "recall": 0.96, "f1": 0.94},
            {"label": "bad", "n": 31, "precision": 0.82, "recall": 0.9, "f1": 0.86},
            {"label": "so-so", "n": 12, "precision": None, "recall": 0.0, "f1": 0.0},
        ],
        "confusions": [{"truth": "so-so", "predicted": "good", "n": 7}, {"truth": "so-so", "predicted": "bad", "n": 5}],
        "limits": ["Training noise was not measured: one seed."],
    }


def chat() -> dict[str, Any]:
    """Instruction tuning: a loss that falls, five answers side by side."""
    question = "What are the treatments for Legg-Calvé-Perthes disease?"
    long = "Treatment aims at keeping the ball of the hip round. " * 14
    answers = [
        {
            "line": 3 + i,
            "prompt": [
                {"role": "system", "content": "You answer questions of patients."},
                {"role": "user", "content": question},
            ][i % 2 :],
            "truth": long
            if i == 1
            else "Rest, physical therapy and, in some children, surgery to keep the ball of the hip in its socket.",
            "base": long[:300],
            "tuned": "Physical therapy and rest help most children.\n\n- rest\n- crutches\n- surgery in some cases",
            "base_stopped": False,
            "tuned_stopped": True,
        }
        for i in range(5)
    ]
    rows = [
        {
            "line": 40 + i,
            "source": "test.jsonl",
            "text": question,
            "truth": long,
            "loss": 0.6 + i * 0.1,
            "base_loss": 2.4 + i * 0.1,
        }
        for i in range(10)
    ]
    pieces = [
        {"text": "<|im_start|>user\n", "loss": False},
        {"text": question, "loss": False},
        {"text": "<|im_end|>\n<|im_start|>assistant\n", "loss": False},
        {"text": "Rest and physical therapy", "loss": True},
        {"text": " help most children.<|im_end|>", "loss": True},
        {"text": "\n", "loss": False},
    ]
    gap = {
        "value": -0.61,
        "low": -0.655,
        "high": -0.565,
        "p": 0.0001,
        "n": 400,
        "method": "paired by row, t with 399 degrees of freedom",
    }
    return {
        "headline": "Tuning SmolLM2-135M lowers the loss per answer token on 400 test rows from 2.13 to 1.52, by 29%.",
        "verdict": "better",
        "run": {
            "id": "20260513-medquad",
            "model": "smollm2-135m-instruct",
            "method": "lora",
            "seed": 3,
            "task": "instruction",
            "machine": "2 cores, 23 GiB, no GPU",
        },
        "data": {
            "file": "train.jsonl",
            "test_file": "test.jsonl",
            "rows_in": {"train.jsonl": 4000, "test.jsonl": 400},
            "fields": {"prompt": "instruction", "response": "output"},
            "reasons": ["keys instruction and output in all rows"],
        },
        "ledger": {
            "rows_in": {"train.jsonl": 4000, "test.jsonl": 400},
            "used": {"train": 3600, "validation": 400, "test": 400},
            "dropped": [],
        },
        "tokens": {
            "train": part(3600, 210, 1024, loss=170, cut=88),
            "validation": part(400, 205, 1024, loss=168),
            "test": part(400, 212, 1024, loss=171),
        },
        "training_view": [{"title": "first training row (train.jsonl, line 1)", "pieces": pieces}],
        "plan": PLAN,
        "curves": {
            "loss_name": "loss per answer token",
            "train": [[i, 2.1 - 0.5 * (1 - math.exp(-i / 60))] for i in range(0, 225, 3)],
            "validation_name": "loss",
            "validation": [[45 * i, 2.1 - 0.12 * i] for i in range(1, 6)],
            "validation_loss": [[45 * i, 2.1 - 0.12 * i] for i in range(1, 6)],
            "best_step": 225,
            "steps": 225,
        },
        "scores": {
            "primary": "loss",
            "higher_is_better": False,
            "n": 400,
            "percent": False,
            "systems": [
                {
                    "name": "tuned model",
                    "kind": "tuned",
                    "values": {"loss": 1.52, "perplexity": 4.57},
                    "interval": [1.47, 1.57],
                },
                {
                    "name": "untouched model",
                    "what": "the same model and template, not tuned",
                    "kind": "baseline",
                    "values": {"loss": 2.13, "perplexity": 8.41},
                    "interval": [2.07, 2.19],
                    "difference": gap,
                },
            ],
        },
        "rows": {"worst": rows, "best": rows[:3]},
        "answers": answers,
        "written": {
            "n": 5,
            "tuned": {"rouge1": 0.412, "rouge2": 0.201, "rougeL": 0.344},
            "base": {"rouge1": 0.21, "rouge2": 0.05, "rougeL": 0.181},
            "difference": {"value": 0.163, "low": -0.02, "high": 0.346, "p": 0.07, "n": 5, "method": "t"},
            "tokens": "lower case",
        },
        "forgetting": forgetting(),
        "cost": {
            "seconds": {"prepare": 3.0, "train": 402.0, "evaluate": 120.0},
            "peak_memory_mib": 3900,
            "trained_parameters": 4_884_480,
            "all_parameters": 139_400_000,
            "tokens_per_second": 1310,
        },
        "limits": ["Whether the answers are true was not checked."],
    }


EVIL = "</script></style><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>{{ 7*7 }}"


def hostile_evidence() -> dict[str, Any]:
    """Markup and odd figures where the report compares."""
    part_ = {"column": EVIL, "value": "b" * 9_000 + EVIL, "n": None, "score": 0.5, "interval": "no", "verdict": EVIL}
    share = {"value": 0.5, "low": float("nan"), "high": None, "n": EVIL}
    group = {"group": EVIL, "n": EVIL, "selection_rate": share}
    return {
        "slices": {"parts": [part_, {"score": "x"}, 3], "baseline": EVIL, "suppressed": EVIL, "told": EVIL},
        "protected": {"column": EVIL, "note": EVIL, "labels": [{"label": EVIL, "groups": [group], "between": EVIL}]},
        "calibration": {
            "temperature": {"reason": EVIL},
            "test": {"ece": 0.1, "low": EVIL, "bins": [[0.5, 0.4, 1], EVIL]},
        },
        "forgetting": {
            "limit": EVIL,
            "sets": [{"name": EVIL, "sentence": EVIL, "unit": EVIL, "lost": {"value": 0.1}, "verdict": EVIL}],
        },
        "overfitting": {"train": {"value": 0.1, "n": EVIL}, "sentence": EVIL, "verdict": EVIL, "limit": EVIL},
        "folds": {"runs": [{"value": 0.1, "fold": EVIL, "n": EVIL}, {"value": 0.2, "run": EVIL}], "sentence": EVIL},
        "seeds": {"runs": [{"value": 0.1, "seed": EVIL}, {"value": 0.2}], "sentence": EVIL, "percent": EVIL},
        "learning_curve": {
            "points": [{"rows": 1, "value": 0.1, "low": EVIL}, {"rows": 2, "value": 0.1}],
            "fitted": [EVIL, [EVIL, 1]],
            "sentence": EVIL,
            "metric": EVIL,
        },
        "prompted": {
            "model": EVIL,
            "ways": [{"name": EVIL, "score": 0.1, "wording": EVIL}, {"name": EVIL, "note": EVIL}],
        },
        "evaluation": {"scored": EVIL, "file": EVIL},
    }


def hostile() -> dict[str, Any]:
    """Markup in every text, right-to-left text, emoji, very long rows, odd figures, unknown keys."""
    texts = [
        EVIL,
        "هذا المنتج ممتاز \u202eevil",
        "a" * 20_000,
        "🙂👩‍⚕️ " * 5_000,
        "half \ud83d pair\x00\x1b[31m",
        "line\none\t<b>",
    ]
    rows = [
        {
            "line": i,
            "source": EVIL,
            "text": text,
            "truth": EVIL,
            "predicted": text[:40],
            "confidence": None,
            "loss": float("nan"),
        }
        for i, text in enumerate(texts)
    ]
    return {
        "headline": EVIL,
        "verdict": "better",
        "run": {"id": EVIL, "command": EVIL, "versions": {EVIL: EVIL}},
        "data": {
            "file": EVIL,
            "fields": {EVIL: EVIL},
            "reasons": [EVIL],
            "labels": {EVIL + str(i): {"train": i} for i in range(20)},
        },
        "ledger": {
            "rows_in": {EVIL: 3},
            "used": {EVIL: 2},
            "dropped": [{"reason": EVIL, "rows": 1, "lines": [1], "source": EVIL}],
            "notes": [EVIL],
        },
        "training_view": [
            {"title": EVIL, "pieces": [{"text": EVIL, "loss": True}, {"text": "\n" + EVIL, "loss": False}]}
        ],
        "plan": [setting(EVIL, EVIL, EVIL, EVIL, EVIL)],
        "curves": {
            "loss_name": EVIL,
            "train": [[0, 1.0], [1, float("nan")], [2, None], "x"],
            "validation_name": EVIL,
            "validation": [[1, 0.5]],
            "best_step": 1,
        },
        "scores": {
            "primary": EVIL,
            "n": None,
            "percent": True,
            "metric_help": {EVIL: EVIL},
            "power": EVIL,
            "notes": [EVIL],
            "systems": [
                {"name": EVIL, "kind": "tuned", "values": {EVIL: 0.5}, "interval": None},
                {
                    "name": EVIL,
                    "values": {EVIL: 0.4},
                    "difference": {"value": 0.1, "low": None, "high": None, "method": EVIL},
                },
            ],
        },
        "classes": [{"label": EVIL, "n": 1, "precision": None, "recall": float("inf"), "f1": None}],
        "confusions": [{"truth": EVIL, "predicted": EVIL, "n": 2}],
        "rows": {"worst": rows, "best": []},
        "answers": [
            {"line": 1, "prompt": [{"role": EVIL, "content": text}], "truth": text, "base": text, "tuned": None}
            for text in texts
        ],
        **hostile_evidence(),
        "cost": {"seconds": {EVIL: 1}, "early_stop": EVIL},
        "use": [{"title": EVIL, "code": EVIL}],
        "limits": [EVIL],
        "something new": {"nobody": "knows"},
        "tokens": None,
    }


REPORTS = {"banking": banking, "reviews": reviews, "chat": chat, "hostile": hostile}
