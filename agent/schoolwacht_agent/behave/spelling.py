"""How alike two names look and how far apart they are spelled. Pure.

Sources: Unicode Technical Standard 39 (the idea of a *skeleton* in which confusable characters are one), RFC 3492
(Punycode); the distance is Damerau's in its restricted form (optimal string alignment): insert, delete, replace, swap.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

#: Letters of other scripts, and digits, that are read as a Latin letter in the address bar of a browser.
_CONFUSABLE = str.maketrans(
    {
        # Cyrillic
        "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "ғ": "f", "ԍ": "g", "һ": "h", "і": "i", "ї": "i", "ј": "j",
        "к": "k", "ӏ": "l", "м": "m", "п": "n", "о": "o", "р": "p", "ԛ": "q", "г": "r", "ѕ": "s", "т": "t", "ц": "u",
        "ѵ": "v", "ԝ": "w", "х": "x", "у": "y", "ѡ": "w",
        # Greek
        "α": "a", "β": "b", "ϲ": "c", "δ": "d", "ε": "e", "η": "n", "ι": "i", "κ": "k", "μ": "u", "ν": "v", "ο": "o",
        "ρ": "p", "σ": "o", "τ": "t", "υ": "u", "χ": "x", "ω": "w", "γ": "y",
        # Armenian, Latin extensions and letter-like signs that have no decomposition
        "օ": "o", "ս": "u", "հ": "h", "ց": "g", "զ": "q", "ո": "n", "ı": "i", "ɡ": "g", "ɑ": "a", "ɩ": "i", "ɪ": "i",
        "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ŧ": "t", "ß": "b", "ƙ": "k", "ɢ": "g", "ʀ": "r", "ɴ": "n", "ʟ": "l",
        "ᴏ": "o", "ɛ": "e", "ʏ": "y", "æ": "ae", "œ": "oe",
        # Digits
        "0": "o", "1": "l", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    }
)  # fmt: skip
#: Pairs of letters that are read as one.
_PAIRS = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def shown(label: str) -> str:
    """A DNS label as a browser shows it: ``xn--`` decoded; as it is if that cannot be decoded."""
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode").lower()
    except (UnicodeError, OverflowError):
        return label


def skeleton(label: str) -> str:
    """What a label is read as: confusable characters replaced, accents dropped, ``i`` and ``l`` one."""
    plain = unicodedata.normalize("NFKD", label.translate(_CONFUSABLE))
    text = "".join(mark for mark in plain if not unicodedata.combining(mark)).translate(_CONFUSABLE)
    for pair, one in _PAIRS:
        text = text.replace(pair, one)
    return text.replace("i", "l")


@lru_cache(maxsize=64)
def skeleton_of_brand(brand: str) -> str:
    """The skeleton of a name that is compared with again and again."""
    return skeleton(brand)


def distance(one: str, other: str, most: int) -> int:
    """Edits between two names, or ``most + 1`` if there are more than ``most``."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, before_above = row, before
        row = [number]
        for place, other_letter in enumerate(other, 1):
            cost = letter != other_letter
            best = min(above[place] + 1, row[-1] + 1, above[place - 1] + cost)
            if number > 1 and place > 1 and letter == other[place - 2] and one[number - 2] == other_letter:
                best = min(best, before_above[place - 2] + 1)
            row.append(best)
        if min(row) > most:
            return most + 1
        before = above
    return min(row[-1], most + 1)
