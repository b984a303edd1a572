"""What follows from an event alone: ECS category, type and kind, client and server, domains, ``related.*``.

It never travels: the agent adds it to what it prints, the collector to what it stores.
Source: ECS "categorization fields" (event.kind, event.category, event.type) and "related fields".
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from schoolwacht.domains import split
from schoolwacht.event import ECS_VERSION, KEYWORD_MAX, LIST_MAX, Dataset, Event, clip


class Categories(NamedTuple):
    """``event.kind``, ``event.category`` and ``event.type`` of a dataset."""

    kind: str
    category: tuple[str, ...]
    type: tuple[str, ...]


def _protocol(*category: str) -> Categories:
    return Categories("event", ("network", *category), ("connection", "protocol"))


TAXONOMY: MappingProxyType[Dataset, Categories] = MappingProxyType(
    {
        Dataset.FLOW: Categories("event", ("network",), ("connection",)),
        Dataset.DNS: _protocol(),
        Dataset.TLS: _protocol(),
        Dataset.HTTP: _protocol("web"),
        Dataset.FILE: Categories("event", ("network", "file"), ("info",)),
        Dataset.SSH: _protocol("session"),
        Dataset.SMB: _protocol("file"),
        Dataset.KRB5: _protocol("authentication"),
        Dataset.RDP: _protocol("session"),
        Dataset.DCERPC: _protocol(),
        Dataset.SMTP: _protocol("email"),
        Dataset.FTP: _protocol("file"),
        Dataset.SNMP: _protocol(),
        Dataset.SIP: _protocol(),
        Dataset.RFB: _protocol("session"),
        Dataset.MQTT: _protocol(),
        Dataset.QUIC: _protocol(),
        Dataset.DHCP: _protocol(),
        Dataset.ARP: _protocol(),
        Dataset.ANOMALY: Categories("event", ("network",), ("error",)),
        Dataset.SIGNAL: Categories("alert", ("network", "intrusion_detection"), ("info",)),
        Dataset.SUMMARY: Categories("event", ("network",), ("connection",)),
        Dataset.SIGHTING: Categories("event", ("network",), ("info",)),
        Dataset.EVIDENCE: Categories("event", ("network",), ("info",)),
        Dataset.HEALTH: Categories("metric", ("host",), ("info",)),
    }
)

#: Where the values of a derived field were copied from: an event that has one has it in one of these too.
COPIES: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "client.ip": ("source.ip",),
        "server.ip": ("destination.ip",),
        "server.port": ("destination.port",),
        "related.ip": (
            "source.ip",
            "destination.ip",
            "dns.resolved_ip",
            "nsm.arp.sender_ip",
            "nsm.arp.target_ip",
            "nsm.dhcp.assigned_ip",
        ),
        "related.hosts": (
            "dns.question.name",
            "tls.client.server_name",
            "url.domain",
            "nsm.dhcp.client_hostname",
        ),
        "related.hash": (
            "file.hash.md5",
            "file.hash.sha1",
            "file.hash.sha256",
            "tls.server.hash.sha1",
            "tls.server.hash.sha256",
            "tls.client.ja3",
            "tls.server.ja3s",
            "nsm.tls.ja4",
        ),
    }
)

#: Kinds of sightings, and the field of such a value: a sighting that has it there travels without ``sighting.kind``
#: and ``sighting.value``.
SIGHTED: MappingProxyType[str, str] = MappingProxyType(
    {
        "domain": "dns_question_name",
        "address": "destination_ip",
        "ja3": "tls_client_ja3",
        "ja4": "nsm_tls_ja4",
        "certificate": "tls_server_hash_sha1",
        "user-agent": "user_agent_original",
    }
)

# Here the source is not the client: what they say is of a state or a packet, not of a conversation.
_WITHOUT_CLIENT = frozenset(
    {Dataset.ARP, Dataset.ANOMALY, Dataset.SIGNAL, Dataset.SIGHTING, Dataset.EVIDENCE, Dataset.HEALTH}
)

#: ``event.module`` of sums and sightings: the step of the agent that makes them.
COUNTED_BY = "minimise"

# Lists shared by every event of a dataset: encoders only read them.
_CATEGORY = {dataset: list(entry.category) for dataset, entry in TAXONOMY.items()}
_TYPE = {dataset: list(entry.type) for dataset, entry in TAXONOMY.items()}
_NO_NAMES = (None,) * 4
_NO_HASHES = (None,) * 8


def derive(event: Event) -> None:
    """Fill in what follows from the event, in place. A source states the client as ``source.*``, in every dataset.

    What the agent set itself (``event.type: denied`` of a blocked packet, say) stays.
    """
    dataset = event.event_dataset
    event.ecs_version = ECS_VERSION
    if event.event_kind is None:
        event.event_kind = TAXONOMY[dataset].kind
    if event.event_category is None:
        event.event_category = _CATEGORY[dataset]
    if event.event_type is None:
        event.event_type = _TYPE[dataset]
    event.source_address = event.source_ip
    event.destination_address = event.destination_ip
    if dataset not in _WITHOUT_CLIENT:
        event.client_ip, event.client_port = event.source_ip, event.source_port
        event.server_ip, event.server_port = event.destination_ip, event.destination_port
    if event.dns_question_name is not None:
        event.dns_question_registered_domain, event.dns_question_subdomain = split(event.dns_question_name)
    if dataset is Dataset.SIGHTING:
        _sight(event)
    elif dataset is Dataset.SUMMARY:
        _sum(event)
    event.related_ip = _addresses(event)
    event.related_hosts = _names(event)
    event.related_hash = _hashes(event)


def _sum(event: Event) -> None:
    """Figures of a sum that are as many as others did not travel."""
    if event.event_module is None:
        event.event_module = COUNTED_BY
    if event.source_packets is None:
        # It has no flows: what is left out is none.
        return
    if event.summary_flows is None:
        event.summary_flows = event.summary_events
    if event.summary_failures is None and event.destination_packets is None:
        # No flow had an answer, so each has failed: here nothing left out can mean none.
        event.summary_failures = event.summary_flows


def _sight(event: Event) -> None:
    if event.event_module is None:
        event.event_module = COUNTED_BY
    if event.sighting_value is not None:
        return
    if event.sighting_kind is None:
        event.sighting_kind = next((kind for kind, field in SIGHTED.items() if getattr(event, field) is not None), None)
    field = SIGHTED.get(event.sighting_kind or "")
    value: str | None = None if field is None else getattr(event, field)
    event.sighting_value = None if value is None else clip(value)


# The common case first: most events name two addresses, one name at most and no hash, and this runs for every one.


def _addresses(event: Event) -> list[str] | None:
    source, destination = event.source_ip, event.destination_ip
    if not (event.dns_resolved_ip or event.nsm_arp_sender_ip or event.nsm_arp_target_ip or event.nsm_dhcp_assigned_ip):
        if source is None or destination is None or source == destination:
            one = source if source is not None else destination
            return None if one is None else [one]
        return [source, destination]
    found = dict.fromkeys((source, destination))
    if event.dns_resolved_ip:
        found.update(dict.fromkeys(event.dns_resolved_ip))
    for address in (event.nsm_arp_sender_ip, event.nsm_arp_target_ip, event.nsm_dhcp_assigned_ip):
        if address is not None:
            found[address] = None
    found.pop(None, None)
    return [address for address in found if address is not None][:LIST_MAX] or None


def _names(event: Event) -> list[str] | None:
    names = (
        event.dns_question_name,
        event.tls_client_server_name,
        event.url_domain,
        event.nsm_dhcp_client_hostname,
    )
    if names == _NO_NAMES:
        return None
    return [name for name in dict.fromkeys(names) if name and len(name) <= KEYWORD_MAX] or None


def _hashes(event: Event) -> list[str] | None:
    digests = (
        event.file_hash_md5,
        event.file_hash_sha1,
        event.file_hash_sha256,
        event.tls_server_hash_sha1,
        event.tls_server_hash_sha256,
        event.tls_client_ja3,
        event.tls_server_ja3s,
        event.nsm_tls_ja4,
    )
    if digests == _NO_HASHES:
        return None
    return [digest for digest in dict.fromkeys(digests) if digest] or None
