"""Protocols that are named but not followed: what their first bytes look like.

Only signs that do not occur by chance: magic words and fixed fields. A port is asked where the sign is short. Names
are those of Suricata's EVE (``app_proto``) where it knows the protocol.
"""

from __future__ import annotations

import re

_SMB = (b"\xffSMB", b"\xfeSMB", b"\xfdSMB", b"\xfcSMB")
#: Banners and commands of text protocols, in the order in which they are tried.
_STREAM_TEXTS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("smtp", re.compile(rb"220[ -][^\r\n]*SMTP|(?i:EHLO|HELO) ")),
    ("ftp", re.compile(rb"220[ -][^\r\n]*(?i:FTP)")),
    ("pop3", re.compile(rb"\+OK ")),
    ("imap", re.compile(rb"\* OK |[A-Za-z0-9.]{1,8} (?:CAPABILITY|LOGIN|STARTTLS)\r\n")),
    ("rfb", re.compile(rb"RFB 00\d\.00\d\n")),
    ("http2", re.compile(rb"PRI \* HTTP/2\.0\r\n")),
    ("sip", re.compile(rb"(?:[A-Z]{3,12} sips?:|SIP/2\.0 )")),
    ("rtsp", re.compile(rb"(?:[A-Z_]{3,16} rtsp://|RTSP/1\.0 )")),
    ("pgsql", re.compile(rb"\x00\x00\x00\x08\x04\xd2\x16\x2f")),
    ("bittorrent", re.compile(rb"\x13BitTorrent protocol")),
    ("mqtt", re.compile(rb"\x10[\x00-\xff]{1,4}\x00[\x04\x06]MQ(?:TT|Isdp)", re.DOTALL)),
    ("telnet", re.compile(rb"\xff[\xfb-\xfe][\x00-\x31]")),
    ("dcerpc", re.compile(rb"\x05\x00[\x0b\x0c]\x03[\x00\x10]\x00\x00\x00", re.DOTALL)),
    ("rdp", re.compile(rb"\x03\x00[\x00-\xff]{2}[\x00-\xff][\xe0\xd0]", re.DOTALL)),
)
_FTP_PORT, _SMTP_PORTS = 21, (25, 587)
_KRB5_PORT, _KRB5_TAGS = 88, (0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x7E)

_QUIC_VERSIONS = (b"\x00\x00\x00\x01", b"\x6b\x33\x43\xcf")
_STUN_COOKIE = b"\x21\x12\xa4\x42"
_PORTS_UDP = {123: "ntp", 137: "netbios-ns", 138: "netbios-dgm", 161: "snmp", 162: "snmp", 5353: "mdns", 5355: "llmnr"}


def name_of_stream(data: bytes, port: int) -> str | None:
    """The protocol of a TCP direction by its first bytes; ``port`` is the server's. None if unknown."""
    if data[0] == 0 and data[4:8] in _SMB:
        return "smb"
    if port == _KRB5_PORT and data[0] == 0 and data[4:5] and data[4] in _KRB5_TAGS:
        return "krb5"
    for name, pattern in _STREAM_TEXTS:
        if pattern.match(data) is not None:
            return name
    if data[:3] == b"220" or data[:5] == b"USER ":
        return "ftp" if port == _FTP_PORT else "smtp" if port in _SMTP_PORTS else None
    return None


def name_of_datagram(payload: bytes, source: int, destination: int) -> str | None:
    """The protocol of a UDP flow by its first datagram; None if unknown."""
    first = payload[0]
    # QUIC: long header with the fixed bit, and a version in use (RFC 9000, 9369, Google's Q0xx and T0xx, drafts).
    if first & 0xC0 == 0xC0 and len(payload) >= 20:
        version = payload[1:5]
        if version in _QUIC_VERSIONS or version[:2] in (b"Q0", b"T0") or version[:3] == b"\xff\x00\x00":
            return "quic"
    if payload[4:8] == _STUN_COOKIE and first < 4:
        return "stun"
    if first == 0x16 and payload[1:2] == b"\xfe" and payload[2:3] in (b"\xff", b"\xfd"):
        return "dtls"
    if payload[:9] in (b"M-SEARCH ", b"NOTIFY * "):
        return "ssdp"
    if payload[:8] == b"d1:ad2:i" or payload[:8] == b"d1:rd2:i":
        return "bittorrent-dht"
    if _STREAM_SIP.match(payload) is not None:
        return "sip"
    if _KRB5_PORT in (source, destination) and first in _KRB5_TAGS:
        return "krb5"
    for port in (destination, source):
        name = _PORTS_UDP.get(port)
        if name is not None and (name != "snmp" or _SNMP.match(payload) is not None):
            return name
    return None


_STREAM_SIP = re.compile(rb"[A-Z]{3,12} sips?:|SIP/2\.0 ")
#: A sequence whose first member is the version: 1, 2c or 3.
_SNMP = re.compile(rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x84....)\x02\x01[\x00\x01\x03]", re.DOTALL)
