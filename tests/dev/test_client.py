"""The client against servers that end early, answer something else, or say what is not its own."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web

from dev.client import Client, refusal_text

Talk = Callable[[web.WebSocketResponse], "asyncio.Future"]


@pytest.fixture
def serve() -> Iterator[Callable[[Talk | None], Client]]:
    """Starts a ComfyUI that takes every prompt as `mine` and whose /ws does as it is told (None: there
    is no /ws)."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    runners = []

    def on_the_loop(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    def start(talk: Talk | None) -> Client:
        async def events(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            while not posted.is_set():
                await asyncio.sleep(0.01)
            await talk(socket)
            return socket

        async def prompt(_: web.Request) -> web.Response:
            posted.set()
            return web.json_response({"prompt_id": "mine"})

        async def history(_: web.Request) -> web.Response:
            return web.json_response({"mine": {"outputs": {"9": {}}}})

        async def listen() -> str:
            app = web.Application()
            app.router.add_post("/prompt", prompt)
            app.router.add_get("/history/mine", history)
            if talk:
                app.router.add_get("/ws", events)
            runner = web.AppRunner(app)
            runners.append(runner)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return site._server.sockets[0].getsockname()[1]

        posted = threading.Event()
        return Client(f"http://127.0.0.1:{on_the_loop(listen())}", timeout=30)

    yield start
    for runner in runners:
        on_the_loop(runner.cleanup())
    loop.call_soon_threadsafe(loop.stop)


def event(kind: str, prompt: str = "mine", **data: object) -> str:
    return json.dumps({"type": kind, "data": {"prompt_id": prompt, **data}})


def test_a_run_is_followed_and_what_is_not_its_own_is_passed_over(serve):
    async def talk(socket):
        await socket.send_bytes(b"a preview")
        await socket.send_str(json.dumps({"type": "status", "data": {}}))
        await socket.send_str(event("executing", "another's", node=None))
        await socket.send_str(event("execution_cached", nodes=["1"]))
        await socket.send_str(event("executing", node="2", padding="x" * 5_000_000))
        await socket.send_str(event("progress", node="2", value=1, max=4))
        await socket.send_str(event("execution_success"))
        await socket.send_str(event("executing", node=None))

    steps = []
    run = serve(talk).run({}, lambda *step: steps.append(step))
    assert (run.status, run.cached, run.executed) == ("success", ["1"], ["2"])
    assert steps == [("2", 1, 4)]
    assert run.outputs == {"9": {}}


@pytest.mark.parametrize("politely", [True, False])
def test_an_ended_connection_is_an_error_not_a_hang(serve, politely):
    async def talk(socket):
        if politely:
            await socket.close()
        else:
            socket._req.transport.abort()

    with pytest.raises(ConnectionError):
        serve(talk).run({})


def test_no_websocket_there(serve):
    with pytest.raises(ConnectionError, match="404"):
        serve(None).run({})


def test_nobody_there():
    with pytest.raises(ConnectionError):
        Client("http://127.0.0.1:9").get_json("/system_stats")


def test_a_refusal_names_class_and_reason():
    answer = {
        "error": {"message": "Prompt outputs failed validation"},
        "node_errors": {
            "3": {
                "class_type": "LoadImage",
                "errors": [{"message": "Custom validation failed", "details": "image - no file"}],
            }
        },
    }
    text = refusal_text(answer)
    assert text.splitlines()[1] == "LoadImage: Custom validation failed: image - no file"
