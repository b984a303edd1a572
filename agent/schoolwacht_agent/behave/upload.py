"""D30: a host sends far more out of the school than it usually does at this hour (ATT&CK T1567).

Counted are the bytes that a home host sends in conversations it opened itself, by hour. It is told at ``least_bytes``
(1 GB) in an hour if that is more than ``times_usual`` the median of the same hour (:mod:`.baseline`). While nothing is
known of the hour, it is low; afterwards medium.

Kept out: the media ports of video calls; the ``services`` of the settings (video sites; add the school's backup); what
a host usually does, such as a nightly backup. Limits: conversations below 10 kB are not counted; what outsiders fetch
from a school's server is no upload; Suricata tells a conversation only at its end.

Memory (measured): 1.2 kB a host, 4,096 of them, and a history (:mod:`.baseline`) of those that reach 50 MB an hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from schoolwacht.domains import split
from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave.baseline import Baselines
from schoolwacht_agent.behave.flows import started
from schoolwacht_agent.behave.names import ServerNames
from schoolwacht_agent.behave.port import Bounded
from schoolwacht_agent.behave.signal import Rule, raise_signal
from schoolwacht_agent.behave.state import Heaviest, Ladder, Recent

RULE = Rule("D30", "Upload anomaly", "Minor", "Medium", "T1567", "exfiltration")
#: Ports of STUN/TURN and of the media of Teams, Zoom and Meet over UDP.
MEDIA_PORTS = frozenset({3478, 3479, 3480, 3481, *range(8801, 8811), *range(19302, 19310), *range(50000, 50060)})
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_OUTBOUND = Direction.OUTBOUND
_SMALL = 10_000
_REMEMBERED = 50_000_000
_HOUR = 3600
#: Hours of a host that are counted at once: a long conversation is told at its end and spread over these.
_HOURS = 3


class UploadSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[behave.upload]``."""

    least_bytes: Annotated[
        int, Meta(ge=1_000_000, description="D30: bytes that one host sends out in an hour, at least.")
    ] = 1_000_000_000
    times_usual: Annotated[
        float, Meta(ge=1, description="D30: and so many times the median of what it sends at this hour.")
    ] = 5.0
    services: Annotated[
        tuple[str, ...], Meta(description="D30: registrable domains to which uploads are ordinary, such as the backup.")
    ] = ("youtube.com", "googlevideo.com", "vimeo.com", "zoom.us")


class _Host:
    __slots__ = ("hours", "ladder", "targets")

    def __init__(self) -> None:
        self.hours: dict[int, float] = {}
        self.targets = Heaviest()
        self.ladder = Ladder()


class Upload:
    """Detector D30."""

    id: ClassVar[str] = RULE.id
    datasets: ClassVar[frozenset[Dataset]] = frozenset({Dataset.FLOW})

    def __init__(self, settings: UploadSettings, baselines: Baselines, names: ServerNames) -> None:
        self._settings = settings
        self._services = frozenset(settings.services)
        self._baselines = baselines
        self._names = names
        self._hosts: Recent[str, _Host] = Recent(4096, _Host)

    def see(self, event: Event) -> Iterable[Event]:
        """Signals that this flow completes."""
        sent = event.source_bytes
        if sent is None or sent < _SMALL or event.network_direction is not _OUTBOUND:
            return ()
        if event.network_transport == "udp" and event.destination_port in MEDIA_PORTS:
            return ()
        name = self._names.of(event)
        if name is not None and split(name)[0] in self._services:
            return ()
        return self._count(event, sent, name)

    def _count(self, event: Event, sent: int, name: str | None) -> Iterator[Event]:
        source, least = event.source_ip or "", self._settings.least_bytes
        host, end = self._hosts.of(source), event.timestamp.timestamp()
        newest = int(end) // _HOUR
        for hour, share in _spread(started(event), end):
            if hour not in host.hours:
                host.hours = {one: bytes_ for one, bytes_ in host.hours.items() if one > newest - _HOURS}
                host.targets.clear()
            total = host.hours[hour] = host.hours.get(hour, 0.0) + sent * share
            if total >= min(_REMEMBERED, least):
                self._baselines.most(RULE.id, source, hour * _HOUR, total, _REMEMBERED)
        host.targets.add(name or event.destination_ip or "", sent)
        hour, total = max(host.hours.items(), key=lambda item: item[1])
        if total >= least:
            yield from self._judge(event, host, hour, total)

    def _judge(self, event: Event, host: _Host, hour: int, total: float) -> Iterator[Event]:
        settings = self._settings
        usual = self._baselines.usual_with_quiet_days(RULE.id, event.source_ip or "", hour * _HOUR)
        if usual is not None and total <= settings.times_usual * usual:
            return
        at = event.timestamp.timestamp()
        if not host.ladder.speaks(int(total), settings.least_bytes, at, 2 * _HOUR):
            return
        target, weight = host.targets.largest()
        message = f"{event.source_ip} sent {total / 1e9:.1f} GB out of the school within an hour, most to {target}"
        message += "; what is usual is not known yet" if usual is None else f"; usually {usual / 1e9:.2f} GB"
        yield raise_signal(
            RULE,
            event,
            message,
            first=hour * _HOUR,
            confidence="Low" if usual is None else None,
            destination=target == event.destination_ip,
            port=target == event.destination_ip,
            detail={
                "bytes": int(total),
                "usual_bytes": usual,
                "target": target,
                "target_bytes": weight,
                "phase": self._baselines.calendar.moment(hour * _HOUR).phase.value,
            },
        )

    def state(self) -> Iterable[Bounded]:
        """Tables."""
        return (self._hosts,)


def _spread(start: float, end: float) -> Iterator[tuple[int, float]]:
    """The last hours that a conversation lay in, oldest first, and the share of it that lay in each."""
    first, last = int(start) // _HOUR, int(end) // _HOUR
    if first >= last:
        yield last, 1.0
        return
    for hour in range(max(first, last - _HOURS + 1), last + 1):
        yield hour, (min(end, (hour + 1) * _HOUR) - max(start, hour * _HOUR)) / (end - start)
