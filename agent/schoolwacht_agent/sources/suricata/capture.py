"""Capture files for a program that reads plain ones: checked before it starts, unpacked where they are compressed."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, cast

import zstandard

from schoolwacht.errors import CaptureError

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"
#: libpcap's magic numbers (microseconds, nanoseconds, Kuznetzov's), in both byte orders; pcapng's section header.
_PCAP_MAGICS = frozenset(
    bytes.fromhex(text) for text in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1")
)
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_PCAP_HEADER = 24
_WINDOW_MAX = 128 << 20
#: A compressed capture that unpacks to more is refused: it goes to a temporary file.
UNPACKED_MAX = 64 << 30
_PIECE = 1 << 20


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
                if magic == _ZSTD_MAGIC:
                    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)
                    source = cast(
                        "BinaryIO", decompressor.stream_reader(packed, read_across_frames=True, closefd=False)
                    )
                elif magic[:2] == _GZIP_MAGIC:
                    source = cast("BinaryIO", gzip.GzipFile(fileobj=packed))
                else:
                    return cls(path)
                plain = directory / "capture"
                return cls(plain, _unpack(source, plain, path))
        except OSError as error:
            raise CaptureError(f"cannot be read: {error.strerror or error}", path=str(path)) from error


def _unpack(source: BinaryIO, plain: Path, path: Path) -> CaptureError | None:
    left = UNPACKED_MAX
    with plain.open("wb") as target:
        try:
            while piece := source.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise CaptureError(f"unpacks to more than {UNPACKED_MAX >> 30} GiB", path=str(path))
                target.write(piece)
        except (zstandard.ZstdError, zlib.error, EOFError) as error:
            return CaptureError(f"its compression is damaged or cut off: {error}", path=str(path))
    return None
