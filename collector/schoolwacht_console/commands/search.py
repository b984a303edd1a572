"""``schoolwacht search``."""

from __future__ import annotations

import argparse
from typing import Any

from schoolwacht_console import tables
from schoolwacht_console.client import Client
from schoolwacht_console.commands.frame import add_window, command, show, window


def add(commands: Any) -> None:
    """Declare it."""
    made = command(
        commands,
        "search",
        _search,
        "search events (with --kind signal or alert those) with a query in Lucene syntax",
        example="search 'tls.client.server_name:*.example' --last 7d --json",
    )
    made.add_argument("query", metavar="QUERY", help="such as 'source.ip:10.1.2.3 AND NOT dns.question.type:A'")
    made.add_argument("--kind", choices=("event", "signal", "alert", "indicator"), default="event")
    add_window(made)


def _search(arguments: argparse.Namespace) -> int:
    rows = Client(arguments.url).pages(
        "/search", {"q": arguments.query, "kind": arguments.kind, **window(arguments)}, "rows", limit=arguments.limit
    )
    made = {"alert": tables.triage, "indicator": tables.indicators}.get(arguments.kind, tables.events)
    return show(arguments, rows, made)
