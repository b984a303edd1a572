"""What is spoken in a flow, told by its first bytes, and who follows it from there.

Ports do not decide: a protocol is known by what it looks like. A port only helps where many bytes look like anything
(see :mod:`signatures`). A protocol that nobody follows still names its flow (``network.protocol``).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

from schoolwacht.event import Event
from schoolwacht_agent.sources.packets.conversations.dhcp import DhcpConversation, is_dhcp
from schoolwacht_agent.sources.packets.conversations.dns import DNS_PORT, DnsConversation, begins_tcp, is_dns
from schoolwacht_agent.sources.packets.conversations.http import HttpConversation
from schoolwacht_agent.sources.packets.conversations.signatures import name_of_datagram, name_of_stream
from schoolwacht_agent.sources.packets.conversations.snmp import SnmpConversation
from schoolwacht_agent.sources.packets.conversations.ssh import SshConversation
from schoolwacht_agent.sources.packets.conversations.tls import TlsConversation
from schoolwacht_agent.sources.packets.conversations.upgrade import UpgradeConversation
from schoolwacht_agent.sources.packets.dissect.http import dissect_request
from schoolwacht_agent.sources.packets.dissect.progress import MORE
from schoolwacht_agent.sources.packets.flows import Conversation, Flow

Make = Callable[[Flow, Callable[[Event], None]], Conversation]


class Found(NamedTuple):
    """A protocol: its name (None: unknown), who follows it (None: nobody), and whether the server said this."""

    name: str | None
    make: Make | None = None
    by_server: bool | None = None
    #: The port says what it should be, but this datagram is not: look at the next one.
    retry: bool = False


_UNKNOWN = Found(None)
_NO_DNS = Found(None, retry=True)
_UPGRADABLE = MappingProxyType(
    {name: Found(name, UpgradeConversation) for name in ("smtp", "ftp", "imap", "pop3", "pgsql")}
)
#: So many bytes tell any protocol that is known here.
_ENOUGH = 16
_TLS_SIDES = MappingProxyType({1: False, 2: True})


def identify(data: bytes, port: int) -> Found | None:
    """The protocol of a TCP direction that begins with ``data``; None if there is too little of it.

    ``port`` is the server's.
    """
    if data[0] == 0x16 and data[1:2] in (b"", b"\x03"):
        return Found("tls", TlsConversation, _TLS_SIDES.get(data[5])) if len(data) >= 6 else None
    if data[0] & 0x80 and data[2:4] == b"\x01\x03":
        return Found("tls", TlsConversation, False)
    if data[:4] == b"SSH-":
        return Found("ssh", SshConversation)
    if data[:7] == b"HTTP/1.":
        return Found("http", HttpConversation, by_server=True)
    if 0x41 <= data[0] <= 0x5A or data[0] in (0x0D, 0x0A):
        request = dissect_request(data)
        if request is MORE and len(data) < _ENOUGH:
            return None
        if request is not None:
            return Found("http", HttpConversation, by_server=False)
    if (response := begins_tcp(data, port)) is not None:
        return Found("dns", DnsConversation, response)
    name = name_of_stream(data, port)
    if name is None and len(data) < _ENOUGH:
        return None
    return _UPGRADABLE.get(name) or Found(name) if name is not None else _UNKNOWN


def identify_datagram(payload: bytes, source: int, destination: int) -> Found:
    """The protocol of a UDP flow whose first datagram is this one, from the client's and to the server's port."""
    response = is_dns(payload, source, destination)
    if response is not None:
        return Found("dns", DnsConversation, response)
    if is_dhcp(payload):
        return Found("dhcp", DhcpConversation)
    name = name_of_datagram(payload, source, destination)
    if name is None:
        return _NO_DNS if DNS_PORT in (source, destination) else _UNKNOWN
    return Found(name, SnmpConversation if name == "snmp" else None)
