"""Events of messages, held against Suricata's records of the same packets."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from schoolwacht.event import KEYWORD_MAX, LIST_MAX, TEXT_MAX, Dataset, Event
from schoolwacht_agent.sources.packets.dissect.arp import dissect_arp
from schoolwacht_agent.sources.packets.dissect.certificate import Certificate
from schoolwacht_agent.sources.packets.dissect.dhcp import dissect_dhcp
from schoolwacht_agent.sources.packets.dissect.dns import Answer, DnsMessage, Question, dissect_dns
from schoolwacht_agent.sources.packets.dissect.events import (
    arp_event,
    dhcp_event,
    dns_event,
    http_event,
    ssh_event,
    tls_event,
)
from schoolwacht_agent.sources.packets.dissect.http import (
    Body,
    HttpRequest,
    HttpResponse,
    dissect_request,
    dissect_response,
)
from schoolwacht_agent.sources.packets.dissect.ssh import SshBanner, dissect_banner
from schoolwacht_agent.sources.packets.dissect.tls import ClientHello, ServerHello, dissect_handshake
from schoolwacht_agent.sources.packets.report import Ends
from schoolwacht_agent.sources.suricata.decode import decode_fast
from schoolwacht_agent.sources.suricata.eve import event_from_eve
from tests.parts import suricata
from tests.schoolwacht_agent.sources.packets.dissect.recorded import (
    PROGRAMS,
    Conversation,
    arp_payloads,
    conversations,
    datagrams,
    to_port,
)

ENDS = Ends("192.0.2.10", 40000, "192.0.2.1", 53, 17)
CONFIGURATION = """%YAML 1.1
---
logging: {default-log-level: error, outputs: [{console: {enabled: yes}}]}
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      community-id: true
      types:
        - http: {extended: yes}
        - dns: {version: 2}
        - tls: {session-resumption: yes, ja4: on, custom: [subject, issuer, session_resumed, serial, fingerprint, sni,
            version, not_before, not_after, certificate, ja3, ja3s, ja4]}
        - ssh
        - dhcp: {enabled: yes, extended: yes}
app-layer:
  protocols:
    tls: {enabled: yes, ja3-fingerprints: yes, ja4-fingerprints: yes}
    dns: {tcp: {enabled: yes, detection-ports: {dp: 53}}, udp: {enabled: yes, detection-ports: {dp: 53}}}
    ssh: {enabled: yes, hassh: yes}
    http: {enabled: yes, libhtp: {default-config: {personality: IDS}}}
    dhcp: {enabled: yes}
"""
#: Not of a message, but of the packet or the engine.
OF_THE_PACKET = {"@timestamp", "event.module", "source.mac", "destination.mac"}


def plain(event: Event) -> dict[str, object]:
    return {name: value for name, value in msgspec.to_builtins(event).items() if name not in OF_THE_PACKET}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, object]]]:
    """What the project makes of Suricata's records, by dataset."""
    directory = tmp_path_factory.mktemp("suricata")
    configuration = directory / "suricata.yaml"
    configuration.write_text(CONFIGURATION)
    files = ["-c", str(configuration), "-r", str(PROGRAMS), "-l", str(directory), "-S", "/dev/null"]
    subprocess.run(
        [str(suricata()), *files, "-k", "none", "--runmode", "single"], check=True, capture_output=True, timeout=100
    )
    return records(directory / "eve.json")


def records(path: Path) -> dict[str, list[dict[str, object]]]:
    found = defaultdict(list)
    for line in path.read_bytes().splitlines():
        event = event_from_eve(decode_fast(line))
        assert event is not None
        found[str(event.event_dataset)].append(plain(event))
    return found


def in_order(events: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(events, key=lambda event: str(sorted(event.items())))


def ends(one: Conversation) -> Ends:
    return Ends(*one.client, *one.server, 6)


def test_dns_is_what_suricata_says(theirs: dict[str, list[dict[str, object]]]) -> None:
    ours = []
    for one in datagrams():
        if 53 in (one.source[1], one.destination[1]):
            message = dissect_dns(one.payload)
            assert message is not None
            client, server = (one.destination, one.source) if message.response else (one.source, one.destination)
            ours.append(plain(dns_event(0, Ends(*client, *server, 17), message)))
    for connection in to_port(53):
        for stream in (connection.up, connection.down):
            message = dissect_dns(stream[2:])
            assert message is not None
            ours.append(plain(dns_event(0, ends(connection), message)))
    assert len(ours) == 20
    assert in_order(ours) == in_order(theirs["dns"])


def test_tls_is_what_suricata_says(theirs: dict[str, list[dict[str, object]]]) -> None:
    ours = []
    for one in conversations():
        if 4431 <= one.server[1] <= 4437:
            up, down = dissect_handshake(one.up), dissect_handshake(one.down)
            assert up is not None
            assert down is not None
            event = plain(tls_event(0, ends(one), up.client_hello, down.server_hello, down.certificate))
            if one.server[1] == 4437:
                # A session by a key agreed before: Suricata takes it for a resumed one, for it has no certificate.
                assert "tls.resumed" not in event
                event["tls.resumed"] = True
            ours.append(event)
    assert len(ours) == 10
    assert in_order(ours) == in_order(theirs["tls"])


def test_http_is_what_suricata_says(theirs: dict[str, list[dict[str, object]]]) -> None:
    ours = []
    for one in to_port(8080):
        up, down = one.up, one.down
        while up:
            request = dissect_request(up)
            assert isinstance(request, HttpRequest)
            response = dissect_response(down, method=request.method)
            assert isinstance(response, HttpResponse)
            event = plain(http_event(0, ends(one), request, response))
            up = up[request.head_size + (request.content_length or 0) :]
            down = down[response.head_size :]
            if event.get("http.response.body.bytes") is None:
                # The chunked one: its size is not announced, Suricata counts it.
                event["http.response.body.bytes"] = 13
                down = down[down.index(b"0\r\n\r\n") + 5 :]
            else:
                down = down[int(str(event["http.response.body.bytes"])) :]
            ours.append(event)
    assert len(ours) == 7
    assert in_order(ours) == in_order(theirs["http"])


def test_ssh_is_what_suricata_says(theirs: dict[str, list[dict[str, object]]]) -> None:
    one = to_port(2222)[0]
    client, server = dissect_banner(one.up), dissect_banner(one.down)
    assert isinstance(client, SshBanner)
    assert isinstance(server, SshBanner)
    assert [plain(ssh_event(0, ends(one), client, server))] == theirs["ssh"]


def test_dhcp_is_what_suricata_says(theirs: dict[str, list[dict[str, object]]]) -> None:
    ours = []
    for one in datagrams():
        if one.destination[1] in (67, 68):
            message = dissect_dhcp(one.payload)
            assert message is not None
            ours.append(plain(dhcp_event(0, Ends(*one.source, *one.destination, 17), message)))
    assert len(ours) == 2
    assert in_order(ours) == in_order(theirs["dhcp"])


def test_the_time_is_of_the_packet_in_utc() -> None:
    message = DnsMessage(1, False, 0, "NOERROR", (), (), (), 12)
    assert dns_event(1_700_000_000.25, ENDS, message).timestamp == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)


def test_an_answer_to_a_reply_is_turned_to_the_client() -> None:
    payload = next(one for one in datagrams() if one.destination[1] == 68)
    message = dissect_dhcp(payload.payload)
    assert message is not None
    event = dhcp_event(0, Ends(*payload.source, *payload.destination, 17), message)
    assert (event.source_port, event.destination_port) == (68, 67)
    assert event.nsm_dhcp_server_ip == "192.0.2.1"


def test_arp_has_its_sender_as_source() -> None:
    found = [dissect_arp(payload) for payload in arp_payloads()]
    request = next(one for one in found if one is not None and one.operation == "request")
    event = arp_event(0, request)
    assert event.event_dataset is Dataset.ARP
    assert event.source_ip == event.nsm_arp_sender_ip == request.sender_ip
    assert event.destination_ip == event.nsm_arp_target_ip == request.target_ip
    assert event.destination_mac is None
    assert event.source_mac == request.sender_mac.hex("-").upper()


def test_half_a_conversation_is_told_too() -> None:
    client = ClientHello(0x0303, b"", (0x1301,))
    assert tls_event(0, ENDS, client, None, None).tls_version is None
    assert tls_event(0, ENDS, None, ServerHello(0x0303, 0x0304, b"", 0x1301), None).tls_client_ja3 is None
    assert ssh_event(0, ENDS, None, SshBanner("2.0", "x")).nsm_ssh_client_software is None
    response = dissect_response(b"HTTP/1.1 500 x\r\n\r\n")
    assert isinstance(response, HttpResponse)
    event = http_event(0, ENDS, None, response)
    assert (event.http_version, event.event_outcome, event.url_path) == ("1.1", "failure", None)


def test_text_is_cut_to_what_the_fields_hold() -> None:
    long = "a" * 5000
    names = tuple(f"{i}{long}" for i in range(100))
    answers = tuple(Answer(long, "TXT", 1, long) for _ in range(100))
    events = (
        dns_event(0, ENDS, DnsMessage(1, True, 0, "NOERROR", (), (Question(long, "A"),), answers, 1)),
        tls_event(
            0,
            ENDS,
            ClientHello(0x0303, b"", (), server_name=long),
            None,
            Certificate(long, long, long, None, None, names, "", ""),
        ),
        http_event(
            0, ENDS, HttpRequest("GET", f"/{long}?{long}", "1.1", long, 1, long, long, None, None, Body.NONE, 1), None
        ),
        ssh_event(0, ENDS, SshBanner("2.0", long), None),
    )
    for event in events:
        # The collector's own check of every field's bounds.
        msgspec.convert(msgspec.to_builtins(event), Event)
    assert len(events[0].dns_question_name or "") == KEYWORD_MAX
    assert len(events[0].dns_answers_data or ()) == LIST_MAX
    assert len(events[2].url_path or "") == TEXT_MAX
