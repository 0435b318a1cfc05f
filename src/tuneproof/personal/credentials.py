"""Secrets: keys of known vendors, keys and passwords behind their name, private keys, tokens, logins in addresses.

    [detector.kind for detector in CREDENTIALS]

A value that is not random enough (``xxxxxxxx``, ``your-key-here``) is no secret. A random text with neither a known
beginning nor a name in front of it is not looked for: hashes and ids look the same.
"""

from __future__ import annotations

import re

from tuneproof.personal.detector import Detector, Span, any_case, entropy, value

# Bits per character that a key must have. 32 random hexadecimal digits have 3.6 on average (4 at most), an Amazon key
# of capitals and digits 3.7: with 3.5 for them all one in five of the former and one in ten of the latter were missed.
RANDOM, RANDOM_HEX = 3.5, 2.8

# how the keys of a vendor begin, and what follows
VENDORS = (
    ("(?:AKIA|ASIA|ABIA|ACCA)", "[A-Z0-9]{16}"),  # Amazon
    ("gh[pousr]_", "[A-Za-z0-9]{36,255}"), ("github_pat_", "[A-Za-z0-9_]{40,255}"),
    ("gl(?:pat|dt|rt|ptt|cbt)-", "[A-Za-z0-9_-]{20,255}"),
    ("xox[abeoprs]-", "[A-Za-z0-9-]{10,255}"), ("xapp-", "[0-9]-[A-Za-z0-9-]{20,255}"),  # Slack
    (r"hooks\.slack\.com/services/", "T[A-Za-z0-9]{6,14}/B[A-Za-z0-9]{6,14}/[A-Za-z0-9]{16,32}"),
    ("(?:sk|rk|pk)_(?:live|test)_", "[A-Za-z0-9]{16,255}"), ("whsec_", "[A-Za-z0-9+/=]{20,255}"),  # Stripe
    ("sk-", "[A-Za-z0-9_-]{20,255}"),  # OpenAI, Anthropic, OpenRouter
    ("AIza", "[A-Za-z0-9_-]{35}"), ("GOCSPX-", "[A-Za-z0-9_-]{20,64}"), (r"ya29\.", "[A-Za-z0-9_-]{20,1000}"),  # Google
    ("hf_", "[A-Za-z0-9]{30,64}"), ("npm_", "[A-Za-z0-9]{36}"), ("pypi-", "[A-Za-z0-9_-]{50,1000}"),
    ("dckr_pat_", "[A-Za-z0-9_-]{20,64}"),
    (r"SG\.", r"[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"), ("key-", "[0-9a-f]{32}"),  # SendGrid, Mailgun
    ("(?:SK|AC)", "[0-9a-f]{32}"),  # Twilio
    ("do[opr]_v1_", "[0-9a-f]{64}"), ("shp(?:at|ca|pa|ss)_", "[0-9a-fA-F]{32}"),
    ("sq0(?:atp|csp)-", "[A-Za-z0-9_-]{22,43}"),
    ("dapi", "[0-9a-f]{32}"), ("lin_api_", "[A-Za-z0-9]{40}"), ("ntn_", "[A-Za-z0-9]{40,50}"),
    ("r8_", "[A-Za-z0-9]{37}"), ("gsk_", "[A-Za-z0-9]{40,60}"), ("xai-", "[A-Za-z0-9]{60,90}"),
    ("pplx-", "[A-Za-z0-9]{40,64}"), ("PMAK-", "[0-9a-f]{24}-[0-9a-f]{34}"), ("NRAK-", "[A-Z0-9]{27}"),
    ("glsa_", "[A-Za-z0-9]{32}_[0-9a-fA-F]{8}"), (r"hv[sb]\.", "[A-Za-z0-9_-]{20,300}"),
    ("AGE-SECRET-KEY-1", "[A-Z0-9]{58}"), ("sbp_", "[0-9a-f]{40}"), ("figd_", "[A-Za-z0-9_-]{40}"),
    ("tvly-", "[A-Za-z0-9-]{20,64}"), ("lsv2_", "(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),
)  # fmt: skip
LONG = "[A-Za-z0-9+/_.=~-]{16}"  # no key is shorter
VENDOR = "|".join(f"{start}{rest}" for start, rest in VENDORS)
STARTS = "|".join(f"{start}[A-Za-z0-9_-]{{2}}" for start, rest in VENDORS)

NAMED = r"(?i:(?:api|access|secret|account|shared|encryption|signing|private)[_ -]?key|secret|token|bearer|credential)"
NAMED_HINT = any_case("key|secret|token|bearer|credential")
SAID = r"""["']?[ \t]{0,3}(?:[:=]{1,2}>?|is\b)?[ \t]{0,3}["']?"""
PASSWORD = r"(?i:password|passwd|passphrase|pwd|passwort|contraseña|mot de passe)"
PASSWORD_HINT = any_case("password|passwd|passphrase|pwd|passwort|contraseña|mot de passe")
PASSWORD_SAID = r"""["']?[ \t]{0,3}(?:[:=]{1,2}>?|is\b)[ \t]{0,3}["']?"""
BLOCK = r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"


def _random(match: re.Match[str]) -> Span | None:
    """The value when it is random enough for the letters it is written in, and not made of words only."""
    text = match.group("value")
    enough = RANDOM_HEX if re.search(r"(?:[0-9a-f]{24}|[0-9A-F]{24}|^[A-Z0-9]{20})$", text) else RANDOM
    mixed = re.search(r"[0-9]", text) or (re.search(r"[a-z]", text) and re.search(r"[A-Z]", text))
    amazon = re.match(r"A[KSBC][IC]A[A-Z]{16}$", text)  # one in thirty has no digit
    return match.span("value") if (mixed or amazon) and entropy(text) > enough else None


def _password(match: re.Match[str]) -> Span | None:
    """A word with a digit or a sign in it beside letters, and no place to fill in (<...>, {...}, $NAME, ***)."""
    text = match.group("value").rstrip(".!?)")
    filled = not re.match(r"[<{$*\[%(]|https?:|x{3}", text, re.IGNORECASE)
    mixed = re.search(r"[A-Za-z]", text) and re.search(r"[0-9!@#$%^&*_+-]", text)
    start = match.start("value")
    return (start, start + len(text)) if filled and mixed and len(text) >= 6 else None


CREDENTIALS = (
    Detector(
        "PRIVATE_KEY",
        ("-----BEGIN ",),
        # up to the end mark, or as far as the block goes; possessive, so that a block without end costs one pass
        re.compile(BLOCK + r"(?:[A-Za-z0-9+/=\s\\:.,()]|-(?!----))*+(?:-----END [A-Z0-9 ]{1,50}-----)?"),
    ),
    Detector(
        "JWT", ("eyJ",), re.compile(r"(?<![\w-])eyJ[\w-]{8,4000}+\.eyJ[\w-]{5,8000}+(?:\.[\w-]{0,2000}+)?", re.ASCII)
    ),
    Detector("URL_LOGIN", ("://", "@"), re.compile(r"://(?P<value>[^\s:/@]{0,100}:[^\s/@]{1,200})@(?=[\w\[])"), value),
    Detector(
        "API_KEY",
        (LONG, STARTS),
        re.compile(rf"(?<![A-Za-z0-9_-])(?P<value>{VENDOR})(?![A-Za-z0-9_])"),
        _random,
    ),
    Detector("API_KEY", (":AA",), re.compile("(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")),  # Telegram
    Detector(
        "API_KEY",
        (LONG, NAMED_HINT),
        re.compile(rf"{NAMED}{SAID}(?P<value>[A-Za-z0-9+/_.=~-]{{16,500}}+)"),
        _random,
        explained=True,
    ),
    Detector(
        "PASSWORD",
        (PASSWORD_HINT,),
        re.compile(rf"{PASSWORD}{PASSWORD_SAID}(?P<value>[^\s\"',;]{{6,100}})"),
        _password,
        explained=True,
    ),
)
