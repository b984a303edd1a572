"""``schoolwacht tests``: registered tests: list, add, report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console

from schoolwacht_console import tables
from schoolwacht_console.client import Client, segment
from schoolwacht_console.commands.frame import command, limit, login_name, print_json, show
from schoolwacht_console.moments import iso, moment
from schoolwacht_console.rendering import clock
from schoolwacht_console.tables import Column, table


def add(commands: Any) -> None:
    """Declare it."""
    group = commands.add_parser("tests", help="registered tests: list, add, report (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = command(actions, "list", _list_tests, "list registered tests", example="tests list")
    listing.add_argument("--limit", metavar="N", type=limit, default=100, help="at most so many (default: 100)")
    add = command(
        actions,
        "add",
        _add_test,
        "register a test: what it sets off is marked, and nobody is told",
        example="tests add 'Pentest of autumn' --source 203.0.113.0/28 --since 2026-12-01 --until 2026-12-05",
    )
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--source",
        dest="sources",
        metavar="NET",
        action="append",
        default=[],
        help="where it comes from; repeatable",
    )
    add.add_argument(
        "--school", dest="schools", metavar="SCHOOL", action="append", default=[], help="a location; repeatable"
    )
    add.add_argument(
        "--expect",
        dest="expected",
        metavar="RULE",
        action="append",
        default=[],
        help="a detection that it should set off; repeatable",
    )
    add.add_argument("--since", metavar="TIME", required=True, help="from this moment on (UTC)")
    add.add_argument("--until", metavar="TIME", required=True, help="before this moment (UTC)")
    report = command(
        actions,
        "report",
        _report,
        "what a test set off, and what it should have and did not",
        example="tests report ID",
    )
    report.add_argument("id", metavar="ID")


def _list_tests(arguments: argparse.Namespace) -> int:
    return show(arguments, Client(arguments.url).pages("/tests", {}, "tests", limit=arguments.limit), tests)


def _add_test(arguments: argparse.Namespace) -> int:
    body = {
        "name": arguments.name,
        "since": iso(moment(arguments.since, field="--since")),
        "until": iso(moment(arguments.until, field="--until")),
        "sources": arguments.sources,
        "schools": arguments.schools,
        "expected": arguments.expected,
        "by": login_name(),
    }
    return show(arguments, [Client(arguments.url).post("/tests", body)], tests)


def _report(arguments: argparse.Namespace) -> int:
    found = Client(arguments.url).get(f"/tests/{segment(arguments.id)}/report")
    if arguments.json:
        print_json(found)
        return 0
    when = "" if found["over"] else " (it is not over yet)"
    schools = len({each["school"] for each in found["detected"]})
    sys.stdout.write(
        f"detected: {len(found['detected']):,} at {schools:,} schools; missed: {len(found['missed']):,}{when}\n"
    )
    columns = (
        Column("Result"),
        Column("Rule"),
        Column("School"),
        Column("Signals", right=True),
        Column("First (UTC)"),
        Column("Last (UTC)"),
    )
    rows = [
        (
            "detected",
            row["detection"],
            row["school"],
            f"{row['signals']:,}",
            clock(row["first"]),
            clock(row["last"]),
        )
        for row in found["detected"]
    ]
    rows += [("missed", row["detection"], row["school"] or "everywhere", "", "", "") for row in found["missed"]]
    tables.show(Console(), table(columns, rows))
    return 0


def tests(found: Iterable[Mapping[str, Any]]) -> Any:
    """Registered tests as a table."""
    columns = (
        Column("Id"),
        Column("Name", wraps=12),
        Column("From (UTC)"),
        Column("Until (UTC)"),
        Column("Sources", wraps=12),
        Column("Schools", wraps=8),
        Column("By"),
    )
    return table(
        columns,
        (
            (
                row["id"],
                row["test.name"],
                clock(row["test.since"]),
                clock(row["test.until"]),
                ", ".join(row.get("test.sources", ())) or "any",
                ", ".join(row.get("test.schools", ())) or "all",
                row["test.by"],
            )
            for row in found
        ),
    )
