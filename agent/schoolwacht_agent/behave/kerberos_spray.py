"""D05: one source tries many Kerberos names (ATT&CK T1110.003).

Kept out: a class that logs in gives many names and few failures; a spray gives both. "Preauthentication required" is
the ordinary first answer and counts as no failure. Limits: needs Kerberos events, so Suricata. Source of the error
codes: RFC 4120, section 7.5.9 (6 principal unknown, 24 pre-authentication failed).

Memory (measured): 0.8 kB a source, 0.3 kB a name beyond the first; 1,024 sources and 32,768 names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import VALUES, Distinct, Ladder, Rate, Recent

RULE = Rule("D05", "Kerberos password spray", "Major", "High", "T1110.003", "credential access")
_FAILED = ("PRINCIPAL_UNKNOWN", "PREAUTH_FAILED")


class KerberosSpraySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.kerberos_spray]``."""

    seconds: Annotated[int, Meta(ge=10, le=86400, description="D05: window in seconds.")] = 300
    names: Annotated[int, Meta(ge=3, description="D05: different client names of one source in it.")] = 10
    failures: Annotated[int, Meta(ge=1, description="D05: names unknown or passwords wrong in it.")] = 5


class _Source:
    __slots__ = ("failures", "ladder", "names")

    def __init__(self) -> None:
        self.names = Distinct()
        self.failures = Rate()
        self.ladder = Ladder()

    def __len__(self) -> int:
        return len(self.names) + len(self.failures)


class KerberosSpray:
    """Detector D05."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.KRB5})

    def __init__(self, settings: KerberosSpraySettings) -> None:
        self._settings = settings
        self._sources: Recent[str | None, _Source] = Recent(1024, _Source, VALUES)

    def see(self, event: Event) -> Iterator[Event]:
        """Signals that this exchange completes."""
        name = event.nsm_krb5_cname
        if not name or "TGS" in (event.nsm_krb5_msg_type or ""):
            return
        source, settings, at = self._sources.of(event.source_ip), self._settings, event.timestamp.timestamp()
        if source.names.full(at, settings.seconds):
            return
        failed = any(code in (event.nsm_krb5_error_code or "") for code in _FAILED)
        failures = source.failures.add(at, settings.seconds) if failed else len(source.failures)
        count = source.names.add(name, at, settings.seconds)
        if failures < settings.failures or not source.ladder.speaks(count, settings.names, at, settings.seconds):
            return
        message = f"{event.source_ip} tried {count} Kerberos names within {settings.seconds} s; {failures} failed"
        yield raise_signal(
            RULE, event, message, first=source.names.first(), detail={"names": count, "failures": failures}
        )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._sources,)
