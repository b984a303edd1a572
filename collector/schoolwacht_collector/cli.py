"""``schoolwacht-collector``: make, run and look after a collector.

Exit status: 0 done; 1 it could not be done or its output cannot be written, and standard error says why (``doctor``:
a fault was found); 2 wrong use; 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from schoolwacht.command import perform
from schoolwacht.errors import ConfigError
from schoolwacht_collector import (
    app,
    backup_command,
    config,
    doctor,
    logs,
    redelivery_command,
    register,
    registry,
    secret,
    serve,
    workers,
)
from schoolwacht_collector.expiry import Expiry
from schoolwacht_collector.index.port import SECTOR, Kind, Search
from schoolwacht_collector.query.ast import All
from schoolwacht_collector.records import School, Standpoint
from schoolwacht_collector.rulebook import command as rulebook_command

_DEFAULT = Path("/etc/schoolwacht/collector.toml")
_EXAMPLES = """examples:
  schoolwacht-collector init --config collector.toml
  schoolwacht-collector serve --config collector.toml
  schoolwacht-collector enrol gateway-00ab00 --school 00AB00 --board 12345 --key-file agent.key
  schoolwacht-collector enrol ndc-sensor --standpoint ndc --schools-file schools.csv --key-file ndc.key
  schoolwacht-collector schools ndc-sensor --schools-file schools.csv
  schoolwacht-collector doctor --json

exit status: 0 done, 1 it could not be done or its output cannot be written (doctor: a fault was found), 2 wrong use,
130 interrupted"""
_logger = logging.getLogger("schoolwacht_collector.cli")  # also when it runs as __main__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""

    def work() -> int:
        options = _parser().parse_args(arguments)
        logs.configure(verbose=options.verbose)
        status: int = options.run(options)
        return status

    return perform("schoolwacht-collector", work)


def _init(options: argparse.Namespace) -> int:
    settings = config.load(options.config)
    asyncio.run(_initialise(settings, new_secret=options.new_secret))
    key = secret.load(settings.state)
    answer = {"state": str(settings.state), "store": settings.store.kind.value, "secret": secret.fingerprint(key)}
    place = f"the environment ({secret.VARIABLE})" if os.environ.get(secret.VARIABLE) else settings.state / secret.FILE
    mark = answer["secret"]
    text = f"The store ({answer['store']}) is ready. The collector's secret (fingerprint {mark}) is in {place}:"
    _show(options, answer, f"{text}\nkeep a copy of it apart from this machine.")
    return 0


async def _initialise(settings: config.Settings, *, new_secret: bool) -> None:
    """Make what is missing. A store that agents deliver to already had a secret: a new one must be meant."""
    await asyncio.to_thread(secret.make_directory, settings.state)
    if not secret.present(settings.state) and not new_secret:
        store = app.make_store(settings)
        await store.init()
        await store.open()
        try:
            used = (await store.search(Search(Kind.AGENT, All(), SECTOR, limit=1))).rows
        finally:
            await store.close()
        if used:
            raise ConfigError(
                "the store has agents, so it was used with another secret: put that back (from a backup, or from"
                " another collector of this store), or say --new-secret; then events that agents send again can be"
                " stored twice",
                path=str(settings.state / secret.FILE),
            )
    await app.prepare(settings)


def _serve_settings(options: argparse.Namespace) -> config.Settings:
    settings = config.load(options.config)
    if options.workers is not None:
        intake = msgspec.structs.replace(settings.intake, workers=options.workers)
        settings = config.check(msgspec.structs.replace(settings, intake=intake), path=str(options.config))
    return settings


def _serve(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is listened to: its default would end a start
    settings = _serve_settings(options)

    def read() -> config.Settings:
        return _serve_settings(options)

    if settings.intake.workers > 1:
        asyncio.run(_workers(settings, read, verbose=options.verbose))
    else:
        asyncio.run(serve.until_stopped(settings, read=read))
    return 0


async def _workers(settings: config.Settings, read: Callable[[], config.Settings], *, verbose: bool) -> None:
    await workers.Workers(settings, verbose=verbose, read=read).run()


def _migrate(options: argparse.Namespace) -> int:
    settings = config.load(options.config)

    async def run() -> None:
        store = app.make_store(settings)
        try:
            await store.init(migrate=True)
        finally:
            await store.close()

    asyncio.run(run())
    _show(options, {"store": settings.store.kind.value}, "The store has the schema of this version.")
    return 0


def _enrol(options: argparse.Namespace) -> int:
    settings = config.load(options.config)
    schools = _schools(options)
    descriptor = None if options.key_file is None else _key_file(options.key_file)
    try:
        enrolment = asyncio.run(_register(settings, options, schools))
    except BaseException:
        if descriptor is not None:
            os.close(descriptor)
            options.key_file.unlink(missing_ok=True)
        raise
    answer: dict[str, Any] = {
        "agent": enrolment.agent.id,
        "board": enrolment.agent.board,
        "standpoint": enrolment.agent.standpoint.value,
        "schools": [school.location for school in enrolment.agent.schools],
    }
    if descriptor is None:
        answer["key"] = enrolment.key
        text = f"{enrolment.agent.id} is enrolled. Its key, which is shown only now:\n{enrolment.key}"
    else:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(enrolment.key + "\n")
        answer["key_file"] = str(options.key_file)
        text = f"{enrolment.agent.id} is enrolled. Its key is in {options.key_file}."
    _show(options, answer, text)
    return 0


async def _register(
    settings: config.Settings, options: argparse.Namespace, schools: list[School]
) -> registry.Enrolment:
    store = app.make_store(settings)
    await store.open()
    try:
        return await registry.enrol(
            store,
            options.agent,
            schools,
            standpoint=options.standpoint,
            operator=options.operator,
            replace=options.replace,
        )
    finally:
        await store.close()


def _change_schools(options: argparse.Namespace) -> int:
    settings = config.load(options.config)
    schools = _schools(options)

    async def run() -> None:
        store = app.make_store(settings)
        await store.open()
        try:
            await registry.set_schools(store, options.agent, schools)
        finally:
            await store.close()

    asyncio.run(run())
    answer = {"agent": options.agent, "schools": [school.location for school in schools]}
    _show(
        options, answer, f"{options.agent} speaks for {len(schools):,} schools, on every collector within five seconds."
    )
    return 0


def _schools(options: argparse.Namespace) -> list[School]:
    schools = [] if options.schools_file is None else register.read(options.schools_file)
    for text in options.school:
        location, equals, board = text.partition("=")
        if not equals:
            if options.board is None:
                raise ConfigError(
                    f"{location} has no board: add --board, or write --school {location}=BOARD", field="board"
                )
            board = options.board
        schools.append(
            School(location=location, board=board, name=options.name, sector=options.sector, region=options.region)
        )
    return schools


def _key_file(path: Path) -> int:
    """The file for the key, made before there is a key: one that could not be written would be lost."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the key file cannot be made: {error.strerror}", path=str(path), field="--key-file"
        ) from error


def _switch(options: argparse.Namespace) -> int:
    settings = config.load(options.config)

    async def run() -> None:
        store = app.make_store(settings)
        await store.open()
        try:
            await registry.set_enabled(store, options.agent, enabled=options.enabled)
        finally:
            await store.close()

    asyncio.run(run())
    state = "enabled" if options.enabled else "disabled"
    when = "" if options.enabled else " Every collector refuses it within five seconds."
    _show(options, {"agent": options.agent, "enabled": options.enabled}, f"{options.agent} is {state}.{when}")
    return 0


def _expire(options: argparse.Namespace) -> int:
    settings = config.load(options.config)

    async def run() -> list[str]:
        store = app.make_store(settings)
        await store.open()
        try:
            return await Expiry(store, settings.retention).look(rehearse=options.dry_run)
        finally:
            await store.close()

    gone = asyncio.run(run())
    word = "would be deleted" if options.dry_run else "deleted"
    _show(options, {"expired": gone, "deleted": not options.dry_run}, "\n".join([*gone, f"{len(gone):,} {word}"]))
    return 0


def _doctor(options: argparse.Namespace) -> int:
    try:
        settings = config.load(options.config)
    except ConfigError as error:
        findings = [doctor.config_fault(error)]
    else:
        findings = asyncio.run(doctor.examine(settings))
    faults = sum(finding.level is doctor.Level.FAULT for finding in findings)
    text = "\n".join(f"{finding.level.value:8}{finding.subject}: {finding.detail}" for finding in findings)
    _show(options, {"findings": [finding._asdict() for finding in findings], "faults": faults}, text)
    return 1 if faults else 0


def _show(options: argparse.Namespace, answer: dict[str, Any], text: str) -> None:
    print(msgspec.json.encode(answer).decode() if options.json else text)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, default=_DEFAULT, metavar="FILE", help=f"settings (default: {_DEFAULT})")
    shared.add_argument("--verbose", action="store_true", help="log more")
    machine = argparse.ArgumentParser(add_help=False)
    machine.add_argument("--json", action="store_true", help="answer as one JSON object")
    parser = argparse.ArgumentParser(
        prog="schoolwacht-collector",
        description="Take events from agents, store them, and tell of attacks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, summary: str, example: str, *, json: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  schoolwacht-collector {example}",
            parents=[shared, machine] if json else [shared],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    init = command(
        "init", _init, "make the secret and the store's schema; safe to run again", "init --config collector.toml"
    )
    init.add_argument(
        "--new-secret", action="store_true", help="make a secret though the store was used with another one"
    )
    serving = command(
        "serve", _serve, "run the collector until SIGTERM or SIGINT", "serve --config collector.toml", json=False
    )
    serving.add_argument(
        "--workers",
        type=_count,
        metavar="N",
        help="processes that take batches on one port, in place of intake.workers; more than one needs Elasticsearch",
    )
    enrol = command(
        "enrol",
        _enrol,
        "register an agent and make its key",
        "enrol gateway-00ab00 --school 00AB00 --board 12345 --key-file agent.key",
    )
    enrol.add_argument("agent", metavar="NAME", help="the agent's name: a-z, 0-9 and -")
    enrol.add_argument(
        "--standpoint",
        type=Standpoint,
        choices=list(Standpoint),
        default=Standpoint.GATEWAY,
        help="where it stands: at one school's gateway (default), or on the NDC path, for the listed schools",
    )
    enrol.add_argument(
        "--operator",
        default=registry.OPERATOR,
        help=f"with --standpoint ndc: whose the sensor is; default: {registry.OPERATOR}",
    )
    _add_schools(enrol)
    enrol.add_argument(
        "--key-file", type=Path, metavar="FILE", help="write the key there (new, mode 0600), not on screen"
    )
    enrol.add_argument("--replace", action="store_true", help="give an enrolled agent a new key and these schools")
    schools = command(
        "schools",
        _change_schools,
        "give a sensor on the NDC path other schools; its key stays",
        "schools ndc-sensor --schools-file schools.csv",
    )
    schools.add_argument("agent", metavar="NAME", help="the agent's name")
    _add_schools(schools)
    for name, enabled in (("disable", False), ("enable", True)):
        switch = command(
            name, _switch, f"{'let an agent in again' if enabled else 'keep an agent out'}", f"{name} gateway-00ab00"
        )
        switch.add_argument("agent", metavar="NAME", help="the agent's name")
        switch.set_defaults(enabled=enabled)
    command("migrate", _migrate, "bring the store's schema to this version", "migrate --config collector.toml")
    expire = command(
        "expire",
        _expire,
        "delete now what has had its time; the leading collector does so every hour",
        "expire --dry-run",
    )
    expire.add_argument("--dry-run", action="store_true", help="say what would go, and delete nothing")
    backup = command(
        "backup", backup_command.run_backup, backup_command.BACKUP, "backup /srv/backup/schoolwacht-2026-03-02"
    )
    backup.description = backup_command.BACKUP_DESCRIPTION
    backup_command.add_backup_arguments(backup)
    restore = command(
        "restore",
        backup_command.run_restore,
        backup_command.RESTORE,
        "restore --check /srv/backup/schoolwacht-2026-03-02",
    )
    restore.description = backup_command.RESTORE_DESCRIPTION
    backup_command.add_restore_arguments(restore)
    letters = command(
        "deadletters", redelivery_command.run, redelivery_command.SUMMARY, "deadletters --agent gateway-00ab00"
    )
    letters.description, letters.epilog = redelivery_command.DESCRIPTION, redelivery_command.EXAMPLES
    redelivery_command.add_arguments(letters)
    book = command("rulebook", rulebook_command.run, rulebook_command.SUMMARY, "rulebook update --dry-run")
    book.description, book.epilog = rulebook_command.DESCRIPTION, rulebook_command.EXAMPLES
    rulebook_command.add_arguments(book)
    command("doctor", _doctor, "say what keeps the collector from working", "doctor --config collector.toml")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 64):
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return int(text)


def _add_schools(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--school",
        action="append",
        default=[],
        metavar="LOCATION[=BOARD]",
        help="a location such as 00AB00; repeatable",
    )
    command.add_argument(
        "--schools-file",
        type=Path,
        metavar="FILE",
        help="CSV with the columns location, board, name, sector, region (the last three may be missing)",
    )
    command.add_argument("--board", help="number of the board of every --school that names none itself")
    command.add_argument("--name", default="", help="the school's name, for people")
    command.add_argument("--sector", help="po, vo, mbo …")
    command.add_argument("--region", help="the school's region")


if __name__ == "__main__":
    sys.exit(main())
