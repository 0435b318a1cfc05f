"""The language of a file decides what its bytes mean: the first article of the Declaration of Human Rights, often."""

from __future__ import annotations

import pytest

from tuneproof.errors import DataError
from tuneproof.prepare.encodings import utf8
from tuneproof.prepare.read import read

TEXTS = {
    "French": (
        "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de "
        "conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
        ["cp1252", "latin_1", "mac_roman", "cp850"],
    ),
    "German": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt "
        "und sollen einander im Geist der Brüderlichkeit begegnen.",
        ["cp1252", "mac_roman", "cp850"],
    ),
    "Spanish": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón y "
        "conciencia, deben comportarse fraternalmente los unos con los otros. El niño pequeño.",
        ["cp1252", "mac_roman", "cp850"],
    ),
    "Italian": (
        "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e di "
        "coscienza e devono agire gli uni verso gli altri in spirito di fratellanza. Perché è così.",
        ["cp1252", "mac_roman"],
    ),
    "Swedish": (
        "Alla människor är födda fria och lika i värde och rättigheter. De är utrustade med förnuft och samvete och "
        "bör handla gentemot varandra i en anda av broderskap.",
        ["cp1252", "mac_roman"],
    ),
    "Polish": (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni obdarzeni rozumem i "
        "sumieniem i powinni postępować wobec innych w duchu braterstwa.",
        ["cp1250", "iso8859_2"],
    ),
    "Czech": (
        "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a mají "
        "spolu jednat v duchu bratrství.",
        ["cp1250", "iso8859_2"],
    ),
    "Turkish": (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler ve "
        "birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
        ["cp1254"],
    ),
    "Icelandic": (
        "Hver maður er borinn frjáls og jafn öðrum að virðingu og réttindum. Menn eru gæddir vitsmunum og samvisku, "
        "og ber þeim að breyta bróðurlega hverjum við annan.",
        ["cp1252"],
    ),
    "Russian": (
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и "
        "должны поступать в отношении друг друга в духе братства.",
        ["cp1251", "koi8_r", "cp866"],
    ),
    "Ukrainian": (
        "Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю і "
        "повинні діяти у відношенні один до одного в дусі братерства.",
        ["cp1251"],
    ),
    "Greek": (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με "
        "λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
        ["cp1253"],
    ),
    "Hebrew": (
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג "
        "איש ברעהו ברוח של אחווה.",
        ["cp1255"],
    ),
    "Arabic": (
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا "
        "وعليهم أن يعامل بعضهم بعضا بروح الإخاء.",
        ["cp1256"],
    ),
    "Japanese": (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを"
        "授けられており、互いに同胞の精神をもって行動しなければならない。",
        ["cp932", "euc_jp"],
    ),
    "Chinese": (
        "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
        ["gb18030"],
    ),
    "traditional Chinese": (
        "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。",
        ["cp950"],
    ),
    "Korean": (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 "
        "부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
        ["cp949"],
    ),
    "English": (
        "It’s a “nice” café – he said… it costs £5, and “don’t” is what they’d say at 30°",
        ["cp1252", "mac_roman"],
    ),
}
SINGLE = {
    "a pound sign": ("costs £5,good", "cp1252"),
    "one accent": ("the café was fine", "cp1252"),
    "one accent, Mac": ("the café was fine", "mac_roman"),
}
UNTOLD = {
    "one apostrophe": b"don\x92t go there",
    "one ideograph or two letters": b"Universe?\x8c\xe6,x",
    "a letter between two words": b"using the\xe6M'Kraan",
}
CASES = [(language, encoding) for language, (_, encodings) in TEXTS.items() for encoding in encodings]


def rows(text: str) -> str:
    return f"text;label\n{text};x\nplain;y\n"


@pytest.mark.parametrize(("language", "encoding"), CASES)
def test_the_encoding_is_told_by_one_paragraph(language: str, encoding: str) -> None:
    text = rows(TEXTS[language][0])
    found, note = utf8(text.encode(encoding), "a.csv")
    assert found.decode() == text
    outside = sum(byte > 127 for byte in text.encode(encoding))
    assert note.startswith("a.csv was read as ") and f"({outside} bytes outside ASCII" in note


@pytest.mark.parametrize("case", SINGLE)
def test_one_sign_in_its_usual_place_is_enough(case: str) -> None:
    text, encoding = SINGLE[case]
    assert utf8(rows(text).encode(encoding), "a.csv")[0].decode() == rows(text)


@pytest.mark.parametrize("case", UNTOLD)
def test_what_could_be_two_things_is_refused(case: str) -> None:
    with pytest.raises(DataError, match=r"a.csv, line 1: byte .* cannot be told: .*cp1252 .* iconv -f .*CP1252"):
        utf8(UNTOLD[case], "a.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["good ü,x", "日本語のテキスト,1", "Все люди,0"])
def test_wide_encodings_are_told_with_and_without_a_mark(encoding: str, text: str) -> None:
    content = "text,label\n" + f"{text}\n" * 20
    found, note = utf8(content.encode(encoding), "a.csv")
    assert found.decode() == content and encoding[:6].upper() in note


def test_the_decision_is_in_the_notes_of_the_table(write) -> None:
    table = read(write("a.csv", "text,label\nun café déjà vu,x\n".encode("cp1252")))
    assert table.columns["text"][0] == "un café déjà vu"
    assert [note for note in table.notes if "was read as cp1252 (3 bytes outside ASCII" in note]
    assert read(write("b.csv", "text,label\nun café déjà vu,x\n")).notes == ()


def test_json_in_utf_16_is_json(write) -> None:
    table = read(write("a.jsonl", '{"text": "ü", "label": "x"}\n'.encode("utf-16")))
    assert table.row(0) == {"text": "ü", "label": "x"} and "UTF-16" in table.notes[0]


def test_a_piece_may_end_inside_of_a_character() -> None:
    text = "€" * 800_000  # 3 bytes each, so that pieces of 2**20 bytes end inside of characters
    assert utf8(text.encode(), "a.txt") == (text.encode(), "")
    with pytest.raises(DataError, match=r"line 1: byte 2,399,997 \(0xff\) is not UTF-8; .* one byte is broken"):
        utf8(text.encode()[:2_399_997] + b"\xff", "a.txt")
