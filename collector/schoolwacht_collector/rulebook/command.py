"""``schoolwacht-collector rulebook``: make, look at, compare and check the central rule book."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from schoolwacht_collector import config
from schoolwacht_collector.rulebook.errors import RulebookError
from schoolwacht_collector.rulebook.rules import Difference, in_words
from schoolwacht_collector.rulebook.shelf import Manifest, Shelf
from schoolwacht_collector.rulebook.update import check, compare, update

SUMMARY = "make, look at, compare and check the central rule book of Suricata signatures"
DESCRIPTION = """\
`update` fetches the sources of [rulebook], builds one set with suricata-update, checks it with the real Suricata and
puts it on the shelf; `show` says what is there; `diff` compares two (the present one and the one before); `check` runs
`suricata -T`."""
EXAMPLES = """\
examples:
  schoolwacht-collector rulebook update --dry-run
  schoolwacht-collector rulebook update
  schoolwacht-collector rulebook show
  schoolwacht-collector rulebook diff
  schoolwacht-collector rulebook check

exit status: 0 done (also if nothing changed), 1 refused or faulty, and standard error says why, 2 wrong use"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``rulebook``."""
    command.add_argument("what", choices=tuple(_ACTIONS), help="update, show, diff or check")
    command.add_argument(
        "versions", nargs="*", metavar="VERSION", help="show, check: one; diff: the old and the new one"
    )
    command.add_argument("--dry-run", action="store_true", help="update: say what would change, and change nothing")
    command.add_argument("--force", action="store_true", help="update: take a book of less than half the size too")
    command.add_argument("--reason", metavar="TEXT", default="", help="update: why it is forced; kept in the manifest")


def run(options: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status."""
    settings = config.load(options.config)
    shelf = Shelf(settings.rulebook_directory)
    answer, lines, status = _ACTIONS[options.what](options, settings, shelf)
    print(msgspec.json.encode(answer).decode() if options.json else "\n".join(lines))
    return status


_Answer = tuple[dict[str, Any], list[str], int]


def _update(options: argparse.Namespace, settings: config.Settings, shelf: Shelf) -> _Answer:
    if options.force and not options.reason.strip():
        raise RulebookError("is needed with --force: whoever looks back must know why", field="--reason")
    done = update(
        settings.rulebook,
        shelf,
        now=datetime.now(UTC),
        dry_run=options.dry_run,
        forced_by=getpass.getuser() if options.force else None,
        why=options.reason.strip(),
    )
    answer = {"version": done.manifest.version, "changed": done.changed, "dry_run": options.dry_run} | _counts(
        done.difference
    )
    if not done.changed:
        head = f"Rule book {done.manifest.version} is the present one already."
    else:
        head = f"Rule book {done.manifest.version} {'would be' if options.dry_run else 'is'} the present one:"
    return answer, [head, *_described(done.manifest), *in_words(done.difference)], 0


def _show(options: argparse.Namespace, _settings: config.Settings, shelf: Shelf) -> _Answer:
    manifest = _one(options, shelf)
    answer: dict[str, Any] = {"books": shelf.versions(), "manifest": manifest}
    return answer, [f"Rule book {manifest.version}", *_described(manifest), f"kept: {', '.join(shelf.versions())}"], 0


def _diff(options: argparse.Namespace, _settings: config.Settings, shelf: Shelf) -> _Answer:
    versions = options.versions or shelf.versions()[1::-1]
    if len(versions) != 2:
        raise RulebookError(f"two rule books are needed; there are {', '.join(shelf.versions()) or 'none'}")
    found = compare(shelf, *versions)
    return {"old": versions[0], "new": versions[1]} | _counts(found), in_words(found), 0


def _check(options: argparse.Namespace, settings: config.Settings, shelf: Shelf) -> _Answer:
    manifest = _one(options, shelf)
    found = check(settings.rulebook, shelf, manifest)
    lines = [
        f"Suricata {version}: {'takes all of it' if not faults else faults[0]}" for version, faults in found.items()
    ]
    return {"version": manifest.version, "faults": found}, lines, 1 if any(found.values()) else 0


_ACTIONS: dict[str, Callable[[argparse.Namespace, config.Settings, Shelf], _Answer]] = {
    "update": _update,
    "show": _show,
    "diff": _diff,
    "check": _check,
}


def _one(options: argparse.Namespace, shelf: Shelf) -> Manifest:
    manifest = shelf.manifest(options.versions[0]) if options.versions else shelf.current()
    if manifest is None:
        raise RulebookError(
            "there is no rule book yet: `schoolwacht-collector rulebook update` makes one", path=str(shelf.directory)
        )
    return manifest


def _described(manifest: Manifest) -> list[str]:
    made = f"made {manifest.created:%Y-%m-%d %H:%M} UTC, checked by Suricata {', '.join(manifest.checked)}"
    lines = [f"{manifest.on:,} rules switched on of {manifest.rules:,}, {made}"]
    lines += [
        f"source {each.name}: {each.licence}, SHA-256 {each.sha256[:16]}…, {each.url}" for each in manifest.sources
    ]
    if manifest.forced_by:
        lines.append(f"forced by {manifest.forced_by}: {manifest.forced_why}")
    return lines


def _counts(found: Difference) -> dict[str, int]:
    return {name: len(rules) for name, rules in found._asdict().items()}
