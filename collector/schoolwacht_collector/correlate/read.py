"""From a rule file to :class:`.rule.CorrelationRule`: Sigma's correlation format, and one extension, ``schoolwacht``.

Every fault is found, and names the file and the field. What a key means stands in docs/correlation.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import yaml

from schoolwacht.errors import ConfigError, QueryError
from schoolwacht_collector.correlate.rule import (
    Around,
    Common,
    CorrelationRule,
    Form,
    Level,
    Low,
    New,
    Selection,
)
from schoolwacht_collector.query.ast import And, Equals, Node, Not, Or
from schoolwacht_collector.query.fields import field as known_field
from schoolwacht_collector.query.parse import parse

_COLLECTOR = Path(__file__).resolve().parents[1]
#: A wheel has them inside the collector's package (pyproject.toml, force-include), a checkout beside ``collector/``.
_PLACES = (_COLLECTOR / "shipped" / "correlation", _COLLECTOR.parents[1] / "rules" / "correlation")
_SPAN = re.compile(r"(?P<number>\d{1,6})(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = timedelta(days=30)
_ID = re.compile(r"[A-Z]\d{1,3}")
#: Sigma's levels as signature severities.
SEVERITIES = {
    "critical": "Critical", "high": "Major", "medium": "Minor", "low": "Minor", "informational": "Informational",
}  # fmt: skip
_TOP = frozenset(
    {
        "title", "title_nl", "id", "name", "status", "description", "description_nl", "author", "date", "modified",
        "level", "tags", "falsepositives", "runbook", "runbook_nl", "data", "license", "references", "correlation",
        "schoolwacht", "examples",
    }
)  # fmt: skip
_CORRELATION = frozenset({"type", "rules", "group-by", "timespan", "condition"})
_EXTENSION = frozenset(
    {
        "level", "signals", "schools", "boards", "share", "weight", "late", "healthy", "usual", "common", "new",
        "around", "low", "sightings", "learn", "reputation", "variant",
    }
)  # fmt: skip
#: An agent's weight within one school, where all comes from one agent.
UNBOUND = 1_000_000


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A rule with the examples of its file (rows of signals or sightings, which must and must not raise it)."""

    rule: CorrelationRule
    path: Path
    examples: Mapping[str, Any]


@dataclass(slots=True)
class _Faults:
    path: Path
    found: list[ConfigError] = field(default_factory=list)

    def add(self, name: str, message: str) -> None:
        self.found.append(ConfigError(message, path=str(self.path), field=name))


class RuleFaults(ConfigError):  # noqa: N818 - says what is the matter
    """A rule file that cannot be used; ``faults`` are all of its faults."""

    def __init__(self, faults: list[ConfigError]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults), path=faults[0].path)
        self.faults = faults


def own_rules() -> list[CorrelationRule]:
    """The project's own rules. Raises ConfigError if the installation lacks them, or one is faulty."""
    for place in _PLACES:
        if found := read_all(place):
            return [one.rule for one in found]
    raise ConfigError(f"Schoolwacht's own correlation rules are missing: neither {_PLACES[0]} nor {_PLACES[1]} has any")


def read(path: Path) -> RuleFile:
    """The rule of a file. Raises RuleFaults with everything that is wrong."""
    faults = _Faults(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RuleFaults([ConfigError(f"cannot be read: {error}", path=str(path), field="file")]) from error
    if not isinstance(content, dict):
        raise RuleFaults([ConfigError("is no mapping", path=str(path), field="file")])
    try:
        rule = rule_of(content, faults)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if not faults.found:
            faults.add("file", f"is incomplete or has a value of the wrong kind: {error!r}")
        raise RuleFaults(faults.found) from error
    if faults.found:
        raise RuleFaults(faults.found)
    return RuleFile(rule, path, content.get("examples") or {})


def read_all(directory: Path) -> list[RuleFile]:
    """All rules of a directory, by name of file. Raises RuleFaults with the faults of all files."""
    found: list[RuleFile] = []
    faults: list[ConfigError] = []
    for path in sorted(directory.glob("*.yml")):
        try:
            found.append(read(path))
        except RuleFaults as error:
            faults += error.faults
    names = [one.rule.id for one in found]
    faults += [
        ConfigError(f"{one.rule.id} is the name of another rule too", path=str(one.path), field="name")
        for one in found
        if names.count(one.rule.id) > 1
    ]
    if faults:
        raise RuleFaults(faults)
    return found


def rule_of(content: Mapping[str, Any], faults: _Faults) -> CorrelationRule:
    """The rule that a file's content says."""
    _unknown(content, _TOP, "", faults)
    correlation, extension = content["correlation"], content.get("schoolwacht") or {}
    _unknown(correlation, _CORRELATION, "correlation.", faults)
    _unknown(extension, _EXTENSION, "schoolwacht.", faults)
    if not _ID.fullmatch(str(content["name"])):
        faults.add("name", f"{content['name']!r} is no id of the catalogue, such as X1 or D06")
    form = _form(correlation, faults)
    level = Level(extension.get("level", "sector"))
    condition = correlation.get("condition") or {}
    span = _span(correlation["timespan"], "correlation.timespan", faults)
    group_by = tuple(correlation.get("group-by") or ())
    counted = condition.get("field") if form is Form.VALUE_COUNT else None
    for name in (*group_by, *([counted] if counted else [])):
        _field(name, "correlation", faults)
    return CorrelationRule(
        id=str(content["name"]),
        uuid=str(content["id"]),
        title=str(content["title"]),
        level=level,
        severity=SEVERITIES[str(content["level"])],
        confidence="Low" if content["level"] == "low" else "High" if content["level"] == "critical" else "Medium",
        techniques=tuple(
            tag.removeprefix("attack.").upper() for tag in content.get("tags", ()) if tag.startswith("attack.t")
        ),
        form=form,
        selections=_selections(correlation, extension, faults),
        group_by=group_by,
        span=span,
        counted=counted,
        least=_least(condition, form, faults),
        schools=int(extension.get("schools", 1)),
        boards=int(extension.get("boards", 1)),
        share=float(extension.get("share", 0.0)),
        weight=int(extension.get("weight", 1 if level is Level.SECTOR else UNBOUND)),
        late=_span(extension.get("late", "6h"), "schoolwacht.late", faults),
        healthy=_maybe(extension, "healthy", faults),
        usual=float(extension.get("usual", 0.0)),
        common=_common(extension.get("common"), faults),
        new=_new(extension.get("new"), faults),
        around=tuple(_around(one, place, faults) for place, one in enumerate(extension.get("around") or ())),
        low=_low(extension.get("low")),
        sightings=extension.get("sightings"),
        learn=_span(extension.get("learn", "7d"), "schoolwacht.learn", faults),
        reputation=frozenset(extension.get("reputation") or ()),
        variant=float(extension.get("variant", 0.0)),
    )


def _unknown(given: Mapping[str, Any], known: Iterable[str], prefix: str, faults: _Faults) -> None:
    for name in given:
        if name not in known:
            faults.add(f"{prefix}{name}", "is no key of a correlation rule")


def _form(correlation: Mapping[str, Any], faults: _Faults) -> Form:
    try:
        return Form(correlation["type"])
    except ValueError:
        faults.add("correlation.type", f"{correlation['type']!r} is none of {', '.join(Form)}")
        raise


def _selections(correlation: Mapping[str, Any], extension: Mapping[str, Any], faults: _Faults) -> tuple[Selection, ...]:
    """The members: each of ``correlation.rules`` is one of ``schoolwacht.signals``, else a detection or a rule."""
    queries: Mapping[str, str] = extension.get("signals") or {}
    names = [str(name) for name in correlation.get("rules") or ()]
    if not names and not extension.get("sightings"):
        faults.add("correlation.rules", "names no member")
    for name in queries:
        if name not in names:
            faults.add(f"schoolwacht.signals.{name}", "is not in correlation.rules")
    return tuple(Selection(name, _own(_query(name, queries, faults))) for name in names)


def _query(name: str, queries: Mapping[str, str], faults: _Faults) -> Node:
    if name not in queries:
        return Or((Equals("signal.detection", name), Equals("rule.id", name)))
    return _parsed(queries[name], f"schoolwacht.signals.{name}", faults)


def _own(where: Node) -> Node:
    """What correlation makes is never a member of it: no rule can feed itself."""
    return And((Not(Equals("rule.ruleset", "correlation")), where))


def _parsed(text: str, name: str, faults: _Faults) -> Node:
    try:
        return parse(text)
    except QueryError as error:
        faults.add(name, str(error))
        raise ValueError(text) from error


def _field(name: str, where: str, faults: _Faults) -> None:
    try:
        known_field(name)
    except QueryError as error:
        faults.add(where, f"{name}: {error}")


def _least(condition: Mapping[str, Any], form: Form, faults: _Faults) -> int:
    if form in {Form.TEMPORAL, Form.TEMPORAL_ORDERED}:
        return 1
    for name, plus in (("gte", 0), ("gt", 1)):
        if name in condition:
            return int(condition[name]) + plus
    faults.add("correlation.condition", "says neither gte nor gt")
    return 1


def _span(text: object, name: str, faults: _Faults) -> timedelta:
    found = _SPAN.fullmatch(str(text))
    span = timedelta(seconds=int(found["number"]) * _SECONDS[found["unit"]]) if found else timedelta()
    if not timedelta() < span <= _LONGEST:
        faults.add(name, f"{text!r} is no span of 1s to 30d, such as 10m or 24h")
    return span


def _maybe(extension: Mapping[str, Any], name: str, faults: _Faults) -> timedelta | None:
    return _span(extension[name], f"schoolwacht.{name}", faults) if name in extension else None


def _common(given: Mapping[str, Any] | None, faults: _Faults) -> Common | None:
    if given is None:
        return None
    age = _span(given.get("age", "7d"), "schoolwacht.common.age", faults)
    return Common(str(given["kind"]), str(given["field"]), float(given["share"]), age)


def _new(given: Mapping[str, Any] | None, faults: _Faults) -> New | None:
    if given is None:
        return None
    return New(str(given["kind"]), str(given["field"]), _span(given["within"], "schoolwacht.new.within", faults))


def _around(given: Mapping[str, Any], place: int, faults: _Faults) -> Around:
    name = f"schoolwacht.around[{place}]"
    same = tuple((str(ours), str(theirs)) for ours, theirs in given["same"].items())
    for ours, theirs in same:
        _field(ours, name, faults)
        _field(theirs, name, faults)
    return Around(
        _parsed(str(given["query"]), f"{name}.query", faults),
        same,
        _span(given["before"], f"{name}.before", faults) if "before" in given else timedelta(),
        _span(given["after"], f"{name}.after", faults) if "after" in given else timedelta(),
    )


def _low(given: Mapping[str, Any] | None) -> Low | None:
    return None if given is None else Low(str(given["field"]), tuple(ip_network(each) for each in given["networks"]))
