"""A disk as bad as disks are: a power cut keeps any subset of what was not synced, and every operation can fail.

Content is kept twice: as programs see it (page cache) and as the platters have it. Syncing copies the dirty pages; a
failed sync forgets that they are dirty, as Linux does, so that a second sync would "succeed" without them. Names of
files are durable only when their directory was synced.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schoolwacht.errors import SpoolError
from schoolwacht_agent.spool.disk import Appending, Stat

PAGE = 128


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Inode:
    number: int
    written: float
    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)

    def put(self, offset: int, data: bytes) -> None:
        if len(self.seen) < offset:
            self.seen.extend(bytes(offset - len(self.seen)))
        self.seen[offset : offset + len(data)] = data
        self.dirty.update(range(offset // PAGE, (offset + len(data) + PAGE - 1) // PAGE))

    def keep(self, pages: set[int]) -> None:
        for start, stop in _stretches(pages):
            end = min(stop, len(self.seen))
            if len(self.durable) < end:
                self.durable.extend(bytes(end - len(self.durable)))
            if start < end:
                self.durable[start:end] = self.seen[start:end]

    def sync(self) -> None:
        # What a failed sync forgot is not dirty, and stays lost.
        self.keep(self.dirty)
        del self.durable[len(self.seen) :]
        self.dirty.clear()


def _stretches(pages: set[int]) -> Iterator[tuple[int, int]]:
    """Pages as stretches of bytes, each as long as can be."""
    first = last = -1
    for page in sorted(pages):
        if page != last + 1 or first < 0:
            if first >= 0:
                yield first * PAGE, (last + 1) * PAGE
            first = page
        last = page
    if first >= 0:
        yield first * PAGE, (last + 1) * PAGE


class ModelFile:
    def __init__(self, disk: ModelDisk, path: str, inode: Inode) -> None:
        self._disk = disk
        self._path = path
        self._inode = inode
        self._life = disk.life

    def write(self, data: bytes) -> None:
        assert self._life == self._disk.life, "a dead process writes"
        try:
            self._disk.step("write", self._path)
        except (OSError, Crash):
            part = data[: self._disk.random.randint(0, len(data))]
            self._inode.put(len(self._inode.seen), part)
            raise
        self._inode.put(len(self._inode.seen), data)
        self._inode.written = self._disk.now

    def sync(self) -> None:
        assert self._life == self._disk.life
        self._disk.sync_inode(self._inode, self._path)

    def close(self) -> None:
        pass


class ModelDisk:
    """The disk. ``arm`` makes a coming operation fail; ``kill`` and ``cut_power`` end the processes that use it."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.names: dict[str, Inode] = {}
        self.durable_names: dict[str, Inode] = {}
        self.now = 1_800_000_000.0
        self.life = 0
        self.steps = 0
        self._inodes = 0
        self._claims: set[str] = set()
        self._fault: tuple[str, int, bool] | None = None

    # Faults

    def arm(self, kind: str, after: int, *, lasting: bool = False) -> None:
        """Let the operation after so many others fail: enospc, eio_write, eio_sync, eio_read, crash or
        crash_sync (all that was written is in the page cache).
        """
        self._fault = (kind, after, lasting)

    def heal(self) -> None:
        self._fault = None

    @property
    def fails_no_more(self) -> bool:
        """Whether the failure that was armed has happened, and no other will."""
        return self._fault is None

    def step(self, operation: str, path: str) -> None:
        self.steps += 1
        if self._fault is None:
            return
        kind, after, lasting = self._fault
        if kind in _FAILS and operation not in _FAILS[kind]:
            return
        if kind == "enospc" and operation == "overwrite":
            return
        if after > 0:
            self._fault = (kind, after - 1, lasting)
            return
        if not lasting:
            self._fault = None
        if kind in {"crash", "crash_sync"}:
            raise Crash(f"{operation} {path}")
        code = errno.ENOSPC if kind == "enospc" else errno.EIO
        raise OSError(code, f"{kind} at {operation} {path}")

    def kill(self) -> None:
        """kill -9 of every process: the page cache survives."""
        self.life += 1
        self._claims.clear()
        self.heal()

    def cut_power(self) -> None:
        """All that was not synced is kept or lost by chance, page by page and name by name."""
        self.kill()
        for inode in {id(inode): inode for inode in [*self.names.values(), *self.durable_names.values()]}.values():
            inode.keep({page for page in sorted(inode.dirty) if self.random.random() < 0.5})
            if len(inode.durable) > len(inode.seen):
                del inode.durable[len(inode.seen) :]
            inode.dirty.clear()
            inode.seen = bytearray(inode.durable)
        for path in sorted(self.names.keys() ^ self.durable_names.keys()):
            if self.random.random() < 0.5:
                if path in self.names:
                    self.durable_names[path] = self.names[path]
                else:
                    del self.durable_names[path]
        self.names = dict(self.durable_names)

    # Disk

    def make_directory(self, path: str) -> None:
        pass

    def files(self, directory: str) -> list[Stat]:
        prefix = f"{directory}/" if directory else ""
        return [
            Stat(path[len(prefix) :], len(inode.seen), inode.written)
            for path, inode in self.names.items()
            if path.startswith(prefix) and "/" not in path[len(prefix) :]
        ]

    def create(self, path: str) -> Appending:
        self.step("create", path)
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "exists", path)
        self._inodes += 1
        self.names[path] = Inode(self._inodes, self.now)
        return ModelFile(self, path, self.names[path])

    def read(self, path: str, offset: int, size: int) -> bytes:
        self.step("read", path)
        with memoryview(self._at(path).seen) as seen:
            return bytes(seen[offset : offset + size])

    def overwrite(self, path: str, offset: int, data: bytes, *, sync: bool) -> None:
        inode = self._at(path)
        try:
            self.step("overwrite", path)
        except (OSError, Crash):
            inode.put(offset, data[: self.random.randint(0, len(data))])
            raise
        inode.put(offset, data)
        if sync:
            self.sync_inode(inode, path)

    def sync_inode(self, inode: Inode, path: str) -> None:
        try:
            self.step("sync", path)
        except OSError:
            inode.keep({page for page in sorted(inode.dirty) if self.random.random() < 0.5})
            inode.dirty.clear()
            raise
        inode.sync()

    def cut(self, path: str, size: int) -> None:
        self.step("cut", path)
        inode = self._at(path)
        del inode.seen[size:]
        inode.dirty.add(size // PAGE)

    def remove(self, path: str) -> None:
        self.step("remove", path)
        self.names.pop(path, None)

    def sync_directory(self, path: str) -> None:
        self.step("sync", path or ".")
        prefix = f"{path}/" if path else ""
        for names in (self.names, self.durable_names):
            for name in [name for name in names if name.startswith(prefix) and "/" not in name[len(prefix) :]]:
                if name in self.names:
                    self.durable_names[name] = self.names[name]
                else:
                    del self.durable_names[name]

    def inode(self, path: str) -> int:
        return self._at(path).number

    @contextmanager
    def locked(self) -> Iterator[None]:
        yield

    def claim(self, role: str) -> None:
        if role in self._claims:
            raise SpoolError(f"another process is its {role}")
        self._claims.add(role)

    def release(self, role: str) -> None:
        self._claims.discard(role)

    def _at(self, path: str) -> Inode:
        try:
            return self.names[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "no such file", path) from None


_FAILS = {
    "enospc": {"create", "write", "overwrite"},
    "eio_write": {"create", "write", "overwrite"},
    "eio_sync": {"sync"},
    "crash_sync": {"sync"},
    "eio_read": {"read"},
}
