"""Protocols of the local network and of administration."""

from __future__ import annotations

from typing import Any

import pytest

from schoolwacht.event import Dataset
from tests.schoolwacht_agent.sources.suricata.records import CLIENT, SERVER, line, one, recorded, turned


def test_a_recorded_ssh_connection_has_both_programs_and_their_fingerprints() -> None:
    event = recorded("ssh")
    assert (event.nsm_ssh_client_software or "").startswith("libssh")
    assert (event.nsm_ssh_server_software or "").startswith("OpenSSH")
    assert event.nsm_ssh_client_hassh is not None
    assert event.nsm_ssh_server_hassh is not None


def test_a_recorded_share_is_named() -> None:
    event = recorded("smb", "ADMIN$")
    assert (event.nsm_smb_command, event.nsm_smb_dialect) == ("SMB2_COMMAND_TREE_CONNECT", "3.11")
    assert event.nsm_smb_share == "\\\\127.0.0.1\\ADMIN$"
    assert event.nsm_smb_status == "STATUS_SUCCESS"


def test_a_recorded_service_start_names_interface_operation_and_endpoint() -> None:
    event = recorded("smb", '"opnum":19')
    assert event.nsm_dcerpc_interface == ["367abb81-9844-35f1-ad32-98f038001003"]
    assert (event.nsm_dcerpc_opnum, event.nsm_dcerpc_endpoint) == (19, "svcctl")


def test_a_log_in_to_a_share_has_its_user_and_machine() -> None:
    record = {"command": "SMB2_COMMAND_SESSION_SETUP", "ntlmssp": {"domain": "SCHOOL", "user": "beheer", "host": "PC1"}}
    event = one(line("smb", record))
    assert event.user_name == "beheer"
    assert event.nsm_detail == {"smb.ntlmssp_domain": "SCHOOL", "smb.ntlmssp_host": "PC1"}


def test_of_several_interfaces_the_accepted_one_is_the_endpoint() -> None:
    record = {
        "request": "BIND",
        "interfaces": [
            {"uuid": "367abb81-9844-35f1-ad32-98f038001003", "version": "2.0", "ack_result": 2},
            {"uuid": "C681D488-D850-11D0-8C52-00C04FD90F7E", "version": "1.0", "ack_result": 0},
        ],
    }
    event = one(line("dcerpc", record))
    assert event.nsm_dcerpc_endpoint == "efsrpc"
    assert len(event.nsm_dcerpc_interface or []) == 2


def test_an_operation_over_tcp_stands_in_the_request() -> None:
    assert one(line("dcerpc", {"request": "REQUEST", "req": {"opnum": 3}})).nsm_dcerpc_opnum == 3


@pytest.mark.parametrize("kind", ["KRB_AS_REP", "KRB_TGS_REP", "KRB_ERROR"])
def test_the_source_of_a_kerberos_reply_is_the_client(kind: str) -> None:
    event = one(line("krb5", {"msg_type": kind, "cname": "jan", "realm": "SCHOOL"}, **turned(88)))
    assert (event.source_ip, event.destination_port) == (CLIENT, 88)


def test_a_kerberos_failure_says_which_and_leaves_empty_words_out() -> None:
    record = {"msg_type": "KRB_ERROR", "failed_request": "KRB_AS_REQ", "error_code": "KDC_ERR_C_PRINCIPAL_UNKNOWN",
              "cname": "<empty>", "realm": "SCHOOL", "sname": "krbtgt/SCHOOL", "encryption": "<none>",
              "weak_encryption": False}  # fmt: skip
    event = one(line("krb5", record, **turned(88)))
    assert (event.nsm_krb5_error_code, event.event_outcome) == ("KDC_ERR_C_PRINCIPAL_UNKNOWN", "failure")
    assert event.nsm_krb5_cname is None
    assert event.nsm_krb5_encryption is None


def test_a_weak_ticket_is_told() -> None:
    record = {"msg_type": "KRB_TGS_REP", "cname": "jan", "realm": "S", "sname": "http/web", "encryption": "aes256",
              "weak_encryption": False, "ticket_encryption": "rc4-hmac", "ticket_weak_encryption": True}  # fmt: skip
    event = one(line("krb5", record, **turned(88)))
    assert event.nsm_krb5_weak_encryption is True
    assert event.nsm_krb5_ticket_encryption == "rc4-hmac"


def test_rdp_has_its_client_as_source_whatever_packet_came_next() -> None:
    asked = one(line("rdp", {"event_type": "initial_request", "cookie": "jan"}, **turned(3389)))
    answered = one(line("rdp", {"event_type": "initial_response", "protocol": "hybrid"}, dest_port=3389))
    assert asked.source_ip == answered.source_ip == CLIENT
    assert (asked.nsm_rdp_event, asked.nsm_rdp_cookie) == ("initial_request", "jan")


def test_mail_has_plain_lower_case_addresses() -> None:
    event = one(
        line(
            "smtp",
            {"helo": "pc.school.example", "mail_from": "<Jan@School.example>", "rcpt_to": ["<piet@school.example>"]},
            email={"from": '"J" <x@y.example>', "to": ["z@y.example"], "attachment": ["a.zip"], "status": "PARSE_DONE"},
        )
    )
    assert (event.email_from_address, event.email_to_address) == (["jan@school.example"], ["piet@school.example"])
    assert (event.nsm_detail or {})["email.attachment"] == "a.zip"


def test_mail_without_an_envelope_has_the_addresses_of_its_headers() -> None:
    event = one(line("smtp", {}, email={"from": '"J" <X@y.example>', "to": ["z@y.example"]}))
    assert (event.email_from_address, event.email_to_address) == (["x@y.example"], ["z@y.example"])


def test_a_password_over_ftp_is_left_out() -> None:
    event = one(line("ftp", {"command": "PASS", "command_data": "geheim", "completion_code": ["230"]}))
    assert event.nsm_ftp_command == "PASS"
    assert event.nsm_ftp_reply_code == ["230"]
    assert "geheim" not in repr(event)


def test_ftp_has_its_user_and_what_was_fetched() -> None:
    assert one(line("ftp", {"command": "USER", "command_data": "jan"})).user_name == "jan"
    data = one(line("ftp_data", {"command": "RETR", "filename": "map/lijst.txt"}))
    assert (data.event_dataset, data.nsm_ftp_command, data.file_name) == (Dataset.FTP, "RETR", "lijst.txt")


@pytest.mark.parametrize(("version", "expected"), [(1, "1"), ("2c", "2c")])
def test_an_snmp_response_has_its_client_as_source(version: Any, expected: str) -> None:
    record = {"version": version, "pdu_type": "response", "community": "public", "vars": ["1.3.6.1.2.1.1.5.0"]}
    event = one(line("snmp", record, **turned(161)))
    assert (event.source_ip, event.nsm_snmp_version, event.nsm_snmp_community) == (CLIENT, expected, "public")


def test_a_sip_response_has_its_client_as_source() -> None:
    request = one(line("sip", {"method": "REGISTER", "uri": "sip:a.example", "version": "SIP/2.0"}))
    response = one(line("sip", {"version": "SIP/2.0", "code": "100", "reason": "Trying"}, **turned(5060)))
    assert request.source_ip == response.source_ip == CLIENT
    assert (request.nsm_sip_method, response.nsm_sip_code) == ("REGISTER", "100")


@pytest.mark.parametrize("key", ["security_result", "security-result"])
def test_a_vnc_log_in_says_how_it_ended_and_keeps_no_challenge(key: str) -> None:
    record = {
        "server_protocol_version": {"major": "003", "minor": "008"},
        "authentication": {"security_type": 2, "vnc": {"challenge": "0805", "response": "aecb"}, key: "FAIL"},
        "framebuffer": {"name": "bureau"},
    }
    event = one(line("rfb", record))
    assert (event.nsm_rfb_authentication, event.event_outcome) == ("FAIL", "failure")
    assert "aecb" not in repr(event)
    assert (event.nsm_detail or {})["rfb.server_version"] == "003.008"


def test_mqtt_names_its_packets_and_keeps_no_password() -> None:
    record = {
        "connect": {"client_id": "thermostaat", "username": "gebouw", "password": "geheim"},
        "connack": {"return_code": 5},
    }
    event = one(line("mqtt", record, dest_port=1883))
    assert (event.nsm_mqtt_type, event.user_name, event.event_outcome) == (["connect", "connack"], "gebouw", "failure")
    assert "geheim" not in repr(event)


def test_what_a_broker_publishes_has_its_client_as_source() -> None:
    assert one(line("mqtt", {"publish": {"topic": "lokaal/12"}}, **turned(1883))).source_ip == CLIENT


def test_a_dhcp_reply_names_server_client_and_address() -> None:
    record = {"type": "reply", "id": 405530464, "client_mac": "d8:0d:17:d6:55:ab", "assigned_ip": "10.21.0.99",
              "client_ip": "0.0.0.0", "dhcp_type": "ack", "hostname": "PC-12", "lease_time": 3600}  # fmt: skip
    event = one(line("dhcp", record, src_ip="10.21.0.1", src_port=67, dest_ip="10.21.0.99", dest_port=68))
    assert (event.source_ip, event.nsm_dhcp_server_ip) == ("10.21.0.99", "10.21.0.1")
    assert (event.nsm_dhcp_type, event.nsm_dhcp_transaction_id) == ("ack", "182be760")
    assert (event.nsm_dhcp_client_mac, event.nsm_dhcp_client_hostname) == ("D8-0D-17-D6-55-AB", "pc-12")
    assert event.nsm_dhcp_assigned_ip == "10.21.0.99"


def test_a_dhcp_request_has_no_server_and_no_address_yet() -> None:
    record = {"type": "request", "dhcp_type": "discover", "assigned_ip": "0.0.0.0", "id": 1}
    event = one(line("dhcp", record, src_ip="0.0.0.0", src_port=68, dest_ip="255.255.255.255", dest_port=67))
    assert event.source_ip == "0.0.0.0"
    assert event.nsm_dhcp_server_ip is None
    assert event.nsm_dhcp_assigned_ip is None


def test_arp_of_suricata_eight_has_its_sender_as_source() -> None:
    record = {"hw_type": "ethernet", "proto_type": "ipv4", "opcode": "request", "src_mac": "08:00:27:7f:b5:8b",
              "src_ip": "10.21.0.23", "dest_mac": "00:00:00:00:00:00", "dest_ip": "10.21.0.1"}  # fmt: skip
    event = one(line("arp", record, src_ip=None, src_port=None, dest_ip=None, dest_port=None, proto=None))
    assert event.event_dataset is Dataset.ARP
    assert (event.nsm_arp_operation, event.nsm_arp_sender_ip, event.nsm_arp_target_ip) == (
        "request",
        "10.21.0.23",
        "10.21.0.1",
    )
    assert (event.source_mac, event.destination_mac) == ("08-00-27-7F-B5-8B", None)
    assert SERVER not in repr(event)
