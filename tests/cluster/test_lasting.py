"""Workers that outlive their driver, as the API's do."""

import sys
from importlib.util import find_spec
from typing import Any

import pytest
from ensemble_portraits.ensemble.cluster.address import Address
from ensemble_portraits.ensemble.cluster.events import Answer, Ready
from ensemble_portraits.ensemble.cluster.lasting import owner_of
from ensemble_portraits.ensemble.cluster.pool import RayPool, connect, disconnect

from .conftest import about, setup, stub_graph

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters on Linux alone"),
]
ID = "6f1c1f0e-8a55-5a0b-9a53-6c0b5d1f3c77"


def task(**does: Any) -> dict[str, Any]:
    return {
        "prompt_id": ID, "prefix": "farm/k", "kind": "graph", "seed": 1, "pictures": {},
        "spec": {"graph": stub_graph(**does)},
    }  # fmt: skip


def news(pool: RayPool, kind: type) -> Any:
    while True:
        for event in pool.events(0.1):
            if isinstance(event, kind):
                return event


def again(cluster: Any) -> None:
    """What a driver that ends and comes back is to Ray."""
    disconnect()
    host, port = cluster.address.split(":")
    connect(Address(host, int(port)))


def test_a_later_driver_takes_over_the_worker_and_what_it_rendered(cluster: Any, tmp_path):
    owner = owner_of(tmp_path)
    pool = RayPool(setup(), 1, name=owner)
    child = about(pool, "gpu-1")["child"]
    pool.send("gpu-1", "k", task(n=1, seconds=2.0))
    pool.close()
    again(cluster)

    pool = RayPool(setup(), 1, name=owner)
    assert pool.held() == {"gpu-1": ID}
    assert isinstance(news(pool, Ready), Ready)
    # This graph would fail: what comes is the picture of the one that ran meanwhile.
    pool.send("gpu-1", "k", task(does="fail"))
    assert news(pool, Answer).answer["files"]
    assert about(pool, "gpu-1")["child"] == child
    pool.close()
    again(cluster)

    # With other arguments it is another worker, and the old one gives its GPU back.
    pool = RayPool(setup("--lowvram"), 3, name=owner)
    assert pool.held() == {}
    assert {news(pool, Ready).worker for _ in range(3)} == {"gpu-1", "gpu-2", "gpu-3"}
    assert about(pool, "gpu-1")["child"] != child
    for worker in pool.workers():
        pool.set_aside(worker)
    pool.close()
