"""Three real Elasticsearch nodes on loopback, to be killed one by one; and writing through our store meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import elasticsearch

from schoolwacht.event import Event
from schoolwacht.wire import Verdict
from schoolwacht_collector.index.port import Store
from tests.parts import ROOT, missing

SCRIPT = ROOT / "deploy" / "dev" / "elasticsearch.sh"
NODES = 3
#: Bytes of memory that must be free for the nodes, at a heap of 512 MiB each.
NEEDS = 3 << 30
#: Seconds in which three nodes find each other, also on a machine with other work.
_TOGETHER = 240.0


class Node(NamedTuple):
    """A node by its ports."""

    port: int
    transport: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        return f"dev-{self.transport}"


class Cluster:
    """Three nodes; ``nodes`` holds those that were not killed."""

    def __init__(self, directory: Path, nodes: list[Node]) -> None:
        self.nodes = list(nodes)
        self.urls = tuple(node.url for node in nodes)
        self._directory = directory
        self._all = nodes

    def start(self) -> None:
        """Start all at the same time: each waits for the others."""
        started = [self._run("start", node, wait=False) for node in self._all]
        for process in started:
            if process.wait(_TOGETHER) != 0:
                missing(f"no cluster: {process.stdout.read().strip()[-500:] if process.stdout else ''}")

    async def master(self) -> Node:
        """The elected master, asked of any node."""
        async with elasticsearch.AsyncElasticsearch(list(self.urls), max_retries=NODES) as client:
            name = str(await client.cat.master(h="node")).strip()
        return next(node for node in self.nodes if node.name == name)

    async def whole(self, nodes: int = NODES) -> None:
        """Wait until the cluster has so many nodes, and a copy of every primary where that is possible."""
        until = time.monotonic() + _TOGETHER
        async with elasticsearch.AsyncElasticsearch([node.url for node in self.nodes], max_retries=NODES) as client:
            while True:
                try:
                    state = await client.cluster.health(
                        wait_for_nodes=str(nodes), wait_for_status="yellow", timeout="10s", master_timeout="10s"
                    )
                    if not state["timed_out"]:
                        return
                except (elasticsearch.ApiError, elasticsearch.TransportError):
                    await asyncio.sleep(0.5)
                if time.monotonic() > until:
                    raise TimeoutError(f"the cluster did not come to have {nodes} nodes")

    def kill(self, node: Node) -> None:
        """As the power cut of one machine: SIGKILL."""
        os.kill(self._pid(node), signal.SIGKILL)
        self.nodes.remove(node)

    def stop(self) -> None:
        """Stop what still runs, and take all data away."""
        for node in self._all:
            for command in ("stop", "wipe"):
                self._run(command, node, wait=True)

    def _pid(self, node: Node) -> int:
        process = self._run("status", node, wait=True)
        assert process.stdout is not None
        return int(process.stdout.read().split()[1])

    def _run(self, command: str, node: Node, *, wait: bool) -> subprocess.Popen[str]:
        environment = os.environ | {
            "ES_PORT": str(node.port),
            "ES_TRANSPORT_PORT": str(node.transport),
            "ES_CLUSTER": " ".join(str(each.transport) for each in self._all),
            "ES_HEAP": "512m",
        }
        process = subprocess.Popen(
            [SCRIPT, command, self._directory],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if wait:
            process.wait(120)
        return process


@asynccontextmanager
async def cluster() -> AsyncIterator[Cluster]:
    """Three nodes that have found each other; skips where there is no room for them."""
    if _available() < NEEDS:
        missing(f"three Elasticsearch nodes need {NEEDS >> 30} GiB of free memory")
    directory = Path(os.environ.get("SCHOOLWACHT_TEST_ELASTICSEARCH_DIR", str(ROOT / ".dev" / "elasticsearch")))
    installed = await asyncio.to_thread(_install, directory)
    if installed.returncode != 0:
        missing(f"no Elasticsearch: {installed.stderr.strip()[-500:]}")
    ports = list(_free_ports(2 * NODES))
    made = Cluster(directory, [Node(ports[2 * each], ports[2 * each + 1]) for each in range(NODES)])
    try:
        await asyncio.to_thread(made.start)
        await made.whole()
        yield made
    finally:
        await asyncio.to_thread(made.stop)


class Written(NamedTuple):
    """What writing through an outage was like; ``longest``: seconds between two acknowledgements, at most."""

    acknowledged: set[str]
    created: int
    there: int
    retries: int
    longest: float


async def write_through(
    store: Store, batches: Iterator[list[Event]], *, lanes: int, at: int, then: Callable[[], None]
) -> Written:
    """Write batches as agents do, sending again what is to be tried again; at ``at`` stored events call ``then()``."""
    acknowledged: set[str] = set()
    created = there = retries = 0
    longest, last = 0.0, time.monotonic()
    done = False

    async def lane() -> None:
        nonlocal created, there, retries, longest, last, done
        for batch in batches:
            left = batch
            while left:
                outcomes = await store.create(left)
                for event, outcome in zip(left, outcomes, strict=True):
                    if outcome.verdict is Verdict.DELIVERED:
                        acknowledged.add(event.event_id or "")
                        created += outcome.created
                        there += not outcome.created
                assert all(outcome.verdict is not Verdict.REJECTED for outcome in outcomes), outcomes
                kept = [event for event, out in zip(left, outcomes, strict=True) if out.verdict is Verdict.RETRY]
                retries += len(kept)
                if len(kept) < len(left):
                    now = time.monotonic()
                    longest, last = max(longest, now - last), now
                else:
                    await asyncio.sleep(0.2)
                left = kept
                if not done and len(acknowledged) >= at:
                    done = True
                    then()

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return Written(acknowledged, created, there, retries, longest)


def _install(directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, "install", directory], capture_output=True, text=True, check=False)


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def _free_ports(number: int) -> Iterator[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        yield from [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
