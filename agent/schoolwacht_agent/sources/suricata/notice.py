"""Mappings of what the engine itself concludes: alerts, anomalies, and its figures. See ``eve.py``."""

from __future__ import annotations

from typing import Any

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.sources.suricata.envelope import (
    address,
    begin,
    count,
    detail,
    prose,
    protocol,
    word,
    words,
)
from schoolwacht_agent.sources.suricata.local import put_mail, put_smb
from schoolwacht_agent.sources.suricata.record import Alert, Dns, Eve, Stats
from schoolwacht_agent.sources.suricata.traffic import put_dns, put_file, put_http, put_tls

RULESET = "suricata"
# Bound, because before Python 3.12 each look at a member of an enum is a call.
_ANOMALY, _SIGNAL = Dataset.ANOMALY, Dataset.SIGNAL
#: What the figures of an engine are called in ``health.condition``.
STATS_CONDITION = "suricata"

#: Metadata key of a rule → field of the event. ids stay ids, names names; ET Open and our own rules use these keys.
_METADATA = (
    ("mitre_technique_id", "threat_technique_id", False),
    ("mitre_technique_name", "threat_technique_name", True),
    ("mitre_tactic_id", "threat_tactic_id", False),
    ("mitre_tactic_name", "threat_tactic_name", True),
)


def alert(eve: Eve) -> Event | None:
    """A signal: the rule that hit, what it says of the threat, and what it hit on.

    The source is the client of the flow, whichever direction the packet had: by ``flow.src_ip`` (Suricata 7 and 8),
    else by ``direction``. The packet's own direction stays in ``nsm.detail`` as ``alert.direction``.
    """
    record = eve.alert
    if record is None:
        return None
    event = begin(eve, _SIGNAL, protocol(eve.app_proto), turned=_is_turned(eve))
    event.rule_id = str(record.signature_id)
    event.rule_name = event.message = word(record.signature)
    event.rule_category = word(record.category)
    event.rule_ruleset = RULESET
    event.rule_version = str(record.rev) if record.rev else None
    event.rule_reference = word(record.references[0]) if record.references else None
    event.event_severity = count(record.severity)
    event.event_action = word(record.action)
    event.event_type = ["denied"] if record.action == "blocked" else ["allowed"]
    _put_metadata(event, record)
    _put_context(event, eve)
    return event


def _is_turned(eve: Eve) -> bool:
    flow = eve.flow
    if flow is not None and flow.src_ip is not None:
        client = (address(flow.src_ip), flow.src_port)
        source, destination = address(eve.src_ip), address(eve.dest_ip)
        if client[0] == destination != source:
            return True
        return client[0] == destination and client[1] == eve.dest_port != eve.src_port
    return eve.direction == "to_client"


def _put_metadata(event: Event, record: Alert) -> None:
    metadata = record.metadata or {}

    def values(key: str) -> list[str]:
        value = metadata.get(key, [])
        return [value] if isinstance(value, str) else value

    for key, name, is_name in _METADATA:
        found = words(value.replace("_", " ") if is_name else value for value in values(key))
        if found is not None:
            setattr(event, name, found)
    for key, name in (("signature_severity", "signal_severity"), ("confidence", "signal_confidence")):
        if found := values(key):
            setattr(event, name, word(found[0].capitalize()))
    if found := values("detection"):
        event.signal_detection = word(found[0].upper())


def _put_context(event: Event, eve: Eve) -> None:
    """What the rule hit on, in the fields that a record of that protocol has."""
    if eve.dns is not None:
        asked, answered = _dns_of_alert(eve.dns)
        if asked is not None:
            put_dns(event, asked, answers=answered)
    if eve.tls is not None:
        put_tls(event, eve.tls)
    if eve.http is not None:
        put_http(event, eve.http)
    if eve.smb is not None:
        put_smb(event, eve.smb)
    if eve.smtp is not None or eve.email is not None:
        put_mail(event, eve.smtp, eve.email)
    if eve.files:
        put_file(event, eve.files[0])
    known = event.nsm_detail or {}
    event.nsm_detail = {**known, **(detail({"alert.direction": eve.direction}) or {})} or None


def _dns_of_alert(record: Dns) -> tuple[Dns | None, bool]:
    """The message an alert is about: Suricata 8 writes it as in a record, 6 and 7 under ``query`` or ``answer``."""
    if record.queries is not None or record.rrname is not None:
        return record, record.type in {"answer", "response"}
    if record.answer is not None:
        return record.answer, True
    if record.query:
        first = record.query[0]
        return Dns(type="query", id=first.id, rrname=first.rrname, rrtype=first.rrtype), False
    return None, False


def anomaly(eve: Eve) -> Event | None:
    """Something that should not be on a network. About a packet: its source is the packet's."""
    record = eve.anomaly
    if record is None:
        return None
    event = begin(eve, _ANOMALY, protocol(record.app_proto or eve.app_proto))
    event.nsm_anomaly_type = word(record.type)
    event.nsm_anomaly_event = word(record.event)
    event.nsm_detail = detail({"anomaly.layer": record.layer, "anomaly.code": record.code})
    return event


def stats(eve: Eve) -> Event | None:
    """The engine's figures as health: totals since the engine started."""
    record = eve.stats
    if record is None:
        return None
    event = begin(eve, Dataset.HEALTH)
    event.health_condition = STATS_CONDITION
    event.health_packets = count(packets(record))
    event.health_dropped = count(drops(record))
    event.health_invalid = count(_leaf(record.decoder, "invalid"))
    event.health_uptime_seconds = count(record.uptime)
    memory = [
        _leaf(record.flow, "memuse"), _leaf(record.tcp, "memuse"), _leaf(record.tcp, "reassembly_memuse"),
        _leaf(record.http, "memuse"), _leaf(record.ftp, "memuse"),
    ]  # fmt: skip
    event.health_memory_bytes = count(sum(memory))
    missed = {
        "flow": _leaf(record.flow, "memcap"),
        "tcp_session": _leaf(record.tcp, "ssn_memcap_drop"),
        "tcp_segment": _leaf(record.tcp, "segment_memcap_drop"),
        "http": _leaf(record.http, "memcap"),
        "ftp": _leaf(record.ftp, "memcap"),
    }
    event.health_evicted = count(sum(missed.values()))
    figures = {f"suricata.memcap.{name}": value for name, value in missed.items()}
    figures |= {"suricata.gaps": gaps(record), "suricata.rules_failed": rules(record)[1]}
    event.nsm_detail = prose_of({name: value for name, value in figures.items() if value})
    return event


def prose_of(figures: dict[str, int]) -> dict[str, str] | None:
    """Figures as text for the flattened field; None if there are none."""
    return {name: prose(str(value)) or "" for name, value in figures.items()} or None


def packets(record: Stats) -> int:
    """Packets that came to the engine, dropped ones included."""
    return max(_leaf(record.capture, "kernel_packets"), _leaf(record.decoder, "pkts"))


def sessions(record: Stats) -> int:
    """TCP connections."""
    return _leaf(record.tcp, "sessions")


def gaps(record: Stats) -> int:
    """Gaps in TCP connections: something was sent that the engine never saw."""
    return _leaf(record.tcp, "reassembly_gap")


def rules(record: Stats) -> tuple[int, int]:
    """Signatures that are loaded, and that could not be."""
    engines = (record.detect or {}).get("engines")
    found = [one for one in engines if isinstance(one, dict)] if isinstance(engines, list) else []
    return sum(_leaf(one, "rules_loaded") for one in found), sum(_leaf(one, "rules_failed") for one in found)


def octets(record: Stats) -> int:
    """Bytes of the packets that were taken apart."""
    return _leaf(record.decoder, "bytes")


def drops(record: Stats) -> int:
    """Packets that the kernel or the ring dropped before the engine saw them."""
    return _leaf(record.capture, "kernel_drops")


def _leaf(tree: dict[str, Any] | None, name: str) -> int:
    value = tree.get(name) if tree else None
    return value if isinstance(value, int) and value >= 0 else 0
