"""A rule against its own examples, and a Sigma rule with each of its conditions switched off.

An example of a Sigma rule is an event (dotted fields) or ``{capture: PATH}``: a capture file, or a folder of them,
relative to the rule file, that is played through the agent's engine as ``schoolwacht-agent replay`` does. Under
``match`` stands what the rule must find, under ``miss`` what it must not. Behaviour and Suricata descriptions have
captures only, correlation rules have signals (:mod:`..correlate.examples`).

Promise: all faults are told, with file and line. Limits: captures need the agent installed; a capture that a package
leaves out is told as skipped, one that a checkout lacks is a fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from schoolwacht.derive import derive
from schoolwacht.errors import RuleError
from schoolwacht.event import Event
from schoolwacht_collector.correlate import examples as correlated
from schoolwacht_collector.correlate.read import RuleFaults
from schoolwacht_collector.correlate.read import read as read_correlation
from schoolwacht_collector.rules.compile import single
from schoolwacht_collector.rules.read import Kind, Rule
from schoolwacht_collector.rules.shipped import packaged
from schoolwacht_collector.rules.sigma import SigmaMatcher, event_of, matcher, switched, tests

SIDES = ("match", "miss")
_SUFFIXES = (".pcap", ".pcapng", ".pcap.zst", ".pcap.gz")
_CAPTURE = frozenset({"capture", "home", "engine"})
_SECONDS = 120


@dataclass(slots=True)
class Outcome:
    """What came of trying rules: how many examples were tried, what was left out, and every fault."""

    tried: int = 0
    skipped: list[str] = field(default_factory=list)
    faults: list[RuleError] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Take another one in."""
        self.tried += other.tried
        self.skipped += other.skipped
        self.faults += other.faults


def attempt(rule: Rule, *, captures: bool = True) -> Outcome:
    """Try every example of a rule."""
    if rule.kind is Kind.CORRELATION:
        return _correlation(rule)
    outcome = Outcome()
    try:
        found = matcher(rule) if rule.kind is Kind.SIGMA else None
        examples = _examples(rule)
    except RuleError as error:
        outcome.faults.append(error)
        return outcome
    for side, place, values in examples:
        try:
            if "capture" in values:
                if captures:
                    _play(rule, found, side, place, values, outcome)
            elif found is None:
                raise rule.error(place, f"a {rule.kind} rule is tried on captures only: capture: PATH")
            else:
                outcome.tried += 1
                _check(rule, found, side, place, values)
        except RuleError as error:
            outcome.faults.append(error)
    return outcome


def mutations(rule: Rule) -> Outcome:
    """Switch off each condition of a Sigma rule in turn; a fault for each that no example misses.

    A condition is switched off in both ways: as if it always held, and as if it never did.
    """
    outcome = Outcome()
    found = matcher(rule)
    events = [
        (side, event_of(rule, found.datasets[0], values, place))
        for side, place, values in _examples(rule)
        if "capture" not in values
    ]
    for _side, event in events:
        derive(event)
    for place in dict.fromkeys(test.place for test in tests(found.tree)):
        for value in (True, False):
            outcome.tried += 1
            changed = single(switched(found.tree, place, value=value))
            if all(changed(event) is (side == "match") for side, event in events):
                how = "always" if value else "never"
                outcome.faults.append(
                    rule.error(place, f"could {how} hold and every example would be as it is: add one that tells")
                )
    return outcome


def _examples(rule: Rule) -> list[tuple[str, str, Mapping[str, Any]]]:
    examples = rule.values["examples"]
    for key in examples.keys() - set(SIDES):
        raise rule.error(f"examples.{key}", "is neither match nor miss")
    found: list[tuple[str, str, Mapping[str, Any]]] = []
    for side in SIDES:
        given = examples.get(side)
        if not isinstance(given, list) or not given:
            raise rule.error(f"examples.{side}", "needs one example at least")
        for number, values in enumerate(given):
            if not isinstance(values, Mapping):
                raise rule.error(f"examples.{side}.{number}", "is no mapping of fields to values")
            found.append((side, f"examples.{side}.{number}", values))
    return found


def _check(rule: Rule, found: SigmaMatcher, side: str, place: str, values: Mapping[str, Any]) -> None:
    event = event_of(rule, found.datasets[0], values, place)
    derive(event)
    if single(found.tree)(event) is not (side == "match"):
        raise rule.error(place, "must match and does not" if side == "match" else "must not match and does")


def _play(
    rule: Rule, found: SigmaMatcher | None, side: str, place: str, values: Mapping[str, Any], outcome: Outcome
) -> None:
    if values.keys() - _CAPTURE:
        raise rule.error(place, f"has other keys than {', '.join(sorted(_CAPTURE))}")
    path = rule.path.parent / str(values["capture"])
    if not path.exists() and packaged(rule.path):
        outcome.skipped.append(f"{rule.path.name}: {values['capture']}")
        return
    captures = [path] if path.is_file() else _captures(path)
    if not captures:
        raise rule.error(f"{place}.capture", f"there is no capture at {path}")

    def shows(capture: Path) -> bool:
        events = replayed(capture, home=values.get("home", ()), engine=str(values.get("engine", "auto")))
        return any(_hits(rule, found, event) for event in events)

    try:
        # Each is played by a process of its own, so threads are enough to keep all cores busy.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            hits = list(pool.map(shows, captures))
    except RuleError as error:
        raise rule.error(place, error.message) from error
    outcome.tried += len(captures)
    for capture, hit in zip(captures, hits, strict=True):
        if hit is not (side == "match"):
            wrong = "must give the detection and does not" if side == "match" else "must not give it and does"
            outcome.faults.append(rule.error(place, f"{capture.name} {wrong}"))


def _correlation(rule: Rule) -> Outcome:
    outcome = Outcome()
    try:
        file, examples = read_correlation(rule.path), _examples(rule)
    except RuleFaults as faults:
        outcome.faults += [rule.error(each.field or "", each.message) for each in faults.faults]
        return outcome
    except RuleError as error:
        outcome.faults.append(error)
        return outcome
    for side, place, values in examples:
        outcome.tried += 1
        try:
            hit = correlated.raised(file, values)
        except RuleError as error:
            outcome.faults.append(rule.error(place, error.message))
            continue
        if hit is not (side == "match"):
            wrong = "must raise the rule and does not" if side == "match" else "must not raise the rule and does"
            outcome.faults.append(rule.error(place, wrong))
    return outcome


def _captures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.name.endswith(_SUFFIXES)) if folder.is_dir() else []


def _hits(rule: Rule, found: SigmaMatcher | None, event: Event) -> bool:
    if found is None:
        return event.signal_detection == rule.detection
    return event.event_dataset in found.datasets and single(found.tree)(event)


def replayed(capture: Path, *, home: Iterable[str] = (), engine: str = "auto") -> Iterator[Event]:
    """The events of a capture file, by the agent's own engine. Raises RuleError where it cannot be played."""
    command = [sys.executable, "-m", "schoolwacht_agent", "replay", str(capture), "--json", "--engine", engine]
    for network in home:
        command += ["--home", str(network)]
    try:
        # The command is this program's own, and the capture a file of the rule's author.
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RuleError(f"{capture.name} cannot be played: {error}") from error
    if done.returncode:
        text = done.stderr.decode(errors="backslashreplace").strip().splitlines()
        raise RuleError(f"{capture.name} cannot be played: {text[-1] if text else done.returncode}")
    for line in done.stdout.splitlines():
        yield msgspec.convert(dict(_flat(json.loads(line))), Event, strict=False)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if isinstance(inner, Mapping) and name != "nsm.detail":
            yield from _flat(inner, f"{name}.")
        else:
            yield name, inner
