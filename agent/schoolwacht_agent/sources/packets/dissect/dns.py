"""DNS messages (RFC 1035, 2136, 2782, 6891): header, questions and answers, in the text forms of Suricata's EVE.

:func:`dissect_dns` is strict enough to tell whether the payload of an unknown port is DNS: every record of every
section must lie inside the message, opcode and class must exist, and names must be well formed. Bytes after the
last record are allowed (some tunnels put data there). Data of a record that does not hold together is left out.

Limits: a compression pointer points backwards, at most 32 of them a name; a name has at most 255 bytes (RFC 1035
2.3.4); a message has at most 64 questions; the first 64 answers are kept, the rest is walked over.
The authority and additional sections, and so EDNS's OPT, are walked over, not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from socket import AF_INET6, inet_ntoa, inet_ntop
from struct import Struct as Layout
from struct import error as TooShort  # noqa: N812 - the standard library names this class in lower case
from types import MappingProxyType

from msgspec import Struct

from schoolwacht_agent.sources.dnsnames import OPERATIONS, RECORD_TYPES, RESPONSE_CODES
from schoolwacht_agent.sources.packets.dissect.text import printable

NAME_MAX = 255
POINTERS_MAX = 32
RECORDS_MAX = 64

# The flags that Suricata states too (RFC 1035 4.1.1); QR is what tells an answer from a query.
_FLAGS = ((0x0400, "AA"), (0x0200, "TC"), (0x0100, "RD"), (0x0080, "RA"))
_FLAGS_MASK = sum(bit for bit, _ in _FLAGS)
# IN, CH, HS, NONE, ANY; the top bit is multicast DNS's (unicast reply wanted, cache flush).
_CLASSES = frozenset(value | top for value in (1, 3, 4, 254, 255) for top in (0, 0x8000))
_OPT = 41

_HEADER = Layout(">6H")
_QUESTION = Layout(">2H")
_RECORD = Layout(">2HIH")
_SRV = Layout(">3H")
_SOA = Layout(">5I")


class Question(Struct, frozen=True, gc=False):
    """One question. ``name`` is lower-case without trailing dot (the root is the empty name)."""

    name: str
    type: str


class Answer(Struct, frozen=True, gc=False):
    """One answer. ``data`` in the form of a zone file, names lower-case without trailing dot.

    A and AAAA: the address. CNAME, NS, PTR: the name; MX: the exchange without its preference. TXT: one string (a
    record of three strings is three answers). SRV: ``priority weight port target``. SOA: ``mname rname serial refresh
    retry expire minimum``. SSHFP: ``algorithm type fingerprint``. NULL: the bytes as text. Any other type: empty.
    """

    name: str
    type: str
    ttl: int
    data: str


class DnsMessage(Struct, frozen=True, gc=False):
    """One message. ``size`` is the length of the message proper (what follows it in the payload is not DNS)."""

    id: int
    response: bool
    opcode: int
    rcode: str
    flags: tuple[str, ...]
    questions: tuple[Question, ...]
    answers: tuple[Answer, ...]
    size: int


def dissect_dns(payload: bytes) -> DnsMessage | None:
    """One DNS message, without the length that goes before it on TCP. None if it is not DNS."""
    try:
        return _message(payload)
    except (IndexError, TooShort, _Malformed):
        return None


class _Malformed(Exception):  # noqa: N818 - never leaves this module
    """The bytes are all there, but they are not DNS."""


@lru_cache(maxsize=64)
def _flags(word: int) -> tuple[str, ...]:
    return tuple(name for bit, name in _FLAGS if word & bit)


def _message(payload: bytes) -> DnsMessage:
    number, word, questions, answers, authorities, additionals = _HEADER.unpack_from(payload)
    opcode = word >> 11 & 15
    # A question takes 5 bytes at least, a record 11: counts that cannot fit are refused before any work.
    if (
        opcode not in OPERATIONS
        or questions > RECORDS_MAX
        or 12 + 5 * questions + 11 * (answers + authorities + additionals) > len(payload)
    ):
        raise _Malformed
    if questions == 0 and answers + authorities + additionals == 0 and not word & 0x8000:
        raise _Malformed
    at = 12
    asked: list[Question] = []
    for _ in range(questions):
        name, at = _name(payload, at)
        kind, klass = _QUESTION.unpack_from(payload, at)
        if klass not in _CLASSES:
            raise _Malformed
        at += 4
        asked.append(Question(name, RECORD_TYPES.get(kind) or str(kind)))
    answered: list[Answer] = []
    for _ in range(answers):
        at = _answer(payload, at, answered) if len(answered) < RECORDS_MAX else _skip(payload, at)
    for _ in range(authorities + additionals):
        at = _skip(payload, at)
    return DnsMessage(
        number,
        word >= 0x8000,
        opcode,
        RESPONSE_CODES[word & 15],
        _flags(word & _FLAGS_MASK),
        tuple(asked),
        tuple(answered[:RECORDS_MAX]),
        at,
    )


def _answer(payload: bytes, at: int, answered: list[Answer]) -> int:
    name, at = _name(payload, at)
    kind, klass, ttl, length = _RECORD.unpack_from(payload, at)
    start = at + 10
    end = start + length
    if end > len(payload) or (klass not in _CLASSES and kind != _OPT):
        raise _Malformed
    if kind == 16:
        strings = 0
        while start < end and strings < RECORDS_MAX:
            stop = min(end, start + 1 + payload[start])
            answered.append(Answer(name, "TXT", ttl, printable(payload[start + 1 : stop])))
            start = stop
            strings += 1
    else:
        read = _DATA.get(kind)
        data = _read(read, payload, start, end) if read is not None and length else ""
        answered.append(Answer(name, RECORD_TYPES.get(kind) or str(kind), ttl, data))
    return int(end)


def _read(read: Callable[[bytes, int, int], str], payload: bytes, start: int, end: int) -> str:
    # Data that does not hold together costs the data, not the message that it came in.
    try:
        return read(payload, start, end)
    except (IndexError, TooShort, _Malformed):
        return ""


def _skip(payload: bytes, at: int) -> int:
    """Where the record at ``at`` ends; its name is only walked, its data only jumped over."""
    while length := payload[at]:
        if length >= 0xC0:
            at += 1
            break
        if length >= 0x40:
            raise _Malformed
        at += 1 + length
    kind, klass, _, length = _RECORD.unpack_from(payload, at + 1)
    at += 11 + length
    if at > len(payload) or (klass not in _CLASSES and kind != _OPT):
        raise _Malformed
    return at


def _name(payload: bytes, at: int) -> tuple[str, int]:
    """The name at ``at`` and where what follows it begins."""
    labels = []
    size = 0
    pointers = 0
    after = 0
    while length := payload[at]:
        if length < 0x40:
            start = at + 1
            at = start + length
            labels.append(payload[start:at])
            size += length + 1
            if size > NAME_MAX:
                raise _Malformed
        elif length >= 0xC0:
            target = (length & 0x3F) << 8 | payload[at + 1]
            pointers += 1
            if target >= at or pointers > POINTERS_MAX:
                raise _Malformed
            after = after or at + 2
            at = target
        else:
            raise _Malformed
    return printable(b".".join(labels)).lower(), after or at + 1


def _ipv4(payload: bytes, start: int, end: int) -> str:
    return inet_ntoa(payload[start:end]) if end - start == 4 else ""


def _ipv6(payload: bytes, start: int, end: int) -> str:
    return inet_ntop(AF_INET6, payload[start:end]) if end - start == 16 else ""


def _one_name(payload: bytes, start: int, _: int) -> str:
    return _name(payload, start)[0]


def _mx(payload: bytes, start: int, _: int) -> str:
    return _name(payload, start + 2)[0]


def _srv(payload: bytes, start: int, _: int) -> str:
    priority, weight, port = _SRV.unpack_from(payload, start)
    return f"{priority} {weight} {port} {_name(payload, start + 6)[0]}"


def _soa(payload: bytes, start: int, _: int) -> str:
    mname, at = _name(payload, start)
    rname, at = _name(payload, at)
    serial, refresh, retry, expire, minimum = _SOA.unpack_from(payload, at)
    return f"{mname} {rname} {serial} {refresh} {retry} {expire} {minimum}"


def _sshfp(payload: bytes, start: int, end: int) -> str:
    return f"{payload[start]} {payload[start + 1]} {payload[start + 2 : end].hex()}"


def _null(payload: bytes, start: int, end: int) -> str:
    return printable(payload[start:end])


_DATA: MappingProxyType[int, Callable[[bytes, int, int], str]] = MappingProxyType(
    {
        1: _ipv4,
        2: _one_name,
        5: _one_name,
        6: _soa,
        10: _null,
        12: _one_name,
        15: _mx,
        28: _ipv6,
        33: _srv,
        44: _sshfp,
    }
)
