"""Rule books on disk: each a directory that is never changed, one of them the present one; and what agents get.

::

    <directory>/<version>/manifest.json, bundle.tar.zst      current -> <version>

Promise: a book appears whole or not at all, and the present one is exchanged in one step. The bundle is one tar in one
zstd frame: ``manifest.json`` with the SHA-256 of every file, then the files. Same rules, same version. Limits: the
directory belongs to one collector; another one gets a copy of it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec
import zstandard

from schoolwacht_collector.rulebook.errors import RulebookError

MANIFEST = "manifest.json"
BUNDLE = "bundle.tar.zst"
CURRENT = "current"
RULES_TYPE = "application/vnd.schoolwacht.rules.v1+zstd"


class File(msgspec.Struct, frozen=True):
    """A file of a book."""

    name: str
    sha256: str
    size: int


class Origin(msgspec.Struct, frozen=True):
    """A source that a book was made of: what it was, under which licence, and when."""

    name: str
    url: str
    licence: str
    sha256: str
    fetched: datetime


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a book is: ``rules`` signatures, ``on`` of them switched on, ``checked`` by these versions of Suricata."""

    version: str
    created: datetime
    rules: int
    on: int
    files: tuple[File, ...]
    sources: tuple[Origin, ...]
    checked: tuple[str, ...]
    forced_by: str | None = None
    forced_why: str | None = None


class Shelf:
    """The rule books of a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def current(self) -> Manifest | None:
        """The present book's manifest, or None. Raises RulebookError."""
        try:
            version = (self.directory / CURRENT).readlink().name
        except OSError:
            return None
        return self.manifest(version)

    def manifest(self, version: str) -> Manifest:
        """A book's manifest. Raises RulebookError."""
        path = self._book(version) / MANIFEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError as error:
            raise RulebookError(
                f"there is no rule book {version}; there are {', '.join(self.versions()) or 'none'}"
            ) from error
        except (OSError, msgspec.MsgspecError) as error:
            raise RulebookError(f"cannot be read: {error}", path=str(path)) from error

    def versions(self) -> list[str]:
        """The books, newest first."""
        try:
            books = [path for path in self.directory.iterdir() if (path / MANIFEST).is_file() and not path.is_symlink()]
        except OSError:
            return []
        return [
            path.name for path in sorted(books, key=lambda path: (path / MANIFEST).stat().st_mtime_ns, reverse=True)
        ]

    def bundle(self, version: str) -> bytes:
        """A book's bundle as agents get it. Raises RulebookError."""
        path = self._book(version) / BUNDLE
        try:
            return path.read_bytes()
        except OSError as error:
            raise RulebookError(f"cannot be read: {error.strerror}", path=str(path)) from error

    def files(self, version: str) -> dict[str, bytes]:
        """A book's files, checked against its manifest. Raises RulebookError."""
        found = unpack(self.bundle(version))
        for file in self.manifest(version).files:
            if hashlib.sha256(found.get(file.name, b"")).hexdigest() != file.sha256:
                raise RulebookError(f"{file.name} is damaged or missing", path=str(self._book(version) / BUNDLE))
        return found

    def add(self, manifest: Manifest, contents: Mapping[str, bytes], *, keep: int) -> None:
        """Put a book on the shelf and make it the present one; the oldest beyond ``keep`` go. Raises RulebookError."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write(manifest, contents)
            self._point_at(manifest.version)
            for version in [each for each in self.versions() if each != manifest.version][keep - 1 :]:
                shutil.rmtree(self._book(version))
        except OSError as error:
            raise RulebookError(f"cannot be written: {error.strerror}", path=str(self.directory)) from error

    def _write(self, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
        raw = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        new = self.directory / f".{manifest.version}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for name, data in ((MANIFEST, raw), (BUNDLE, pack({MANIFEST: raw, **contents}))):
            with (new / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        book = self._book(manifest.version)
        shutil.rmtree(book, ignore_errors=True)
        new.rename(book)

    def _point_at(self, version: str) -> None:
        link = self.directory / f".{CURRENT}.new"
        link.unlink(missing_ok=True)
        link.symlink_to(version)
        link.replace(self.directory / CURRENT)

    def _book(self, version: str) -> Path:
        if not version.isalnum():
            raise RulebookError(f"{version!r} is no version of a rule book")
        return self.directory / version


def version_of(contents: Mapping[str, bytes]) -> str:
    """The version of a book with these files: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(contents):
        digest.update(name.encode() + b"\0" + hashlib.sha256(contents[name]).digest())
    return digest.hexdigest()[:16]


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Files as one tar in one zstd frame; the same files give the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(data))
    return zstandard.ZstdCompressor(level=12).compress(buffer.getvalue())


def unpack(frame: bytes, *, limit: int = 256 << 20) -> dict[str, bytes]:
    """The files of a bundle. Raises RulebookError for what is none, or unpacks to more than ``limit``."""
    reader = zstandard.ZstdDecompressor(max_window_size=128 << 20).stream_reader(frame, read_across_frames=False)
    try:
        raw = reader.read(limit + 1)
        if len(raw) > limit:
            raise RulebookError(f"a bundle unpacks to more than {limit >> 20} MiB")
        found: dict[str, bytes] = {}
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
            for member in tar:
                # A sparse one may claim any size.
                content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                if content is None or "/" in member.name or member.name.startswith("."):
                    raise RulebookError(f"a bundle holds {member.name!r}, which is no file of a rule book")
                found[member.name] = content.read()
    except (zstandard.ZstdError, tarfile.TarError, MemoryError) as error:
        raise RulebookError(f"is no bundle of rules: {error}") from error
    return found
