"""D33: two DHCP servers answer one transaction, or a flood of DHCP (ATT&CK T1557.003).

A flood may come from many MAC addresses or from a single one. Two servers are one cause, however many requests both
answer.

Kept out: the servers of the setting ``servers`` (fail-over pairs); a school that switches on its computers.

Memory (measured): 1.6 kB a client with its transaction; 4,096 of each, 32,768 requests, 256 groups of servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Growth, Recent, Watch

ROGUE = Rule("D33", "Second DHCP server", "Major", "Medium", "T1557.003", "adversary in the middle")
FLOOD = Rule("D33", "DHCP flood", "Major", "Medium", "T1557.003", "adversary in the middle")
_ANSWERS = frozenset({"offer", "ack"})
_DAY = 86_400
_REQUESTS = frozenset({"discover", "request"})


class DhcpAbuseSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.dhcp_abuse]``."""

    seconds: Annotated[int, Meta(ge=1, le=3600, description="D33: window in seconds.")] = 60
    clients: Annotated[int, Meta(ge=10, description="D33: different MAC addresses that ask within the window.")] = 200
    requests: Annotated[int, Meta(ge=10, description="D33: or requests of one client within the window.")] = 500
    servers: Annotated[
        tuple[str, ...], Meta(description="D33: addresses of DHCP servers that may answer together.")
    ] = ()


class DhcpAbuse:
    """Detector D33."""

    id: ClassVar[str] = ROGUE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.DHCP})

    def __init__(self, settings: DhcpAbuseSettings) -> None:
        self._settings = settings
        self._allowed = frozenset(settings.servers)
        self._answered: Recent[tuple[str | None, str | None], Watch] = Recent(4096, Watch, VALUES)
        self._rogues: Recent[str, Growth] = Recent(256, Growth, VALUES)
        self._clients = Watch()
        self._requests: Recent[str | None, Growth] = Recent(4096, Growth, VALUES)

    def see(self, event: Event) -> Iterator[Event]:
        """Signals that this message completes."""
        kind = event.nsm_dhcp_type
        if kind in _ANSWERS:
            yield from self._answer(event)
        elif kind in _REQUESTS:
            yield from self._request(event)

    def _answer(self, event: Event) -> Iterator[Event]:
        server = event.nsm_dhcp_server_ip or event.destination_ip
        if server is None or server in self._allowed:
            return
        transaction = self._answered.of((event.nsm_dhcp_client_mac, event.nsm_dhcp_transaction_id))
        at = event.timestamp.timestamp()
        if not transaction.grows(server, at, self._settings.seconds, 2):
            return
        # The cause is the two servers, not each request that both of them answer.
        servers = ", ".join(sorted(str(value) for value in transaction.seen.values(8)))
        if count := self._rogues.of(servers).grows(at, _DAY, 1):
            message = f"More than one DHCP server answered one request: {servers}"
            yield raise_signal(
                ROGUE,
                event,
                message,
                first=transaction.seen.first(),
                detail={"servers": servers, "transactions": count},
            )

    def _request(self, event: Event) -> Iterator[Event]:
        settings, at, client = self._settings, event.timestamp.timestamp(), event.nsm_dhcp_client_mac
        if count := self._clients.grows(client, at, settings.seconds, settings.clients):
            message = f"{count} different machines asked for an address within {settings.seconds} s"
            yield raise_signal(FLOOD, event, message, first=self._clients.seen.first(), detail={"clients": count})
        requests = self._requests.of(client)
        if count := requests.grows(at, settings.seconds, settings.requests):
            message = f"One machine asked for an address {count} times within {settings.seconds} s"
            yield raise_signal(FLOOD, event, message, first=requests.rate.first(), detail={"requests": count})

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._answered, self._rogues, self._requests)
