"""``schoolwacht-collector backup`` and ``restore``: copy the store while it is used, check a copy, put it back."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from schoolwacht.errors import ConfigError
from schoolwacht_collector import config, secret
from schoolwacht_collector.config import Settings, StoreName
from schoolwacht_collector.index.sqlite import backup
from schoolwacht_collector.index.sqlite.backup import Manifest

BACKUP = "copy the SQLite store and the collector's secret while it runs"
BACKUP_DESCRIPTION = """\
Copy the SQLite store and the collector's secret into a new directory, while the collector runs. Every file is copied as
of one moment, checked, and named in manifest.json with its SHA-256. Dead letters are not copied. Run it as the
account of the collector; guard the copy like the store: it holds all that the store holds, and the secret."""
RESTORE = "check a copy that backup made, and put it where no store is"
RESTORE_DESCRIPTION = """\
Check every file of a copy against its manifest, then put it where the configuration says that the store is, which must
not be there. Stop the collector first; run it as its account."""


def add_backup_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``backup``."""
    command.add_argument("directory", type=Path, metavar="DIRECTORY", help="where the copy goes; must not be there yet")


def add_restore_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``restore``."""
    command.add_argument("directory", type=Path, metavar="DIRECTORY", help="a copy that backup made")
    command.add_argument("--check", action="store_true", help="check the copy only, and write nothing")


def run_backup(options: argparse.Namespace) -> int:
    """Copy; the exit status is 1 if a damaged day had to be left out."""
    settings = _settings(options.config)
    _as_the_owner(settings.sqlite_directory)
    file = settings.state / secret.FILE
    manifest = backup.take(settings.sqlite_directory, options.directory, besides=(file,) if file.exists() else ())
    for name, fault in manifest.left_out.items():
        print(f"schoolwacht-collector: {name} is damaged and was left out: {fault}", file=sys.stderr)
    if not file.exists():
        print(f"schoolwacht-collector: the secret is in {secret.VARIABLE} and was not copied", file=sys.stderr)
    _show(options, manifest, f"{options.directory} has {_size(manifest)}.")
    return 1 if manifest.left_out else 0


def run_restore(options: argparse.Namespace) -> int:
    """Check, and put back unless only that was asked."""
    if options.check:
        manifest = backup.verify(options.directory)
        _show(
            options, manifest, f"{options.directory} is whole: {_size(manifest)} of {manifest.made:%Y-%m-%d %H:%M} UTC."
        )
        return 0
    settings = _settings(options.config)
    manifest = backup.put_back(options.directory, settings.sqlite_directory, besides=settings.state)
    _show(options, manifest, f"{_size(manifest)} put back as they were at {manifest.made:%Y-%m-%d %H:%M} UTC.")
    return 0


def _settings(path: Path) -> Settings:
    settings = config.load(path)
    if settings.store.kind is not StoreName.SQLITE:
        raise ConfigError(
            "the store is Elasticsearch, which makes its copies itself (snapshots): docs/operating.md says how",
            path=str(path),
            field="store.kind",
        )
    return settings


def _as_the_owner(directory: Path) -> None:
    """Opening a database makes files beside it: made by another account, they would lock the collector out."""
    if directory.is_dir() and (owner := directory.stat().st_uid) != os.geteuid():
        raise ConfigError(
            f"belongs to another account (number {owner}): run this as that account, the collector's",
            path=str(directory),
        )


def _size(manifest: Manifest) -> str:
    return f"{len(manifest.files)} files, {sum(file.bytes for file in manifest.files) / (1 << 20):,.1f} MiB"


def _show(options: argparse.Namespace, manifest: Manifest, text: str) -> None:
    print(msgspec.json.encode(manifest).decode() if options.json else text)
