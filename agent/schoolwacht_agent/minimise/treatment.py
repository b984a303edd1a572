"""What becomes of each field before anything is kept or sent: one table, from which the step is compiled.

``FIELDS`` has every field of :class:`~schoolwacht.event.Event`; a test fails for one that is missing. ``DETAIL`` has
the keys of ``nsm.detail``; a key that is missing there is left out of an event, and goes through
:attr:`Treatment.MESSAGE` in a signal. docs/privacy.md says the same for people.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class Treatment(StrEnum):
    """What can be done with a value."""

    #: Figures, constants, and what indicators need: stays.
    KEEP = "keep"
    #: Leaves the event.
    DROP = "drop"
    #: An address: the school's own gets a pseudonym.
    ADDRESS = "address"
    ADDRESSES = "addresses"
    MAC = "mac"
    #: A machine's name: the school's own get pseudonyms.
    HOST = "host"
    HOSTS = "hosts"
    #: A pseudonym, whatever it is.
    NAME = "name"
    #: An account or mailbox: a pseudonym, domain and realm stay.
    ACCOUNT = "account"
    ACCOUNTS = "accounts"
    #: A Kerberos service: the machine in it as HOST.
    SERVICE = "service"
    #: A Community ID, keyed: it is a hash of addresses that anyone can try.
    CONNECTION = "connection"
    #: A sentence: every identity in it is replaced.
    MESSAGE = "message"
    #: The same, and cut to 256 characters.
    BOUNDED = "bounded"
    #: What stands before the first comma: libmagic puts author and title behind it.
    LEAD = "lead"
    #: A distinguished name: the common name as HOST if it is one.
    COMMON_NAME = "common-name"
    #: The issuer: as COMMON_NAME where the certificate is its own (the authorities of the world stay).
    ISSUER = "issuer"
    #: A share: server as HOST, name a pseudonym unless every Windows machine has it.
    SHARE = "share"
    PIPE = "pipe"
    #: A file's name: a pseudonym with the extension.
    FILE = "file"
    #: A person's URI: the user a pseudonym, the host as HOST.
    URI = "uri"
    #: A community string of SNMP: the factory's stay, others are passwords and become pseudonyms.
    COMMUNITY = "community"
    #: The data of DNS answers, by their type: addresses and names as such, text dropped.
    ANSWERS = "answers"
    #: The argument of an FTP command, by the command: an account, a file, or dropped.
    ARGUMENT = "argument"
    #: A URL: scheme and host; the path only of a request from outside to a server that stays readable; no query.
    URL = "url"
    #: ``nsm.detail``: by key.
    DETAIL = "detail"


class Rule(NamedTuple):
    """The treatment in an ordinary event, and in a signal where that is another."""

    event: Treatment
    signal: Treatment


def _same(treatment: Treatment, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(treatment, treatment))


def _alert(treatment: Treatment, signal: Treatment, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(treatment, signal))


FIELDS: MappingProxyType[str, Rule] = MappingProxyType(
    {
        # What and when; who saw it and whose it is
        **_same(
            Treatment.KEEP,
            "timestamp", "event_dataset", "event_module", "event_kind", "event_category", "event_type", "event_action",
            "event_outcome", "event_severity", "event_start", "event_end", "event_duration", "event_id",
            "event_sequence", "event_ingested", "ecs_version", "tags", "observer_name", "observer_product",
            "observer_type", "observer_vendor", "observer_version", "organization_id", "school_brin",
            "school_location", "school_zone", "school_sector", "school_region", "pseudonym_epoch",
        ),
        **_same(Treatment.MESSAGE, "message"),
        # Both ends
        **_same(Treatment.ADDRESS, "source_ip", "destination_ip"),
        **_same(Treatment.MAC, "source_mac", "destination_mac"),
        **_same(Treatment.CONNECTION, "network_community_id"),
        **_same(
            Treatment.KEEP,
            "source_port", "source_bytes", "source_packets", "destination_port", "destination_bytes",
            "destination_packets", "network_transport", "network_type", "network_protocol", "network_direction",
            "network_bytes", "network_packets", "network_vlan_id", "network_inner_vlan_id",
        ),
        # Copies, which the collector derives anew from what is sent
        **_same(
            Treatment.DROP,
            "source_address", "destination_address", "client_ip", "client_port", "server_ip", "server_port",
            "related_ip", "related_hosts", "related_hash", "related_user", "dns_question_registered_domain",
            "dns_question_subdomain",
        ),
        # Signals
        **_same(
            Treatment.KEEP,
            "rule_id", "rule_name", "rule_category", "rule_ruleset", "rule_version", "rule_reference",
            "threat_tactic_id", "threat_tactic_name", "threat_technique_id", "threat_technique_name",
            "threat_indicator_id", "threat_indicator_type", "threat_indicator_name", "threat_indicator_provider",
            "threat_indicator_confidence", "threat_indicator_marking_tlp", "signal_key", "signal_detection",
            "signal_severity", "signal_confidence", "signal_score", "signal_event_id",
        ),
        **_same(Treatment.MESSAGE, "signal_entity"),
        # Flow, sums, sightings
        **_same(
            Treatment.KEEP,
            "nsm_flow_state", "nsm_flow_reason", "nsm_flow_alerted", "nsm_flow_source_tcp_flags",
            "nsm_flow_destination_tcp_flags", "nsm_icmp_type", "nsm_icmp_code", "summary_events", "summary_flows",
            "summary_failures", "sighting_kind", "sighting_value", "sighting_count",
        ),
        # Evidence: its tree was treated field by field (evidence/policy.py); packets only if the board lets them
        **_same(
            Treatment.KEEP,
            "evidence_id", "evidence_taken", "evidence_packets", "evidence_bytes", "evidence_sha256",
            "evidence_signature", "evidence_public_key", "evidence_fault", "evidence_tree", "evidence_pcap",
        ),
        # DNS
        **_same(
            Treatment.KEEP,
            "dns_id", "dns_type", "dns_op_code", "dns_response_code", "dns_header_flags", "dns_question_type",
            "dns_answers_type",
        ),
        **_same(Treatment.HOST, "dns_question_name"),
        **_same(Treatment.HOSTS, "dns_answers_name"),
        **_same(Treatment.ANSWERS, "dns_answers_data"),
        **_same(Treatment.ADDRESSES, "dns_resolved_ip"),
        # TLS
        **_same(
            Treatment.KEEP,
            "tls_version", "tls_version_protocol", "tls_cipher", "tls_resumed", "tls_established",
            "tls_next_protocol", "tls_client_ja3", "nsm_tls_ja4", "tls_server_ja3s", "tls_server_not_before",
            "tls_server_not_after", "tls_server_hash_sha1", "tls_server_hash_sha256", "tls_server_x509_serial_number",
        ),
        **_same(Treatment.HOST, "tls_client_server_name"),
        **_same(Treatment.COMMON_NAME, "tls_server_subject"),
        **_same(Treatment.ISSUER, "tls_server_issuer"),
        **_same(Treatment.HOSTS, "tls_server_x509_alternative_names"),
        # HTTP, URL
        **_same(
            Treatment.KEEP,
            "http_version", "http_request_method", "http_response_status_code", "http_response_mime_type",
            "http_response_body_bytes", "url_port", "url_scheme", "user_agent_original",
        ),
        **_same(Treatment.HOST, "url_domain"),
        **_alert(Treatment.URL, Treatment.BOUNDED, "url_full", "url_original", "url_path"),
        **_alert(Treatment.DROP, Treatment.BOUNDED, "url_query", "http_request_referrer"),
        # Files, mail, accounts
        **_same(Treatment.KEEP, "file_size", "file_mime_type", "file_hash_md5", "file_hash_sha1", "file_hash_sha256"),
        **_same(Treatment.FILE, "file_name"),
        **_alert(Treatment.DROP, Treatment.BOUNDED, "file_path"),
        **_same(Treatment.ACCOUNT, "user_name"),
        **_same(Treatment.ACCOUNTS, "email_from_address", "email_to_address"),
        **_alert(Treatment.DROP, Treatment.BOUNDED, "email_subject"),
        # Protocols of the local network and of administration
        **_same(
            Treatment.KEEP,
            "nsm_ssh_client_software", "nsm_ssh_client_hassh", "nsm_ssh_server_software", "nsm_ssh_server_hassh",
            "nsm_smb_command", "nsm_smb_dialect", "nsm_smb_status", "nsm_krb5_msg_type", "nsm_krb5_realm",
            "nsm_krb5_encryption", "nsm_krb5_ticket_encryption", "nsm_krb5_weak_encryption", "nsm_krb5_error_code",
            "nsm_dcerpc_interface", "nsm_dcerpc_opnum", "nsm_dcerpc_endpoint", "nsm_rdp_event", "nsm_ftp_command",
            "nsm_ftp_reply_code", "nsm_snmp_version", "nsm_snmp_pdu_type", "nsm_sip_method", "nsm_sip_code",
            "nsm_rfb_authentication", "nsm_mqtt_type", "nsm_dhcp_type", "nsm_dhcp_transaction_id",
            "nsm_arp_operation", "nsm_anomaly_type", "nsm_anomaly_event",
        ),
        **_same(Treatment.SHARE, "nsm_smb_share"),
        **_same(Treatment.FILE, "nsm_smb_filename"),
        **_same(Treatment.PIPE, "nsm_smb_named_pipe"),
        **_same(Treatment.ACCOUNT, "nsm_krb5_cname", "nsm_rdp_cookie"),
        **_same(Treatment.SERVICE, "nsm_krb5_sname"),
        **_same(Treatment.HOST, "nsm_smtp_helo"),
        **_same(Treatment.ARGUMENT, "nsm_ftp_argument"),
        **_same(Treatment.COMMUNITY, "nsm_snmp_community"),
        **_same(Treatment.URI, "nsm_sip_uri"),
        **_same(Treatment.MAC, "nsm_dhcp_client_mac"),
        **_same(Treatment.NAME, "nsm_dhcp_client_hostname"),
        **_same(
            Treatment.ADDRESS,
            "nsm_dhcp_assigned_ip", "nsm_dhcp_server_ip", "nsm_arp_sender_ip", "nsm_arp_target_ip",
        ),
        **_same(Treatment.DETAIL, "nsm_detail"),
        # Health
        **_same(
            Treatment.KEEP,
            "health_condition", "health_value", "health_packets", "health_dropped", "health_evicted",
            "health_invalid", "health_memory_bytes", "health_uptime_seconds",
        ),
    }
)  # fmt: skip

DETAIL: MappingProxyType[str, Rule] = MappingProxyType(
    {
        **_same(
            Treatment.KEEP,
            "alert.direction", "anomaly.code", "anomaly.layer", "dcerpc.call_id", "dcerpc.request", "dcerpc.response",
            "dcerpc.version", "dhcp.lease_time", "dhcp.subnet_mask", "dhcp.vendor_class", "email.status", "file.gaps",
            "file.state", "ftp.mode", "ftp.port", "http.stream_id", "krb5.failed_request",
            "mqtt.return_code", "quic.alpn", "quic.cyu", "quic.version", "rdp.channels", "rdp.client_build",
            "rdp.error_code", "rdp.protocol", "rdp.reason", "rdp.x509_serials", "rfb.client_version",
            "rfb.security_type", "rfb.server_version", "sip.reason", "sip.version", "smb.access",
            "smb.client_dialects", "smb.disposition", "smb.function", "smb.kerberos_realm", "smb.level_of_interest",
            "smb.ntlmssp_version", "smb.session_id", "smb.share_type", "smb.subcommand",
            "smb.tree_id", "snmp.error", "snmp.trap_oid", "snmp.trap_type", "ssh.client.version",
            "ssh.server.version", "tls.from_proto",
        ),
        **_same(
            Treatment.MESSAGE,
            "dhcp.client_ip", "dhcp.dns_servers", "dhcp.next_server_ip", "dhcp.relay_ip", "dhcp.requested_ip",
            "dhcp.routers", "http.xff", "rfb.failure", "smb.ntlmssp_domain", "snmp.trap_address",
        ),
        **_same(Treatment.LEAD, "file.magic"),
        **_same(Treatment.NAME, "dhcp.client_id", "mqtt.client_id", "rdp.client_name", "rfb.desktop"),
        **_same(Treatment.HOST, "smb.ntlmssp_host"),
        **_same(Treatment.SERVICE, "smb.kerberos_sname"),
        **_same(Treatment.FILE, "email.attachment", "smb.directory", "smb.rename_from", "smb.rename_to"),
        **_alert(Treatment.DROP, Treatment.BOUNDED, "http.redirect", "mqtt.topic"),
        **_same(Treatment.DROP, "email.message_id", "ftp.reply", "snmp.variables"),
    }
)  # fmt: skip
