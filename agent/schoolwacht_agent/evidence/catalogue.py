"""What is known of tshark's fields, kept between runs: asking tshark takes seconds, and fields come again and again.

It belongs to one program file; another tshark begins a new one. Made by the decoding process from tshark's own tables,
without a packet from the network.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import msgspec

from schoolwacht_agent.evidence.dissect import FieldKind

log = logging.getLogger(__name__)

#: Fields kept; a new catalogue begins beyond it. tshark has 240,000, and a school's traffic shows a few hundred.
FIELDS_MAX = 5000


class _File(msgspec.Struct, frozen=True):
    program: str
    fields: dict[str, FieldKind]


class Catalogue:
    """The known fields.

    Args:
        path: of its file.
        program: tshark.
    """

    def __init__(self, path: Path, program: Path) -> None:
        self._path = path
        self._program = _identity(program)
        self.fields: dict[str, FieldKind] = {}
        with suppress(OSError, msgspec.MsgspecError):
            found = msgspec.json.decode(path.read_bytes(), type=_File)
            if found.program == self._program:
                self.fields = found.fields

    def add(self, asked: frozenset[str], described: dict[str, FieldKind]) -> None:
        """Take in an answer; what was asked and is not in it has no type, so that it is not asked again."""
        if len(self.fields) + len(asked) > FIELDS_MAX:
            self.fields = {}
        self.fields |= {name: described.get(name) or FieldKind("", "") for name in asked}
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(_File(self._program, self.fields)))
            new.replace(self._path)
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._path, error.strerror)


def _identity(program: Path) -> str:
    try:
        real = program.resolve()
        state = real.stat()
    except OSError:
        return str(program)
    return f"{real} {state.st_size} {state.st_mtime_ns}"
