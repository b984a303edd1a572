"""Unmasking: two officers of the board turn pseudonyms back into what stands behind them, for a case.

Everything is checked and the audit's line is on disk before a register is read. A pseudonym may stand inside what the
console shows (``p-202611-…@school.nl``, ``p-202611-….docx``, ``[fd…]``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from schoolwacht.errors import UnmaskError
from schoolwacht_agent.minimise import audit, register, seal

LEAST_REASON = 10
_NAME = re.compile(r"p-[0-9a-z]{4,8}-[a-z2-7]{16}")
_MAC = re.compile(r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}")


class Found(NamedTuple):
    """What stands behind a pseudonym: (period, value) of each register that knows it; empty if none does."""

    pseudonym: str
    values: list[tuple[str, str]]


class Unmasked(NamedTuple):
    """The answer, and the line of the audit that says so."""

    found: list[Found]
    line: audit.Line


def unmask(
    values: Sequence[str],
    *,
    case: str,
    reason: str,
    passphrases: Mapping[str, str],
    seal_file: Path,
    registers: Path,
    audit_file: Path,
) -> Unmasked:
    """Unmask ``values``. Raises UnmaskError; a wrong passphrase is audited too.

    Args:
        values: pseudonyms, as they are shown.
        case: the number of the case.
        reason: why, in words.
        passphrases: of two officers, by name.
        seal_file: of the board.
        registers: directory of the registers.
        audit_file: where it is put on record.
    """
    if not case.strip():
        raise UnmaskError("is required: the case for which this is done", field="--case")
    if len(reason.strip()) < LEAST_REASON:
        raise UnmaskError(f"takes at least {LEAST_REASON} characters: why it is needed", field="--reason")
    wanted = [pseudonym_in(value) for value in values]
    request = audit.Request(case, reason, list(passphrases), wanted)
    try:
        private = seal.opened(seal.read(seal_file), passphrases)
    except UnmaskError as error:
        audit.append(audit_file, request, f"refused: {error.message}", None)
        raise
    line = audit.append(audit_file, request, audit.OPENED, seal.audit_key(private))
    found: dict[str, list[tuple[str, str]]] = {pseudonym: [] for pseudonym in wanted}
    for path in sorted(registers.glob(f"*{register.SUFFIX}")):
        for entry in register.read(path, private):
            if entry.pseudonym in found and (entry.period, entry.value) not in found[entry.pseudonym]:
                found[entry.pseudonym].append((entry.period, entry.value))
    return Unmasked([Found(pseudonym, found[pseudonym]) for pseudonym in wanted], line)


def pseudonym_in(text: str) -> str:
    """The pseudonym in a text, as the register has it. Raises UnmaskError if there is none."""
    plain = text.strip().lower()
    if found := _NAME.search(plain):
        return found[0]
    if found := _MAC.fullmatch(plain):
        return found[0].replace(":", "-").upper()
    try:
        return str(ip_address(plain.strip("[]")))
    except ValueError as error:
        raise UnmaskError(f"{text!r} is no pseudonym: neither fd… nor p-… nor a MAC address") from error


def unknown(found: Iterable[Found]) -> list[str]:
    """The pseudonyms of which no register knows anything."""
    return [one.pseudonym for one in found if not one.values]
