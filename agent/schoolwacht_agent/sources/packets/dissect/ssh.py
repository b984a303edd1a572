"""SSH identification strings (RFC 4253, 4.2): ``SSH-protoversion-softwareversion SP comments CR LF``."""

from __future__ import annotations

from typing import NamedTuple

from schoolwacht_agent.sources.packets.dissect.progress import MORE, More
from schoolwacht_agent.sources.packets.dissect.text import printable

#: RFC 4253 allows 255 bytes with the line's end.
BANNER_MAX = 255


class SshBanner(NamedTuple):
    """Protocol version (``2.0``), software (``OpenSSH_9.2p1``) and comments (``Debian-2``, empty if none)."""

    protocol: str
    software: str
    comments: str


def dissect_banner(stream: bytes) -> SshBanner | More | None:
    """The banner that a direction begins with; MORE if its line is not whole yet; None if this is no SSH."""
    if not stream.startswith(b"SSH-"[: len(stream)]):
        return None
    line, end, _ = stream[: BANNER_MAX + 1].partition(b"\n")
    if not end:
        return MORE if len(stream) <= BANNER_MAX else None
    head, _, comments = line.rstrip(b"\r").partition(b" ")
    parts = head.split(b"-", 2)
    if len(parts) != 3 or not parts[1] or not parts[2]:
        return None
    return SshBanner(printable(parts[1]), printable(parts[2]), printable(comments))
