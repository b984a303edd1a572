"""The command ``schoolwacht-agent``: run, replay, status, doctor, key, unmask."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path

import msgspec

from schoolwacht.command import DONE, FAILED, INTERRUPTED, WRONG, perform, say
from schoolwacht_agent import app, config, doctor, keyholders, logs, replay, status
from schoolwacht_agent.behave import BehaveSettings
from schoolwacht_agent.config import DEFAULT_HOME, EngineName, LogLevel, Settings, SourceTable
from schoolwacht_agent.detections import left_out, listed
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.evidence import command as evidence
from schoolwacht_agent.evidence.open import open_evidence
from schoolwacht_agent.evidence.recent import Captures
from schoolwacht_agent.indicators.command import accept, describe, load, set_of
from schoolwacht_agent.minimise.open import open_minimise
from schoolwacht_agent.sources import choose
from schoolwacht_agent.standpoint.open import open_standpoint
from schoolwacht_agent.standpoint.settings import StandpointTable

PROGRAM = "schoolwacht-agent"
DEFAULT_CONFIG = Path("/etc/schoolwacht/agent.toml")

_RUN = """\
examples:
  schoolwacht-agent run --config agent.toml
  schoolwacht-agent run --config agent.toml --only forwarder

exit codes:
  0  ended by SIGTERM or SIGINT
  1  the configuration, the key, the engine or the spool is at fault
  2  wrong use
"""
_REPLAY = """\
examples:
  schoolwacht-agent replay capture.pcap --json
  schoolwacht-agent replay monday.pcapng tuesday.pcap.zst --home 10.21.0.0/16 --signals
  schoolwacht-agent replay capture.pcap --json --as-sent --config agent.toml
  schoolwacht-agent replay capture.pcap --send --config agent.toml --as-live --speed 4

exit codes:
  0    every capture was read to its end, and with --send every event was settled
  1    no engine can run here; the configuration, the key or the spool is at fault; or events wait undelivered
  2    wrong use, or a capture that is truncated, empty, unreadable or none; the others were still read
  130  interrupted
"""
_STATUS = """\
examples:
  schoolwacht-agent status
  schoolwacht-agent status --config agent.toml --json

exit codes:
  0  capture and forwarder run and nothing hinders them
  1  one of them does not run or is hindered, or the configuration is at fault
  2  wrong use
"""
_DOCTOR = """\
examples:
  schoolwacht-agent doctor
  schoolwacht-agent doctor --config agent.toml --json

exit codes:
  0  no fault was found (there may be warnings)
  1  at least one fault was found
  2  wrong use
"""
_EVIDENCE = """\
examples:
  schoolwacht-agent evidence list
  schoolwacht-agent evidence show 20261124T091500-0123456789ab
  schoolwacht-agent evidence export 20261124T091500-0123456789ab --to /media/usb

exit codes:
  0  done; what was shown or exported is what was signed
  1  there is no such evidence, or its hash or signature is not right
  2  wrong use
"""
_INDICATORS = """\
examples:
  schoolwacht-agent indicators show --json
  schoolwacht-agent indicators load list.jsonl --config agent.toml
  schoolwacht-agent indicators confirm

A file has one indicator a line, ["domain", "evil.example"], or is a set as the collector gives it. What is loaded is
used within a second, without a restart; the next fetch replaces it, unless uplink.indicators_seconds is 0.

exit codes:
  0  done
  1  the file, the set or the configuration is at fault; a set of less than half the size is refused until confirmed
  2  wrong use
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""

    def work() -> int:
        arguments = parser().parse_args(argv)
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)

    return perform(PROGRAM, work)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="schoolwacht-agent",
        description="The Schoolwacht agent: captures at a school, keeps events on disk and delivers them.",
        epilog="`schoolwacht-agent COMMAND --help` has examples and exit codes. Output that cannot be written is 1.",
    )
    made.add_argument("--version", action="version", version=f"schoolwacht-agent {version('schoolwacht')}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    run = _command(commands, "run", _run, "capture and deliver until stopped", _RUN)
    _add_config(run)
    run.add_argument(
        "--only", choices=[app.CAPTURE, app.FORWARDER], help="run one part in this process, as a service of its own"
    )
    run.add_argument("--supervised", type=int, metavar="PID", help=argparse.SUPPRESS)
    _add_replay(commands)
    _add_indicators(commands)
    shown = _command(commands, "status", _status, "what the agent on this machine does now", _STATUS)
    examined = _command(commands, "doctor", _doctor, "whether the agent can work here, and what to do if not", _DOCTOR)
    for one in (shown, examined):
        _add_config(one)
        one.add_argument("--json", action="store_true", help="for machines")
    holders = _command(commands, "key", keyholders.create, "make the board's key for pseudonyms", keyholders.KEY_HELP)
    _add_config(holders)
    keyholders.add_key(holders)
    revealed = _command(
        commands, "unmask", keyholders.reveal, "what stands behind a pseudonym, by two officers", keyholders.UNMASK_HELP
    )
    _add_config(revealed)
    keyholders.add_unmask(revealed)
    _add_evidence(commands)
    return made


def _add_evidence(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _command(commands, "evidence", _evidence, "the packets that were kept of grave signals", _EVIDENCE)
    made.add_argument("action", choices=["list", "show", "export"], help="what to do")
    made.add_argument("id", nargs="?", default="", metavar="ID", help="of the evidence, for show and export")
    made.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="where export puts it; default: here")
    _add_config(made)
    made.add_argument("--json", action="store_true", help="for machines")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Callable[[argparse.Namespace], int],
    what: str,
    epilog: str,
) -> argparse.ArgumentParser:
    made = commands.add_parser(
        name,
        help=what,
        description=what[:1].upper() + what[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(command=command)
    return made


def _add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"agent.toml; default: {DEFAULT_CONFIG}"
    )


def _add_indicators(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _command(commands, "indicators", _indicators, "what known bad is matched here, and another set", _INDICATORS)
    made.add_argument("action", choices=["show", "load", "confirm"], help="show is what is in use")
    made.add_argument("file", nargs="?", type=Path, metavar="FILE", help="with load: the set")
    made.add_argument("--confirmed", action="store_true", help="with load: also a set of less than half the size")
    made.add_argument("--json", action="store_true", help="with show: for machines")
    _add_config(made)


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    made = _command(commands, "replay", _replay, "turn capture files into events and signals", _REPLAY)
    made.add_argument("captures", nargs="+", type=Path, metavar="CAPTURE", help="pcap or pcapng, also .gz or .zst")
    made.add_argument("--json", action="store_true", help="one nested ECS object a line instead of a short line")
    made.add_argument("--signals", action="store_true", help="print only signals")
    made.add_argument(
        "--engine",
        type=EngineName,
        choices=list(EngineName),
        help="default: the configuration's, else auto: Suricata where it is installed",
    )
    made.add_argument(
        "--home",
        action="append",
        metavar="NET",
        help="a network of the school (repeatable); default: agent.home of the configuration, or the private ranges",
    )
    made.add_argument("--config", type=Path, metavar="FILE", help="agent.toml; needed by --send")
    made.add_argument(
        "--indicators", type=Path, metavar="FILE", help="match these, as of `indicators load`; default: none"
    )
    made.add_argument("--send", action="store_true", help="deliver through spool and uplink instead of printing")
    made.add_argument(
        "--as-sent", action="store_true", help="print what would leave the school: minimised by --config FILE"
    )
    made.add_argument("--as-live", action="store_true", help="at the speed of the capture, as if it happened now")
    made.add_argument("--speed", type=float, metavar="X", help="with --as-live: X times as fast; default 1")


def _run(arguments: argparse.Namespace) -> int:
    settings = config.load(arguments.config)
    logs.configure(settings.agent.log)
    if arguments.only is None:
        app.run(settings, arguments.config)
    else:
        app.part(arguments.only, settings, parent=arguments.supervised)
    return DONE


def _replay(arguments: argparse.Namespace) -> int:
    wrong = _wrong_use(arguments)
    if wrong:
        _say(wrong)
        return WRONG
    settings = config.load(arguments.config) if arguments.config is not None else None
    logs.configure(LogLevel.WARNING)
    plan = _plan(arguments, settings)
    if arguments.send and settings is not None:
        result = replay.send(plan, settings)
        _say(f"delivered {result.delivered}, rejected {result.rejected}")
    else:
        result = replay.show(plan, as_json=arguments.json, signals_only=arguments.signals)
    if missing := left_out(choose(plan.source)[1].sees(plan.source)):
        _say(f"what this engine gives is not enough for {listed(missing)}")
    if unknown := plan.standpoint.figures().get("unknown.events"):
        _say(f"{unknown} events of no known school were left out (standpoint.mapping)")
    for fault in result.faults:
        _say(str(fault))
    if result.undelivered:
        _say(result.undelivered)
        return INTERRUPTED if result.interrupted else FAILED
    return WRONG if result.faults else DONE


def _wrong_use(arguments: argparse.Namespace) -> str:
    """What is wrong with the arguments together; empty if nothing is."""
    if arguments.send and arguments.config is None:
        return "--send needs --config FILE, which names agent and collectors"
    if arguments.send and (arguments.json or arguments.signals):
        return "--send prints nothing: leave --json and --signals out"
    if arguments.as_sent and arguments.config is None:
        return "--as-sent needs --config FILE, which says what may leave"
    if arguments.speed is not None and not arguments.as_live:
        return "--speed goes with --as-live"
    if arguments.speed is not None and not 0 < arguments.speed <= 1_000_000:
        return f"--speed {arguments.speed:g}: takes a number above 0"
    for network in arguments.home or ():
        try:
            ip_network(network)
        except ValueError as error:
            return f"--home {network}: {error}"
    return ""


def _plan(arguments: argparse.Namespace, settings: Settings | None) -> replay.Plan:
    source = settings.source if settings is not None else SourceTable()
    home = tuple(arguments.home or (settings.agent.home if settings is not None else DEFAULT_HOME))
    source = msgspec.structs.replace(source, home=home)
    if arguments.engine is not None:
        source = msgspec.structs.replace(source, engine=arguments.engine)
    behave = settings.behave if settings is not None else BehaveSettings()
    table = settings.standpoint if settings is not None else StandpointTable()
    standpoint = open_standpoint(Homes(home), table, settings.zones if settings is not None else ())
    speed = (arguments.speed or 1.0) if arguments.as_live else None
    indicators = set_of(arguments.indicators) if arguments.indicators is not None else None
    plan = replay.Plan(arguments.captures, source, standpoint, behave, speed, indicators)
    if settings is None or not (arguments.send or arguments.as_sent):
        return plan
    state = Path(settings.agent.state)
    return plan._replace(
        minimise=lambda: open_minimise(settings.minimise, settings.zones, Homes(home), standpoint, state),
        evidence=lambda capture, minimise: (
            open_evidence(settings.evidence, settings.agent.name, state, Captures(capture), minimise, live=False)
            if arguments.send
            else None
        ),
    )


def _evidence(arguments: argparse.Namespace) -> int:
    if (arguments.action == "list") == bool(arguments.id):
        _say("evidence list takes no id; show and export take one")
        return WRONG
    settings = config.load(arguments.config)
    if arguments.action == "export":
        print(evidence.export(settings, arguments.id, arguments.to))
        return DONE
    if arguments.action == "list":
        for manifest in evidence.pieces(settings):
            print(msgspec.json.encode(manifest).decode() if arguments.json else evidence.line(manifest))
        return DONE
    shown = evidence.show(settings, arguments.id)
    print(msgspec.json.encode(shown).decode() if arguments.json else "\n".join(evidence.lines(shown)))
    return FAILED if shown.problem else DONE


def _indicators(arguments: argparse.Namespace) -> int:
    if (arguments.file is None) is (arguments.action == "load"):
        _say("load takes a FILE" if arguments.action == "load" else f"{arguments.action} takes no FILE")
        return WRONG
    state = Path(config.load(arguments.config).agent.state)
    if arguments.action == "load":
        print(load(state, arguments.file, confirmed=arguments.confirmed))
    elif arguments.action == "confirm":
        print(accept(state))
    else:
        found = describe(state)
        if arguments.json:
            print(msgspec.json.encode(found).decode())
        else:
            print("\n".join(f"{name:8} {value}" for name, value in found.items()))
    return DONE


def _status(arguments: argparse.Namespace) -> int:
    now = status.status_of(config.load(arguments.config))
    if arguments.json:
        print(msgspec.json.encode({**msgspec.to_builtins(now), "problems": now.problems}).decode())
    else:
        print("\n".join(status.lines(now)))
    return FAILED if now.problems else DONE


def _doctor(arguments: argparse.Namespace) -> int:
    found = []
    for finding in doctor.examine(arguments.config):
        found.append(finding)
        if not arguments.json:
            print(f"{finding.level.value:8} {finding.check:14} {finding.text}")
            if finding.remedy:
                print(f"{'':23} → {finding.remedy}")
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    return FAILED if any(finding.level is doctor.Level.FAULT for finding in found) else DONE


def _say(text: str) -> None:
    say(PROGRAM, text)


if __name__ == "__main__":
    sys.exit(main())
