"""SNMP over the engine."""

from __future__ import annotations

from schoolwacht.event import Dataset
from tests.schoolwacht_agent.sources.packets.dissect.test_snmp import GET
from tests.schoolwacht_agent.sources.packets.played import Played
from tests.schoolwacht_agent.sources.packets.talk import datagrams


def test_each_message_is_told_with_its_community() -> None:
    played = Played(*datagrams((True, GET), (True, GET), port=161))
    assert [
        (event.nsm_snmp_version, event.nsm_snmp_pdu_type, event.nsm_snmp_community) for event in played.of(Dataset.SNMP)
    ] == [("2c", "get_request", "public")] * 2
    assert played.flow.network_protocol == "snmp"


def test_what_is_no_message_on_its_port_is_no_event() -> None:
    played = Played(*datagrams((True, GET), (True, GET[:-3]), port=161))
    assert len(played.of(Dataset.SNMP)) == 1
