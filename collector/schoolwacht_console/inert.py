r"""Text from the network made harmless to look at, for pages and terminals.

Promise: the result holds no control character (so no terminal escape, no line break), nothing invisible and nothing
that turns the reading direction round ("Trojan Source", CVE-2021-42574); each is shown as its escape, ``\u202e``.
Ordinary letters of every script stay. Markup is not this module's matter: templates escape it, rich is given plain
``Text``.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Categories: control, format (bidi marks, zero width, tags), surrogate, line and paragraph separator, private use,
# unassigned. The blanks are Zs but look like nothing, or like any other blank.
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})
_BLANKS = frozenset("\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
# Letters by category that show nothing: the Hangul fillers and the Braille blank; and variation selectors.
_INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f") | {chr(code) for code in range(0xFE00, 0xFE10)}
_PLAIN = re.compile(r"[ -~]*")


def inert(text: str) -> str:
    """``text`` with every harmful character shown as an escape."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_shown(character) for character in text)


def is_blank(text: str) -> bool:
    """Whether nothing of ``text`` can be seen: blanks, control characters, zero width, fillers."""
    return all(character.isspace() or _is_harmful(character) for character in text)


def _is_harmful(character: str) -> bool:
    return unicodedata.category(character) in _HARMFUL or character in _BLANKS or character in _INVISIBLE


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    if _is_harmful(character):
        return character.encode("unicode_escape", errors="backslashreplace").decode("ascii")
    return character
