"""A school day of the whole sector in fast time: what the schools' agents deliver, with attacks in it and their twins.

Background are signals and values of recorded traffic (``tests/captures``, through the agent's own engine and
detectors), spread over schools and hours. Planted are campaigns of X1 to X8, each with an innocent twin that looks
like it: an indicator of a shared service, a research scanner, an outage, a browser release, a popular new site, a
service that fails at too few schools, an inventory program that runs every day, schools on holiday.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from schoolwacht.event import Dataset, Event
from schoolwacht_collector.alerts import Folder
from schoolwacht_collector.correlate.job import Correlator
from schoolwacht_collector.correlate.read import own_rules
from schoolwacht_collector.index.port import SECTOR, Kind, Search, Store
from schoolwacht_collector.prevalence.count import Counter
from schoolwacht_collector.query.ast import Equals
from schoolwacht_collector.records import Agent, Progress, School
from schoolwacht_collector.signals import complete_signal

MORNING = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
HOURS = 9
BROWSER, RELEASE = "t13d1516h2_8daaf6152771_02713d6af862", "t13d1517h2_8daaf6152771_b0da82dd1658"
MALWARE = "t13i190800_9dc949149365_97f8aa674fd9"


class Planted(NamedTuple):
    """Something planted: its rule, what alerts of it are about, and whether it is an attack."""

    rule: str
    about: str
    attack: bool


@dataclass
class Sector:
    """Schools and boards, and what arrives when. ``done`` is when each attack's pattern is complete."""

    schools: int
    boards: int
    seed: int = 1
    arriving: list[Event] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)
    done: dict[Planted, datetime] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.number = 0

    def board(self, school: int) -> str:
        """The board of a school."""
        return f"4{school % self.boards:04}"

    def add(self, fields: Mapping[str, Any], *, school: int, at: datetime, dataset: Dataset = Dataset.SIGNAL) -> None:
        """A document arrives."""
        self.number += 1
        row: dict[str, Any] = {
            "@timestamp": at,
            "event.dataset": dataset.value,
            "event.id": f"{int(at.timestamp() * 1000):012x}-{self.number:020x}",
            "event.ingested": at + timedelta(seconds=self.random.uniform(0.2, 2.0)),
            "organization.id": self.board(school),
            "school.location": location(school),
            "observer.name": f"gateway-{school}",
            **fields,
        }
        if dataset is Dataset.SIGNAL:
            row.setdefault("rule.id", row.get("signal.detection", "1"))
            row.setdefault("rule.name", "A rule")
            row.setdefault("rule.ruleset", "behaviour")
            row.setdefault("source.ip", "10.1.0.5")
        event = msgspec.convert(row, Event)
        if dataset is Dataset.SIGNAL:
            complete_signal(event)
            if "threat.indicator.id" in fields:
                event.threat_indicator_id = fields["threat.indicator.id"]
        self.arriving.append(event)

    def sight(self, kind: str, value: str, *, school: int, at: datetime) -> None:
        """A sighting arrives."""
        fields: dict[str, Any] = {"sighting.kind": kind, "sighting.value": value, "sighting.count": 1}
        if at < MORNING:  # of the weeks before: counted before the day begins
            fields["event.ingested"] = MORNING - timedelta(minutes=90)
        self.add(fields, school=school, at=at, dataset=Dataset.SIGHTING)

    def some(self, number: int, *, start: int) -> list[int]:
        """So many schools, each of another board as far as there are so many."""
        return [(start * 7 + place) % self.schools for place in range(number)]


def location(school: int) -> str:
    """The vestiging of a school by number."""
    return f"{school % 100:02}{chr(65 + school // 2600 % 26)}{chr(65 + school // 100 % 26)}00"


def background(sector: Sector, *, signals: int, sightings: int, recorded: Sequence[Mapping[str, Any]]) -> None:
    """Signals of recorded traffic at schools and hours by chance, and what everybody visits."""
    chance = sector.random
    sites = [f"site-{number}.example" for number in range(400)]
    for _ in range(signals):
        at = MORNING + timedelta(seconds=chance.uniform(0, HOURS * 3600))
        template = dict(chance.choice(recorded))
        if template.get("network.direction") == "inbound":  # the internet's noise: another source each time
            template["source.ip"] = f"198.18.{chance.randrange(256)}.{chance.randrange(256)}"
        sector.add(template, school=chance.randrange(sector.schools), at=at)
    for _ in range(sightings):
        at = MORNING + timedelta(seconds=chance.uniform(0, HOURS * 3600))
        sector.sight("domain", chance.choice(sites), school=chance.randrange(sector.schools), at=at)
    before = MORNING - timedelta(days=20)
    for site in sites:  # known for weeks
        for school in chance.sample(range(sector.schools), 3):
            sector.sight("domain", site, school=school, at=before)
    for school in range(0, sector.schools, 10 if sector.schools > 600 else 1):
        sector.sight("ja4", BROWSER, school=school, at=before)
        sector.sight("domain", "shared-cdn.example", school=school, at=before)
    for day in range(1, 8):  # an inventory program that runs inside many schools every day
        for school in _inventory(sector):
            _scan_inside(sector, school, MORNING + timedelta(hours=2, seconds=school % 600) - timedelta(days=day))


def _inventory(sector: Sector) -> list[int]:
    return list(range(0, sector.schools, max(2, sector.schools // 40)))


def _scan_inside(sector: Sector, school: int, at: datetime) -> None:
    sector.add({"signal.detection": "D02", "network.direction": "internal"}, school=school, at=at)


def plant(sector: Sector) -> None:
    """Every campaign and its twin."""
    many = max(8, sector.schools // 20)

    def campaign(rule: str, about: str, needed: int, at: datetime, gap: float, attack: bool = True) -> Planted:
        planted = Planted(rule, about, attack)
        sector.planted.append(planted)
        if attack:
            sector.done[planted] = at + timedelta(seconds=gap * (needed - 1) + 2.0)
        return planted

    at = MORNING + timedelta(hours=1)
    campaign("X1", "evil.example", 3, at, 900)
    for place, school in enumerate(sector.some(4, start=1)):
        sector.add(_indicator("i-evil", "evil.example"), school=school, at=at + timedelta(seconds=900 * place))
    campaign("X1", "shared-cdn.example", 0, at, 0, attack=False)
    for school in sector.some(many, start=2):
        sector.add(_indicator("i-cdn", "shared-cdn.example"), school=school, at=at + timedelta(seconds=school % 999))

    at = MORNING + timedelta(hours=2)
    campaign("X2", "203.0.113.66", 5, at, 200)
    for place, school in enumerate(sector.some(8, start=3)):
        sector.add(_from("203.0.113.66"), school=school, at=at + timedelta(seconds=200 * place))
    campaign("X2", "167.94.138.7", 0, at, 0, attack=False)
    for school in sector.some(many, start=4):
        sector.add(_from("167.94.138.7"), school=school, at=at + timedelta(seconds=school % 999))

    at = MORNING + timedelta(hours=3)
    flood = {"signal.detection": "D31", "network.direction": "inbound"}
    campaign("X3", "Flood at several schools at once", 3, at, 60)
    for place, school in enumerate(sector.some(5, start=5)):
        sector.add(flood, school=school, at=at + timedelta(seconds=60 * place))
    at = MORNING + timedelta(hours=6)
    campaign("X3", "outage", 0, at, 0, attack=False)
    for school in sector.some(many, start=6):
        ill = {"health.condition": "silent"}
        sector.add(ill, school=school, at=at - timedelta(minutes=4), dataset=Dataset.HEALTH)
        sector.add(flood, school=school, at=at + timedelta(seconds=school % 30))

    at = MORNING + timedelta(hours=4)
    campaign("X4", MALWARE, 5, at, 300)
    for place, school in enumerate(sector.some(6, start=7)):
        sector.sight("ja4", MALWARE, school=school, at=at + timedelta(seconds=300 * place))
    campaign("X4", RELEASE, 0, at, 0, attack=False)
    for school in sector.some(many, start=8):
        sector.sight("ja4", RELEASE, school=school, at=at + timedelta(seconds=school % 3000))

    at = MORNING + timedelta(hours=5)
    campaign("X5", "maglster-login.example", 5, at, 120)
    for place, school in enumerate(sector.some(6, start=9)):
        moment = at + timedelta(seconds=120 * place)
        sector.add(
            {"signal.detection": "D27", "network.direction": "outbound",
             "nsm.detail": {"domain": "maglster-login.example", "brand": "magister"}},
            school=school, at=moment - timedelta(seconds=1),
        )  # fmt: skip
        sector.sight("domain", "maglster-login.example", school=school, at=moment)
    campaign("X5", "new-song.example", 0, at, 0, attack=False)
    for school in sector.some(many, start=10):
        sector.sight("domain", "new-song.example", school=school, at=at + timedelta(seconds=school % 3000))

    at = MORNING + timedelta(hours=5, minutes=30)
    campaign("X6", "somtoday.nl", 5, at, 60)
    for place, school in enumerate(sector.some(7, start=11)):
        sector.add(_failing("somtoday.nl"), school=school, at=at + timedelta(seconds=60 * place))
    campaign("X6", "print.example", 0, at, 0, attack=False)
    for school in sector.some(4, start=12):
        sector.add(_failing("print.example"), school=school, at=at + timedelta(seconds=school % 60))

    at = MORNING + timedelta(hours=6, minutes=30)
    needed = max(2, -(-sector.schools // 2000))
    campaign("X7", "D10", needed, at, 600)
    for place, school in enumerate(sector.some(needed + 3, start=13)):
        sector.add(
            {"signal.detection": "D10", "network.direction": "internal"}, school=school,
            at=at + timedelta(seconds=600 * place),
        )  # fmt: skip
    campaign("X7", "D02", 0, at, 0, attack=False)
    for school in _inventory(sector):
        _scan_inside(sector, school, MORNING + timedelta(hours=2, seconds=school % 600))

    at = MORNING + timedelta(hours=8)
    campaign("X8", f"board {sector.board(3)}", 1, at + timedelta(minutes=5), 0)
    sector.silent = {school for school in range(sector.schools) if sector.board(school) == sector.board(3)}
    campaign("X8", "holiday", 0, at, 0, attack=False)  # agents that deliver health, and nothing happens there


def _indicator(name: str, value: str) -> dict[str, Any]:
    return {"signal.detection": "D24", "rule.id": "D24", "rule.ruleset": "indicator", "threat.indicator.id": name,
            "threat.indicator.type": "domain", "threat.indicator.name": value, "network.direction": "outbound",
            "signal.severity": "Major"}  # fmt: skip


def _from(source: str) -> dict[str, Any]:
    return {"signal.detection": "D01", "network.direction": "inbound", "source.ip": source, "signal.severity": "Minor",
            "destination.ip": "10.1.0.9"}  # fmt: skip


def _failing(endpoint: str) -> dict[str, Any]:
    return {"signal.detection": "X6", "nsm.detail": {"endpoint": endpoint}, "signal.severity": "Informational"}


def agents(sector: Sector) -> list[Agent]:
    """All gateways. Those that fall silent do so at three; the others have been heard of at the end of the day."""
    return [
        Agent(
            id=f"gateway-{school}",
            timestamp=MORNING,
            key_hash="0" * 64,
            board=sector.board(school),
            schools=(School(location=location(school), board=sector.board(school)),),
            last_seen=MORNING + timedelta(hours=8 if school in sector.silent else HOURS + 2),
        )
        for school in range(sector.schools)
    ]


@dataclass
class Result:
    """What came of the day."""

    found: dict[Planted, datetime] = field(default_factory=dict)
    missed: list[Planted] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    delays: dict[Planted, float] = field(default_factory=dict)
    signals: int = 0
    sightings: int = 0
    groups: int = 0
    engine_seconds: float = 0.0
    looks: int = 0


class _Clock:
    def __init__(self) -> None:
        self.now = MORNING - timedelta(days=30)

    def __call__(self) -> datetime:
        return self.now


async def play(sector: Sector, store: Store, *, step: timedelta, fold: bool = True) -> Result:
    """Let the day arrive, looking every ``step`` of its time and two seconds after each pattern is complete.

    A delay is what the look after the completing event took. ``fold`` also folds all signals into alerts, which costs
    some calls of the store for each school's own.
    """
    clock = _Clock()
    counter = Counter(store, clock=clock)
    begun = clock.now
    await store.put(Kind.PROGRESS, Progress(id="prevalence-begun", timestamp=begun, until=begun), None)
    correlator = Correlator(store, own_rules(), clock=clock, counting_since=lambda: counter.begun)
    counter.on_change = correlator.seen
    folder = Folder(store, clock=clock)
    await store.put_many(Kind.AGENT, agents(sector))
    arriving = sorted(sector.arriving, key=lambda event: event.event_ingested or MORNING)
    times: list[datetime] = sorted({*sector.done.values(), *_steps(step)})
    result = Result()
    place = 0
    for moment in times:
        batch = []
        while place < len(arriving) and (arriving[place].event_ingested or MORNING) <= moment:
            batch.append(arriving[place])
            place += 1
        for start in range(0, len(batch), 2000):
            await store.create(batch[start : start + 2000])
        clock.now = moment
        began = time.perf_counter()
        await counter.look()
        await correlator.look()
        took = time.perf_counter() - began
        if fold:
            await folder.look()
        whole = time.perf_counter() - began
        result.engine_seconds += took
        result.looks += 1
        for planted, done in sector.done.items():
            if done == moment:
                result.delays[planted] = whole
    result.signals = sum(event.event_dataset is Dataset.SIGNAL for event in arriving)
    result.sightings = sum(event.event_dataset is Dataset.SIGHTING for event in arriving)
    result.groups = correlator.groups
    await _judge(sector, store, result)
    return result


def _steps(step: timedelta) -> Iterable[datetime]:
    moment = MORNING - timedelta(hours=1)
    while moment <= MORNING + timedelta(hours=HOURS):
        yield moment
        moment += step


async def _judge(sector: Sector, store: Store, result: Result) -> None:
    """Compare the correlated signals with what was planted."""
    raised: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    search = Search(
        Kind.SIGNAL, Equals("rule.ruleset", "correlation"), SECTOR, limit=5000, oldest_first=True,
        time_field="event.ingested",
    )  # fmt: skip
    for row in (await store.search(search)).rows:
        raised[row["rule.id"], row["signal.entity"]].append(row)
    for planted in sector.planted:
        rows = raised.pop((planted.rule, planted.about), [])
        if planted.attack:
            if rows:
                result.found[planted] = datetime.fromisoformat(rows[0]["event.ingested"])
            else:
                result.missed.append(planted)
        elif any(row["signal.severity"] != "Informational" for row in rows):
            result.twins.append(f"{planted.rule} {planted.about}")
    # The outage of X3 has no value of its own: its schools must not be among those of the flood.
    ill = {location(school) for school in sector.some(max(8, sector.schools // 20), start=6)}
    attacked = {location(school) for school in sector.some(5, start=5)}
    search = search._replace(where=Equals("rule.id", "X3"))
    for row in (await store.search(search)).rows:
        if (
            row.get("rule.ruleset") == "correlation"
            and (set(row["nsm.detail"]["school_list"].split()) - attacked) & ill
        ):
            result.twins.append("X3 outage")
    result.others = [f"{rule} {about}" for rule, about in raised]


def recorded(captures: Iterable[Path]) -> list[dict[str, Any]]:
    """The signals that the agent's own engine and detectors make of recorded traffic, as dotted fields."""
    command = [sys.executable, "-m", "schoolwacht_agent", "replay", *map(str, captures), "--json", "--signals"]
    done = subprocess.run([*command, "--engine", "packets"], capture_output=True, text=True, check=True, timeout=100)
    found = []
    for line in done.stdout.splitlines():
        event = msgspec.json.decode(line)
        found.append(
            {
                "signal.detection": event["signal"]["detection"],
                "signal.severity": event["signal"]["severity"],
                "network.direction": event["network"]["direction"],
                "source.ip": event["source"]["ip"],
            }
        )
    return found
