"""Who is let in, through a real aiohttp application."""

import asyncio
import json

import pytest
from ensemble_portraits.ensemble.server.api.config import ConfigError, read_config
from ensemble_portraits.ensemble.server.bodies import Refused, parse_object
from hypothesis import given
from hypothesis import strategies as st

from tests.server.drafts import job

FETCH = "/ensemble/api/v4/dreambooth/fetch"
GENERATE = "/ensemble/api/v4/dreambooth"
RUN = "/ensemble/v1/recipes/run"
BODY = {"key": "", "request_id": 5}
KEY = "a-secret-of-the-user"
UNKNOWN = "Request id not found"


def posted(talk, body, headers=None, path=FETCH, **settings):
    """Status and JSON of a POST; `body` as JSON, or bytes as they are."""
    found = []

    async def scenario(client, _):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with client.post(path, data=data, headers=sent) as answer:
            found.append((answer.status, await answer.json()))

    talk(scenario, **settings)
    return found[0]


def test_the_documented_body_comes_in(talk):
    status, answer = posted(talk, BODY)
    assert (status, answer["status"], answer["message"]) == (200, "error", UNKNOWN)
    assert answer["messege"] == answer["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example:8188"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "evil.example:8188", "Origin": "http://evil.example:8188"},
    ],
)
@pytest.mark.parametrize("path", [FETCH, GENERATE, RUN])
def test_pages_of_other_sites_stay_out(talk, headers, path):
    status, _ = posted(talk, BODY, headers, path)
    assert status == 403


def test_a_page_of_comfyui_itself_comes_in(talk):
    async def scenario(client, _):
        origin = str(client.make_url("")).rstrip("/")
        async with client.post(FETCH, json=BODY, headers={"Origin": origin}) as answer:
            assert answer.status == 200

    talk(scenario)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "text/json"])
def test_bodies_that_a_form_can_send_stay_out(talk, kind):
    status, _ = posted(talk, BODY, {"Content-Type": kind})
    assert status == 415


def test_a_compressed_body_stays_out(talk):
    import gzip

    status, _ = posted(talk, gzip.compress(b" " * 10**6), {"Content-Encoding": "gzip"})
    assert status == 415


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_stays_out(talk, chunked):
    read = []

    async def pieces():
        for _ in range(100):
            read.append(1)
            yield b" " * 10**6

    async def scenario(client, service):
        data = pieces() if chunked else b" " * 10**8
        headers = {"Content-Type": "application/json"}
        try:
            async with client.post(FETCH, data=data, headers=headers) as answer:
                assert answer.status == 413
        except (ConnectionError, asyncio.TimeoutError, OSError):
            pass  # closed while we were still sending: that is a refusal too
        assert len(read) < 60  # it was not read to its end
        async with client.post(FETCH, json=BODY) as answer:
            assert answer.status == 200

    talk(scenario)


def test_a_write_without_key_or_header_stays_out(talk):
    assert posted(talk, {"request_id": 5})[0] == 401
    assert posted(talk, {"request_id": 5}, {"X-Ensemble-Client": "mine"})[0] == 200


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (None, {}),
        ("", {}),
        ("wrong", {}),
        (KEY[:-1], {}),
        (KEY + " ", {}),
        ("\ud800", {}),
        (12345, {}),
        (None, {"X-Ensemble-Client": "mine"}),
        (KEY, {"Authorization": "Bearer wrong"}),
        (None, {"X-API-Key": "wrong"}),
    ],
)
@pytest.mark.parametrize("path", [FETCH, GENERATE, RUN])
def test_a_wrong_or_missing_key_stays_out(talk, sent, headers, path):
    status, answer = posted(talk, {"key": sent, "request_id": 5}, headers, path, key=KEY)
    assert status == 401
    assert "Invalid Api Key" in str(answer)
    assert KEY not in str(answer)


@pytest.mark.parametrize(
    ("sent", "headers"),
    [(KEY, {}), (None, {"Authorization": f"Bearer {KEY}"}), ("", {"X-API-Key": KEY})],
)
def test_the_key_lets_in_from_anywhere(talk, sent, headers):
    headers = {**headers, "Host": "pictures.example"}
    status, answer = posted(talk, {"key": sent, "request_id": 5}, headers, key=KEY)
    assert (status, answer["message"]) == (200, UNKNOWN)


@pytest.mark.parametrize("host", ["pictures.example@evil.example", "evil.example/a", "a b", "[::1"])
def test_a_host_that_is_none_never_begins_a_link(talk, host):
    status, _ = posted(talk, {"key": KEY, "request_id": 5}, {"Host": host}, key=KEY)
    assert status == 403


@pytest.mark.parametrize("path", [GENERATE, RUN])
def test_a_full_queue_is_told_as_documented(talk, path):
    async def scenario(client, service):
        await service.jobs.submit(job(), ())
        async with client.post(path, json={"key": "", "prompt": "a", "text": "a"}) as answer:
            assert answer.status == 429
            assert answer.headers["Retry-After"] == "30"
            told = await answer.json()
        message = told["message"] if path == GENERATE else told["error"]
        assert message == "Rate limit exceeded. Maximum 1 queued requests allowed."
        assert told["retry_after"] == 30
        async with client.post(FETCH, json=BODY) as answer:
            assert answer.status == 200

    talk(scenario, queue=1)


def test_reads_want_the_key_too(talk):
    async def scenario(client, _):
        for path in ("/ensemble/api/v3/dreambooth/fetch/5", "/ensemble/v1/recipes/jobs/5"):
            async with client.get(path) as answer:
                assert answer.status == 401
            async with client.get(path, headers={"X-API-Key": KEY}) as answer:
                assert answer.status in (200, 404)

    talk(scenario, key=KEY)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
)
def test_what_is_not_one_json_object_is_refused(raw):
    with pytest.raises(Refused) as refused:
        parse_object(raw)
    assert refused.value.status == 400


@given(st.dictionaries(st.text(), st.none() | st.integers(-(2**60), 2**60) | st.text()))
def test_any_object_is_read_as_it_was_sent(value):
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary())
def test_no_bytes_crash_the_reader(raw):
    try:
        assert isinstance(parse_object(raw), dict)
    except Refused as refused:
        assert refused.status == 400


def test_the_switch_is_off_by_default():
    assert read_config({}, "127.0.0.1") is None
    assert read_config({"ENSEMBLE_API": "0", "ENSEMBLE_API_KEY": "x"}, "::") is None


def test_everything_is_read_from_the_environment():
    config = read_config(
        {
            "ENSEMBLE_API": "1",
            "ENSEMBLE_API_KEY": KEY,
            "ENSEMBLE_API_QUEUE": "7",
            "ENSEMBLE_API_BODY_MB": "3",
            "ENSEMBLE_API_URL": "https://pictures.example/",
            "ENSEMBLE_WEBHOOK_HOSTS": "Hooks.example, 10.0.0.5:9000",
        },
        "0.0.0.0,::",
    )
    assert config is not None
    assert (config.key, config.queue, config.body) == (KEY, 7, 3_000_000)
    assert config.url == "https://pictures.example"
    assert config.webhook_hosts == {"hooks.example", "10.0.0.5:9000"}


@pytest.mark.parametrize("listen", ["127.0.0.1", "::1", "localhost", "127.0.0.1,::1", "127.8.9.1"])
def test_on_the_loopback_interface_no_key_is_needed(listen):
    assert read_config({"ENSEMBLE_API": "1"}, listen) is not None


@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0", "0.0.0.0,::", "127.0.0.1,192.168.1.2", "::", "my-machine", ""],  # noqa: S104
)
def test_beyond_it_the_api_stays_off_without_a_key(listen):
    with pytest.raises(ConfigError, match="ENSEMBLE_API_KEY"):
        read_config({"ENSEMBLE_API": "1"}, listen)
    assert read_config({"ENSEMBLE_API": "1", "ENSEMBLE_API_KEY": KEY}, listen) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"ENSEMBLE_API": "maybe"},
        {"ENSEMBLE_API_KEY": "short"},
        {"ENSEMBLE_API_QUEUE": "0"},
        {"ENSEMBLE_API_QUEUE": "-1"},
        {"ENSEMBLE_API_BODY_MB": "many"},
        {"ENSEMBLE_API_URL": "pictures.example"},
    ],
)
def test_a_setting_that_cannot_be_meant_keeps_the_api_off(more):
    with pytest.raises(ConfigError):
        read_config({"ENSEMBLE_API": "1", **more}, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "word", "field", "value"),
    [
        ("ENSEMBLE_API_UNKNOWN", "warn", "unknown_fields", True),
        ("ENSEMBLE_API_UNKNOWN", "", "unknown_fields", False),
        ("ENSEMBLE_API_APPROXIMATE", "1", "approximate", True),
        ("ENSEMBLE_PICTURE_HOSTS", "A.example, 10.0.0.5:9000", "picture_hosts",
         frozenset({"a.example", "10.0.0.5:9000"})),
        ("ENSEMBLE_PICTURE_MB", "3", "picture", 3_000_000),
    ],
)  # fmt: skip
def test_what_the_owner_may_allow(name, word, field, value):
    config = read_config({"ENSEMBLE_API": "1", name: word}, "127.0.0.1")
    assert getattr(config, field) == value


def test_another_word_for_unknown_fields_keeps_the_api_off():
    with pytest.raises(ConfigError, match="ENSEMBLE_API_UNKNOWN must be error or warn"):
        read_config({"ENSEMBLE_API": "1", "ENSEMBLE_API_UNKNOWN": "ignore"}, "127.0.0.1")
