"""``schoolwacht demo``: its options, its screen and its end."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from schoolwacht.errors import ConfigError
from schoolwacht_console import line
from schoolwacht_console.demo import span
from schoolwacht_console.demo.display import Display, display
from schoolwacht_console.demo.play import SPEED, Plan, play
from schoolwacht_console.demo.scenario import Scenario, load, visitor
from schoolwacht_console.demo.summary import Accounts

SUMMARY = "see the whole line at work: several schools, one collector, alerts at a CERT receiver"
DESCRIPTION = """\
Three schools of two boards play recorded traffic as if it happened now, each through its own agent, into one
collector with an embedded store. Alerts arrive, signed, at a receiver in the role of the CERT. The console shows it
all. Needs no root, no Suricata (it is used where it is installed), no Elasticsearch, and leaves nothing behind."""
EPILOG = """\
examples:
  schoolwacht demo
  schoolwacht demo --exit
  schoolwacht demo --pcap my-own.pcap

exit codes:
  0    with --exit: every event is accounted for and every alert arrived; without it: ended by Ctrl-C
  1    with --exit: something is missing; the summary says what
  2    wrong use, or a file or setting that cannot be used
"""
#: The captures of the project, in a checkout.
CAPTURES = Path(__file__).resolve().parents[3] / "tests" / "captures"
#: With --exit, a capture of the user is played within about so many seconds.
_VISIT_SECONDS = 25.0
#: The speed for a capture whose length cannot be seen.
_FAST = 1000.0


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``demo``."""
    command.add_argument(
        "--captures", metavar="DIR", type=Path, default=CAPTURES, help="the directory with demo.toml and its captures"
    )
    command.add_argument("--pcap", metavar="FILE", type=Path, help="your own capture, played as a fourth school")
    command.add_argument("--exit", action="store_true", help="end by itself within 90 s; a JSON object as last line")
    command.add_argument("--engine", choices=("auto", "suricata", "packets"), default="auto", help="default: auto")
    command.add_argument("--port", type=int, default=8480, help="port of the console (default: 8480)")
    command.add_argument("--speed", type=_speed, default=SPEED, help=f"times faster than recorded (default: {SPEED:g})")


def run(arguments: argparse.Namespace) -> int:
    """Play the demo; returns the exit code."""
    began = time.monotonic()
    plan = _plan(arguments)
    names = {player.location: player.name for player in plan.scenario.players}
    try:
        with display(names) as screen:
            _introduce(plan.scenario, screen)
            accounts = line.run(play(plan, screen, began=began))
    except ConfigError as error:
        if error.field != "console.listen":
            raise
        raise ConfigError(f"{error.message}; choose another port", field="--port") from error
    except KeyboardInterrupt:
        if arguments.exit:
            raise
        return 0
    return _end(accounts)


def _plan(arguments: argparse.Namespace) -> Plan:
    if not (arguments.captures / "demo.toml").is_file():
        raise ConfigError(
            "there is no demo.toml; name the directory tests/captures of a checkout",
            path=str(arguments.captures),
            field="--captures",
        )
    scenario = load(arguments.captures)
    speeds = {player.agent: arguments.speed for player in scenario.players}
    if arguments.pcap is not None:
        guest = visitor(arguments.pcap)
        scenario = Scenario((*scenario.players, guest), scenario.indicators)
        speeds[guest.agent] = _visit_speed(arguments.pcap, arguments.speed, ends=arguments.exit)
    return Plan(scenario, arguments.engine, arguments.port, speeds, arguments.exit)


def _visit_speed(capture: Path, speed: float, *, ends: bool) -> float:
    """The speed of the user's capture: as the others', or faster if the demo is to end by itself."""
    try:
        if not span.begins_like_a_capture(capture):
            raise ConfigError("is no capture: neither pcap nor pcapng", path=str(capture), field="--pcap")
        length = span.seconds(capture)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(capture), field="--pcap") from error
    if not ends:
        return speed
    return max(speed, _FAST if length is None else length / _VISIT_SECONDS)


def _introduce(scenario: Scenario, screen: Display) -> None:
    for player in scenario.players:
        captures = ", ".join(capture.stem for capture in player.captures)
        screen.say(f"{player.name} ({player.location}, {player.board_name}) plays {captures}")


def _end(accounts: Accounts) -> int:
    sys.stdout.write(json.dumps(accounts.as_json()) + "\n")
    return 0 if accounts.whole else 1


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return speed
