"""``schoolwacht tuning``, ``tests`` and ``alerts snooze``: clients of the API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from schoolwacht_console import tables
from schoolwacht_console.client import Client, segment
from schoolwacht_console.moments import iso, moment, span
from schoolwacht_console.rendering import clock
from schoolwacht_console.tables import Column, table

Print = Callable[[argparse.Namespace, Iterable[Mapping[str, Any]], Callable[[Iterable[Mapping[str, Any]]], Any]], int]
_CRITERIA = ("rule", "school", "board", "entity", "network", "destination")


class Commands:
    """The commands, given what all of the program's commands share.

    Args:
        command: makes a sub-command: parent, name, what it runs, summary, ``example``.
        show: prints rows as a table or as JSON lines.
        print_json: prints one JSON line.
        who: the name of who runs the command.
        limit: reads a number of rows.
    """

    def __init__(
        self,
        command: Callable[..., argparse.ArgumentParser],
        show: Print,
        print_json: Callable[[object], None],
        who: Callable[[], str],
        limit: Callable[[str], int],
    ) -> None:
        self._command = command
        self._show = show
        self._print_json = print_json
        self._who = who
        self._limit = limit

    def add_snooze(self, actions: Any) -> None:
        """``alerts snooze``."""
        made = self._command(
            actions,
            "snooze",
            self._snooze,
            "tell nobody of alerts for a while",
            example="alerts snooze ID --for 3d --reason 'known'",
        )
        made.add_argument("ids", metavar="ID", nargs="+")
        when = made.add_mutually_exclusive_group(required=True)
        when.add_argument("--for", dest="term", metavar="SPAN", help="for 8h, 3d, 2w: at most 31 days")
        when.add_argument("--until", metavar="TIME", help="until this moment (UTC)")
        when.add_argument("--wake", action="store_true", help="end the snooze now")
        made.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the audit")

    def add_tuning(self, commands: Any) -> None:
        """``tuning list | add | end``."""
        group = commands.add_parser("tuning", help="rules that hide alerts: list, add, end (list is the default)")
        actions = group.add_subparsers(metavar="ACTION", required=True)
        listing = self._command(actions, "list", self._list, "list tuning rules", example="tuning list --all")
        listing.add_argument("--all", action="store_true", help="also those that were ended")
        listing.add_argument(
            "--limit", metavar="N", type=self._limit, default=100, help="at most so many (default: 100)"
        )
        add = self._command(
            actions,
            "add",
            self._add,
            "hide alerts by a rule: they are kept and counted, and nobody is told",
            example="tuning add --rule D02 --school 00AA00 --entity 10.1.0.9 --for 90d --reason 'print server'",
        )
        for name, what in (
            ("rule", "a detection such as D24, or a rule's id"),
            ("school", "a location such as 00AA00"),
            ("board", "a board's number"),
            ("entity", "the host that the alert is about"),
            ("network", "a network that the entity lies in"),
            ("destination", "a network that all destinations of the alert lie in"),
        ):
            add.add_argument(f"--{name}", metavar=name.upper(), help=what)
        when = add.add_mutually_exclusive_group(required=True)
        when.add_argument("--for", dest="term", metavar="SPAN", help="for 8h, 30d, 52w: at most a year")
        when.add_argument("--until", metavar="TIME", help="until this moment (UTC)")
        add.add_argument("--reason", metavar="TEXT", required=True, help="why; kept with the rule")
        add.add_argument(
            "--preview", action="store_true", help="only say how many alerts of the last 30 days it would have hidden"
        )
        end = self._command(
            actions, "end", self._end, "end a tuning rule", example="tuning end ID --reason 'host replaced'"
        )
        end.add_argument("id", metavar="ID")
        end.add_argument("--reason", metavar="TEXT", required=True, help="why; kept with the rule")

    def add_tests(self, commands: Any) -> None:
        """``tests list | add | report``."""
        group = commands.add_parser("tests", help="registered tests: list, add, report (list is the default)")
        actions = group.add_subparsers(metavar="ACTION", required=True)
        listing = self._command(actions, "list", self._list_tests, "list registered tests", example="tests list")
        listing.add_argument(
            "--limit", metavar="N", type=self._limit, default=100, help="at most so many (default: 100)"
        )
        add = self._command(
            actions,
            "add",
            self._add_test,
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
        report = self._command(
            actions,
            "report",
            self._report,
            "what a test set off, and what it should have and did not",
            example="tests report ID",
        )
        report.add_argument("id", metavar="ID")

    def _snooze(self, arguments: argparse.Namespace) -> int:
        until = None if arguments.wake else _until(arguments)
        body = {"until": until, "reason": arguments.reason, "by": self._who()}
        client = Client(arguments.url)
        changed = [client.post(f"/alerts/{segment(each)}/snooze", body) for each in arguments.ids]
        return self._show(arguments, changed, tables.triage)

    def _list(self, arguments: argparse.Namespace) -> int:
        parameters = {} if arguments.all else {"in_force": "yes"}
        rows = Client(arguments.url).pages("/tuning", parameters, "tunings", limit=arguments.limit)
        return self._show(arguments, rows, tunings)

    def _add(self, arguments: argparse.Namespace) -> int:
        criteria = {name: value for name in _CRITERIA if (value := getattr(arguments, name))}
        body = {**criteria, "until": _until(arguments), "reason": arguments.reason, "by": self._who()}
        client = Client(arguments.url)
        if not arguments.preview:
            return self._show(arguments, [client.post("/tuning", body)], tunings)
        found = client.post("/tuning/preview", body)
        if arguments.json:
            self._print_json(found)
            return 0
        sys.stdout.write(
            f"{found['hidden']:,} of the {found['alerts']:,} alerts of the last 30 days would have been hidden\n"
        )
        if found["latest"]:
            tables.show(Console(), tables.triage(found["latest"]))
        return 0

    def _end(self, arguments: argparse.Namespace) -> int:
        body = {"reason": arguments.reason, "by": self._who()}
        return self._show(
            arguments, [Client(arguments.url).post(f"/tuning/{segment(arguments.id)}/end", body)], tunings
        )

    def _list_tests(self, arguments: argparse.Namespace) -> int:
        return self._show(arguments, Client(arguments.url).pages("/tests", {}, "tests", limit=arguments.limit), tests)

    def _add_test(self, arguments: argparse.Namespace) -> int:
        body = {
            "name": arguments.name,
            "since": iso(moment(arguments.since, field="--since")),
            "until": iso(moment(arguments.until, field="--until")),
            "sources": arguments.sources,
            "schools": arguments.schools,
            "expected": arguments.expected,
            "by": self._who(),
        }
        return self._show(arguments, [Client(arguments.url).post("/tests", body)], tests)

    def _report(self, arguments: argparse.Namespace) -> int:
        found = Client(arguments.url).get(f"/tests/{segment(arguments.id)}/report")
        if arguments.json:
            self._print_json(found)
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


def tunings(found: Iterable[Mapping[str, Any]]) -> Any:
    """Tuning rules as a table."""
    columns = (
        Column("Id"),
        Column("Hides", wraps=16),
        Column("Until (UTC)"),
        Column("By"),
        Column("Reason", wraps=12),
        Column("State"),
    )
    return table(
        columns,
        (
            (
                row["id"],
                ", ".join(f"{name} {row[f'tuning.{name}']}" for name in _CRITERIA if row.get(f"tuning.{name}")),
                clock(row["tuning.until"]),
                row["tuning.by"],
                row["tuning.reason"],
                _state(row),
            )
            for row in found
        ),
    )


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


def _state(row: Mapping[str, Any]) -> str:
    if row.get("tuning.ended_at"):
        return f"ended by {row['tuning.ended_by']}: {row['tuning.ended_why']}"
    return "in force" if datetime.fromisoformat(row["tuning.until"]) > datetime.now(UTC) else "expired"


def _until(arguments: argparse.Namespace) -> str:
    if arguments.term:
        return iso(datetime.now(UTC) + span(arguments.term, field="--for"))
    return iso(moment(arguments.until, field="--until"))
