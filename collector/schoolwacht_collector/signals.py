"""Signals: an indicator's hit becomes one, and a signal that came from an agent is completed. Pure.

Promise: one signal an event and indicator; its id follows from both, so that a redelivered event gives no second one.
Limits: :data:`MOST` signals an event, those of the surest indicators; each says how many further ones hit. Whatever an
agent claims of ``signal.{entity,key,score}`` is replaced: only the collector folds and scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from schoolwacht.derive import derive
from schoolwacht.event import TEXT_MAX, Dataset, Direction, Event, clip
from schoolwacht_collector.attack import tactic_names, tactics_of, technique_names
from schoolwacht_collector.identity import identify
from schoolwacht_collector.match.indicators import Hit
from schoolwacht_collector.records import IndicatorType
from schoolwacht_collector.score import score

RULESET = "indicator"
DETECTION = "D24"
TECHNIQUE = "T1071"
#: The rule's severity. High confidence gives 70 (high), low confidence 50 (medium).
SEVERITY = "Major"
#: Signals of one event at most. An answer with 64 bad addresses says no more than one with eight, and costs as much.
MOST = 8

_SUREST: MappingProxyType[str, int] = MappingProxyType({"High": 0, "Medium": 1, "Low": 2})
_NAMES: MappingProxyType[IndicatorType, str] = MappingProxyType(
    {
        IndicatorType.ADDRESS: "Known bad address",
        IndicatorType.NETWORK: "Known bad network",
        IndicatorType.DOMAIN: "Known bad domain",
        IndicatorType.JA3: "Known bad JA3 fingerprint",
        IndicatorType.JA4: "Known bad JA4 fingerprint",
        IndicatorType.CERTIFICATE_SHA1: "Known bad certificate",
        IndicatorType.CERTIFICATE_SHA256: "Known bad certificate",
        IndicatorType.CERTIFICATE_NAME: "Known bad certificate name",
    }
)

# How a person calls the field in which a hit was found.
_FIELDS: MappingProxyType[str, str] = MappingProxyType(
    {
        "source.ip": "source address",
        "destination.ip": "destination address",
        "dns.resolved_ip": "address in a DNS answer",
        "dns.question.name": "DNS question",
        "tls.client.server_name": "TLS server name",
        "url.domain": "HTTP host",
        "tls.client.ja3": "JA3 of the client",
        "tls.server.ja3s": "JA3S of the server",
        "nsm.tls.ja4": "JA4 of the client",
        "tls.server.hash.sha1": "SHA-1 of the certificate",
        "tls.server.hash.sha256": "SHA-256 of the certificate",
        "tls.server.subject": "subject of the certificate",
        "tls.server.x509.alternative_names": "alternative name of the certificate",
    }
)

# What of the traffic a signal keeps, so that it can be judged after the event itself has expired.
_COPIED = (
    "timestamp",
    "event_module",
    "event_start",
    "event_end",
    "event_duration",
    "event_ingested",
    "observer_name",
    "observer_product",
    "observer_type",
    "observer_vendor",
    "observer_version",
    "organization_id",
    "school_brin",
    "school_location",
    "school_zone",
    "school_sector",
    "school_region",
    "source_ip",
    "source_port",
    "source_mac",
    "source_bytes",
    "source_packets",
    "destination_ip",
    "destination_port",
    "destination_mac",
    "destination_bytes",
    "destination_packets",
    "network_transport",
    "network_type",
    "network_protocol",
    "network_community_id",
    "network_direction",
    "network_bytes",
    "network_packets",
    "network_vlan_id",
    "network_inner_vlan_id",
    "dns_question_name",
    "dns_question_type",
    "dns_response_code",
    "dns_resolved_ip",
    "tls_version",
    "tls_client_server_name",
    "tls_client_ja3",
    "nsm_tls_ja4",
    "tls_server_ja3s",
    "tls_server_subject",
    "tls_server_issuer",
    "tls_server_not_before",
    "tls_server_not_after",
    "tls_server_hash_sha1",
    "tls_server_hash_sha256",
    "tls_server_x509_alternative_names",
    "http_request_method",
    "http_response_status_code",
    "url_domain",
    "url_path",
    "url_scheme",
    "url_port",
    "user_agent_original",
)


def signals_of(event: Event, hits: Iterable[Hit], *, most: int = MOST) -> list[Event]:
    """The signals of one stamped event: one for each indicator that hit, ``most`` of them, ready to be stored.

    A JA3 fingerprint names a library more than a program, and lists of them are old: when nothing else hit, its
    signal has confidence Low.
    """
    by_indicator: dict[str, list[Hit]] = {}
    for hit in hits:
        by_indicator.setdefault(hit.indicator.id, []).append(hit)
    only_ja3 = all(group[0].indicator.type is IndicatorType.JA3 for group in by_indicator.values())
    groups = list(by_indicator.values())
    if len(groups) > most:
        groups.sort(key=lambda group: _SUREST.get(group[0].indicator.confidence, len(_SUREST)))
    further = len(groups) - most
    return [_signal(event, group, doubtful=only_ja3, further=further) for group in groups[:most]]


def complete_signal(event: Event) -> None:
    """Add to a stamped signal, in place, what the collector knows: entity, key, score, names of technique and tactic.

    The event needs its tenant (``organization.id``, ``school.location``) already.
    """
    techniques = event.threat_technique_id
    if techniques:
        if event.threat_technique_name is None:
            event.threat_technique_name = technique_names(techniques) or None
        if event.threat_tactic_id is None:
            event.threat_tactic_id = tactics_of(techniques) or None
    if event.threat_tactic_id and event.threat_tactic_name is None:
        event.threat_tactic_name = tactic_names(event.threat_tactic_id) or None
    event.signal_entity = entity_of(event)
    event.signal_key = key_of(event)
    event.signal_score = score(
        severity=event.signal_severity, priority=event.event_severity, confidence=event.signal_confidence
    )


def entity_of(event: Event) -> str:
    """What the signal is about at the school: its own host.

    The source of traffic that leaves the school or stays inside, the destination of traffic that comes in; where the
    direction is unknown the source. Without addresses the MAC address, and at last the agent.
    """
    ends = (
        event.source_ip or event.nsm_arp_sender_ip or event.source_mac,
        event.destination_ip or event.destination_mac,
    )
    first, second = reversed(ends) if event.network_direction is Direction.INBOUND else ends
    return first or second or event.observer_name or "unknown"


def key_of(event: Event) -> str:
    """Signals of one key fold into one alert: same detection (or rule), board, school, entity and indicator.

    The board is part of it, because an alert belongs to one board also when a school moves to another.
    """
    rule = event.signal_detection or f"{event.rule_ruleset}:{event.rule_id}"
    parts = (rule, event.organization_id, event.school_location, event.signal_entity, event.threat_indicator_id)
    return identify(*parts)


def _signal(event: Event, hits: list[Hit], *, doubtful: bool, further: int) -> Event:
    indicator = hits[0].indicator
    signal = Event(
        event_dataset=Dataset.SIGNAL,
        event_id=None if event.event_id is None else f"{event.event_id}-{identify(event.event_id, indicator.id)[:16]}",
        message=clip(_message(hits, further), TEXT_MAX),
        rule_id=DETECTION,
        rule_name=_NAMES[indicator.type],
        rule_category="Indicator match",
        rule_ruleset=RULESET,
        threat_technique_id=[TECHNIQUE],
        threat_indicator_id=indicator.id,
        threat_indicator_type=indicator.type.value,
        threat_indicator_name=clip(indicator.value),
        threat_indicator_provider=clip(indicator.provider),
        threat_indicator_confidence=clip(indicator.confidence),
        threat_indicator_marking_tlp=clip(indicator.tlp),
        signal_detection=DETECTION,
        signal_severity=SEVERITY,
        signal_confidence="Low" if doubtful else indicator.confidence,
        signal_event_id=event.event_id,
        **{name: getattr(event, name) for name in _COPIED},
    )
    derive(signal)
    complete_signal(signal)
    return signal


def _message(hits: list[Hit], further: int) -> str:
    indicator = hits[0].indicator
    places = ", ".join(f"{_FIELDS.get(hit.field, hit.field)} {hit.value}" for hit in hits[:4])
    if further > 0:
        places += f"; {further} further indicators hit the same event, without a signal of their own"
    described = f" ({indicator.description})" if indicator.description else ""
    return f"{_NAMES[indicator.type]} {indicator.value} of {indicator.provider}: {places}{described}"
