"""Several machines, as raylets of this one; one of them dies."""

import os
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.address import Address, settings
from ensemble_portraits.ensemble.cluster.pool import RayPool, connect, disconnect

from .conftest import Yard, about, setup, stub_graph, when

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux alone"),
]
FAST = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and two nodes with a GPU each; this process is connected."""
    # They stay afterwards: Ray reads them once in a process, and `connect` refuses a Ray that was
    # loaded without what it wants.
    os.environ.update(FAST)
    os.environ.update(settings(Address("127.0.0.1"), os.environ, Path.home()))
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**node, "num_gpus": 1})
    try:
        for _ in range(2):
            made.add_node(**node, num_gpus=1)
        host, port = made.address.split(":")
        connect(Address(host, int(port)))
        yield made
    finally:
        disconnect()
        made.shutdown()


def test_a_node_that_dies(yard: Yard, cluster: Any):
    pool = RayPool(setup(), 2)
    yard.fill([stub_graph(n=n, seconds=0.3) for n in range(60)])
    homes = {}
    for worker in pool.workers():
        about(pool, worker)
        state = pool._ray._private.state.actors(pool._actors[worker]._actor_id.hex())
        homes[worker] = state["Address"]["NodeID"]
    # The head, which is never the one that dies here, has at most one of the two workers.
    first = next(
        node for node in cluster.list_all_nodes()
        if node.node_id in homes.values() and not node.is_head()
    )  # fmt: skip
    done = yard.out / "records"
    times: dict[str, float] = {}

    def kill() -> None:
        times["killed"] = time.monotonic()
        cluster.remove_node(first, allow_graceful=False)

    when(lambda: len(list(done.glob("*.json"))) >= 6, kill)
    farm = yard.run(pool)
    assert farm.tally.done == 60
    assert farm.tally.deaths >= 1
    yard.check_once(60)
    pool.close()
