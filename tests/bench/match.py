"""Indicator matching: microseconds an event with 100,000 indicators, against bare set look-ups in the same run.

``python -m tests.bench.match [--events N]``. The mix is that of a school: mostly flows and DNS, some TLS and HTTP; one
event in a thousand hits. *Warm* events come from the addresses and names that schools use all day; *cold* ones have
addresses and names never seen before. The floor is one look-up in a set for each of seven fields, by exact text.
"""

from __future__ import annotations

import argparse
import ipaddress
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from schoolwacht.event import Dataset, Event
from schoolwacht.match import IndicatorSet
from schoolwacht_collector.indicators import make_indicator
from schoolwacht_collector.records import Indicator

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="how many events of each sort")
    number = parser.parse_args().events
    rng = random.Random(24)
    indicators = _indicators(rng)
    began = time.process_time()
    built = IndicatorSet.build(indicators, now=NOW)
    print(f"build   {built.size:,} indicators in {time.process_time() - began:.2f} s")
    bad = [one.value for one in indicators if one.type == "address"]
    warm = _events(rng, number, bad, hosts=5000)
    cold = _events(rng, number, bad, hosts=None)
    floor = _timed(_floor(bad), warm)
    first = _timed(built.match, cold)
    again = min(_timed(built.match, warm) for _ in range(3))
    hits = sum(len(built.match(event)) for event in warm)
    print(f"floor   {floor:.2f} µs an event (bare look-ups)")
    print(f"warm    {again:.2f} µs an event, {again / floor:.1f} × the floor ({hits} hits)")
    print(f"cold    {first:.2f} µs an event, {first / floor:.1f} × the floor")


def _timed(act: Callable[[Event], object], events: Sequence[Event]) -> float:
    began = time.process_time()
    for event in events:
        act(event)
    return (time.process_time() - began) / len(events) * 1e6


def _floor(values: Sequence[str]) -> Callable[[Event], object]:
    known = frozenset(values)

    def look(event: Event) -> bool:
        return (
            event.source_ip in known
            or event.destination_ip in known
            or event.dns_question_name in known
            or event.tls_client_server_name in known
            or event.url_domain in known
            or event.tls_client_ja3 in known
            or event.nsm_tls_ja4 in known
        )

    return look


def _indicators(rng: random.Random) -> list[Indicator]:
    values = {_public(rng) for _ in range(50_000)}
    values |= {f"{_public(rng)}/{rng.randint(20, 28)}" for _ in range(5_000)}
    values |= {_domain(rng) for _ in range(40_000)}
    values |= {f"{rng.getrandbits(128):032x}" for _ in range(5_000)}
    return [make_indicator({"value": value}, now=NOW) for value in sorted(values)]


def _events(rng: random.Random, number: int, bad: Sequence[str], hosts: int | None) -> list[Event]:
    addresses = [_public(rng) for _ in range(hosts)] if hosts else []
    names = [f"{_domain(rng)}" for _ in range(hosts)] if hosts else []

    def event() -> Event:
        address = rng.choice(addresses) if hosts else _public(rng)
        name = f"cdn{rng.randint(0, 9)}.{rng.choice(names)}" if hosts else f"{rng.getrandbits(48):x}.{_domain(rng)}"
        if rng.random() < 0.001:
            address = rng.choice(bad)
        made = Event(timestamp=NOW, event_dataset=Dataset.FLOW, source_ip=f"10.{rng.randint(0, 99)}.0.5")
        made.destination_ip = address
        sort = rng.random()
        if sort < 0.3:
            made.event_dataset, made.dns_question_name, made.dns_resolved_ip = Dataset.DNS, name, [address]
        elif sort < 0.45:
            made.event_dataset, made.tls_client_server_name = Dataset.TLS, name
            made.tls_client_ja3, made.nsm_tls_ja4 = (
                "e7d705a3286e19ea42f587b344ee6865",
                "t13d1516h2_8daaf6152771_e5627efa2ab1",
            )
        elif sort < 0.5:
            made.event_dataset, made.url_domain = Dataset.HTTP, name
        return made

    return [event() for _ in range(number)]


def _public(rng: random.Random) -> str:
    return str(ipaddress.IPv4Address(rng.randint(0x14000000, 0x5FFFFFFF)))


def _domain(rng: random.Random) -> str:
    return f"{rng.getrandbits(40):x}.example"


if __name__ == "__main__":
    main()
