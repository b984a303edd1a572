"""The command ``schoolwacht-agent``: so far captures to events and signals, printed or sent to a collector."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from schoolwacht.derive import derive
from schoolwacht.errors import CaptureError, SchoolwachtError
from schoolwacht.event import Dataset, Event
from schoolwacht.nest import nest
from schoolwacht_agent.behave import BehaveSettings, Behaviour
from schoolwacht_agent.config import DEFAULT_HOME, EngineName, Settings, SourceTable, key, load
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.sources import choose
from schoolwacht_agent.spool import Reader, SetAside, Writer
from schoolwacht_agent.uplink import Uplink

_DONE, _FAILED, _BAD_INPUT, _INTERRUPTED = 0, 1, 2, 130
_EPILOG = """\
examples:
  schoolwacht-agent replay capture.pcap --json
  schoolwacht-agent replay capture.pcap --send --config agent.toml
  schoolwacht-agent replay monday.pcapng tuesday.pcap.zst --home 10.21.0.0/16 --signals

exit codes:
  0    every capture was read to its end
  1    no engine can run on this machine, or the configuration, key or spool is at fault
  2    wrong use, or a capture that is truncated, empty, unreadable or none; the others were still read
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = parser().parse_args(argv)
    try:
        return _replay(arguments)
    except SchoolwachtError as error:
        print(f"schoolwacht-agent: {error}", file=sys.stderr)
        return _FAILED
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain about it at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DONE
    except KeyboardInterrupt:
        return _INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="schoolwacht-agent",
        description="The Schoolwacht agent.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"schoolwacht-agent {version('schoolwacht')}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    replay = commands.add_parser(
        "replay",
        help="turn capture files into events and signals",
        description="Print the events and signals of capture files.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE", help="pcap or pcapng, also .zst or .gz")
    replay.add_argument("--json", action="store_true", help="one nested ECS object a line instead of a short line")
    replay.add_argument("--signals", action="store_true", help="print only signals")
    replay.add_argument(
        "--engine", type=EngineName, choices=list(EngineName), default=EngineName.AUTO, help="default: auto"
    )
    replay.add_argument(
        "--home",
        action="append",
        metavar="NET",
        help="a network of the school; default: agent.home of the configuration, or the private ranges",
    )
    replay.add_argument(
        "--send", action="store_true", help="deliver through spool and uplink instead of printing; needs --config"
    )
    replay.add_argument("--config", type=Path, metavar="FILE", help="agent.toml, for --send")
    return made


def _replay(arguments: argparse.Namespace) -> int:
    if arguments.send and arguments.config is None:
        print("schoolwacht-agent: --send needs --config FILE, which names agent and collectors", file=sys.stderr)
        return _BAD_INPUT
    settings = load(arguments.config) if arguments.config is not None else None
    source = msgspec.structs.replace(settings.source if settings else SourceTable(), engine=arguments.engine)
    homes = _homes(arguments.home or (settings.agent.home if settings else None))
    if homes is None:
        return _BAD_INPUT
    if arguments.send and settings is not None:
        return _send(arguments.captures, source, homes, settings)

    def show(events: list[Event]) -> None:
        for event in events:
            if event.event_dataset is Dataset.SIGNAL or not arguments.signals:
                print(_json(event) if arguments.json else _line(event))

    return _read(arguments.captures, source, homes, show)


def _send(captures: Sequence[Path], source: SourceTable, homes: Homes, settings: Settings) -> int:
    """Keep everything in the spool, then deliver until it is empty."""
    secret = key(settings)
    if not settings.uplink.collectors:
        print("schoolwacht-agent: uplink.collectors: names no collector to send to", file=sys.stderr)
        return _FAILED
    state = Path(settings.agent.state)
    spool = state / "spool"
    with Writer(
        spool, max_bytes=settings.spool.max_bytes, max_age_seconds=settings.spool.max_age_hours * 3600.0
    ) as writer:
        result = _read(captures, source, homes, lambda events: _keep(writer, events))
    with Reader(spool) as reader:
        aside = SetAside(spool / "rejected", settings.spool.rejected_max_bytes)
        uplink = Uplink(reader, aside, settings.uplink, secret)
        asyncio.run(uplink.drain())
    print(f"delivered {uplink.delivered}, rejected {uplink.rejected}", file=sys.stderr)
    return result


def _keep(writer: Writer, events: list[Event]) -> None:
    writer.append(events, b"")


def _read(captures: Sequence[Path], source: SourceTable, homes: Homes, take: Callable[[list[Event]], None]) -> int:
    _, engine = choose(source)
    result = _DONE
    for capture in captures:
        behaviour = Behaviour(BehaveSettings())
        try:
            for events in engine.offline(capture, source).read():
                take(list(_judged(events, homes, behaviour)))
        except CaptureError as error:
            print(f"schoolwacht-agent: {error}", file=sys.stderr)
            result = _BAD_INPUT
    return result


def _homes(networks: Sequence[str] | None) -> Homes | None:
    try:
        return Homes(networks or DEFAULT_HOME)
    except ValueError as error:
        print(f"schoolwacht-agent: --home: {error}", file=sys.stderr)
        return None


def _judged(events: list[Event], homes: Homes, behaviour: Behaviour) -> Iterator[Event]:
    for event in events:
        homes.direct(event)
    yield from behaviour.judge(events)


def _json(event: Event) -> str:
    derive(event)
    row = msgspec.json.decode(msgspec.json.encode(event))
    return msgspec.json.encode(nest(row)).decode()


def _line(event: Event) -> str:
    time = event.timestamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ends = f"{event.source_ip or '-'} > {event.destination_ip or '-'}"
    what = event.message or event.dns_question_name or event.tls_client_server_name or event.url_full or ""
    return (
        f"{time} {event.event_dataset.value:8} {ends} {event.rule_id or ''} {what}".rstrip()
        .encode("unicode_escape")
        .decode()
    )


if __name__ == "__main__":
    sys.exit(main())
