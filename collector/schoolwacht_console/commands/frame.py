"""What the commands of the analysts have in common: how one is declared, how it prints, how it ends."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from schoolwacht.nest import nest
from schoolwacht_console import tables
from schoolwacht_console.client import DEFAULT_URL
from schoolwacht_console.moments import iso, moment, span

URL_VARIABLE = "SCHOOLWACHT_URL"
PROGRAM = "schoolwacht"
DONE, REFUSED, WRONG_USE, UNREACHABLE, STOPPED = 0, 1, 2, 3, 143
EXIT_CODES = """\
exit codes:
  0    done (also if nothing was found)
  1    the collector refused, there is no such alert, or the output cannot be written
  2    wrong use: an option, a query, a time or a file that cannot be understood
  3    nothing answers where the collector should be
  130  interrupted (143: by SIGTERM)
"""
Run = Callable[[argparse.Namespace], int]


def command(commands: Any, name: str, run: Run, summary: str, *, example: str) -> argparse.ArgumentParser:
    """A command that asks the collector: its help, ``--url``, ``--json``, and what it runs."""
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  schoolwacht {example}\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--url",
        default=os.environ.get(URL_VARIABLE, DEFAULT_URL),
        help=f"address of the console (environment: {URL_VARIABLE}; default: {DEFAULT_URL})",
    )
    made.add_argument("--json", action="store_true", help="JSON lines instead of a table")
    made.set_defaults(run=run)
    return made


def add_window(command: argparse.ArgumentParser) -> None:
    """The options for a span of time, and how many rows at most."""
    command.add_argument("--last", metavar="SPAN", help="the last 90s, 15m, 24h, 7d, 2w")
    command.add_argument("--since", metavar="TIME", help="from this moment on, such as 2026-09-01T08:30 (UTC)")
    command.add_argument("--until", metavar="TIME", help="before this moment")
    command.add_argument("--limit", metavar="N", type=limit, default=100, help="at most so many (default: 100)")


def limit(text: str) -> int:
    """A number of rows, as an argument of argparse."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def window(arguments: argparse.Namespace) -> dict[str, object]:
    """The span of time that was asked for, as parameters of the API."""
    return {"since": arguments.since, "until": arguments.until, "last": arguments.last}


def show(
    arguments: argparse.Namespace,
    rows: Iterable[Mapping[str, Any]],
    made: Callable[[Iterable[Mapping[str, Any]]], Table],
) -> int:
    """Print rows as a table, or as JSON lines. The exit code."""
    if arguments.json:
        for row in rows:
            print_json(nest(row))
        return DONE
    found = list(rows)
    if found:
        tables.show(Console(), made(found))
    else:
        sys.stderr.write("nothing found\n")
    return DONE


def print_json(value: object) -> None:
    """One JSON line. ASCII only: what the network says stays inert on a terminal."""
    sys.stdout.write(json.dumps(value, separators=(",", ":")) + "\n")


def login_name() -> str:
    """The name of who runs the command; empty where that cannot be known."""
    try:
        return getpass.getuser()[:64]
    except (OSError, KeyError):
        return ""


def until_of(arguments: argparse.Namespace) -> str:
    """The moment that ``--for`` or ``--until`` names, in ISO 8601. Raises QueryError naming the option."""
    if arguments.term:
        return iso(datetime.now(UTC) + span(arguments.term, field="--for"))
    return iso(moment(arguments.until, field="--until"))
