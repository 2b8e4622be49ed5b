"""One gate before every route of the pack, through a real aiohttp application."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from ensemble_portraits.ensemble.server.access import EDITOR_HEADER, Gate
from ensemble_portraits.ensemble.server.editor.compile import PATH as COMPILE
from ensemble_portraits.ensemble.server.editor.compile import register_compile
from ensemble_portraits.ensemble.server.editor.routes import (
    LORAS_PATH,
    POSES_PATH,
    PROMPT_PATH,
    REFERENCES_PATH,
    STACK_PATH,
    register_editor,
)

KEY = "a-secret-of-the-user"
FETCH = "/ensemble/api/v4/dreambooth/fetch"
PICTURE = "/ensemble/generations/0-00000000-0000-0000-0000-000000000000.png"
FORWARDED = {"X-Forwarded-For": "203.0.113.9"}
# Every route that is not the job API's, with a body that it takes.
ROUTES = {
    COMPILE: {"text": "no=setting"},
    PROMPT_PATH: {"text": "a"},
    STACK_PATH: {"loras": "", "strengths": ""},
    LORAS_PATH: None,
    REFERENCES_PATH: None,
    f"{POSES_PATH}?width=64&height=64": None,
}


def asked(gate: Gate, path: str, headers: dict[str, str] | None = None, **more: Any) -> int:
    """The status of a request; `{own}` in a header is the server's own address."""

    async def once() -> int:
        routes = web.RouteTableDef()
        register_editor(routes, gate)
        register_compile(routes, gate)
        app = web.Application()
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            own = str(client.make_url("")).rstrip("/")
            sent = {name: text.replace("{own}", own) for name, text in (headers or {}).items()}
            body = ROUTES[path]
            if body is None:
                answer = await client.get(path, headers=sent)
            else:
                answer = await client.post(path, json={**body, **more}, headers=sent)
            return answer.status

    return asyncio.run(once())


def let_in(status: int) -> bool:
    return status not in (401, 403)


@pytest.mark.parametrize("path", ROUTES)
def test_with_a_key_every_route_needs_it(path):
    gate = Gate(KEY, local=True)
    assert asked(gate, path) == 401
    assert asked(gate, path, {"X-API-Key": "wrong"}) == 401
    assert asked(gate, path, {"X-Ensemble-Client": "mine"}) == 401
    assert let_in(asked(gate, path, {"X-API-Key": KEY}))
    assert let_in(asked(gate, path, {"X-API-Key": KEY, **FORWARDED}))
    if ROUTES[path] is not None:
        assert asked(gate, path, key="wrong") == 401
        assert let_in(asked(gate, path, key=KEY))


@pytest.mark.parametrize("path", ROUTES)
def test_the_editors_own_page_needs_no_key(path):
    gate = Gate(KEY, local=True)
    assert let_in(asked(gate, path, {EDITOR_HEADER: gate.editor}))
    assert let_in(asked(gate, path, {EDITOR_HEADER: gate.editor, "Origin": "{own}"}))
    assert asked(gate, path, {"Origin": "https://evil.example"}) == 403
    assert asked(gate, path, {"Referer": "https://evil.example/{own}"}) == 401


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("host", [{}, {"Host": "myhost:8188"}])
def test_what_anybody_can_write_is_no_key(path, host):
    gate = Gate(KEY, local=True)
    own = f"http://{host.get('Host', '')}" if host else "{own}"
    for header in ({"Origin": own}, {"Referer": f"{own}/"}, {EDITOR_HEADER: "guessed"}):
        assert asked(gate, path, {**host, **header}) == 401, header


@pytest.mark.parametrize("path", ROUTES)
def test_through_a_proxy_an_origin_proves_nothing(path):
    gate = Gate(KEY, local=True)
    assert asked(gate, path, {"Origin": "{own}", **FORWARDED}) == 401
    assert let_in(asked(gate, path, {EDITOR_HEADER: gate.editor, **FORWARDED}))


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP"])
def test_a_keyless_api_answers_nothing_through_a_proxy(path, name):
    assert asked(Gate(local=True), path, {name: "203.0.113.9"}) == 403
    assert let_in(asked(Gate(local=True), path))


@pytest.mark.parametrize("path", ROUTES)
def test_without_the_api_the_editor_works_behind_a_proxy(path):
    assert let_in(asked(Gate(), path, {"Origin": "{own}", **FORWARDED}))
    assert asked(Gate(), path, {"Origin": "https://evil.example"}) == 403


@pytest.mark.parametrize("path", [FETCH, PICTURE])
def test_a_keyless_job_api_answers_nothing_through_a_proxy(talk, path):
    async def scenario(client, _):
        for headers, expected in ((FORWARDED, 403), ({}, 404 if path == PICTURE else 200)):
            if path == PICTURE:
                answer = await client.get(path, headers=headers)
            else:
                answer = await client.post(path, json={"key": "", "request_id": 5}, headers=headers)
            assert answer.status == expected

    talk(scenario)


@pytest.mark.parametrize(
    ("headers", "head", "most"),
    [
        ({"X-API-Key": "wrong"}, {}, 4),  # what was on its way already
        ({}, {}, 4),
        ({}, {"key": "wrong"}, 4),
        ({}, {"prompt": json.dumps({"key": KEY})}, 4),  # words of a prompt are no field
        ({}, {"key": KEY}, 21),
    ],
)
def test_a_long_body_is_not_read_before_its_key(talk, headers, head, most):
    sent = []

    async def pieces():
        yield json.dumps(head).encode()[:-1] + (b", " if head else b"") + b'"pad": "'
        for _ in range(20):
            sent.append(1)
            yield b" " * 10**6
            await asyncio.sleep(0.01)
        yield b'"}'

    async def scenario(client, _):
        kind = {"Content-Type": "application/json"}
        try:
            async with client.post(FETCH, data=pieces(), headers=kind | headers) as answer:
                assert (answer.status == 401) == (head.get("key") != KEY)
        except (ConnectionError, asyncio.TimeoutError, OSError):
            assert head.get("key") != KEY  # closed while we still sent: refused too
        assert len(sent) <= most or head.get("key") == KEY

    talk(scenario, key=KEY)
