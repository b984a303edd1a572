"""``schoolwacht rules``: check, try, start, list and time detection rules, on files alone; no collector is needed."""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from schoolwacht.errors import RuleError
from schoolwacht_collector.rules.compile import single
from schoolwacht_collector.rules.examples import Outcome, attempt, mutations, replayed
from schoolwacht_collector.rules.read import Kind, Rule, files, read
from schoolwacht_collector.rules.shipped import shipped_rules
from schoolwacht_collector.rules.sigma import matchers
from schoolwacht_console.inert import inert

SUMMARY = "test, check, start, list and time detection rules"
DESCRIPTION = """\
Detection rules are files; these commands need no collector. Without a path they take the project's own rules.
docs/rules.md describes the format."""
EPILOG = """\
examples:
  schoolwacht rules test
  schoolwacht rules lint my-rules/
  schoolwacht rules new my-rules/printer.yml --name S90-printer --dataset flow
  schoolwacht rules bench --capture monday.pcap my-rules/

exit codes:
  0    done, and nothing is wrong
  1    a rule does not do what its examples say, or has a fault
  2    wrong use, or a file that cannot be read
"""
DONE, FAULTY = 0, 1
_TEMPLATE = """\
title: What a person reads in the list of alerts
title_nl: Wat iemand in de lijst met meldingen leest
id: {id}
name: {name}
status: experimental
description: What was seen, and why it matters.
description_nl: Wat er gezien is, en waarom dat ertoe doet.
license: EUPL-1.2
level: low
tags: []
falsepositives:
  - what sets it off wrongly
runbook:
  - What to check first; what the school should do.
runbook_nl:
  - Wat eerst na te gaan; wat de school moet doen.
data:
  - {dataset} events

logsource:
  product: schoolwacht
  service: {dataset}
detection:
  selection:
    destination.port: 9
    network.direction: inbound
  condition: selection
examples:
  match:
    - {{destination.port: 9, network.direction: inbound}}
  miss:
    - {{destination.port: 10, network.direction: inbound}}
    - {{destination.port: 9, network.direction: internal}}
"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The actions of ``rules``."""
    actions = command.add_subparsers(metavar="ACTION", required=True)

    def action(name: str, act: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
        made.set_defaults(act=act)
        return made

    test = action("test", _test, "try every rule on its own examples and captures, and report all failures")
    test.add_argument("--no-captures", action="store_true", help="leave captures out, which take seconds each")
    lint = action("lint", _lint, "check names, ids, fields, levels and references, and that no condition is idle")
    listing = action("list", _list, "list the rules")
    bench = action("bench", _bench, "hits and microseconds an event of each Sigma rule on captures")
    bench.add_argument("--capture", metavar="FILE", type=Path, action="append", required=True)
    for made in (test, lint, listing, bench):
        made.add_argument("paths", metavar="PATH", nargs="*", type=Path, help="rule files or folders")
        made.add_argument("--json", action="store_true", help="JSON lines")
    new = action("new", _new, "start a Sigma rule from a template that passes its test")
    new.add_argument("path", metavar="FILE", type=Path)
    new.add_argument("--name", required=True, help="such as S90-printer or D07-printer")
    new.add_argument("--dataset", default="flow", help="default: flow")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    act: Callable[[argparse.Namespace], int] = arguments.act
    return act(arguments)


def _rules(arguments: argparse.Namespace) -> tuple[list[Rule], list[RuleError]]:
    own = [] if arguments.paths else [place for kind in Kind if (place := shipped_rules() / kind.value).is_dir()]
    return read(files(arguments.paths or own))


def _test(arguments: argparse.Namespace) -> int:
    rules, faults = _rules(arguments)
    outcome = Outcome(faults=list(faults))
    for rule in rules:
        outcome.add(attempt(rule, captures=not arguments.no_captures))
    counts = {"rules": len(rules), "examples": outcome.tried, "skipped": len(outcome.skipped)}
    return _report(arguments, outcome.faults, counts)


def _lint(arguments: argparse.Namespace) -> int:
    rules, faults = _rules(arguments)
    found, unfit = matchers(rules)
    faults += unfit
    for each in found:
        try:
            faults += mutations(each.rule).faults
        except RuleError as error:
            faults.append(error)
    return _report(arguments, faults, {"rules": len(rules), "sigma": len(found)})


def _list(arguments: argparse.Namespace) -> int:
    rules, faults = _rules(arguments)
    for rule in rules:
        if arguments.json:
            shown = {"name": rule.name, "kind": rule.kind, "level": rule.level, "title": rule.title,
                     "title_nl": rule.title_nl, "technique": list(rule.techniques), "path": str(rule.path)}  # fmt: skip
            sys.stdout.write(json.dumps(shown) + "\n")
        else:
            sys.stdout.write(inert(f"{rule.name:24} {rule.kind:12} {rule.level:14} {rule.title}") + "\n")
    _say(faults)
    return FAULTY if faults else DONE


def _bench(arguments: argparse.Namespace) -> int:
    rules, faults = _rules(arguments)
    found, unfit = matchers(rules)
    _say([*faults, *unfit])
    events = [event for capture in arguments.capture for event in replayed(capture)]
    hits: Counter[str] = Counter()
    for each in found:
        alone = single(each.tree)
        about = [event for event in events if event.event_dataset in each.datasets]
        began = time.perf_counter()
        hits[each.name] = sum(map(alone, about))
        spent = (time.perf_counter() - began) / max(1, len(about)) * 1e6
        if arguments.json:
            line = json.dumps({"name": each.name, "events": len(about), "hits": hits[each.name], "us": round(spent, 3)})
        else:
            line = f"{each.name:24} {hits[each.name]:8} hits in {len(about):8} events {spent:8.2f} µs"
        sys.stdout.write(line + "\n")
    return FAULTY if faults or unfit else DONE


def _new(arguments: argparse.Namespace) -> int:
    text = _TEMPLATE.format(id=uuid.uuid4(), name=arguments.name, dataset=arguments.dataset)
    try:
        with arguments.path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise RuleError(f"cannot be made: {error.strerror}", path=str(arguments.path)) from error
    sys.stdout.write(f"{arguments.path}: change it, then: schoolwacht rules lint {arguments.path}\n")
    return DONE


def _report(arguments: argparse.Namespace, faults: list[RuleError], counts: dict[str, int]) -> int:
    _say(faults)
    if arguments.json:
        sys.stdout.write(json.dumps(counts | {"faults": len(faults)}) + "\n")
    else:
        told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items())
        sys.stdout.write(f"{told}; {len(faults)} faults\n")
    return FAULTY if faults else DONE


def _say(faults: Iterable[RuleError]) -> None:
    for each in faults:
        sys.stderr.write(inert(str(each)) + "\n")
