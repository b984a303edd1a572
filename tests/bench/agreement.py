"""How far our packet engine agrees with Suricata on a capture, and where it does not.

    python -m tests.bench.agreement CAPTURE [--differences N]

Both engines read the same file; flows are paired by their ends and start. Agreement is told of the flows that both
report (bytes and packets both ways, Community ID), and of names that both must see: DNS questions, TLS server names,
JA3. Of Community IDs it is told as the agent reports them and, beside it, as Suricata wrote them; where those two
differ, the reference implementation (communityid on PyPI) is asked who is right.
docs/engines.md explains the differences.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path

from communityid import CommunityID, FlowTuple

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.sources.packets import PacketsSource
from schoolwacht_agent.sources.port import Counters, Source
from schoolwacht_agent.sources.suricata.decode import DECODE_ERRORS, decode_fast
from schoolwacht_agent.sources.suricata.eve import MAPPINGS, Reader
from schoolwacht_agent.sources.transports import NUMBERS
from tests.bench.eve import play


def events_of(source: Source) -> list[Event]:
    """Everything that a source tells of a file."""
    return [event for events in source.read() for event in events]


def of_suricata(capture: Path) -> tuple[list[Event], dict[Hashable, str | None]]:
    """Everything that the Suricata engine tells of a file, and its flows' Community IDs as Suricata wrote them."""
    events: list[Event] = []
    raw: dict[Hashable, str | None] = {}
    for line in play(capture):
        try:
            record = decode_fast(line)
        except DECODE_ERRORS:
            events += Reader(Counters(), own_engine=True, health=False).events([line])
            continue
        mapping = MAPPINGS.get(record.event_type)
        event = mapping(record) if mapping is not None and record.stats is None else None
        if event is not None:
            events.append(event)
            if event.event_dataset is Dataset.FLOW:
                raw[_identity(event)] = record.community_id
    return events, raw


def pair_flows(ours: list[Event], theirs: list[Event]) -> tuple[list[tuple[Event, Event]], list[Event], list[Event]]:
    """Flows of both by their two ends and their start: pairs, and what only one side has."""
    left, right = ({_identity(event): event for event in side if event.event_dataset is Dataset.FLOW}
                   for side in (ours, theirs))  # fmt: skip
    pairs = [(left[key], right[key]) for key in left if key in right]
    return pairs, [left[key] for key in left if key not in right], [right[key] for key in right if key not in left]


def ends(event: Event) -> Hashable:
    """The two ends, whichever is the client."""
    return event.network_transport, frozenset(
        ((event.source_ip, event.source_port), (event.destination_ip, event.destination_port))
    )


def _identity(event: Event) -> Hashable:
    # The VLAN keeps apart what has the same addresses in several networks.
    return ends(event), event.event_start, event.network_vlan_id


def _sizes(event: Event) -> tuple[int | None, ...]:
    return (event.source_bytes, event.source_packets, event.destination_bytes, event.destination_packets)


def difference(ours: Event, theirs: Event) -> str | None:
    """The class of a difference between what two flows count of each end; None if they agree."""
    mine = _sizes(ours) if _same_client(ours, theirs) else _sizes(ours)[2:] + _sizes(ours)[:2]
    if mine == _sizes(theirs):
        return None
    if (ours.network_packets, ours.network_bytes) == (theirs.network_packets, theirs.network_bytes):
        return "packets counted to the other direction"
    if ours.network_packets == theirs.network_packets:
        return "same packets, other bytes"
    return f"we count {'more' if (ours.network_packets or 0) > (theirs.network_packets or 0) else 'fewer'} packets"


def reference_id(event: Event) -> str | None:
    """The Community ID of a flow by the reference implementation."""
    make = {
        "tcp": FlowTuple.make_tcp, "udp": FlowTuple.make_udp, "sctp": FlowTuple.make_sctp,
        "icmp": FlowTuple.make_icmp, "ipv6-icmp": FlowTuple.make_icmp6,
    }.get(event.network_transport or "")  # fmt: skip
    one, other = event.source_port, event.destination_port
    if "icmp" in (event.network_transport or ""):
        one, other = event.nsm_icmp_type, event.nsm_icmp_code
    if make is not None:
        return str(CommunityID().calc(make(event.source_ip, event.destination_ip, one, other)))
    number = NUMBERS.get(event.network_transport or "")
    if number is None:
        return None
    return str(CommunityID().calc(FlowTuple.make_ip(event.source_ip, event.destination_ip, number)))


def _same_client(ours: Event, theirs: Event) -> bool:
    return (ours.source_ip, ours.source_port) == (theirs.source_ip, theirs.source_port)


def share(
    ours: Iterable[Hashable], theirs: Iterable[Hashable]
) -> tuple[int, int, Counter[Hashable], Counter[Hashable]]:
    """Of everything that Suricata tells: how much we tell too, out of how much; what only we and only they tell."""
    left, right = Counter(ours), Counter(theirs)
    return (left & right).total(), right.total(), left - right, right - left


def names(events: list[Event], kind: str) -> list[Hashable]:
    """What is compared of the protocols, by connection."""
    match kind:
        case "DNS questions":
            return [
                (ends(event), event.dns_type, event.dns_id, event.dns_question_name)
                for event in events
                if event.event_dataset is Dataset.DNS
            ]
        case "TLS server names":
            return [
                (ends(event), event.tls_client_server_name)
                for event in events
                if event.event_dataset is Dataset.TLS and event.tls_client_server_name
            ]
        case "JA3":
            return [
                (ends(event), event.tls_client_ja3)
                for event in events
                if event.event_dataset is Dataset.TLS and event.tls_client_ja3
            ]
        case "HTTP/1 requests":
            # Suricata also writes HTTP/2, RTSP and records without a request as HTTP.
            return [
                (ends(event), event.http_request_method, event.url_domain, event.http_response_status_code)
                for event in events
                if event.event_dataset is Dataset.HTTP and (event.http_version or "").startswith(("0", "1"))
            ]
        case _:
            return [
                (ends(event), event.nsm_ssh_client_software, event.nsm_ssh_server_software)
                for event in events
                if event.event_dataset is Dataset.SSH
            ]


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="How far our packet engine agrees with Suricata on a capture.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("--differences", type=int, default=0, metavar="N", help="also print N examples of each class")
    arguments = parser.parse_args()
    ours = events_of(PacketsSource.from_files([arguments.capture]))
    theirs, raw_ids = of_suricata(arguments.capture)
    pairs, only_ours, only_theirs = pair_flows(ours, theirs)
    classes: dict[str, list[tuple[Event, Event]]] = defaultdict(list)
    for one, other in pairs:
        found = difference(one, other)
        if found is not None:
            classes[found].append((one, other))
    same_size = len(pairs) - sum(map(len, classes.values()))
    print(f"flows: {len(pairs)} that both report; bytes and packets both ways of {_of(same_size, pairs)} the same")
    _tell_ids(pairs, raw_ids)
    same_client = sum(_same_client(one, other) for one, other in pairs)
    print(f"  client: {_of(same_client, pairs)} the same")
    for name, examples in sorted(classes.items(), key=lambda entry: -len(entry[1])):
        print(f"  {len(examples):5}  {name}")
        for one, other in examples[: arguments.differences]:
            print(f"         ours   {_line(one)}\n         theirs {_line(other)}")
    for title, only in (("only we report", only_ours), ("only Suricata reports", only_theirs)):
        print(f"  {len(only):5}  {title}: {dict(Counter(event.network_transport for event in only))}")
        for event in only[: arguments.differences * 5]:
            print(f"         {_line(event)}")
    states = Counter((one.nsm_flow_state, other.nsm_flow_state) for one, other in pairs)
    same = sum(count for (one, other), count in states.items() if one == other)
    print(f"flow state: {_of(same, pairs)} the same", {k: v for k, v in states.items() if k[0] != k[1]})
    for kind in ("DNS questions", "TLS server names", "JA3", "HTTP/1 requests", "SSH banners"):
        both, total, more, less = share(names(ours, kind), names(theirs, kind))
        print(f"{kind}: {both} of {total} ({both / max(1, total):.2%}); only ours {more.total()}")
        for label, rest in (("only ours", more), ("only theirs", less)):
            for entry, count in rest.most_common(arguments.differences):
                print(f"         {label} {count} × {entry}")
    print(f"HTTP by version: ours {http_by_version(ours)}, theirs {http_by_version(theirs)}")


def _tell_ids(pairs: list[tuple[Event, Event]], raw_ids: dict[Hashable, str | None]) -> None:
    """Agreement of flows with their Community IDs: as the agent reports them, and as Suricata wrote them."""
    same = [(one, other) for one, other in pairs if difference(one, other) is None]
    as_told = sum(one.network_community_id == other.network_community_id for one, other in same)
    as_written = sum(one.network_community_id == raw_ids[_identity(other)] for one, other in same)
    print(f"  … and the same Community ID, as the agent reports them: {_of(as_told, pairs)}")
    print(f"  … and the same Community ID, as Suricata itself wrote it: {_of(as_written, pairs)}")
    told_apart = [one for one, other in pairs if one.network_community_id != other.network_community_id]
    print(f"  Community ID as reported: {len(told_apart)} differ")
    apart = [(one, raw_ids[_identity(other)]) for one, other in pairs]
    apart = [(one, written) for one, written in apart if one.network_community_id != written]
    wrong = sum(one.network_community_id != reference_id(one) for one, _ in apart)
    others = Counter(one.network_transport for one, _ in apart if one.source_ip != one.destination_ip)
    print(f"  Community ID as Suricata wrote it: {len(apart)} differ, of which ours is not the reference's in {wrong}")
    print(f"    of one address to itself: {len(apart) - others.total()}; others: {dict(others)}")


def http_by_version(events: list[Event]) -> dict[str | None, int]:
    """How many HTTP events there are of each version."""
    return dict(Counter(event.http_version for event in events if event.event_dataset is Dataset.HTTP))


def _of(count: int, pairs: list[tuple[Event, Event]]) -> str:
    return f"{count} ({count / max(1, len(pairs)):.2%})"


def _line(event: Event) -> str:
    return (
        f"{event.network_transport} {event.source_ip}:{event.source_port} → "
        f"{event.destination_ip}:{event.destination_port} vlan {event.network_vlan_id} "
        f"{event.event_start:%H:%M:%S.%f}–{event.event_end:%H:%M:%S.%f} {_sizes(event)} "
        f"{event.nsm_flow_state}/{event.nsm_flow_reason} "
        f"{event.nsm_flow_source_tcp_flags}/{event.nsm_flow_destination_tcp_flags} {event.network_protocol}"
    )


if __name__ == "__main__":
    main()
