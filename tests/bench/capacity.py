"""How much a store must hold and do: from a few figures to a number of machines. The tables of docs/capacity.md.

    python -m tests.bench.capacity                                     the tables, with the inputs as they stand here
    python -m tests.bench.capacity --schools 400 --flows_device 900    with others

Every input says whether it was measured (and where) or assumed; everything else follows from them by arithmetic.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

_DAY_HOURS = 8


class Level(StrEnum):
    """How much detail agents send (docs/privacy.md)."""

    ALERTS = "alerts"
    SUMMARY = "summary"
    FULL = "full"


class Input(NamedTuple):
    """A figure that the rest follows from; ``source`` begins with "measured" or "assumed"."""

    value: float
    unit: str
    source: str


INPUTS: Mapping[str, Input] = {
    "schools": Input(10_000, "schools", "assumed: locations with an agent"),
    "devices": Input(250, "devices a school", "assumed: that are used on a school day"),
    "flows_device": Input(1_500, "flows a device and day", "assumed; not measured at a school"),
    "peak": Input(2.0, "times the mean of the school day", "assumed: the busiest minutes of its eight hours"),
    "full_flow": Input(2.36, "records a flow", "measured: mix of 890 captures, own reader (7,110 to 3,011 flows)"),
    "sums_flow": Input(0.55, "sums a flow", "measured: same; a worst case (docs/privacy.md)"),
    "sightings_flow": Input(0.47, "sightings a flow", "measured: same; a worst case (at a school names come back)"),
    "signals_flow": Input(0.0027, "signals a flow", "measured: same; the captures are of attacks, a school has fewer"),
    "bytes_elastic": Input(430, "bytes an event", "measured: 5,005,000 events in Elasticsearch, one copy, compressed"),
    "bytes_sqlite": Input(1_530, "bytes an event", "measured: the same events in SQLite, indexes included"),
    "collector_cpu": Input(35, "CPU µs an event", "measured 32 to 35: tests.bench.endtoend, indicators on"),
    "elastic_cpu": Input(58, "CPU µs an event and copy", "measured 47 to 58; assumed: a second costs the same"),
    "busy": Input(0.5, "of a core used at the peak", "assumed: the rest is for searches, merges and a lost machine"),
    "copies": Input(2, "copies of each event", "assumed: replicas = 1"),
    "free": Input(0.7, "of a disk used", "assumed: Elasticsearch stops to fill a disk at 0.85"),
    "shard_gb": Input(40, "GB a shard", "assumed: the vendor's advice is 10 to 50"),
    "node_cores": Input(16, "cores a data node", "assumed"),
    "node_tb": Input(16, "TB of disk a data node", "assumed"),
    "sqlite_rows": Input(5_000_000, "events in a file", "measured: written and searched at this size; one a day"),
    "sqlite_rate": Input(22_000, "events/s", "measured: SQLite, one file, at five million rows"),
    "days_records": Input(14, "days", "retention.events_days"),
    "days_summaries": Input(90, "days", "retention.summaries_days and signals_days"),
}  # fmt: skip


class Need(NamedTuple):
    """What one level of detail needs, for all schools together."""

    events_school: float
    peak: float
    gb_day: float
    tb_kept: float
    tb_ninety: float
    shards_day: int
    shards_kept: int
    collector_cores: float
    nodes: int
    nodes_by: str
    sqlite_schools: int


def need(level: Level, inputs: Mapping[str, float]) -> Need:
    """The whole model."""
    flows = inputs["devices"] * inputs["flows_device"]
    long = inputs["sightings_flow"] + inputs["signals_flow"] + (0 if level is Level.ALERTS else inputs["sums_flow"])
    short = inputs["full_flow"] if level is Level.FULL else 0.0
    if level is Level.FULL:  # a record of each flow takes the place of the sums
        long -= inputs["sums_flow"]
    day = flows * (short + long)
    peak = inputs["schools"] * day * inputs["peak"] / (_DAY_HOURS * 3600)
    gigabytes = inputs["schools"] * inputs["bytes_elastic"] * flows / 1e9
    kept = gigabytes * (short * inputs["days_records"] + long * inputs["days_summaries"])
    disk = kept * inputs["copies"] / inputs["free"] / 1000
    collectors = peak * inputs["collector_cpu"] / 1e6 / inputs["busy"]
    cores = peak * inputs["elastic_cpu"] * inputs["copies"] / 1e6 / inputs["busy"]
    shards_day = _shards(gigabytes * short, 8, inputs) + _shards(gigabytes * long, 3, inputs)
    shards_kept = (
        _shards(gigabytes * short, 8, inputs) * inputs["days_records"]
        + _shards(gigabytes * long, 3, inputs) * (inputs["days_summaries"])
    )
    bounds = {
        "disk": math.ceil(disk / inputs["node_tb"]),
        "cores": math.ceil(cores / inputs["node_cores"]),
        "shards": math.ceil(shards_kept * inputs["copies"] / 800),
        "three to elect a master": 3,
    }
    by = max(bounds, key=lambda name: bounds[name])
    share = min(inputs["sqlite_rate"] * inputs["busy"] / (peak / inputs["schools"]), inputs["sqlite_rows"] / day)
    return Need(
        events_school=day,
        peak=peak,
        gb_day=gigabytes * (short + long),
        tb_kept=kept * inputs["copies"] / 1000,
        tb_ninety=gigabytes * (short + long) * 90 * inputs["copies"] / 1000,
        shards_day=shards_day,
        shards_kept=int(shards_kept * inputs["copies"]),
        collector_cores=collectors,
        nodes=bounds[by],
        nodes_by=by,
        sqlite_schools=int(share),
    )


def _shards(gigabytes: float, datasets: int, inputs: Mapping[str, float]) -> int:
    """Primary shards a day: one a dataset at least, and none larger than it should be."""
    return 0 if not gigabytes else max(datasets, math.ceil(gigabytes / inputs["shard_gb"]))


def inputs_table(inputs: Mapping[str, float] | None = None) -> str:
    """The inputs as a Markdown table."""
    values = inputs or {name: item.value for name, item in INPUTS.items()}
    rows = ["| input | value | unit | where from |", "|---|---|---|---|"]
    rows += [f"| `{name}` | {values[name]:,g} | {item.unit} | {item.source} |" for name, item in INPUTS.items()]
    return "\n".join(rows) + "\n"


def needs_table(inputs: Mapping[str, float] | None = None) -> str:
    """What each level needs, as a Markdown table."""
    values = inputs or {name: item.value for name, item in INPUTS.items()}
    found = {level: need(level, values) for level in Level}
    lines: list[tuple[str, Callable[[Need], str]]] = [
        ("events a school and day", lambda one: f"{one.events_school:,.0f}"),
        ("events/s at the peak, all schools", lambda one: f"{one.peak:,.0f}"),
        ("GB a day, one copy", lambda one: f"{one.gb_day:,.0f}"),
        ("TB kept, all copies, retention as above", lambda one: f"{one.tb_kept:,.1f}"),
        ("TB if everything were kept 90 days", lambda one: f"{one.tb_ninety:,.1f}"),
        ("primary shards a day", lambda one: f"{one.shards_day:,}"),
        ("shards in the cluster, all copies", lambda one: f"{one.shards_kept:,}"),
        ("cores for collectors", lambda one: f"{one.collector_cores:,.0f}"),
        ("data nodes", lambda one: f"{one.nodes:,} (because of {one.nodes_by})"),
        ("schools on one machine with SQLite, as far as measured", lambda one: f"{one.sqlite_schools:,}"),
    ]
    rows = [f"| {values['schools']:,.0f} schools | {' | '.join(Level)} |", "|---|" + "---|" * len(Level)]
    rows += [f"| {name} | {' | '.join(show(found[level]) for level in Level)} |" for name, show in lines]
    return "\n".join(rows) + "\n"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, item in INPUTS.items():
        parser.add_argument(
            f"--{name}", type=float, default=item.value, metavar="N", help=f"{item.unit} ({item.value:g})"
        )
    values: dict[str, float] = vars(parser.parse_args())
    print(inputs_table(values))
    print(needs_table(values))


if __name__ == "__main__":
    main()
