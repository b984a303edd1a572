"""What an indicator's hit becomes: a signal of D24, the same whether an agent or the collector found it. Pure.

Both of them may find it: the agent in its own traffic, the collector in the event of that traffic. The id that the
collector gives a signal follows from the agent, the indicator, the moment and both ends (:func:`hit_id`), so that the
second one is the first one again.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from schoolwacht.event import TEXT_MAX, Dataset, Event, clip
from schoolwacht.identity import identify
from schoolwacht.indicators import IndicatorType
from schoolwacht.match import Hit

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
        IndicatorType.URL: "Known bad URL",
        IndicatorType.FILE_MD5: "Known bad file",
        IndicatorType.FILE_SHA1: "Known bad file",
        IndicatorType.FILE_SHA256: "Known bad file",
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
        "url.path": "URL",
        "file.hash.md5": "MD5 of a file",
        "file.hash.sha1": "SHA-1 of a file",
        "file.hash.sha256": "SHA-256 of a file",
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
    "file_name",
    "file_size",
    "file_mime_type",
    "file_hash_md5",
    "file_hash_sha1",
    "file_hash_sha256",
)


def known_bad(event: Event, hits: Iterable[Hit], *, most: int = MOST) -> list[Event]:
    """The signals of one event: one for each indicator that hit, ``most`` of them, those of the surest indicators.

    A JA3 fingerprint names a library more than a program, and lists of them are old: when nothing else hit, its
    signal has confidence Low. They have no identity yet.
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


def hit_id(event: Event, indicator: str) -> str:
    """What one hit of an indicator is known by, within one collector and its agents: 32 hexadecimal digits.

    ``event`` is the traffic or a signal of it: stamped, so that its agent is known.
    """
    return identify(
        event.observer_name,
        indicator,
        event.timestamp.isoformat(),
        event.source_ip,
        str(event.source_port),
        event.destination_ip,
        str(event.destination_port),
        event.network_transport,
    )


def _signal(event: Event, hits: list[Hit], *, doubtful: bool, further: int) -> Event:
    indicator = hits[0].indicator
    return Event(
        event_dataset=Dataset.SIGNAL,
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
        **{name: getattr(event, name) for name in _COPIED},
    )


def _message(hits: list[Hit], further: int) -> str:
    indicator = hits[0].indicator
    places = ", ".join(f"{_FIELDS.get(hit.field, hit.field)} {hit.value}" for hit in hits[:4])
    if further > 0:
        places += f"; {further} further indicators hit the same event, without a signal of their own"
    described = f" ({indicator.description})" if indicator.description else ""
    return f"{_NAMES[indicator.type]} {indicator.value} of {indicator.provider}: {places}{described}"
