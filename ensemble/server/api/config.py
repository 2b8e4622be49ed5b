"""The settings of the job API: environment variables, read once at start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ...cluster.address import AddressError, read_address, settings
from ...cluster.pool import PIP_LINE
from ..access import KEY, is_loopback_host

SWITCH = "ENSEMBLE_API"
URL = "ENSEMBLE_API_URL"
QUEUE = "ENSEMBLE_API_QUEUE"
BODY = "ENSEMBLE_API_BODY_MB"
CLUSTER = "ENSEMBLE_API_CLUSTER"
CLUSTER_GPUS = "ENSEMBLE_API_CLUSTER_GPUS"
LEAVE_OUT = "ENSEMBLE_API_SKIP_MISSING"
APPROXIMATE = "ENSEMBLE_API_APPROXIMATE"
UNKNOWN = "ENSEMBLE_API_UNKNOWN"
HOSTS = "ENSEMBLE_WEBHOOK_HOSTS"
PICTURE_HOSTS = "ENSEMBLE_PICTURE_HOSTS"
PICTURE_MB = "ENSEMBLE_PICTURE_MB"
_ON = ("1", "true", "yes", "on")
_OFF = ("", "0", "false", "no", "off")
_SHORTEST_KEY = 16


class ConfigError(ValueError):
    """A setting with a wrong value; the API stays off."""


@dataclass(frozen=True)
class Config:
    """What the environment says; the defaults act where it says nothing."""

    # None: no key is asked for, which is allowed on the loopback interface alone.
    key: str | None = None
    # What links in answers begin with, where a proxy hides ComfyUI's own address.
    url: str | None = None
    # How many jobs may wait.
    queue: int = 100
    # How many bytes a request may have.
    body: int = 40_000_000
    # Where jobs run, if not here: `local` for all GPUs of this machine, or a cluster's HOST:PORT.
    cluster: str | None = None
    # How many workers; None: one for each GPU.
    cluster_gpus: int | None = None
    skip_missing: bool = False
    # Whether schedulers without a true equivalent get one near them.
    approximate: bool = False
    # Whether unknown fields are left out with a warning.
    unknown_fields: bool = False
    # Lower-case `host` or `host:port`.
    webhook_hosts: frozenset[str] = frozenset()
    # From where pictures are fetched.
    picture_hosts: frozenset[str] = frozenset()
    # How many bytes one may have.
    picture: int = 20_000_000


def read_config(environment: Mapping[str, str], listen: str) -> Config | None:
    """None where the API is switched off. `listen` is ComfyUI's `--listen`, addresses with commas.

    Raises ConfigError where it is switched on and must not run.
    """
    if not _switch(environment, SWITCH):
        return None
    key = environment.get(KEY) or None
    if key is None and not only_loopback(listen):
        raise ConfigError(
            f"ComfyUI listens on {listen}, beyond this machine; set {KEY} to a secret"
        )
    if key is not None and len(key) < _SHORTEST_KEY:
        raise ConfigError(f"{KEY} must have at least {_SHORTEST_KEY} characters")
    url = environment.get(URL, "").rstrip("/") or None
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigError(f"{URL} must begin with http:// or https://, not {url!a}")
    unknown = environment.get(UNKNOWN, "").strip().lower() or "error"
    if unknown not in ("error", "warn"):
        raise ConfigError(f"{UNKNOWN} must be error or warn, not {unknown!a}")
    return Config(
        key=key,
        url=url,
        queue=_whole(environment, QUEUE, Config.queue),
        body=_whole(environment, BODY, Config.body // 1_000_000) * 1_000_000,
        cluster=_cluster(environment),
        cluster_gpus=_whole(environment, CLUSTER_GPUS, 0) or None,
        skip_missing=_switch(environment, LEAVE_OUT),
        approximate=_switch(environment, APPROXIMATE),
        unknown_fields=unknown == "warn",
        webhook_hosts=_hosts(environment, HOSTS),
        picture_hosts=_hosts(environment, PICTURE_HOSTS),
        picture=_whole(environment, PICTURE_MB, Config.picture // 1_000_000) * 1_000_000,
    )


def config_of_this_process() -> Config | None:
    """read_config with the environment and the arguments of this ComfyUI."""
    from comfy.cli_args import args

    return read_config(os.environ, args.listen)


def only_loopback(listen: str) -> bool:
    """Whether every address of `--listen` is a loopback address; of names only localhost counts."""
    return all(is_loopback_host(address.strip()) for address in listen.split(","))


def _cluster(environment: Mapping[str, str]) -> str | None:
    word = environment.get(CLUSTER, "").strip()
    if not word:
        return None
    if find_spec("ray") is None:
        raise ConfigError(f"{CLUSTER} needs Ray: {PIP_LINE}")
    try:
        settings(read_address(word), environment, Path.home())
    except AddressError as error:
        raise ConfigError(f"{CLUSTER}: {error}") from error
    return word


def _hosts(environment: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(filter(None, environment.get(name, "").lower().replace(" ", "").split(",")))


def _switch(environment: Mapping[str, str], name: str) -> bool:
    word = environment.get(name, "").strip().lower()
    if word not in (*_ON, *_OFF):
        raise ConfigError(f"{name} must be 1 or 0, not {word!a}")
    return word in _ON


def _whole(environment: Mapping[str, str], name: str, default: int) -> int:
    word = environment.get(name, "").strip()
    if not word:
        return default
    if not (word.isascii() and word.isdigit() and int(word[:7]) >= 1 and len(word) < 7):
        raise ConfigError(f"{name} must be a whole number from 1 to 999999, not {word!a}")
    return int(word)
