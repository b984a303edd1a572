"""``schoolwacht analyse``: the whole line over capture files, in a throw-away store; prints the alerts.

Nothing is left behind, nothing goes anywhere: collector and agent talk over loopback, and their directory is removed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import structs
from rich.console import Console

from schoolwacht_collector.app import running
from schoolwacht_collector.config import local
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import Alert, School
from schoolwacht_console import line, lookup, tables
from schoolwacht_console.lookup import AlertFilter, Directory
from schoolwacht_console.moments import iso

SUMMARY = "run the whole line over capture files and print the alerts"
DESCRIPTION = """\
Run the whole line over capture files, in a throw-away store, and print the alerts: what the agent's engine and
detections see, what the indicators match, folded and scored as in production. Nothing is left behind."""
EPILOG = """\
examples:
  schoolwacht analyse capture.pcap
  schoolwacht analyse monday.pcapng tuesday.pcap --home 10.21.0.0/16 --indicators bad.csv --json
  schoolwacht analyse old.pcap --engine suricata --rules local.rules

exit codes:
  0    every capture was read to its end (whether or not there are alerts)
  1    the line could not be run
  2    wrong use, or a file that is truncated, empty, unreadable or of another kind; the others were still done
  130  interrupted
"""
ENGINES = ("auto", "suricata", "packets")
#: The school that captures are analysed as; the code is nobody's.
_SCHOOL = School(location="00AA00", board="00000", name="Analysis")
_DONE, _FAILED, _BAD_INPUT = 0, 1, 2


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``analyse``."""
    command.add_argument("captures", metavar="CAPTURE", nargs="+", type=Path, help="a pcap or pcapng file")
    command.add_argument(
        "--home", metavar="NET", action="append", type=_network, default=[], help="a network of the school (repeatable)"
    )
    command.add_argument("--engine", choices=ENGINES, default="auto", help="default: auto (Suricata where installed)")
    command.add_argument(
        "--indicators", metavar="FILE", action="append", type=Path, default=[], help="indicators (repeatable)"
    )
    command.add_argument(
        "--rules", metavar="FILE", action="append", type=Path, default=[], help="more Suricata signatures (repeatable)"
    )
    command.add_argument("--json", action="store_true", help="a JSON object a line for each alert")


class Result(NamedTuple):
    """What an analysis gave. ``code`` is the agent's exit code; ``events`` counts stored events by dataset."""

    alerts: list[Alert]
    events: Mapping[str, int]
    code: int
    faulty_lines: int


def run(arguments: argparse.Namespace) -> int:
    """Analyse and print; returns the exit code."""
    result = line.run(
        analyse(
            tuple(arguments.captures),
            home=tuple(arguments.home),
            engine=arguments.engine,
            indicators=tuple(arguments.indicators),
            rules=tuple(arguments.rules),
        )
    )
    if arguments.json:
        for alert in result.alerts:
            sys.stdout.write(json.dumps(as_json(alert), separators=(",", ":")) + "\n")
    else:
        _print(result)
    if result.code not in (_DONE, _BAD_INPUT):
        return _FAILED
    return _BAD_INPUT if result.code == _BAD_INPUT or result.faulty_lines else _DONE


async def analyse(
    captures: tuple[Path, ...],
    *,
    home: tuple[str, ...] = (),
    engine: str = "auto",
    indicators: Iterable[Path] = (),
    rules: tuple[Path, ...] = (),
) -> Result:
    """Run the line over ``captures`` and give what came out.

    Args:
        captures: the files; each is reported by name on stderr if it cannot be read to its end.
        home: the school's networks; without any the agent's default, the private ranges.
        engine: one of :data:`ENGINES`.
        indicators: files as ``schoolwacht indicators import`` takes them.
        rules: Suricata signatures, besides the project's own.

    Raises ConfigError, IndicatorError, StoreError.
    """
    with line.throwaway("analyse") as directory:
        settings = local(directory / "collector")
        settings = structs.replace(settings, console=structs.replace(settings.console, enabled=False))
        plan = line.AgentPlan("analysis", _SCHOOL, home, captures, engine, rules)
        async with running(settings, init=True) as collector:
            faulty = await line.add_indicators(collector.store, indicators)
            await collector.matching.load()
            async with line.agent(plan, collector, directory) as process:
                await process.communicate()
                code = process.returncode
        store = await line.settle(settings)
        try:
            return Result(await _alerts(store), await _events(store), code if code is not None else _FAILED, faulty)
        finally:
            await store.close()


def as_json(alert: Alert) -> dict[str, Any]:
    """An alert as one flat object for programs: stable names, times in UTC, ids as ids.

    ``rule`` is the detection that the rule serves, if it serves one, else the rule's own id; ``technique`` its ATT&CK
    techniques, with commas if there are several.
    """
    values = {
        "rule": alert.detection or alert.rule_id,
        "rule_id": alert.rule_id,
        "ruleset": alert.rule_ruleset,
        "title": alert.title,
        "severity": alert.severity.value,
        "score": alert.score,
        "school": alert.school,
        "entity": alert.entity,
        "count": alert.count,
        "first": iso(alert.first),
        "last": iso(alert.last),
        "technique": ",".join(alert.technique_id),
    }
    if alert.indicator_name is not None:
        values["indicator"] = alert.indicator_name
    return values


async def _alerts(store: Store) -> list[Alert]:
    directory = Directory(store, SECTOR)
    found: list[Alert] = []
    after: str | None = None
    while True:
        page = await lookup.alerts(store, SECTOR, directory, AlertFilter(), limit=lookup.MAX_PAGE, after=after)
        found += page.alerts
        after = page.next
        if after is None:
            return found


async def _events(store: Store) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for kind in (Kind.EVENT, Kind.SIGNAL):
        tallies = await store.tally(Search(kind, All(), SECTOR), "event.dataset")
        counts |= {dataset: tally.number for dataset, tally in tallies.items()}
    return counts


def _print(result: Result) -> None:
    console = Console()
    if result.alerts:
        rows = [msgspec.to_builtins(alert) for alert in result.alerts]
        tables.show(console, tables.alerts(rows, roomy=tables.is_roomy(console)))
    events = ", ".join(f"{number:,} {dataset}" for dataset, number in sorted(result.events.items()))
    sys.stdout.write(f"{len(result.alerts):,} alerts; stored: {events or 'nothing'}\n")


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no network: {error}") from error
