"""``schoolwacht seen``."""

from __future__ import annotations

import argparse
from typing import Any

from schoolwacht_collector.prevalence.ask import KINDS
from schoolwacht_console import tables
from schoolwacht_console.client import Client
from schoolwacht_console.commands.frame import command, show


def add(commands: Any) -> None:
    """Declare it."""
    made = command(
        commands,
        "seen",
        _seen,
        "since when, and at how many schools and boards, a value is known",
        example="seen evil.example",
    )
    made.add_argument("value", metavar="VALUE", help="a domain, public address, JA3, JA4, certificate or user agent")
    made.add_argument("--kind", choices=KINDS, help="only as this")


def _seen(arguments: argparse.Namespace) -> int:
    answer = Client(arguments.url).get("/seen", {"value": arguments.value, "kind": arguments.kind})
    return show(arguments, answer["seen"], tables.seen)
