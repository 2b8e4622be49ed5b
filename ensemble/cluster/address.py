"""Which Ray may be talked to, and with which settings: loopback alone, or with a token.

Ray listens on every interface unless told not to, and whoever reaches it can run code. Its settings
are read from the environment when it is imported, so they are settled before.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PORT = 6379
TOKEN, TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
_ALWAYS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    # ComfyUI's Python is a child spoken to over HTTP: a patch release more or less is no matter.
    "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL": "minor",
    # Known after 15 s where Ray's own settings take 64.
    "RAY_health_check_period_ms": "2000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}
# Ray's switch for one machine; on Linux too it keeps every socket on 127.0.0.1.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class AddressError(ValueError):
    """An address that is none, or that must not be used."""


@dataclass(frozen=True)
class Address:
    """`host` empty: a Ray of our own on this machine, ended with us."""

    host: str = ""
    port: int = PORT

    @property
    def ray(self) -> str:
        """What `ray.init` is given; never nothing, or it would join any Ray that it finds."""
        return f"{self.host}:{self.port}" if self.host else "local"

    @property
    def loopback(self) -> bool:
        return not self.host or is_loopback(self.host)


def read_address(text: str | None) -> Address:
    """`local`, `HOST` or `HOST:PORT`. Raises AddressError."""
    if text is None or text.strip().lower() in ("", "local"):
        return Address()
    host, colon, port = text.strip().rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, port = text.strip(), str(PORT)
    host = host.removeprefix("[").removesuffix("]")
    if "/" in host or not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise AddressError(f"{text!a} is not an address; write HOST:{PORT}, or local")
    return Address(host, int(port))


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def settings(address: Address, environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """What to put into the environment before Ray is imported; the user's own values stay. Raises
    AddressError for a cluster beyond this machine without a token.
    """
    if not address.loopback:
        mode = environment.get("RAY_AUTH_MODE", "token")
        if mode != "token" or not has_token(environment, home):
            raise AddressError(
                f"{address.ray} is beyond this machine, and without a token anybody who reaches it "
                f"can run code. Run `farm head` there, and put its token into {token_file(home)} or "
                f"{TOKEN} here"
            )
    wanted = _ALWAYS | (_LOOPBACK if address.loopback else {})
    return {name: value for name, value in wanted.items() if name not in environment}


def has_token(environment: Mapping[str, str], home: Path) -> bool:
    if environment.get(TOKEN, "").strip():
        return True
    path = Path(environment.get(TOKEN_PATH) or token_file(home))
    try:
        return bool(path.read_text(encoding="utf-8").strip())
    except OSError:
        return False


def token_file(home: Path) -> Path:
    """Where Ray looks for it."""
    return home / ".ray" / "auth_token"
