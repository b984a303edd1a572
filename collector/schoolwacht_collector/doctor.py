"""What keeps the collector from working, in plain words: one finding for each thing that is looked at.

Promise: changes nothing that ``serve`` would not change at its start; looks at everything, also after a fault.
Limits: looks from this machine only: whether agents can reach it, a firewall knows.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import shutil
import socket
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from schoolwacht.errors import ConfigError, SchoolwachtError, StoreError
from schoolwacht_collector import redelivery, secret
from schoolwacht_collector.app import make_notifiers, make_store
from schoolwacht_collector.config import Settings, StoreName, address
from schoolwacht_collector.index.elasticsearch import ElasticsearchStore
from schoolwacht_collector.index.port import SECTOR, Kind, Row, Search
from schoolwacht_collector.index.sqlite import files
from schoolwacht_collector.query.ast import All, Equals
from schoolwacht_collector.records import DeliveryState
from schoolwacht_collector.rules.read import files as rule_files
from schoolwacht_collector.rules.running import folder, ruleset_of

_LEAST_DISK = 1 << 30
_LEAST_FILES = 4096
_CHECK_SECONDS = 20.0
_MEND = "docs/operating.md, SQLite, says how to read what is left"
_ADJTIMEX_BYTES = 512  # struct timex has 208 on 64-bit Linux
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


class Level(StrEnum):
    """How bad a finding is. Only a fault keeps the collector from working."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Finding(NamedTuple):
    """One thing that was looked at."""

    subject: str
    level: Level
    detail: str


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything."""
    looks: list[tuple[str, Callable[[Settings], Awaitable[Iterable[Finding]]]]] = [
        ("state", _state),
        ("secret", _secret),
        ("store", _store),
        ("cluster", _cluster),
        ("files", _files),
        ("dead letters", _letters),
        ("ports", _ports),
        ("notifications", _notifications),
        ("rules", _rules),
        ("disk", _disk),
        ("clock", _clock),
        ("limits", _limits),
    ]
    findings: list[Finding] = []
    for subject, look in looks:
        try:
            findings += await look(settings)
        except SchoolwachtError as error:
            findings.append(Finding(subject, Level.FAULT, str(error)))
        except OSError as error:
            findings.append(Finding(subject, Level.FAULT, f"{error.strerror}: {error.filename}"))
    return findings


async def _state(settings: Settings) -> list[Finding]:
    path = settings.state
    if not path.is_dir():
        return [Finding("state", Level.FAULT, f"{path} is no directory: run schoolwacht-collector init")]
    if not os.access(path, os.W_OK | os.X_OK):
        return [Finding("state", Level.FAULT, f"{path} cannot be written by this account")]
    if stat.S_IMODE(path.stat().st_mode) & 0o007:
        return [Finding("state", Level.WARNING, f"everybody can enter {path}: chmod 750 {path}")]
    return [Finding("state", Level.OK, str(path))]


async def _secret(settings: Settings) -> list[Finding]:
    mark = secret.fingerprint(secret.load(settings.state))
    return [Finding("secret", Level.OK, f"fingerprint {mark}, the same on every collector of this store")]


async def _store(settings: Settings) -> list[Finding]:
    store = make_store(settings)
    try:
        await store.open()
        health = await store.health()
        level = Level.OK if health.writable else Level.FAULT
        findings = [Finding("store", level, health.detail)]
        agents = await store.search(Search(Kind.AGENT, All(), SECTOR, limit=1))
        if not agents.rows:
            findings.append(
                Finding(
                    "agents", Level.WARNING, "none is enrolled: schoolwacht-collector enrol NAME --school … --board …"
                )
            )
        return findings
    finally:
        await store.close()


async def _cluster(settings: Settings) -> list[Finding]:
    if settings.store.kind is not StoreName.ELASTICSEARCH:
        return []
    store = make_store(settings)
    assert isinstance(store, ElasticsearchStore)
    try:
        traits = await store.traits()
    finally:
        await store.close()
    return [Finding(each.subject, Level.OK if each.good else Level.WARNING, each.detail) for each in traits]


async def _files(settings: Settings) -> list[Finding]:
    if settings.store.kind is not StoreName.SQLITE or not settings.sqlite_directory.is_dir():
        return []
    return await asyncio.to_thread(_day_files, settings.sqlite_directory)


def _day_files(directory: Path) -> list[Finding]:
    found = [
        Finding("files", Level.FAULT, f"{path} is damaged ({fault}): searches leave that day out; {_MEND}")
        for path, fault in files.damaged(directory, seconds=_CHECK_SECONDS)
    ]
    found += [
        Finding("files", Level.WARNING, f"{path} is what was left of a damaged day; {_MEND}")
        for path in files.aside(directory)
    ]
    found += [
        Finding(
            "files", Level.WARNING, f"{path} names no day (events-YYYY-MM-DD.sqlite) and is not searched: rename it"
        )
        for path in files.strays(directory)
    ]
    return found or [Finding("files", Level.OK, f"{len(files.day_files(directory))} days, none found damaged")]


async def _letters(settings: Settings) -> list[Finding]:
    if not settings.dead_letters.is_dir():
        return [Finding("dead letters", Level.OK, "none")]
    number = await asyncio.to_thread(redelivery.waiting, settings.dead_letters)
    if not number:
        return [Finding("dead letters", Level.OK, "none waits")]
    return [
        Finding(
            "dead letters", Level.WARNING, f"{number:,} rejected events wait: schoolwacht-collector deadletters list"
        )
    ]


async def _ports(settings: Settings) -> list[Finding]:
    wanted = [("intake.listen", settings.intake.listen)]
    if settings.console.enabled:
        wanted.append(("console.listen", settings.console.listen))
    return [await asyncio.to_thread(_port, field, listen) for field, listen in wanted]


def _port(field: str, listen: str) -> Finding:
    at = address(listen, field=field)
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((at.host, at.port))
        except OSError as error:
            if _is_collector(at.host, at.port):
                return Finding(field, Level.OK, f"{listen}: a collector listens there")
            return Finding(field, Level.FAULT, f"{listen}: {error.strerror}")
    return Finding(field, Level.OK, f"{listen} is free")


def _is_collector(host: str, port: int) -> bool:
    """Whether what listens there speaks HTTP as the collector's intake and console do."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = connection.recv(4096)
    except OSError:
        return False
    return b"aiohttp" in answer


async def _notifications(settings: Settings) -> list[Finding]:
    targets = make_notifiers(settings)
    if not targets:
        return [Finding("notifications", Level.WARNING, "no [[notify]] is configured: alerts show in the console only")]
    found = [Finding("notifications", Level.OK, ", ".join(target.name for target in targets))]
    store = make_store(settings)
    try:
        await store.open()
        pending = Search(
            Kind.DELIVERY, Equals("delivery.state", DeliveryState.PENDING.value), SECTOR, limit=1000, oldest_first=True
        )
        rows = (await store.search(pending)).rows
    except StoreError:
        return found  # said of the store itself
    finally:
        await store.close()
    return _stuck([row for row in rows if row.get("delivery.last_error")]) or found


def _stuck(rows: list[Row]) -> list[Finding]:
    """What each target could not be told; the rows are oldest first."""
    oldest: dict[str, Row] = {}
    for row in rows:
        oldest.setdefault(row["delivery.target"], row)
    numbers = Counter(row["delivery.target"] for row in rows)
    return [
        Finding(
            "notifications",
            Level.WARNING,
            f"{numbers[target]} wait for {target} since {row['@timestamp']}: {row['delivery.last_error']}",
        )
        for target, row in oldest.items()
    ]


async def _rules(settings: Settings) -> list[Finding]:
    place = folder(settings.rules)
    ruleset, faults = await asyncio.to_thread(lambda: ruleset_of(rule_files([place]), settings.rules))
    if faults or not ruleset.size:
        wrong = [Finding("rules", Level.WARNING, f"is not matched: {each}") for each in faults]
        return wrong or [Finding("rules", Level.WARNING, f"{place} has no Sigma rule that can be used")]
    return [Finding("rules", Level.OK, f"{ruleset.size} Sigma rules in {place}")]


async def _disk(settings: Settings) -> list[Finding]:
    paths = [settings.state]
    if settings.store.kind is StoreName.SQLITE:
        paths.append(settings.sqlite_directory)
    return [_room(path) for path in dict.fromkeys(paths) if path.exists()]


def _room(path: Path) -> Finding:
    usage = shutil.disk_usage(path)
    text = f"{usage.free / (1 << 30):.1f} GiB free in {path}"
    if usage.free < _LEAST_DISK:
        return Finding("disk", Level.WARNING, f"only {text}")
    return Finding("disk", Level.OK, text)


async def _clock(_settings: Settings) -> list[Finding]:
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_ADJTIMEX_BYTES))
    except (OSError, AttributeError):
        return [Finding("clock", Level.WARNING, "cannot be asked on this system")]
    if state == _TIME_ERROR:
        return [Finding("clock", Level.WARNING, "is not synchronised: run an NTP client such as systemd-timesyncd")]
    if state < 0:
        return [Finding("clock", Level.WARNING, "cannot be asked by this account")]
    return [Finding("clock", Level.OK, "is synchronised")]


async def _limits(_settings: Settings) -> list[Finding]:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < _LEAST_FILES:
        detail = f"{most} open files allowed, one per agent's connection: raise it to {_LEAST_FILES} (LimitNOFILE=)"
        return [Finding("limits", Level.WARNING, detail)]
    return [Finding("limits", Level.OK, "open files: " + ("no limit" if most == resource.RLIM_INFINITY else str(most)))]


def config_fault(error: ConfigError) -> Finding:
    """A configuration that cannot be read, as a finding."""
    return Finding("configuration", Level.FAULT, str(error))
