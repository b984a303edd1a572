"""``schoolwacht``: the command of the people who work with what was seen.

Most of it is a thin client of the API; ``analyse`` and ``demo`` bring a collector of their own.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.console import Console
from rich.table import Table

from schoolwacht.command import perform, say
from schoolwacht.errors import SchoolwachtError
from schoolwacht.nest import nest
from schoolwacht_collector.indicators import COLUMNS, CONFIDENCES, FORMATS, load_indicators
from schoolwacht_collector.prevalence.ask import KINDS
from schoolwacht_collector.records import Indicator
from schoolwacht_console import analyse, tables
from schoolwacht_console.client import DEFAULT_URL, Client, RefusedError, UnreachableError, segment
from schoolwacht_console.demo import command as demo
from schoolwacht_console.hush_command import Commands
from schoolwacht_console.inert import inert
from schoolwacht_console.line import Stopped
from schoolwacht_console.moments import iso
from schoolwacht_console.rules import command as rules

URL_VARIABLE = "SCHOOLWACHT_URL"
PROGRAM = "schoolwacht"
DONE, REFUSED, WRONG_USE, UNREACHABLE, STOPPED = 0, 1, 2, 3, 143
#: Statuses that say the request itself was wrong, not what it asked for.
_WRONG_USE_STATUSES = frozenset({0, 400, 413, 415, 422})
_EXIT_CODES = """\
exit codes:
  0    done (also if nothing was found)
  1    the collector refused, there is no such alert, or the output cannot be written
  2    wrong use: an option, a query, a time or a file that cannot be understood
  3    nothing answers where the collector should be
  130  interrupted (143: by SIGTERM)
"""
_EXAMPLES = """\
examples:
  schoolwacht search 'dns.question.name:*.example AND school.location:00AA01' --last 24h
  schoolwacht alerts --severity critical
  schoolwacht alerts close 3f2a… --reason 'test by our own administrator'
  schoolwacht indicators add evil.example --description 'campaign of September'
  schoolwacht analyse capture.pcap --home 10.0.0.0/8
  schoolwacht demo
"""
#: Indicators that one request carries; a longer file is sent in parts.
_IMPORT_AT_ONCE = 2000
_Run = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return perform(PROGRAM, lambda: _work(list(sys.argv[1:] if argv is None else argv)))


def _work(argv: list[str]) -> int:
    arguments = parser().parse_args(_with_default(argv))
    run: _Run = arguments.run
    try:
        return run(arguments)
    except Stopped:
        return STOPPED
    except UnreachableError as error:
        return _fail(error, UNREACHABLE)
    except RefusedError as error:
        return _fail(error, WRONG_USE if error.status in _WRONG_USE_STATUSES else REFUSED)
    except SchoolwachtError as error:
        return _fail(error, WRONG_USE)


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    made = _parser(argparse.ArgumentParser, prog="schoolwacht", description=_DESCRIPTION)
    made.add_argument("--version", action="version", version=f"schoolwacht {version('schoolwacht')}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    _add_search(commands)
    _add_alerts(commands)
    _add_agents(commands)
    _add_seen(commands)
    _add_indicators(commands)
    more = Commands(_command, _print, print_json, _login_name, _limit)
    more.add_tuning(commands)
    more.add_tests(commands)
    for name, module in (("analyse", analyse), ("demo", demo), ("rules", rules)):
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return made


_DESCRIPTION = "Search what was seen, triage alerts, look after indicators; analyse captures; see a demo."


def _parser(make: Callable[..., argparse.ArgumentParser], **given: Any) -> argparse.ArgumentParser:
    return make(formatter_class=argparse.RawDescriptionHelpFormatter, epilog=f"{_EXAMPLES}\n{_EXIT_CODES}", **given)


def _with_default(argv: list[str]) -> list[str]:
    """``schoolwacht alerts --severity high`` is ``schoolwacht alerts list --severity high``."""
    if argv[:1] in (["agents"], ["alerts"], ["indicators"], ["tuning"], ["tests"]):
        rest = argv[1:]
        if not rest or (rest[0].startswith("-") and rest[0] not in {"-h", "--help"}):
            return [argv[0], "list", *rest]
    return argv


def _command(commands: Any, name: str, run: _Run, summary: str, *, example: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  schoolwacht {example}\n\n{_EXIT_CODES}",
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


def _add_window(command: argparse.ArgumentParser) -> None:
    command.add_argument("--last", metavar="SPAN", help="the last 90s, 15m, 24h, 7d, 2w")
    command.add_argument("--since", metavar="TIME", help="from this moment on, such as 2026-09-01T08:30 (UTC)")
    command.add_argument("--until", metavar="TIME", help="before this moment")
    command.add_argument("--limit", metavar="N", type=_limit, default=100, help="at most so many (default: 100)")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _add_search(commands: Any) -> None:
    made = _command(
        commands,
        "search",
        _search,
        "search events (with --kind signal or alert those) with a query in Lucene syntax",
        example="search 'tls.client.server_name:*.example' --last 7d --json",
    )
    made.add_argument("query", metavar="QUERY", help="such as 'source.ip:10.1.2.3 AND NOT dns.question.type:A'")
    made.add_argument("--kind", choices=("event", "signal", "alert", "indicator"), default="event")
    _add_window(made)


def _add_alerts(commands: Any) -> None:
    group = commands.add_parser("alerts", help="list, show, acknowledge and close alerts (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = _command(actions, "list", _list_alerts, "list alerts, gravest first", example="alerts --state all")
    listing.add_argument("--state", choices=("open", "acknowledged", "closed", "all"), default="open")
    listing.add_argument("--severity", choices=tuple(tables.SEVERITY_STYLES))
    listing.add_argument("--school", metavar="SCHOOL", help="a location such as 00AA00, or part of a school's name")
    listing.add_argument("--board", metavar="BOARD", help="a board's number")
    listing.add_argument("--query", metavar="QUERY", help="a query in Lucene syntax, such as 'rule.id:D24'")
    listing.add_argument("--order", choices=("severity", "time"), default="severity")
    _add_window(listing)
    shown = _command(actions, "show", _show_alert, "one alert with its signals and traffic", example="alerts show ID")
    shown.add_argument("id", metavar="ID")
    for name, summary, needed in (
        ("ack", "acknowledge alerts: somebody is looking at them", False),
        ("close", "close alerts, with the reason", True),
    ):
        change = _command(actions, name, _change_state, summary, example=f"alerts {name} ID --reason 'known scanner'")
        change.add_argument("ids", metavar="ID", nargs="+")
        change.add_argument("--reason", metavar="TEXT", default="", required=needed, help="kept with the alert")
        change.set_defaults(state="acknowledged" if name == "ack" else "closed")
    Commands(_command, _print, print_json, _login_name, _limit).add_snooze(actions)


def _add_agents(commands: Any) -> None:
    group = commands.add_parser("agents", help="list agents, show their ledgers (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    made = _command(actions, "list", _list_agents, "list agents and their counters", example="agents --json")
    made.add_argument("--query", metavar="QUERY", help="a query in Lucene syntax, such as 'organization.id:41001'")
    made.add_argument("--limit", metavar="N", type=_limit, default=1000, help="at most so many (default: 1000)")
    shown = _command(
        actions, "show", _show_ledger, "an agent's ledger: what became of its events, day by day",
        example="agents show gw-00ab00",
    )  # fmt: skip
    shown.add_argument("id", metavar="NAME")
    accept = _command(
        actions, "accept", _accept_ledger, "take what is missing in an agent's ledger as looked into",
        example="agents accept gw-00ab00 --reason 'its disk was replaced'",
    )  # fmt: skip
    accept.add_argument("id", metavar="NAME")
    accept.add_argument("--reason", metavar="TEXT", required=True, help="kept with the ledger")


def _add_seen(commands: Any) -> None:
    made = _command(
        commands,
        "seen",
        _seen,
        "since when, and at how many schools and boards, a value is known",
        example="seen evil.example",
    )
    made.add_argument("value", metavar="VALUE", help="a domain, public address, JA3, JA4, certificate or user agent")
    made.add_argument("--kind", choices=KINDS, help="only as this")


def _add_indicators(commands: Any) -> None:
    group = commands.add_parser("indicators", help="list, add and import indicators (list is the default)")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = _command(
        actions, "list", _list_indicators, "list indicators", example="indicators --query threat.indicator.type:domain"
    )
    listing.add_argument("--query", metavar="QUERY", help="a query in Lucene syntax")
    listing.add_argument("--limit", metavar="N", type=_limit, default=100, help="at most so many (default: 100)")
    add = _command(actions, "add", _add_indicator, "add indicators", example="indicators add 203.0.113.66 evil.example")
    add.add_argument("values", metavar="VALUE", nargs="+")
    add.add_argument("--type", help="what it is compared with; without it the value's own form decides")
    add.add_argument("--description", default="", help="what it is, for whoever sees the alert")
    add.add_argument("--provider", default="cert", help="who says so (default: cert)")
    add.add_argument("--confidence", choices=CONFIDENCES, default="High")
    add.add_argument("--tlp", default="AMBER", help="CLEAR, GREEN, AMBER, AMBER+STRICT or RED (default: AMBER)")
    add.add_argument("--valid-until", metavar="TIME", help="when it stops to match (UTC)")
    shown = _command(
        actions, "show", _show_indicator, "one indicator, and where it was seen", example="indicators show ID"
    )
    shown.add_argument("id", metavar="ID")
    importing = _command(
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
    for command in (add, importing):
        command.add_argument(
            "--force",
            action="store_true",
            help="keep also what a check speaks against (warning lists, own names, seen at many schools)",
        )
        command.add_argument("--reason", metavar="TEXT", default="", help="why it is forced; kept with the indicators")


def _search(arguments: argparse.Namespace) -> int:
    rows = Client(arguments.url).pages(
        "/search", {"q": arguments.query, "kind": arguments.kind, **_window(arguments)}, "rows", limit=arguments.limit
    )
    made = {"alert": tables.triage, "indicator": tables.indicators}.get(arguments.kind, tables.events)
    return _print(arguments, rows, made)


def _list_alerts(arguments: argparse.Namespace) -> int:
    parameters = {
        "state": None if arguments.state == "all" else arguments.state,
        "severity": arguments.severity,
        "school": arguments.school,
        "board": arguments.board,
        "order": arguments.order,
        "q": arguments.query,
        **_window(arguments),
    }
    rows = Client(arguments.url).pages("/alerts", parameters, "alerts", limit=arguments.limit)
    return _print(arguments, rows, tables.triage)


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
            {"state": arguments.state, "reason": arguments.reason, "by": _login_name()},
        )
        for each in arguments.ids
    ]
    return _print(arguments, changed, tables.triage)


def _seen(arguments: argparse.Namespace) -> int:
    answer = Client(arguments.url).get("/seen", {"value": arguments.value, "kind": arguments.kind})
    return _print(arguments, answer["seen"], tables.seen)


def _list_agents(arguments: argparse.Namespace) -> int:
    rows = Client(arguments.url).pages("/agents", {"q": arguments.query}, "agents", limit=arguments.limit)
    return _print(arguments, rows, tables.agents)


def _show_ledger(arguments: argparse.Namespace) -> int:
    return _print_ledger(arguments, Client(arguments.url).get(f"/agents/{segment(arguments.id)}/ledger"))


def _accept_ledger(arguments: argparse.Namespace) -> int:
    body = {"reason": arguments.reason, "by": _login_name()}
    return _print_ledger(arguments, Client(arguments.url).post(f"/agents/{segment(arguments.id)}/ledger/accept", body))


def _print_ledger(arguments: argparse.Namespace, ledger: Mapping[str, Any]) -> int:
    if arguments.json:
        print_json(ledger)
        return DONE
    sys.stdout.write("\n".join(tables.ledger_lines(ledger)) + "\n")
    if ledger["days"]:
        tables.show(Console(), tables.ledger(ledger["days"]))
    return DONE


def _list_indicators(arguments: argparse.Namespace) -> int:
    rows = Client(arguments.url).pages(
        "/indicators", {"q": arguments.query}, "indicators", limit=arguments.limit, beside="sightings"
    )
    return _print(arguments, rows, tables.indicators)


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
    code = _print(arguments, answer["indicators"], tables.indicators) if answer["indicators"] else DONE
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
    return {"force": arguments.force, "reason": arguments.reason, "by": _login_name()}


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


def _window(arguments: argparse.Namespace) -> dict[str, object]:
    return {"since": arguments.since, "until": arguments.until, "last": arguments.last}


def _print(
    arguments: argparse.Namespace,
    rows: Iterable[Mapping[str, Any]],
    made: Callable[[Iterable[Mapping[str, Any]]], Table],
) -> int:
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


def _login_name() -> str:
    try:
        return getpass.getuser()[:64]
    except (OSError, KeyError):
        return ""


def _fail(error: SchoolwachtError, code: int) -> int:
    say(PROGRAM, inert(str(error)))
    return code


if __name__ == "__main__":
    sys.exit(main())
