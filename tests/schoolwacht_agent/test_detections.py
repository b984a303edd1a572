from __future__ import annotations

from pathlib import Path

import pytest

from schoolwacht.event import Dataset
from schoolwacht_agent.config import SourceTable, SuricataTable
from schoolwacht_agent.detections import left_out, signed
from schoolwacht_agent.sources import packets
from schoolwacht_agent.sources import suricata as engine
from schoolwacht_agent.sources.suricata.eve import MAPPINGS
from tests.parts import CAPTURES


def program(root: Path, version: str) -> SourceTable:
    path = root / "suricata"
    path.write_text(f"#!/bin/sh\necho This is Suricata version {version} RELEASE\n")
    path.chmod(0o755)
    return SourceTable(suricata=SuricataTable(binary=str(path)))


def test_our_signatures_name_their_detections() -> None:
    assert {"D09", "D10", "D11", "D12", "D16", "D17", "D22", "D23"} <= signed()


def test_the_packet_engine_leaves_out_what_needs_signatures_or_records_that_it_does_not_give() -> None:
    missing = left_out(packets.sees(SourceTable()))
    assert missing["D16"] == "signatures"
    assert missing["D05"] == "krb5 records"
    assert missing["D13"] == missing["D14"] == "smb records"
    assert not {"D01", "D02", "D03", "D04", "D18", "D19", "D27", "D33"} & set(missing)


def test_suricata_7_leaves_out_what_needs_arp_and_8_nothing(tmp_path: Path) -> None:
    assert left_out(engine.sees(program(tmp_path, "7.0.10"))) == {"D03": "arp records"}
    assert left_out(engine.sees(program(tmp_path, "8.0.1"))) == {}


def test_an_engine_that_gives_all_leaves_out_nothing() -> None:
    assert left_out(frozenset(Dataset)) == {}


def test_the_packet_engine_gives_what_it_says_and_nothing_else() -> None:
    told: set[Dataset] = set()
    for capture in sorted(CAPTURES.glob("*.pcap")):
        for events in packets.offline(capture, SourceTable()).read():
            told |= {event.event_dataset for event in events}
    assert told <= packets.sees(SourceTable())
    assert packets.sees(SourceTable()) - told <= {Dataset.HEALTH, Dataset.SNMP, Dataset.DHCP}


@pytest.mark.parametrize(
    "dataset", sorted(engine.sees(SourceTable()) - {Dataset.SIGNAL, Dataset.HEALTH} | {Dataset.ARP})
)
def test_suricata_has_a_mapping_for_each_dataset(dataset: Dataset) -> None:
    names = {"file": "fileinfo"}
    assert names.get(dataset.value, dataset.value) in MAPPINGS
