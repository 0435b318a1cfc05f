"""Check digits: each function says whether the number fits its own.

    luhn("4111111111111111")            # True

Pure functions of strings of digits (and letters where the number has some), separators already removed. They say that
a number is well formed, never that it was given out.
"""

from __future__ import annotations

from collections.abc import Sequence

DOUBLED = str.maketrans("0123456789", "0246813579")  # twice the digit, its own digits summed


def luhn(number: str) -> bool:
    """ISO/IEC 7812-1 annex B: from the right every second digit doubled, digits summed, a multiple of ten."""
    return (sum(map(int, number[::-2])) + sum(map(int, number[-2::-2].translate(DOUBLED)))) % 10 == 0


def mod_97(code: str) -> bool:
    """ISO 13616 with ISO 7064 mod 97-10: first four characters to the end, letters as 10 to 35, remainder 1."""
    turned = code[4:] + code[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def weighted(number: str, weights: Sequence[int]) -> int:
    """Sum of digit times weight, over as many digits as there are weights."""
    return sum(int(character) * weight for character, weight in zip(number, weights, strict=False))


def iso_11_10(number: str) -> bool:
    """ISO 7064 mod 11,10 (German tax number)."""
    carry = 10
    for character in number[:-1]:
        carry = (int(character) + carry) % 10 or 10
        carry = carry * 2 % 11
    return (11 - carry) % 10 == int(number[-1])


# Verhoeff 1969: products in the dihedral group of order ten, and the powers of its permutation (1 5 8 9 4 2 7 0)(3 6)
PRODUCT = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
           "5987604321", "6598710432", "7659821043", "8765932104", "9876543210")  # fmt: skip
PERMUTED = ("0123456789", "1576283094", "5803796142", "8916043527",
            "9453126870", "4286573901", "2793806415", "7046913258")  # fmt: skip


def verhoeff(number: str) -> bool:
    """The dihedral check digit at the end (Aadhaar)."""
    carry = 0
    for place, character in enumerate(reversed(number)):
        carry = int(PRODUCT[carry][int(PERMUTED[place % 8][int(character)])])
    return carry == 0
