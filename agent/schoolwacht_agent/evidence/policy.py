"""What of a decoded packet may leave: by the type that tshark gives a field, and for text by its name.

Figures, switches and the names that tshark has for them stay. Addresses and MAC addresses, and the texts in
:data:`TEXTS`, are treated as the event's field that holds the same thing (docs/privacy.md): each becomes a small signal
that goes through the very step that minimises events. Everything else is left out: bytes, payload, URLs, headers,
and any text that the table does not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from schoolwacht.event import Event

#: Treats events in place, as the step before the spool does.
Treat = Callable[[list[Event]], object]

_NUMBER = re.compile(r"-?(?:0x[0-9a-f]{1,16}|\d{1,20}(?:\.\d{1,9})?)", re.IGNORECASE)
_MOMENT = re.compile(r"[A-Za-z0-9 :.,+-]{1,64}")
_OID = re.compile(r"[0-9.]{1,128}")
_GUID = re.compile(r"[0-9a-f-]{36}", re.IGNORECASE)
#: Type → what its values look like. ``show`` is checked, for the decoding program is not believed.
_PLAIN: MappingProxyType[str, re.Pattern[str]] = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "FT_BOOLEAN", "FT_UINT8", "FT_UINT16", "FT_UINT24", "FT_UINT32", "FT_UINT40", "FT_UINT48", "FT_UINT56",
                "FT_UINT64", "FT_INT8", "FT_INT16", "FT_INT24", "FT_INT32", "FT_INT64", "FT_FRAMENUM",
                "FT_RELATIVE_TIME",
            ),
            _NUMBER,
        ),
        "FT_ABSOLUTE_TIME": _MOMENT,
        "FT_OID": _OID,
        "FT_REL_OID": _OID,
    }
)  # fmt: skip
#: Numbers that say who somebody is, or half a MAC address.
_PERSONAL = re.compile(r"oui|(?:^|[._])(?:uid|gid|rid|imsi|imei|msisdn|iccid|phone|serial|lg|ig)$", re.IGNORECASE)
#: What nobody reads, and what takes room.
_NOISE = re.compile(
    r"\.checksum|checksum\.status$|^tcp\.option|^tcp\.(?:analysis|completeness|time_|window_size_)|^ip\.dsfield|"
    r"^(?:ip|tcp)\.flags\.|^ipv6\.(?:tclass|flow)|^tcp\.(?:seq|ack)_raw$|^_ws\.|^udp\.(?:stream|time_)|\.stream$|"
    r"^(?:eth|sll)\.(?:addr|hatype|halen)$|^ip\.(?:version|hdr_len|frag_offset)$|^tcp\.(?:hdr_len|urgent_pointer)$"
)
_ADDRESS_TYPES = frozenset({"FT_IPv4", "FT_IPv6"})
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.IGNORECASE)


def _as(attribute: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, attribute)


#: Text field of tshark → the field of an event that holds the same.
TEXTS: MappingProxyType[str, str] = MappingProxyType(
    {
        **_as(
            "dns_question_name",
            "dns.qry.name", "dns.resp.name", "dns.cname", "dns.dname", "dns.ns", "dns.ptr.domain_name",
            "dns.mx.mail_exchange", "dns.srv.name", "dns.srv.target", "dns.soa.mname",
        ),
        **_as("tls_client_server_name", "tls.handshake.extensions_server_name", "x509ce.dNSName"),
        **_as("tls_server_subject", "x509sat.printableString", "x509sat.uTF8String", "x509sat.teletexString"),
        **_as("tls_client_ja3", "tls.handshake.ja3"),
        **_as("tls_server_ja3s", "tls.handshake.ja3s"),
        **_as("tls_next_protocol", "tls.handshake.extensions_alpn_str"),
        **_as("url_domain", "http.host"),
        **_as("http_request_method", "http.request.method"),
        **_as("http_version", "http.request.version", "http.response.version"),
        **_as("http_response_mime_type", "http.content_type"),
        **_as("message", "http.user_agent", "http.server", "http.response.phrase"),
        **_as("nsm_ssh_client_software", "ssh.protocol"),
        **_as("nsm_ssh_client_hassh", "ssh.kex.hassh"),
        **_as("nsm_ssh_server_hassh", "ssh.kex.hasshserver"),
        **_as("nsm_ftp_command", "ftp.request.command", "smtp.req.command"),
        **_as("nsm_sip_method", "sip.Method"),
        **_as("nsm_krb5_realm", "kerberos.realm", "kerberos.crealm"),
        **_as("nsm_krb5_cname", "kerberos.CNameString"),
        **_as("nsm_smtp_helo", "kerberos.SNameString"),
        **_as("user_name", "ntlmssp.auth.username", "smb2.acct", "sip.from.user", "sip.to.user"),
        **_as(
            "nsm_dhcp_client_hostname",
            "ntlmssp.auth.hostname", "ntlmssp.auth.domain", "smb2.host", "smb2.domain", "dhcp.option.hostname",
            "nbns.name",
        ),
        **_as("nsm_smb_share", "smb2.tree"),
        **_as("file_name", "smb2.filename"),
        **_as("nsm_snmp_community", "snmp.community"),
    }
)  # fmt: skip
_FLAGS = re.compile(r"[·A-Z*]{1,16}")


def plain(name: str, sort: str, shown: str) -> bool:
    """Whether a value may stay as it is.

    Args:
        name: of the field.
        sort: its type (``FT_UINT16``).
        shown: the value.
    """
    if name == "tcp.flags.str":
        return _FLAGS.fullmatch(shown) is not None
    if sort == "FT_GUID":
        return name.startswith("dcerpc.") and _GUID.fullmatch(shown) is not None
    pattern = _PLAIN.get(sort)
    return pattern is not None and pattern.fullmatch(shown) is not None and _PERSONAL.search(name) is None


def is_noise(name: str, shown: str) -> bool:
    """Whether a field is left out because nobody reads it: it is in every packet, or a flag that is not set."""
    if name == "tcp.flags.str":
        return False
    return _NOISE.search(name) is not None or (shown == "0" and (".flags" in name or ".capabilities." in name))


def probe(name: str, sort: str, shown: str) -> tuple[str, str] | None:
    """The event's field and the value as which a value is treated; None if it is left out."""
    if sort in _ADDRESS_TYPES:
        return "source_ip", shown.partition("/")[0]
    if sort == "FT_ETHER":
        return ("source_mac", shown.replace(":", "-").upper()) if _MAC.fullmatch(shown) else None
    attribute = TEXTS.get(name)
    if attribute is None or not shown:
        return None
    match attribute:
        case "url_domain":
            host, colon, port = shown.strip().rpartition(":")
            shown = host if colon and port.isdigit() else shown.strip()
        case "tls_server_subject":
            shown = f"CN={shown}"
        case "http_response_mime_type":
            shown = shown.partition(";")[0]
        case "dns_question_name" | "tls_client_server_name" | "nsm_smtp_helo":
            shown = shown.rstrip(".").lower()
    return (attribute, shown) if shown else None


def unprobe(attribute: str, treated: str) -> str:
    """The treated value as it is shown."""
    return treated.removeprefix("CN=") if attribute == "tls_server_subject" else treated
