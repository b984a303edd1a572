"""From rule files to checked rules: what every kind of rule says of itself (docs/rules.md has the schema).

Promise: every fault of a file is found, not only the first, each with file, line, field and the way out; a faulty file
never keeps the others from being read. Limits: a file has 256 KiB at most and no YAML aliases, which could make a small
file a huge one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import yaml

from schoolwacht.errors import RuleError
from schoolwacht_collector.attack import TACTICS, TECHNIQUES

MOST_BYTES = 256 << 10
_Wrong: TypeAlias = Callable[[str, str], None]
NAME = re.compile(r"(?P<series>[A-Z])(?P<number>\d{1,3})(?:-[a-z0-9]+(?:-[a-z0-9]+)*)?")
_TECHNIQUE = re.compile(r"attack\.t(\d{4}(?:\.\d{3})?)")
_TACTICS = frozenset(f"attack.{name.lower().replace(' ', '_')}" for name in TACTICS.values())


class Kind(StrEnum):
    """What evaluates a rule."""

    SIGMA = "sigma"
    CORRELATION = "correlation"
    BEHAVIOUR = "behaviour"
    SURICATA = "suricata"


#: The key that tells the kind of a rule file.
_KINDS: Mapping[str, Kind] = {
    "correlation": Kind.CORRELATION,
    "behaviour": Kind.BEHAVIOUR,
    "suricata": Kind.SURICATA,
    "detection": Kind.SIGMA,
}
#: Sigma's levels as severity and confidence of a signal, so that an alert's severity is the level (docs/detections.md).
LEVELS: Mapping[str, tuple[str, str]] = {
    "critical": ("Critical", "High"),
    "high": ("Major", "High"),
    "medium": ("Minor", "Medium"),
    "low": ("Minor", "Low"),
    "informational": ("Informational", "Medium"),
}
STATUSES = frozenset({"stable", "test", "experimental", "deprecated"})
_TEXTS = ("title", "title_nl", "description", "description_nl", "license")
_LISTS = ("falsepositives", "runbook", "runbook_nl", "data")
#: What correlation rules may leave out: their data are other rules' signals.
_OPTIONAL_IN_CORRELATION = frozenset({"runbook_nl", "data"})
_KNOWN = frozenset(
    {*_TEXTS, *_LISTS, "id", "name", "status", "level", "tags", "author", "date", "modified", "references", "examples",
     "schoolwacht"}
)  # fmt: skip
_OF_KIND: Mapping[Kind, frozenset[str]] = {
    Kind.SIGMA: frozenset({"logsource", "detection"}),
    Kind.CORRELATION: frozenset({"correlation"}),
    Kind.BEHAVIOUR: frozenset({"behaviour"}),
    Kind.SURICATA: frozenset({"suricata"}),
}

#: The key of what a description is about.
_DESCRIBED: Mapping[Kind, str] = {Kind.BEHAVIOUR: "detector", Kind.SURICATA: "file"}
_DETECTOR = re.compile(r"[a-z]+(?:_[a-z]+)*")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule file that was read: what it says of itself, and all its values with the line of each (dotted path)."""

    path: Path
    kind: Kind
    name: str
    id: str
    title: str
    title_nl: str
    level: str
    techniques: tuple[str, ...]
    values: Mapping[str, Any]
    lines: Mapping[str, int]

    @property
    def detection(self) -> str | None:
        """The detection of the catalogue that it serves, such as D07; None for rules of a series of their own (S)."""
        head = self.name.partition("-")[0]
        return head if head[0] in "DX" else None

    def error(self, field: str, message: str) -> RuleError:
        """A fault of this rule at a field, with its line."""
        return fault(self.path, self.lines, field, message)


def fault(path: Path, lines: Mapping[str, int], field: str, message: str) -> RuleError:
    """An error that names file, line and field; where the field is missing, the line of what should hold it."""
    place = field
    while place and place not in lines:
        place = place.rpartition(".")[0]
    return RuleError(message, path=str(path), line=lines.get(place, 1), field=field)


def files(places: Iterable[Path]) -> list[Path]:
    """The rule files among files and folders, by name. Raises RuleError for a place that is not there."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += sorted(path for ending in ("*.yml", "*.yaml") for path in place.rglob(ending))
        elif place.is_file():
            found.append(place)
        else:
            raise RuleError("there is no such file or folder", path=str(place))
    return list(dict.fromkeys(found))


def read(paths: Iterable[Path]) -> tuple[list[Rule], list[RuleError]]:
    """All rules of these files, and every fault; a name or an id that occurs twice is one."""
    rules: list[Rule] = []
    faults: list[RuleError] = []
    seen: dict[tuple[str, str], Path] = {}
    for path in paths:
        rule, wrong = read_file(path)
        if rule is not None:
            for field, key in (("id", rule.id), ("name", f"{rule.kind} {rule.name}")):
                other = seen.setdefault((field, key), path)
                if other is not path:
                    wrong.append(rule.error(field, f"is that of {other} too; each rule has its own"))
        faults += wrong
        if rule is not None and not wrong:
            rules.append(rule)
    return rules, faults


def read_file(path: Path) -> tuple[Rule | None, list[RuleError]]:
    """One rule, if it could be read at all, and its faults."""
    try:
        values, lines = _load(path)
    except RuleError as error:
        return None, [error]
    faults: list[RuleError] = []

    def wrong(field: str, message: str) -> None:
        faults.append(fault(path, lines, field, message))

    kind = next((kind for key, kind in _KINDS.items() if key in values), None)
    if kind is None:
        wrong("", f"is no rule: one of {', '.join(sorted(_KINDS))} is needed")
        return None, faults
    _check_texts(kind, values, wrong)
    _check_described(path, kind, values, wrong)
    _check_words(values, wrong)
    techniques = _techniques(values.get("tags", []), wrong)
    if not isinstance(values.get("examples"), dict):
        wrong("examples", "are needed: lists match and miss")
    if faults:
        return None, faults
    return Rule(
        path,
        kind,
        values["name"],
        values["id"],
        values["title"],
        values["title_nl"],
        values["level"],
        techniques,
        values,
        lines,
    ), faults


def _check_texts(kind: Kind, values: Mapping[str, Any], wrong: _Wrong) -> None:
    for key in values.keys() - _KNOWN - _OF_KIND[kind]:
        wrong(str(key), f"is no field of a {kind} rule; docs/rules.md lists them")
    for key in _TEXTS:
        if not isinstance(text := values.get(key), str) or not text.strip():
            wrong(key, "is needed: a text")
    for key in _LISTS:
        if kind is Kind.CORRELATION and key in _OPTIONAL_IN_CORRELATION and key not in values:
            continue
        found = values.get(key)
        if not isinstance(found, list) or not found or not all(isinstance(each, str) and each for each in found):
            wrong(key, "is needed: a list of texts")


def _check_described(path: Path, kind: Kind, values: Mapping[str, Any], wrong: _Wrong) -> None:
    """What a description is about: a detector of the agent, by its settings, or a file of signatures beside it."""
    if kind not in _DESCRIBED:
        return
    key, given = _DESCRIBED[kind], values[kind.value]
    name = given.get(key) if isinstance(given, Mapping) and given.keys() == {key} else None
    if not isinstance(name, str):
        wrong(kind.value, f"has one key, {key}, a text")
    elif kind is Kind.SURICATA and (Path(name).name != name or not (path.parent / name).is_file()):
        wrong(f"suricata.{key}", f"{name} is no file beside this one")
    elif kind is Kind.BEHAVIOUR and not _DETECTOR.fullmatch(name):
        wrong(f"behaviour.{key}", f"{name} is no name of a detector's settings, such as port_scan")


def _check_words(values: Mapping[str, Any], wrong: _Wrong) -> None:
    name = values.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        wrong("name", "is needed: the detection that the rule serves, and a word where it has several (D07-telnet)")
    if not _is_uuid(values.get("id")):
        wrong("id", "is needed: a UUID; python -m uuid makes one")
    if not isinstance(level := values.get("level"), str) or level not in LEVELS:
        wrong("level", f"is needed: one of {', '.join(LEVELS)}")
    if not isinstance(status := values.get("status", "stable"), str) or status not in STATUSES:
        wrong("status", f"is none of {', '.join(sorted(STATUSES))}")


def _techniques(tags: object, wrong: _Wrong) -> tuple[str, ...]:
    found: list[str] = []
    if not isinstance(tags, list):
        wrong("tags", "is no list")
        return ()
    for place, tag in enumerate(tags):
        text = str(tag)
        if (technique := _TECHNIQUE.fullmatch(text)) is not None:
            if f"T{technique[1]}" not in TECHNIQUES:
                wrong(
                    f"tags.{place}",
                    f"T{technique[1]} is not in the table of techniques: add it to attack.py",
                )
            found.append(f"T{technique[1]}")
        elif text.startswith("attack.") and text.replace("-", "_") not in _TACTICS:
            wrong(f"tags.{place}", f"{text} is neither a technique (attack.t1190) nor a tactic of ATT&CK")
    return tuple(found)


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _load(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RuleError(f"cannot be read: {error.strerror}", path=str(path)) from error
    if len(data) > MOST_BYTES:
        raise RuleError(f"is larger than {MOST_BYTES >> 10} KiB", path=str(path))
    try:
        loader = yaml.SafeLoader(data)
        node = loader.get_single_node()
        lines: dict[str, int] = {}
        if not isinstance(node, yaml.MappingNode):
            raise RuleError("is no rule: a mapping of fields is needed", path=str(path), line=1)
        _walk(path, node, "", lines, set())
        values: dict[str, Any] = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise RuleError(f"is no YAML: {error.problem}", path=str(path), line=line) from error
    # The rest is what constructors of YAML's own types raise for !!bool maybe and the like.
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise RuleError(f"is no YAML: {error}", path=str(path)) from error
    return values, lines


def _walk(path: Path, node: yaml.Node, place: str, lines: dict[str, int], seen: set[int]) -> None:
    """Note the line of every value. Raises RuleError for an alias and for a key that occurs twice."""
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if id(node) in seen:
        raise RuleError("is an alias; write the value again", path=str(path), line=line, field=place)
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            inner = f"{place}.{name}" if place else name
            if name in keys:
                raise RuleError("occurs twice", path=str(path), line=key.start_mark.line + 1, field=inner)
            keys.add(name)
            lines[inner] = key.start_mark.line + 1
            _walk(path, value, inner, lines, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _walk(path, value, f"{place}.{number}", lines, seen)
