"""Several machines, as raylets of this one; one of them dies."""

import sys
import time
from importlib.util import find_spec
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.pool import RayPool

from .conftest import Yard, about, setup, stub_graph, when

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux alone"),
]


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
