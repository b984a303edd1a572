"""The clear start of an SSH connection: the banner (RFC 4253 4.2) and the HASSH of the key exchange offer (7.1).

HASSH (salesforce/hassh): MD5 of the key exchange, encryption, MAC and compression algorithms offered, those of the
direction from the client for a client and to the client for a server.

Limits: a server may say up to 20 lines of 255 bytes before its banner; a key exchange message has at most 35,000 bytes.
"""

from __future__ import annotations

import re
from hashlib import md5

from msgspec import Struct

from schoolwacht_agent.sources.packets.dissect.progress import MORE, More
from schoolwacht_agent.sources.packets.dissect.text import printable

LINE_MAX = 255
LINES_MAX = 20
PACKET_MAX = 35_000
_BANNER = re.compile(rb"SSH-([0-9.]{1,8})-([^\s-][^\r\n ]*)(?: ([^\r\n]*))?\r?\n")
_START = b"SSH-"
_KEXINIT = 20
_LISTS = 10


class SshBanner(Struct, frozen=True, gc=False):
    """What one side says first. ``protocol`` as said ("2.0"), ``software`` without the comments after it.

    ``hassh`` is what the side's offer makes as a client, ``hassh_server`` as a server; None where the offer was not
    seen. Both are MD5 in hexadecimal.
    """

    protocol: str
    software: str
    comments: str | None = None
    hassh: str | None = None
    hassh_server: str | None = None


def dissect_banner(stream: bytes, *, final: bool = False) -> SshBanner | More | None:
    """The banner at the start of one direction, with the key exchange offer after it.

    MORE while the banner or the offer may still come; None if this is not SSH.

    Args:
        stream: the bytes of one direction from its start.
        final: no more bytes will come: a banner without a complete offer is then given as it is.
    """
    at = _banner_start(stream)
    if at is None:
        return None
    found = _BANNER.match(stream, at, at + LINE_MAX)
    if found is None:
        head = stream[at : at + LINE_MAX]
        fits = b"\n" not in head and len(head) < LINE_MAX and (head[:4] == _START[: len(head[:4])])
        return MORE if fits and not final else None
    offer = _offer(stream, found.end())
    if offer is MORE and not final:
        return MORE
    protocol, software, comments = found.groups()
    lists = offer if isinstance(offer, list) else None
    return SshBanner(
        protocol.decode(),
        printable(software),
        printable(comments) if comments else None,
        _hassh(lists, 2, 4, 6) if lists else None,
        _hassh(lists, 3, 5, 7) if lists else None,
    )


def _banner_start(stream: bytes) -> int | None:
    """Where the banner begins: other lines may stand before it, but only whole ones."""
    if stream[:4] == _START[: len(stream)]:
        return 0
    at = 0
    for _ in range(LINES_MAX):
        end = stream.find(b"\n", at, at + LINE_MAX)
        if end < 0:
            return None
        at = end + 1
        if stream[at : at + 4] == _START:
            return at
    return None


def _offer(stream: bytes, at: int) -> list[bytes] | More | None:
    """The ten name lists of the KEXINIT packet at ``at``."""
    if len(stream) < at + 6:
        return MORE
    size = int.from_bytes(stream[at : at + 4])
    if not 20 <= size <= PACKET_MAX or stream[at + 5] != _KEXINIT:
        return None
    end = at + 4 + size
    if len(stream) < end:
        return MORE
    place = at + 22  # length, padding length, message number, cookie
    lists = []
    for _ in range(_LISTS):
        start = place + 4
        place = start + int.from_bytes(stream[place:start])
        if place > end:
            return None
        lists.append(stream[start:place])
    return lists


def _hassh(lists: list[bytes], cipher: int, mac: int, compression: int) -> str:
    text = b";".join((lists[0], lists[cipher], lists[mac], lists[compression]))
    return md5(text, usedforsecurity=False).hexdigest()
