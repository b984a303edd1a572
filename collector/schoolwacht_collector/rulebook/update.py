"""A new rule book: fetched, built, checked, compared with the present one, and put on the shelf or refused.

Promise: the present book stays until a new one is whole, taken by every configured Suricata and not suspiciously small.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from schoolwacht_collector.rulebook import build
from schoolwacht_collector.rulebook.errors import RulebookError
from schoolwacht_collector.rulebook.fetch import fetch
from schoolwacht_collector.rulebook.rules import Difference, difference, rules_of
from schoolwacht_collector.rulebook.settings import RulebookSettings
from schoolwacht_collector.rulebook.shelf import File, Manifest, Origin, Shelf, version_of
from schoolwacht_collector.rulebook.sources import chosen

#: A new book with fewer rules switched on than this share of the present one's is refused.
SMALLEST = 0.5
SOURCES = "sources.rules"
CLASSIFICATION = "classification.config"


class Update(NamedTuple):
    """What came of it: the book, what it changes, and whether it is another one than before."""

    manifest: Manifest
    difference: Difference
    changed: bool


def update(
    settings: RulebookSettings,
    shelf: Shelf,
    *,
    now: datetime,
    dry_run: bool = False,
    forced_by: str | None = None,
    why: str = "",
) -> Update:
    """Make a rule book of the sources; with ``dry_run`` only say what it would be.

    Raises ConfigError, RulebookError.
    """
    versions = [build.version_of(program) for program in settings.suricata]
    sources = chosen(settings, versions[0])
    with tempfile.TemporaryDirectory(prefix="schoolwacht-rulebook-") as name:
        directory = Path(name)
        fetched = [fetch(source, directory) for source in sources]
        merged, classes = build.merge(fetched, settings, directory, versions[0])
        texts = build.own_rules() | ({SOURCES: merged} if merged else {})
        _no_duplicates(texts)
        contents = {name: text.encode() for name, text in sorted(texts.items())}
        if classes:
            contents[CLASSIFICATION] = classes.encode()
        _checked(contents, settings.suricata, versions, directory)
    rules = rules_of(texts.values())
    before = shelf.current()
    old = rules_of(_texts(shelf, before)) if before else {}
    manifest = Manifest(
        version=version_of(contents),
        created=now,
        rules=len(rules),
        on=sum(rule.on for rule in rules.values()),
        files=tuple(File(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in contents.items()),
        sources=tuple(Origin(*each.source[:3], each.sha256, now) for each in fetched),
        checked=tuple(versions),
        forced_by=forced_by,
        forced_why=why or None,
    )
    if before is not None and manifest.on < SMALLEST * before.on and forced_by is None:
        raise RulebookError(
            f"the new rule book has {manifest.on:,} rules switched on, less than half of the {before.on:,} of the"
            " present one, which stays: look at the sources, or say --force --reason"
        )
    changed = before is None or before.version != manifest.version
    if changed and not dry_run:
        shelf.add(manifest, contents, keep=settings.keep)
    return Update(manifest, difference(old, rules), changed)


def compare(shelf: Shelf, old: str, new: str) -> Difference:
    """What one book on the shelf does to another. Raises RulebookError."""
    before, after = shelf.manifest(old), shelf.manifest(new)
    return difference(rules_of(_texts(shelf, before)), rules_of(_texts(shelf, after)))


def check(settings: RulebookSettings, shelf: Shelf, manifest: Manifest) -> dict[str, list[str]]:
    """What each configured Suricata has against a book on the shelf, by version. Raises RulebookError."""
    found: dict[str, list[str]] = {}
    contents = shelf.files(manifest.version)
    for program in settings.suricata:
        with tempfile.TemporaryDirectory(prefix="schoolwacht-rulebook-") as name:
            found[build.version_of(program)] = _faults(contents, program, Path(name))
    return found


def _checked(contents: dict[str, bytes], programs: Sequence[str], versions: Sequence[str], directory: Path) -> None:
    for program, version in zip(programs, versions, strict=True):
        if faults := _faults(contents, program, directory):
            more = "" if len(faults) < 2 else f" (and {len(faults) - 1} more)"
            raise RulebookError(f"Suricata {version} does not take the rules: {faults[0]}{more}")


def _faults(contents: dict[str, bytes], program: str, directory: Path) -> list[str]:
    place = directory / "checked"
    place.mkdir(exist_ok=True)
    for name, data in contents.items():
        (place / name).write_bytes(data)
    classes = place / CLASSIFICATION
    rules = [place / name for name in sorted(contents) if name.endswith(".rules")]
    return build.check(program, rules, directory, classes if classes.exists() else None)


def _no_duplicates(texts: dict[str, str]) -> None:
    """A number of ours in somebody else's file would let Suricata drop one of the two."""
    own = rules_of(text for name, text in texts.items() if name != SOURCES)
    foreign = rules_of([texts.get(SOURCES, "")])
    if both := sorted(own.keys() & foreign.keys()):
        raise RulebookError(
            f"the sources use numbers that are ours (9100000-9109999): {', '.join(map(str, both[:10]))}"
        )


def _texts(shelf: Shelf, manifest: Manifest) -> list[str]:
    return [
        data.decode("utf-8", "replace")
        for name, data in shelf.files(manifest.version).items()
        if name.endswith(".rules")
    ]
