"""Every rule of rules/correlation against its own examples, through the leader's jobs and a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.correlate.read import RuleFaults, RuleFile, read, read_all
from schoolwacht_collector.index.port import Kind
from tests.schoolwacht_collector.correlate.made import NOW, Leader, document, gateway

_DIRECTORY = Path(__file__).parents[3] / "rules" / "correlation"
_FILES = read_all(_DIRECTORY)
_EXAMPLES = [
    pytest.param(file, example, wanted, id=f"{file.rule.id}-{'match' if wanted else 'miss'}-{place}")
    for file in _FILES
    for wanted, name in ((True, "match"), (False, "miss"))
    for place, example in enumerate(file.examples[name])
]


def _documents(example: Mapping[str, Any]) -> list[Event]:
    """The signals (or sightings) of an example, spread over its seconds, and the events around them."""
    number = int(example.get("schools", example.get("number", 1)))
    boards = int(example.get("boards", 1))
    made = []
    for place in range(number):
        fields = dict(example["each"])
        if "vary" in example:
            fields[example["vary"]] = f"10.1.0.{place + 1}" if "entity" in example["vary"] else f"value {place}"
        dataset = Dataset.SIGHTING if "sighting.kind" in fields else Dataset.SIGNAL
        at = NOW + timedelta(seconds=int(example["seconds"]) * place / max(1, number - 1))
        school, board = (place, place % boards) if "schools" in example else (0, 0)
        made.append(document(f"{place:04}", fields, at=at, school=school, board=board, dataset=dataset))
    for place, event in enumerate(example.get("events", ())):
        fields = {name: value for name, value in event.items() if name not in {"after", "event.dataset"}}
        at = NOW + timedelta(seconds=event["after"])
        made.append(document(f"e{place}", fields, at=at, dataset=Dataset(event["event.dataset"])))
    return made


async def _raised(file: RuleFile, example: Mapping[str, Any]) -> bool:
    leader = Leader(rules=[file.rule])
    await leader.counting_since(60)
    if "known" in example:
        known = example["known"]
        fields = {"sighting.kind": known["kind"], "sighting.value": known["value"]}
        for day in (int(known["days"]), 20, 1):
            at = NOW - timedelta(days=day)
            await leader.store.create(
                [document(f"known-{day}", fields, at=at, arrived=NOW, dataset=Dataset.SIGHTING, school=99)]
            )
    events = _documents(example)
    await leader.store.create(events)
    leader.clock.now = max(event.timestamp for event in events) + timedelta(seconds=5)
    for number in range(10):
        await leader.store.put_many(Kind.AGENT, [gateway(number, number, seen=leader.clock.now)])
    found = await leader.look()
    return any(row["rule.id"] == file.rule.id for row in found)


@pytest.mark.parametrize(("file", "example", "wanted"), _EXAMPLES)
def test_a_rule_raises_its_matches_and_none_of_its_misses(
    file: RuleFile, example: Mapping[str, Any], wanted: bool
) -> None:
    assert asyncio.run(_raised(file, example)) is wanted


def test_every_rule_has_examples_of_both() -> None:
    assert {file.rule.id for file in _FILES} >= {"X1", "X2", "X3", "X4", "X5", "X6", "X7", "D06", "D16", "D28", "D32"}
    assert all(file.examples["match"] and file.examples["miss"] for file in _FILES)


def test_all_faults_of_a_file_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "bad.yml"
    text = (_DIRECTORY / "x2-same-scanner.yml").read_text(encoding="utf-8")
    text = (
        text.replace("- source.ip\n", "- source.pi\n")
        .replace("timespan: 60m", "timespan: 60")
        .replace("weight", "wait")
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RuleFaults) as caught:
        read(path)
    assert {fault.field for fault in caught.value.faults} == {
        "schoolwacht.wait", "correlation.timespan", "correlation",
    }  # fmt: skip
    assert all(fault.path == str(path) for fault in caught.value.faults)
