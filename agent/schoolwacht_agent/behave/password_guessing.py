"""D04: many short log-ins of one source at one service (ATT&CK T1110), and D08: the same from outside over RDP.

A failed log-in looks like this from outside: a conversation that both sides take part in, soon over, with few bytes.
The service is recognised by its protocol on any port, else by its port.

Kept out: long or large conversations (work), conversations without an answer (scans). D18 (beacons) leaves out the
pairs reported here, for guessing is as regular as a beacon. Limits: automation that logs in every few seconds looks
the same.

Memory (measured): 0.8 kB a pair, 0.1 kB a log-in beyond the first; 4,096 pairs and 32,768 log-ins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import short_exchange, started
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Growth, Recent

#: Services by protocol, and by port where none was recognised. SMTP counts where people log in, not between servers.
PROTOCOLS = {"ssh": "SSH", "ftp": "FTP", "rdp": "RDP", "rfb": "VNC"}
PORTS = {21: "FTP", 22: "SSH", 465: "SMTP", 587: "SMTP", 3389: "RDP", 5900: "VNC"}
RULE = Rule("D04", "Password guessing", "Major", "Medium", "T1110", "credential access")
OUTSIDE_RULE = Rule("D08", "RDP password guessing from outside", "Major", "Medium", "T1110", "credential access")


class PasswordGuessingSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.password_guessing]``."""

    seconds: Annotated[int, Meta(ge=10, le=86400, description="D04: window in seconds.")] = 120
    attempts: Annotated[int, Meta(ge=3, description="D04: short log-ins of one pair and service in it.")] = 10
    outside_seconds: Annotated[int, Meta(ge=10, le=86400, description="D08: window in seconds.")] = 600
    outside_attempts: Annotated[int, Meta(ge=3, description="D08: short RDP log-ins of one public source in it.")] = 20
    longest_seconds: Annotated[int, Meta(ge=1, description="D04, D08: a longer conversation is no failed log-in.")] = 30
    most_bytes: Annotated[int, Meta(ge=500, description="D04, D08: a larger one is none either, bytes.")] = 20_000


def service(event: Event) -> str | None:
    """The log-in service of a flow, or None."""
    return PROTOCOLS.get(event.network_protocol or "") or PORTS.get(event.destination_port or 0)


class PasswordGuessing:
    """Detectors D04 and D08: they count the same flows."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW})

    def __init__(self, settings: PasswordGuessingSettings) -> None:
        self._settings = settings
        self._pairs: Recent[tuple[str | None, str | None, int | None], Growth] = Recent(4096, Growth, VALUES)
        self._outside: Recent[str | None, Growth] = Recent(4096, Growth, VALUES)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow completes."""
        name, settings = service(event), self._settings
        if name is None or not short_exchange(event, seconds=settings.longest_seconds, most_bytes=settings.most_bytes):
            return ()
        return self._count(event, name)

    def _count(self, event: Event, name: str) -> Iterator[Event]:
        settings, at = self._settings, started(event)
        pair = self._pairs.of((event.source_ip, event.destination_ip, event.destination_port))
        if count := pair.grows(at, settings.seconds, settings.attempts):
            message = (
                f"{event.source_ip} logged in {count} times at {name} of {event.destination_ip} within "
                f"{settings.seconds} s, each time briefly"
            )
            yield raise_signal(
                RULE, event, message, first=pair.rate.first(), detail={"attempts": count, "service": name}
            )
        if name == "RDP" and event.network_direction is Direction.INBOUND:
            source = self._outside.of(event.source_ip)
            if count := source.grows(at, settings.outside_seconds, settings.outside_attempts):
                message = f"{event.source_ip} tried RDP {count} times from outside, each time briefly"
                yield raise_signal(OUTSIDE_RULE, event, message, first=source.rate.first(), detail={"attempts": count})

    def guessed(self, event: Event) -> bool:
        """Whether this flow's pair and service have been reported."""
        key = (event.source_ip, event.destination_ip, event.destination_port)
        return self._pairs.known(key) and self._pairs.of(key).ladder.said > 0

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._pairs, self._outside)
