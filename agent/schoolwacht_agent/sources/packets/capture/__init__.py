"""Capture files as batches of packets: pcap and pcapng, plain or compressed (zstd, gzip), told apart by content.

A file is read once, forwards, in pieces of a mebibyte: it may be a pipe, and its size does not matter. What is
wrong with a file is a CaptureError that names it, raised after every packet before the damage has been given.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import zstandard

from schoolwacht.errors import CaptureError
from schoolwacht_agent.sources.packets.capture.pcap import MAGICS as PCAP_MAGICS
from schoolwacht_agent.sources.packets.capture.pcap import read_pcap
from schoolwacht_agent.sources.packets.capture.pcapng import MAGIC as PCAPNG_MAGIC
from schoolwacht_agent.sources.packets.capture.pcapng import read_pcapng
from schoolwacht_agent.sources.packets.capture.pieces import Pieces
from schoolwacht_agent.sources.packets.records import Batch

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_GZIP_MAGIC = b"\x1f\x8b"
#: A zstd frame may ask for a window of any size; a capture's needs no more.
_ZSTD_WINDOW_MAX = 128 << 20

_FORMATS: MappingProxyType[bytes, Callable[[Pieces], Iterator[Batch]]] = MappingProxyType(
    {**dict.fromkeys(PCAP_MAGICS, read_pcap), PCAPNG_MAGIC: read_pcapng}
)


def read_capture(path: Path, dropped: Callable[[int], None] = lambda _: None) -> Iterator[Batch]:
    """The packets of a capture file.

    Args:
        path: pcap or pcapng, perhaps compressed.
        dropped: told how many packets the capturing machine says it lost (pcapng interface statistics).

    Raises:
        CaptureError: the file cannot be opened, is empty, no capture, damaged or cut off.
    """
    try:
        with path.open("rb") as file, _decompressed(file) as plain:
            pieces = Pieces(plain, str(path), dropped)
            magic = pieces.peek(4)
            if not magic:
                raise CaptureError("is empty: no packets were captured into it", path=str(path))
            reader = _FORMATS.get(magic)
            if reader is None:
                raise CaptureError("is no capture: it begins like neither pcap nor pcapng", path=str(path))
            yield from reader(pieces)
    except OSError as error:
        raise CaptureError(f"cannot be read: {error.strerror or error}", path=str(path)) from error
    except (zstandard.ZstdError, zlib.error, EOFError) as error:
        raise CaptureError(f"its compression is damaged or cut off: {error}", path=str(path)) from error


def _decompressed(file: io.BufferedReader) -> io.BufferedIOBase:
    magic = file.peek(4)[:4]
    if magic == _ZSTD_MAGIC:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_MAX)
        return io.BufferedReader(decompressor.stream_reader(file, read_across_frames=True, closefd=False))
    if magic[:2] == _GZIP_MAGIC:
        return gzip.GzipFile(fileobj=file)
    return file
