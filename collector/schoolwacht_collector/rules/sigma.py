"""From a Sigma rule to a small tree of conditions over our fields; pySigma parses. Pure.

pySigma is used for its parser alone: no backend, no pipeline, no ATT&CK data (which it would fetch). Promise: what a
rule says and we cannot evaluate is refused with its place, never left out in silence. Limits: single events; one
condition; fields of events (docs/events.md) and of :mod:`.derived`;
no words without a field; regular expressions are those of RE2, which takes no time that grows faster than the text.

Source: Sigma rules specification 2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec
import re2
from sigma.conditions import (
    ConditionAND,
    ConditionIdentifier,
    ConditionItem,
    ConditionNOT,
    ConditionOR,
    ConditionSelector,
)
from sigma.exceptions import SigmaError
from sigma.modifiers import SigmaCaseSensitiveModifier
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule
from sigma.types import (
    SigmaBool,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
)

from schoolwacht.errors import RuleError
from schoolwacht.event import ATTRIBUTES, Dataset, Event
from schoolwacht_collector.index.port import Kind as RowKind
from schoolwacht_collector.query.fields import FIELDS, Type, suggestions
from schoolwacht_collector.rules.derived import DERIVED
from schoolwacht_collector.rules.read import LEVELS, Rule

PRODUCT = "schoolwacht"
#: Conditions of one rule, and characters of one regular expression.
MOST_TESTS, MOST_REGEX = 200, 1000
_TAKEN = (
    SigmaBool, SigmaCIDRExpression, SigmaCompareExpression, SigmaExists, SigmaFieldReference, SigmaNull, SigmaNumber,
    SigmaRegularExpression, SigmaString,
)  # fmt: skip
_TEXTS = frozenset({Type.KEYWORD, Type.IP, Type.FLATTENED})
_NUMBERS = frozenset({Type.LONG, Type.DOUBLE})
#: The types of fields that a value can fit.
_FITTING: tuple[tuple[type, frozenset[Type]], ...] = (
    (SigmaString, _TEXTS),
    (SigmaNumber, _NUMBERS | {Type.KEYWORD, Type.FLATTENED}),
    (SigmaRegularExpression, frozenset({Type.KEYWORD})),
    (SigmaCIDRExpression, frozenset({Type.IP})),
    (SigmaCompareExpression, _NUMBERS),
    (SigmaBool, frozenset({Type.BOOLEAN})),
)
_UNMATCHED = frozenset({Dataset.SIGNAL, Dataset.EVIDENCE})


@dataclass(frozen=True, slots=True)
class Test:
    """One condition: a field against values, of which one (or ``every``) must fit. ``place`` names it in its file."""

    place: str
    field: str
    values: tuple[Any, ...]
    every: bool = False
    cased: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All of its parts."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of its parts."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Anything but its part."""

    part: Tree


@dataclass(frozen=True, slots=True)
class Fixed:
    """A condition that was switched off: true or false whatever the event."""

    value: bool


Tree: TypeAlias = Test | And | Or | Not | Fixed


@dataclass(frozen=True, slots=True)
class SigmaMatcher:
    """A Sigma rule that can be compiled.

    ``once`` names the fields that, with rule, school and day, give at most one signal; empty: one for each event.
    """

    rule: Rule
    datasets: tuple[Dataset, ...]
    tree: Tree
    once: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the rule is called in signals (``rule.id``)."""
        return self.rule.name

    @property
    def severity(self) -> tuple[str, str]:
        """Severity and confidence of its signals."""
        return LEVELS[self.rule.level]


def matchers(rules: list[Rule]) -> tuple[list[SigmaMatcher], list[RuleError]]:
    """The matchers of all Sigma rules among these, and the faults of those that cannot be one."""
    found: list[SigmaMatcher] = []
    faults: list[RuleError] = []
    for rule in rules:
        if "detection" in rule.values:
            try:
                found.append(matcher(rule))
            except RuleError as error:
                faults.append(error)
            except Exception as error:  # noqa: BLE001 - whatever a file makes pySigma do, the others are matched
                faults.append(rule.error("detection", f"cannot be read: {type(error).__name__}: {error}"))
    return found, faults


def matcher(rule: Rule) -> SigmaMatcher:
    """The matcher of a rule. Raises RuleError."""
    # Only what pySigma is to judge: our own fields it need not know.
    given = {key: rule.values[key] for key in ("title", "logsource", "detection")}
    try:
        sigma = SigmaRule.from_dict(given)
        conditions = sigma.detection.parsed_condition
        if len(conditions) != 1:
            raise rule.error("detection.condition", "is a list: one condition is taken")
        tree = _Reader(rule, sigma).condition(conditions[0].parse(postprocess=False))
    except SigmaError as error:
        raise rule.error("detection", str(error)) from error
    if sum(1 for _ in tests(tree)) > MOST_TESTS:
        raise rule.error("detection", f"has more than {MOST_TESTS} conditions")
    return SigmaMatcher(rule, _datasets(rule), tree, _once(rule))


def tests(tree: Tree) -> Iterator[Test]:
    """Every condition of a tree, in order."""
    if isinstance(tree, Test):
        yield tree
    elif isinstance(tree, Not):
        yield from tests(tree.part)
    elif isinstance(tree, (And, Or)):
        for part in tree.parts:
            yield from tests(part)


def switched(tree: Tree, place: str, *, value: bool) -> Tree:
    """The tree with the condition at ``place`` fixed."""
    match tree:
        case Test():
            return Fixed(value) if tree.place == place else tree
        case Not(part):
            return Not(switched(part, place, value=value))
        case And(parts):
            return And(tuple(switched(part, place, value=value) for part in parts))
        case Or(parts):
            return Or(tuple(switched(part, place, value=value) for part in parts))
    return tree


def _datasets(rule: Rule) -> tuple[Dataset, ...]:
    source = rule.values["logsource"]
    if not isinstance(source, Mapping) or source.get("product") != PRODUCT or source.keys() - {"product", "service"}:
        raise rule.error("logsource", f"has the product {PRODUCT} and, as service, the dataset (flow, dns, tls, …)")
    try:
        dataset = Dataset(source.get("service", ""))
    except ValueError:
        raise rule.error("logsource.service", f"is none of the datasets {', '.join(Dataset)}") from None
    if dataset in _UNMATCHED:
        raise rule.error("logsource.service", f"{dataset} is not matched")
    return (dataset,)


_NEVER_ONCE = frozenset({"@timestamp", "event.id", "event.ingested", "event.sequence"})


def _once(rule: Rule) -> tuple[str, ...]:
    ours = rule.values.get("schoolwacht", {})
    if not isinstance(ours, Mapping) or ours.keys() - {"once"}:
        raise rule.error("schoolwacht", "has one key for a Sigma rule: once, a list of fields")
    once = ours.get("once", [])
    if not isinstance(once, list):
        raise rule.error("schoolwacht.once", "is no list of fields")
    for place, name in enumerate(once):
        if not isinstance(name, str) or name in _NEVER_ONCE:
            raise rule.error(f"schoolwacht.once.{place}", f"{name} is another one for each event, or no name at all")
        if name not in FIELDS or FIELDS[name].many or not FIELDS[name].kinds & {RowKind.EVENT}:
            raise rule.error(f"schoolwacht.once.{place}", f"{name} is no field of an event with one value")
    return tuple(once)


class _Reader:
    """Reads the condition of one rule."""

    def __init__(self, rule: Rule, sigma: SigmaRule) -> None:
        self._rule = rule
        self._detections = sigma.detection

    def condition(self, item: Any) -> Tree:
        match item:
            case ConditionAND():
                return And(tuple(self.condition(each) for each in item.args))
            case ConditionOR():
                return Or(tuple(self.condition(each) for each in item.args))
            case ConditionNOT():
                return Not(self.condition(item.args[0]))
            case ConditionIdentifier():
                return self._named(item.identifier)
            case ConditionSelector():
                named = item.resolve_referenced_detections(self._detections)
                if not named:
                    raise self._rule.error("detection.condition", f"{item.pattern} names no selection")
                parts = tuple(self._named(each.identifier) for each in named)
                return And(parts) if item.cond_class is ConditionAND else Or(parts)
        assert isinstance(item, ConditionItem) or item is None
        raise self._rule.error("detection.condition", "cannot be understood")

    def _named(self, name: str) -> Tree:
        if name not in self._detections.detections:
            raise self._rule.error("detection.condition", f"{name} is no selection of this rule")
        return self._selection(self._detections.detections[name], f"detection.{name}")

    def _selection(self, selection: SigmaDetection, place: str) -> Tree:
        parts: list[Tree] = []
        for number, item in enumerate(selection.detection_items):
            if isinstance(item, SigmaDetection):
                parts.append(self._selection(item, f"{place}.{number}"))
            else:
                parts.append(self._test(item, place))
        if len(parts) == 1:
            return parts[0]
        return And(tuple(parts)) if selection.item_linking is ConditionAND else Or(tuple(parts))

    def _test(self, item: SigmaDetectionItem, place: str) -> Test:
        if item.field is None:
            raise self._rule.error(place, "has words without a field; name the field")
        # The key as it stands in the file: field and modifiers.
        start = f"{place}.{item.field}"
        place = next((key for key in self._rule.lines if key == start or key.startswith(f"{start}|")), start)
        for value in item.value:
            self._check(place, item.field, value)
        return Test(
            place,
            item.field,
            tuple(item.value),
            every=item.value_linking is ConditionAND and len(item.value) > 1,
            cased=SigmaCaseSensitiveModifier in item.modifiers,
        )

    def _check(self, place: str, name: str, value: Any) -> None:
        if not isinstance(value, _TAKEN):
            raise self._rule.error(place, f"uses a modifier that is not taken: {type(value).__name__}")
        kind = self._type(place, name)
        if isinstance(value, SigmaFieldReference):
            if self._type(place, value.field) is not kind or value.starts_with or value.ends_with:
                raise self._rule.error(place, f"{value.field} has another type than {name}")
        elif isinstance(value, SigmaRegularExpression) and kind is Type.KEYWORD:
            try:
                regex(value)
            except re2.error as error:
                why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
                raise self._rule.error(place, f"is no regular expression of RE2: {why}") from error
        for shape, fitting in _FITTING:
            if isinstance(value, shape) and kind not in fitting:
                raise self._rule.error(place, f"{name} is a field of type {kind}: this value or modifier never fits")

    def _type(self, place: str, name: str) -> Type:
        if name in DERIVED:
            return Type.BOOLEAN
        if name.startswith("nsm.detail."):
            return Type.FLATTENED
        known = FIELDS.get(name)
        if known is None or RowKind.EVENT not in known.kinds:
            near = suggestions(name)
            hint = f"did you mean {' or '.join(near)}?" if near else "docs/events.md lists them"
            raise self._rule.error(place, f"{name} is no field of events; {hint}")
        return known.type


def regex(value: SigmaRegularExpression) -> Any:
    """The compiled expression. Raises re2.error."""
    text = str(value.regexp)
    if len(text) > MOST_REGEX:
        raise re2.error(f"longer than {MOST_REGEX} characters")
    flags = "".join(flag for flag, name in (("i", "IGNORECASE"), ("s", "DOTALL"), ("m", "MULTILINE"))
                    if any(each.name == name for each in value.flags))  # fmt: skip
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(f"(?{flags}){text}" if flags else text, options)


def event_of(rule: Rule, dataset: Dataset, values: Mapping[str, Any], place: str) -> Event:
    """The event of an example: dotted fields; time and dataset are added where they are not given. Raises RuleError."""
    given = {"@timestamp": datetime(2026, 11, 2, 9, 0, tzinfo=UTC), "event.dataset": dataset.value, **values}
    for name in given:
        if name not in ATTRIBUTES:
            raise rule.error(f"{place}.{name}", "is no field of events; docs/events.md lists them")
    try:
        return msgspec.convert(given, Event)
    except msgspec.ValidationError as error:
        raise rule.error(place, f"is no event: {error}") from error
