"""From a signal to its evidence, through the real tshark: which signals, with what, and what leaves."""

from __future__ import annotations

import base64
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht.wire import LIMITS, encode_event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.evidence.collect import Evidence
from schoolwacht_agent.evidence.open import directory_of, open_evidence, open_store
from schoolwacht_agent.evidence.recent import Captures, Packets, Recent
from schoolwacht_agent.evidence.settings import EvidenceTable, Severity
from schoolwacht_agent.evidence.signing import statement, verify
from schoolwacht_agent.evidence.tree import Tree
from schoolwacht_agent.minimise.open import open_minimise
from schoolwacht_agent.minimise.settings import MinimiseTable
from schoolwacht_agent.minimise.step import Minimise
from schoolwacht_agent.standpoint.gateway import Gateway
from tests.schoolwacht_agent.evidence.standin import real_tshark, stand_in
from tests.schoolwacht_agent.sources.packets.made import ACK, CLIENT, PSH, SERVER, START, ethernet, ipv4, pcap, tcp, udp
from tests.schoolwacht_agent.sources.packets.played import batch_of

MOMENT = datetime.fromtimestamp(START, UTC) + timedelta(seconds=1)


def signal(**fields: object) -> Event:
    given: dict[str, object] = {
        "timestamp": MOMENT, "event_dataset": Dataset.SIGNAL, "source_ip": CLIENT, "destination_ip": SERVER,
        "source_port": 40_000, "destination_port": 80, "network_transport": "tcp", "rule_id": "9101601",
        "rule_name": "Log4Shell", "rule_ruleset": "suricata", "signal_severity": "Major",
        "network_community_id": "1:abc", "network_direction": Direction.OUTBOUND,
    }  # fmt: skip
    return Event(**(given | fields))  # type: ignore[arg-type]  # field names of the struct


def segment(payload: bytes, *, port: int = 80) -> bytes:
    return ethernet(ipv4(tcp(payload, flags=ACK | PSH, destination=port), protocol=6))


def captures(tmp_path: Path, *frames: bytes) -> Captures:
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap([*frames]))
    return Captures(path)


def minimise(state: Path) -> Minimise:
    homes = Homes()
    made = open_minimise(MinimiseTable(), (), homes, Gateway(homes), state)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tshark tells of the fields here: asked once, for it takes seconds."""
    state = tmp_path_factory.mktemp("learned")
    frames = [segment(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: x\r\n\r\n")]
    made_of(evidence(state, captures(state, *frames)), signal())
    return directory_of(state) / "fields.json"


@pytest.fixture
def state(tmp_path: Path, learned: Path) -> Path:
    """A state directory in which that is known."""
    made = tmp_path / "state"
    directory_of(made).mkdir(parents=True)
    shutil.copy(learned, directory_of(made))
    return made


def evidence(
    state: Path, place: Packets, step: Minimise | None = None, *, live: bool = False, **settings: object
) -> Evidence:
    real_tshark()
    made = open_evidence(EvidenceTable(**settings), "gw", state, place, step, live=live)  # type: ignore[arg-type]  # named settings
    assert made is not None
    return made


def made_of(evidence: Evidence, *signals: Event) -> list[Event]:
    evidence.note([*signals])
    return evidence.finish()


def test_a_signals_packets_are_kept_signed_decoded_and_told(tmp_path: Path, state: Path) -> None:
    frames = [segment(b"GET /x HTTP/1.1\r\nHost: www.example.org\r\n\r\n"), segment(b"other", port=81)]
    (event,) = made_of(evidence(state, captures(tmp_path, *frames)), signal())
    assert (event.event_dataset, event.timestamp, event.rule_id) == (Dataset.EVIDENCE, MOMENT, "9101601")
    assert (event.network_community_id, event.evidence_packets, event.evidence_fault) == ("1:abc", 1, None)
    tree = msgspec.json.decode(event.evidence_tree or "", type=Tree)
    shown = {name: value for one in tree.packets for layer in one.layers for name, _, value in layer.fields}
    assert shown["http.host"] == "www.example.org"
    assert shown["http.request.method"] == "GET"
    store = open_store(EvidenceTable(), state)
    assert store.ids() == [event.evidence_id]
    assert event.evidence_id is not None
    assert event.evidence_taken is not None
    assert event.evidence_pcap is None
    signed = statement("gw", event.evidence_id, event.evidence_taken, event.evidence_sha256 or "")
    assert verify(event.evidence_public_key or "", event.evidence_signature or "", signed)
    assert frames[0] in store.pcap(event.evidence_id)
    assert frames[1] not in store.pcap(event.evidence_id)


PLANTED = (b"pieter.jansen", b"JANSEN-LAPTOP", b"geheim-wachtwoord", b"leerling-4711", b"intranet-van-piet")


def test_planted_identities_do_not_leave(tmp_path: Path, state: Path) -> None:
    request = (
        b"GET /zoek?naam=pieter.jansen HTTP/1.1\r\nHost: intranet-van-piet.local\r\nCookie: sid=leerling-4711\r\n"
        b"Authorization: Basic geheim-wachtwoord\r\nReferer: http://x/?u=pieter.jansen\r\n"
        b"User-Agent: curl (10.21.4.30)\r\n\r\n"
    )
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\npieter.jansen leerling-4711"
    dhcp = (
        bytes.fromhex("0101060000000001") + bytes(8) + bytes((10, 21, 4, 30)) + bytes(8)
        + bytes.fromhex("020000000030") + bytes(202) + bytes.fromhex("63825363350103")
        + b"\x0c\x0dJANSEN-LAPTOP" + b"\xff"
    )  # fmt: skip
    back = ethernet(
        ipv4(tcp(body, flags=ACK | PSH, source=80, destination=40_000), protocol=6, source=SERVER, destination=CLIENT)
    )
    frames = [segment(request), back, ethernet(ipv4(udp(dhcp, source=68, destination=67)))]
    step = minimise(state)
    any_port = signal(source_port=None, destination_port=None, network_transport=None)
    (raw,) = made_of(evidence(state, captures(tmp_path, *frames), step), any_port)
    (event,) = step.through([raw])
    sent = encode_event(event)
    assert event.evidence_packets == 3
    assert b"http.request.method" in sent
    for word in (*PLANTED, CLIENT.encode(), b"02:00:00:00:00:30", b"02-00-00-00-00-30"):
        assert word.lower() not in sent.lower(), word
    assert SERVER.encode() in sent, "what indicators need stays"
    tree = msgspec.json.decode(event.evidence_tree or "", type=Tree)
    shown = {name: value for one in tree.packets for layer in one.layers for name, _, value in layer.fields}
    assert event.source_ip in {shown["ip.src"], shown["ip.dst"]}, "the same pseudonym in event and tree"


def test_the_packets_leave_only_if_the_board_lets_them(tmp_path: Path, state: Path) -> None:
    frame = segment(b"GET / HTTP/1.1\r\n\r\n")
    (event,) = made_of(evidence(state, captures(tmp_path, frame), pcap_leaves=True), signal())
    assert frame in base64.b64decode(event.evidence_pcap or "")


def test_the_greatest_evidence_fits_into_an_event(tmp_path: Path, state: Path) -> None:
    frames = [segment(b"GET /%d HTTP/1.1\r\n" % number + b"a" * 1400) for number in range(200)]
    place = captures(tmp_path, *frames)
    step = evidence(state, place, packets=1000, packets_kib=128, pcap_leaves=True, tshark="/none")
    (event,) = made_of(step, signal())
    assert (event.evidence_bytes or 0) > 120 << 10
    # JSON of a tree is ASCII or shorter than its bytes are bounded by.
    event.evidence_tree = "a" * (64 << 10)
    assert len(encode_event(event)) <= LIMITS.event


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"signal_severity": "Minor"}, 0),
        ({"signal_severity": "Critical"}, 1),
        ({"signal_severity": None, "event_severity": 1}, 1),
        ({"signal_severity": None, "event_severity": 3}, 0),
        ({"signal_severity": None}, 0),
        ({"event_dataset": Dataset.FLOW}, 0),
    ],
)
def test_only_signals_of_the_severity_that_is_set_get_evidence(
    tmp_path: Path, state: Path, fields: dict[str, object], count: int
) -> None:
    step = evidence(state, captures(tmp_path, segment(b"x")), tshark="/none", severity=Severity.MAJOR)
    assert len(made_of(step, signal(**fields))) == count


def test_the_same_signal_of_the_same_ends_gets_none_anew(tmp_path: Path, state: Path) -> None:
    step = evidence(state, captures(tmp_path, segment(b"x")), tshark="/none")
    assert len(made_of(step, signal(), signal(), signal(rule_id="other"))) == 2
    assert step.figures()["evidence.repeated"] == 1


def test_an_hour_has_a_bound(tmp_path: Path, state: Path) -> None:
    step = evidence(state, captures(tmp_path, segment(b"x")), tshark="/none", per_hour=3)
    assert len(made_of(step, *(signal(rule_id=str(number)) for number in range(9)))) == 3
    assert step.figures()["evidence.over_limit"] == 6


def test_a_signal_without_packets_is_counted(tmp_path: Path, state: Path) -> None:
    step = evidence(state, captures(tmp_path, segment(b"x")))
    assert made_of(step, signal(source_port=1), signal(source_ip=None, destination_ip=None)) == []
    assert step.figures()["evidence.without_packets"] == 2


def test_without_tshark_the_packets_are_kept_and_nothing_is_quarantined(tmp_path: Path, state: Path) -> None:
    step = evidence(state, captures(tmp_path, segment(b"x")), tshark="/none")
    (event,) = made_of(step, signal())
    assert event.evidence_fault == "/none is not installed at the school"
    assert (event.evidence_packets, event.evidence_tree) == (1, None)
    assert step.figures()["evidence.quarantined"] == 0


def test_packets_that_hang_the_decoding_are_quarantined_and_told(tmp_path: Path, state: Path, outside: Path) -> None:
    tshark = stand_in(outside, "echo secret-of-a-packet >&2; sleep 600")
    step = evidence(state, captures(tmp_path, segment(b"x")), tshark=str(tshark), dissect_seconds=1)
    event, told = made_of(step, signal())
    assert "more than 1 s" in (event.evidence_fault or "")
    assert event.evidence_tree is None
    assert (told.event_dataset, told.health_condition) == (Dataset.HEALTH, "quarantined")
    assert "secret-of-a-packet" not in f"{told.message}{event.evidence_fault}"
    store = open_store(EvidenceTable(), state)
    assert [path.name for path in store.quarantine.glob("*.pcap")] == [f"{event.evidence_id}.pcap"]
    assert not (directory_of(state) / "work").exists()
    assert len(made_of(evidence(state, captures(tmp_path, segment(b"x"))), signal())) == 1, "the next is served"


def test_a_live_signal_waits_for_the_packets_after_it(tmp_path: Path, state: Path) -> None:
    recent = Recent(24, 1 << 20, 1e9)
    recent.take(batch_of([(1.0, segment(b"GET / HTTP/1.1\r\n"))]))
    step = evidence(state, recent, live=True, after_seconds=0.2, tshark="/none")
    step.note([signal()])
    assert step.ready() == []
    recent.take(batch_of([(1.1, segment(b"Host: www.example.org\r\n\r\n"))]))
    events: list[Event] = []
    until = time.monotonic() + 30
    while not events and time.monotonic() < until:
        events = step.ready()
        time.sleep(0.002)
    assert [event.evidence_packets for event in events] == [2]


def test_a_stop_in_the_middle_leaves_nothing_running(tmp_path: Path, state: Path) -> None:
    step = evidence(state, captures(tmp_path, segment(b"x")), dissect_seconds=300)
    step.note([signal(), signal(rule_id="other")])
    while not (directory_of(state) / "work" / "packets.pcap").exists():
        step.ready()
    step.close()
    assert step.figures()["evidence.over_limit"] == 2
    assert not (directory_of(state) / "work").exists()
