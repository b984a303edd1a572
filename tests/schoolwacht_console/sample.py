"""A small sector to look at: two boards, three agents, events, signals and alerts, put into any store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from schoolwacht.derive import derive
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_collector.index.port import Kind, Store
from schoolwacht_collector.records import Agent, Alert, AlertState, School, Severity

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
SCHOOLS = (
    School(location="00AA00", board="41001", name="De Vuurtoren"),
    School(location="00AB00", board="41001", name="Het Kompas"),
    School(location="00AC00", board="41002", name="De Sluis"),
)
COMMUNITY = "1:wCb3OG7yAFWelaUydu0D+125CLM="

#: Text as hostile as the network can send it.
HOSTILE = (
    "<script>window.owned=1</script>",
    '"><img src=x onerror=window.owned=1>',
    "'-window.owned=1-'",
    "javascript:window.owned=1",
    "</td></table><svg onload=window.owned=1>",
    "{{7*7}}{% raw %}",
    "<meta http-equiv=refresh content=0;url=javascript:window.owned=1>",
    "<style>*{display:none}</style><base href=//evil.example>",
    "exe.\u202egpj\u2066\u2069",
    "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "&lt;script&gt;window.owned=1&lt;/script&gt;",
    "<iframe srcdoc='<script>parent.owned=1</script>'>",
    "<details open ontoggle=window.owned=1>",
    "<form action=//evil.example><button>x",
)


def event(number: int, at: datetime, dataset: Dataset = Dataset.FLOW, **fields: object) -> Event:
    """A stored event of the first school; ``fields`` add to it or change it."""
    made = Event(
        timestamp=at,
        event_dataset=dataset,
        event_id=f"e{number:06d}",
        event_sequence=number,
        event_ingested=at + timedelta(seconds=1),
        event_module="packets",
        observer_name="school-00aa00",
        organization_id="41001",
        school_location="00AA00",
        school_brin="00AA",
        source_ip="10.21.0.23",
        source_port=40_000 + number % 20_000,
        destination_ip="203.0.113.66",
        destination_port=80,
        network_transport="tcp",
        network_type="ipv4",
        network_direction=Direction.OUTBOUND,
    )
    for name, value in fields.items():
        setattr(made, name, value)
    derive(made)
    return made


def signal(number: int, at: datetime, key: str = "k1", **fields: object) -> Event:
    """A signal of the first alert."""
    given = {
        "rule_id": "D24",
        "rule_name": "Known bad address 203.0.113.66",
        "rule_ruleset": "indicator",
        "signal_key": key,
        "signal_entity": "10.21.0.23",
        "network_community_id": COMMUNITY,
        "threat_technique_id": ["T1071"],
    }
    return event(number, at, Dataset.SIGNAL, **(given | fields))


def alert(number: int, *, at: datetime = NOW, **fields: object) -> Alert:
    """An open alert of two signals; ``fields`` change it."""
    given: dict[str, object] = {
        "id": f"a{number:04d}",
        "timestamp": at,
        "state": AlertState.OPEN,
        "key": f"k{number}",
        "title": "Known bad address 203.0.113.66 (Delivers the loader)",
        "severity": Severity.HIGH,
        "score": 70,
        "count": 2,
        "opened": at - timedelta(minutes=9),
        "since": at - timedelta(minutes=10),
        "arrived": at,
        "first": at - timedelta(minutes=8),
        "last": at - timedelta(minutes=1),
        "entity": "10.21.0.23",
        "rule_id": "D24",
        "rule_name": "Known bad",
        "rule_ruleset": "indicator",
        "detection": "D24",
        "board": "41001",
        "school": "00AA00",
        "agent": "school-00aa00",
        "technique_id": ("T1071",),
        "technique_name": ("Application Layer Protocol",),
        "tactic_id": ("TA0011",),
        "tactic_name": ("Command and Control",),
        "indicator_type": "address",
        "indicator_name": "203.0.113.66",
        "tlp": "AMBER",
        "examples": ("e000010", "e000011"),
    }
    return Alert(**(given | fields))  # type: ignore[arg-type]  # the test names the fields it changes


async def fill(store: Store) -> None:
    """Put the sample into an open store."""
    for place, school in enumerate(SCHOOLS):
        agent = Agent(
            id=f"school-{school.location.lower()}",
            timestamp=NOW - timedelta(minutes=place),
            key_hash="0" * 64,
            board=school.board,
            schools=(school,),
            last_seen=NOW - timedelta(seconds=30) if place < 2 else None,
            version="0.1.0",
            stored=12_345 * place,
            enabled=place != 1,
        )
        await store.put(Kind.AGENT, agent, None)
    start = NOW - timedelta(minutes=8)
    events = [
        event(
            1,
            start,
            Dataset.DNS,
            dns_question_name="download.gratis-spellen.example",
            dns_question_type="A",
            dns_response_code="NOERROR",
            dns_answers_data=["203.0.113.66"],
            destination_port=53,
            network_transport="udp",
            network_protocol="dns",
        ),
        event(
            2,
            start + timedelta(seconds=1),
            Dataset.HTTP,
            url_domain="download.gratis-spellen.example",
            http_request_method="GET",
            url_original="/files/spel.exe",
            http_response_status_code=200,
            network_community_id=COMMUNITY,
            user_agent_original="curl/8",
        ),
        event(
            3,
            start + timedelta(seconds=2),
            network_community_id=COMMUNITY,
            network_protocol="http",
            source_bytes=1569,
            destination_bytes=25_000,
            source_packets=20,
            destination_packets=22,
            nsm_flow_state="closed",
        ),
        event(
            4,
            start + timedelta(seconds=3),
            source_ip="10.22.0.66",
            school_location="00AB00",
            observer_name="school-00ab00",
        ),
        signal(10, start),
        signal(11, start + timedelta(seconds=1)),
    ]
    for outcome in await store.create(events):
        assert outcome.created, outcome
    for one in (
        alert(1),
        alert(
            2,
            title="Port scan",
            severity=Severity.CRITICAL,
            score=85,
            school="00AB00",
            agent="school-00ab00",
            entity="10.22.0.66",
            rule_id="D01",
            detection="D01",
            rule_ruleset="behaviour",
            rule_name="Vertical scan",
            technique_id=("T1046",),
            technique_name=("Network Service Discovery",),
            count=1000,
            indicator_name=None,
            indicator_type=None,
            tlp=None,
            at=NOW - timedelta(hours=2),
        ),
        alert(
            3,
            title="DNS tunnel",
            severity=Severity.MEDIUM,
            score=55,
            school="00AC00",
            board="41002",
            agent="school-00ac00",
            entity="10.23.0.31",
            rule_id="D19",
            detection="D19",
            at=NOW - timedelta(days=2),
        ),
        alert(
            4,
            title="Old TLS",
            severity=Severity.INFORMATIONAL,
            score=10,
            detection=None,
            rule_id="900001",
            state=AlertState.CLOSED,
            reason="known appliance",
            changed_by="anna",
            changed_at=NOW,
        ),
        alert(
            5,
            title="Password guessing",
            severity=Severity.LOW,
            score=35,
            state=AlertState.ACKNOWLEDGED,
            changed_by="anna",
            changed_at=NOW,
        ),
    ):
        await store.put(Kind.ALERT, one, None)
