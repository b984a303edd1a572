"""The commands of the board's officers: ``schoolwacht-agent key create`` and ``unmask``."""

from __future__ import annotations

import argparse
import getpass
import stat
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from schoolwacht.command import DONE, FAILED
from schoolwacht.errors import UnmaskError
from schoolwacht_agent import config
from schoolwacht_agent.minimise import keys, seal
from schoolwacht_agent.minimise.open import audit_file, key_file, register_directory
from schoolwacht_agent.minimise.unmask import Unmasked, unknown, unmask

KEY_HELP = """\
examples:
  schoolwacht-agent key create --config agent.toml --seal board.seal --officer "A. Jansen" --officer "B. de Vries"

Makes the board's key file (minimise.key_file, or board.key in agent.state) and the seal, which any two of the officers
open together. Copy the key file to the board's other agents before they start; keep the seal and a copy of it where
the officers are. Each officer types a passphrase, or gives a file of mode 600 in the order of the officers.

exit codes:
  0  both files are made
  1  a file exists already or cannot be written, or a passphrase will not do
  2  wrong use
"""
UNMASK_HELP = """\
examples:
  schoolwacht-agent unmask fd12:3456:789a:0:1:2:3:4 p-202611-abcdefghijklmnop --case 2026-017 \\
      --reason "infected laptop, to be taken off the network" --seal board.seal \\
      --officer "A. Jansen" --officer "B. de Vries"

At the gateway that made the pseudonyms, or on a copy of its registers (--registers).

exit codes:
  0  every value was found
  1  a value is in no register, a passphrase is wrong, or the audit is broken
  2  wrong use
"""


def add_key(command: argparse.ArgumentParser) -> None:
    """The arguments of ``key create``."""
    command.add_argument("what", choices=["create"], help="what to do")
    command.add_argument("--seal", type=Path, required=True, metavar="FILE", help="the seal to be made")
    _add_officers(command, "an officer who may unmask (two to eight)")
    command.set_defaults(command=create)


def add_unmask(command: argparse.ArgumentParser) -> None:
    """The arguments of ``unmask``."""
    command.add_argument("values", nargs="+", metavar="VALUE", help="pseudonyms as the console shows them")
    command.add_argument("--case", required=True, help="number of the case")
    command.add_argument("--reason", required=True, help="why, in words; both stand in the audit")
    command.add_argument("--seal", type=Path, required=True, metavar="FILE", help="the board's seal")
    command.add_argument("--registers", type=Path, metavar="DIR", help="default: those of this agent")
    _add_officers(command, "an officer; two of them")
    command.add_argument("--json", action="store_true", help="for machines")
    command.set_defaults(command=reveal)


def _add_officers(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument("--officer", action="append", required=True, metavar="NAME", help=what)
    command.add_argument(
        "--passphrase-file",
        type=Path,
        action="append",
        metavar="FILE",
        help="the passphrase of the officer in the same place, mode 600; default: it is asked for",
    )


def create(arguments: argparse.Namespace) -> int:
    """``key create``."""
    settings = config.load(arguments.config)
    path = key_file(settings.minimise, Path(settings.agent.state))
    for file in (path, arguments.seal):
        if file.exists():
            raise UnmaskError("exists already; what was made with it could no longer be unmasked", path=str(file))
    made = seal.sealed(_passphrases(arguments, twice=True))
    seal.write(arguments.seal, made)
    keys.write(path, keys.new_key(settings.minimise.period, datetime.now(UTC), register=made.register))
    sys.stdout.write(f"{path}: the board's key, for its agents\n{arguments.seal}: the seal, for its officers\n")
    return DONE


def reveal(arguments: argparse.Namespace) -> int:
    """``unmask``."""
    settings = config.load(arguments.config)
    state = Path(settings.agent.state)
    registers = arguments.registers or register_directory(state)
    if not registers.is_dir():
        raise UnmaskError("there are no registers here", path=str(registers))
    answer = unmask(
        arguments.values,
        case=arguments.case,
        reason=arguments.reason,
        passphrases=_passphrases(arguments, twice=False),
        seal_file=arguments.seal,
        registers=registers,
        audit_file=audit_file(registers),
    )
    sys.stdout.write(_json(answer) if arguments.json else _text(answer))
    return FAILED if unknown(answer.found) else DONE


def _passphrases(arguments: argparse.Namespace, *, twice: bool) -> dict[str, str]:
    officers: list[str] = arguments.officer
    files: Sequence[Path] = arguments.passphrase_file or ()
    if len(set(officers)) < len(officers):
        raise UnmaskError("an officer is named twice", field="--officer")
    if files and len(files) != len(officers):
        raise UnmaskError(f"there are {len(officers)} officers and {len(files)} files", field="--passphrase-file")
    if files:
        return {name: _from_file(file) for name, file in zip(officers, files, strict=True)}
    return {name: _asked(name, twice=twice) for name in officers}


def _from_file(file: Path) -> str:
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise UnmaskError(f"others can read it: chmod 600 {file}", path=str(file))
    return file.read_text(encoding="utf-8").rstrip("\n")


def _asked(name: str, *, twice: bool) -> str:
    passphrase = getpass.getpass(f"passphrase of {name}: ")
    if twice and getpass.getpass(f"passphrase of {name}, again: ") != passphrase:
        raise UnmaskError(f"the passphrases of {name} differ")
    return passphrase


def _text(answer: Unmasked) -> str:
    lines = []
    for one in answer.found:
        lines += [f"{one.pseudonym}  {value}  ({period})" for period, value in one.values]
        if not one.values:
            lines.append(f"{one.pseudonym}  is in no register here")
    line = answer.line
    lines.append(f"audit line {line.number}, {line.hash}: note both in case {line.case}")
    return "\n".join(lines) + "\n"


def _json(answer: Unmasked) -> str:
    found = [
        {"pseudonym": one.pseudonym, "values": [{"period": period, "value": value} for period, value in one.values]}
        for one in answer.found
    ]
    shown = {"found": found, "audit": {"line": answer.line.number, "hash": answer.line.hash}}
    return msgspec.json.encode(shown).decode() + "\n"
