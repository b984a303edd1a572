"""Evidence as it is made at a school: packets off an interface, a grave signal, its packets cut out and decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from schoolwacht.event import Dataset, Event
from schoolwacht.wire import decode_event
from schoolwacht_agent.spool import Reader
from tests.bench.agents import Part, environment, write_config
from tests.bench.veth import Wire, playable, wire
from tests.parts import CAPTURES, namespaces, program

PATIENCE = 90.0


@pytest.fixture
def pair() -> Iterator[Wire]:
    """A veth pair between two network namespaces."""
    namespaces()
    for name in ("tcpreplay", "ethtool", "tshark"):
        program(name, name)
    with wire("evidence") as made:
        yield made


def spooled(state: Path) -> list[Event]:
    """Signals and evidence in the spool of an agent that goes on."""
    with Reader(state / "spool") as reader:
        portion = reader.take(2000, 4 << 20)
    return [decode_event(item.raw) for item in portion.items] if portion is not None else []


def evidence(state: Path) -> list[Event]:
    return [one for one in spooled(state) if one.event_dataset is Dataset.EVIDENCE]


@pytest.mark.timeout(200)
def test_a_grave_signal_on_an_interface_becomes_decoded_minimised_evidence(tmp_path: Path, pair: Wire) -> None:
    tables: dict[str, dict[str, object]] = {
        "source": {"engine": "packets", "interface": pair.interface},
        "evidence": {"severity": "Minor", "after_seconds": 1},
        "uplink": {"collectors": ["http://127.0.0.1:9"]},
    }
    config, state = write_config(tmp_path, tables), tmp_path / "state"
    with environment(SCHOOLWACHT_AGENT_KEY="bench.secret"), Part(config, "capture", wrap=pair.listening) as part:
        assert part.wait(lambda: part.listens() and part.beat() is not None, PATIENCE)
        pair.send(playable(CAPTURES / "dns-tunnel.pcap", tmp_path), rate=100, seconds=4)
        assert part.wait(lambda: bool(evidence(state)), PATIENCE, every=0.5), part.log.read_text()
    (one, *_) = evidence(state)
    signals = [each for each in spooled(state) if each.event_dataset is Dataset.SIGNAL]
    assert one.rule_id in {each.rule_id for each in signals}
    assert one.evidence_fault is None
    assert (one.evidence_packets or 0) > 0
    assert one.evidence_sha256
    assert one.evidence_signature
    assert one.evidence_pcap is None, "the packets stay at the school"
    assert json.loads(one.evidence_tree or "null"), "decoded by tshark"
    assert "10.23.0.31" not in (one.evidence_tree or "")
    kept = [path.stat().st_mode & 0o777 for path in (state / "evidence" / "kept").rglob("*.pcap*")]
    assert set(kept) == {0o600}
