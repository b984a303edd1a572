"""What a collector measures of itself, in the text format of Prometheus (version 0.0.4).

Every metric stands in :data:`METRICS` or :data:`STATES`; docs/metrics.md is made from them. Promise: no address, name
or text from the network gets into a label: labels are words of closed sets. A scrape reads figures that are there; it
asks the store for nothing. Limits: the figures of one process, since its start; :class:`Sums` adds those of several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from schoolwacht.event import Dataset
from schoolwacht.wire import Verdict

PREFIX = "schoolwacht_collector_"
_VERSION = version("schoolwacht")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Described(NamedTuple):
    """A metric's kind, what it says, and its labels."""

    kind: type[MetricWrapperBase]
    text: str
    labels: tuple[str, ...] = ()


#: What is counted where it happens.
METRICS: Mapping[str, Described] = MappingProxyType(
    {
        "batches": Described(Counter, "Batches by the HTTP status of their answer.", ("status",)),
        "batch_bytes": Described(Counter, "Bytes of the batches that were taken, compressed."),
        "batch_seconds": Described(Histogram, "Seconds from a batch's head to its answer, whatever the answer."),
        "items": Described(Counter, "Items of batches by their verdict.", ("verdict",)),
        "events": Described(Counter, "Events and signals that were stored for the first time.", ("dataset",)),
        "unsignalled_hits": Described(Counter, "Hits of indicators beyond the signals that a batch may have."),
    }
)
#: What is read when it is asked for; each is a gauge.
STATES: Mapping[str, str] = MappingProxyType(
    {
        "flight_bytes": "Bytes of batches that are held now.",
        "waiting_events": "Decoded events that hold room on their way to the store now.",
        "dead_letters": "Rejected items that were kept.",
        "dead_letters_dropped": "Rejected items that were not kept, because the day's file was full.",
        "indicators": "Indicators that are matched.",
        "rules": "Sigma rules that are matched.",
        "rules_removed": "Sigma rules that were taken out, because they failed or were too slow.",
        "rules_faulty": "Rule files that cannot be used.",
        "leader": "1 if this collector leads.",
        "jobs_failing": "Jobs that wait to be started again after a fault.",
    }
)


@dataclass(slots=True)
class Metrics:
    """The metrics of one collector."""

    registry: CollectorRegistry
    batches: Counter
    batch_bytes: Counter
    batch_seconds: Histogram
    items: Mapping[Verdict, Counter]
    events: Mapping[Dataset, Counter]
    unsignalled_hits: Counter


def make() -> Metrics:
    """All metrics at nothing; each label that can occur is there from the start."""
    registry = CollectorRegistry(auto_describe=True)
    Info(PREFIX.rstrip("_"), "The version of this collector.", registry=registry).info({"version": _VERSION})
    counters: dict[str, Counter] = {}
    for name, (kind, text, labels) in METRICS.items():
        if kind is Counter:
            counters[name] = Counter(PREFIX + name, text, labels, registry=registry)
    return Metrics(
        registry,
        counters["batches"],
        counters["batch_bytes"],
        Histogram(f"{PREFIX}batch_seconds", METRICS["batch_seconds"].text, buckets=_SECONDS, registry=registry),
        {verdict: counters["items"].labels(verdict.name.lower()) for verdict in Verdict},
        {dataset: counters["events"].labels(dataset.value) for dataset in Dataset},
        counters["unsignalled_hits"],
    )


def watch(metrics: Metrics, states: Mapping[str, Callable[[], float]]) -> None:
    """Read each of :data:`STATES` by its function when it is asked for."""
    assert states.keys() == STATES.keys()
    for name, read in states.items():
        Gauge(PREFIX + name, STATES[name], registry=metrics.registry).set_function(read)


#: Gauges that say the same in every worker, or of one of them: their sum would say nothing.
LARGEST = frozenset({"indicators", "leader", "info"})


class Sums(Collector):
    """The metrics of several workers as those of one.

    Counters and histograms add up, of workers that ended too; gauges are those of the workers that run.
    """

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, text: str, *, ended: bool = False) -> None:
        """Add what a worker says (of one that ``ended`` what it said last)."""
        for family in text_string_to_metric_families(text):
            if family.name.endswith("_created") or (ended and family.type not in {"counter", "histogram"}):
                continue
            known = self._families.get(family.name)
            if known is None:
                known = self._families[family.name] = Metric(family.name, family.documentation, family.type)
            there = {(sample.name, *sorted(sample.labels.items())): sample for sample in known.samples}
            largest = family.name.removeprefix(PREFIX) in LARGEST
            for sample in family.samples:
                key = (sample.name, *sorted(sample.labels.items()))
                before = there.get(key)
                if before is not None:
                    value = max(before.value, sample.value) if largest else before.value + sample.value
                    sample = sample._replace(value=value)  # noqa: PLW2901 - the sum takes its place
                there[key] = sample
            known.samples = list(there.values())

    def copy(self) -> Sums:
        """Sums of their own."""
        made = Sums()
        made.add(self.text().decode())
        return made

    def text(self) -> bytes:
        """As Prometheus reads them."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """For the registry of :mod:`prometheus_client`."""
        return list(self._families.values())


def application(metrics: Metrics) -> web.Application:
    """Serves ``/metrics``."""

    async def show(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    served = web.Application()
    served.router.add_get("/metrics", show)
    return served


def described() -> Iterable[tuple[str, str, str, str]]:
    """Name, type, labels and text of every metric, for docs/metrics.md."""
    yield f"{PREFIX.rstrip('_')}_info", "info", "version", "The version of this collector."
    for name, (kind, text, labels) in METRICS.items():
        ending = "_total" if kind is Counter else ""
        yield f"{PREFIX}{name}{ending}", kind.__name__.lower(), ", ".join(labels), text
    for name, text in STATES.items():
        yield f"{PREFIX}{name}", "gauge", "", text
