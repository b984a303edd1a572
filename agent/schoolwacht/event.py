"""The event: one wide, flat ECS document, the same whatever engine saw the traffic.

A field's name in Python is its ECS name with underscores; its name on the wire and in both stores is the dotted
ECS name (``source.ip``), which Elasticsearch reads as the nested object. A field that is not set is absent.

One wide struct and not a tagged union, because it decodes fastest (3.0 against 3.8 µs an event) and because a query
names fields, not types. It is mutable for one reason: the collector stamps tenant and identity into the decoded
event instead of copying 150 fields. Outside the line (alerts, records, configuration) structs are frozen.

Limits are part of the type: text longer than its bound, a port over 65,535 or a list that is too long is refused at
the collector's border. An agent cuts with :func:`clip` before it builds the event.

Source: Elastic Common Schema 9.4; ``nsm.*``, ``school.*``, ``signal.*`` and ``health.*`` are ours (docs/events.md).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from msgspec import Meta, Struct, field

ECS_VERSION = "9.4.0"

KEYWORD_MAX = 256
TEXT_MAX = 2048
LIST_MAX = 64

Keyword = Annotated[str, Meta(max_length=KEYWORD_MAX)]
Text = Annotated[str, Meta(max_length=TEXT_MAX)]
Keywords = Annotated[list[Keyword], Meta(max_length=LIST_MAX)]
Texts = Annotated[list[Text], Meta(max_length=LIST_MAX)]
#: An IPv4 or IPv6 address in text form. The collector checks it (``stamp``); the type carries what a query must know.
Ip = Annotated[str, Meta(max_length=45, extra={"type": "ip"})]
Ips = Annotated[list[Ip], Meta(max_length=LIST_MAX)]
#: A moment with its offset; one without a time zone is refused.
Time = Annotated[datetime, Meta(tz=True)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Detail = Annotated[dict[Keyword, Text], Meta(max_length=LIST_MAX)]
#: A document of its own (JSON, or base64 of a file), kept and shown but never searched.
Document = Annotated[str, Meta(max_length=192 << 10, extra={"type": "opaque"})]


class Dataset(StrEnum):
    """What an event is about (``event.dataset``). The index, the retention and the rules follow from it."""

    FLOW = "flow"
    DNS = "dns"
    TLS = "tls"
    HTTP = "http"
    FILE = "file"
    SSH = "ssh"
    SMB = "smb"
    KRB5 = "krb5"
    RDP = "rdp"
    DCERPC = "dcerpc"
    SMTP = "smtp"
    FTP = "ftp"
    SNMP = "snmp"
    SIP = "sip"
    RFB = "rfb"
    MQTT = "mqtt"
    QUIC = "quic"
    DHCP = "dhcp"
    ARP = "arp"
    ANOMALY = "anomaly"
    SIGNAL = "signal"
    SUMMARY = "summary"
    SIGHTING = "sighting"
    EVIDENCE = "evidence"
    HEALTH = "health"


class Direction(StrEnum):
    """``network.direction`` as seen from the school (ECS, perimeter monitoring)."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    EXTERNAL = "external"


class Event(Struct, omit_defaults=True, gc=False):
    """One event. Times are aware datetimes in UTC, durations nanoseconds, sizes bytes."""

    # What and when. Which of these the agent sends and which the collector adds: see derive.py.
    timestamp: Time = field(name="@timestamp")
    event_dataset: Dataset = field(name="event.dataset")
    event_module: Keyword | None = field(default=None, name="event.module")
    event_kind: Keyword | None = field(default=None, name="event.kind")
    event_category: Keywords | None = field(default=None, name="event.category")
    event_type: Keywords | None = field(default=None, name="event.type")
    event_action: Keyword | None = field(default=None, name="event.action")
    event_outcome: Keyword | None = field(default=None, name="event.outcome")
    event_severity: Count | None = field(default=None, name="event.severity")
    event_start: Time | None = field(default=None, name="event.start")
    event_end: Time | None = field(default=None, name="event.end")
    event_duration: Count | None = field(default=None, name="event.duration")
    event_id: Keyword | None = field(default=None, name="event.id")
    event_sequence: Count | None = field(default=None, name="event.sequence")
    event_ingested: Time | None = field(default=None, name="event.ingested")
    ecs_version: Keyword | None = field(default=None, name="ecs.version")
    message: Text | None = None
    tags: Keywords | None = None

    # Who saw it, and whose it is. The collector sets all of these from the agent's registration, save the claims
    # school.location and school.zone of a sensor that carries many schools, which it checks.
    observer_name: Keyword | None = field(default=None, name="observer.name")
    observer_product: Keyword | None = field(default=None, name="observer.product")
    observer_type: Keyword | None = field(default=None, name="observer.type")
    observer_vendor: Keyword | None = field(default=None, name="observer.vendor")
    observer_version: Keyword | None = field(default=None, name="observer.version")
    organization_id: Keyword | None = field(default=None, name="organization.id")
    school_brin: Keyword | None = field(default=None, name="school.brin")
    school_location: Keyword | None = field(default=None, name="school.location")
    school_zone: Keyword | None = field(default=None, name="school.zone")
    school_sector: Keyword | None = field(default=None, name="school.sector")
    school_region: Keyword | None = field(default=None, name="school.region")

    #: The period of the board's key with which the identities in this event were made pseudonyms (docs/privacy.md).
    pseudonym_epoch: Keyword | None = field(default=None, name="pseudonym.epoch")

    # Both ends. The source is the one that opened the conversation (the client); every source keeps to that.
    source_address: Keyword | None = field(default=None, name="source.address")
    source_ip: Ip | None = field(default=None, name="source.ip")
    source_port: Port | None = field(default=None, name="source.port")
    source_mac: Keyword | None = field(default=None, name="source.mac")
    source_bytes: Count | None = field(default=None, name="source.bytes")
    source_packets: Count | None = field(default=None, name="source.packets")
    destination_address: Keyword | None = field(default=None, name="destination.address")
    destination_ip: Ip | None = field(default=None, name="destination.ip")
    destination_port: Port | None = field(default=None, name="destination.port")
    destination_mac: Keyword | None = field(default=None, name="destination.mac")
    destination_bytes: Count | None = field(default=None, name="destination.bytes")
    destination_packets: Count | None = field(default=None, name="destination.packets")
    client_ip: Ip | None = field(default=None, name="client.ip")
    client_port: Port | None = field(default=None, name="client.port")
    server_ip: Ip | None = field(default=None, name="server.ip")
    server_port: Port | None = field(default=None, name="server.port")
    network_transport: Keyword | None = field(default=None, name="network.transport")
    network_type: Keyword | None = field(default=None, name="network.type")
    network_protocol: Keyword | None = field(default=None, name="network.protocol")
    network_community_id: Keyword | None = field(default=None, name="network.community_id")
    network_direction: Direction | None = field(default=None, name="network.direction")
    network_bytes: Count | None = field(default=None, name="network.bytes")
    network_packets: Count | None = field(default=None, name="network.packets")
    network_vlan_id: Keyword | None = field(default=None, name="network.vlan.id")
    network_inner_vlan_id: Keyword | None = field(default=None, name="network.inner.vlan.id")
    related_ip: Ips | None = field(default=None, name="related.ip")
    related_hosts: Keywords | None = field(default=None, name="related.hosts")
    related_hash: Keywords | None = field(default=None, name="related.hash")
    related_user: Keywords | None = field(default=None, name="related.user")

    # Signals: the rule that hit, and what it says of the threat
    rule_id: Keyword | None = field(default=None, name="rule.id")
    rule_name: Keyword | None = field(default=None, name="rule.name")
    rule_category: Keyword | None = field(default=None, name="rule.category")
    rule_ruleset: Keyword | None = field(default=None, name="rule.ruleset")
    rule_version: Keyword | None = field(default=None, name="rule.version")
    rule_reference: Keyword | None = field(default=None, name="rule.reference")
    threat_tactic_id: Keywords | None = field(default=None, name="threat.tactic.id")
    threat_tactic_name: Keywords | None = field(default=None, name="threat.tactic.name")
    threat_technique_id: Keywords | None = field(default=None, name="threat.technique.id")
    threat_technique_name: Keywords | None = field(default=None, name="threat.technique.name")
    threat_indicator_id: Keyword | None = field(default=None, name="threat.indicator.id")
    threat_indicator_type: Keyword | None = field(default=None, name="threat.indicator.type")
    threat_indicator_name: Keyword | None = field(default=None, name="threat.indicator.name")
    threat_indicator_provider: Keyword | None = field(default=None, name="threat.indicator.provider")
    threat_indicator_confidence: Keyword | None = field(default=None, name="threat.indicator.confidence")
    threat_indicator_marking_tlp: Keyword | None = field(default=None, name="threat.indicator.marking.tlp")
    #: What the signal is about at the school: usually the home host. Signals of one key fold into one alert.
    signal_entity: Keyword | None = field(default=None, name="signal.entity")
    signal_key: Keyword | None = field(default=None, name="signal.key")
    #: The detection of the catalogue that the rule serves (D16, X2), if it serves one: docs/detections.md.
    signal_detection: Keyword | None = field(default=None, name="signal.detection")
    #: Signature severity (Critical, Major, Minor, Informational) and confidence (High, Medium, Low) of the rule.
    signal_severity: Keyword | None = field(default=None, name="signal.severity")
    signal_confidence: Keyword | None = field(default=None, name="signal.confidence")
    signal_score: Annotated[int, Meta(ge=0, le=100)] | None = field(default=None, name="signal.score")
    #: The event that this signal was made of, where it was made at the collector.
    signal_event_id: Keyword | None = field(default=None, name="signal.event_id")

    # Flow
    nsm_flow_state: Keyword | None = field(default=None, name="nsm.flow.state")
    nsm_flow_reason: Keyword | None = field(default=None, name="nsm.flow.reason")
    nsm_flow_alerted: bool | None = field(default=None, name="nsm.flow.alerted")
    nsm_flow_source_tcp_flags: Keyword | None = field(default=None, name="nsm.flow.source_tcp_flags")
    nsm_flow_destination_tcp_flags: Keyword | None = field(default=None, name="nsm.flow.destination_tcp_flags")
    nsm_icmp_type: Count | None = field(default=None, name="nsm.icmp.type")
    nsm_icmp_code: Count | None = field(default=None, name="nsm.icmp.code")

    # DNS
    dns_id: Keyword | None = field(default=None, name="dns.id")
    dns_type: Keyword | None = field(default=None, name="dns.type")
    dns_op_code: Keyword | None = field(default=None, name="dns.op_code")
    dns_response_code: Keyword | None = field(default=None, name="dns.response_code")
    dns_header_flags: Keywords | None = field(default=None, name="dns.header_flags")
    dns_question_name: Keyword | None = field(default=None, name="dns.question.name")
    dns_question_type: Keyword | None = field(default=None, name="dns.question.type")
    dns_question_registered_domain: Keyword | None = field(default=None, name="dns.question.registered_domain")
    dns_question_subdomain: Keyword | None = field(default=None, name="dns.question.subdomain")
    #: Answers as three lists of one length (ECS keeps a list of objects, whose parts no store joins in a query).
    dns_answers_name: Keywords | None = field(default=None, name="dns.answers.name")
    dns_answers_type: Keywords | None = field(default=None, name="dns.answers.type")
    dns_answers_data: Texts | None = field(default=None, name="dns.answers.data")
    dns_resolved_ip: Ips | None = field(default=None, name="dns.resolved_ip")

    # TLS
    tls_version: Keyword | None = field(default=None, name="tls.version")
    tls_version_protocol: Keyword | None = field(default=None, name="tls.version_protocol")
    tls_cipher: Keyword | None = field(default=None, name="tls.cipher")
    tls_resumed: bool | None = field(default=None, name="tls.resumed")
    tls_established: bool | None = field(default=None, name="tls.established")
    tls_next_protocol: Keyword | None = field(default=None, name="tls.next_protocol")
    tls_client_server_name: Keyword | None = field(default=None, name="tls.client.server_name")
    tls_client_ja3: Keyword | None = field(default=None, name="tls.client.ja3")
    nsm_tls_ja4: Keyword | None = field(default=None, name="nsm.tls.ja4")
    tls_server_ja3s: Keyword | None = field(default=None, name="tls.server.ja3s")
    tls_server_subject: Text | None = field(default=None, name="tls.server.subject")
    tls_server_issuer: Text | None = field(default=None, name="tls.server.issuer")
    tls_server_not_before: Time | None = field(default=None, name="tls.server.not_before")
    tls_server_not_after: Time | None = field(default=None, name="tls.server.not_after")
    tls_server_hash_sha1: Keyword | None = field(default=None, name="tls.server.hash.sha1")
    tls_server_hash_sha256: Keyword | None = field(default=None, name="tls.server.hash.sha256")
    tls_server_x509_serial_number: Keyword | None = field(default=None, name="tls.server.x509.serial_number")
    tls_server_x509_alternative_names: Keywords | None = field(default=None, name="tls.server.x509.alternative_names")

    # HTTP, URL, files, mail
    http_version: Keyword | None = field(default=None, name="http.version")
    http_request_method: Keyword | None = field(default=None, name="http.request.method")
    http_request_referrer: Text | None = field(default=None, name="http.request.referrer")
    http_response_status_code: Count | None = field(default=None, name="http.response.status_code")
    http_response_mime_type: Keyword | None = field(default=None, name="http.response.mime_type")
    http_response_body_bytes: Count | None = field(default=None, name="http.response.body.bytes")
    url_domain: Keyword | None = field(default=None, name="url.domain")
    url_full: Text | None = field(default=None, name="url.full")
    url_original: Text | None = field(default=None, name="url.original")
    url_path: Text | None = field(default=None, name="url.path")
    url_query: Text | None = field(default=None, name="url.query")
    url_port: Port | None = field(default=None, name="url.port")
    url_scheme: Keyword | None = field(default=None, name="url.scheme")
    user_agent_original: Text | None = field(default=None, name="user_agent.original")
    user_name: Keyword | None = field(default=None, name="user.name")
    file_name: Keyword | None = field(default=None, name="file.name")
    file_path: Text | None = field(default=None, name="file.path")
    file_size: Count | None = field(default=None, name="file.size")
    file_mime_type: Keyword | None = field(default=None, name="file.mime_type")
    file_hash_md5: Keyword | None = field(default=None, name="file.hash.md5")
    file_hash_sha1: Keyword | None = field(default=None, name="file.hash.sha1")
    file_hash_sha256: Keyword | None = field(default=None, name="file.hash.sha256")
    email_from_address: Keywords | None = field(default=None, name="email.from.address")
    email_to_address: Keywords | None = field(default=None, name="email.to.address")
    email_subject: Text | None = field(default=None, name="email.subject")

    # Protocols of the local network and of administration
    nsm_ssh_client_software: Keyword | None = field(default=None, name="nsm.ssh.client.software")
    nsm_ssh_client_hassh: Keyword | None = field(default=None, name="nsm.ssh.client.hassh")
    nsm_ssh_server_software: Keyword | None = field(default=None, name="nsm.ssh.server.software")
    nsm_ssh_server_hassh: Keyword | None = field(default=None, name="nsm.ssh.server.hassh")
    nsm_smb_command: Keyword | None = field(default=None, name="nsm.smb.command")
    nsm_smb_dialect: Keyword | None = field(default=None, name="nsm.smb.dialect")
    nsm_smb_share: Text | None = field(default=None, name="nsm.smb.share")
    nsm_smb_filename: Text | None = field(default=None, name="nsm.smb.filename")
    nsm_smb_named_pipe: Keyword | None = field(default=None, name="nsm.smb.named_pipe")
    nsm_smb_status: Keyword | None = field(default=None, name="nsm.smb.status")
    nsm_krb5_msg_type: Keyword | None = field(default=None, name="nsm.krb5.msg_type")
    nsm_krb5_cname: Keyword | None = field(default=None, name="nsm.krb5.cname")
    nsm_krb5_realm: Keyword | None = field(default=None, name="nsm.krb5.realm")
    nsm_krb5_sname: Keyword | None = field(default=None, name="nsm.krb5.sname")
    nsm_krb5_encryption: Keyword | None = field(default=None, name="nsm.krb5.encryption")
    nsm_krb5_ticket_encryption: Keyword | None = field(default=None, name="nsm.krb5.ticket_encryption")
    nsm_krb5_weak_encryption: bool | None = field(default=None, name="nsm.krb5.weak_encryption")
    nsm_krb5_error_code: Keyword | None = field(default=None, name="nsm.krb5.error_code")
    nsm_dcerpc_interface: Keywords | None = field(default=None, name="nsm.dcerpc.interface")
    nsm_dcerpc_opnum: Count | None = field(default=None, name="nsm.dcerpc.opnum")
    nsm_dcerpc_endpoint: Keyword | None = field(default=None, name="nsm.dcerpc.endpoint")
    nsm_rdp_event: Keyword | None = field(default=None, name="nsm.rdp.event")
    nsm_rdp_cookie: Keyword | None = field(default=None, name="nsm.rdp.cookie")
    nsm_smtp_helo: Keyword | None = field(default=None, name="nsm.smtp.helo")
    nsm_ftp_command: Keyword | None = field(default=None, name="nsm.ftp.command")
    nsm_ftp_argument: Text | None = field(default=None, name="nsm.ftp.argument")
    nsm_ftp_reply_code: Keywords | None = field(default=None, name="nsm.ftp.reply_code")
    nsm_snmp_version: Keyword | None = field(default=None, name="nsm.snmp.version")
    nsm_snmp_pdu_type: Keyword | None = field(default=None, name="nsm.snmp.pdu_type")
    nsm_snmp_community: Keyword | None = field(default=None, name="nsm.snmp.community")
    nsm_sip_method: Keyword | None = field(default=None, name="nsm.sip.method")
    nsm_sip_code: Keyword | None = field(default=None, name="nsm.sip.code")
    nsm_sip_uri: Text | None = field(default=None, name="nsm.sip.uri")
    nsm_rfb_authentication: Keyword | None = field(default=None, name="nsm.rfb.authentication")
    nsm_mqtt_type: Keywords | None = field(default=None, name="nsm.mqtt.type")
    nsm_dhcp_type: Keyword | None = field(default=None, name="nsm.dhcp.type")
    nsm_dhcp_transaction_id: Keyword | None = field(default=None, name="nsm.dhcp.transaction_id")
    nsm_dhcp_client_mac: Keyword | None = field(default=None, name="nsm.dhcp.client_mac")
    nsm_dhcp_client_hostname: Keyword | None = field(default=None, name="nsm.dhcp.client_hostname")
    nsm_dhcp_assigned_ip: Ip | None = field(default=None, name="nsm.dhcp.assigned_ip")
    nsm_dhcp_server_ip: Ip | None = field(default=None, name="nsm.dhcp.server_ip")
    nsm_arp_operation: Keyword | None = field(default=None, name="nsm.arp.operation")
    nsm_arp_sender_ip: Ip | None = field(default=None, name="nsm.arp.sender_ip")
    nsm_arp_target_ip: Ip | None = field(default=None, name="nsm.arp.target_ip")
    nsm_anomaly_type: Keyword | None = field(default=None, name="nsm.anomaly.type")
    nsm_anomaly_event: Keyword | None = field(default=None, name="nsm.anomaly.event")
    #: What has no field of its own: one flattened field, searchable as exact values.
    nsm_detail: Detail | None = field(default=None, name="nsm.detail")

    # Sums of a minute, in place of the events; bytes and packets stand in source.*, destination.* and network.*
    summary_events: Count | None = field(default=None, name="summary.events")
    summary_flows: Count | None = field(default=None, name="summary.flows")
    #: Events that failed: a flow without an answer, an error as the answer.
    summary_failures: Count | None = field(default=None, name="summary.failures")

    # A value that was seen, without who saw it: one of domain, address, ja4, certificate, user-agent
    sighting_kind: Keyword | None = field(default=None, name="sighting.kind")
    sighting_value: Keyword | None = field(default=None, name="sighting.value")
    sighting_count: Count | None = field(default=None, name="sighting.count")

    # Evidence: the packets of a signal, whose rule, ends and connection the event repeats. The packets stay at the
    # school unless its board lets them leave.
    evidence_id: Keyword | None = field(default=None, name="evidence.id")
    evidence_taken: Time | None = field(default=None, name="evidence.taken")
    evidence_packets: Count | None = field(default=None, name="evidence.packets")
    evidence_bytes: Count | None = field(default=None, name="evidence.bytes")
    #: SHA-256 of the capture file, the agent's Ed25519 signature of it, and its public key (docs/evidence.md).
    evidence_sha256: Keyword | None = field(default=None, name="evidence.sha256")
    evidence_signature: Keyword | None = field(default=None, name="evidence.signature")
    evidence_public_key: Keyword | None = field(default=None, name="evidence.public_key")
    #: Why there are no decoded packets, or not all.
    evidence_fault: Keyword | None = field(default=None, name="evidence.fault")
    evidence_tree: Document | None = field(default=None, name="evidence.tree")
    evidence_pcap: Document | None = field(default=None, name="evidence.pcap")

    # Health: what an agent says of itself; every figure is a total since its start
    health_condition: Keyword | None = field(default=None, name="health.condition")
    health_value: float | None = field(default=None, name="health.value")
    health_packets: Count | None = field(default=None, name="health.packets")
    health_dropped: Count | None = field(default=None, name="health.dropped")
    health_evicted: Count | None = field(default=None, name="health.evicted")
    health_invalid: Count | None = field(default=None, name="health.invalid")
    health_memory_bytes: Count | None = field(default=None, name="health.memory_bytes")
    health_uptime_seconds: Count | None = field(default=None, name="health.uptime_seconds")


#: The attribute of each field, by its name in ECS.
ATTRIBUTES: MappingProxyType[str, str] = MappingProxyType(
    dict(zip(Event.__struct_encode_fields__, Event.__struct_fields__, strict=True))
)


def clip(text: str, limit: int = KEYWORD_MAX) -> str:
    """Cut text from the network to what its field holds (``KEYWORD_MAX`` or ``TEXT_MAX`` characters)."""
    return text if len(text) <= limit else text[:limit]
