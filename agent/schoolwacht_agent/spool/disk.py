"""The spool's only way to the file system: few operations, so that tests can put a failing disk in its place.

Paths are relative to the spool's directory. Every operation raises OSError as the system does.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from schoolwacht.errors import SpoolError


class Stat(NamedTuple):
    """A file of a directory: its name, size in bytes and time of the last write (seconds since 1970)."""

    name: str
    size: int
    written: float


class Appending(Protocol):
    """A file that was made and is being written."""

    def write(self, data: bytes) -> None:
        """Append all of ``data``; after an error part of it may have been written."""
        ...

    def sync(self) -> None:
        """Return when everything written is on the disk. After an error nothing is known of it."""
        ...

    def close(self) -> None:
        """Never raises; promises nothing of what was not synced."""
        ...


class Disk(Protocol):
    """The file system below one spool."""

    def make_directory(self, path: str) -> None:
        """Make a directory, if it is not there."""
        ...

    def files(self, directory: str) -> list[Stat]:
        """The files of a directory; empty if there is no such directory."""
        ...

    def create(self, path: str) -> Appending:
        """Make a file that must not exist yet."""
        ...

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``offset``; fewer only at the end of the file."""
        ...

    def overwrite(self, path: str, offset: int, data: bytes, *, sync: bool) -> None:
        """Write into an existing file, in place."""
        ...

    def cut(self, path: str, size: int) -> None:
        """Shorten a file."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is no error."""
        ...

    def sync_directory(self, path: str) -> None:
        """Return when the names in a directory are on the disk."""
        ...

    def inode(self, path: str) -> int:
        """A number that a copy of the file does not have."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Exclude the other process while it decides what is settled or dropped."""
        ...

    def claim(self, role: str) -> None:
        """Be the only process in this role until :meth:`release`. Raises SpoolError if another one is."""
        ...

    def release(self, role: str) -> None:
        """Give up a role."""
        ...


class _File:
    """A real file being appended to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        _write_all(self._descriptor, data)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)


class RealDisk:
    """The file system of the machine.

    Args:
        root: the spool's directory; made, with its parents, if it is not there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._claims: dict[str, int] = {}

    def make_directory(self, path: str) -> None:
        (self.root / path).mkdir(mode=0o700, parents=True, exist_ok=True)

    def files(self, directory: str) -> list[Stat]:
        found = []
        try:
            with os.scandir(self.root / directory) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        stat = entry.stat()
                        found.append(Stat(entry.name, stat.st_size, stat.st_mtime))
        except FileNotFoundError:
            return []
        return found

    def create(self, path: str) -> Appending:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return _File(os.open(self.root / path, flags, 0o600))

    def read(self, path: str, offset: int, size: int) -> bytes:
        descriptor = os.open(self.root / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while size > 0 and (part := os.pread(descriptor, size, offset)):
                parts.append(part)
                offset += len(part)
                size -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(descriptor)

    def overwrite(self, path: str, offset: int, data: bytes, *, sync: bool) -> None:
        descriptor = os.open(self.root / path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view = view[written:]
                offset += written
            if sync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def cut(self, path: str, size: int) -> None:
        os.truncate(self.root / path, size)

    def remove(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)

    def sync_directory(self, path: str) -> None:
        descriptor = os.open(self.root / path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def inode(self, path: str) -> int:
        return (self.root / path).stat().st_ino

    @contextmanager
    def locked(self) -> Iterator[None]:
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def claim(self, role: str) -> None:
        path = self.root / f"{role}.claim"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise SpoolError(
                f"another process is its {role}; two agents cannot share one spool", path=str(self.root)
            ) from error
        self._claims[role] = descriptor

    def release(self, role: str) -> None:
        if (descriptor := self._claims.pop(role, None)) is not None:
            os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
