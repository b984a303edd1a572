"""D19 and D20: data in the names that are asked (ATT&CK T1071.004, T1572), and D21: commands in TXT answers.

D19 looks at one client and one registrable domain: many different, long names. D20 at one client and one resolver,
whatever the domains: tunnels that spread over domains. D21 at one client and domain: many TXT queries, and little
else than types that carry data (real channels take turns among TXT, MX and CNAME).

Kept out: block lists and content networks ask many names but short ones (measured: 177 names of mean length 17;
tunnels 78 and 167); mail hosts ask TXT for SPF, DKIM and DMARC names; virus scanners and reputation services ask in
names (``ignored_domains``); reverse look-ups, and service discovery on the local network.

Memory (measured): 2.3 kB a client with its domain and resolver, 0.3 kB a name beyond the first; 4,096 of each and
32,768 names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Distinct, Ladder, Rate, Recent

TUNNEL = Rule("D19", "DNS tunnel below one domain", "Major", "High", "T1071.004", "command and control")
SPREAD = Rule("D20", "DNS tunnel through a resolver", "Major", "Medium", "T1572", "command and control")
COMMANDS = Rule("D21", "Command channel over DNS TXT", "Major", "Medium", "T1071.004", "command and control")
#: Types whose answers carry data and that programs of people seldom ask: channels take turns among them.
_CARRIERS = frozenset({"TXT", "NULL", "MX", "CNAME", "SRV", "KEY"})
_MDNS = 5353
_MAIL_LABELS = frozenset({"_dmarc", "_domainkey", "_spf", "_mta-sts", "_smtp"})


class DnsTunnelSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.dns_tunnel]``."""

    seconds: Annotated[int, Meta(ge=10, le=86400, description="D19, D20: window in seconds.")] = 300
    names: Annotated[int, Meta(ge=5, description="D19: different names below one domain in it.")] = 50
    mean_subdomain: Annotated[int, Meta(ge=1, description="D19: their mean length before the domain, more than.")] = 40
    queries: Annotated[int, Meta(ge=5, description="D20: different names asked of one resolver in it.")] = 50
    mean_name: Annotated[int, Meta(ge=1, description="D20: their mean length, more than.")] = 60
    txt_seconds: Annotated[int, Meta(ge=10, le=86400, description="D21: window in seconds.")] = 600
    txt_queries: Annotated[int, Meta(ge=5, description="D21: TXT queries below one domain in it.")] = 20
    ignored_domains: Annotated[
        tuple[str, ...],
        Meta(description="D19, D20, D21: registrable domains that answer questions in names, such as virus scanners'."),
    ] = (
        "avast.com",
        "cymru.com",
        "e5.sk",
        "mcafee.com",
        "senderbase.org",
        "sophosxl.net",
        "spamhaus.org",
        "surbl.org",
        "trendmicro.com",
    )
    txt_percent: Annotated[
        int,
        Meta(ge=1, le=100, description="D21: share of TXT and other types that carry data among all queries below it."),
    ] = 80


class _Names:
    __slots__ = ("ladder", "seen")

    def __init__(self) -> None:
        self.seen = Distinct()
        self.ladder = Ladder()

    def __len__(self) -> int:
        return len(self.seen)

    def grows(self, name: str, at: float, window: int, threshold: int, *, mean: int) -> int:
        if self.seen.full(at, window):
            return 0
        count = self.seen.add(name, at, window, len(name))
        if not count or self.seen.weight <= mean * count:
            return 0
        return count if self.ladder.speaks(count, threshold, at, window) else 0

    def mean(self) -> float:
        return self.seen.weight / max(1, len(self.seen))


class _Commanded:
    __slots__ = ("ladder", "queries", "texts")

    def __init__(self) -> None:
        self.queries = Rate()
        self.texts = Rate()
        self.ladder = Ladder()

    def __len__(self) -> int:
        return len(self.queries) + len(self.texts)


class DnsTunnel:
    """Detectors D19, D20 and D21: they look at the same queries."""

    id: ClassVar[str] = TUNNEL.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.DNS})

    def __init__(self, settings: DnsTunnelSettings) -> None:
        self._settings = settings
        self._ignored = frozenset(settings.ignored_domains)
        self._domains: Recent[tuple[str | None, str], _Names] = Recent(4096, _Names, VALUES)
        self._resolvers: Recent[tuple[str | None, str | None], _Names] = Recent(4096, _Names, VALUES)
        self._commanded: Recent[tuple[str | None, str], _Commanded] = Recent(4096, _Commanded, VALUES)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this query completes."""
        name = event.dns_question_name
        if event.dns_type != "query" or not name:
            return ()
        # Reverse look-ups of IPv6 are long by design, and service discovery speaks in sentences.
        if name.endswith((".arpa", ".local")) or event.destination_port == _MDNS:
            return ()
        at = event.timestamp.timestamp()
        domain, below = split(name)
        if domain in self._ignored:
            return ()
        tunnel = commands = None
        reported = False
        if domain is not None and below is not None:
            names = self._domains.of((event.source_ip, domain))
            tunnel = self._below(event, at, names, domain, below)
            # What D19 has told already is not told again as D20.
            reported = names.ladder.said > 0
            commands = self._commands(event, at, domain, below)
        spread = None if reported else self._through(event, at, name)
        if tunnel is None and commands is None and spread is None:
            return ()
        return [signal for signal in (tunnel, commands, spread) if signal is not None]

    def _below(self, event: Event, at: float, names: _Names, domain: str, below: str) -> Event | None:
        settings = self._settings
        count = names.grows(below, at, settings.seconds, settings.names, mean=settings.mean_subdomain)
        if not count:
            return None
        message = (
            f"{event.source_ip} asked {count} different names below {domain} within {settings.seconds} s, "
            f"{names.mean():.0f} characters long on average"
        )
        detail: dict[str, str | float | None] = {"names": count, "mean_length": names.mean(), "domain": domain}
        return raise_signal(TUNNEL, event, message, first=names.seen.first(), detail=detail)

    def _through(self, event: Event, at: float, name: str) -> Event | None:
        settings = self._settings
        names = self._resolvers.of((event.source_ip, event.destination_ip))
        count = names.grows(name, at, settings.seconds, settings.queries, mean=settings.mean_name)
        if not count:
            return None
        message = (
            f"{event.source_ip} asked {event.destination_ip} {count} different names within {settings.seconds} s, "
            f"{names.mean():.0f} characters long on average"
        )
        detail: dict[str, str | float | None] = {"names": count, "mean_length": names.mean()}
        return raise_signal(SPREAD, event, message, first=names.seen.first(), detail=detail)

    def _commands(self, event: Event, at: float, domain: str, below: str) -> Event | None:
        settings, kind = self._settings, event.dns_question_type
        text = kind == "TXT"
        if text and not _MAIL_LABELS.isdisjoint(below.split(".")):
            return None
        asked = self._commanded.of((event.source_ip, domain))
        total = asked.queries.add(at, settings.txt_seconds, int(kind in _CARRIERS))
        if not text:
            return None
        texts = asked.texts.add(at, settings.txt_seconds)
        if asked.queries.weight * 100 < total * settings.txt_percent:
            return None
        if not asked.ladder.speaks(texts, settings.txt_queries, at, settings.txt_seconds):
            return None
        message = f"{event.source_ip} asked {texts} TXT records below {domain} within {settings.txt_seconds} s"
        detail: dict[str, str | float | None] = {"queries": texts, "domain": domain}
        return raise_signal(COMMANDS, event, message, first=asked.texts.first(), detail=detail)

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._domains, self._resolvers, self._commanded)
