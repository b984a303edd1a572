"""``schoolwacht-collector deadletters``: list what was rejected, look at one, bring it back as it is or repaired."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from schoolwacht.errors import ConfigError, SchoolwachtError, StoreError, WireError
from schoolwacht.wire import Verdict
from schoolwacht_collector import app, config, redelivery, secret
from schoolwacht_collector.dead_letters import Filed, Letter, read
from schoolwacht_collector.index.port import Store
from schoolwacht_collector.intake import bounds_of
from schoolwacht_collector.matching import Matching
from schoolwacht_collector.rules.running import Rules
from schoolwacht_collector.stamp import Bounds

SUMMARY = "list, look at and bring back what was rejected"
DESCRIPTION = """\
Events that the collector or its store could not take are kept with the reason. `list` names them, `show` prints one,
`replay` puts them through the line again under the id they would have had (so nothing is stored twice), after
`--set FIELD=VALUE` if they are repaired. Run it on the collector that rejected them, as the account it runs under."""
EXAMPLES = """\
examples:
  schoolwacht-collector deadletters
  schoolwacht-collector deadletters show 2026-03-02/17
  schoolwacht-collector deadletters replay 2026-03-02/17 --set source.ip=10.0.0.7 --why 'agent 1.2 sent a host name'
  schoolwacht-collector deadletters replay --every --agent gateway-00ab00 --why 'the index was repaired'

exit status: 0 done, 1 something was not delivered or could not be done, 2 wrong use"""


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of ``deadletters``."""
    command.add_argument("what", nargs="?", choices=("list", "show", "replay"), default="list", help="default: list")
    command.add_argument("places", nargs="*", metavar="PLACE", help="which, as `list` names them: 2026-03-02/17")
    command.add_argument("--agent", help="only those of this agent")
    command.add_argument("--reason", metavar="TEXT", help="only those whose reason contains this text")
    command.add_argument("--all", action="store_true", help="list: also those that were brought back")
    command.add_argument("--every", action="store_true", help="replay: all that `list` would name with these options")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="replay: change a field (JSON or text; empty takes it away); repeatable",
    )
    command.add_argument("--why", metavar="TEXT", help="replay: the reason, kept with what was done")


def run(options: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status."""
    settings = config.load(options.config)
    done = redelivery.attempts(settings.dead_letters)
    filed = [each for each in read(settings.dead_letters) if _wanted(each, options)]
    actions: dict[str, Callable[[], int]] = {
        "list": lambda: _list(filed, done, options),
        "show": lambda: _show(filed, done, options),
        "replay": lambda: _replay(filed, done, options, settings),
    }
    return actions[options.what]()


def _wanted(filed: Filed, options: argparse.Namespace) -> bool:
    letter = filed.letter
    if letter is None:
        return options.agent is None and options.reason is None
    return (options.agent is None or letter.agent == options.agent) and (
        options.reason is None or options.reason.lower() in letter.reason.lower()
    )


def _list(filed: list[Filed], done: dict[str, redelivery.Attempt], options: argparse.Namespace) -> int:
    shown = [each for each in filed if options.all or not redelivery.is_back(each.place, done)]
    for each in shown:
        letter, attempt = each.letter, done.get(each.place)
        state = (
            "kept" if attempt is None else "brought back" if redelivery.is_back(each.place, done) else "refused again"
        )
        if options.json:
            row: dict[str, Any] = {"place": each.place, "state": state}
            if letter is None:
                row["fault"] = each.fault
            else:
                row |= {"time": letter.time, "agent": letter.agent, "sequence": letter.sequence}
                row |= {"reason": letter.reason}
            _say(msgspec.json.encode(row).decode())
        elif letter is None:
            _say(f"{each.place}  {each.fault}")
        else:
            _say(f"{each.place}  {letter.time:%H:%M:%S}  {letter.agent}  {state}  {_plain(letter.reason)}")
    if not options.json:
        _say(f"{len(shown):,} dead letters" + ("" if options.all else " that were not brought back"))
    return 0


def _show(filed: list[Filed], done: dict[str, redelivery.Attempt], options: argparse.Namespace) -> int:
    if len(options.places) != 1:
        raise ConfigError("show takes one place, as `deadletters list` names it", field="PLACE")
    redelivery.chosen(options.places, known=[each.place for each in filed])
    each = next(each for each in filed if each.place == options.places[0])
    if each.letter is None:
        raise StoreError(each.fault, path=each.place)
    letter = each.letter
    answer: dict[str, Any] = {
        "place": each.place,
        "time": letter.time,
        "agent": letter.agent,
        "epoch": letter.epoch,
        "sequence": letter.sequence,
        "reason": letter.reason,
        "attempt": done.get(each.place),
    }
    try:
        answer["event"] = redelivery.fields_of(letter)
    except WireError as error:
        answer["bytes"], answer["fault"] = letter.raw, error.message
    encoded = msgspec.json.encode(answer, order="sorted" if options.json else None)
    _say((encoded if options.json else msgspec.json.format(encoded, indent=2)).decode())
    return 0


def _replay(
    filed: list[Filed],
    done: dict[str, redelivery.Attempt],
    options: argparse.Namespace,
    settings: config.Settings,
) -> int:
    if bool(options.places) == options.every:
        raise ConfigError("name the places, or say --every", field="PLACE")
    if options.why is None or not options.why.strip():
        raise ConfigError("say why, for whoever reads the log later", field="--why")
    changes = dict(redelivery.change_of(text) for text in options.set)
    letters = {each.place: each.letter for each in filed if each.letter is not None}
    places = redelivery.chosen(options.places, known=list(letters)) or [
        place for place in letters if not redelivery.is_back(place, done)
    ]
    found = asyncio.run(_bring_back([(place, letters[place]) for place in places], changes, options, settings))
    failed = sum(attempt.verdict is not Verdict.DELIVERED for attempt in found)
    for attempt in found:
        if options.json:
            _say(msgspec.json.encode(attempt).decode())
        else:
            word = "brought back" if attempt.verdict is Verdict.DELIVERED else attempt.verdict.name.lower()
            _say(f"{attempt.place}  {word}" + (f": {_plain(attempt.reason)}" if attempt.reason else ""))
    if not options.json:
        _say(f"{len(found) - failed:,} of {len(found):,} brought back")
    return 1 if failed else 0


async def _bring_back(
    letters: list[tuple[str, Letter]], changes: dict[str, Any], options: argparse.Namespace, settings: config.Settings
) -> list[redelivery.Attempt]:
    store = app.make_store(settings)
    await store.open()
    try:
        bounds = bounds_of(settings)
        matching = Matching(store, past=bounds.past)
        await matching.load()
        rules = Rules(settings.rules)
        await rules.load()
        key = secret.load(settings.state)
        found = []
        for place, letter in letters:
            answer = await _one(letter, changes, store, key, bounds, matching, rules)
            attempt = redelivery.Attempt(
                place, datetime.now(UTC), _who(), options.why, changes, answer.verdict, answer.reason
            )
            redelivery.note(settings.dead_letters, attempt)
            found.append(attempt)
        return found
    finally:
        await store.close()


async def _one(
    letter: Letter, changes: dict[str, Any], store: Store, key: bytes, bounds: Bounds, matching: Matching, rules: Rules
) -> redelivery.Answer:
    try:
        return await redelivery.bring_back(
            redelivery.repaired(letter, changes),
            store=store,
            secret=key,
            bounds=bounds,
            indicators=matching.indicators,
            rules=rules.current,
            now=datetime.now(UTC),
        )
    except SchoolwachtError as error:
        return redelivery.Answer(Verdict.RETRY, str(error))


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _plain(text: str) -> str:
    """A reason may quote what an agent sent: a terminal must not obey it."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
