"""EVE lines to events: the table of record types, and what is done with lines that are no such record.

Conventions, which the packet engine keeps too:

* **Source is the client**, in every dataset; the server's ports, names and bytes are the destination's. Suricata
  writes flow, dns (versions 1 and 2), tls, http, ssh, smb, dcerpc, smtp, ftp, ftp_data and rfb in the direction of the
  flow; krb5, snmp, sip, dhcp, quic, fileinfo, rdp, mqtt, dns version 3, anomaly and alert in that of a packet. Those
  are turned by what they say (a reply, a status code, a hash of the server's hello), else by a well-known port.
  An anomaly is about one packet and keeps its direction.
* Times are aware UTC. A flow's ``@timestamp`` is its end; any other record's is Suricata's, the packet that completed
  it. ``event.duration`` is nanoseconds (of whole microseconds).
* Addresses in the shortest form (RFC 5952). MACs as ECS has them (00-00-5E-00-53-23). Names (DNS, SNI, host, URL host,
  DHCP host name) lower-case without trailing dot; an empty name (the root) is absent.
* ``network.transport`` tcp, udp, icmp, ipv6-icmp, sctp …; ``network.protocol`` as Suricata names it, HTTP/2 as http,
  unrecognised (``failed``) absent.
* ``network.community_id`` is the standard's, also where Suricata's is not (``docs/decisions/0011``).
* DNS: ``dns.type`` query | answer; ``dns.id`` decimal; types and codes by name (A, HTTPS, NOERROR, NXDOMAIN), unknown
  ones as their number; ``dns.op_code`` QUERY, NOTIFY, …; ``dns.header_flags`` AA TC RD RA, where the record has
  them (version 2 queries have none). Answers: the data of a zone file, names lower-case.
* TLS: ``tls.version`` 1.3 1.2 1.1 1.0 with ``tls.version_protocol`` tls, or 3.0 2.0 with ssl; ``tls.cipher`` the
  suite as 0x1302; hashes lower-case, serial numbers upper-case hexadecimal, without colons. QUIC has the same fields.
* HTTP: ``http.version`` 1.0 1.1 2; ``url.original`` the target as sent, ``url.full`` with scheme, host and port,
  ``url.port`` only where the host named one; ``event.outcome`` success below status 400, else failure.
* File: hashes only of a whole file (state CLOSED, no gaps).
* SMB, Kerberos, RPC and the rest keep Suricata's words (SMB2_COMMAND_CREATE, KRB_AS_REQ, STATUS_SUCCESS);
  ``<empty>`` and ``<none>`` are absent. ``nsm.dhcp.transaction_id`` is eight hexadecimal digits.
* Passwords, challenges, cookies and payload are never taken over.

Speed: a record of the known shape goes through one typed decode and one function (``tests/bench/eve.py``). A record
with a field of another type is read field by field and keeps what fits; each such field is counted. A line that is no
record is set aside: counted by reason, logged once a reason. No line ever stops the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import MappingProxyType

from schoolwacht.errors import SourceError
from schoolwacht.event import Event
from schoolwacht_agent.sources.port import Counters
from schoolwacht_agent.sources.suricata import local, notice, traffic
from schoolwacht_agent.sources.suricata.decode import DECODE_ERRORS, decode_fast, salvage
from schoolwacht_agent.sources.suricata.record import Eve, Stats

logger = logging.getLogger(__name__)

#: EVE's ``event_type`` → its mapping.
MAPPINGS: MappingProxyType[str, Callable[[Eve], Event | None]] = MappingProxyType(
    {
        "flow": traffic.flow,
        "dns": traffic.dns,
        "tls": traffic.tls,
        "http": traffic.http,
        "http2": traffic.http,
        "fileinfo": traffic.file,
        "quic": traffic.quic,
        "alert": notice.alert,
        "anomaly": notice.anomaly,
        "stats": notice.stats,
        "ssh": local.ssh,
        "smb": local.smb,
        "krb5": local.krb5,
        "rdp": local.rdp,
        "dcerpc": local.dcerpc,
        "smtp": local.smtp,
        "ftp": local.ftp,
        "ftp_data": local.ftp_data,
        "snmp": local.snmp,
        "sip": local.sip,
        "rfb": local.rfb,
        "mqtt": local.mqtt,
        "dhcp": local.dhcp,
        "arp": local.arp,
    }
)

#: Types that Suricata can write and the project has no dataset for. They are skipped and counted by name.
NOT_CARRIED = frozenset(
    {
        "bittorrent_dht", "dnp3", "drop", "engine", "enip", "frame", "ftp_data_file", "ike", "ikev2", "ldap", "mdns",
        "metadata", "modbus", "netflow", "nfs", "ntp", "packet", "pgsql", "pop3", "template", "tftp", "websocket",
    }
)  # fmt: skip


#: Seconds of the engine's time between two health events of its figures.
STATS_SECONDS = 60


def event_from_eve(record: Eve) -> Event | None:
    """The event of a record; None if it has none (a type that is not carried, or the type's own part is missing).

    Raises ValueError if its timestamp is none.
    """
    mapping = MAPPINGS.get(record.event_type)
    return None if mapping is None else mapping(record)


class Reader:
    """Lines to events, counting what could not be understood.

    Args:
        counters: ``events`` and ``invalid`` are kept here, and the engine's figures if it writes them.
        own_engine: the engine started when this source did, so that its first figures count from zero.
        health: whether figures also become health events.
    """

    def __init__(self, counters: Counters, *, own_engine: bool, health: bool) -> None:
        self._counters = counters
        self._health = health
        self._last: tuple[int, ...] | None = (0,) * 6 if own_engine else None
        self._reported = -STATS_SECONDS
        self._told: set[str] = set()

    def events(self, lines: Iterable[bytes]) -> list[Event]:
        """The events of some lines, in their order."""
        made: list[Event] = []
        mappings = MAPPINGS
        for line in lines:
            try:
                record = decode_fast(line)
            except DECODE_ERRORS:
                if not line.strip(b"\0 \t\r"):
                    if b"\0" in line:
                        self._set_aside("line of NUL bytes")
                    continue
                rescued = self._salvage(line)
                if rescued is None:
                    continue
                record = rescued
            mapping = mappings.get(record.event_type)
            if mapping is None:
                self._skip(record.event_type)
                continue
            if record.stats is not None:
                self._take_figures(record.stats)
                if not self._health or not self._is_due(record.stats.uptime):
                    continue
            try:
                event = mapping(record)
            except ValueError:
                self._set_aside("record without a valid timestamp")
                continue
            if event is None:
                self._set_aside(f"{record.event_type} record without its {record.event_type} part")
            else:
                made.append(event)
        self._counters.events += len(made)
        return made

    def _salvage(self, line: bytes) -> Eve | None:
        try:
            record, dropped = salvage(line)
        except SourceError as error:
            self._set_aside(error.message)
            return None
        for name in dropped:
            self._set_aside(f"field {name} of another type")
        if not dropped:
            self._set_aside("bytes that are no UTF-8")
        return record

    def _skip(self, name: str) -> None:
        self._counters.note_invalid(f"type {name} is not carried" if name in NOT_CARRIED else "unknown type")

    def _set_aside(self, reason: str) -> None:
        self._counters.note_invalid(reason)
        if reason not in self._told:
            self._told.add(reason)
            logger.warning("EVE: %s (counted from now on, not said again)", reason)

    def _take_figures(self, record: Stats) -> None:
        """Add what the engine's totals grew by; an engine whose up-time fell was started anew and counts from zero."""
        now = (
            record.uptime, notice.packets(record), notice.octets(record), notice.drops(record),
            notice.sessions(record), notice.gaps(record),
        )  # fmt: skip
        self._counters.rules, self._counters.rules_failed = notice.rules(record)
        before = self._last
        self._last = now
        if before is None:
            return
        if now[0] < before[0] or now[1] < before[1]:
            before = (0,) * len(now)
        grown = [max(0, new - old) for new, old in zip(now, before, strict=True)]
        self._counters.packets += grown[1]
        self._counters.bytes += grown[2]
        self._counters.dropped += grown[3]
        self._counters.tcp_sessions += grown[4]
        self._counters.tcp_gaps += grown[5]

    def _is_due(self, uptime: int) -> bool:
        """Whether the engine's figures become a health event again; they come more often than people want them."""
        if self._reported <= uptime < self._reported + STATS_SECONDS:
            return False
        self._reported = uptime
        return True
