"""The editor's routes through a real aiohttp application."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ensemble_portraits.ensemble.server.access import Gate
from ensemble_portraits.ensemble.server.editor import routes as editor


def call(method: str, path: str, **options: Any) -> tuple[int, Any]:
    async def once() -> tuple[int, Any]:
        routes = web.RouteTableDef()
        editor.register_editor(routes, Gate())
        app = web.Application()
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            answer = await client.request(method, path, **options)
            return answer.status, await answer.json()

    return asyncio.run(once())


def read(**body: str) -> dict[str, Any]:
    status, answer = call("POST", editor.PROMPT_PATH, json=body)
    assert status == 200, answer
    return answer
