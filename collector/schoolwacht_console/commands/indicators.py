"""``schoolwacht indicators``: list, show, add, import."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.console import Console

from schoolwacht.command import say
from schoolwacht.nest import nest
from schoolwacht_collector.indicators import COLUMNS, CONFIDENCES, FORMATS, load_indicators
from schoolwacht_collector.records import Indicator
from schoolwacht_console import tables
from schoolwacht_console.client import Client, segment
from schoolwacht_console.commands.frame import (
    DONE,
    PROGRAM,
    REFUSED,
    WRONG_USE,
    command,
    limit,
    login_name,
    print_json,
    show,
)
from schoolwacht_console.inert import inert
from schoolwacht_console.moments import iso

#: Indicators that one request carries; a longer file is sent in parts.
_IMPORT_AT_ONCE = 2000


def add(commands: Any) -> None:
    """Declare it."""
    group = commands.add_parser("indicators", help="list, add and import indicators (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = command(
        actions, "list", _list_indicators, "list indicators", example="indicators --query threat.indicator.type:domain"
    )
    listing.add_argument("--query", metavar="QUERY", help="a query in Lucene syntax")
    listing.add_argument("--limit", metavar="N", type=limit, default=100, help="at most so many (default: 100)")
    add = command(actions, "add", _add_indicator, "add indicators", example="indicators add 203.0.113.66 evil.example")
    add.add_argument("values", metavar="VALUE", nargs="+")
    add.add_argument("--type", help="what it is compared with; without it the value's own form decides")
    add.add_argument("--description", default="", help="what it is, for whoever sees the alert")
    add.add_argument("--provider", default="cert", help="who says so (default: cert)")
    add.add_argument("--confidence", choices=CONFIDENCES, default="High")
    add.add_argument("--tlp", default="AMBER", help="CLEAR, GREEN, AMBER, AMBER+STRICT or RED (default: AMBER)")
    add.add_argument("--valid-until", metavar="TIME", help="when it stops to match (UTC)")
    shown = command(
        actions, "show", _show_indicator, "one indicator, and where it was seen", example="indicators show ID"
    )
    shown.add_argument("id", metavar="ID")
    importing = command(
        actions, "import", _import_indicators, "import a file of indicators", example="indicators import list.csv"
    )
    importing.add_argument("file", metavar="FILE", type=Path, help="a file in one of the formats of --format")
    importing.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="; ".join(f"{name}: {known.summary}" for name, known in FORMATS.items())
        + "; without it the file's beginning shows which",
    )
    importing.add_argument("--provider", default="", help="who says so, where the file does not (default: cert)")
    importing.add_argument("--confidence", choices=CONFIDENCES, default="", help="where the file says none")
    importing.add_argument("--tlp", default="", help="where the file says none (default: AMBER)")
    importing.add_argument("--valid-until", metavar="TIME", default="", help="where the file says none (UTC)")
    for made in (add, importing):
        made.add_argument(
            "--force",
            action="store_true",
            help="keep also what a check speaks against (warning lists, own names, seen at many schools)",
        )
        made.add_argument("--reason", metavar="TEXT", default="", help="why it is forced; kept with the indicators")


def _list_indicators(arguments: argparse.Namespace) -> int:
    rows = Client(arguments.url).pages(
        "/indicators", {"q": arguments.query}, "indicators", limit=arguments.limit, beside="sightings"
    )
    return show(arguments, rows, tables.indicators)


def _show_indicator(arguments: argparse.Namespace) -> int:
    story = Client(arguments.url).get(f"/indicators/{segment(arguments.id)}")
    if arguments.json:
        print_json({**story, "indicator": nest(story["indicator"])})
        return DONE
    screen = Console()
    seen = {f"sightings.{name}": value for name, value in story["sightings"].items()}
    tables.show(screen, tables.facts({**story["indicator"], **seen}))
    if story["schools"]:
        tables.show(screen, tables.sightings(story["schools"]))
    return DONE


def _add_indicator(arguments: argparse.Namespace) -> int:
    common = {name: getattr(arguments, name) or "" for name in COLUMNS if name != "value" and hasattr(arguments, name)}
    wanted = [{"value": value, **common} for value in arguments.values]
    answer = Client(arguments.url).post("/indicators", {"indicators": wanted, **_forced(arguments)})
    code = show(arguments, answer["indicators"], tables.indicators) if answer["indicators"] else DONE
    return REFUSED if _say_refused(answer) else code


def _import_indicators(arguments: argparse.Namespace) -> int:
    given = {
        name: value for name in ("provider", "confidence", "tlp", "valid_until") if (value := getattr(arguments, name))
    }
    found, faults = load_indicators(arguments.file, format=arguments.format, given=given)
    for fault in faults:
        say(PROGRAM, inert(str(fault)))
    client = Client(arguments.url)
    refused = 0
    for start in range(0, len(found), _IMPORT_AT_ONCE):
        some = [_columns(each) for each in found[start : start + _IMPORT_AT_ONCE]]
        refused += _say_refused(client.post("/indicators", {"indicators": some, **_forced(arguments)}))
    kept = len(found) - refused
    if arguments.json:
        print_json({"imported": kept, "refused": refused, "faults": len(faults)})
    else:
        sys.stdout.write(f"{kept:,} indicators imported, {refused:,} refused, {len(faults):,} lines left out\n")
    return WRONG_USE if faults else REFUSED if refused else DONE


def _forced(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"force": arguments.force, "reason": arguments.reason, "by": login_name()}


def _say_refused(answer: Mapping[str, Any]) -> int:
    """Name on stderr what a check spoke against; how many that were."""
    for each in answer["refused"]:
        say(PROGRAM, inert(f"{each['type']} {each['value']} is refused: {each['reason']}; --force --reason keeps it"))
    return len(answer["refused"])


def _columns(indicator: Indicator) -> dict[str, str]:
    values = structs.asdict(indicator)
    for name in ("valid_from", "valid_until"):
        if values[name] is not None:
            values[name] = iso(values[name])
    return {name: str(values[name]) for name in COLUMNS if values[name]}
