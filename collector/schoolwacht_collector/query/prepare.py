r"""Before the parser: refuse what it would silently misread, and escape values that only look like syntax.

luqum takes ``a && b`` as three words, ``a:-1`` as a negation and ``a:b:c`` as a field within a field, and stops at an
IPv6 address, a path or a time with an offset. Here ``&&``, ``||``, ``!``, lower-case operators and nested fields are
refused with the way to write them; an address, a time, a MAC address, a URL, a path or a negative number gets its
backslashes. What comes out has the same meaning with more backslashes, and a map back to the columns that a person
sees.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import NamedTuple

from schoolwacht.errors import QueryError
from schoolwacht_collector.query import addresses

#: Characters of a query; words, quoted texts and brackets in it; parentheses inside each other.
LENGTH_MAX = 4096
PARTS_MAX = 512
NESTING_MAX = 32

_OPERATORS = {"and": "AND", "or": "OR", "not": "NOT"}
_SYMBOLS = {"&&": "AND", "||": "OR", "&": "AND", "|": "OR"}
_WORD = re.compile(r'(?:\\.|[^\s()\[\]{}"\\])+', re.DOTALL)
_PHRASE = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_FIELD = re.compile(r"^(?P<sign>[+-]?)(?P<name>(?:\\.|[^:\\<>])+):(?P<comparison>[<>]=?)?(?P<value>.*)$", re.DOTALL)
# Values whose colons are part of them: a time, a MAC address, a URL, a community id.
_WITH_COLONS = re.compile(
    r"""^(?:
        \d{4}-\d{2}-\d{2}T[0-9:.]+(?:Z|[+-]\d{2}:?\d{2})?
      | [0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}
      | [a-zA-Z][a-zA-Z0-9+.-]*://\S*
      | \d:[A-Za-z0-9+/]+={0,2}
    )$""",
    re.VERBOSE,
)
_NEGATIVE = re.compile(r"^-[0-9.]+$")
_NEEDS_ESCAPE = re.compile(r"[:/+^~<>?-]")

_MODIFIER = re.compile(r"(?:\\.|[^~^\\])*([~^])", re.DOTALL)
_MODIFIERS = {
    "~": ("what is alike or near (~)", "use * and ?, or AND"),
    "^": ("weight (^)", "rows are ordered by time"),
}


class Prepared(NamedTuple):
    """A query that luqum reads as it was meant; ``inserted`` holds the places of the backslashes that were added."""

    text: str
    inserted: tuple[int, ...]

    def column(self, position: int) -> int:
        """The column, from 1, of a position in ``text`` as the person wrote it."""
        return position - bisect_left(self.inserted, position) + 1


def prepare(text: str) -> Prepared:
    """Check and escape a query. Raises QueryError with the column."""
    if len(text) > LENGTH_MAX:
        raise QueryError(f"a query has at most {LENGTH_MAX} characters")
    return _Scan(text).run()


class _Scan:
    """One walk over the text, left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.out: list[str] = []
        self.inserted: list[int] = []
        self.length = 0
        self.open: list[tuple[str, int]] = []
        self.parts = 0

    def run(self) -> Prepared:
        place = 0
        while place < len(self.text):
            place = self._step(place)
        if self.open:
            bracket, where = self.open[-1]
            raise QueryError(f"{bracket} is never closed", column=where + 1)
        return Prepared("".join(self.out), tuple(self.inserted))

    def _step(self, place: int) -> int:
        character = self.text[place]
        if character.isspace():
            self._emit(character)
            return place + 1
        self._count(place)
        if character == '"':
            return self._phrase(place)
        if character in "()[]{}":
            self._bracket(character, place)
            return place + 1
        word = _WORD.match(self.text, place)
        if word is None:
            raise QueryError("a backslash stands before the character that it protects", column=place + 1)
        self._word(word.group(), place)
        return word.end()

    def _count(self, place: int) -> None:
        self.parts += 1
        if self.parts > PARTS_MAX:
            raise QueryError(f"a query has at most {PARTS_MAX} words, texts and brackets", column=place + 1)

    def _phrase(self, place: int) -> int:
        if place and not (self.text[place - 1].isspace() or self.text[place - 1] in "([{:<>=+-"):
            raise QueryError('a quote inside a word is written \\"', column=place + 1)
        phrase = _PHRASE.match(self.text, place)
        if phrase is None:
            raise QueryError("the quote is never closed", column=place + 1)
        self._emit(phrase.group())
        return phrase.end()

    def _bracket(self, character: str, place: int) -> None:
        if character in "([{":
            self.open.append((character, place))
            if len(self.open) > NESTING_MAX:
                raise QueryError(f"parentheses are nested deeper than {NESTING_MAX}", column=place + 1)
        elif not self.open or (self.open[-1][0] == "(") != (character == ")"):
            raise QueryError(f"{character} closes nothing", column=place + 1)
        else:
            self.open.pop()
        self._emit(character)

    def _word(self, word: str, place: int) -> None:
        if word in _SYMBOLS:
            raise QueryError(f"write {_SYMBOLS[word]} for {word}", column=place + 1)
        if word.startswith("!"):
            raise QueryError("write NOT for !, or \\! for the character", column=place + 1)
        if word in _OPERATORS:
            raise QueryError(
                f'operators have capitals: {_OPERATORS[word]}; a word stands in quotes: "{word}"', column=place + 1
            )
        if found := _MODIFIER.match(word):
            name, instead = _MODIFIERS[found[1]]
            raise QueryError(f"{name} cannot be searched; {instead}", column=place + found.start(1) + 1)
        in_range = bool(self.open) and self.open[-1][0] != "("
        if in_range or self._value_of_field(place):
            self._value(word, place)
        elif (parts := _FIELD.match(word)) and not _is_address(word.lstrip("+-")):
            self._emit(word[: parts.start("value")])
            if parts["value"]:
                self._value(parts["value"], place + parts.start("value"))
        else:
            sign = word[0] if word[0] in "+-" else ""
            self._emit(sign)
            self._value(word[len(sign) :], place + len(sign))

    def _value_of_field(self, place: int) -> bool:
        """Whether the word begins after a field's colon and a space (``field: value``)."""
        before = self.text[:place].rstrip()
        return before.endswith((":", ":>", ":<", ":>=", ":<="))

    def _value(self, value: str, place: int) -> None:
        if value.startswith("'"):
            raise QueryError('texts stand in double quotes: "…"', column=place + 1)
        if len(value) > 1 and value.startswith("/") and value.endswith("/"):
            raise QueryError(
                "regular expressions cannot be searched; use * and ?, or put a path in quotes", column=place + 1
            )
        if _is_address(value) or _WITH_COLONS.match(value) or _NEGATIVE.match(value):
            self._emit_escaped(value)
        elif ":" in re.sub(r"\\.", "", value):
            raise QueryError(f'a value with a colon stands in quotes: "{value}"', column=place + 1 + value.index(":"))
        elif value.startswith("/"):
            self._insert_backslash()
            self._emit(value)
        elif value[:1] in ("-", "+"):
            raise QueryError(f"{value[0]} stands before the field; in a value it is \\{value[0]}", column=place + 1)
        else:
            self._emit(value)

    def _emit_escaped(self, value: str) -> None:
        for character in value:
            if _NEEDS_ESCAPE.match(character):
                self._insert_backslash()
            self._emit(character)

    def _insert_backslash(self) -> None:
        self.inserted.append(self.length)
        self._emit("\\")

    def _emit(self, text: str) -> None:
        self.out.append(text)
        self.length += len(text)


def _is_address(text: str) -> bool:
    return addresses.packed(text) is not None or addresses.network(text) is not None
