"""Pictures by address, from real servers on the loopback interface."""

import asyncio
import io
import threading
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from ensemble_portraits.ensemble.server.api.fetching import PictureFetcher
from ensemble_portraits.ensemble.server.api.pictures import PictureError
from PIL import Image

from tests.server.test_webhooks import Answers

HERE = frozenset({"127.0.0.1"})


def png(color="red"):
    written = io.BytesIO()
    Image.new("RGB", (20, 10), color).save(written, "PNG")
    return written.getvalue()


async def picture(request):
    return web.Response(body=png(), content_type="image/png")


async def page(request):
    return web.Response(text="<html>", content_type="text/html")


async def large(request):
    answer = web.StreamResponse(headers={"Content-Type": "image/png"})
    await answer.prepare(request)
    for _ in range(100):
        await answer.write(b" " * 100_000)
    return answer


async def slow(request):
    await asyncio.sleep(5)


async def moved(request):
    raise web.HTTPFound(request.query["to"])


async def late(request):
    await asyncio.sleep(0.3)
    left = int(request.query["left"])
    if not left:
        return web.Response(body=png(), content_type="image/png")
    raise web.HTTPFound(f"/late?left={left - 1}")


async def again(_):
    raise web.HTTPFound("/again")


@pytest.fixture
def host():
    """The address of a server on a thread of its own."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    app = web.Application()
    for each in (picture, page, large, slow, moved, late, again):
        app.router.add_get(f"/{each.__name__}", each)
    server = TestServer(app)

    def serve():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(server.start_server())
        ready.set()
        loop.run_forever()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    yield str(server.make_url("")).rstrip("/")
    asyncio.run_coroutine_threadsafe(server.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def test_a_picture_is_kept_by_its_content(host):
    fetch = PictureFetcher(HERE, 10**6)
    first, again = fetch(f"{host}/picture?a=1"), fetch(f"{host}/moved?to=/picture")
    assert first == again and first.name.startswith("ensemble/")
    assert Image.open(io.BytesIO(first.png)).getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/gone", "HTTP 404"),
        ("/page", "text/html"),
        ("/large", "more than 1,000,000 bytes"),
        ("/slow", "within 0.5 seconds"),
        ("/moved?to=http://evil.example/x", "evil.example is not on the list"),
        ("/moved?to=http://127.0.0.2/x", "127.0.0.2 is not on the list"),
        ("/moved?to=file:///etc/passwd", "http"),
    ],
)
def test_what_is_no_picture_of_a_listed_host_is_told(host, path, reason):
    with pytest.raises(PictureError, match=reason):
        PictureFetcher(HERE, 10**6, timeout=0.5)(host + path)


def test_redirects_have_one_time_together(host):
    """Each of the four answers alone is in time."""
    started = time.monotonic()
    with pytest.raises(PictureError, match=r"within 0\.5 seconds"):
        PictureFetcher(HERE, 10**6, timeout=0.5)(f"{host}/late?left=3")
    assert time.monotonic() - started < 1.0


def test_redirects_end(host):
    with pytest.raises(PictureError, match="more than 3 redirects"):
        PictureFetcher(HERE, 10**6)(f"{host}/again")


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("10.0.0.1",), ("169.254.169.254",), ("::1",)],
)
def test_a_listed_name_leads_nowhere_inside(host, addresses):
    answers = Answers(addresses)
    fetch = PictureFetcher(frozenset({"pictures.example"}), 10**6, resolver=answers)
    with pytest.raises(PictureError, match="cannot be fetched"):
        fetch(host.replace("127.0.0.1", "pictures.example") + "/picture")
    assert answers.asked == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1/a.png",
        "http://pictures.example.evil.example/a.png",
        "http://pictures.example@evil.example/a.png",
        "http://0x7f.1/",
        "ftp://pictures.example/a.png",
    ],
)
def test_only_listed_hosts_are_wanted(address):
    assert not PictureFetcher(frozenset({"pictures.example"}), 1).wants(address)
    assert not PictureFetcher(frozenset(), 1).wants("http://pictures.example/a.png")
    assert PictureFetcher(frozenset({"pictures.example"}), 1).wants("http://pictures.example/a.png")
