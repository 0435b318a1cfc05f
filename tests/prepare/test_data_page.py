"""The data page: each report of ``data_reports.py`` rendered and read back as HTML."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from data_reports import EVIL, REPORTS, bad, banking, chat, clean, hostile
from outline import Outline

from tuneproof.evaluate.page import render
from tuneproof.page import TEMPLATES, checks
from tuneproof.prepare.page import PAGE, render_data


@pytest.fixture(scope="module", params=sorted(REPORTS))
def page(request: pytest.FixtureRequest) -> str:
    return render_data(REPORTS[request.param]())


def words(page: str) -> str:
    return " ".join(Outline(page).text.split())


def test_the_page_is_whole_small_and_needs_no_network(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert len(page.encode()) < 3_000_000
    assert not outline.all("link") and not outline.all("iframe") and not outline.all("img")
    assert all("src" not in attributes for _, attributes in outline.tags)
    assert "@import" not in page and "url(" not in page
    assert len(outline.all("script")) == 1 and len(outline.all("style")) == 1


def test_it_can_be_read_without_eyes_and_without_a_mouse(page: str) -> None:
    outline = Outline(page)
    assert len(outline.all("h1")) == len(outline.all("main")) == 1
    assert len(outline.all("caption")) == len(outline.all("table")) > 0
    assert all(head.get("scope") in ("col", "row") for head in outline.all("th"))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {str(link["href"])[1:] for link in outline.all("a")} <= set(ids)
    named = {str(attributes["aria-labelledby"]) for _, attributes in outline.tags if "aria-labelledby" in attributes}
    assert named <= set(ids)


def test_markup_in_the_users_text_is_shown_as_text() -> None:
    page = render_data(hostile())
    outline = Outline(page)
    assert not outline.all("img") and len(outline.all("script")) == 1
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert EVIL in outline.text and "{{ 7*7 }}" in outline.text
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f]", page)


def test_a_page_of_twelve_thousand_findings_stays_small_and_says_what_it_leaves_out() -> None:
    report = bad()
    for one in report["checks"]:
        for finding in one["findings"]:
            finding |= {"evidence": "<" * 200, "message": "&" * 200}
    page = render_data(report)
    assert len(page.encode()) < 3_000_000
    assert "1,000 stand in <code>findings.jsonl</code>" in page
    shown = [int(n) for n in re.findall(r"Shown: (\d+) of", page)]
    assert len(shown) == 12 and min(shown) > 30


def test_short_lists_leave_their_room_to_long_ones() -> None:
    report = banking()
    text = words(render_data(report))
    assert "Shown:" not in text
    few, many = report["checks"][1]["findings"][:3], report["checks"][3]["findings"]
    view = checks.checks([{"found": 3, "findings": few}, {"found": 412, "findings": many}], budget=60_000)
    assert view is not None
    assert [len(one["rows"]) for one in view["checks"]] == [3, pytest.approx(130, abs=40)]


@pytest.mark.parametrize(
    ("make", "badge", "said"),
    [
        (clean, "Clean", "Nothing is wrong with reviews.csv that 11 checks can see."),
        (clean, "Clean", "Not looked at: labels that look wrong."),
        (banking, "Worth a look", "train.csv can be used; 1 of 9 checks found something to look at: labels"),
        (banking, "Worth a look", "133 rows left out (train rows that also stand in the test)."),
        (bad, "Not in order", "11 of 12 checks found something wrong in train.csv"),
        (bad, "Not in order", "Refused because of: one text, different labels."),
    ],
)
def test_what_the_reader_sees_first(make: Any, badge: str, said: str) -> None:
    text = words(render_data(make()))
    start = text.index("tuneproof", text.index("Skip"))
    assert badge in text[start : start + 300] and said in text[start : start + 900]


def test_what_most_rows_left_for_is_said_first() -> None:
    report = banking()
    assert "rows left out: exact duplicate." not in words(render_data(report)), "the checks took more"
    report["ledger"]["dropped"] = [{"source": f"{side}.csv", "reason": "exact duplicate", "rows": 99} for side in "ab"]
    assert "198 rows left out: exact duplicate. 133 rows left out (train rows" in words(render_data(report))


def test_what_was_put_right_is_no_error_any_more() -> None:
    report = banking()
    report["checks"] = [one for one in report["checks"] if one.get("action") == "dropped"]
    text = words(render_data(report))
    assert "train.csv can be used; what 1 of 1 check found was put right" in text
    assert checks.checks(report["checks"])["checks"][0]["tag"] == checks.PUT_RIGHT
    half = [{**report["checks"][0], "changed": 100}]
    assert checks.checks(half)["checks"][0]["tag"] == checks.STATES["warn"], "33 rows are still there"


def test_a_finding_names_its_row_the_other_row_and_what_fits_better() -> None:
    page = render_data(banking())
    text = words(page)
    assert "train.csv:3" in text and "See test.csv, line 9." in text
    assert "/data/bank" not in re.sub(r'data-tip="[^"]*"', "", page).split("How many rows")[0]
    assert 'Labelled "card_delivery_estimate"; rows like it are "card_arrival".' in text
    assert "Leaving them out changes the measured accuracy of the probe by -0.9 points" in text


def test_files_of_one_name_are_told_apart() -> None:
    found = [{"findings": [{"file": f"reviews/{kind}/1.txt", "line": 1} for kind in ("good", "bad")], "found": 2}]
    view = checks.checks(found)
    assert view is not None
    assert [row["file"] for row in view["checks"][0]["rows"]] == ["reviews/good/1.txt", "reviews/bad/1.txt"]


def test_paths_in_sentences_and_tables_are_shown_by_their_last_part() -> None:
    report = banking()
    report["checks"][1]["findings"][0]["message"] = "Nearly the same as /data/bank/test.csv, line 9."
    report["checks"][1]["figures"] = {"clusters": [{"first": "/data/bank/train.csv, line 4", "one answer": True}]}
    text = words(render_data(report))
    assert "Nearly the same as test.csv, line 9." in text and "train.csv, line 4yes" in text
    assert "/data/bank" not in text


def test_figures_are_drawn_by_their_shape_and_the_unknown_is_left_out() -> None:
    figures = {
        "pairs": 17,
        "leaked_share": 0.0425,
        "reason": "no encoder",
        "length": {"histogram": [[0, 8, 3], [8, 16, 90]], "median": 9},
        "scripts": {"Latin": 90, "Cyrillic": 3},
        "alike": [{"label": "a", "other": "b", "likeness": 0.93}],
        "classes": {"a": {"train": 3}},
        "odd": [1, "a"],
        "none": None,
        "deep": {"deeper": {"deepest": [None]}},
    }
    drawn = checks.figures(figures)
    assert [(one["kind"], one["title"]) for one in drawn] == [
        ("numbers", ""),
        ("numbers", "length"),
        ("chart", "length"),
        ("bars", "scripts"),
        ("table", "alike"),
    ]
    assert [line["value"] for line in drawn[0]["lines"]] == ["17", "4.2%", "no encoder"]


def test_rows_per_label_are_readable_at_150_labels() -> None:
    outline = Outline(render_data(bad()))
    assert "151 labels" in outline.text
    assert sum(attributes.get("class") == "column" for attributes in outline.all("rect")) >= 151


def test_rows_that_do_not_add_up_are_named() -> None:
    report = banking()
    assert "do not add up" not in render_data(report)
    report["ledger"]["dropped"].pop()
    assert "do not add up" in render_data(report)


def test_what_is_learnt_is_marked() -> None:
    page = render_data(chat())
    assert page.count('<mark class="loss"><span class="unseen">[learned: </span>Rest and physical') == 3


def test_what_is_cut_off_is_struck_out_and_long_rows_are_shown_in_part() -> None:
    pieces = [{"text": "a" * 9000, "loss": False}, {"text": "kept", "loss": True}, {"text": "gone", "cut": True}]
    whole = render_data({**chat(), "training_view": [{"title": "longest", "pieces": pieces}]})
    assert '<del><span class="unseen">[cut off: </span>gone<span' in whole and "neither read nor learned" in whole
    assert "[... 3,000 characters not shown here ...]" in whole and "neither read" not in render_data(chat())
    turns = [{"text": "b" * 5000, "loss": bool(turn % 2)} for turn in range(40)]
    assert "140,000 more characters of this row are not shown" in render_data({"training_view": [{"pieces": turns}]})


@pytest.mark.parametrize("odd", [None, [], {}, "text", 3, [None], [[]], {"x": None}, float("nan")])
def test_odd_values_do_not_stop_the_page(odd: Any) -> None:
    report = banking()
    report["checks"] = [{**one, "findings": one["findings"][:2]} for one in report["checks"][:6]]
    for key in report:
        render_data({**report, key: odd})
    for key in report["checks"][1]:
        changed = {**report["checks"][1], key: odd}
        render_data({"checks": [changed]})
    assert Outline(render_data(dict.fromkeys(report, odd))).open == []


def test_a_report_survives_the_way_through_json() -> None:
    for make in (banking, chat):
        assert render_data(json.loads(json.dumps(make()))) == render_data(make())


def test_a_section_is_a_row_and_a_template() -> None:
    folders = (PAGE.templates / "sections", TEMPLATES / "sections")
    own, shared = ({file.name.split(".")[0] for file in folder.iterdir()} for folder in folders)
    named = {section.name for section in PAGE.sections}
    assert own <= named <= own | shared and not own & shared


def test_the_page_of_a_run_has_the_same_in_short_and_leads_to_the_data_page() -> None:
    short = [{**one, "findings": one["findings"][:5]} for one in banking()["checks"]]
    outline = Outline(render({"doctor": short}))
    assert "What the doctor found" in outline.text and "Train rows that also stand in the test" in outline.text
    assert "Shown: 5 of 133, the worst first; more on the data page." in " ".join(outline.text.split())
    links = {str(link["href"]) for link in outline.all("a")}
    assert {link for link in links if not link.startswith("#")} == {"../../data/data.html"}
    for odd in (None, [], {}, "text", 3, [None], [[]], {"x": None}):
        assert Outline(render({"doctor": odd})).open == []
