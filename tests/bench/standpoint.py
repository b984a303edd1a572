"""Standpoint: nanoseconds an event with 20,000 prefixes of 10,000 schools, against 10 prefixes in the same run.

``python -m tests.bench.standpoint [--events N]``. *Warm* events come from addresses that schools use all day; *cold*
events have two addresses never seen before each, as of a scan. The mapping's prefixes are /24 to /29 and /48; the small
one has ten that cover the same addresses. Beside it: what a gateway with four zones costs, and the bare direction.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from schoolwacht.event import Dataset, Event
from schoolwacht_agent.direction import Homes
from schoolwacht_agent.standpoint.follow import Mapping
from schoolwacht_agent.standpoint.gateway import Gateway
from schoolwacht_agent.standpoint.ndc import NdcPath
from schoolwacht_agent.standpoint.settings import ZoneKind, ZoneTable

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
HOSTS = 5_000
BATCH = 500
COVERING = [
    "100.0.0.0/9,,00AA00,", "2001:db8::/32,,00AA00,", *(f"192.0.2.0/{length},,00AA00," for length in range(24, 32))
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="how many events of each sort")
    number = parser.parse_args().events
    with tempfile.TemporaryDirectory() as directory:
        big, small = Path(directory, "big.csv"), Path(directory, "small.csv")
        lines = mapping(20_000)
        big.write_text("network,vlan,school,zone\n" + "\n".join(lines))
        few = COVERING
        small.write_text("network,vlan,school,zone\n" + "\n".join(few))
        homes = Homes()
        began = time.process_time()
        large = NdcPath(homes, Mapping(big))
        print(f"load    {large.figures()['mapping.lines']:,} lines in {time.process_time() - began:.2f} s")
        tiny = NdcPath(homes, Mapping(small))
    zones = [
        ZoneTable(name=f"zone-{n}", kind=ZoneKind.PUPIL, networks=(f"10.{n}.0.0/16",), vlans=(n,)) for n in range(1, 5)
    ]
    gateway = Gateway(homes, zones)
    for name, hosts in (("warm", HOSTS), ("cold", None)):
        events = traffic(number, [line.partition(",")[0] for line in lines], hosts)
        floor = timed(gateway_only(homes), events)
        zoned = timed(gateway.place, events)
        ten = timed(lambda part: tiny.settle(tiny.place(part)), events)
        many = timed(lambda part: large.settle(large.place(part)), events)
        print(f"{name}    direction {floor:.0f} ns, gateway with 4 zones {zoned:.0f} ns, 10 prefixes {ten:.0f} ns,")
        print(f"        20,000 prefixes {many:.0f} ns an event: {many / ten:.2f} × ten of them")


def mapping(count: int) -> list[str]:
    chance = random.Random(count)
    lines = []
    for number in range(count):
        school = f"{number // 200 % 100:02d}{chr(65 + number // 20 % 26)}{chr(65 + number // 2 % 26)}{number % 2:02d}"
        if number % 10 == 9:
            lines.append(f"2001:db8:{number:x}::/48,,{school},")
        else:
            length = 24 + chance.randrange(6)
            lines.append(f"{IPv4Address((100 << 24) + (number << 8))}/{length},,{school},")
    return lines


def traffic(number: int, networks: list[str], hosts: int | None) -> list[Event]:
    chance = random.Random(number)

    def inside() -> str:
        base, _, _ = chance.choice(networks).partition("/")
        if ":" in base:
            return str(IPv6Address(int(IPv6Address(base)) + chance.getrandbits(16)))
        return str(IPv4Address(int(IPv4Address(base)) + chance.randrange(8)))

    homes = [inside() for _ in range(hosts)] if hosts is not None else []
    others = [str(IPv4Address(chance.getrandbits(32))) for _ in range(hosts)] if hosts is not None else []
    events = []
    for _ in range(number):
        one = chance.choice(homes) if homes else inside()
        other = chance.choice(others) if others else str(IPv4Address(chance.getrandbits(32)))
        if chance.random() < 0.2:
            one, other = other, one
        events.append(Event(NOW, Dataset.FLOW, source_ip=one, destination_ip=other, network_bytes=1000))
    return events


def gateway_only(homes: Homes) -> Callable[[list[Event]], list[Event]]:
    return Gateway(homes).place


def timed(act: Callable[[list[Event]], object], events: list[Event]) -> float:
    """Nanoseconds an event."""
    began = time.process_time()
    for start in range(0, len(events), BATCH):
        act(events[start : start + BATCH])
    return (time.process_time() - began) / len(events) * 1e9


if __name__ == "__main__":
    main()
