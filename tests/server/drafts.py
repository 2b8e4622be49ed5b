"""Small real jobs: core nodes that paint one colour and save it."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from ensemble_portraits.ensemble.server.jobs import new_ticket
from ensemble_portraits.ensemble.server.journal import Job, State


def graph(prefix: str, *, color: int = 255, pictures: int = 1) -> dict[str, Any]:
    paint = {"width": 16, "height": 16, "batch_size": pictures, "color": color}
    save = {"images": ["paint", 0], "filename_prefix": prefix}
    return {
        "paint": {"class_type": "EmptyImage", "inputs": paint},
        "save": {"class_type": "SaveImage", "inputs": save},
    }


def job(*, color: int = 255, pictures: int = 1, **fields: Any) -> Job:
    ticket = new_ticket()
    made = Job(
        id=ticket.id,
        prompt_id=ticket.prompt_id,
        kind="text2img",
        graph=graph(ticket.prefix, color=color, pictures=pictures),
        pictures=pictures,
        work=256.0,
        prefix=ticket.prefix,
        answer={"meta": {}, "warnings": [], "track_id": None, "base": "http://here"},
        created=time.time(),
    )
    return replace(made, **fields)


async def ended(desk, number: int) -> Job:
    """The job when it has an outcome."""
    for _ in range(200):  # 20 seconds: a worker that died must not hang the tests
        found = await desk.find(number)
        assert found is not None
        if found.state is not State.WAITING:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("no outcome")
