"""A growing file of lines, followed through every way in which it is rotated, from a place that can be kept.

Promise: every line is given exactly once, in the order in which it was written, as long as the files still hold it,
however often the reader stops and goes on at its last :meth:`Tail.mark`. What cannot be given is counted in
:attr:`Tail.faults`, never left out silently: lines longer than 1 MB, as many NUL bytes, and what was lost with a file
that is gone.

* Renamed (``eve.json`` → ``eve.json.1``, ``eve.json-20261124``): the old file is read to its end before the new one.
  It is left only when the new one has content, because writers go on with the old one until they open the new.
* Several times while nobody read: the files in between are read too, oldest first (by the time of last writing).
* Copied and truncated: the copy is found by the bytes it begins with and its rest is read, then the file from its
  start. (What was written between copy and truncation is lost by that method itself; rename instead.)
* Compressed files are not read: what stands only there counts as a gap.

Limits: plain files on one file system. A line without a line feed waits for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from schoolwacht.errors import SourceError

LINE_MAX = 1 << 20
#: Small, so that the events of one list (1.5 kB each) are still in the processor's cache where the next step takes
#: them: with 256 KiB, line to batch took a fifth longer.
CHUNK = 1 << 15
_HEAD = 256
_COMPRESSED = frozenset({".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip"})

LONG_LINE = "line of more than 1 MB"
NULS = "more than 1 MB of NUL bytes"
OPEN_LINE = "line without an end"
GAP = "the file to go on with is gone"
TRUNCATED = "the file was truncated and no copy holds the rest"


class Place(NamedTuple):
    """Where reading goes on, as ``inode:offset:written:head``.

    ``written`` is the file's time of last writing (ns) when the place was taken, ``head`` a hash of its first bytes
    up to ``offset``: an inode may be used again, and a truncated file may grow beyond the offset.
    """

    inode: int
    offset: int
    written: int
    head: str

    def encode(self) -> bytes:
        """As the bytes that :meth:`decode` reads."""
        return f"{self.inode}:{self.offset}:{self.written}:{self.head}".encode()

    @classmethod
    def decode(cls, mark: bytes) -> Place:
        """Raises SourceError if the bytes are no place."""
        try:
            inode, offset, written, head = mark.decode().split(":")
            return cls(int(inode), int(offset), int(written), head)
        except (UnicodeDecodeError, ValueError) as error:
            raise SourceError(f"no place in an EVE file: {mark[:60]!r}") from error


class Tail:
    """Follows ``path``.

    Args:
        path: the file that is written to; it may not exist yet.
        mark: where to go on; empty: see ``from_start``.
        from_start: without a mark, begin with the oldest file there is (else with the next whole line of ``path``).

    Raises SourceError if ``mark`` is none, or a file cannot be opened.
    """

    def __init__(self, path: Path, mark: bytes = b"", *, from_start: bool = True) -> None:
        self.path = path
        #: What could not be given, by reason.
        self.faults: Counter[str] = Counter()
        self._descriptor = -1
        self._inode = self._written = 0
        # Offset of the first byte not read yet, and of the first byte of the first line not given yet.
        self._read = self._given = 0
        self._head = b""
        # The beginning of a line whose end was not read yet; passing: it is too long and only its end is looked for.
        self._held = b""
        self._passing = False
        # More than 1 MB of NUL bytes at its beginning was let go.
        self._hole = False
        self._done: dict[tuple[int, int], None] = {}
        # Files last written before this were given already, or are not wanted.
        self._since = 0
        if mark:
            self._resume(Place.decode(mark))
        elif from_start:
            self._begin()
        elif self._open(path):
            self._skip_to_end()
        else:
            self._since = time.time_ns()

    def close(self) -> None:
        """Let the file go. :meth:`mark` stays valid."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def mark(self) -> bytes:
        """The place after the last line given; empty if there was no file yet."""
        if self._descriptor >= 0:
            self._written = os.fstat(self._descriptor).st_mtime_ns
        if not self._inode:
            return b""
        return Place(self._inode, self._given, self._written, _hash(self._head[: self._given])).encode()

    def lines(self, *, final: bool = False) -> list[bytes]:
        """The next whole lines, without their line feeds; empty if there is nothing new.

        One call reads on, a CHUNK at a time, until it has a line or nothing is left. ``final``: nothing will be written
        any more, so a last line without a line feed is given too.
        """
        while self._descriptor >= 0 or self._begin():
            self._check_truncated()
            chunk = os.pread(self._descriptor, CHUNK, self._read)
            if chunk:
                if len(self._head) < _HEAD:
                    self._head += chunk[: _HEAD - len(self._head)]
                self._read += len(chunk)
                if found := self._cut(chunk):
                    return found
            elif not self._go_on():
                return self._rest() if final else []
        return []

    def waiting(self) -> int:
        """Bytes that are written and not read yet, of this file and the one that is written to."""
        if self._descriptor < 0:
            return 0
        left = os.fstat(self._descriptor).st_size - self._read
        try:
            now = self.path.stat()
        except OSError:
            return max(0, left)
        return max(0, left) + (now.st_size if now.st_ino != self._inode else 0)

    def finished(self) -> list[Path]:
        """The rotated files that were written before the present one, oldest first."""
        files = [(state.st_ino, path) for state, path in self._rotated()]
        inodes = [inode for inode, _ in files]
        known = inodes.index(self._inode) if self._inode in inodes else len(files)
        return [path for _, path in files[:known]]

    # Lines

    def _cut(self, chunk: bytes) -> list[bytes]:
        complete, feed, begun = chunk.rpartition(b"\n")
        if not feed:
            self._hold(begun)
            return []
        whole = complete.split(b"\n")
        # Only the first can be too long: any other is shorter than a chunk.
        self._hold(whole[0])
        whole[0] = self._finish()
        self._given = self._read - len(begun)
        self._hold(begun)
        return [line for line in whole if line]

    def _hold(self, begun: bytes) -> None:
        """Add to the line that has begun. What is too much is counted once a line, and of NUL bytes only let go."""
        if self._passing:
            return
        self._held += begun
        if len(self._held) <= LINE_MAX:
            return
        # A writer that does not append leaves a hole when its file is truncated, and its next record behind it.
        self._held = self._held.lstrip(b"\0")
        if len(self._held) > LINE_MAX:
            self.faults[LONG_LINE] += 1
            self._held, self._passing = b"", True
        elif not self._hole:
            self.faults[NULS] += 1
            self._hole = True

    def _finish(self) -> bytes:
        """The line that has begun, whole; empty if it was passed over."""
        line, self._held, self._passing, self._hole = self._held, b"", False, False
        return line

    def _rest(self) -> list[bytes]:
        line = self._finish()
        self._given = self._read
        return [line] if line else []

    def _skip_to_end(self) -> None:
        """Begin after the last line feed, so that the first line given is a whole one."""
        size = os.fstat(self._descriptor).st_size
        self._head = os.pread(self._descriptor, _HEAD, 0)[:size]
        at = size
        while at > 0:
            start = max(0, at - CHUNK)
            found = os.pread(self._descriptor, at - start, start).rfind(b"\n")
            if found >= 0:
                at = start + found + 1
                break
            at = start
        self._read = self._given = at

    # Files

    def _begin(self) -> bool:
        """Open the oldest file that is wanted; False if there is none."""
        # Opened before the others are looked for: whatever was renamed before this file was begun is found then.
        opened = self._open(self.path)
        older = self._unread(self._since)
        return self._open(older) if older is not None else opened

    def _go_on(self) -> bool:
        """At the end of the present file: change to the next one if there is one."""
        successor = self._successor()
        if successor is None:
            return False
        if os.pread(self._descriptor, 1, self._read):
            return True  # written to just before the change
        state, unfinished = os.fstat(self._descriptor), bool(self._held or self._passing)
        self._done[state.st_ino, state.st_mtime_ns] = None
        while len(self._done) > 1000:
            del self._done[next(iter(self._done))]
        if not self._open(successor):
            return False
        if unfinished:
            self.faults[OPEN_LINE] += 1
        if successor is self.path and (older := self._unread(state.st_mtime_ns, but=state.st_ino)) is not None:
            # The file that was meant has been renamed between the look and the opening.
            self._open(older)
        return True

    def _successor(self) -> Path | None:
        """The file that was begun after the present one; None if the present one is still written to."""
        try:
            now = self.path.stat()
        except OSError:
            now = None
        if now is not None and now.st_ino == self._inode:
            return None
        older = self._unread(os.fstat(self._descriptor).st_mtime_ns, but=self._inode)
        if older is not None:
            return older
        return self.path if now is not None and now.st_size else None

    def _unread(self, since: int, *, but: int = 0) -> Path | None:
        """The oldest rotated file that was written since then and is not done; ``but``: and is not this inode."""
        for state, path in self._rotated(since=since):
            if state.st_ino != but and (state.st_ino, state.st_mtime_ns) not in self._done:
                return path
        return None

    def _rotated(self, *, since: int = 0) -> list[tuple[os.stat_result, Path]]:
        """The files whose names say that they were ``path``, in the order in which they were last written.

        Of two written within one tick of the clock, the one that was renamed first is the older.
        """
        name = re.compile(rf"{re.escape(self.path.name)}[.-].+")
        found = []
        for entry in os.scandir(self.path.parent):
            path = Path(entry.path)
            if name.fullmatch(entry.name) is None or path.suffix in _COMPRESSED:
                continue
            try:
                state = path.stat()
            except OSError:
                continue  # gone meanwhile
            if state.st_size and state.st_mtime_ns >= since:
                found.append((state, path))
        return sorted(found, key=lambda pair: (pair[0].st_mtime_ns, pair[0].st_ctime_ns))

    def _check_truncated(self) -> None:
        """If the file was truncated (and has perhaps grown again), read what a copy holds, then go on at its start."""
        if os.fstat(self._descriptor).st_size >= self._read and self._begins_with(self._descriptor, self._head):
            return
        place = Place(self._inode, self._given, 0, _hash(self._head[: self._given]))
        head = self._head[: self._given]
        for _, path in reversed(self._rotated()):
            if head and self._is_at(path, place, same_inode=False):
                return
        self.faults[TRUNCATED] += 1
        self._open(self.path)

    def _resume(self, place: Place) -> None:
        files = [self.path, *(path for _, path in self._rotated())]
        for same_inode in (True, False):
            if any(self._is_at(path, place, same_inode=same_inode) for path in files):
                return
        self.faults[GAP] += 1
        # Files last written after the place was taken hold what was never given.
        self._since = place.written
        self._begin()

    def _is_at(self, path: Path, place: Place, *, same_inode: bool) -> bool:
        """Go on in ``path`` if it is the file of a place (or, of another inode, a copy of it)."""
        try:
            with path.open("rb") as file:
                state = os.fstat(file.fileno())
                head = file.read(_HEAD)[: place.offset]
        except OSError:
            return False
        fits = (state.st_ino == place.inode) is same_inode and state.st_size >= place.offset
        # Without a byte given there is nothing to know a copy by.
        if not fits or _hash(head) != place.head or not (head or same_inode) or not self._open(path):
            return False
        self._read = self._given = place.offset
        self._head = head
        return True

    def _open(self, path: Path) -> bool:
        """Begin with ``path``, closing what was open; False (and nothing changed) if it does not exist."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", path=str(path)) from error
        self.close()
        self._descriptor = descriptor
        self._inode = os.fstat(descriptor).st_ino
        self._read = self._given = 0
        self._head = b""
        self._finish()
        return True

    @staticmethod
    def _begins_with(descriptor: int, head: bytes) -> bool:
        return not head or os.pread(descriptor, len(head), 0) == head


def _hash(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=8).hexdigest()
