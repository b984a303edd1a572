"""The recent packets: segments of a mebibyte in memory or on disk, the oldest forgotten by bytes and by hours.

Promise: never more than its bound of bytes (segments and the open one together), and always the newest packets that it
was given. A segment is a capture file. On disk a segment is written when it is full, so that a kill costs the open one.

Limits: what it is given are the first packets of each direction of a flow (``Keeper.depth``): a school's traffic of
minutes to hours fits, and what lies deep in a long transfer is not there.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from schoolwacht.errors import CaptureError
from schoolwacht_agent.evidence.packets import (
    FILE_HEADER,
    HEADERS,
    RECORD_HEADER,
    SNAP,
    Packet,
    Want,
    file_header,
    packets_of,
)
from schoolwacht_agent.sources.packets.capture import read_capture
from schoolwacht_agent.sources.packets.records import Batch, Link

log = logging.getLogger(__name__)

SEGMENT = 1 << 20
_NAME = re.compile(r"^(?P<number>\d{10})-(?P<first>\d{1,12})-(?P<last>\d{1,12})\.pcap$")


class Packets(Protocol):
    """Where packets of the past can be looked for."""

    def search(self, want: Want, since: float, until: float) -> Iterator[list[Packet]]:
        """The packets that are wanted and came between two moments, in small steps, so that other work can go on.

        A step may be empty. Newest first by steps, where the place of the newest is known.
        """
        ...


class _Segment(NamedTuple):
    """A closed segment. ``data`` is None if it is in a file."""

    number: int
    first: float
    last: float
    size: int
    data: bytes | None
    path: Path | None

    def read(self) -> bytes:
        if self.data is not None:
            return self.data
        assert self.path is not None
        with suppress(OSError):
            return self.path.read_bytes()
        return b""


class Recent:
    """The ring; a :class:`~schoolwacht_agent.sources.packets.records.Keeper`.

    Args:
        depth: packets of each direction of a flow.
        max_bytes: of all segments; at least two segments.
        max_seconds: age, by the newest packet's time.
        directory: for segments on disk; None holds them in memory.
        segment: size of a segment.
    """

    def __init__(
        self, depth: int, max_bytes: int, max_seconds: float, directory: Path | None = None, *, segment: int = SEGMENT
    ) -> None:
        self.depth = depth
        #: Packets taken; segments forgotten to make room, forgotten by age, and refused by the disk.
        self.taken = self.evicted = self.expired = self.refused = 0
        self._segment = min(segment, max(1, max_bytes // 2))
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._directory = directory
        self._segments: deque[_Segment] = deque()
        self._closed_bytes = 0
        self._number = 0
        self._open = bytearray()
        self._link = -1
        self._first = self._last = 0.0
        if directory is not None:
            self._found(directory)

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._closed_bytes + len(self._open)

    def take(self, batch: Batch) -> None:
        """See Keeper."""
        buffer, link, records = batch
        if link != self._link:
            self._close()
            self._link = link
        if any(record[4] for record in records) and link == Link.ETHERNET:
            buffer, records = _tagged(batch)
        header, limit, data = RECORD_HEADER.pack, self._segment, self._open
        room = limit - len(data)
        last = self._last
        for seconds, wire, start, captured, _ in records:
            size = captured if captured < SNAP else SNAP  # noqa: FURB136 - a call costs a tenth of what this loop takes
            room -= size + 16
            if room < 0 or not data:
                self._last = last
                self._close()
                data = self._open
                data += file_header(link)
                room = limit - len(data) - size - 16
                self._first = last = seconds
            whole = int(seconds)
            data += header(whole, int((seconds - whole) * 1e9), size, wire)
            data += buffer[start : start + size]
            if seconds > last:  # noqa: PLR1730 - the same
                last = seconds
        self._last = last
        self.taken += len(records)

    def search(self, want: Want, since: float, until: float) -> Iterator[list[Packet]]:
        """See Packets: a segment a step."""
        link, held = self._link, bytes(self._open)
        closed = [one for one in reversed(self._segments) if one.last >= since and one.first <= until]
        if held:
            yield _matching(held, link, want, since, until)
        for segment in closed:
            data = segment.read()
            if len(data) >= FILE_HEADER.size:
                yield _matching(data, FILE_HEADER.unpack_from(data)[6], want, since, until)

    def close(self) -> None:
        """The end: on disk what is open is kept."""
        self._close()

    def _close(self) -> None:
        if not self._open:
            return
        data, self._open = bytes(self._open), bytearray()
        number, self._number = self._number, self._number + 1
        path = None
        if self._directory is not None:
            path = self._directory / f"{number:010}-{int(self._first)}-{int(self._last) + 1}.pcap"
            if not self._write(path, data):
                return
        held = data if path is None else None
        self._segments.append(_Segment(number, self._first, self._last, len(data), held, path))
        self._closed_bytes += len(data)
        self._forget(self._last)

    def _write(self, path: Path, data: bytes) -> bool:
        try:
            path.touch(mode=0o600)
            path.write_bytes(data)
        except OSError as error:
            if not self.refused:
                log.warning("%s: recent packets cannot be kept: %s", path, error.strerror)
            self.refused += 1
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return False
        return True

    def _forget(self, now: float) -> None:
        segments = self._segments
        # Room for the segment that is open now.
        while segments and self._closed_bytes > self._max_bytes - self._segment:
            self._drop()
            self.evicted += 1
        while segments and segments[0].last < now - self._max_seconds:
            self._drop()
            self.expired += 1

    def _drop(self) -> None:
        oldest = self._segments.popleft()
        self._closed_bytes -= oldest.size
        if oldest.path is not None:
            with suppress(OSError):
                oldest.path.unlink(missing_ok=True)

    def _found(self, directory: Path) -> None:
        """The segments of an earlier run."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(directory.iterdir()):
            name = _NAME.match(path.name)
            if name is None:
                continue
            size = path.stat().st_size
            self._segments.append(
                _Segment(int(name["number"]), float(name["first"]), float(name["last"]), size, None, path)
            )
            self._closed_bytes += size
            self._number = int(name["number"]) + 1
        if self._segments:
            self._forget(max(one.last for one in self._segments))


class Written:
    """Capture files that another program writes in turn, as the place of past packets.

    Args:
        directory: where they are.
        pattern: of their names.
        max_seconds: age at which a file that is no longer written is erased.
    """

    def __init__(self, directory: Path, pattern: str, max_seconds: float) -> None:
        self._directory = directory
        self._pattern = pattern
        self._max_seconds = max_seconds

    def search(self, want: Want, since: float, until: float) -> Iterator[list[Packet]]:
        """See Packets: newest file first, a piece of a file a step."""
        for path in self._files():
            # The newest file ends in the middle of a packet; what stands before it has been given by then.
            with suppress(CaptureError):
                for batch in read_capture(path):
                    yield [
                        packet
                        for packet in packets_of(batch)
                        if since <= packet.seconds <= until and want.has(packet.data)
                    ]

    def _files(self) -> list[Path]:
        """Newest first; forgets those that are too old."""
        found: list[tuple[float, Path]] = []
        for path in self._directory.glob(self._pattern):
            with suppress(OSError):
                found.append((path.stat().st_mtime, path))
        found.sort(reverse=True)
        oldest = time.time() - self._max_seconds
        for changed, path in found[1:]:
            if changed < oldest:
                with suppress(OSError):
                    path.unlink()
        return [path for changed, path in found if changed >= oldest or path == found[0][1]]


class Captures:
    """Capture files as the place of past packets, whatever their times.

    For replay, where a signal may be of another time than its packets (``pace``).
    """

    def __init__(self, *paths: Path) -> None:
        self._paths = paths

    def search(self, want: Want, since: float, until: float) -> Iterator[list[Packet]]:
        """See Packets: in the order of the files, a piece of a file a step."""
        del since, until
        for path in self._paths:
            with suppress(CaptureError):
                # What is wrong with the file has been said when it was played.
                for batch in read_capture(path):
                    yield [packet for packet in packets_of(batch) if want.has(packet.data)]


def _tagged(batch: Batch) -> tuple[bytes, list[tuple[float, int, int, int, int]]]:
    """The packets with their VLAN tags in the frames, in a buffer of their own."""
    parts: list[bytes] = []
    records = []
    at = 0
    for packet in packets_of(batch):
        parts.append(packet.data)
        records.append((packet.seconds, packet.wire, at, len(packet.data), 0))
        at += len(packet.data)
    return b"".join(parts), records


def _matching(data: bytes, link: int, want: Want, since: float, until: float) -> list[Packet]:
    """The wanted packets of a segment, newest first."""
    if want.source not in data or (want.destination is not None and want.destination not in data):
        return []
    found = []
    at, end, unpack, find = FILE_HEADER.size, len(data), RECORD_HEADER.unpack_from, data.find
    source = want.source
    while at + RECORD_HEADER.size <= end:
        whole, nanoseconds, size, wire = unpack(data, at)
        start = at + RECORD_HEADER.size
        at = start + size
        if at > end:
            break
        if find(source, start, min(at, start + HEADERS)) < 0:
            continue
        seconds = whole + nanoseconds * 1e-9
        if since <= seconds <= until and want.has(packet := data[start:at]):
            found.append(Packet(link, seconds, wire, packet))
    found.reverse()
    return found
