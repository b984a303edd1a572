"""``schoolwacht tuning``: rules that hide alerts: list, add, end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from schoolwacht_console import tables
from schoolwacht_console.client import Client, segment
from schoolwacht_console.commands.frame import command, limit, login_name, print_json, show, until_of
from schoolwacht_console.rendering import clock
from schoolwacht_console.tables import Column, table

_CRITERIA = ("rule", "school", "board", "entity", "network", "destination")


def add(commands: Any) -> None:
    """Declare it."""
    group = commands.add_parser("tuning", help="rules that hide alerts: list, add, end (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = command(actions, "list", _list, "list tuning rules", example="tuning list --all")
    listing.add_argument("--all", action="store_true", help="also those that were ended")
    listing.add_argument("--limit", metavar="N", type=limit, default=100, help="at most so many (default: 100)")
    add = command(
        actions,
        "add",
        _add,
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
    end = command(actions, "end", _end, "end a tuning rule", example="tuning end ID --reason 'host replaced'")
    end.add_argument("id", metavar="ID")
    end.add_argument("--reason", metavar="TEXT", required=True, help="why; kept with the rule")


def _list(arguments: argparse.Namespace) -> int:
    parameters = {} if arguments.all else {"in_force": "yes"}
    rows = Client(arguments.url).pages("/tuning", parameters, "tunings", limit=arguments.limit)
    return show(arguments, rows, tunings)


def _add(arguments: argparse.Namespace) -> int:
    criteria = {name: value for name in _CRITERIA if (value := getattr(arguments, name))}
    body = {**criteria, "until": until_of(arguments), "reason": arguments.reason, "by": login_name()}
    client = Client(arguments.url)
    if not arguments.preview:
        return show(arguments, [client.post("/tuning", body)], tunings)
    found = client.post("/tuning/preview", body)
    if arguments.json:
        print_json(found)
        return 0
    sys.stdout.write(
        f"{found['hidden']:,} of the {found['alerts']:,} alerts of the last 30 days would have been hidden\n"
    )
    if found["latest"]:
        tables.show(Console(), tables.triage(found["latest"]))
    return 0


def _end(arguments: argparse.Namespace) -> int:
    body = {"reason": arguments.reason, "by": login_name()}
    return show(arguments, [Client(arguments.url).post(f"/tuning/{segment(arguments.id)}/end", body)], tunings)


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


def _state(row: Mapping[str, Any]) -> str:
    if row.get("tuning.ended_at"):
        return f"ended by {row['tuning.ended_by']}: {row['tuning.ended_why']}"
    return "in force" if datetime.fromisoformat(row["tuning.until"]) > datetime.now(UTC) else "expired"
