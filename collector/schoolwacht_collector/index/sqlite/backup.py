"""A copy of a SQLite store, made while a collector writes to it, that can be put back.

Promise: each file of the copy is one moment of its original (SQLite's online backup, in one step: writers are not held
up, and nothing half written is copied), was checked after it was copied, and stands in ``manifest.json`` with its size
and SHA-256. The records are copied first: an alert of the copy has its signals in it. A copy is either whole or still
named ``….part``. Limits: while a day is copied its log cannot shrink; a damaged day is left out and named.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
from msgspec import Meta, Struct

from schoolwacht.errors import StoreError
from schoolwacht_collector.index.sqlite import files, schema

MANIFEST = "manifest.json"
_CHUNK = 1 << 20


class File(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a copy."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
    bytes: int
    sha256: str


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a copy holds. ``left_out`` are damaged days that could not be copied, with what is wrong with them."""

    made: datetime
    schema: int
    files: list[File]
    left_out: dict[str, str]


def take(directory: Path, target: Path, *, besides: tuple[Path, ...] = ()) -> Manifest:
    """Copy the store in ``directory`` to ``target``, which must not be there yet.

    Args:
        directory: of the store; a collector may be writing there.
        target: the new directory, made for its owner alone.
        besides: further small files to copy as they are (the collector's secret).

    Raises StoreError; what was copied until then is left as ``target`` with ``.part`` behind its name.
    """
    if target.exists():
        raise StoreError("is there already: a copy gets a new directory", path=str(target))
    part = target.with_name(target.name + ".part")
    try:
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(mode=0o700, parents=True)
        manifest = _copied(directory, part, besides)
        _write(part / MANIFEST, BytesIO(msgspec.json.format(msgspec.json.encode(manifest), indent=1)))
        _sync_directory(part)
        part.rename(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise StoreError(f"the copy failed: {error.strerror}", path=str(error.filename or target)) from error
    except sqlite3.Error as error:
        raise StoreError(f"the copy failed: {error}", path=str(target)) from error
    return manifest


def verify(copy: Path) -> Manifest:
    """Compare every file of a copy with its manifest. Raises StoreError that names the first that differs."""
    try:
        manifest = msgspec.json.decode((copy / MANIFEST).read_bytes(), type=Manifest)
        if manifest.schema > schema.VERSION:
            raise StoreError(
                f"was made by a later version of the collector (schema {manifest.schema}, this one knows"
                f" {schema.VERSION}): put it back with that version",
                path=str(copy),
            )
        for file in manifest.files:
            if _described(copy / file.name) != file:
                raise StoreError("is not what the manifest says: the copy is damaged", path=str(copy / file.name))
    except OSError as error:
        raise StoreError(f"cannot be read: {error.strerror}", path=str(error.filename)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"is no manifest of a copy: {error}", path=str(copy / MANIFEST)) from error
    return manifest


def put_back(copy: Path, directory: Path, *, besides: Path) -> Manifest:
    """Put a copy where no store is: the store's files into ``directory``, the others into ``besides``.

    Everything is verified before anything is written. Raises StoreError.
    """
    manifest = verify(copy)
    try:
        wanted = [(copy / file.name, _place(file.name, directory, besides)) for file in manifest.files]
        if directory.is_dir() and (there := [*directory.glob("*.sqlite*")]):
            raise StoreError(f"there is a store already ({there[0].name}): move it away first", path=str(directory))
        if taken := [place for _, place in wanted if place.exists()]:
            raise StoreError("is there already: move it away first", path=str(taken[0]))
        # The records last: without them a store does not open, so that half of one is never taken for a whole.
        for source, place in sorted(wanted, key=lambda each: each[1] == files.state_file(directory)):
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy_plain(source, place)
        for parent in {place.parent for _, place in wanted}:
            _sync_directory(parent)
    except OSError as error:
        raise StoreError(f"cannot be put back: {error.strerror}", path=str(error.filename)) from error
    return manifest


def _copied(directory: Path, part: Path, besides: tuple[Path, ...]) -> Manifest:
    made = datetime.now(UTC)
    done: list[File] = []
    left_out: dict[str, str] = {}
    for source in _sources(directory):
        try:
            _copy(source, part / source.name)
        except sqlite3.Error as error:
            if not source.exists():  # it expired meanwhile
                (part / source.name).unlink(missing_ok=True)
                continue
            if source == files.state_file(directory) or not files.is_damage(error):
                raise
            left_out[source.name] = str(error)
            (part / source.name).unlink(missing_ok=True)
            continue
        done.append(_described(part / source.name))
    for source in besides:
        _copy_plain(source, part / source.name)
        done.append(_described(part / source.name))
    return Manifest(made=made, schema=schema.VERSION, files=done, left_out=left_out)


def _sources(directory: Path) -> Iterator[Path]:
    state = files.state_file(directory)
    if not state.exists():
        raise StoreError("there is no store here", path=str(state))
    yield state
    # Seen after the records were copied: a day that began meanwhile is in the copy.
    yield from (path for _, path in files.day_files(directory))


def _copy(source: Path, target: Path) -> None:
    """One moment of a database as a file of its own, checked. Raises sqlite3.Error, OSError."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(schema.connect_reader(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)
        # Without a log the copy is one file; the store switches its log on again when it writes there.
        writing.execute("PRAGMA journal_mode=DELETE")
        (found,) = writing.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            damage = sqlite3.DatabaseError(str(found))
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage


def _place(name: str, directory: Path, besides: Path) -> Path:
    return (directory if name.endswith(".sqlite") else besides) / name


def _described(path: Path) -> File:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return File(path.name, path.stat().st_size, digest.hexdigest())


def _copy_plain(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        _write(target, file)


def _write(target: Path, content: BinaryIO) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file, _CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
