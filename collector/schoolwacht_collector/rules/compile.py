"""From conditions to Python: one generated function for each dataset, in which most rules cost nothing. Pure.

A rule that holds only where a field has one of some values (a *required literal*: ``destination.port: [23, 445]``) is
not looked at unless the field has one: a dictionary leads from the value to a function of the rules that need it. The
other rules of the dataset stand in its function itself. Rules of other datasets cost nothing at all.

Safety: the source text holds no value and no name of a rule. Values are bound as constants under names made here;
attribute names come from the table of the event's own fields.

Semantics (Sigma's): text is compared without case unless ``cased``; a list fits if one of its items does; a field that
is absent fits nothing but ``null`` and ``exists: false``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeAlias

import re2
from sigma.types import (
    CompareOperators,
    SigmaBool,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

from schoolwacht.event import ATTRIBUTES, Dataset, Event
from schoolwacht_collector.query.fields import FIELDS, Type
from schoolwacht_collector.rules.derived import DERIVED
from schoolwacht_collector.rules.sigma import And, Fixed, Not, Or, SigmaMatcher, Test, Tree, regex

Function: TypeAlias = Callable[[Event], list[SigmaMatcher]]
Single: TypeAlias = Callable[[Event], bool]
_Group: TypeAlias = Callable[[Event, list[SigmaMatcher]], None]

_OPERATORS = {
    CompareOperators.LT: "<", CompareOperators.LTE: "<=", CompareOperators.GT: ">", CompareOperators.GTE: ">=",
}  # fmt: skip
#: A field of which many rules need the same value leads nowhere.
_POOR = frozenset({"network.direction", "network.transport", "network.type", "network.protocol", "event.outcome"})


def compiled(matchers: Sequence[SigmaMatcher]) -> dict[Dataset, Function]:
    """One function for each dataset that rules look at: the rules that an event fits, in no order."""
    by_dataset: dict[Dataset, list[SigmaMatcher]] = defaultdict(list)
    for each in matchers:
        for dataset in each.datasets:
            by_dataset[dataset].append(each)
    return {dataset: _dataset_function(found) for dataset, found in by_dataset.items()}


def single(tree: Tree) -> Single:
    """One condition on its own."""
    source = _Source()
    expression = source.of(tree)
    body = [*source.loads(), f"return {expression}"]
    found: Single = source.function("event", body)
    return found


def _dataset_function(matchers: list[SigmaMatcher]) -> Function:
    tables: dict[str, dict[Any, list[SigmaMatcher]]] = defaultdict(lambda: defaultdict(list))
    alone: list[SigmaMatcher] = []
    for each in matchers:
        literal = required(each.tree)
        if literal is None:
            alone.append(each)
        else:
            for value in literal[1]:
                tables[literal[0]][value].append(each)
    source = _Source()
    steps: list[str] = []
    for name, groups in tables.items():
        table = source.bind({value: _group_function(found) for value, found in groups.items()})
        steps.append(f"group = {table}.get({source.value(name, lower=FIELDS[name].type is not Type.LONG)})")
        steps.append("if group is not None: group(event, hits)")
    steps += [f"if {source.of(each.tree)}: hits.append({source.bind(each)})" for each in alone]
    found: Function = source.function("event", ["hits = []", *source.loads(), *steps, "return hits"])
    return found


def _group_function(matchers: Iterable[SigmaMatcher]) -> _Group:
    source = _Source()
    steps = [f"if {source.of(each.tree)}: hits.append({source.bind(each)})" for each in matchers]
    found: _Group = source.function("event, hits", [*source.loads(), *steps])
    return found


def required(tree: Tree) -> tuple[str, frozenset[Any]] | None:
    """A field with one value that the event must have, and the values of which it must be one; the best such."""
    found: list[tuple[bool, int, str, frozenset[Any]]] = []
    stack = [tree]
    while stack:
        part = stack.pop()
        if isinstance(part, And):
            stack += part.parts
        elif isinstance(part, Test) and (values := _literals(part)) is not None:
            found.append((part.field in _POOR, len(values), part.field, values))
    if not found:
        return None
    best = min(found, key=lambda each: each[:3])
    return best[2], best[3]


def _literals(test: Test) -> frozenset[Any] | None:
    known = FIELDS.get(test.field)
    if known is None or known.many or test.every or known.type not in {Type.KEYWORD, Type.LONG}:
        return None
    values: set[Any] = set()
    for value in test.values:
        if isinstance(value, SigmaNumber):
            values.add(value.number if known.type is Type.LONG else str(value.number))
        elif isinstance(value, SigmaString) and not value.contains_special() and known.type is Type.KEYWORD:
            values.add(str(value).lower())  # looser than a cased comparison, which follows in the group
        else:
            return None
    return frozenset(values)


class _Source:
    """The text of one function, and the constants that it needs."""

    def __init__(self) -> None:
        self._bound: dict[str, Any] = {}
        self._raw: dict[str, str] = {}
        self._lower: dict[str, str] = {}

    def bind(self, value: Any) -> str:
        name = f"k{len(self._bound)}"
        self._bound[name] = value
        return name

    def value(self, name: str, *, lower: bool) -> str:
        """The local that holds a field."""
        raw = self._raw.setdefault(name, f"f{len(self._raw)}")
        return self._lower.setdefault(name, f"l{raw[1:]}") if lower else raw

    def loads(self) -> list[str]:
        lines = []
        for name, local in self._raw.items():
            if name in DERIVED:
                lines.append(f"{local} = {self.bind(DERIVED[name])}(event)")
            elif name in ATTRIBUTES:
                lines.append(f"{local} = event.{ATTRIBUTES[name]}")
            else:
                key = self.bind(name.removeprefix("nsm.detail."))
                lines.append(f"{local} = None if event.nsm_detail is None else event.nsm_detail.get({key})")
            if name in self._lower:
                lines.append(f"{self._lower[name]} = None if {local} is None else {local}.lower()")
        return lines

    def function(self, parameters: str, body: list[str]) -> Any:
        # What is run was written here: names of constants, locals and attributes, and operators; never a value.
        text = f"def made({parameters}):\n" + "".join(f"    {line}\n" for line in body or ["pass"])
        space = dict(self._bound)
        exec(compile(text, "<rules>", "exec"), space)  # noqa: S102 - see above
        return space["made"]

    def of(self, tree: Tree) -> str:
        match tree:
            case Fixed(value):
                return str(value)
            case Not(part):
                return f"(not {self.of(part)})"
            case And(parts):
                return "(" + " and ".join(self.of(part) for part in parts) + ")"
            case Or(parts):
                return "(" + " or ".join(self.of(part) for part in parts) + ")"
        return self._test(tree)

    def _test(self, test: Test) -> str:
        known = FIELDS.get(test.field)
        many = known is not None and known.many
        kind = known.type if known is not None else Type.BOOLEAN if test.field in DERIVED else Type.FLATTENED
        if not many:
            return self._fits(test, kind, self.value(test.field, lower=False), item=False)
        raw = self.value(test.field, lower=False)
        about = [each for each in test.values if isinstance(each, (SigmaNull, SigmaExists))]
        parts = [self._presence(each, raw, many=True) for each in about]
        for value in test.values:
            if not isinstance(value, (SigmaNull, SigmaExists)):
                one = Test(test.place, test.field, (value,), cased=test.cased)
                parts.append(f"({raw} is not None and any([{self._fits(one, kind, 'x', item=True)} for x in {raw}]))")
        return "(" + (" and " if test.every else " or ").join(parts) + ")"

    def _fits(self, test: Test, kind: Type, raw: str, *, item: bool) -> str:
        """Whether one value fits; ``item`` for an item of a list, which is never absent."""
        exact: list[Any] = []
        parts: list[str] = []
        for value in test.values:
            plain = isinstance(value, SigmaNumber) or (isinstance(value, SigmaString) and not value.contains_special())
            if plain and not test.every:
                exact.append(_constant(value, kind, cased=test.cased))
            else:
                parts.append(self._one(test, kind, value, raw, item=item))
        if exact:
            local = self._text(test, kind, raw, item=item)
            parts.insert(0, f"{local} in {self.bind(frozenset(exact))}" if len(exact) > 1 else
                         f"{local} == {self.bind(exact[0])}")  # fmt: skip
        return "(" + (" and " if test.every else " or ").join(parts) + ")"

    def _text(self, test: Test, kind: Type, raw: str, *, item: bool) -> str:
        if test.cased or kind in {Type.LONG, Type.DOUBLE, Type.IP, Type.BOOLEAN}:
            return raw
        return f"{raw}.lower()" if item else self.value(test.field, lower=True)

    def _one(self, test: Test, kind: Type, value: Any, raw: str, *, item: bool) -> str:
        if isinstance(value, (SigmaNull, SigmaExists)):
            return self._presence(value, raw, many=False)
        if isinstance(value, SigmaBool):
            return f"{raw} is {value.boolean}"
        guard = "" if item else f"{raw} is not None and "
        if isinstance(value, SigmaCompareExpression):
            return f"({guard}{raw} {_OPERATORS[value.op]} {self.bind(value.number.number)})"
        if isinstance(value, SigmaCIDRExpression):
            return f"({guard}{self.bind(_within(value.network))}({raw}))"
        if isinstance(value, SigmaRegularExpression):
            return f"({guard}{self.bind(regex(value).search)}({raw}) is not None)"
        if isinstance(value, SigmaFieldReference):
            other = self.value(value.field, lower=False)
            return f"({guard}{raw} == {other})"
        local = self._text(test, kind, raw, item=item)
        if isinstance(value, SigmaString) and value.contains_special():
            return f"({guard}{self._wild(value, local, cased=test.cased)})"
        return f"{local} == {self.bind(_constant(value, kind, cased=test.cased))}"

    def _presence(self, value: SigmaNull | SigmaExists, raw: str, *, many: bool) -> str:
        absent = isinstance(value, SigmaNull) or not value.exists
        if many:
            return f"(not {raw})" if absent else f"bool({raw})"
        return f"{raw} is None" if absent else f"{raw} is not None"

    def _wild(self, value: SigmaString, local: str, *, cased: bool) -> str:
        """A text with wildcards: by Python's own methods where they can say it, else by a regular expression."""
        parts = list(value.s)
        words = [part for part in parts if isinstance(part, str)]
        stars = all(part is SpecialChars.WILDCARD_MULTI for part in parts if not isinstance(part, str))
        word = self.bind(words[0] if cased else words[0].lower()) if len(words) == 1 else ""
        if word and stars:
            if len(parts) == 3:
                return f"{word} in {local}"
            if len(parts) == 2:
                return f"{local}.{'startswith' if isinstance(parts[0], str) else 'endswith'}({word})"
        text = "".join(
            _escaped(part if cased else part.lower())
            if isinstance(part, str)
            else (".*" if part is SpecialChars.WILDCARD_MULTI else ".")
            for part in parts
        )
        return f"{self.bind(_expression(text).fullmatch)}({local}) is not None"


def _expression(text: str) -> Any:
    return re2.compile(f"(?s){text}")


def _escaped(text: str) -> str:
    return str(re2.escape(text))


def _constant(value: SigmaString | SigmaNumber, kind: Type, *, cased: bool) -> Any:
    if isinstance(value, SigmaNumber):
        return value.number if kind in {Type.LONG, Type.DOUBLE} else str(value.number)
    text = str(value)
    if kind is Type.IP:
        try:
            return str(ip_address(text))
        except ValueError:
            return text
    return text if cased else text.lower()


def _within(network: Any) -> Callable[[str], bool]:
    @lru_cache(maxsize=16_384)
    def within(address: str) -> bool:
        try:
            return ip_address(address) in network
        except ValueError:
            return False

    return within
