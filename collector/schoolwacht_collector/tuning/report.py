"""What a registered test set off and what it did not: for those who ordered it, after its time."""

from __future__ import annotations

from datetime import datetime

import msgspec

from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.query.ast import And, Equals, Exists, Node, Not, OneOf
from schoolwacht_collector.records import RegisteredTest
from schoolwacht_collector.tuning.change import NoSuchTuning
from schoolwacht_collector.tuning.rule import of_test

_MOST = 1000


class Detected(msgspec.Struct, frozen=True):
    """Signals of one detection (or rule) at one school: how many, and the first and last time of the traffic."""

    detection: str
    school: str
    signals: int
    first: datetime
    last: datetime


class Missed(msgspec.Struct, frozen=True):
    """A detection that the test should have set off at a school and did not. An empty school: nowhere."""

    detection: str
    school: str


class TestReport(msgspec.Struct, frozen=True):
    """A test, what it set off (by detection and school), and what it should have set off and did not."""

    #: It is no test of pytest's.
    __test__ = False

    test: RegisteredTest
    over: bool
    detected: list[Detected]
    missed: list[Missed]


async def report(store: Store, name: str, *, now: datetime) -> TestReport:
    """The report of a test, of the signals that are kept. Raises NoSuchTuning, StoreError."""
    found = await store.get(Kind.TEST, name)
    if found is None or not isinstance(found.record, RegisteredTest):
        raise NoSuchTuning(f"there is no registered test {name}")
    test = found.record
    mine = _mine(test)
    schools = list(await store.tally(mine, "school.location", top=_MOST))
    detected: list[Detected] = []
    for school in sorted(schools):
        here = And((mine.where, Equals("school.location", school)))
        by_detection = await store.tally(mine._replace(where=here), "signal.detection", top=_MOST)
        others = And((here, Not(Exists("signal.detection"))))
        by_rule = await store.tally(mine._replace(where=others), "rule.id", top=_MOST)
        detected += [
            Detected(what, school, each.number, each.first, each.last)
            for what, each in sorted({**by_rule, **by_detection}.items())
        ]
    seen = {(each.detection, each.school) for each in detected}
    missed = [
        Missed(what, school)
        for what in test.expected
        for school in (test.schools or schools or [""])
        if (what, school) not in seen
    ]
    return TestReport(test, now >= test.until, detected, missed)


def _mine(test: RegisteredTest) -> Search:
    nodes: list[Node] = [of_test(test)]
    if test.schools:
        nodes.append(OneOf("school.location", test.schools))
    return Search(Kind.SIGNAL, And(tuple(nodes)), SECTOR, since=test.since, until=test.until)
