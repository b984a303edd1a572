"""Identities that are planted in traffic, and every form in which they could show."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from schoolwacht.derive import derive
from schoolwacht.event import Event

ADDRESS, ADDRESS6, OTHER = "10.21.77.133", "fd33:1:2:3:4:5:6:7", "10.21.77.134"
MAC = "02:7e:57:1d:e4:a3"
MACHINE, PERSON, PUPIL = "pc-planted-077", "p.lanted-jansen", "9077133"
SECRET = "geheim-0123456789"
WORLD = "203.0.113.80"
IDENTITIES = (MACHINE, PERSON, PUPIL, SECRET)


def needles() -> Iterator[bytes]:
    """Each identity in each form: as text in both cases, packed, in hexadecimal, reversed, in base64."""
    for text in IDENTITIES:
        yield from {text.encode(), text.upper().encode(), text.title().encode(), text.encode("utf-16-le")}
        # What base64 of a longer text has in common wherever this one begins in it.
        for lead in range(3):
            yield base64.b64encode(b"\0" * lead + text.encode())[4:-4]
    for address in (ADDRESS, ADDRESS6, OTHER):
        yield from of_address(address)
    yield from of_mac(MAC)


def of_address(address: str) -> Iterator[bytes]:
    """The forms of an address."""
    parsed = ip_address(address)
    yield from (address.encode(), parsed.packed, parsed.packed.hex().encode())
    yield parsed.reverse_pointer.rsplit(".", 2)[0].encode()
    if parsed.version == 4:
        yield address.replace(".", "-").encode()
        yield address.replace(".", ",").encode()
    else:
        yield parsed.exploded.encode()


def of_mac(mac: str) -> Iterator[bytes]:
    """The forms of a MAC address."""
    raw = bytes.fromhex(mac.replace(":", ""))
    yield raw
    for separator in (":", "-", ""):
        for text in (raw.hex(separator), raw.hex(separator).upper()) if separator else (raw.hex(), raw.hex().upper()):
            yield text.encode()


def shows(places: Iterable[tuple[str, bytes]], wanted: Iterable[bytes]) -> list[str]:
    """Where one of the forms shows."""
    forms = list(wanted)
    return [f"{form!r} in {name}" for name, content in places for form in forms if form in content]


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, with its name (which could show something too).

    Not the packets that are kept as evidence and what finds them again: they stay at the school (docs/privacy.md).
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "evidence" not in path.relative_to(folder).parts:
            yield str(path.relative_to(folder)), path.read_bytes() + path.name.encode()


def sent(events: Iterable[Event]) -> Iterator[tuple[str, bytes]]:
    """Events as they travelled, and as the collector completes them."""
    for one in events:
        yield f"a {one.event_dataset.value} on the wire", msgspec.msgpack.encode(one)
        derive(one)
        yield f"a {one.event_dataset.value} in the store", msgspec.json.encode(one)


def capture(path: Path) -> Path:
    """Packets of the planted machine: everyday protocols, and a scan and a tunnel that behaviour finds."""
    wrpcap(str(path), list(_timed(_packets())))
    return path


def _timed(packets: Iterable[Packet]) -> Iterator[Packet]:
    for number, packet in enumerate(packets):
        packet.time = 1_795_500_000 + number * 0.05
        yield packet


def _packets() -> Iterator[Packet]:
    ether = Ether(src=MAC, dst="02:00:00:00:00:01")
    raw = bytes.fromhex(MAC.replace(":", ""))
    options = [("message-type", "request"), ("hostname", MACHINE.upper()), ("requested_addr", ADDRESS), "end"]
    yield (
        ether
        / IP(src="0.0.0.0", dst="255.255.255.255")
        / UDP(sport=68, dport=67)
        / BOOTP(chaddr=raw)
        / DHCP(options=options)
    )
    yield Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=MAC, psrc=ADDRESS, pdst=OTHER)
    ip, ip6 = IP(src=ADDRESS, dst=WORLD), IPv6(src=ADDRESS6, dst="2001:db8::80")
    for name in (f"{MACHINE}.local", MACHINE, f"{MACHINE}.school.lan", ip_address(ADDRESS).reverse_pointer):
        for way in (ip, ip6):
            yield ether / way / UDP(sport=40000, dport=53) / DNS(id=1, rd=1, qd=DNSQR(qname=name, qtype="PTR"))
    solicited = IPv6(src=ADDRESS6, dst="ff02::1:ff06:7")
    yield ether / solicited / UDP(sport=40000, dport=5353) / DNS(qd=DNSQR(qname=f"{MACHINE}._smb._tcp.local"))
    answer = DNS(id=1, qr=1, qd=DNSQR(qname=f"{MACHINE}.local"), an=DNSRR(rrname=f"{MACHINE}.local", rdata=ADDRESS))
    yield Ether(dst=MAC, src="02:00:00:00:00:01") / IP(src=WORLD, dst=ADDRESS) / UDP(sport=53, dport=40000) / answer
    text = DNS(
        id=2, qr=1, qd=DNSQR(qname="x.example", qtype="TXT"), an=DNSRR(rrname="x.example", type="TXT", rdata=SECRET)
    )
    yield Ether(dst=MAC, src="02:00:00:00:00:01") / IP(src=WORLD, dst=ADDRESS) / UDP(sport=53, dport=40001) / text
    yield from _request(ether, ip, 41000)
    for port in range(1, 60):
        yield ether / IP(src=ADDRESS, dst=OTHER) / TCP(sport=42000 + port, dport=port, flags="S")
        yield (
            Ether(dst=MAC, src="02:00:00:00:00:02")
            / IP(src=OTHER, dst=ADDRESS)
            / TCP(sport=port, dport=42000 + port, flags="RA", ack=1)
        )
    for number in range(80):
        name = f"{number:04}{'abcdefgh' * 6}.tunnel.example"
        yield ether / ip / UDP(sport=43000 + number, dport=53) / DNS(id=number, rd=1, qd=DNSQR(qname=name, qtype="TXT"))


def _request(ether: Packet, ip: Packet, port: int) -> Iterator[Packet]:
    back = Ether(dst=MAC, src="02:00:00:00:00:01") / IP(src=WORLD, dst=ADDRESS)
    head = (
        f"GET /leerling/{PERSON}/{PUPIL}?token={SECRET} HTTP/1.1\r\nHost: {ADDRESS}\r\nUser-Agent: test\r\n"
        f"Referer: http://elo.example/{PERSON}?{SECRET}\r\nCookie: id={SECRET}\r\n\r\n"
    ).encode()
    reply = (
        f"HTTP/1.1 302 Found\r\nLocation: http://elo.example/{PERSON}?{SECRET}\r\nContent-Length: 0\r\n\r\n".encode()
    )
    yield ether / ip / TCP(sport=port, dport=80, flags="S", seq=100)
    yield back / TCP(sport=80, dport=port, flags="SA", seq=500, ack=101)
    yield ether / ip / TCP(sport=port, dport=80, flags="A", seq=101, ack=501)
    yield ether / ip / TCP(sport=port, dport=80, flags="PA", seq=101, ack=501) / Raw(head)
    yield back / TCP(sport=80, dport=port, flags="PA", seq=501, ack=101 + len(head)) / Raw(reply)
    yield ether / ip / TCP(sport=port, dport=80, flags="FA", seq=101 + len(head), ack=501 + len(reply))
    yield back / TCP(sport=80, dport=port, flags="FA", seq=501 + len(reply), ack=102 + len(head))


def eve(path: Path) -> Path:
    """EVE of the protocols that only Suricata takes apart, an alert, and lines that are wrong."""
    path.write_text("".join(json.dumps(_line(number, one)) + "\n" for number, one in enumerate(_records())) + _wrong())
    return path


def _line(number: int, record: dict[str, Any]) -> dict[str, Any]:
    base = {
        "timestamp": f"2026-11-24T09:30:{number % 60:02}.000000+0000", "flow_id": 1, "src_ip": ADDRESS,
        "src_port": 50000, "dest_ip": OTHER, "dest_port": 445, "proto": "TCP",
        "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        "ether": {"src_mac": MAC, "dest_mac": "02:00:00:00:00:01"},
    }  # fmt: skip
    return base | record


def _wrong() -> str:
    return f'{{"timestamp": "{PERSON}", "event_type": "dns", "src_ip": "{ADDRESS}"}}\n{{"broken {SECRET}\n'


def _records() -> list[dict[str, Any]]:
    http = {
        "hostname": f"{MACHINE}.school.lan", "url": f"/{PERSON}/{PUPIL}?t={SECRET}", "http_refer": f"http://a/{SECRET}",
        "http_method": "GET", "status": 200, "xff": ADDRESS, "redirect": f"http://a/{PERSON}",
    }  # fmt: skip
    smb = {
        "command": "SMB2_COMMAND_SESSION_SETUP", "status": "STATUS_LOGON_FAILURE", "share": f"\\\\{ADDRESS}\\{PERSON}$",
        "filename": f"Users\\{PERSON}\\{PUPIL}.docx", "named_pipe": f"\\\\{MACHINE}\\IPC$", "directory": PERSON,
        "ntlmssp": {"domain": MACHINE.upper(), "user": PERSON, "host": MACHINE.upper()},
        "kerberos": {"realm": "SCHOOL.LAN", "snames": ["cifs", MACHINE]},
        "rename": {"from": f"{PERSON}.doc", "to": f"{PUPIL}.doc"},
    }  # fmt: skip
    mail = {"helo": MACHINE, "mail_from": f"<{PERSON}@example.nl>", "rcpt_to": [f"<{PUPIL}@example.nl>"]}
    krb5 = {
        "msg_type": "KRB_ERROR", "cname": PERSON, "realm": "SCHOOL.LAN", "sname": f"host/{MACHINE}.school.lan",
        "error_code": "KDC_ERR_PREAUTH_FAILED", "weak_encryption": False,
    }  # fmt: skip
    spray = [
        {"event_type": "krb5", "dest_port": 88, "krb5": krb5 | {"cname": f"{PERSON}{number}"}} for number in range(40)
    ]
    alert = {"signature_id": 1, "signature": "test", "category": "test", "severity": 1, "action": "allowed"}
    dhcp = {
        "type": "reply", "id": 1, "client_mac": MAC, "assigned_ip": ADDRESS, "dhcp_type": "ack", "hostname": MACHINE,
        "client_id": MAC, "requested_ip": ADDRESS, "routers": [OTHER], "dns_servers": [OTHER],
    }  # fmt: skip
    return [
        {"event_type": "http", "dest_ip": WORLD, "dest_port": 80, "http": http},
        {"event_type": "http", "src_ip": WORLD, "dest_ip": ADDRESS, "dest_port": 80, "http": http},
        {"event_type": "smb", "smb": smb},
        {"event_type": "krb5", "dest_port": 88, "krb5": krb5},
        {"event_type": "rdp", "dest_port": 3389, "rdp": {"event_type": "initial_request", "cookie": PERSON}},
        {"event_type": "smtp", "dest_port": 25, "smtp": mail, "email": {
            "from": f'"{PERSON}" <{PERSON}@example.nl>', "to": [f"{PUPIL}@example.nl"], "subject": SECRET,
            "message_id": f"<1@{MACHINE}>", "attachment": [f"{PERSON}.docx"], "status": "PARSE_DONE",
        }},
        {"event_type": "ftp", "dest_port": 21, "ftp": {
            "command": "USER", "command_data": PERSON, "reply": [f"331 {PERSON}"],
        }},
        {"event_type": "ftp", "dest_port": 21, "ftp": {"command": "RETR", "command_data": f"{PERSON}.zip"}},
        {"event_type": "ftp", "dest_port": 21, "ftp": {
            "command": "PORT", "command_data": ADDRESS.replace(".", ",") + ",1,2",
        }},
        {"event_type": "sip", "dest_port": 5060, "sip": {"method": "INVITE", "uri": f"sip:{PERSON}@{ADDRESS}:5060"}},
        {"event_type": "snmp", "dest_port": 161, "snmp": {
            "version": 2, "community": SECRET, "pdu_type": "get_request", "vars": [PERSON], "trap_address": ADDRESS,
        }},
        {"event_type": "mqtt", "dest_port": 1883, "mqtt": {
            "connect": {"client_id": MACHINE, "username": PERSON}, "publish": {"topic": f"a/{PERSON}"},
        }},
        {"event_type": "rfb", "dest_port": 5900, "rfb": {"screen": {"name": PERSON}}},
        {"event_type": "dhcp", "src_port": 67, "dest_port": 68, "proto": "UDP", "dhcp": dhcp},
        {"event_type": "tls", "dest_port": 443, "tls": {
            "sni": f"{MACHINE}.local", "subject": f"CN={MACHINE.upper()}", "issuerdn": f"CN={MACHINE.upper()}",
            "subjectaltname": [MACHINE, ADDRESS], "fingerprint": "ab:cd", "version": "TLS 1.2",
        }},
        {"event_type": "fileinfo", "dest_port": 445, "app_proto": "smb", "smb": smb, "fileinfo": {
            "filename": f"{PERSON}\\{PUPIL}.docx", "magic": f"PDF document, author {PERSON}", "size": 10,
            "state": "CLOSED",
        }},
        {"event_type": "dns", "dest_port": 53, "proto": "UDP", "dns": {
            "version": 2, "type": "answer", "rrname": f"{MACHINE}.local", "rrtype": "A", "rcode": "NOERROR",
            "answers": [{"rrname": f"{MACHINE}.local", "rrtype": "A", "rdata": ADDRESS},
                        {"rrname": "x.example", "rrtype": "TXT", "rdata": SECRET}],
        }},
        {"event_type": "flow", "dest_port": 445, "app_proto": "smb", "flow": {
            "pkts_toserver": 2, "pkts_toclient": 1, "bytes_toserver": 100, "bytes_toclient": 50, "state": "closed",
            "start": "2026-11-24T09:30:00.000000+0000", "end": "2026-11-24T09:30:01.000000+0000",
        }},
        {"event_type": "alert", "alert": alert, "smb": smb, "app_proto": "smb"},
        {"event_type": "alert", "alert": alert, "app_proto": "smtp", "smtp": mail, "email": {
            "from": f"{PERSON}@example.nl",
        }},
        {"event_type": "anomaly", "anomaly": {"type": "applayer", "event": "X", "layer": "proto_parser"}},
        *spray,
    ]  # fmt: skip
