"""Capture files for a program that reads plain ones: checked before it starts, unpacked where they are compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, Protocol, Self

import zstandard

from schoolwacht.errors import CaptureError

#: libpcap's magic numbers (microseconds, nanoseconds, Kuznetzov's), in both byte orders; pcapng's section header.
_PCAP_MAGICS = frozenset(
    bytes.fromhex(text) for text in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1")
)
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_PCAP_HEADER = 24
_WINDOW_MAX = 128 << 20
#: A compressed capture that unpacks to more is refused: it goes to a temporary file.
UNPACKED_MAX = 64 << 30
#: Compressed bytes taken at once: a zstd frame may unpack to 32,000 times as much.
_PIECE = 1 << 12


class _Frame(Protocol):
    """One compressed frame, unpacked as its bytes come: zlib's and zstandard's object."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


def _begin_zstd() -> _Frame:
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).decompressobj()


def _begin_gzip() -> _Frame:
    return zlib.decompressobj(wbits=31)


#: The bytes that a compressed file begins with → how one of its frames is unpacked.
_BEGIN: MappingProxyType[bytes, Callable[[], _Frame]] = MappingProxyType(
    {b"\x28\xb5\x2f\xfd": _begin_zstd, b"\x1f\x8b": _begin_gzip}
)


def check_capture(path: Path, *, named: Path) -> None:
    """That a plain file can be opened and begins like a capture. Raises CaptureError saying what it is instead.

    ``named`` is what the error calls it: ``path`` may be an unpacked copy. Only the
    beginning is read; what is wrong further on comes to light when it is played.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_PCAP_HEADER + 1)
    except OSError as error:
        raise CaptureError(f"cannot be read: {error.strerror or error}", path=str(named)) from error
    if not head:
        raise CaptureError("is empty: no packets were captured into it", path=str(named))
    if head[:4] in _PCAP_MAGICS:
        if len(head) <= _PCAP_HEADER:
            raise CaptureError("holds no packets", path=str(named))
    elif head[:4] != _PCAPNG_MAGIC:
        raise CaptureError("is no capture: it begins like neither pcap nor pcapng", path=str(named))


class Unpacked(NamedTuple):
    """A plain capture: the file itself or a temporary one, and what was wrong with the compression after its end."""

    path: Path
    fault: CaptureError | None = None

    @classmethod
    def of(cls, path: Path, directory: Path) -> Self:
        """``path`` if it is plain, else unpacked into ``directory``. Raises CaptureError."""
        try:
            with path.open("rb") as packed:
                magic = packed.read(4)
                packed.seek(0)
                begin = _BEGIN.get(magic) or _BEGIN.get(magic[:2])
                if begin is None:
                    return cls(path)
                plain = directory / "capture"
                return cls(plain, _unpack(packed, begin, plain, path))
        except OSError as error:
            raise CaptureError(f"cannot be read: {error.strerror or error}", path=str(path)) from error


def _unpack(packed: BinaryIO, begin: Callable[[], _Frame], plain: Path, path: Path) -> CaptureError | None:
    """Frame after frame into ``plain``; what is wrong with them is given back, after what could be unpacked."""
    left = UNPACKED_MAX
    frame = None
    with plain.open("wb") as target:
        try:
            while piece := packed.read(_PIECE):
                while piece:
                    frame = frame or begin()
                    unpacked = frame.decompress(piece)
                    left -= len(unpacked)
                    if left < 0:
                        raise CaptureError(f"unpacks to more than {UNPACKED_MAX >> 30} GiB", path=str(path))
                    target.write(unpacked)
                    piece = frame.unused_data if frame.eof else b""
                    frame = None if frame.eof else frame
        except (zstandard.ZstdError, zlib.error) as error:
            return CaptureError(f"its compression is damaged: {error}", path=str(path))
    return CaptureError("is cut off: its compression does not end", path=str(path)) if frame is not None else None
