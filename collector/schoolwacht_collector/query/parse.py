r"""The query language: Lucene syntax, read by luqum, into the AST.

::

    source.ip:10.1.0.0/16 AND NOT destination.port:443     a field and its value; AND, OR, NOT, ( ), + and -
    rule.name:"ET SCAN Nmap"                                quotes: the whole text, exactly (\" and \\ inside)
    dns.question.name:*.example.nl                          * any text, ? one character
    event.severity:[1 TO 2]  source.bytes:>=1000000         ranges: [ ] with, { } without the ends
    @timestamp:[now-1d TO now]  @timestamp:2026-03-01       times: see moments
    network.protocol:(smb OR rdp)                           several values of one field
    tls.client.ja3:*  _exists_:tls.client.ja3               the field has a value
    evil.example                                            see BARE_FIELDS

Text compares exactly, capitals included. A space means AND, so does +. Operators bind NOT, AND, OR, space. An
address compares by meaning, whatever its spelling. A word without a field searches: an address or network what
was involved (``related.ip``); anything else as a part of the text in :data:`BARE_FIELDS`, capitals or not, and as a
whole hash (``related.hash``).

Refused, with the column and the way to write it: what :mod:`.prepare` refuses (fuzzy, proximity, boost and regular
expressions among it), and a word after an unquoted text (``rule.name:ET SCAN``).
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr
from datetime import UTC, datetime
from typing import Any, TypeAlias

from schoolwacht.errors import QueryError
from schoolwacht_collector.query import addresses
from schoolwacht_collector.query.ast import (
    All,
    And,
    Contains,
    Equals,
    Exists,
    Matches,
    Node,
    Not,
    Or,
    Within,
)
from schoolwacht_collector.query.check import check
from schoolwacht_collector.query.fields import Field, Type, field
from schoolwacht_collector.query.prepare import Prepared, prepare
from schoolwacht_collector.query.values import equals, range_of

# It makes its parser's tables at the first import and with another Python, each time where it cannot keep them, and
# talks of it on standard error, in the middle of what a command has to say.
with redirect_stderr(io.StringIO()):
    from luqum import tree
    from luqum.exceptions import ParseError
    from luqum.thread import parse as luqum_parse

#: Where a word without a field is looked for.
BARE_FIELDS = (
    "message",
    "alert.title",
    "rule.name",
    "dns.question.name",
    "tls.client.server_name",
    "url.domain",
    "url.original",
    "user_agent.original",
    "file.name",
    "nsm.smb.filename",
    "nsm.dhcp.client_hostname",
    "tls.server.subject",
    "email.subject",
    "threat.indicator.name",
    "signal.entity",
)
_EXISTS = "_exists_"
_DEPTH_MAX = 64

_Item: TypeAlias = tree.Item
_AT = re.compile(r"position (\d+)")


def parse(text: str, *, now: datetime | None = None) -> Node:
    """The query as data; an empty text is everything. ``now`` is the time that ``now`` stands for (default: the clock).

    Raises QueryError.
    """
    if not text.strip():
        return All()
    prepared = prepare(text)
    try:
        item = luqum_parse(prepared.text)
    except ParseError as error:
        raise _syntax_error(str(error), prepared) from error
    node = _Reader(prepared, now or datetime.now(UTC)).node(item, None, 1)
    check(node)
    return node


def _syntax_error(message: str, prepared: Prepared) -> QueryError:
    at = _AT.search(message)
    if at is None:
        return QueryError(
            "the query ends too early: a value or a condition is missing", column=prepared.column(len(prepared.text))
        )
    position = int(at[1])
    found = re.match(r"\w+|.", prepared.text[position:], re.DOTALL)
    return QueryError(
        f"{found[0] if found else 'the end'} is not expected here; in a value it stands in quotes or after a backslash",
        column=prepared.column(position),
    )


class _Reader:
    """Turns luqum's tree into nodes. ``inside`` is the field that a group of values belongs to."""

    def __init__(self, prepared: Prepared, now: datetime) -> None:
        self.prepared = prepared
        self.now = now

    def node(self, item: _Item, inside: Field | None, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            raise QueryError(f"nested deeper than {_DEPTH_MAX} levels", column=self._column(item))
        match item:
            case tree.OrOperation():
                return Or(tuple(self.node(child, inside, depth + 1) for child in item.children))
            case tree.UnknownOperation():
                self._refuse_loose_words(item, inside)
                return And(tuple(self.node(child, inside, depth + 1) for child in item.children))
            case tree.AndOperation():
                return And(tuple(self.node(child, inside, depth + 1) for child in item.children))
            case tree.Not() | tree.Prohibit():
                return Not(self.node(item.a, inside, depth + 1))
            case tree.Plus():
                return self.node(item.a, inside, depth + 1)
            case tree.Group() | tree.FieldGroup():
                return self.node(item.expr, inside, depth + 1)
            case tree.SearchField():
                return self._search_field(item, inside, depth)
            case _:
                return self._bare(item) if inside is None else self._value(inside, item)

    def _search_field(self, item: _Item, inside: Field | None, depth: int) -> Node:
        if inside is not None or isinstance(item.expr, tree.SearchField):
            raise QueryError("a field stands inside a field; separate them by AND", column=self._column(item))
        name, value = _unescaped(item.name), item.expr
        if name == _EXISTS:
            if not isinstance(value, tree.Word):
                raise QueryError("names one field: _exists_:source.ip", column=self._column(item), field=_EXISTS)
            return Exists(self._field(_unescaped(value.value), value).full_name)
        if name == "*" and isinstance(value, tree.Word) and value.value == "*":
            return All()
        return self._in_field(self._field(name, item), value, depth)

    def _in_field(self, found: Field, value: _Item, depth: int) -> Node:
        if isinstance(value, tree.FieldGroup):
            return self.node(value.expr, found, depth + 1)
        if isinstance(value, (tree.Plus, tree.Prohibit, tree.Not)):
            raise QueryError("NOT, + and - stand before the field", column=self._column(value), field=found.full_name)
        return self._value(found, value)

    def _value(self, found: Field, item: _Item) -> Node:
        try:
            match item:
                case tree.Phrase():
                    return equals(found, _unquoted(item.value), now=self.now)
                case tree.Word():
                    return _word(found, item.value, self.now)
                case tree.Range():
                    low, high = self._bound(found, item.low), self._bound(found, item.high)
                    return range_of(found, low, high, item.include_low, item.include_high, now=self.now)
                case tree.From():
                    return range_of(found, self._bound(found, item.a), None, item.include, True, now=self.now)
                case tree.To():
                    return range_of(found, None, self._bound(found, item.a), True, item.include, now=self.now)
        except QueryError as error:
            if error.column is not None:
                raise
            raise QueryError(error.message, column=self._column(item), field=error.field) from error
        raise QueryError("is no value", column=self._column(item), field=found.full_name)

    def _bound(self, found: Field, item: _Item) -> str | None:
        """One end of a range as text; None for ``*``."""
        if isinstance(item, tree.Phrase):
            return _unquoted(item.value)
        if not isinstance(item, tree.Word) or (_has_wildcard(item.value) and item.value != "*"):
            raise QueryError("is no end of a range", column=self._column(item), field=found.full_name)
        return None if item.value == "*" else _unescaped(item.value)

    def _bare(self, item: _Item) -> Node:
        if isinstance(item, tree.Phrase):
            return self._anywhere(_unquoted(item.value), item)
        if not isinstance(item, tree.Word):
            raise QueryError("a range belongs to a field: source.bytes:>1000", column=self._column(item))
        if item.value == "*":
            return All()
        if _has_wildcard(item.value):
            return Or(tuple(Matches(name, _pattern(item.value)) for name in BARE_FIELDS))
        return self._anywhere(_unescaped(item.value), item)

    def _anywhere(self, text: str, item: _Item) -> Node:
        if not text:
            raise QueryError("an empty text finds nothing", column=self._column(item))
        if (address := addresses.packed(text)) is not None:
            spelled = addresses.spelled(address)
            return Or((Equals("related.ip", spelled), *(Equals(name, spelled) for name in _ADDRESS_TEXTS)))
        if (network := addresses.network(text)) is not None:
            return Within("related.ip", network)
        return Or((Contains(BARE_FIELDS, text), Equals("related.hash", text.lower())))

    def _refuse_loose_words(self, operation: _Item, inside: Field | None) -> None:
        """``rule.name:ET SCAN``: the second word would be searched elsewhere, which nobody means."""
        before: Any = None
        for child in operation.children:
            named = _unquoted_text(before)
            if inside is None and isinstance(child, tree.Word) and named is not None:
                word = _unescaped(child.value)
                if addresses.packed(word) is None and addresses.network(word) is None:
                    value = f"{named.expr.value} {word}"
                    raise QueryError(
                        f'a text of several words stands in quotes: {named.name}:"{value}"; '
                        f"if the words are apart, write AND between them",
                        column=self._column(child),
                    )
            before = child

    def _field(self, name: str, item: _Item) -> Field:
        try:
            return field(name)
        except QueryError as error:
            raise QueryError(error.message, column=self._column(item), field=error.field) from error

    def _column(self, item: _Item) -> int | None:
        return None if item.pos is None else self.prepared.column(item.pos)


# Fields of records and signals that hold an address as text.
_ADDRESS_TEXTS = ("signal.entity", "threat.indicator.name")


def _unquoted_text(item: Any) -> Any:
    """The search of a text field for a word without quotes, if that is what the condition is, negated or not."""
    if isinstance(item, (tree.Plus, tree.Prohibit, tree.Not)):
        item = item.a
    if not isinstance(item, tree.SearchField) or not isinstance(item.expr, tree.Word) or item.name == _EXISTS:
        return None
    return item if field(_unescaped(item.name)).type is Type.KEYWORD else None


def _word(found: Field, value: str, now: datetime) -> Node:
    if value == "*":
        return Exists(found.full_name)
    if not _has_wildcard(value):
        return equals(found, _unescaped(value), now=now)
    if found.type is Type.IP:
        raise QueryError("addresses have no wildcards; write a network, such as 10.1.0.0/16", field=found.full_name)
    if found.type not in (Type.KEYWORD, Type.FLATTENED):
        raise QueryError("only text has wildcards; write a range, such as [1 TO 9]", field=found.full_name)
    return Matches(found.full_name, _pattern(value))


def _unescaped(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL)


def _unquoted(phrase: str) -> str:
    r"""The text in quotes: ``\"`` and ``\\`` are escapes, any other backslash is one (``"C:\Users"``)."""
    return re.sub(r'\\(["\\])', r"\1", phrase[1:-1])


def _has_wildcard(word: str) -> bool:
    return bool(re.search(r"[*?]", re.sub(r"\\.", "", word, flags=re.DOTALL)))


def _pattern(word: str) -> str:
    r"""A word as a pattern: only ``\*``, ``\?`` and ``\\`` stay escaped."""
    return re.sub(r"\\([^*?\\])", r"\1", word, flags=re.DOTALL)
