"""A collector tells Prometheus what it does, and nothing about anybody."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import aiohttp
import msgspec
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schoolwacht.event import Dataset
from schoolwacht.wire import encode_batch, encode_event
from schoolwacht_collector import metrics
from schoolwacht_collector.app import running
from schoolwacht_collector.config import MetricsSettings, local
from schoolwacht_collector.index.memory import MemoryStore
from tests.schoolwacht_collector.serving import EPOCH, flow, post, serving

HOST, NAME = "10.77.66.55", "planted-name.example"


def figures(text: str) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_collector_shows_what_it_took(tmp_path: Path) -> None:
    port = _free_port()
    settings = msgspec.structs.replace(local(tmp_path), metrics=MetricsSettings(listen=f"127.0.0.1:{port}"))
    async with (
        running(settings, init=True),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        found = figures(await answer.text())
    assert found["schoolwacht_collector_indicators"] == 0
    assert found["schoolwacht_collector_items_total|retry"] == 0
    assert found["schoolwacht_collector_events_total|flow"] == 0


async def test_batches_items_and_events_are_counted(tmp_path: Path) -> None:
    async with serving(MemoryStore(), tmp_path) as served:
        key = await served.enrolled()
        good = encode_event(flow(source_ip=HOST, tls_client_server_name=NAME))
        bad = msgspec.msgpack.encode(msgspec.msgpack.decode(good) | {"source.ip": NAME})
        frame = encode_batch(EPOCH, range(2), [good, bad])
        await post(served.url, key, frame, items=2)
        await post(served.url, key, frame, items=2)
        await post(served.url, "gateway-1.wrong", frame, items=2)
        text = generate_latest(served.metrics.registry).decode()
    found = figures(text)
    assert found["schoolwacht_collector_batches_total|200"] == 2
    assert found["schoolwacht_collector_batches_total|401"] == 1
    assert found["schoolwacht_collector_batch_bytes_total"] == 2 * len(frame)
    assert found["schoolwacht_collector_items_total|delivered"] == 2
    assert found["schoolwacht_collector_items_total|rejected"] == 2
    assert found["schoolwacht_collector_events_total|flow"] == 1
    assert found["schoolwacht_collector_batch_seconds_count"] == 3
    for planted in (HOST, NAME, "gateway-1", "00AB00", "12345"):
        assert planted not in text


def test_every_label_is_of_a_closed_set() -> None:
    labels = {label for kind in metrics.METRICS.values() for label in kind.labels}
    assert labels <= {"status", "verdict", "dataset"}
    found = figures(generate_latest(metrics.make().registry).decode())
    assert {f"schoolwacht_collector_events_total|{dataset.value}" for dataset in Dataset} <= found.keys()


def test_every_name_follows_the_convention_and_is_described_once() -> None:
    names = [name for name, *_ in metrics.described()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"schoolwacht_collector_[a-z_]+", name) for name in names)
    assert all(text.endswith(".") for *_, text in metrics.described())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
