"""Which language each text is in, and the rows that are in another than the rest.

    languages.language("Wo ist meine Karte, und warum ist sie nicht da?")     # "German"
    languages.language("card arrival")                                        # "unknown"

By script, and for the Latin one by the commonest words and by letters that few languages have. It needs a handful of
words to be sure; where it is not it says "unknown", and such rows are counted but never called odd.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from tuneproof.prepare.check.subject import KEPT, Checked, Subject

NAME = "languages"
UNKNOWN = "unknown"
CHARS = 600  # of a text that are read
MAIN, RARE = 0.8, 0.05  # a row is odd where one language has MAIN of the known rows or more and its own RARE or less
SURE, TIMES = 2.0, 2.0  # points that the best language needs, and how many times those of the second

# The commonest words. Those of one letter are not read: initials and list marks are in every language.
WORDS = {
    "English": (
        "the and to of is are was were you my it that this for with on be have has not what how can do does did your "
        "from they we he she will would there when why which who if but or an at by me about just know get please had "
        "been her his their our its some any all out up into than then because don't i'm it's want need could should "
        "like make many much more after before over only even these those being while where tell got didn't can't "
        "let's"
    ),
    "German": (
        "der die das und ist nicht ich zu ein eine einen einem mit auf für von den dem sich auch es sie wir ihr mein "
        "meine wie was warum wenn aber oder kann haben hat sind war bei nach noch nur wird bitte über wo mir mich "
        "dass ja nein hier dann danke gut ihnen ihre gibt können könnten möchte möchten würde vielen dank im am um "
        "zum zur vom als aus so da dort sein werden hallo uhr habe etwas sehr mehr alle kein keine du dein uns unsere "
        "diese dieser"
    ),
    "French": (
        "le la les et est une des du que qui dans pour pas je vous nous il elle ne ce sur avec mon ma mes votre au "
        "aux sont mais ou où comment pourquoi plus cette ces être avoir fait bien très tout oui non c'est j'ai leur "
        "merci qu' j' n' c' l' d' s' tu te toi moi se lui as ai avez suis sommes bon alors aussi rien ça quoi quel "
        "quelle tous peut peux veux sans si encore ici là faire dire même quand faut va vais ont notre nos autre "
        "comme toujours jamais"
    ),
    "Spanish": (
        "el la los las es una un que en por para con no mi mis su se lo le del al como qué cómo está son pero más muy "
        "yo tú usted cuando dónde hay este esta ser tiene puedo gracias también porque todo nos hola me te sí si ya "
        "bien quiero soy estoy estás eres tengo eso ese esa nada aquí hasta sobre sin desde ella ellos les"
    ),
    "Italian": (
        "il lo la gli le una un che di del della in per non con mi mio mia sono come cosa perché quando dove anche ma "
        "più questo questa ha ho hai si al alla nel nella dei delle grazie ciao posso molto tutto essere l' d' c' "
        "dell' un' ti ci vi noi voi loro sei siamo stato stata fare fatto bene già ancora senza poi qui lei lui io tu"
    ),
    "Portuguese": (
        "os as uma um que de do da dos das em no na por para com não meu minha se como está são mas mais muito você "
        "eu quando onde este esta isso tem posso obrigado também porque ao ser foi já ele ela"
    ),
    "Dutch": (
        "de het een en is niet van ik te dat die in op voor met mijn je jij zijn was hoe wat waarom als maar of ook "
        "kan heb heeft er aan bij naar nog om dan wel wordt deze dit hij zij graag geen mij waar"
    ),
    "Swedish": (
        "och att det är en ett som på jag inte för med den har till av du min mitt hur vad varför när men eller kan "
        "om så var från vi han hon de ska också mig dig här där bara mycket finns"
    ),
    "Danish or Norwegian": (
        "og at det er en et som på jeg ikke for med den har til af du min mit hvordan hvad hvorfor når men eller kan "
        "om så var fra vi han hun de skal også mig dig her der bare meget blev hvor av mitt hva meg deg mye ble noe "
        "vil gerne gjerne nu nå kort deres vores våre hvilken dette denne disse hvis efter etter ud ut op opp"
    ),
    "Polish": (
        "nie na się do to jest że jak co po ale czy tak za od dla mnie moja moje jestem są już może tylko być przez "
        "przy kiedy gdzie dlaczego ten ta te był była mam proszę oraz więc"
    ),
    "Czech": (
        "je se na to že do ne jsem jak co ale tak za pro by jeho moje můj jsou být už jen nebo když kde proč ten ta "
        "byl byla mám prosím která který také může jako"
    ),
    "Turkish": (
        "ve bir bu da de için ne mi mı ile çok ben sen var yok nasıl neden nerede ama daha gibi kadar benim değil "  # noqa: RUF001
        "olarak olan mu ki her şey sonra lütfen biz siz veya"
    ),
    "Romanian": (
        "și de la în nu pe cu este un că ce să mai din care sunt am ai are pentru cum unde când dar sau mea meu acest "
        "această fi fost foarte vă mi ca prin după"
    ),
    "Finnish": (
        "ja on ei se että en hän oli minä mutta mitä miten kuin niin ole tai jos kun miksi missä tämä minun olen ovat "
        "myös vain voi nyt sitten mukaan kanssa joka"
    ),
    "Hungarian": (
        "az és nem hogy egy is van ez azt de meg mi ha csak már én te ki mint volt vagy hol miért hogyan nagyon kell "
        "lesz akkor még lehet ezt minden köszönöm"
    ),
    "Indonesian": (
        "yang dan di ini itu dengan untuk tidak dari ke saya pada adalah akan ada bisa apa bagaimana kami kita anda "
        "sudah juga atau karena seperti mereka jika mengapa tolong kartu belum"
    ),
    "Vietnamese": (
        "và là của không có tôi cho được một những các trong với này đã người thì đó khi như từ để làm sao bạn về "
        "cũng đến ra vì nhưng nào"
    ),
}
LETTERS = {
    "German": "ßäöü", "French": "œçèêëîïûàùéâô", "Spanish": "ñ¿¡áéíóú", "Portuguese": "ãõçáâêéíóôú", "Italian": "àèìòù",
    "Swedish": "åäö", "Danish or Norwegian": "åæø", "Polish": "ąćęłńśźżó", "Czech": "ěščřžýáíéúů",
    "Turkish": "ğışçöü", "Romanian": "ăâîșțşţ", "Finnish": "äö", "Hungarian": "őűáéíóöúü",
    "Vietnamese": "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ",
}  # fmt: skip
# One script, one language, as far as users of this program are concerned; scripts of several languages follow.
SCRIPTS = {
    "HANGUL": "Korean", "GREEK": "Greek", "HEBREW": "Hebrew", "THAI": "Thai", "ARMENIAN": "Armenian",
    "GEORGIAN": "Georgian", "BENGALI": "Bengali", "TAMIL": "Tamil", "TELUGU": "Telugu", "GUJARATI": "Gujarati",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{2,}(?:'[^\W\d_]+)?")
_ELIDED = re.compile(r"\b(?:qu|dell|un|[cdjlns])'(?=[^\W\d_])")  # French and Italian: j'ai, qu'on, dell'arte


def languages(subject: Subject) -> Checked:
    """Shares of the languages over all sides; rows in a rare one where nearly all others are in one language."""
    seen = [
        (side, index, language(subject.read[side][index])) for side, rows in subject.sample.items() for index in rows
    ]
    counts = Counter(name for _, _, name in seen)
    known = len(seen) - counts[UNKNOWN]
    top, most = max(
        ((name, n) for name, n in counts.items() if name != UNKNOWN), key=lambda one: one[1], default=("", 0)
    )
    rare = {name for name, n in counts.items() if name != UNKNOWN and n <= RARE * known}
    odd = [one for one in seen if one[2] in rare] if most >= MAIN * known else []
    findings = [
        subject.finding(
            NAME,
            side,
            index,
            "info",
            f"Looks {name}; {most / known:.0%} of the rows whose language can be told are {top}.",
            evidence=subject.read[side][index],
        )
        for side, index, name in odd[:KEPT]
    ]
    note = " ".join(part for side in subject.sample if (part := subject.sampled(side)))
    return Checked(len(seen), len(odd), findings, figures={"shares": dict(counts.most_common())}, note=note)


def language(text: str) -> str:
    """The English name of the language of ``text``, or of its script; "unknown" where a few words do not tell."""
    beginning = text[:CHARS]
    if beginning.isascii():
        return _latin(beginning)
    scripts = Counter(_script(letter) for letter in beginning if letter.isalpha())
    if not scripts:
        return UNKNOWN
    letters = scripts.total()
    if scripts["HIRAGANA"] + scripts["KATAKANA"] >= 0.1 * letters:
        return "Japanese"
    script, count = scripts.most_common(1)[0]
    if count < 0.6 * letters or (script != "CJK" and count < 4):
        return UNKNOWN
    if script == "LATIN":
        return _latin(beginning)
    if script == "CYRILLIC":
        return _told(beginning, {"Ukrainian": "іїєґ", "Russian": "ыэё"}, "Cyrillic script")
    if script == "ARABIC":
        return _told(beginning, {"Urdu": "ٹڈڑے", "Persian": "پچژگی"}, "Arabic")
    return "Chinese" if script == "CJK" else SCRIPTS.get(script, f"{script.capitalize()} script")


def _told(text: str, letters: dict[str, str], otherwise: str) -> str:
    """The first language that has one of its own letters in the text."""
    return next((name for name, own in letters.items() if any(letter in own for letter in text.lower())), otherwise)


@lru_cache(maxsize=8192)
def _script(letter: str) -> str:
    """``LATIN``, ``CYRILLIC``, ``CJK``: how the name of the letter in Unicode begins."""
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def _points() -> dict[str, dict[str, float]]:
    """word or letter -> language -> points: one, divided among the languages that have it."""
    found: dict[str, dict[str, float]] = {}
    for table in ({name: words.split() for name, words in WORDS.items()}, LETTERS):
        for name, tokens in table.items():
            for token in tokens:
                found.setdefault(token, {})[name] = 1.0
    return {token: {name: 1 / len(names) for name in names} for token, names in found.items()}


POINTS = _points()


def _latin(text: str) -> str:
    lower = text.lower().replace("\u2019", "'")
    tokens = {*_WORD.findall(lower), *_ELIDED.findall(lower)}
    tokens |= {letter for letter in lower if not letter.isascii()}
    totals: dict[str, float] = {}
    for token in tokens:
        for name, points in POINTS.get(token, {}).items():
            totals[name] = totals.get(name, 0.0) + points
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    if not ranked or ranked[0][1] < SURE or (len(ranked) > 1 and ranked[0][1] < TIMES * ranked[1][1]):
        return UNKNOWN
    return ranked[0][0]
