"""Webhook calls to real servers on the loopback interface, good and bad ones."""

import asyncio
import socket
import threading
import time

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from aiohttp.test_utils import TestServer
from ensemble_portraits.ensemble.server.api.job import Outcome, WebhookState
from ensemble_portraits.ensemble.server.api.outside import PublicResolver
from ensemble_portraits.ensemble.server.api.store import JobStore, webhook_host
from ensemble_portraits.ensemble.server.api.webhooks import WebhookSender

from tests.server.drafts import job

LISTED = frozenset({"hooks.example", "other.example:9000", "127.0.0.1"})


class Answers(AbstractResolver):
    """A name server that says the next thing at each question."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=0):
        self.asked += 1
        addresses = self.answers[min(self.asked, len(self.answers)) - 1]
        fixed = {"port": port, "family": 2, "proto": 0, "flags": 0}
        return [{"hostname": host, "host": each, **fixed} for each in addresses]

    async def close(self):
        pass


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("fe80::1%eth0",)])
def test_a_name_that_leads_inside_is_not_resolved(addresses):
    with pytest.raises(OSError, match="private address"):
        asyncio.run(PublicResolver(Answers(addresses)).resolve("hooks.example", 80))


async def target(handler):
    """A server that answers with `handler` and notes what it was sent."""
    app, seen = web.Application(), []

    async def handle(request):
        seen.append(await request.json() if request.method == "POST" else request.method)
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", handle)
    started = TestServer(app)
    await started.start_server()
    return started, seen


async def deliver(sender, store, ready, seconds=10.0):
    """Let the sender work until `ready()`."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "the sender did not get there"
        await sender.deliver_due()
        await asyncio.sleep(0.02)
    await sender.close()


def due(store, url):
    """A job that has ended and whose call is due."""
    added, _ = store.add(job(webhook=url, hook=WebhookState.WAITING), 100)
    record = {"filename": "a.png", "subfolder": "", "type": "output"}
    store.finish(added.prompt_id, Outcome((record,)), time.time())
    return added


@pytest.fixture
def store(tmp_path):
    opened = JobStore(tmp_path / "api.sqlite3")
    yield opened
    opened.close()


def sender_of(store, delays=(0.05, 0.05), timeout=0.4, hosts=LISTED, resolver=None):
    return WebhookSender(
        store,
        hosts,
        lambda each: {"id": each.id},
        delays=delays,
        timeout=timeout,
        resolver=resolver,
    )


def run_target(store, handler, hook, **options):
    """Deliver to a target until the call stands at `hook`: what the target saw, and the job."""

    async def main():
        server, seen = await target(handler)
        made = due(store, str(server.make_url("/done")))
        sender = sender_of(store, **options)
        await deliver(sender, store, lambda: store.by_id(made.id).hook is hook)
        await server.close()
        return seen, store.by_id(made.id)

    return asyncio.run(main())


async def fine(_):
    return web.Response(status=204)


async def broken(_):
    return web.Response(status=500, text="x" * 10**6)


async def hanging(_):
    await asyncio.sleep(3)
    return web.Response()


def test_a_call_is_made_once(store):
    seen, made = run_target(store, fine, WebhookState.SENT)
    assert seen == [{"id": made.id}]
    assert made.hook_tries == 1


def test_proxies_of_the_environment_are_not_used(store, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    seen, _ = run_target(store, fine, WebhookState.SENT, delays=())
    assert len(seen) == 1


def test_a_target_that_answers_500_is_tried_again_and_given_up(store):
    seen, made = run_target(store, broken, WebhookState.GIVEN_UP)
    assert seen == [{"id": made.id}] * 3
    assert made.outputs  # the picture is still there


def test_a_target_that_comes_back_gets_its_call(store):
    answers = iter([broken, fine])
    seen, made = run_target(store, lambda request: next(answers)(request), WebhookState.SENT)
    assert len(seen) == made.hook_tries == 2


def test_a_redirect_is_not_followed(store):
    inside = []

    async def main():
        private, hits = await target(fine)

        async def away(_):
            raise web.HTTPTemporaryRedirect(str(private.make_url("/secret")))

        server, seen = await target(away)
        made = due(store, str(server.make_url("/")))
        sender = sender_of(store, delays=())
        await deliver(sender, store, lambda: store.by_id(made.id).hook is WebhookState.GIVEN_UP)
        inside.extend([len(seen), len(hits)])
        await server.close()
        await private.close()

    asyncio.run(main())
    assert inside == [1, 0]


def test_a_hanging_target_does_not_hold_up_the_others(store):
    async def main():
        slow, _ = await target(hanging)
        quick, seen = await target(fine)
        stuck = [due(store, str(slow.make_url("/"))) for _ in range(50)]
        others = [due(store, str(quick.make_url("/"))) for _ in range(3)]
        sender = sender_of(store, delays=(60.0,), timeout=20.0)
        await deliver(sender, store, lambda: len(seen) == len(others), seconds=15.0)
        assert all(store.by_id(each.id).hook_tries == 0 for each in stuck)
        await slow.close()
        await quick.close()

    asyncio.run(main())


def test_many_receivers_that_hang_do_not_hold_up_another(store):
    async def main():
        hanging_ones = [(await target(hanging))[0] for _ in range(12)]
        quick, seen = await target(fine)
        for each in hanging_ones:
            for _ in range(3):
                due(store, str(each.make_url("/")))
        other = due(store, str(quick.make_url("/")))
        sender = sender_of(store, delays=(60.0,), timeout=20.0)
        await deliver(sender, store, lambda: seen, seconds=8.0)
        assert other
        for each in (*hanging_ones, quick):
            await each.close()

    asyncio.run(main())


def test_one_host_in_two_spellings_is_one_host(store):
    spellings = ("http://Hooks.Example/a", "http://hooks.example:80/b", "http://hooks.example/c")
    assert len({webhook_host(job(webhook=url)) for url in spellings}) == 1
    assert webhook_host(job(webhook="https://hooks.example:80/")) == "hooks.example:80"


def test_name_servers_that_hang_do_not_hold_up_the_rest_of_the_process(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])

    async def main():
        names = [
            asyncio.create_task(PublicResolver().resolve(f"h{n}.example", 80)) for n in range(32)
        ]
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await asyncio.to_thread(time.time)  # as the store's work is done
        assert time.monotonic() - started < 5
        release.set()
        await asyncio.gather(*names)

    asyncio.run(main())


def test_a_body_with_pictures_is_made_on_a_thread(store):
    threads = []

    async def main():
        server, seen = await target(fine)
        due(store, str(server.make_url("/")))
        sender = sender_of(store)
        made = sender.body
        sender.body = lambda job: threads.append(threading.current_thread()) or made(job)
        await deliver(sender, store, lambda: seen)
        await server.close()

    asyncio.run(main())
    assert threads[0] is not threading.main_thread()


def test_tries_wait_between(store):
    at = []

    async def note(_):
        at.append(time.monotonic())
        return web.Response(status=503)

    run_target(store, note, WebhookState.GIVEN_UP, delays=(0.2, 0.5))
    assert at[1] - at[0] >= 0.2
    assert at[2] - at[1] >= 0.5


@pytest.mark.parametrize(
    "answers",
    [
        [("127.0.0.1",)],
        [("192.88.99.1", "127.0.0.1")],
        # Public when checked, private a moment later: the checked address is the one called.
        [("192.88.99.1",), ("127.0.0.1",)],
    ],
    ids=["private", "mixed", "rebinding"],
)
def test_a_name_cannot_lead_to_this_machine(store, answers):
    async def main():
        server, seen = await target(fine)
        made = due(store, f"http://hooks.example:{server.port}/")
        resolver = Answers(*answers)
        sender = sender_of(store, delays=(), resolver=resolver)
        await deliver(sender, store, lambda: store.by_id(made.id).hook is WebhookState.GIVEN_UP)
        await server.close()
        assert (seen, resolver.asked) == ([], 1)

    asyncio.run(main())


def test_a_host_taken_off_the_list_is_not_called(store):
    async def main():
        server, seen = await target(fine)
        made = due(store, str(server.make_url("/")))
        sender = sender_of(store, delays=(), hosts=frozenset())
        await deliver(sender, store, lambda: store.by_id(made.id).hook is WebhookState.GIVEN_UP)
        await server.close()
        assert seen == []

    asyncio.run(main())


def test_a_call_that_was_due_is_made_after_a_restart(tmp_path):
    path = tmp_path / "api.sqlite3"
    first = JobStore(path)
    made = due(first, "http://127.0.0.1:1/")
    first.close()
    again = JobStore(path)
    assert [each.id for each in again.due_hooks(time.time(), 5)] == [made.id]
    again.close()
