"""A set of indicators as one block of bytes, a file and in memory, that is looked up without being taken apart.

::

    magic, head (JSON), sorted CRC-32s of the keys, offsets of the lines, the set itself as text (one line an indicator)

Promise: a set takes as much memory as its file, a third of what objects would. Opening it is one read and one look
whether it is whole; a file that is cut short, damaged or of another kind is refused, not half used. It is not mapped:
whoever cut the file short would end the process that reads it.

Limits: names of certificates are held in memory, because a wildcard has to be looked for on both sides.
"""

from __future__ import annotations

import bisect
import struct
import zlib
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from schoolwacht.errors import IndicatorError
from schoolwacht.indicators import BYTES_MAX, IndicatorLines, IndicatorType, Known, read_line, read_lines, text_version
from schoolwacht.match import Table, Tables, lengths_of, network_key, packed

MAGIC = b"SWIND1\n\0"
_FILE_MAX = 2 * BYTES_MAX
_PREFIX = struct.Struct("<8sII")
K = TypeVar("K", str, bytes)

#: What stands before a key, so that one text means another thing for another type. SHA-1 and SHA-256 differ in length.
_LETTER: MappingProxyType[IndicatorType, bytes] = MappingProxyType(
    {
        IndicatorType.ADDRESS: b"a",
        IndicatorType.NETWORK: b"n",
        IndicatorType.DOMAIN: b"d",
        IndicatorType.JA3: b"3",
        IndicatorType.JA4: b"4",
        IndicatorType.CERTIFICATE_SHA1: b"c",
        IndicatorType.CERTIFICATE_SHA256: b"c",
        IndicatorType.URL: b"u",
        IndicatorType.FILE_MD5: b"f",
        IndicatorType.FILE_SHA1: b"f",
        IndicatorType.FILE_SHA256: b"f",
    }
)


class _Head(Struct, frozen=True):
    version: str
    number: int
    #: How many keys of each letter there are.
    letters: dict[str, int]
    lengths4: tuple[int, ...]
    lengths6: tuple[int, ...]
    labels: int
    #: Offsets of the lines with names of certificates.
    names: tuple[int, ...]
    #: Bytes of the text.
    size: int
    #: CRC-32 of the two arrays.
    index: int


class Opened(Struct, frozen=True):
    """An open file: the version of the set, how many it holds, and where to look."""

    version: str
    number: int
    tables: Tables


def key_of(known: Known) -> bytes | None:
    """What an indicator is looked up by; None for names of certificates."""
    letter = _LETTER.get(known.type)
    if letter is None:
        return None
    if known.type is IndicatorType.ADDRESS:
        return letter + packed(known.value)
    if known.type is IndicatorType.NETWORK:
        return letter + network_key(known.value)
    return letter + known.value.encode()


def compile_set(found: IndicatorLines) -> bytes:
    """The bytes of the file for a checked set."""
    index: list[tuple[int, int]] = []
    letters: dict[str, int] = {}
    networks: set[bytes] = set()
    names: list[int] = []
    labels = offset = 0
    for line, known in zip(found.lines, read_lines(found.lines), strict=True):
        key = key_of(known)
        if key is None:
            names.append(offset)
        else:
            index.append((zlib.crc32(key), offset))
            letter = key[:1].decode()
            letters[letter] = letters.get(letter, 0) + 1
            if known.type is IndicatorType.NETWORK:
                networks.add(key[1:])
            elif known.type is IndicatorType.DOMAIN:
                labels = max(labels, known.value.count(".") + 1)
        offset += len(line) + 1
    index.sort()
    lengths4, lengths6 = lengths_of(networks)
    # In this machine's own byte order, in which they are read.
    arrays = array("I", (crc for crc, _ in index)).tobytes() + array("I", (place for _, place in index)).tobytes()
    head = msgspec.json.encode(
        _Head(
            found.version, len(found.lines), letters, lengths4, lengths6, labels, tuple(names), offset,
            zlib.crc32(arrays),
        )
    )  # fmt: skip
    head += b" " * (-(_PREFIX.size + len(head)) % 4)
    text = b"".join(part for line in found.lines for part in (line, b"\n"))
    return b"".join((_PREFIX.pack(MAGIC, len(head), len(index)), head, arrays, text))


class _File:
    """The file, read and found whole."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._raw = file.read(_FILE_MAX + 1)
        except OSError as error:
            raise IndicatorError(f"cannot be read: {error.strerror}", path=str(path)) from error
        view = memoryview(self._raw)
        try:
            magic, length, number = _PREFIX.unpack_from(view)
            if magic != MAGIC:
                raise IndicatorError("is no file of indicators that this agent made", path=str(path))
            start = _PREFIX.size + length
            self.head = msgspec.json.decode(view[_PREFIX.size : start], type=_Head)
        except (struct.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IndicatorError("is damaged: load or fetch the indicators again", path=str(path)) from error
        self._start = start + 8 * number
        text = view[self._start :]
        if (
            len(text) != self.head.size
            or zlib.crc32(view[start : self._start]) != self.head.index
            or text_version(text) != self.head.version
        ):
            raise IndicatorError("is damaged: load or fetch the indicators again", path=str(path))
        self._crcs = view[start : start + 4 * number].cast("I")
        self._offsets = view[start + 4 * number : self._start].cast("I")

    def line(self, offset: int) -> bytes:
        begin = self._start + offset
        end = self._raw.find(b"\n", begin)
        return self._raw[begin:end]

    def lines(self) -> Iterable[bytes]:
        return self._raw[self._start :].splitlines()

    def find(self, key: bytes) -> Known | None:
        crc = zlib.crc32(key)
        crcs = self._crcs
        place = bisect.bisect_left(crcs, crc)
        while place < len(crcs) and crcs[place] == crc:
            known = read_line(self.line(self._offsets[place]))
            if key_of(known) == key:
                return known
            place += 1
        return None


class _Keys(Generic[K]):
    """The keys of one letter."""

    def __init__(self, file: _File, letter: bytes, encode: Callable[[K], bytes]) -> None:
        self._find = file.find
        self._letter = letter
        self._encode: Callable[[K], bytes] = encode

    def get(self, key: K, /) -> Known | None:
        return self._find(self._letter + self._encode(key))


def open_table(path: Path) -> Opened:
    """Open a file that :func:`compile_set` made. Raises IndicatorError."""
    file = _File(path)
    head = file.head
    names = [read_line(file.line(offset)) for offset in head.names]

    def text(letter: bytes) -> Table[str]:
        return _Keys[str](file, letter, str.encode) if letter.decode() in head.letters else {}

    def raw(letter: bytes) -> Table[bytes]:
        return _Keys[bytes](file, letter, bytes) if letter.decode() in head.letters else {}

    tables = Tables(
        addresses=raw(b"a"),
        networks=raw(b"n"),
        domains=text(b"d"),
        ja3=text(b"3"),
        ja4=text(b"4"),
        certificates=text(b"c"),
        certificate_names={known.value: known for known in names},
        lengths4=head.lengths4,
        lengths6=head.lengths6,
        labels=head.labels,
        size=head.number,
        urls=text(b"u"),
        files=text(b"f"),
        has_urls="u" in head.letters,
        has_files="f" in head.letters,
    )
    return Opened(head.version, head.number, tables)


def lines_of(path: Path) -> IndicatorLines:
    """The set in a file, as text. Raises IndicatorError."""
    file = _File(path)
    return IndicatorLines(file.head.version, list(file.lines()))
