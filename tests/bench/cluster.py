"""The elected master of three Elasticsearch nodes is killed while our store writes: is what was acknowledged there?

    python -m tests.bench.cluster [--documents 116500]

Real nodes with replicas, SIGKILL after a third. Every event that was acknowledged must be found, and nothing twice;
ends with status 1 otherwise. Prints how long no event was acknowledged, and how many had to be sent again.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from tests.bench.stores import traffic
from tests.cluster import Cluster, cluster, write_through
from tests.schoolwacht_collector.index import stores


async def run(documents: int) -> bool:
    """Start, write, kill, count."""
    async with cluster() as nodes:
        return await survive(nodes, documents)


async def survive(nodes: Cluster, documents: int) -> bool:
    """Write ``documents`` events, kill the master after a third, and compare."""
    killed: list[str] = []
    async with stores.elasticsearch(nodes.urls[0], "survive", init=True, replicas=1, urls=nodes.urls) as store:
        master = await nodes.master()

        def kill() -> None:
            nodes.kill(master)
            killed.append(master.name)

        events = traffic(documents)
        written = await write_through(store, events, lanes=4, at=documents // 3, then=kill)
        await nodes.whole(len(nodes.nodes))
        await stores.settle(store)
        there = stores.ids(await stores.found(store, limit=5000))
    lost = len(written.acknowledged - set(there))
    doubled = len(there) - len(set(there))
    print(
        f"{documents:,} documents, master {killed[0]} killed: acknowledged {len(written.acknowledged):,}, stored"
        f" {len(set(there)):,}, missing {lost}, doubled {doubled}; sent again {written.retries:,}, of which"
        f" {written.there:,} were there; longest time without an acknowledgement {written.longest:.1f} s"
    )
    return not lost and not doubled and len(there) == documents


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=116_500)
    sys.exit(0 if asyncio.run(run(parser.parse_args().documents)) else 1)


if __name__ == "__main__":
    main()
