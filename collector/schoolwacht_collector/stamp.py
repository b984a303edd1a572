"""Whose an event is, its identity and its times: what the collector says and no agent can.

Promise, whatever an event claims: its board, school, observer, id, sequence and arrival come from the registration of
the agent whose key delivered it. A claimed ``school.location`` is honoured if the registration lists it, and brings the
board that the registration gives it; otherwise the event is rejected. What an agent on the NDC path says of itself
(health) is its operator's and no school's. Kind, category and type follow from the dataset, save that a signal may say
whether its engine let the traffic through. The same item (agent, epoch, sequence, timestamp) gets the same id at every
delivery, made with a key of the board that no agent has. Every address that leaves here is one, canonically spelled;
every time is UTC.

Limits: pure, no I/O. An event whose clock was wrong gets the time of its arrival (and a tag); if it is delivered again
on another day it can be stored in both days.

Id: 12 hexadecimal digits of the claimed time in milliseconds since 1970, so that ids sort by time, and 20 of keyed
BLAKE2b.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from schoolwacht.derive import derive
from schoolwacht.event import LIST_MAX, Dataset, Event
from schoolwacht_collector.records import Agent, Standpoint
from schoolwacht_collector.secret import board_key

VENDOR = "Schoolwacht"
PRODUCT = "schoolwacht-agent"
CLAMPED = "timestamp-clamped"
#: Where the claimed time of a clamped event is kept, in ``nsm.detail``.
CLAIMED_TIME = "claimed_timestamp"
#: Tags that only the collector gives.
OWN_TAGS = frozenset({CLAMPED})
#: What an agent may say of a signal's traffic (ECS event.type): Suricata's verdict.
VERDICTS = (["allowed"], ["denied"])
#: Rule sets whose signals the collector makes itself.
OWN_RULESETS = frozenset({"sigma", "correlation"})

_ID_BYTES = 10
_ZONE = re.compile(r"[\w][\w .-]{0,62}")
_TIMES: MappingProxyType[str, str] = MappingProxyType(
    {
        "timestamp": "@timestamp",
        "event_start": "event.start",
        "event_end": "event.end",
        "evidence_taken": "evidence.taken",
        "tls_server_not_before": "tls.server.not_before",
        "tls_server_not_after": "tls.server.not_after",
    }
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Bounds(NamedTuple):
    """How far from its arrival an event's time may lie; ``past`` None takes any age."""

    future: timedelta
    past: timedelta | None


@dataclass(frozen=True, slots=True)
class Tenant:
    """A school as it is stamped into events."""

    location: str | None
    brin: str | None
    board: str
    sector: str | None
    region: str | None
    key: bytes


class Stamper:
    """Stamps the events of one registration. It holds for as long as the registration does."""

    def __init__(self, agent: Agent, secret: bytes, bounds: Bounds) -> None:
        self.agent = agent
        self._bounds = bounds
        self._tenants = {
            school.location: Tenant(
                school.location,
                school.location[:4],
                school.board,
                school.sector,
                school.region,
                board_key(secret, school.board),
            )
            for school in agent.schools
        }
        own = Tenant(None, None, agent.board, None, None, board_key(secret, agent.board))
        self._own = own if agent.standpoint is Standpoint.NDC else None

    def batch(self, epoch: str, *, now: datetime, version: str | None = None) -> BatchStamp:
        """The stamp for one batch that arrives at ``now`` (UTC) from an agent of this software version."""
        return BatchStamp(self.agent.id, self._tenants, self._own, self._bounds, epoch=epoch, now=now, version=version)


class BatchStamp:
    """Stamps the events of one batch."""

    __slots__ = ("_agent", "_earliest", "_epoch", "_hashes", "_latest", "_now", "_only", "_own", "_tenants", "_version")

    def __init__(
        self,
        agent: str,
        tenants: dict[str, Tenant],
        own: Tenant | None,
        bounds: Bounds,
        *,
        epoch: str,
        now: datetime,
        version: str | None,
    ) -> None:
        self._agent = agent
        self._tenants = tenants
        # A gateway need not say which school it is at; a sensor on a path of many must, though it have one only.
        self._only = next(iter(tenants.values())) if len(tenants) == 1 and own is None else None
        self._own = own
        self._epoch = epoch
        self._now = now
        self._version = version
        self._latest = now + bounds.future
        self._earliest = None if bounds.past is None else now - bounds.past
        self._hashes: dict[str, hashlib.blake2b] = {}

    def stamp(self, event: Event, sequence: int) -> str | None:
        """Stamp one decoded event in place, and derive what follows from it.

        Returns why the event is rejected (then nothing of it may be stored), or None.
        """
        claim = event.school_location
        tenant = self._only if claim is None else self._tenants.get(claim)
        if tenant is None:
            if claim is not None or self._own is None or event.event_dataset is not Dataset.HEALTH:
                return _no_school(claim)
            tenant = self._own
        reason = _times(event) or _addresses(event) or _claims(event)
        if reason is not None:
            return reason
        _clear(event)
        event.event_id = self._id(event.timestamp, tenant, sequence)
        if event.timestamp > self._latest or (self._earliest is not None and event.timestamp < self._earliest):
            self._clamp(event)
        event.event_sequence = sequence
        event.event_ingested = self._now
        event.organization_id = tenant.board
        event.school_location = tenant.location
        event.school_brin = tenant.brin
        event.school_sector = tenant.sector
        event.school_region = tenant.region
        event.observer_name = self._agent
        event.observer_vendor = VENDOR
        event.observer_product = PRODUCT
        event.observer_type = "ids"
        event.observer_version = self._version
        derive(event)
        return None

    def _id(self, moment: datetime, tenant: Tenant, sequence: int) -> str:
        base = self._hashes.get(tenant.board)
        if base is None:
            base = hashlib.blake2b(
                f"{self._agent}\0{self._epoch}\0".encode(), key=tenant.key, digest_size=_ID_BYTES, usedforsecurity=True
            )
            self._hashes[tenant.board] = base
        digest = base.copy()
        digest.update(sequence.to_bytes(8, "big"))
        since = (moment - _EPOCH) // _MILLISECOND
        return (since.to_bytes(6, "big") + digest.digest()).hex() if since > 0 else "0" * 12 + digest.hexdigest()

    def _clamp(self, event: Event) -> None:
        event.tags = [*(event.tags or ())[: LIST_MAX - 1], CLAMPED]
        detail = dict(event.nsm_detail or {})
        if len(detail) < LIST_MAX:
            detail[CLAIMED_TIME] = event.timestamp.isoformat()
            event.nsm_detail = detail
        event.timestamp = self._now


@lru_cache(maxsize=65_536)
def canonical(address: str) -> str | None:
    """The canonical spelling of an address (RFC 5952; a mapped IPv4 address as IPv4), None if it is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if parsed.version == 6:
        if parsed.scope_id is not None:
            return None
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
    return str(parsed)


def _no_school(claim: str | None) -> str:
    if claim is None:
        return "school.location: is required, for this agent stands on a path of many schools"
    return "school.location: this agent is not registered for that school"


# The fields by name rather than in a loop over names: this runs for every event, and attribute access by name costs
# three times as much. A test holds these functions against the types in Event.


def _times(event: Event) -> str | None:
    """All times in UTC. A time without zone names no moment."""
    if (
        event.timestamp.tzinfo is UTC
        and ((moment := event.event_start) is None or moment.tzinfo is UTC)
        and ((moment := event.event_end) is None or moment.tzinfo is UTC)
        and event.tls_server_not_before is None
        and event.tls_server_not_after is None
        and event.evidence_taken is None
    ):
        return None
    for name, field in _TIMES.items():
        moment = getattr(event, name)
        if moment is not None and moment.tzinfo is not UTC:
            try:
                setattr(event, name, _utc(moment))
            except (ValueError, OverflowError):
                return f"{field}: no moment in UTC"
    return None


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


def _addresses(event: Event) -> str | None:
    if (text := event.source_ip) is not None:
        if (address := canonical(text)) is None:
            return "source.ip: no IP address"
        event.source_ip = address
    if (text := event.destination_ip) is not None:
        if (address := canonical(text)) is None:
            return "destination.ip: no IP address"
        event.destination_ip = address
    if event.dns_resolved_ip is not None:
        found = [canonical(text) for text in event.dns_resolved_ip]
        if None in found:
            return "dns.resolved_ip: no IP address"
        event.dns_resolved_ip = [address for address in found if address is not None]
    if (
        event.nsm_dhcp_assigned_ip is None
        and event.nsm_dhcp_server_ip is None
        and event.nsm_arp_sender_ip is None
        and event.nsm_arp_target_ip is None
    ):
        return None
    return _rare_addresses(event)


def _rare_addresses(event: Event) -> str | None:
    for name, field in (
        ("nsm_dhcp_assigned_ip", "nsm.dhcp.assigned_ip"),
        ("nsm_dhcp_server_ip", "nsm.dhcp.server_ip"),
        ("nsm_arp_sender_ip", "nsm.arp.sender_ip"),
        ("nsm_arp_target_ip", "nsm.arp.target_ip"),
    ):
        text: str | None = getattr(event, name)
        if text is None:
            continue
        address = canonical(text)
        if address is None:
            return f"{field}: no IP address"
        setattr(event, name, address)
    return None


def _claims(event: Event) -> str | None:
    if event.school_zone is not None and not _ZONE.fullmatch(event.school_zone):
        return "school.zone: letters, digits, space, point, hyphen and underscore, at most 63"
    if event.event_dataset is Dataset.SIGNAL:
        if event.rule_id is None or event.rule_ruleset is None:
            return "rule.id and rule.ruleset: a signal names its rule"
        if event.rule_ruleset in OWN_RULESETS:
            return "rule.ruleset: only the collector makes signals of this rule set"
    return None


def _clear(event: Event) -> None:
    """Take out what only the collector says and :func:`derive` does not overwrite.

    Looking costs a quarter of setting, and hardly any event claims one of these.
    """
    if event.event_type is not None and (event.event_dataset is not Dataset.SIGNAL or event.event_type not in VERDICTS):
        event.event_type = None
    if event.tags is not None and not OWN_TAGS.isdisjoint(event.tags):
        event.tags = [tag for tag in event.tags if tag not in OWN_TAGS] or None
    if event.nsm_detail is not None and CLAIMED_TIME in event.nsm_detail:
        event.nsm_detail = {name: text for name, text in event.nsm_detail.items() if name != CLAIMED_TIME} or None
    if (
        event.event_kind is not None
        or event.event_category is not None
        or event.client_ip is not None
        or event.client_port is not None
        or event.server_ip is not None
        or event.server_port is not None
        or event.dns_question_registered_domain is not None
        or event.dns_question_subdomain is not None
        or event.related_user is not None
        or event.signal_entity is not None
        or event.signal_key is not None
        or event.signal_score is not None
        or event.signal_event_id is not None
        or event.threat_indicator_id is not None
        or event.threat_indicator_type is not None
        or event.threat_indicator_name is not None
        or event.threat_indicator_provider is not None
        or event.threat_indicator_confidence is not None
        or event.threat_indicator_marking_tlp is not None
    ):
        event.event_kind = event.event_category = None
        event.client_ip = event.client_port = event.server_ip = event.server_port = None
        event.dns_question_registered_domain = event.dns_question_subdomain = None
        event.related_user = None
        event.signal_entity = event.signal_key = event.signal_score = event.signal_event_id = None
        event.threat_indicator_id = event.threat_indicator_type = event.threat_indicator_name = None
        event.threat_indicator_provider = event.threat_indicator_confidence = event.threat_indicator_marking_tlp = None
