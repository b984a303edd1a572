"""``schoolwacht``: the command of the people who work with what was seen.

Most of it is a thin client of the API; ``analyse`` and ``demo`` bring a collector of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from schoolwacht.command import perform, say
from schoolwacht.errors import SchoolwachtError
from schoolwacht_console import analyse
from schoolwacht_console.client import RefusedError, UnreachableError
from schoolwacht_console.commands import GROUPS, LISTS
from schoolwacht_console.commands.frame import EXIT_CODES, PROGRAM, REFUSED, STOPPED, UNREACHABLE, WRONG_USE, Run
from schoolwacht_console.demo import command as demo
from schoolwacht_console.inert import inert
from schoolwacht_console.line import Stopped
from schoolwacht_console.rules import command as rules

#: Statuses that say the request itself was wrong, not what it asked for.
_WRONG_USE_STATUSES = frozenset({0, 400, 413, 415, 422})
_DESCRIPTION = "Search what was seen, triage alerts, look after indicators; analyse captures; see a demo."
_EXAMPLES = """\
examples:
  schoolwacht search 'dns.question.name:*.example AND school.location:00AA01' --last 24h
  schoolwacht alerts --severity critical
  schoolwacht alerts close ID --reason 'test by our own administrator'
  schoolwacht indicators add evil.example --description 'campaign of September'
  schoolwacht analyse capture.pcap --home 10.0.0.0/8
  schoolwacht demo
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return perform(PROGRAM, lambda: _work(list(sys.argv[1:] if argv is None else argv)))


def _work(argv: list[str]) -> int:
    arguments = parser().parse_args(_with_default(argv))
    run: Run = arguments.run
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
    made = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_DESCRIPTION,
        epilog=f"{_EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"schoolwacht {version('schoolwacht')}")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    for group in GROUPS:
        group.add(commands)
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


def _with_default(argv: list[str]) -> list[str]:
    """``schoolwacht alerts --severity high`` is ``schoolwacht alerts list --severity high``."""
    if argv and argv[0] in LISTS:
        rest = argv[1:]
        if not rest or (rest[0].startswith("-") and rest[0] not in {"-h", "--help"}):
            return [argv[0], "list", *rest]
    return argv


def _fail(error: SchoolwachtError, code: int) -> int:
    say(PROGRAM, inert(str(error)))
    return code


if __name__ == "__main__":
    sys.exit(main())
