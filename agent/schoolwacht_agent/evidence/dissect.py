"""The process that decodes packets (``python -m schoolwacht_agent.evidence.dissect``); its parent watches and ends it.

It loads its code, gives up its rights (``sandbox``), and has tshark decode a capture file through pyshark, or tell what
it knows of fields. The answer goes to standard output as one JSON object (:class:`Decoded`, :class:`Described`).

What is known of pyshark 0.6 and met here: the XML parser drops a layer's nesting and keeps its fields in order; the
JSON and EK parsers need two more runs of tshark at each start; it does not tell how tshark ended; a reader that is not
closed leaves its tshark running; it looks for tshark in a ``config.ini`` in the working directory; an event loop of
one's own is needed, for the child watcher that it installs is gone in Python 3.14.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from pyshark.capture.file_capture import FileCapture
from pyshark.tshark.output_parser.tshark_xml import packet_from_xml_packet

from schoolwacht_agent.evidence.sandbox import Bounds, Layer, die_with_parent, enter

#: Fields of one packet, characters of one value, and characters of all together.
FIELDS_MAX, TEXT_MAX, ALL_MAX = 600, 300, 4 << 20
#: Values of one field that have names (``-G values``); a field with more is a register of vendors or the like.
VALUES_MAX = 1000
#: A program that has closed its output may take so long to end.
_END_SECONDS = 5.0
#: setpriv (util-linux): the kernel kills the program when the one that started it ends.
_TETHER = (setpriv, "--pdeathsig", "KILL", "--") if (setpriv := shutil.which("setpriv", path="/usr/bin:/bin")) else ()
#: How setpriv ends when it cannot run the program (as a shell does).
_NOT_RUN = frozenset({126, 127})
_WARM = b"<packet><proto name='geninfo'/><proto name='frame'/></packet>"


class Job(msgspec.Struct, frozen=True):
    """What to do. ``names`` empty: decode ``capture``; else describe these fields."""

    tshark: str
    memory: int
    cpu: int
    #: Who started it; if that is gone, nobody wants an answer.
    parent: int = 0
    capture: str = ""
    packets: int = 0
    names: frozenset[str] = frozenset()


#: A field as tshark shows it: name, value.
Shown = tuple[str, str]


class DecodedPacket(msgspec.Struct, frozen=True):
    """One packet: seconds since 1970 as text, bytes, and its layers from the outside in with their fields."""

    seconds: str
    length: int
    layers: list[tuple[str, list[Shown]]]


class Decoded(msgspec.Struct, frozen=True):
    """A decoded capture. ``fault`` says why it is not whole, empty if it is."""

    packets: list[DecodedPacket]
    sandbox: list[Layer]
    fault: str = ""


class FieldKind(msgspec.Struct, frozen=True):
    """What tshark says of a field: its type (``FT_UINT16``), its label, and what values are called."""

    type: str
    label: str
    values: dict[str, str] = {}


class Described(msgspec.Struct, frozen=True):
    """What tshark says of fields, by name."""

    fields: dict[str, FieldKind]


class Crashed(Exception):  # noqa: N818 - says what became of tshark
    """tshark was ended by a signal: of the kernel for what it did, or of a limit."""


class _Reader(FileCapture):  # type: ignore[misc]  # pyshark publishes no types
    """pyshark's reader, with the tshark that it is told. ``ended`` is how that ended by itself."""

    ended: int | None = 0

    async def _get_tshark_process(self, **_: object) -> asyncio.subprocess.Process:
        """Start tshark, so that it dies with this process where no namespace sees to that."""
        process = await asyncio.create_subprocess_exec(
            *_TETHER, self.tshark_path, "-l", "-n", "-T", "pdml", *self.get_parameters(),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._create_stderr_handling_task(process.stderr)
        self._running_processes.add(process)
        return process

    async def _cleanup_subprocess(self, process: asyncio.subprocess.Process) -> None:
        """Say how tshark ended, which pyshark leaves to chance.

        It kills a program that has closed its output and is about to end, and takes one that a signal ended for a good
        one.
        """
        if not self._eof_reached:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        self.ended = process.returncode


def decode(job: Job, sandbox: list[Layer]) -> Decoded:
    """Decode ``job.capture``. What is wrong with the file is in the answer's ``fault``."""
    # Closed in any case: a tshark that is still there would outlive its reader.
    reader = _Reader(
        job.capture,
        keep_packets=False,
        tshark_path=job.tshark,
        eventloop=asyncio.new_event_loop(),
        custom_parameters=["-c", str(job.packets)],
    )
    packets: list[DecodedPacket] = []
    room, fault = ALL_MAX, ""
    try:
        for packet in reader:
            packets.append(_packet(packet))
            room -= sum(len(name) + len(text) for _, fields in packets[-1].layers for name, text in fields)
            if room < 0:
                packets.pop()
                fault = "more was decoded than is kept"
                break
    finally:
        reader.close()
        reader.eventloop.close()
    if reader.ended is None or reader.ended < 0:
        raise Crashed(f"tshark was ended by signal {-reader.ended}" if reader.ended else "tshark did not end")
    if reader.ended in _NOT_RUN:
        raise Crashed(f"tshark could not be run: {reader._last_error_line}")  # noqa: SLF001 - the one place that has it
    if reader.ended > 0:
        fault = fault or "tshark could not read it to its end"
    return Decoded(packets, sandbox, fault)


def _packet(packet: Any) -> DecodedPacket:
    layers: list[tuple[str, list[Shown]]] = []
    room = FIELDS_MAX
    for layer in packet.layers:
        fields: list[Shown] = []
        # pyshark's own way to a field by name takes as long as there are fields, for each of them.
        for container in layer._all_fields.values():  # noqa: SLF001
            for field in container.fields:
                if field.hide or not field.name or room <= 0:
                    continue
                room -= 1
                fields.append((field.name[:TEXT_MAX], (field.show or "")[:TEXT_MAX]))
        layers.append((str(layer.layer_name)[:TEXT_MAX], fields))
    return DecodedPacket(str(packet.sniff_timestamp), int(packet.length), layers)


def describe(job: Job) -> Described:
    """What tshark's own tables (``-G fields``, ``-G values``) say of ``job.names``."""
    names = {name.encode() for name in job.names}
    fields: dict[bytes, FieldKind] = {}
    # F, label, name, type, parent, base, mask, description
    for line in _table(job.tshark, "fields"):
        parts = line.split(b"\t", 4)
        if len(parts) == 5 and parts[0] == b"F" and parts[2] in names:
            fields.setdefault(parts[2], FieldKind(_text(parts[3]), _text(parts[1])))
    # V, name, value, text; T, name, text of true, text of false. One line in a thousand is wanted.
    for line in _table(job.tshark, "values"):
        parts = line.split(b"\t", 2)
        if len(parts) < 3 or parts[1] not in fields:
            continue
        values = fields[parts[1]].values
        first, _, second = parts[2].rstrip(b"\r\n").partition(b"\t")
        if parts[0] == b"T":
            values.update({"1": _text(first), "0": _text(second)})
        elif parts[0] in (b"V", b"V64") and len(values) < VALUES_MAX:
            values.setdefault(str(int(first, 0)), _text(second))
    return Described({_text(name): kind for name, kind in fields.items()})


def _table(tshark: str, name: str) -> Iterator[bytes]:
    """The lines of one of tshark's tables."""
    with subprocess.Popen([tshark, "-G", name], stdout=subprocess.PIPE) as process:  # noqa: S603 - the operator's program
        assert process.stdout is not None
        yield from process.stdout


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")[:TEXT_MAX]


def _load_late_code() -> None:
    """Load what Python loads when it is first used: later its files may be out of reach."""
    packet_from_xml_packet(_WARM)

    async def start() -> None:
        process = await asyncio.create_subprocess_exec("true", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        await process.communicate()

    asyncio.run(start())


def main() -> None:
    """Do the job that stands on the command line."""
    job = msgspec.json.decode(sys.argv[1], type=Job)
    die_with_parent()
    if os.getppid() != job.parent:
        return
    _load_late_code()
    tshark = Path(job.tshark)
    readable = [tshark.parent, tshark.resolve().parent, *([Path(job.capture)] if job.capture else [])]
    layers = enter(Bounds(job.memory, job.cpu, 4 * ALL_MAX), readable=readable)
    try:
        answer = describe(job) if job.names else decode(job, layers)
    except Crashed as crashed:
        sys.exit(f"{crashed}")
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
