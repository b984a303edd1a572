"""D29: a workstation asks for its public address and then sends mail or files straight to the internet (T1048.003).

Stealers and key loggers look up the address of their victim, then hand over what they took by SMTP or FTP. Counted is
an answered conversation to a public port 21, 25 or 587 within ``seconds`` of such a look-up by the same host.

Kept out: hosts of the setting ``allowed`` (mail servers, printers that scan to mail); sites that people read to learn
their address, as far as programs do not use them. Limits: port 587 is also how mail programs send, so a person who asks
for the address and then sends mail within ten minutes is told, too.

Source of the names: services that tell programs their address (ipify, ip-api, …).

Memory (measured): 1.6 kB a host that asked and sent, 4,096 of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.flows import started, unanswered
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Recent, Watch

RULE = Rule("D29", "Mail or FTP after an address check", "Major", "Medium", "T1048.003", "exfiltration")
PORTS = {21: "FTP", 25: "SMTP", 587: "SMTP"}
#: Registrable domains, and single names of larger ones, that tell a program its public address.
ADDRESS_CHECKS = frozenset(
    {
        "api.db-ip.com", "checkip.amazonaws.com", "checkip.dyndns.com", "checkip.dyndns.org", "eth0.me",
        "freegeoip.app", "freegeoip.live", "freegeoip.net", "icanhazip.com", "ident.me", "ifconfig.co", "ifconfig.io",
        "ifconfig.me", "ip-api.com", "ip.anysrc.net", "ipapi.co", "ipecho.net", "ipify.org", "ipinfo.io", "ipwho.is",
        "ipwhois.app", "iplogger.org", "jsonip.com", "l2.io", "my-ip.io", "myexternalip.com", "myip.com",
        "myip.opendns.com", "reallyfreegeoip.org", "seeip.org", "showip.net", "trackip.net", "whatismyipaddress.com",
        "wtfismyip.com",
    }
)  # fmt: skip
_DAY = 86_400
#: A capture of a school whose networks nobody named has external conversations only.
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_FLOW, _SMTP, _FTP, _DNS, _TLS = Dataset.FLOW, Dataset.SMTP, Dataset.FTP, Dataset.DNS, Dataset.TLS
_OUT = frozenset({Direction.OUTBOUND, Direction.EXTERNAL})


class MailExfiltrationSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.mail_exfiltration]``."""

    seconds: Annotated[
        int, Meta(ge=10, le=86400, description="D29: time between the address check and the conversation, seconds.")
    ] = 600
    address_checks: Annotated[
        tuple[str, ...], Meta(description="D29: more domains or names of services that tell the public address.")
    ] = ()
    allowed: Annotated[
        tuple[str, ...], Meta(description="D29: addresses that may, such as mail servers and scanning printers.")
    ] = ()


class _Host:
    __slots__ = ("asked", "sent")

    def __init__(self) -> None:
        #: When it asked which service, the last few.
        self.asked: deque[tuple[float, str]] = deque(maxlen=8)
        self.sent = Watch()

    def __len__(self) -> int:
        return len(self.asked) + len(self.sent)

    def before(self, at: float, seconds: float) -> tuple[float, str] | None:
        """The last address check within ``seconds`` before a moment."""
        return max((one for one in self.asked if 0 <= at - one[0] <= seconds), default=None)


class MailExfiltration:
    """Detector D29."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset(
        {Dataset.FLOW, Dataset.SMTP, Dataset.FTP, Dataset.DNS, Dataset.TLS, Dataset.HTTP}
    )

    def __init__(self, settings: MailExfiltrationSettings) -> None:
        self._settings = settings
        self._checks = ADDRESS_CHECKS | frozenset(settings.address_checks)
        self._allowed = frozenset(settings.allowed)
        self._hosts: Recent[str, _Host] = Recent(4096, _Host, VALUES)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this conversation completes."""
        dataset = event.event_dataset
        if dataset is _FLOW or dataset is _SMTP or dataset is _FTP:
            if event.destination_port in PORTS and event.network_direction in _OUT:
                return self._sent(event)
            return ()
        name = (
            event.dns_question_name
            if dataset is _DNS
            else event.tls_client_server_name
            if dataset is _TLS
            else event.url_domain
        )
        if name is not None and (name in self._checks or split(name)[0] in self._checks):
            self._asked(event, name)
        return ()

    def _asked(self, event: Event, name: str) -> None:
        if event.source_ip is None or event.source_ip in self._allowed:
            return
        self._hosts.of(event.source_ip).asked.append((event.timestamp.timestamp(), name))

    def _sent(self, event: Event) -> Iterator[Event]:
        source = event.source_ip
        if source is None or not self._hosts.known(source):
            return
        if event.event_dataset is _FLOW and unanswered(event):
            return
        host, at = self._hosts.of(source), started(event)
        check = host.before(at, self._settings.seconds)
        if check is None:
            return
        # The flow of a conversation is the same cause as the mail or the command in it.
        conversation = event.network_community_id or (event.destination_ip, at)
        if count := host.sent.grows(conversation, at, _DAY, 1):
            service, (asked_at, asked) = PORTS[event.destination_port or 0], check
            message = (
                f"{source} asked {asked} for its public address and {at - asked_at:.0f} s later "
                f"spoke {service} with {event.destination_ip}"
            )
            yield raise_signal(
                RULE,
                event,
                message,
                first=asked_at,
                detail={"asked": asked, "seconds": at - asked_at, "service": service, "conversations": count},
            )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._hosts,)
