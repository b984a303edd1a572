"""Events as an engine would make them, for the detectors' tests: only what a test states differs from the ordinary."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from schoolwacht.event import Dataset, Direction, Event
from schoolwacht_agent.behave import BehaveSettings, Behaviour

MORNING = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
ANSWERED, REFUSED, SILENT = ("1b", "1b", 5), ("02", "14", 1), ("02", None, 0)


def flow(
    at: float,
    source: str = "10.21.0.23",
    destination: str = "203.0.113.20",
    port: int | None = 443,
    *,
    reply: tuple[str, str | None, int] = ANSWERED,
    seconds: float = 1.0,
    protocol: str | None = None,
    direction: Direction = Direction.OUTBOUND,
    transport: str = "tcp",
    conversation: str | None = None,
    source_port: int = 50000,
) -> Event:
    """A flow that began ``at`` seconds after nine in the morning."""
    start = MORNING + timedelta(seconds=at)
    source_flags, destination_flags, packets = reply
    return Event(
        timestamp=start + timedelta(seconds=seconds),
        event_dataset=Dataset.FLOW,
        event_start=start,
        event_duration=int(seconds * 1e9),
        source_ip=source,
        source_port=source_port,
        destination_ip=destination,
        destination_port=port,
        source_bytes=900,
        source_packets=6,
        destination_bytes=packets * 300,
        destination_packets=packets,
        network_transport=transport,
        network_protocol=protocol,
        network_direction=direction,
        network_community_id=conversation,
        nsm_flow_source_tcp_flags=source_flags if transport == "tcp" else None,
        nsm_flow_destination_tcp_flags=destination_flags if transport == "tcp" else None,
    )


def query(at: float, name: str, kind: str = "A", client: str = "10.21.0.23", resolver: str = "198.51.100.53") -> Event:
    """A DNS query."""
    return Event(
        timestamp=MORNING + timedelta(seconds=at),
        event_dataset=Dataset.DNS,
        source_ip=client,
        destination_ip=resolver,
        destination_port=53,
        dns_type="query",
        dns_question_name=name,
        dns_question_type=kind,
    )


def signals(events: Iterable[Event]) -> list[Event]:
    """The signals that the detectors, with their defaults, make of these events."""
    judged = Behaviour(BehaveSettings()).judge(list(events))
    return [event for event in judged if event.event_dataset is Dataset.SIGNAL]


def found(events: Iterable[Event]) -> list[str | None]:
    """The rules of those signals."""
    return [signal.rule_id for signal in signals(events)]
