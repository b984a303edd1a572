"""``schoolwacht agents``: list them, show their ledgers, accept what is missing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from schoolwacht_console import tables
from schoolwacht_console.client import Client, segment
from schoolwacht_console.commands.frame import DONE, command, limit, login_name, print_json, show


def add(commands: Any) -> None:
    """Declare it."""
    group = commands.add_parser("agents", help="list agents, show their ledgers (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    made = command(actions, "list", _list_agents, "list agents and their counters", example="agents --json")
    made.add_argument("--query", metavar="QUERY", help="a query in Lucene syntax, such as 'organization.id:41001'")
    made.add_argument("--limit", metavar="N", type=limit, default=1000, help="at most so many (default: 1000)")
    shown = command(
        actions, "show", _show_ledger, "an agent's ledger: what became of its events, day by day",
        example="agents show gw-00ab00",
    )  # fmt: skip
    shown.add_argument("id", metavar="NAME")
    accept = command(
        actions, "accept", _accept_ledger, "take what is missing in an agent's ledger as looked into",
        example="agents accept gw-00ab00 --reason 'its disk was replaced'",
    )  # fmt: skip
    accept.add_argument("id", metavar="NAME")
    accept.add_argument("--reason", metavar="TEXT", required=True, help="kept with the ledger")


def _list_agents(arguments: argparse.Namespace) -> int:
    rows = Client(arguments.url).pages("/agents", {"q": arguments.query}, "agents", limit=arguments.limit)
    return show(arguments, rows, tables.agents)


def _show_ledger(arguments: argparse.Namespace) -> int:
    return _print_ledger(arguments, Client(arguments.url).get(f"/agents/{segment(arguments.id)}/ledger"))


def _accept_ledger(arguments: argparse.Namespace) -> int:
    body = {"reason": arguments.reason, "by": login_name()}
    return _print_ledger(arguments, Client(arguments.url).post(f"/agents/{segment(arguments.id)}/ledger/accept", body))


def _print_ledger(arguments: argparse.Namespace, ledger: Mapping[str, Any]) -> int:
    if arguments.json:
        print_json(ledger)
        return DONE
    sys.stdout.write("\n".join(tables.ledger_lines(ledger)) + "\n")
    if ledger["days"]:
        tables.show(Console(), tables.ledger(ledger["days"]))
    return DONE
