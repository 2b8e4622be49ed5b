"""Which addresses are called at all."""

import ipaddress

import pytest
from ensemble_portraits.ensemble.server.api.config import HOSTS
from ensemble_portraits.ensemble.server.api.outside import TargetError, check_target, is_public
from hypothesis import given
from hypothesis import strategies as st

LISTED = frozenset({"hooks.example", "other.example:9000", "127.0.0.1"})


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example/done",
        "http://hooks.example:8080/done?x=1",
        "https://HOOKS.example/",
        "http://other.example:9000/",
        "http://127.0.0.1:5000/",
    ],
)
def test_a_listed_host_is_called(url):
    assert check_target(url, LISTED, HOSTS) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/",
        "https://hooks.example.evil.example/",
        "https://hooks.example@evil.example/",
        "https://evil.example#@hooks.example/",
        "https://evil.example\\@hooks.example/",
        "https://user:secret@hooks.example/",
        "http://other.example/",
        "http://other.example:9001/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://127.0.0.1.:80/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://hooks.example/",
        "//hooks.example/",
        "hooks.example",
        "http://",
        "http://hooks.example:99999/",
        "http://hooks.example:x/",
        "http://hooks.example/\r\nHost: evil",
        "http://hooks.example/\x00",
        "http://h\u043eoks.example/",
        "http://hooks.example/" + "x" * 3000,
        None,
        5,
        ["http://hooks.example/"],
    ],
)
def test_everything_else_is_refused(url):
    with pytest.raises(TargetError):
        check_target(url, LISTED, HOSTS)


def test_the_list_is_empty_by_default():
    with pytest.raises(TargetError, match="ENSEMBLE_WEBHOOK_HOSTS"):
        check_target("https://hooks.example/", frozenset(), HOSTS)


@given(st.text())
def test_no_text_passes_without_being_listed(text):
    with pytest.raises(TargetError):
        check_target(text, frozenset({"hooks.example"}), HOSTS)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.1"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1"),
        *("fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::"),
        *("64:ff9b::7f00:1", "64:ff9b::a00:1", "2001:db8::1"),
    ],
)
def test_private_addresses_in_every_spelling(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8"])
def test_public_addresses(address):
    assert is_public(ipaddress.ip_address(address))
