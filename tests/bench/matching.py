"""What matching costs an event: Sigma rules beside indicators, and rules of other datasets.

    python -m tests.bench.matching [CAPTURE] [--indicators 100000]

Over the events of a capture, best of five rounds: indicators alone; with the project's own rules, and with copies of
them that need other values, up to 100; and with 20 to 200 rules of a dataset that does not occur, which should cost
nothing. The peer, in the same run: the same rules one by one, each a function of its own. Goal: 6 µs an event for 100
rules and 100,000 indicators together.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sigma.types import SigmaNumber

from schoolwacht.event import Dataset, Event
from schoolwacht.match import IndicatorSet
from schoolwacht_agent.config import EngineName
from schoolwacht_collector.rules.compile import single
from schoolwacht_collector.rules.read import files, read
from schoolwacht_collector.rules.ruleset import RuleSet
from schoolwacht_collector.rules.shipped import shipped_rules
from schoolwacht_collector.rules.sigma import And, SigmaMatcher, Test, matchers
from tests.bench.traffic import events_of, indicators

CAPTURE = Path(__file__).resolve().parents[1] / "captures" / "web-and-dns.pcap"
_FEWEST = 20_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("capture", type=Path, nargs="?", default=CAPTURE)
    parser.add_argument("--engine", type=EngineName, default=EngineName.SURICATA)
    parser.add_argument("--indicators", type=int, default=100_000)
    options = parser.parse_args()
    found = events_of(options.capture, options.engine, at_most=_FEWEST)
    events = [*found] * max(1, _FEWEST // max(1, len(found)))
    own = matchers(read(files([shipped_rules() / "sigma"]))[0])[0]
    known = IndicatorSet.build(indicators(options.indicators))
    print(f"{len(found)} events of {options.capture.name}, repeated to {len(events)}; {len(own)} own rules")
    alone = timed(f"{options.indicators} indicators", events, known.match)
    hundred = RuleSet(many(own, 100))
    rules = timed("100 Sigma rules", events, hundred.match)
    print(f"  {'together':34} {alone + rules:6.2f} µs/event, goal 6")
    singles = [(each.datasets, single(each.tree)) for each in many(own, 100)]
    peer = timed(
        "100 rules one by one (peer)",
        events,
        lambda event: [fits for datasets, fits in singles if event.event_dataset in datasets and fits(event)],
    )
    print(f"  {'ratio to one by one':34} {rules / peer:6.2f}")
    for number in (20, 200):
        elsewhere = RuleSet([replace(each, datasets=(Dataset.MQTT,)) for each in many(own, number)])
        timed(f"{number} rules of another dataset", events, elsewhere.match)


def many(own: list[SigmaMatcher], number: int) -> list[SigmaMatcher]:
    """That many rules: the project's own, then copies that each need a port of their own besides."""
    made = list(own)
    while len(made) < number:
        place = len(made)
        base = own[place % len(own)]
        port = Test("port", "destination.port", (SigmaNumber(20_000 + place),))
        made.append(replace(base, rule=replace(base.rule, name=f"S{place}"), tree=And((base.tree, port))))
    return made[:number]


def timed(name: str, events: list[Event], work: Callable[[Event], object]) -> float:
    """Microseconds an event, best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for event in events:
            work(event)
        best = min(best, time.perf_counter() - began)
    cost = best / len(events) * 1e6
    print(f"  {name:34} {cost:6.2f} µs/event")
    return cost


if __name__ == "__main__":
    main()
