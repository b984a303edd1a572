"""``schoolwacht alerts``: list, show, acknowledge, close, snooze."""

from __future__ import annotations

import argparse
from typing import Any

from rich.console import Console

from schoolwacht.nest import nest
from schoolwacht_console import tables
from schoolwacht_console.client import Client, segment
from schoolwacht_console.commands.frame import DONE, add_window, command, login_name, print_json, show, until_of, window


def add(commands: Any) -> None:
    """Declare it."""
    group = commands.add_parser("alerts", help="list, show, acknowledge and close alerts (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = command(actions, "list", _list_alerts, "list alerts, gravest first", example="alerts --state all")
    listing.add_argument("--state", choices=("open", "acknowledged", "closed", "all"), default="open")
    listing.add_argument("--severity", choices=tuple(tables.SEVERITY_STYLES))
    listing.add_argument("--school", metavar="SCHOOL", help="a location such as 00AA00, or part of a school's name")
    listing.add_argument("--board", metavar="BOARD", help="a board's number")
    listing.add_argument("--query", metavar="QUERY", help="a query in Lucene syntax, such as 'rule.id:D24'")
    listing.add_argument("--order", choices=("severity", "time"), default="severity")
    add_window(listing)
    shown = command(actions, "show", _show_alert, "one alert with its signals and traffic", example="alerts show ID")
    shown.add_argument("id", metavar="ID")
    for name, summary, needed in (
        ("ack", "acknowledge alerts: somebody is looking at them", False),
        ("close", "close alerts, with the reason", True),
    ):
        change = command(actions, name, _change_state, summary, example=f"alerts {name} ID --reason 'known scanner'")
        change.add_argument("ids", metavar="ID", nargs="+")
        change.add_argument("--reason", metavar="TEXT", default="", required=needed, help="kept with the alert")
        change.set_defaults(state="acknowledged" if name == "ack" else "closed")
    _add_snooze(actions)


def _add_snooze(actions: Any) -> None:
    made = command(
        actions,
        "snooze",
        _snooze,
        "tell nobody of alerts for a while",
        example="alerts snooze ID --for 3d --reason 'known'",
    )
    made.add_argument("ids", metavar="ID", nargs="+")
    when = made.add_mutually_exclusive_group(required=True)
    when.add_argument("--for", dest="term", metavar="SPAN", help="for 8h, 3d, 2w: at most 31 days")
    when.add_argument("--until", metavar="TIME", help="until this moment (UTC)")
    when.add_argument("--wake", action="store_true", help="end the snooze now")
    made.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the audit")


def _list_alerts(arguments: argparse.Namespace) -> int:
    parameters = {
        "state": None if arguments.state == "all" else arguments.state,
        "severity": arguments.severity,
        "school": arguments.school,
        "board": arguments.board,
        "order": arguments.order,
        "q": arguments.query,
        **window(arguments),
    }
    rows = Client(arguments.url).pages("/alerts", parameters, "alerts", limit=arguments.limit)
    return show(arguments, rows, tables.triage)


def _show_alert(arguments: argparse.Namespace) -> int:
    story = Client(arguments.url).get(f"/alerts/{segment(arguments.id)}")
    if arguments.json:
        lists = {name: [nest(row) for row in story[name]] for name in ("signals", "connections", "host")}
        print_json({"alert": nest(story["alert"]), **lists})
        return DONE
    screen = Console()
    tables.show(screen, tables.facts(story["alert"]))
    for name, heading in (
        ("signals", "Signals"),
        ("connections", "The same connections"),
        ("host", "Other traffic of the same host"),
    ):
        if story[name]:
            screen.print(f"\n{heading}", style="bold", highlight=False)
            tables.show(screen, tables.events(story[name]))
    return DONE


def _change_state(arguments: argparse.Namespace) -> int:
    client = Client(arguments.url)
    changed = [
        client.post(
            f"/alerts/{segment(each)}/state",
            {"state": arguments.state, "reason": arguments.reason, "by": login_name()},
        )
        for each in arguments.ids
    ]
    return show(arguments, changed, tables.triage)


def _snooze(arguments: argparse.Namespace) -> int:
    until = None if arguments.wake else until_of(arguments)
    body = {"until": until, "reason": arguments.reason, "by": login_name()}
    client = Client(arguments.url)
    changed = [client.post(f"/alerts/{segment(each)}/snooze", body) for each in arguments.ids]
    return show(arguments, changed, tables.triage)
