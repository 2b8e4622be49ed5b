from pathlib import Path

import pytest
from ensemble_portraits.ensemble.cluster.address import (
    Address,
    AddressError,
    read_address,
    settings,
)


@pytest.mark.parametrize(
    ("text", "ray", "loopback"),
    [
        (None, "local", True),
        ("local", "local", True),
        ("127.0.0.1:6379", "127.0.0.1:6379", True),
        ("localhost", "localhost:6379", True),
        ("10.0.0.5", "10.0.0.5:6379", False),
        ("head.example:6380", "head.example:6380", False),
    ],
)
def test_addresses(text, ray, loopback):
    found = read_address(text)
    assert (found.ray, found.loopback) == (ray, loopback)


@pytest.mark.parametrize("text", ["auto/x", ":6379", "host:", "host:0", "host:70000", "ray://h:1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(AddressError, match="is not an address"):
        read_address(text)


def test_one_machine_stays_on_its_loopback_and_asks_for_a_token(tmp_path: Path):
    wanted = settings(Address(), {}, tmp_path)
    assert wanted["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert wanted["RAY_AUTH_MODE"] == "token"
    assert wanted["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "RAY_AUTH_MODE" not in settings(Address(), {"RAY_AUTH_MODE": "disabled"}, tmp_path)


def test_a_cluster_beyond_this_machine_needs_a_token(tmp_path: Path):
    far = Address("10.0.0.5")
    with pytest.raises(AddressError, match="token"):
        settings(far, {}, tmp_path)
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in settings(
        far, {"RAY_AUTH_TOKEN": "t"}, tmp_path
    )
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("\n")
    with pytest.raises(AddressError):
        settings(far, {}, tmp_path)
    file.write_text("secret")
    assert settings(far, {}, tmp_path)["RAY_AUTH_MODE"] == "token"
    with pytest.raises(AddressError):
        settings(far, {"RAY_AUTH_MODE": "disabled"}, tmp_path)
