"""Small real jobs: core nodes that paint one colour and save it."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from ensemble_portraits.ensemble.server.api.job import Job, State
from ensemble_portraits.ensemble.server.api.jobs import new_ids


def graph(prefix: str, *, color: int = 255, pictures: int = 1) -> dict[str, Any]:
    paint = {"width": 16, "height": 16, "batch_size": pictures, "color": color}
    save = {"images": ["paint", 0], "filename_prefix": prefix}
    return {
        "paint": {"class_type": "EmptyImage", "inputs": paint},
        "save": {"class_type": "SaveImage", "inputs": save},
    }


def job(*, color: int = 255, pictures: int = 1, **fields: Any) -> Job:
    ids = new_ids()
    made = Job(
        id=ids.id,
        prompt_id=ids.prompt_id,
        kind="text2img",
        graph=graph(ids.prefix, color=color, pictures=pictures),
        pictures=pictures,
        work=256.0,
        prefix=ids.prefix,
        answer={"meta": {}, "warnings": [], "track_id": None, "base": "http://here"},
        created=time.time(),
    )
    return replace(made, **fields)


async def ended(service, number: int) -> Job:
    """The job when it has an outcome."""
    for _ in range(200):  # 20 seconds: a worker that died must not hang the tests
        found = await service.find(number)
        assert found is not None
        if found.state is not State.WAITING:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("no outcome")
