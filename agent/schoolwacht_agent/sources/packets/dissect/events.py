"""Dissected messages as events, with the same values that the mapping of Suricata's EVE gives for the same traffic.

``ends`` always has the client as source: a DNS answer's event names the one that asked as its source, too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from schoolwacht.event import KEYWORD_MAX, LIST_MAX, TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.sources.packets.community import community_id
from schoolwacht_agent.sources.packets.dissect.arp import ArpMessage
from schoolwacht_agent.sources.packets.dissect.certificate import Certificate
from schoolwacht_agent.sources.packets.dissect.dhcp import DhcpMessage
from schoolwacht_agent.sources.packets.dissect.dns import OPERATIONS, DnsMessage
from schoolwacht_agent.sources.packets.dissect.fingerprint import ja3, ja3s, ja4
from schoolwacht_agent.sources.packets.dissect.http import HttpRequest, HttpResponse
from schoolwacht_agent.sources.packets.dissect.ssh import SshBanner
from schoolwacht_agent.sources.packets.dissect.tls import ClientHello, ServerHello

if TYPE_CHECKING:
    from schoolwacht_agent.sources.packets.report import Ends

MODULE = "packets"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS_MAX = 253_402_300_799.0
_VERSIONS = MappingProxyType(
    {
        0x0304: ("1.3", "tls"),
        0x0303: ("1.2", "tls"),
        0x0302: ("1.1", "tls"),
        0x0301: ("1.0", "tls"),
        0x0300: ("3.0", "ssl"),
    }
)
_TRANSPORTS = MappingProxyType({6: "tcp", 17: "udp"})


def _moment(seconds: float) -> datetime:
    return _EPOCH + timedelta(microseconds=round(min(max(seconds, 0.0), _SECONDS_MAX) * 1e6))


def _begin(seconds: float, ends: Ends, dataset: Dataset, protocol: str) -> Event:
    return Event(
        timestamp=_moment(seconds),
        event_dataset=dataset,
        event_module=MODULE,
        source_ip=ends.source_ip,
        source_port=ends.source_port,
        destination_ip=ends.destination_ip,
        destination_port=ends.destination_port,
        network_transport=_TRANSPORTS.get(ends.protocol),
        network_type="ipv6" if ":" in ends.source_ip else "ipv4",
        network_protocol=protocol,
        network_community_id=community_id(
            ends.source_ip, ends.destination_ip, ends.source_port, ends.destination_port, ends.protocol
        ),
    )


def dns_event(seconds: float, ends: Ends, message: DnsMessage) -> Event:
    """One DNS message. Of several questions the first is told, of answers the first 64."""
    event = _begin(seconds, ends, Dataset.DNS, "dns")
    event.dns_id = str(message.id)
    event.dns_type = "answer" if message.response else "query"
    event.dns_op_code = OPERATIONS.get(message.opcode) or str(message.opcode)
    # QR says no more than dns.type does.
    event.dns_header_flags = [flag for flag in message.flags if flag != "QR"] or None
    if message.questions:
        event.dns_question_name = clip(message.questions[0].name)
        event.dns_question_type = message.questions[0].type
    if message.response:
        event.dns_response_code = message.rcode
        answers = message.answers[:LIST_MAX]
        if answers:
            event.dns_answers_name = [clip(answer.name) for answer in answers]
            event.dns_answers_type = [answer.type for answer in answers]
            event.dns_answers_data = [clip(answer.data, TEXT_MAX) for answer in answers]
            resolved = dict.fromkeys(one.data for one in answers if one.data and one.type in {"A", "AAAA"})
            event.dns_resolved_ip = list(resolved) or None
    return event


def tls_event(
    seconds: float,
    ends: Ends,
    client: ClientHello | None,
    server: ServerHello | None,
    certificate: Certificate | None,
) -> Event:
    """A TLS handshake, as far as it was seen."""
    event = _begin(seconds, ends, Dataset.TLS, "tls")
    if client is not None:
        if client.server_name:
            event.tls_client_server_name = clip(client.server_name.lower().rstrip("."))
        fingerprint = ja3(client)
        event.tls_client_ja3 = fingerprint.digest if fingerprint is not None else None
        event.nsm_tls_ja4 = ja4(client)
    if server is not None:
        event.tls_version, event.tls_version_protocol = _VERSIONS.get(server.negotiated, (None, None))
        event.tls_server_ja3s = ja3s(server).digest
        event.tls_cipher = f"0x{server.cipher:04x}"
        if server.alpn:
            event.tls_next_protocol = clip(server.alpn.decode("ascii", "backslashreplace"))
        if client is not None and _resumed(client, server):
            event.tls_resumed = True
    if certificate is not None:
        _put_certificate(event, certificate)
    return event


def _resumed(client: ClientHello, server: ServerHello) -> bool:
    """Whether an earlier session goes on: the server took the key offered (1.3), or gave the session id back."""
    if server.negotiated >= 0x0304:
        return server.psk
    return bool(client.session_id) and client.session_id == server.session_id


def _put_certificate(event: Event, certificate: Certificate) -> None:
    event.tls_server_subject = clip(certificate.subject, TEXT_MAX)
    event.tls_server_issuer = clip(certificate.issuer, TEXT_MAX)
    event.tls_server_not_before, event.tls_server_not_after = certificate.not_before, certificate.not_after
    event.tls_server_hash_sha1, event.tls_server_hash_sha256 = certificate.sha1, certificate.sha256
    event.tls_server_x509_serial_number = clip(certificate.serial.replace(":", "").upper())
    names = [clip(name.lower()) for name in certificate.alternative_names[:LIST_MAX]]
    event.tls_server_x509_alternative_names = names or None


def http_event(seconds: float, ends: Ends, request: HttpRequest | None, response: HttpResponse | None) -> Event:
    """A request with its response; either may be missing."""
    event = _begin(seconds, ends, Dataset.HTTP, "http")
    if request is not None:
        event.http_version = request.version
        event.http_request_method = clip(request.method)
        event.http_request_referrer = clip(request.referer, TEXT_MAX) if request.referer else None
        event.user_agent_original = clip(request.user_agent, TEXT_MAX) if request.user_agent else None
        _put_url(event, request)
    if response is not None:
        event.http_version = event.http_version or response.version
        event.http_response_status_code = response.status
        event.http_response_body_bytes = response.content_length
        if response.content_type:
            event.http_response_mime_type = clip(response.content_type.partition(";")[0].strip().lower())
        event.event_outcome = "success" if response.status < 400 else "failure"
    return event


def _put_url(event: Event, request: HttpRequest) -> None:
    target = clip(request.target, TEXT_MAX)
    domain = clip(request.host.lower().rstrip(".")) if request.host else None
    event.url_original, event.url_port = target, request.port
    path = target
    if "://" in target[:12]:
        try:
            parts = urlsplit(target)
            domain = domain or (parts.hostname[:KEYWORD_MAX] if parts.hostname else None)
            event.url_scheme = clip(parts.scheme) or None
            path = target[target.index("://") + 3 :]
            path = path[path.index("/") :] if "/" in path else "/"
        except ValueError:
            path = target
    event.url_domain = domain
    event.url_path, _, query = path.partition("?")
    event.url_query = query or None
    if domain is not None and path.startswith("/"):
        where = domain if request.port is None else f"{domain}:{request.port}"
        event.url_full = clip(f"{event.url_scheme or 'http'}://{where}{path}", TEXT_MAX)


def ssh_event(seconds: float, ends: Ends, client: SshBanner | None, server: SshBanner | None) -> Event:
    """An SSH connection, with the banners that were seen."""
    event = _begin(seconds, ends, Dataset.SSH, "ssh")
    detail = {}
    if client is not None:
        event.nsm_ssh_client_software = clip(client.software)
        detail["ssh.client.version"] = clip(client.protocol)
    if server is not None:
        event.nsm_ssh_server_software = clip(server.software)
        detail["ssh.server.version"] = clip(server.protocol)
    event.nsm_detail = detail or None
    return event


def dhcp_event(seconds: float, ends: Ends, message: DhcpMessage) -> Event:
    """One DHCP message. The server's address is its identifier option, else where an answer came from."""
    event = _begin(seconds, ends, Dataset.DHCP, "dhcp")
    event.nsm_dhcp_type = message.type
    event.nsm_dhcp_transaction_id = f"{message.transaction:08x}"
    event.nsm_dhcp_client_mac = message.client_mac.hex("-").upper()
    event.nsm_dhcp_client_hostname = clip(message.host_name.lower()) if message.host_name else None
    event.nsm_dhcp_assigned_ip = message.assigned_ip
    server = message.server_ip
    if server is None and message.by_server:
        server = ends.source_ip if ends.source_port == 67 else ends.destination_ip
    event.nsm_dhcp_server_ip = server
    detail = {}
    if message.requested_ip is not None:
        detail["dhcp.requested_ip"] = message.requested_ip
    if message.lease is not None:
        detail["dhcp.lease_time"] = str(message.lease)
    event.nsm_detail = detail or None
    return event


def arp_event(seconds: float, message: ArpMessage) -> Event:
    """One ARP message; the sender is the source."""
    return Event(
        timestamp=_moment(seconds),
        event_dataset=Dataset.ARP,
        event_module=MODULE,
        source_ip=message.sender_ip,
        source_mac=message.sender_mac.hex("-").upper(),
        destination_ip=message.target_ip,
        destination_mac=message.target_mac.hex("-").upper() if message.target_mac is not None else None,
        network_type="ipv4",
        network_protocol="arp",
        nsm_arp_operation=message.operation,
        nsm_arp_sender_ip=message.sender_ip,
        nsm_arp_target_ip=message.target_ip,
    )
