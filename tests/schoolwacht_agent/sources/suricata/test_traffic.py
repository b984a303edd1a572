"""Flow, DNS, TLS, HTTP, files and QUIC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schoolwacht.event import Dataset
from tests.schoolwacht_agent.sources.suricata.records import CLIENT, SERVER, line, one, recorded, turned

FLOW = {
    "pkts_toserver": 23,
    "pkts_toclient": 21,
    "bytes_toserver": 4884,
    "bytes_toclient": 7392,
    "start": "2026-11-24T08:32:28.025256+0000",
    "end": "2026-11-24T08:35:28.071281+0000",
    "age": 180,
    "state": "closed",
    "reason": "timeout",
    "alerted": False,
}


def test_a_flow_stands_at_its_end_with_a_duration_in_nanoseconds() -> None:
    event = one(line("flow", FLOW))
    assert event.event_dataset is Dataset.FLOW
    assert event.timestamp == event.event_end == datetime(2026, 11, 24, 8, 35, 28, 71281, tzinfo=UTC)
    assert event.event_start == datetime(2026, 11, 24, 8, 32, 28, 25256, tzinfo=UTC)
    assert event.event_duration == 180_046_025_000


def test_a_flow_counts_to_server_as_source_and_to_client_as_destination() -> None:
    event = one(line("flow", FLOW))
    assert (event.source_bytes, event.source_packets) == (4884, 23)
    assert (event.destination_bytes, event.destination_packets) == (7392, 21)
    assert (event.network_bytes, event.network_packets) == (12276, 44)


def test_a_flow_that_ends_before_it_starts_has_no_duration() -> None:
    event = one(line("flow", FLOW | {"end": "2026-11-24T08:32:28.000000+0000"}))
    assert event.event_duration is None


def test_a_flow_has_the_flags_of_both_directions_and_its_state() -> None:
    event = one(line("flow", FLOW, tcp={"tcp_flags": "1f", "tcp_flags_ts": "1b", "tcp_flags_tc": "1e"}))
    assert (event.nsm_flow_source_tcp_flags, event.nsm_flow_destination_tcp_flags) == ("1b", "1e")
    assert (event.nsm_flow_state, event.nsm_flow_reason) == ("closed", "timeout")


@pytest.mark.parametrize(("given", "expected"), [("failed", None), ("http2", "http"), ("tls", "tls"), (None, None)])
def test_what_suricata_did_not_recognise_has_no_protocol(given: str | None, expected: str | None) -> None:
    assert one(line("flow", FLOW, app_proto=given)).network_protocol == expected


def test_an_icmp_flow_has_type_and_code_and_no_ports() -> None:
    event = one(line("flow", FLOW, proto="IPv6-ICMP", src_port=None, dest_port=None, icmp_type=134, icmp_code=0))
    assert (event.network_transport, event.nsm_icmp_type, event.nsm_icmp_code) == ("ipv6-icmp", 134, 0)
    assert event.source_port is None


def test_addresses_are_shortest_and_macs_as_ecs_has_them() -> None:
    event = one(
        line(
            "flow",
            FLOW,
            src_ip="fe80:0000:0000:0000:0a00:27ff:fe7f:b58b",
            dest_ip="0000:0000:0000:0000:0000:0000:0000:0001",
            ether={"src_macs": ["08:00:27:7f:b5:8b", "08:00:27:00:00:01"], "dest_macs": ["52:54:00:12:35:02"]},
        )
    )
    assert (event.source_ip, event.destination_ip) == ("fe80::a00:27ff:fe7f:b58b", "::1")
    assert (event.source_mac, event.destination_mac) == ("08-00-27-7F-B5-8B", "52-54-00-12-35-02")
    assert event.network_type == "ipv6"


def test_both_vlan_tags_are_kept() -> None:
    event = one(line("flow", FLOW, vlan=[2008, 12]))
    assert (event.network_vlan_id, event.network_inner_vlan_id) == ("2008", "12")


def test_a_time_of_another_zone_is_given_in_utc() -> None:
    event = one(line("ssh", {"client": {"proto_version": "2.0"}}, timestamp="2026-11-24T09:41:40.000001+0100"))
    assert event.timestamp == datetime(2026, 11, 24, 8, 41, 40, 1, tzinfo=UTC)
    assert event.timestamp.tzinfo is UTC


# DNS

V1_ANSWER = {
    "type": "answer", "id": 16000, "flags": "8180", "qr": True, "rd": True, "ra": True, "rcode": "NOERROR",
    "rrname": "Twitter.com", "rrtype": "A", "ttl": 8, "rdata": "199.16.156.6",
}  # fmt: skip
V2_ANSWER = {
    "version": 2, "type": "answer", "id": 45444, "flags": "8580", "rcode": "NOERROR", "rrname": "www.suricata.io",
    "rrtype": "A",
    "answers": [
        {"rrname": "www.suricata.io", "rrtype": "CNAME", "ttl": 3324, "rdata": "Suricata.io."},
        {"rrname": "suricata.io", "rrtype": "A", "ttl": 10, "rdata": "192.0.78.24"},
        {"rrname": "suricata.io", "rrtype": "AAAA", "ttl": 10, "rdata": "2a01:0111:0000:0000:0000:0000:0000:54a1"},
    ],
}  # fmt: skip
V3_ANSWER = {
    "version": 3, "type": "response", "tx_id": 1, "id": 45444, "flags": "8580", "opcode": 0, "rcode": "NOERROR",
    "queries": [{"rrname": "www.suricata.io", "rrtype": "A"}], "answers": V2_ANSWER["answers"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("record", "ends"),
    [
        (V1_ANSWER, {"dest_port": 53}),
        (V2_ANSWER, {"dest_port": 53}),
        (V3_ANSWER, turned(53)),
        # A flow picked up at its answer is the wrong way round in 7; 8 may write one that is not.
        (V2_ANSWER, turned(53)),
        (V3_ANSWER, {"dest_port": 53}),
        # No well-known port: only the version decides.
        (V2_ANSWER, {"dest_port": 4444}),
        (V3_ANSWER, turned(4444)),
    ],
)
def test_of_an_answer_the_source_is_the_one_that_asked(record: dict[str, Any], ends: dict[str, Any]) -> None:
    event = one(line("dns", record, proto="UDP", **ends))
    assert (event.source_ip, event.source_port, event.destination_ip) == (CLIENT, 50123, SERVER)
    assert event.dns_type == "answer"
    assert event.dns_response_code == "NOERROR"


@pytest.mark.parametrize("record", [V2_ANSWER, V3_ANSWER])
def test_versions_two_and_three_give_the_same_question_and_answers(record: dict[str, Any]) -> None:
    event = one(line("dns", record, **(turned(53) if record["version"] == 3 else {"dest_port": 53})))
    assert (event.dns_id, event.dns_question_name, event.dns_question_type) == ("45444", "www.suricata.io", "A")
    assert event.dns_answers_name == ["www.suricata.io", "suricata.io", "suricata.io"]
    assert event.dns_answers_type == ["CNAME", "A", "AAAA"]
    assert event.dns_answers_data == ["suricata.io", "192.0.78.24", "2a01:111::54a1"]
    assert event.dns_resolved_ip == ["192.0.78.24", "2a01:111::54a1"]
    assert event.dns_header_flags == ["AA", "RD", "RA"]


def test_version_one_has_its_answer_in_the_record_itself() -> None:
    event = one(line("dns", V1_ANSWER, dest_port=53))
    assert (event.dns_question_name, event.dns_answers_data) == ("twitter.com", ["199.16.156.6"])
    assert event.dns_resolved_ip == ["199.16.156.6"]


@pytest.mark.parametrize(
    "record",
    [
        {"type": "query", "id": 1, "rrname": "Rooster.Example.", "rrtype": "HTTPS", "opcode": 0},
        {"version": 2, "type": "query", "id": 1, "rrname": "rooster.example", "rrtype": "HTTPS", "opcode": 0},
        {"version": 3, "type": "request", "id": 1, "opcode": 0, "rcode": "NOERROR",
         "queries": [{"rrname": "ROOSTER.example", "rrtype": "HTTPS"}]},
    ],
)  # fmt: skip
def test_a_query_is_the_same_in_all_versions_and_has_no_response_code(record: dict[str, Any]) -> None:
    event = one(line("dns", record, dest_port=53))
    assert (event.dns_type, event.dns_question_name, event.dns_question_type) == ("query", "rooster.example", "HTTPS")
    assert event.dns_response_code is None
    assert event.dns_op_code == "QUERY"
    assert event.source_ip == CLIENT


def test_grouped_answers_are_read_where_there_are_no_others() -> None:
    record = {"version": 2, "type": "answer", "id": 1, "rcode": "NOERROR", "rrname": "a.example", "rrtype": "A",
              "grouped": {"A": ["192.0.2.1", "192.0.2.2"], "CNAME": ["b.example"]}}  # fmt: skip
    event = one(line("dns", record, dest_port=53))
    assert event.dns_answers_type == ["A", "A", "CNAME"]
    assert event.dns_resolved_ip == ["192.0.2.1", "192.0.2.2"]


def test_records_of_several_parts_read_as_in_a_zone_file() -> None:
    answers = [
        {"rrname": "a.example", "rrtype": "SOA", "soa": {"mname": "ns.A.example", "rname": "post.a.example",
         "serial": 3, "refresh": 60, "retry": 600, "expire": 86400, "minimum": 3600}},
        {"rrname": "a.example", "rrtype": "SRV",
         "srv": {"priority": 20, "weight": 1, "port": 5060, "name": "s.example"}},
        {"rrname": "a.example", "rrtype": "SSHFP", "sshfp": {"fingerprint": "a6:b9:5f", "algo": 3, "type": 2}},
    ]  # fmt: skip
    event = one(line("dns", {"version": 2, "type": "answer", "rcode": 3, "rrname": "a.example", "answers": answers}))
    assert event.dns_answers_data == [
        "ns.a.example post.a.example 3 60 600 86400 3600",
        "20 1 5060 s.example",
        "3 2 a6b95f",
    ]
    assert event.dns_response_code == "NXDOMAIN"


def test_the_root_and_names_that_are_too_long_keep_within_their_field() -> None:
    assert one(line("dns", {"version": 2, "type": "query", "rrname": "", "rrtype": "NS"})).dns_question_name is None
    long = one(line("dns", {"version": 2, "type": "query", "rrname": "\\x00" * 250, "rrtype": "NULL"}))
    assert len(long.dns_question_name or "") == 256


def test_of_a_hundred_answers_sixty_four_are_kept() -> None:
    answers = [{"rrname": "a.example", "rrtype": "A", "rdata": f"192.0.2.{number}"} for number in range(100)]
    event = one(line("dns", {"version": 2, "type": "answer", "rrname": "a.example", "answers": answers}))
    assert len(event.dns_answers_data or []) == len(event.dns_resolved_ip or []) == 64


def test_a_recorded_look_up_has_client_name_and_addresses() -> None:
    event = recorded("dns", '"type":"answer"')
    assert (event.source_ip, event.destination_ip, event.destination_port) == ("10.21.0.23", "198.51.100.53", 53)
    assert event.dns_question_name == "www.rooster.example"


# TLS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TLS 1.3", ("1.3", "tls")),
        ("TLS 1.3 draft-28", ("1.3", "tls")),
        ("TLS 1.2", ("1.2", "tls")),
        ("TLSv1", ("1.0", "tls")),
        ("SSLv3", ("3.0", "ssl")),
        ("UNDETERMINED", (None, None)),
        ("0x7f12", (None, None)),
    ],
)
def test_versions_of_tls_and_of_ssl_are_told_apart(text: str, expected: tuple[str | None, str | None]) -> None:
    event = one(line("tls", {"version": text}))
    assert (event.tls_version, event.tls_version_protocol) == expected


def test_a_handshake_has_fingerprints_cipher_and_server_name() -> None:
    event = one(
        line(
            "tls",
            {
                "sni": "Login.Example.",
                "version": "TLS 1.3",
                "session_resumed": True,
                "ja3": {"hash": "e35df3e00ca4ef31d42b34bebaa2f86e", "string": "771,4866-4867,0-5,29-23,0"},
                "ja3s": {"hash": "15af977ce25de452b96affa2addb1036", "string": "771,4866,43-51"},
                "ja4": "t13d181100_6c2ba73853a4_24695f2957a7",
            },
        )
    )
    assert event.tls_client_server_name == "login.example"
    assert event.tls_cipher == "0x1302"
    assert event.nsm_tls_ja4 == "t13d181100_6c2ba73853a4_24695f2957a7"
    assert event.tls_client_ja3 == "e35df3e00ca4ef31d42b34bebaa2f86e"
    assert event.tls_server_ja3s == "15af977ce25de452b96affa2addb1036"
    assert event.tls_resumed is True


def test_a_recorded_certificate_has_its_hashes_names_and_dates() -> None:
    event = recorded("tls", "www.hcbpmwkzfa.com")
    assert event.tls_server_subject == "CN=www.q4x7mzk2vbd3aw.net"
    assert event.tls_server_issuer == "CN=www.n3ujy6fe.com"
    assert event.tls_server_hash_sha1 is not None
    assert len(event.tls_server_hash_sha1) == 40
    assert event.tls_server_hash_sha256 is not None
    assert len(event.tls_server_hash_sha256) == 64
    assert event.tls_server_not_after is not None
    assert event.tls_server_not_before is not None
    assert event.tls_server_not_after > event.tls_server_not_before
    assert event.tls_server_x509_serial_number is not None
    assert ":" not in event.tls_server_x509_serial_number


def test_alternative_names_that_suricata_eight_states_itself_are_taken() -> None:
    event = one(line("tls", {"subject": "CN=a", "subjectaltname": ["A.example", "b.example"]}))
    assert event.tls_server_x509_alternative_names == ["a.example", "b.example"]


# HTTP and files


def test_a_request_is_taken_apart_into_its_url() -> None:
    event = one(
        line(
            "http",
            {
                "hostname": "Leermiddelen.Example",
                "http_port": 8080,
                "url": "/zoek/boek?q=aap&p=2",
                "http_user_agent": "curl/8",
                "http_refer": "http://rooster.example/",
                "http_method": "GET",
                "protocol": "HTTP/1.1",
                "status": 404,
                "length": 310,
                "http_content_type": "Text/HTML; charset=utf-8",
            },
        )
    )
    assert event.url_domain == "leermiddelen.example"
    assert event.url_full == "http://leermiddelen.example:8080/zoek/boek?q=aap&p=2"
    assert (event.url_original, event.url_path, event.url_query) == ("/zoek/boek?q=aap&p=2", "/zoek/boek", "q=aap&p=2")
    assert (event.http_version, event.http_request_method, event.url_port) == ("1.1", "GET", 8080)
    assert (event.http_response_status_code, event.event_outcome) == (404, "failure")
    assert event.http_response_mime_type == "text/html"
    assert event.http_response_body_bytes == 310


def test_a_request_through_a_proxy_names_host_and_scheme_itself() -> None:
    event = one(line("http", {"url": "https://Rooster.Example/dag", "http_method": "GET", "status": "200"}))
    assert (event.url_domain, event.url_scheme, event.url_path) == ("rooster.example", "https", "/dag")
    assert event.url_full == "https://rooster.example/dag"
    assert event.event_outcome == "success"


def test_http_two_has_its_host_in_a_header() -> None:
    event = one(
        line(
            "http",
            {
                "version": "2",
                "http_method": "GET",
                "url": "/",
                "status": 200,
                "request_headers": [{"name": ":authority", "value": "rooster.example"}],
                "http2": {"stream_id": 1},
            },
        )
    )
    assert (event.http_version, event.url_domain) == ("2", "rooster.example")


def test_a_url_that_is_none_is_kept_as_it_was() -> None:
    event = one(line("http", {"hostname": "a.example", "url": "http://[::1/x"}))
    assert event.url_original == "http://[::1/x"


@pytest.mark.parametrize(
    ("ends", "fields"),
    [
        (turned(80), {"app_proto": "http", "http": {"http_method": "GET"}}),
        (turned(8081), {"app_proto": "http", "http": {"http_method": "GET", "http_port": 8081}}),
        (turned(4444), {"app_proto": "http", "http": {"http_method": "GET"}}),
        ({}, {"app_proto": "http", "http": {"http_method": "POST"}}),
        ({"dest_port": 80}, {"app_proto": "http", "http": {"http_method": "GET"}}),
        (turned(445), {"app_proto": "smb"}),
        ({"dest_port": 587}, {"app_proto": "smtp"}),
        (turned(4444), {"app_proto": "ftp-data"}),
        ({}, {"app_proto": "ftp-data"}),
        (turned(50124), {"app_proto": "http", "direction": "to_client"}),
    ],
)
def test_the_source_of_a_file_is_the_client_whoever_sent_it(ends: dict[str, Any], fields: dict[str, Any]) -> None:
    event = one(line("fileinfo", {"filename": "/a", "state": "CLOSED", "size": 3}, **ends, **fields))
    assert (event.source_ip, event.destination_ip) == (CLIENT, SERVER)


@pytest.mark.parametrize(
    ("state", "gaps", "whole"), [("CLOSED", False, True), ("TRUNCATED", False, False), ("CLOSED", True, False)]
)
def test_only_a_whole_file_has_hashes(state: str, gaps: bool, whole: bool) -> None:
    record = {"filename": "/a/spel.exe?v=1", "state": state, "gaps": gaps, "size": 4096, "sha256": "ab" * 32}
    event = one(line("fileinfo", record))
    assert event.file_hash_sha256 == ("ab" * 32 if whole else None)
    assert (event.file_name, event.file_path, event.file_size) == ("spel.exe", "/a/spel.exe?v=1", 4096)


def test_a_recorded_download_has_the_address_it_came_from() -> None:
    event = recorded("fileinfo", "spel.exe")
    assert (event.source_ip, event.destination_ip) == ("10.21.0.23", "203.0.113.66")
    assert event.url_full == "http://download.gratis-spellen.example/files/spel.exe"
    assert event.file_hash_sha256 is not None


def test_a_windows_path_has_its_last_part_as_name() -> None:
    assert one(line("fileinfo", {"filename": "map\\hulp.exe"}, app_proto="smb")).file_name == "hulp.exe"


# QUIC


def test_both_ends_initials_have_the_client_as_source() -> None:
    client = one(line("quic", {"version": "1", "sni": "video.example", "ja4": "q13d0311h3_5_d"}, dest_port=443))
    server = one(line("quic", {"version": "1", "ja3s": {"hash": "f4", "string": "771,4865,43-51"}}, **turned(443)))
    bare = one(line("quic", {"version": "Q039"}, **turned(443)))
    assert client.source_ip == server.source_ip == bare.source_ip == CLIENT
    assert (client.tls_client_server_name, client.nsm_tls_ja4) == ("video.example", "q13d0311h3_5_d")
    assert server.tls_cipher == "0x1301"
