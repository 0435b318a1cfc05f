"""Rows that are unlike the others: by distance, length, language, beginning, or a template's open hole."""

from __future__ import annotations

import numpy as np
import pytest
from label_subjects import TOPICS, labelled, sentences, talks

from tuneproof.prepare.check.beginnings import beginnings, shared
from tuneproof.prepare.check.languages import language, languages
from tuneproof.prepare.check.lengths import lengths
from tuneproof.prepare.check.outliers import cut, distances, outliers
from tuneproof.prepare.check.placeholders import holes, placeholders

# -- distance


def test_distances_are_those_to_the_five_nearest_others() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    apart = 1 - rows @ rows.T
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(distances(vectors), np.sort(apart, axis=1)[:, :5].mean(1), atol=1e-5)


def test_a_row_like_no_other_is_an_outlier() -> None:
    # One class and few words: rows are alike, as those of one purpose are.
    rows = [(f"my {' '.join(TOPICS['card'][at % 6 : at % 6 + 3])} please", "card") for at in range(120)]
    odd = [("lorem dolor sit amet", "card"), ("0x7f 0xde 0xad", "card")]
    checked = outliers(labelled([*rows, *odd, *sentences(4)]))
    assert {120, 121} <= {finding.line - 2 for finding in checked.findings} <= set(range(120, 126))
    assert sorted(checked.leave["train"]) == sorted(finding.line - 2 for finding in checked.findings)
    assert all(finding.score is not None and finding.score > checked.figures["cut"] for finding in checked.findings)
    assert sum(count for *_, count in checked.figures["histogram"]) == checked.looked_at == 126


def test_where_rows_are_nearly_copies_the_cut_is_a_share_of_the_distance_between_any_two() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]] * 50, dtype=np.float32)
    assert distances(vectors).max() == 0
    assert cut(distances(vectors), vectors) == pytest.approx(0.7 * 0.5)


def test_the_cut_is_three_robust_deviations_above_the_median() -> None:
    vectors = np.eye(2, dtype=np.float32)[[0, 1] * 500]
    far = np.random.default_rng(0).normal(0.5, 0.1, 1000).astype(np.float32)
    far[:20] = 9.0  # the tail does not move it
    assert cut(far, vectors) == pytest.approx(0.8, abs=0.03)


def test_outliers_need_rows_and_an_encoder() -> None:
    assert "50 train rows" in outliers(labelled(sentences(20))).note
    assert outliers(labelled(sentences(60), encoder=False)).note == "There is no encoder."


# -- length


def test_very_long_and_very_short_texts() -> None:
    rows = [*sentences(100), ("word " * 2000, "card"), ("x", "card")]
    checked = lengths(labelled(rows))
    assert [(finding.line - 2, finding.message.split(":")[0]) for finding in checked.findings] == [
        (100, "Unusually long"),
        (101, "Unusually short"),
    ]
    assert checked.figures["longest"] == 10_000 and checked.figures["shortest"] == 1
    assert sum(count for *_, count in checked.figures["histogram"]) == checked.looked_at == 118


def test_texts_of_nearly_one_length_are_all_usual() -> None:
    rows = [(f"number {at:04d}", "card") for at in range(100)]
    assert lengths(labelled(rows, [("number 00000012", "card")], rows[:4])).found == 0


# -- language

KNOWN = {
    "I would like to know why my card has not arrived yet.": "English",
    "Wo ist meine Karte, und warum ist sie noch nicht da?": "German",
    "Je voudrais savoir pourquoi ma carte n'est pas encore arrivée.": "French",
    "¿Por qué no ha llegado mi tarjeta? Quiero saber dónde está.": "Spanish",
    "Vorrei sapere perché la mia carta non è ancora arrivata.": "Italian",
    "Eu gostaria de saber por que o meu cartão não chegou ainda.": "Portuguese",
    "Ik wil graag weten waarom mijn kaart er nog niet is.": "Dutch",
    "Jag vill veta varför mitt kort inte har kommit och när det kommer.": "Swedish",
    "Jeg vil gerne vide hvorfor mit kort ikke er kommet, og hvad jeg skal gøre nu.": "Danish or Norwegian",
    "Jeg vil gjerne vite hvorfor kortet mitt ikke har kommet, og når det kommer til meg.": "Danish or Norwegian",
    "Dlaczego moja karta jeszcze nie przyszła i co mogę zrobić?": "Polish",
    "Proč moje karta ještě nepřišla a kdy bude u mě?": "Czech",
    "Kartım neden gelmedi ve ne zaman gelir, çok bekledim.": "Turkish",
    "De ce nu a ajuns cardul meu și când o să ajungă?": "Romanian",
    "Miksi minun korttini ei ole vielä tullut, ja missä se on nyt?": "Finnish",
    "Miért nem jött meg a kártyám, és hol van most?": "Hungarian",
    "Mengapa kartu saya belum sampai dan apa yang bisa saya lakukan?": "Indonesian",
    "Tại sao thẻ của tôi không đến và tôi làm sao để biết?": "Vietnamese",
    "Почему моя карта ещё не пришла и где она сейчас?": "Russian",
    "Чому моя картка ще не прийшла і де вона зараз?": "Ukrainian",
    "Γιατί δεν έφτασε η κάρτα μου;": "Greek",
    "为什么我的卡还没有到？": "Chinese",
    "私のカードはまだ届いていません。": "Japanese",
    "제 카드가 아직 도착하지 않았어요.": "Korean",
    "لماذا لم تصل بطاقتي حتى الآن": "Arabic",
    "چرا کارت من هنوز نرسیده است و کجاست": "Persian",
    "मेरा कार्ड अभी तक क्यों नहीं आया": "Devanagari script",
    "למה הכרטיס שלי עוד לא הגיע": "Hebrew",
}


@pytest.mark.parametrize(("text", "name"), KNOWN.items(), ids=[name.split()[0] for name in KNOWN.values()])
def test_languages_are_told_apart(text: str, name: str) -> None:
    assert language(text) == name


@pytest.mark.parametrize(
    "text", ["", "12345", "card arrival", "S T E V E", "OK!!!", "Müller", "αβγ", "🙂🙂🙂", "IBM x86 GmbH"]
)
def test_a_language_that_cannot_be_told_is_unknown(text: str) -> None:
    assert language(text) == "unknown"


def test_odd_rows_are_named_and_a_mixture_is_not() -> None:
    english = [("I want to know what the fee for this is and how we can pay it", "card")] * 40
    german = [("Ich möchte wissen, wie hoch die Gebühr ist und wann sie fällig wird", "card")]
    odd = languages(labelled([*english, *german], english[:8], english[:8]))
    assert [finding.line - 2 for finding in odd.findings] == [40] and "Looks German; 98%" in odd.findings[0].message
    assert odd.figures["shares"] == {"English": 56, "German": 1} and odd.looked_at == 57
    both = languages(labelled([*english, *german * 40], english[:8], german * 8))
    assert both.found == 0 and both.figures["shares"] == {"English": 48, "German": 48}
    assert languages(labelled([("12 34", "card")], [("5", "card")], [("6", "card")])).figures["shares"] == {
        "unknown": 3
    }


# -- beginnings


def test_a_beginning_that_rows_share() -> None:
    head = "Dear customer service team, "
    assert shared([f"{head}{at} words" for at in range(20)] + [f"other {at}" * 9 for at in range(20)]) == head
    assert shared([f"{head}{at} words" for at in range(4)]) == ""  # too few rows
    assert shared([f"{head}words"] * 6 + [f"{at} text of some length here" for at in range(60)]) == ""  # 9%
    assert shared(["yes"] * 50) == "" and shared([]) == ""
    assert shared(["the same answer to everybody"] * 9) == "the same answer to everybody"


def test_beginnings_of_answers_and_texts_are_told_once_each() -> None:
    pairs = [(f"tell me of thing {at}", f"As a language model, I {word}") for at, word in enumerate("abcdefgh" * 4)]
    checked = beginnings(talks(pairs))
    assert [finding.message for finding in checked.findings] == [
        "32 of 32 answers (100%) begin with the same 23 characters."
    ]
    assert checked.found == 32 and checked.figures["answers: begins"] == "As a language model, I "
    assert beginnings(labelled(sentences(60))).found == 0


# -- placeholders

OPEN = {
    "Hello, I am {{name}}, made by {{ author }}.": ["{{name}}", "{{ author }}"],
    "Dear [Name], your order [ORDER NUMBER] is on [insert date here].": [
        "[Name]",
        "[ORDER NUMBER]",
        "[insert date here]",
    ],
    "Write to <YOUR NAME> at <insert the e-mail address>.": ["<YOUR NAME>", "<insert the e-mail address>"],
    "Sehr geehrte/r %FIRST_NAME%, lorem ipsum dolor": ["%FIRST_NAME%", "lorem ipsum"],
    "Sincerely, [Your Name], [Your company]": ["[Your Name]", "[Your company]"],
}
CLOSED = [
    "x[0] = [1, 2]; y = {a: 1}; f'{x}'; d = {'a': {}}",
    "<div class='a'><b>bold</b><br></div> <name>Ann</name>",
    "[INST] hi [/INST] [MASK] [UNK] [REDACTED] [***] [1] [sic] [John]",
    "100% of 50%NET%",
    "if a < your number and b > 3",
    "\\frac{{1}}{2}",
]


@pytest.mark.parametrize(("text", "found"), OPEN.items())
def test_open_holes(text: str, found: list[str]) -> None:
    assert holes(text) == found


@pytest.mark.parametrize("text", CLOSED)
def test_brackets_that_are_no_holes(text: str) -> None:
    assert holes(text) == []


def test_rows_with_holes_in_any_message_are_named_and_those_of_train_leave() -> None:
    checked = placeholders(talks([("hi [Name]", "hello"), ("who are you", "I am {{name}}, {{name}}"), ("a", "b")]))
    assert [(finding.side, finding.line, finding.score) for finding in checked.findings] == [
        ("train", 1, 1.0), ("train", 2, 2.0), ("validation", 1, 1.0), ("test", 1, 1.0),
    ]  # fmt: skip
    assert checked.leave == {"train": [0, 1]} and checked.found == 4 and checked.looked_at == 5
    assert checked.figures["shares"] == {"[Name]": 3, "{{name}}": 1}
    assert "{{name}}" in checked.findings[1].evidence and "{{name}}" in checked.findings[1].message


def test_a_label_is_no_text() -> None:
    assert placeholders(labelled([(f"text {at}", "{{name}}") for at in range(4)], [("a", "b")])).found == 0


def test_the_evidence_is_the_part_with_the_hole() -> None:
    (finding,) = placeholders(labelled([("word " * 100 + "signed, [Your Name]", "card")])).findings
    assert "[Your Name]" in finding.evidence and len(finding.evidence) <= 200
