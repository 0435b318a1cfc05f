"""The page: each report of ``page_reports.py`` rendered and read back as HTML."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from outline import Outline
from page_reports import (
    EVIL,
    LABELS,
    REPORTS,
    banking,
    chat,
    forgetting,
    hostile,
    overfitting,
    protected,
    reviews,
    slice_of,
)

from tuneproof.evaluate.measures import MEASURES
from tuneproof.evaluate.page import PAGE, SECTIONS, render
from tuneproof.evaluate.page.compared import scores
from tuneproof.page import TEMPLATES, charts, last_part, numbers
from tuneproof.page.words import METRICS


@pytest.fixture(scope="module", params=sorted(REPORTS))
def page(request: pytest.FixtureRequest) -> str:
    return render(REPORTS[request.param]())


def test_the_page_is_whole_small_and_needs_no_network(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert len(page.encode()) < 3_000_000
    assert not outline.all("link") and not outline.all("iframe") and not outline.all("img")
    assert all("src" not in attributes for _, attributes in outline.tags)
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in outline.tags)
    assert "@import" not in page and "url(" not in page
    assert len(outline.all("script")) == 1 and len(outline.all("style")) == 1


def test_it_can_be_read_without_eyes_and_without_a_mouse(page: str) -> None:
    outline = Outline(page)
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    assert len(outline.all("caption")) == len(outline.all("table")) > 0
    assert all(head.get("scope") in ("col", "row") for head in outline.all("th"))
    for drawing in outline.all("svg"):
        nested = "viewbox" in drawing or "x" in drawing or drawing.get("width") == "22"
        assert drawing.get("aria-hidden") == "true" or drawing.get("aria-label") or nested, drawing
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(link["href"])[1:] for link in outline.all("a")} <= set(ids)


def test_markup_in_the_users_text_is_shown_as_text() -> None:
    page = render(hostile())
    outline = Outline(page)
    assert not outline.all("img") and len(outline.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert EVIL in outline.text and "{{ 7*7 }}" in outline.text
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f]", page)


def test_the_only_script_that_may_run_is_ours() -> None:
    policy = Outline(render({})).all("meta")[1]["content"] or ""
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "script-src 'unsafe-inline'" not in policy


def test_long_texts_are_shortened_and_the_page_stays_below_its_size() -> None:
    outline = Outline(render(hostile()))
    assert "show all 20,000 characters" in outline.text
    report = {"rows": {"worst": [{"line": i, "text": "<" * 1_000_000, "truth": "&" * 100_000} for i in range(20)]}}
    page = render(report)
    assert len(page.encode()) < 3_000_000
    assert "more characters" in page


@pytest.mark.parametrize("key", [*banking(), "training_view", "answers"])
def test_every_part_may_be_missing_or_empty(key: str) -> None:
    whole = {**chat(), **banking()}
    for part_ in (
        {name: value for name, value in whole.items() if name != key},
        {**whole, key: None},
        {key: whole.get(key)},
    ):
        assert Outline(render(part_)).open == []


def test_an_empty_report_still_is_a_page() -> None:
    outline = Outline(render({}))
    assert len(outline.all("section")) == 1 and "A record of what was done." in outline.text


@pytest.mark.parametrize("odd", [None, [], {}, "text", 3, [None], [[]], {"x": None}, float("nan")])
def test_odd_values_do_not_stop_the_page(odd: Any) -> None:
    render({section.name: odd for section in SECTIONS} | {"confusions": odd, "headline": odd, "verdict": odd})
    for name, value in banking().items():
        if isinstance(value, dict):
            render({name: dict.fromkeys(value, odd)})


def test_a_section_is_a_row_and_a_template() -> None:
    folders = (PAGE.templates / "sections", TEMPLATES / "sections")
    own, shared = ({file.name.split(".")[0] for file in folder.iterdir()} for folder in folders)
    named = {section.name for section in SECTIONS}
    assert own <= named <= own | shared and not own & shared


def test_a_report_survives_the_way_through_json() -> None:
    report = banking()
    assert render(json.loads(json.dumps(report))) == render(report)


def test_what_the_reader_sees_first() -> None:
    text = " ".join(Outline(render(banking())).text.split())
    assert text.index("It helped") < text.index("Tuned MiniLM answers 93.5%") < text.index("92.6 to 94.3%")
    assert text.index("13,083 in the files") < text.index("Did it help?", text.index("13,083"))
    text = Outline(render(reviews())).text
    assert "Cannot tell" in text and "cannot tell" in text


def test_the_strongest_baseline_is_drawn_where_it_lies_however_near_the_others_are() -> None:
    """As pubmedqa has it: the constant answer is the tuned model's own, so its difference has hardly any width."""
    report = reviews()
    tuned, *_ = report["scores"]["systems"]
    found = [("words", 0.58, -0.028, 0.027), ("always a", 0.552, 0.0, 0.004), ("far", 0.02, 0.9, 0.04)]
    report["scores"]["systems"] = [{**tuned, "values": {"accuracy": 0.552}}] + [
        {
            **tuned,
            "name": name,
            "kind": "baseline",
            "values": {"accuracy": value},
            "difference": {"value": lead, "low": lead - half, "high": lead + half, "p": 0.04, "n": 500},
        }
        for name, value, lead, half in found
    ]
    view = scores({**report, "scores": {**report["scores"], "primary": "accuracy"}})
    assert view is not None
    drawn = {line["name"]: str(line["plot"]) for line in view["gains"]["lines"]}
    assert 'class="dot"' in drawn["words"] and 'class="dot"' in drawn["always a"]
    assert 'class="away"' in drawn["far"]


def test_on_few_rows_no_line_says_more_than_the_headline() -> None:
    """As a chat of 120 dialogues had it: 22 test rows, and a gain that is beyond doubt."""
    report = reviews()
    sure = {"value": 0.3, "low": 0.2, "high": 0.4, "p": 0.0001, "n": 22}
    systems = [{**one, "difference": sure} if one.get("difference") else one for one in report["scores"]["systems"]]
    few = {**report, "scores": {**report["scores"], "systems": systems, "n": 22}}
    text = " ".join(Outline(render({**few, "verdict": "inconclusive"})).text.split())
    assert "Fewer than 30 test rows: their differences are shown" in text and "too small to be told" not in text
    assert 'With fewer than 30 test rows the reading is always "cannot tell".' in text
    view = scores(few)
    assert view is not None and {line["said"] for line in view["gains"]["lines"]} == {"cannot tell"}
    unsure = {**sure, "n": 500, "p": 0.06}
    for one in systems:
        one.update({"difference": unsure} if one.get("difference") else {})
    view = scores({**few, "scores": {**few["scores"], "n": 500}})
    assert view is not None and {line["said"] for line in view["gains"]["lines"]} == {"cannot tell"}


def test_a_loss_counts_as_better_when_it_is_lower() -> None:
    page = render(chat())
    assert '<span class="tag better">' in page and "left of zero the tuned model is better" in page
    assert '<mark class="loss"><span class="unseen">[learned: </span>Rest and physical therapy help most' in page


def test_rows_that_do_not_add_up_are_named() -> None:
    report = banking()
    assert "do not add up" not in render(report)
    report["ledger"]["used"]["train"] -= 1
    assert "do not add up" in render(report)


EVIDENCE = (
    "slices",
    "protected",
    "calibration",
    "forgetting",
    "overfitting",
    "folds",
    "seeds",
    "learning_curve",
    "prompted",
    "confusions",
)


def of(report: dict[str, Any]) -> str:
    return " ".join(Outline(render(report)).text.split())


@pytest.mark.parametrize("key", EVIDENCE)
def test_evidence_has_a_section_only_where_it_was_measured(key: str) -> None:
    assert f'<section id="{key}"' in render({key: banking()[key]})
    for empty in (None, {}, []):
        assert f'<section id="{key}"' not in render({**banking(), key: empty})


def test_parts_are_told_in_words() -> None:
    text = of(banking())
    assert "By channel, the weakest first" in text
    assert "Of 82 parts the tuned model is better than linear head on the frozen model in 3 and worse in 1" in text
    assert text.index("web870") < text.index("app2,210")
    assert "3 parts with fewer than 30 rows" in text and "too few rows" in text


def test_a_part_is_weak_where_its_loss_is_high() -> None:
    report = chat()
    parts = [slice_of("length", name, 200, score, 0.0) for name, score in (("short", 0.3), ("long", 0.9))]
    text = of({**report, "slices": {"parts": parts, "baseline": "untouched model"}})
    assert text.index("long200") < text.index("short200") and "lower is better" in text


def test_groups_are_compared_rate_by_rate() -> None:
    text = of(banking())
    assert "groups differ The furthest apart: 6.7 points (3.1 to 10.1); groups drawn by lot would be 2.1 apart" in text
    assert "The lowest share is 0.52 times the highest." in text
    assert "The groups cannot be compared here." in text and "These are 6 comparisons" in text
    assert "9 groups between the lowest and the highest are not drawn" in of({"protected": protected(groups=21)})
    none = {"column": "age", "labels": [], "note": "fewer than two groups have 30 rows"}
    assert "Fewer than two groups have 30 rows." in of({"protected": none})


def test_confidence_is_drawn_against_what_was_right() -> None:
    report = banking()
    page = render({"calibration": report["calibration"]})
    assert page.count('class="line raw"') == page.count('class="line held"') == 1
    text = of(report)
    assert "no difference to that could be shown: its confidence lies 1.1% from the truth" in text
    assert "Temperature 1.31, fitted on 503 validation rows" in text
    assert text.index("as trained3.4%") < text.index("with the temperature1.1%")
    report["calibration"] |= {"before": None, "test": {**report["calibration"]["before"], "bins": []}}
    assert "lies 3.4% from the truth on average, and chance does not explain that" in of(report)
    assert 'class="line raw"' not in render(report)


def test_what_was_forgotten_stands_beside_its_limit() -> None:
    text = of(chat())
    assert "it forgot more than the limit allows." in text and "+0.071" in text
    assert "is 0.410 nats per answer token (0.360 to 0.460)" in text
    assert "+0.4" in of(banking()) and "What was lost, in points" in of(banking())
    why = {
        "name": "x",
        "measure": "linear probe",
        "n": 3,
        "verdict": "not measured",
        "sentence": "Nothing was measured",
    }
    page = render({"forgetting": {**forgetting(), "sets": [why]}})
    assert "Nothing was measured" in page and "What was lost" not in page


@pytest.mark.parametrize(
    ("word", "kind"), [("overfitted", "worse"), ("some", "better"), ("cannot tell", "cannot-tell")]
)
def test_training_rows_stand_beside_test_rows(word: str, kind: str) -> None:
    page = render({"overfitting": overfitting(word)})
    said = {"some": "a usual gap"}.get(word, word)
    assert f'<span class="tag {kind}">{said}</span>' in page and "15 points" in Outline(page).text
    assert "500 training rows" in " ".join(Outline(page).text.split())


def test_noise_and_growth_are_drawn() -> None:
    text = of(banking())
    assert "seed 0 (kept)" in text and "standard deviation 0.31 points" in text
    assert "rows in this file" in text and "fitted curve" in text and "more rows would help" in text


def test_money_and_energy_are_shown_where_they_are_known() -> None:
    report = banking()
    assert "Money" not in of(report) and "Energy" not in of(report)
    report["cost"] |= {"energy_wh": 2.4, "money": 0.031, "price_per_hour": 0.4}
    assert "2.40 Wh, as the processors count it" in of(report) and "0.0310, at 0.400 an hour" in of(report)


def test_asking_stands_beside_tuning() -> None:
    text = of(banking())
    assert "31 answers named no label and count as wrong" in text and "tuning is better" in text
    assert "with examples: not asked, the prompts are longer than the model can read." in text


def test_the_most_confused_labels_make_a_table_of_fifteen() -> None:
    classes = [{"label": f"c{i}", "n": 40, "recall": 0.5} for i in range(150)]
    mistakes = [{"truth": f"c{i}", "predicted": f"c{i + 1}", "n": 9 if i else 12} for i in range(50)]
    page = render({"classes": classes, "confusions": mistakes})
    heat = Outline(
        page[page.index('<table class="heat">') : page.index("</table>", page.index('<table class="heat">'))]
    )
    text = " ".join(heat.text.split())
    assert "The 15 labels of 150 that are mixed up most" in text
    assert "1 c02012840 2 c12091140" in text  # right, its mistake, other answers, rows
    assert "c14" in text and "c15" not in text
    assert "mistakes rarer than 9 rows" in of({"classes": classes, "confusions": mistakes})


def test_a_page_of_very_many_parts_and_groups_stays_below_its_size() -> None:
    parts = [slice_of(f"column {i % 7}", f"{LABELS[i % 77]} {i}", 100, 0.9, 0.0) for i in range(3_000)]
    report = {**banking(), "slices": {"parts": parts}, "protected": protected(tuple(LABELS[:20]), groups=300)}
    report["rows"] = {"worst": [{"line": i, "text": "<" * 1_000_000} for i in range(20)]}
    page = render(report)
    assert len(page.encode()) < 3_000_000
    assert "344 more parts that did better stand in the report file" in page


def test_figures_have_sensible_digits() -> None:
    assert [numbers.share(x) for x in (0.93506, 1, 0.99996, 0.0001, None, math.nan)] == [
        "93.5%",
        "100%",
        ">99.9%",
        "<0.1%",
        numbers.MISSING,
        numbers.MISSING,
    ]
    assert [numbers.number(x) for x in (0.1834, 12.41, 10003, 0.00071, -2.5)] == [
        "0.183",
        "12.4",
        "10,003",
        "0.0007",
        "\u22122.50",
    ]
    assert [numbers.signed(x, True) for x in (0.011, -0.02)] == ["+1.1", "\u22122.0"]
    assert [numbers.duration(x) for x in (0.84, 42, 200, 7500)] == ["0.8 s", "42 s", "3 min 20 s", "2 h 05 min"]
    assert [numbers.plural(n, "row") for n in (1, 3080)] == ["1 row", "3,080 rows"]


def test_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert charts.ticks(0.853, 0.957, 6) == [0.86, 0.88, 0.9, 0.92, 0.94]
    assert charts.ticks(3, 3) == [3]


def test_thinning_keeps_the_peaks() -> None:
    points = [(float(i), 100.0 if i == 777 else math.sin(i)) for i in range(5000)]
    kept = charts.thin(points)
    assert len(kept) <= charts.MAX_POINTS and (777.0, 100.0) in kept and kept == sorted(kept)


def test_a_path_is_shown_by_its_last_part() -> None:
    outline = Outline(render({"data": {"file": "/root/.cache/tuneproof/store/sha256/ca/reviews.csv"}}))
    assert "/root" not in outline.text and "reviews.csv" in outline.text
    assert any(
        mark.get("data-tip") == "/root/.cache/tuneproof/store/sha256/ca/reviews.csv" for mark in outline.all("bdi")
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/data/a/train.jsonl, /data/b/validation.jsonl", "train.jsonl, validation.jsonl"),
        ("/my, data/x.csv", "x.csv"),
        ("C:\\rows\\x.csv", "x.csv"),
        ("runs/a/", "a"),
        (None, ""),
    ],
)
def test_of_several_files_each_is_shown(path: str | None, shown: str) -> None:
    assert last_part(path) == shown


def test_a_moment_is_readable() -> None:
    assert numbers.moment("2026-05-11T14:22:03+0000") == "2026-05-11 14:22 UTC"
    assert numbers.moment("2026-05-11T14:22:03.5+02:00") == "2026-05-11 14:22 UTC+02:00"
    assert numbers.moment("yesterday") == "yesterday"


def test_every_metric_that_decides_has_a_name_and_a_meaning_on_the_page() -> None:
    assert set(MEASURES) - set(METRICS) == set()
    for name, measure in MEASURES.items():
        assert METRICS[name].share == measure.share, name
