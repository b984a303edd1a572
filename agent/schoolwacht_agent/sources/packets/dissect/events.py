"""Messages as events: the fields and values that Suricata's records of the same traffic give (``suricata/eve.py``).

The source is the client in each of them. Times are seconds since the epoch, of the packet that completed the message.
VLAN tags and link addresses are added by the caller, which knows the frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType

from schoolwacht.event import LIST_MAX, TEXT_MAX, Dataset, Event, clip
from schoolwacht_agent.sources.community import community_id
from schoolwacht_agent.sources.dnsnames import OPERATIONS
from schoolwacht_agent.sources.packets.dissect.arp import ArpMessage
from schoolwacht_agent.sources.packets.dissect.certificate import Certificate
from schoolwacht_agent.sources.packets.dissect.dhcp import DhcpMessage
from schoolwacht_agent.sources.packets.dissect.dns import DnsMessage
from schoolwacht_agent.sources.packets.dissect.fingerprint import ja3, ja3s, ja4
from schoolwacht_agent.sources.packets.dissect.http import LENGTH, NO_BODY, HttpRequest, HttpResponse
from schoolwacht_agent.sources.packets.dissect.ssh import SshBanner
from schoolwacht_agent.sources.packets.dissect.tls import ClientHello, ServerHello
from schoolwacht_agent.sources.packets.report import MODULE, Ends, mac, moment
from schoolwacht_agent.sources.transports import TRANSPORTS

# Bound, because before Python 3.12 each look at a member of an enum is a call.
_ARP, _DHCP, _DNS = Dataset.ARP, Dataset.DHCP, Dataset.DNS
_HTTP, _SSH, _TLS = Dataset.HTTP, Dataset.SSH, Dataset.TLS
_TLS_VERSIONS = MappingProxyType(
    {
        0x0304: ("1.3", "tls"),
        0x0303: ("1.2", "tls"),
        0x0302: ("1.1", "tls"),
        0x0301: ("1.0", "tls"),
        0x0300: ("3.0", "ssl"),
        0x0002: ("2.0", "ssl"),
    }
)


def _begin(seconds: float, ends: Ends, dataset: Dataset, protocol: str) -> Event:
    source, source_port, destination, destination_port, number = ends
    return Event(
        timestamp=moment(seconds),
        event_dataset=dataset,
        event_module=MODULE,
        source_ip=source,
        source_port=source_port,
        destination_ip=destination,
        destination_port=destination_port,
        network_transport=TRANSPORTS.get(number) or str(number),
        network_type="ipv6" if ":" in source else "ipv4",
        network_protocol=protocol,
        network_community_id=community_id(source, destination, source_port, destination_port, number),
    )


def _detail(values: dict[str, str | None]) -> dict[str, str] | None:
    return {name: clip(text, TEXT_MAX) for name, text in values.items() if text} or None


def _clipped(values: Iterable[str]) -> list[str] | None:
    return [clip(value) for value in values if value][:LIST_MAX] or None


def dns_event(seconds: float, ends: Ends, message: DnsMessage, number: int = 0) -> Event:
    """A query, by its question of that number, or an answer.

    Header flags are of answers only: Suricata 7 states none for a query.
    """
    event = _begin(seconds, ends, _DNS, "dns")
    event.dns_id = str(message.id)
    event.dns_type = "answer" if message.response else "query"
    event.dns_op_code = OPERATIONS[message.opcode]
    if message.questions:
        question = message.questions[number]
        event.dns_question_name = clip(question.name) or None
        event.dns_question_type = question.type
    if not message.response:
        return event
    event.dns_response_code = message.rcode
    event.dns_header_flags = list(message.flags) or None
    if answers := message.answers[:LIST_MAX]:
        event.dns_answers_name = [clip(answer.name) for answer in answers]
        event.dns_answers_type = [answer.type for answer in answers]
        event.dns_answers_data = [clip(answer.data, TEXT_MAX) for answer in answers]
        resolved = dict.fromkeys(answer.data for answer in answers if answer.type in ("A", "AAAA") and answer.data)
        event.dns_resolved_ip = list(resolved) or None
    return event


def tls_event(
    seconds: float,
    ends: Ends,
    client: ClientHello | None,
    server: ServerHello | None,
    certificate: Certificate | None,
) -> Event:
    """A handshake, of what was seen of it."""
    event = _begin(seconds, ends, _TLS, "tls")
    if client is not None:
        event.tls_client_server_name = clip(client.server_name) if client.server_name else None
        fingerprint = ja3(client)
        event.tls_client_ja3 = fingerprint.digest if fingerprint is not None else None
        event.nsm_tls_ja4 = ja4(client)
    if server is not None:
        event.tls_server_ja3s = ja3s(server).digest
        event.tls_cipher = f"0x{server.cipher:04x}"
        version = _TLS_VERSIONS.get(server.negotiated)
        if version is None and server.negotiated > 0x0304:  # drafts of TLS 1.3, and Facebook's
            version = _TLS_VERSIONS[0x0304]
        if version is not None:
            event.tls_version, event.tls_version_protocol = version
        if client is not None and certificate is None and _resumed(client, server):
            event.tls_resumed = True
    if certificate is not None:
        _put_certificate(event, certificate)
    return event


def _resumed(client: ClientHello, server: ServerHello) -> bool:
    """Whether the server took up the session that the client named; of TLS 1.3's keys Suricata says nothing."""
    return server.negotiated <= 0x0303 and bool(client.session_id) and client.session_id == server.session_id


def _put_certificate(event: Event, certificate: Certificate) -> None:
    event.tls_server_subject = clip(certificate.subject, TEXT_MAX) or None
    event.tls_server_issuer = clip(certificate.issuer, TEXT_MAX) or None
    event.tls_server_not_before = certificate.not_before
    event.tls_server_not_after = certificate.not_after
    event.tls_server_hash_sha1 = certificate.sha1
    event.tls_server_hash_sha256 = certificate.sha256
    event.tls_server_x509_serial_number = clip(certificate.serial) or None
    event.tls_server_x509_alternative_names = _clipped(certificate.alternative_names)


def http_event(seconds: float, ends: Ends, request: HttpRequest | None, response: HttpResponse | None) -> Event:
    """A request with its response, or the one of them that was seen. The body's size is the announced one."""
    event = _begin(seconds, ends, _HTTP, "http")
    if request is not None:
        event.http_version = request.version
        event.http_request_method = request.method
        event.http_request_referrer = clip(request.referer, TEXT_MAX) if request.referer else None
        event.user_agent_original = clip(request.user_agent, TEXT_MAX) if request.user_agent else None
        _put_url(event, request)
    if response is not None:
        event.http_version = event.http_version or response.version
        event.http_response_status_code = response.status
        event.event_outcome = "success" if response.status < 400 else "failure"
        if response.content_type:
            event.http_response_mime_type = clip(response.content_type.partition(";")[0].strip().lower()) or None
        if response.body is NO_BODY:
            event.http_response_body_bytes = 0
        elif response.body is LENGTH:
            event.http_response_body_bytes = response.content_length
        if response.status in (301, 302):
            event.nsm_detail = _detail({"http.redirect": response.location})
    return event


def _put_url(event: Event, request: HttpRequest) -> None:
    target = clip(request.target, TEXT_MAX)
    domain = clip(request.host) if request.host else None
    path = target
    scheme, found, rest = target.partition("://")
    if found and len(scheme) < 12 and "/" not in scheme:
        event.url_scheme = scheme.lower()
        path = rest[rest.index("/") :] if "/" in rest else "/"
    event.url_original = target
    event.url_domain = domain
    event.url_port = request.port
    event.url_path, _, query = path.partition("?")
    event.url_query = query or None
    if domain is not None and path.startswith("/"):
        where = domain if request.port is None else f"{domain}:{request.port}"
        event.url_full = clip(f"{event.url_scheme or 'http'}://{where}{path}", TEXT_MAX)


def ssh_event(seconds: float, ends: Ends, client: SshBanner | None, server: SshBanner | None) -> Event:
    """The banners of both sides, or of the one that spoke."""
    event = _begin(seconds, ends, _SSH, "ssh")
    if client is not None:
        event.nsm_ssh_client_software = clip(client.software)
        event.nsm_ssh_client_hassh = client.hassh
    if server is not None:
        event.nsm_ssh_server_software = clip(server.software)
        event.nsm_ssh_server_hassh = server.hassh_server
    event.nsm_detail = _detail(
        {
            "ssh.client.version": client.protocol if client is not None else None,
            "ssh.server.version": server.protocol if server is not None else None,
        }
    )
    return event


def dhcp_event(seconds: float, ends: Ends, message: DhcpMessage) -> Event:
    """One message, ``ends`` those of its packet. The source of a reply is whom it was sent to, broadcast perhaps."""
    if message.reply:
        ends = ends.turned()
    event = _begin(seconds, ends, _DHCP, "dhcp")
    event.nsm_dhcp_type = message.type
    event.nsm_dhcp_transaction_id = f"{message.transaction_id:08x}"
    event.nsm_dhcp_client_mac = _link(message.client_mac)
    if message.host_name:
        event.nsm_dhcp_client_hostname = clip(message.host_name.lower().rstrip(".")) or None
    event.nsm_dhcp_assigned_ip = message.assigned_ip
    event.nsm_dhcp_server_ip = ends.destination_ip if message.reply else None
    lease, identifier = message.lease_time, message.client_id
    event.nsm_detail = _detail(
        {
            "dhcp.requested_ip": message.requested_ip,
            "dhcp.client_ip": message.client_ip,
            "dhcp.relay_ip": message.relay_ip if message.reply else None,
            "dhcp.next_server_ip": message.next_server_ip if message.reply else None,
            "dhcp.vendor_class": message.vendor_class,
            "dhcp.lease_time": str(lease) if lease is not None else None,
            "dhcp.subnet_mask": message.subnet_mask,
            "dhcp.routers": ", ".join(message.routers),
            "dhcp.dns_servers": ", ".join(message.dns_servers),
            "dhcp.client_id": identifier.hex(":") if identifier and identifier != message.client_mac else None,
        }
    )
    return event


@lru_cache(maxsize=4_096)
def _link(raw: bytes) -> str | None:
    return raw.hex("-").upper() or None


def arp_event(seconds: float, message: ArpMessage) -> Event:
    """One message; the source is its sender."""
    return Event(
        timestamp=moment(seconds),
        event_dataset=_ARP,
        event_module=MODULE,
        source_ip=message.sender_ip,
        source_mac=mac(message.sender_mac),
        destination_ip=message.target_ip,
        destination_mac=mac(message.target_mac) if any(message.target_mac) else None,
        network_type="ipv4",
        network_protocol="arp",
        nsm_arp_operation=message.operation,
        nsm_arp_sender_ip=message.sender_ip,
        nsm_arp_target_ip=message.target_ip,
    )
