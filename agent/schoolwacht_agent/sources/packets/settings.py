"""Settings of the packet engine (``[source.packets]`` of the agent's configuration)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class PacketsSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds and time-outs. The time-outs are Suricata's, so that both engines cut traffic into the same flows."""

    max_flows: Annotated[
        int,
        Meta(
            ge=1_000,
            le=10_000_000,
            description="Flows kept at once; beyond it the least recently active are reported early. "
            "A flow takes about 1 kB.",
        ),
    ] = 50_000
    max_stream_bytes: Annotated[
        int,
        Meta(ge=1 << 16, description="First bytes of connections held at once until they make a whole message, bytes."),
    ] = 16 << 20
    max_fragments_bytes: Annotated[
        int, Meta(ge=1 << 16, description="Fragments of IP packets held at once until they are complete, bytes.")
    ] = 4 << 20
    tcp_new_seconds: Annotated[
        Seconds, Meta(description="Silence that ends a TCP flow before its handshake is done.")
    ] = 60
    tcp_established_seconds: Annotated[Seconds, Meta(description="Silence that ends an open TCP flow.")] = 600
    tcp_closed_seconds: Annotated[
        Seconds, Meta(description="How long a closed TCP flow waits for late packets before it is reported.")
    ] = 60
    other_new_seconds: Annotated[
        Seconds, Meta(description="Silence that ends a flow of UDP, ICMP or another protocol that had no answer yet.")
    ] = 30
    other_established_seconds: Annotated[
        Seconds, Meta(description="Silence that ends a flow of UDP, ICMP or another protocol that was answered.")
    ] = 300
    longest_flow_seconds: Annotated[
        float,
        Meta(ge=0, description="Longest flow: one that goes on longer is reported and begun anew; 0 for no bound."),
    ] = 3600
    ring_mib: Annotated[
        int, Meta(ge=1, le=4096, description="Size of the receive ring shared with the kernel, MiB.")
    ] = 32
    promiscuous: Annotated[
        bool, Meta(description="Receive frames for other stations too (needed at a mirror port).")
    ] = True
    own_packets: Annotated[bool, Meta(description="Also capture what this machine sends on the interface.")] = True
    rare_per_second: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000,
            description="Packets of rare protocols and encapsulations taken apart by scapy in a second; the rest is "
            "counted only. 0 leaves scapy out.",
        ),
    ] = 20
