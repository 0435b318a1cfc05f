"""What a file itself says of its words: an entity whose type is "ssn" or "card_number" is personal data.

    told_by_tags("i am ann 1234", ["i", "am", "ann", "1234"], ["O", "O", "B-name", "B-ssn"])
    # [("NAME", "ann"), ("SSN", "1234")]

Types of a person's data by the names that people give them. "PER" and "person" are none: they mark whoever is written
about, ministers and authors as well, and no one's own data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tuneproof.tasks import entities

NAMES = {
    "NAME": "name firstname lastname fullname middlename surname customername patientname clientname",
    "SSN": "ssn socialsecuritynumber socialsecurity",
    "CARD": "card cardnumber creditcard creditcardnumber debitcardnumber",
    "ACCOUNT": "account accountnumber bankaccount bankaccountnumber targetaccountnumber",
    "IBAN": "iban",
    "PHONE": "phone phonenumber telephone telephonenumber mobile mobilenumber",
    "EMAIL": "email emailaddress",
    "ADDRESS": "address streetaddress homeaddress postaladdress street",
    "IP": "ip ipaddress",
    "PASSWORD": "password",
    "NATIONAL_ID": "nationalid idnumber passport passportnumber driverslicense",
}
KINDS = {name: kind for kind, names in NAMES.items() for name in names.split()}


def kind_of(type_: str) -> str | None:
    """The kind of personal data that an entity of this type is, or None."""
    return KINDS.get(re.sub(r"[\W_]", "", type_).lower())


def told_by_tags(text: str, words: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """(kind, value) of each entity that is a person's data, as it stands in ``text``."""
    if not any(kind_of(tag[2:]) for tag in tags):
        return []
    several = entities.found(text, words, tags)
    return [(kind, one["text"]) for one in several if (kind := kind_of(one["label"])) is not None]
