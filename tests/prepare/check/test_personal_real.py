"""Real data: hardly a false hit in clean rows, and what is found of what a person found in a finance help line.

LABELS are of 160 rows of multidogo_finance/test.jsonl, read and labelled by hand before a detector ran on them: 100
drawn (seed 20240607) from the rows with a slot for a person's data, 30 from the other rows with a digit, 30 from the
rest. Each entry is a row (from 1) and the kind and place of each value in its tokens joined by spaces. A number that a
spreadsheet had destroyed (4.44E+15) is no value.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

from tuneproof.config import Check as Options
from tuneproof.personal import KINDS, find
from tuneproof.prepare.check import Subject
from tuneproof.prepare.check.personal import candidates, personal_data
from tuneproof.records import Schema, Splits, Table

LABELS = """
21; 23; 43; 53; 74 NAME:0-11; 82 CARD:40-56 NAME:5-8; 83 NAME:6-9; 109 SSN:4-8; 120; 133 ADDRESS:0-14;
141 NAME:0-13; 146 ADDRESS:0-30; 175; 191 ADDRESS:0-43; 217 ACCOUNT:52-62; 269; 270 SSN:0-4; 271 NAME:0-14; 317;
331 NAME:3-7; 334 SSN:10-14 CARD:37-41; 344 ADDRESS:0-41; 365 SSN:0-4; 384; 393 NAME:0-5; 433 NAME:0-5; 451;
460; 489; 493 SSN:0-4; 495; 503 NAME:0-4 SSN:19-23; 515 ADDRESS:0-35; 521 NAME:0-5; 543; 556; 559; 592;
609 SSN:0-4; 625 ACCOUNT:13-17; 626; 628 NAME:11-15; 630 NAME:0-12; 640; 647; 656; 667; 706 ADDRESS:0-28;
707 ADDRESS:60-96; 730 NAME:0-7; 731 SSN:0-4; 748; 749 SSN:0-4; 754 SSN:0-4; 759; 766 NAME:0-11; 778 NAME:0-11;
830; 844; 851 SSN:0-4; 886 ADDRESS:0-18; 919; 922; 928 CARD:25-41; 970 NAME:11-17 SSN:22-26; 988; 1031 SSN:4-8;
1034; 1047 NAME:11-19; 1048 SSN:0-3; 1050 ADDRESS:0-22; 1060; 1101; 1134; 1137; 1150;
1151 NAME:0-5 ACCOUNT:12-16 SSN:20-24 CARD:44-48; 1169 ADDRESS:0-33; 1180 SSN:0-4; 1182; 1201 ACCOUNT:0-4;
1207 SSN:0-4; 1277; 1299; 1314 SSN:0-4; 1361; 1368; 1373; 1376 SSN:0-4; 1396 CARD:16-35; 1413 NAME:24-28;
1419 ACCOUNT:15-26; 1429 SSN:0-4; 1437 CARD:0-19; 1445 CARD:18-37; 1469 SSN:0-4; 1480 SSN:0-4; 1497 SSN:0-4;
1498; 1525 SSN:0-4; 1530 NAME:11-21; 1531 SSN:0-4; 1547 SSN:0-4; 1548 CARD:0-19; 1551 NAME:5-8; 1556 SSN:4-8;
1572 NAME:16-27; 1573 SSN:0-4; 1582 SSN:0-4; 1605 NAME:11-17 CARD:43-59; 1607; 1614; 1636 NAME:0-6; 1647; 1675;
1676; 1700; 1709 CARD:0-4; 1710 ADDRESS:0-23; 1731; 1740; 1759 SSN:0-4; 1768 NAME:0-10; 1769 SSN:0-4; 1774;
1780; 1800 ADDRESS:0-16; 1825 ADDRESS:0-18; 1840; 1842; 1847; 1867; 1899; 1903 NAME:0-12; 1908; 1922 NAME:0-11;
1925 ADDRESS:0-11; 1939 SSN:0-4; 1940 SSN:0-4; 1941; 1947 CARD:71-75; 1989; 1992 ADDRESS:0-68; 1998;
2015 NAME:0-10; 2033; 2035 CARD:14-30; 2060 NAME:11-24 SSN:36-40; 2070 SSN:0-4; 2073; 2095;
2108 SSN:4-8 CARD:17-21; 2118 SSN:0-4; 2120; 2144 CARD:0-19; 2165; 2172 NAME:0-8 CARD:38-54; 2175; 2205;
2211 ACCOUNT:11-15
"""


def labels() -> dict[int, list[tuple[str, int, int]]]:
    rows = {}
    for entry in LABELS.split(";"):
        row, *values = entry.split()
        places = [(kind, *map(int, place.split("-"))) for kind, place in (value.split(":") for value in values)]
        rows[int(row)] = [(kind, start, end) for kind, start, end in places]
    return rows


def test_hardly_a_false_hit_in_clean_rows(shared: Path) -> None:
    """ACCEPTANCE figure 10: at most one in 10,000 rows; all 13,083 rows hold nothing personal, and none is found."""
    texts = []
    for file in ("train.csv", "test.csv"):
        with (shared / "banking77" / file).open(encoding="utf-8", newline="") as lines:
            texts += [row["text"] for row in csv.DictReader(lines)]
    assert len(texts) == 13_083
    assert [texts[place] for place in candidates(texts) if find(texts[place])] == []
    assert [text for text in texts if find(text)] == []  # and sifting has hidden none


def test_sums_and_amounts_are_no_numbers_of_persons(shared: Path) -> None:
    lines = (shared / "gsm8k" / "train.jsonl").read_text(encoding="utf-8").strip().split("\n")
    texts = [text for line in lines for text in json.loads(line).values()]
    assert [texts[place] for place in candidates(texts) if find(texts[place])] == []


def test_what_a_person_found_in_a_help_line_is_found(shared: Path) -> None:
    """Whole values, and the last four digits when the text says what they are; digits that nothing explains are not."""
    lines = (shared / "multidogo_finance" / "test.jsonl").read_text(encoding="utf-8").split("\n")
    found: Counter[str] = Counter()
    there: Counter[str] = Counter()
    false = []
    for row, values in labels().items():
        text = " ".join(json.loads(lines[row - 1])["tokens"])
        matches = find(text)
        for kind, start, end in values:
            alone = kind != "NAME" and len(text) == end - start <= 4
            met = [match.kind for match in matches if match.start < end and start < match.end]
            there["bare" if alone else kind] += 1
            found["bare" if alone else kind] += kind in met
        for match in matches:
            if not any(match.start < end and start < match.end for _, start, end in values):
                false.append((row, match))
    assert there == {"bare": 30, "SSN": 9, "CARD": 14, "ADDRESS": 15, "ACCOUNT": 5, "NAME": 30}
    assert found == {"bare": 0, "SSN": 7, "CARD": 13, "ADDRESS": 11, "ACCOUNT": 5, "NAME": 5}
    assert false == []


def test_what_the_files_own_tags_say_is_found_as_well(shared: Path) -> None:
    """The same rows with their slots, which others have tagged: names, addresses and bare digits are told by them."""
    lines = (shared / "multidogo_finance" / "test.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(lines[row - 1]) for row in labels()]
    columns = {
        "id": [str(row) for row in labels()],
        "text": [" ".join(row["tokens"]) for row in rows],
        "words": [row["tokens"] for row in rows],
        "tags": [row["ner_tags"] for row in rows],
    }
    train, none = Table(columns, list(labels()), "test.jsonl"), Table({name: [] for name in columns}, [], "none.jsonl")
    schema = Schema("token-classification", "", {}, (), None, ())
    said = personal_data(Subject(Splits(train, none, none), schema, lambda row: (row["text"], ""), Options(), 0))
    kinds = {one.line: one.message for one in said.findings}
    there = Counter(kind for values in labels().values() for kind, _, _ in values)
    found = Counter(
        kind for line, values in labels().items() for kind, _, _ in values if KINDS[kind] in kinds.get(line, "")
    )
    assert there == {"SSN": 37, "CARD": 15, "ADDRESS": 15, "ACCOUNT": 6, "NAME": 30}
    assert found == {"SSN": 36, "CARD": 15, "ADDRESS": 15, "ACCOUNT": 6, "NAME": 23}
