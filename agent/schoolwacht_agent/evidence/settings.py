"""``[evidence]`` of agent.toml: which packets are kept around a signal, and what of them may leave."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct


class Severity(StrEnum):
    """How grave a signal must be (signature severity, as in ``signal.severity``)."""

    CRITICAL = "Critical"
    MAJOR = "Major"
    MINOR = "Minor"
    INFORMATIONAL = "Informational"


class Medium(StrEnum):
    """Where recent packets are held."""

    #: In the capturing process; gone when it ends.
    MEMORY = "memory"
    #: In files below the state directory.
    DISK = "disk"


class EvidenceTable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[evidence]``: the packets around a grave signal."""

    enabled: Annotated[
        bool, Meta(description="Hold on to recent packets and keep those of a grave signal as evidence.")
    ] = True
    severity: Annotated[Severity, Meta(description="Signals of this severity and above get evidence.")] = Severity.MAJOR
    recent: Annotated[
        Medium, Meta(description="Where the packets engine holds recent packets; on disk they outlive a restart.")
    ] = Medium.MEMORY
    recent_mib: Annotated[
        int, Meta(ge=2, le=1 << 20, description="Size of the recent packets, MiB; the oldest make room.")
    ] = 32
    recent_hours: Annotated[
        int, Meta(ge=1, le=24 * 31, description="Age in hours at which recent packets are forgotten in any case.")
    ] = 24
    flow_packets: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Packets held of each direction of a flow, from its start."),
    ] = 24
    before_seconds: Annotated[
        int, Meta(ge=1, le=86_400, description="How far before a signal its packets are looked for, seconds.")
    ] = 300
    after_seconds: Annotated[
        float, Meta(ge=0, le=60, description="How long after a signal its packets are still awaited, seconds.")
    ] = 2.0
    packets: Annotated[int, Meta(ge=1, le=1000, description="Packets in one piece of evidence at most.")] = 64
    packets_kib: Annotated[
        int, Meta(ge=4, le=128, description="Size of the packets in one piece of evidence at most, KiB.")
    ] = 96
    tree_kib: Annotated[
        int, Meta(ge=4, le=64, description="Size of the decoded and minimised packets that are sent at most, KiB.")
    ] = 40
    per_hour: Annotated[
        int, Meta(ge=1, le=10_000, description="Pieces of evidence taken in an hour at most; more signals go without.")
    ] = 60
    again_minutes: Annotated[
        int, Meta(ge=0, le=24 * 60, description="How long the same rule and ends get no evidence anew, minutes.")
    ] = 60
    store_mib: Annotated[
        int, Meta(ge=1, le=1 << 20, description="Size of the kept evidence, MiB; the oldest makes room.")
    ] = 256
    store_days: Annotated[int, Meta(ge=1, le=3660, description="Age in days at which kept evidence is erased.")] = 90
    pcap_leaves: Annotated[
        bool, Meta(description="Send the packets themselves with the signal, in the clear: the board must allow it.")
    ] = False
    tshark: Annotated[str, Meta(min_length=1, description="Program that decodes packets, a name or a path.")] = "tshark"
    dissect_seconds: Annotated[
        int, Meta(ge=1, le=300, description="Seconds after which a decoding is ended and its packets quarantined.")
    ] = 10
    dissect_mib: Annotated[int, Meta(ge=224, le=4096, description="Memory of the decoding program, MiB.")] = 256
